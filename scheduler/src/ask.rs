//! A request beside the world it asks about: what is computed once, so that judging a node is cheap.

use std::borrow::Cow;
use std::cell::Cell as Memo;

use orca_api::id::NodeId;
use orca_api::spec::Constraint;

use crate::attributes::{self, Attributes};
use crate::cost;
use crate::filter;
use crate::index::{Amounts, Row, amounts, pieces, port_bit};
use crate::model::{Node, Request, Target};
use crate::score::{self, Score};
use crate::spread::{Counts, SpreadState};
use crate::world::{Siblings, Slot, World};

/// What all nodes with equal attributes have in common for a request.
#[derive(Clone, Copy, Debug)]
struct ClassFacts {
    /// Passes data centres, platforms and constraints on attributes.
    passes: bool,
    /// Points of preferences on attributes, positive is away.
    preferred: i64,
    /// Tasks over its share of the spread.
    over: u32,
}

/// A request and the world.
pub(crate) struct Ask<'a> {
    pub(crate) world: &'a World,
    pub(crate) request: &'a Request,
    pub(crate) need: Amounts,
    /// What the task adds to a node's weight.
    pub(crate) weight: Amounts,
    /// For each shape: what the task multiplies its prices by, less one, times the machine's size.
    growth: Vec<[u32; 3]>,
    pub(crate) siblings: Option<&'a Siblings>,
    /// One bit for each filter that has something to decide.
    wanted: u32,
    /// Whether one of those reads more of a node than its row and its attributes.
    pub(crate) reads_more: bool,
    /// Host ports it publishes, folded as in [`Row::ports`].
    pub(crate) ports: u64,
    /// For each `distinct` rule that is not about single nodes: the group's tasks by value.
    pub(crate) distinct: Vec<Counts<'a>>,
    pub(crate) spread: Option<SpreadState<'a>>,
    /// By class; empty where no class differs from another.
    facts: Vec<Memo<Option<ClassFacts>>>,
    /// No value of the spread is less over its share.
    over_least: u32,
    /// The most points towards a node that a node can have.
    towards_max: i64,
    /// The node that `round_robin` chose last.
    pub(crate) cursor: Option<NodeId>,
}

/// One node, judged for a request.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) row: &'a Row,
    pub(crate) slot: &'a Slot,
    pub(crate) class: &'a Attributes,
}

impl<'a> Candidate<'a> {
    pub(crate) fn node(&self) -> &'a Node {
        &self.slot.node
    }

    /// The value of any key, also of the node's own ones.
    pub(crate) fn value(&self, key: &str) -> Option<Cow<'a, str>> {
        match key {
            "node.id" => Some(self.node().id.to_string().into()),
            "node.name" => Some(self.node().name.as_str().into()),
            _ => self.class.get(key).map(Into::into),
        }
    }
}

/// How good a node is; the smallest wins. Compared field by field from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// The task failed there again and again.
    pub(crate) avoided: bool,
    /// So many tasks over its share of the spread.
    pub(crate) over: u32,
    /// The score's cost with its points, units of 2⁻³².
    pub(crate) cost: u64,
    /// Tasks of the same group on it.
    pub(crate) siblings: u32,
    /// Tasks on it.
    pub(crate) tasks: u32,
    /// Not after the round-robin cursor.
    pub(crate) wrapped: bool,
    /// Decides where all else is equal.
    pub(crate) id: NodeId,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(world: &'a World, request: &'a Request, cursor: Option<NodeId>) -> Self {
        let weight = amounts(request.resources.weight());
        let part = pieces(weight);
        let mean = world.mean();
        let growth = |whole: &Amounts| {
            std::array::from_fn(|r| {
                cost::sized(cost::growth(part[r], whole[r]), cost::size(whole[r], mean[r]))
            })
        };
        let wanted = filter::wanted(request);
        let numbered = filter::OF_REQUEST.iter().enumerate();
        let by_class = !request.constraints.is_empty()
            || !request.data_centers.is_empty()
            || !request.platforms.is_empty()
            || !request.preferences.is_empty()
            || request.spread_over.is_some();
        let mut ask = Self {
            world,
            request,
            need: amounts(request.resources),
            weight,
            growth: world.index.shapes().iter().map(|shape| growth(&shape.0)).collect(),
            siblings: request.group.as_ref().and_then(|group| world.groups.get(group)),
            wanted,
            reads_more: numbered.into_iter().any(|(n, f)| wanted & (1 << n) != 0 && f.reads_more(request)),
            ports: request.ports.iter().filter_map(|p| p.host).fold(0, |mask, port| mask | port_bit(port)),
            distinct: Vec::new(),
            spread: None,
            facts: if by_class { vec![Memo::new(None); world.classes.len()] } else { Vec::new() },
            over_least: 0,
            towards_max: request.preferences.iter().map(|p| i64::from(p.weight.max(0))).sum(),
            cursor,
        };
        ask.distinct = request.distinct.iter().map(|rule| ask.counts(&rule.key)).collect();
        if let Some(rule) = &request.spread_over {
            ask.spread = SpreadState::new(&ask, rule);
            ask.over_least = ask.spread.as_ref().map_or(0, SpreadState::over_least);
            // these were judged without the spread
            ask.facts.iter().for_each(|memo| memo.set(None));
        }
        ask
    }

    /// The group's tasks by value of an attribute.
    fn counts(&self, key: &str) -> Counts<'a> {
        let mut counts = Counts::new();
        for (class, tasks) in self.siblings.iter().flat_map(|siblings| &siblings.in_class) {
            if let Some(value) = self.world.classes[*class as usize].attributes.get(key) {
                *counts.entry(value).or_default() += tasks;
            }
        }
        counts
    }

    /// The cold facts beside a row.
    #[inline]
    pub(crate) fn candidate<'b>(&self, row: &'b Row) -> Candidate<'b>
    where
        'a: 'b,
    {
        let world: &'a World = self.world;
        Candidate { row, slot: world.slot(row.slot), class: &world.classes[row.class as usize].attributes }
    }

    /// The number of the first of the request's filters that the node does not pass.
    pub(crate) fn first_failed(&self, candidate: &Candidate<'_>) -> Option<usize> {
        filter::first_failed(self.wanted, self, candidate)
    }

    /// Whether the node passes all of the request's filters.
    #[inline]
    pub(crate) fn fits(&self, row: &Row) -> bool {
        // what most nodes fail or pass by needs nothing but the row
        let room = (0..3).all(|r| self.need[r] == 0 || self.need[r] <= row.free[r]);
        let plain = !self.reads_more && self.ports & row.ports == 0;
        room && self.class_passes(row.class) && (plain || self.fits_wholly(row))
    }

    fn fits_wholly(&self, row: &Row) -> bool {
        self.first_failed(&self.candidate(row)).is_none()
    }

    /// What the task multiplies the prices of a shape by, less one, times the machine's size.
    #[inline]
    pub(crate) fn growth(&self, shape: u32) -> [u32; 3] {
        self.growth[shape as usize]
    }

    #[inline]
    fn facts(&self, class: u32) -> ClassFacts {
        match self.facts.get(class as usize) {
            None => ClassFacts { passes: true, preferred: 0, over: 0 },
            Some(memo) => memo.get().unwrap_or_else(|| self.judge_class(class, memo)),
        }
    }

    #[cold]
    fn judge_class(&self, class: u32, memo: &Memo<Option<ClassFacts>>) -> ClassFacts {
        let attributes = &self.world.classes[class as usize].attributes;
        let facts = ClassFacts {
            passes: self.failed_constraint(attributes).is_none()
                && in_data_centers(self.request, attributes)
                && attributes.runs(&self.request.platforms),
            preferred: self.preferred(attributes),
            over: self.spread.as_ref().map_or(0, |spread| spread.over_of(attributes)),
        };
        memo.set(Some(facts));
        facts
    }

    /// Whether the node's attributes pass data centres, platforms and constraints.
    #[inline]
    pub(crate) fn class_passes(&self, class: u32) -> bool {
        self.facts(class).passes
    }

    /// The first constraint on shared attributes that does not hold.
    pub(crate) fn failed_constraint(&self, attributes: &Attributes) -> Option<&'a Constraint> {
        let mut shared = self.request.constraints.iter().filter(|c| !attributes::is_own(&c.key));
        shared.find(|c| !attributes::holds(c, attributes.get(&c.key)))
    }

    /// Points of preferences on shared attributes; positive is away.
    fn preferred(&self, attributes: &Attributes) -> i64 {
        let points = self.request.preferences.iter().map(|preference| match &preference.to {
            Target::Constraint(c)
                if !attributes::is_own(&c.key) && attributes::holds(c, attributes.get(&c.key)) =>
            {
                -i64::from(preference.weight)
            }
            _ => 0,
        });
        points.sum()
    }

    /// Points of preferences for the node itself; positive is away.
    fn preferred_node(&self, row: &Row) -> i64 {
        let points = self.request.preferences.iter().map(|preference| {
            let holds = match &preference.to {
                Target::Constraint(c) if attributes::is_own(&c.key) => {
                    attributes::holds(c, self.candidate(row).value(&c.key).as_deref())
                }
                Target::Constraint(_) => false,
                Target::Node(id) => *id == row.id,
                Target::Group(group) => {
                    self.world.groups.get(group).is_some_and(|s| s.on_node.contains_key(&row.slot))
                }
            };
            if holds { -i64::from(preference.weight) } else { 0 }
        });
        points.sum()
    }

    /// Tasks of the same group on the node.
    #[inline]
    pub(crate) fn siblings_on(&self, slot: u32) -> u32 {
        self.siblings.and_then(|siblings| siblings.on_node.get(&slot)).copied().unwrap_or(0)
    }

    /// Points of all preferences, positive is away.
    #[inline]
    pub(crate) fn preference_points(&self, row: &Row) -> i64 {
        if self.request.preferences.is_empty() {
            return 0;
        }
        self.facts(row.class).preferred + self.preferred_node(row)
    }

    /// Points of so many siblings.
    #[inline]
    pub(crate) fn sibling_points(&self, siblings: u32) -> i64 {
        i64::from(siblings) * i64::from(self.request.keep_away.0)
    }

    /// How many tasks over its share the node's value of the spread would be.
    #[inline]
    pub(crate) fn over(&self, row: &Row) -> u32 {
        match &self.spread {
            None => 0,
            Some(spread) if spread.own => spread.over_of_node(self.siblings_on(row.slot)),
            Some(_) => self.facts(row.class).over,
        }
    }

    /// How good a node that fits is, given what its score says.
    #[inline]
    pub(crate) fn rank(&self, score: &(impl Score + ?Sized), row: &Row, cost: u64) -> Rank {
        let counts_tasks = score.counts_tasks();
        let siblings = if counts_tasks { self.siblings_on(row.slot) } else { 0 };
        let points = self.preference_points(row) + self.sibling_points(siblings);
        Rank {
            avoided: self.request.avoid.contains(&row.id),
            over: self.over(row),
            cost: cost::with_points(cost, points),
            siblings,
            tasks: if counts_tasks { row.tasks } else { 0 },
            wrapped: score.goes_round() && self.cursor.is_some_and(|cursor| row.id <= cursor),
            id: row.id,
        }
    }

    /// How good a node that fits is.
    pub(crate) fn rank_of(&self, row: &Row) -> Rank {
        let score = score::of(self.request.algorithm);
        self.rank(score, row, score.cost(self, row))
    }

    /// What a node may cost at most, before its points, that could still win against the best so far. Equal costs
    /// can: something else decides then.
    #[inline]
    pub(crate) fn ceiling(&self, best: &Rank) -> u64 {
        if best.avoided || best.over > self.over_least { u64::MAX } else { self.dearest(best.cost) }
    }

    /// What a node may cost at most before its points, if with them it costs at most so much.
    #[inline]
    pub(crate) fn dearest(&self, most: u64) -> u64 {
        cost::without_points(most, -self.towards_max)
    }
}

/// Whether the request may run in the data centre.
pub(crate) fn in_data_centers(request: &Request, attributes: &Attributes) -> bool {
    request.data_centers.is_empty() || request.data_centers.contains(&attributes.data_center)
}
