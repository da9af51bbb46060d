//! A request beside the world it asks about: what is computed once, so that judging a node is cheap.

use std::cell::Cell as Memo;
use std::collections::BTreeMap;

use orca_api::id::NodeId;
use orca_api::spec::Constraint;

use crate::attributes::{self, Attributes};
use crate::cost;
use crate::filter::{self, Filter};
use crate::index::{Amounts, Bounds, Row, amounts, pieces};
use crate::model::{Node, Request, SpreadOver, Target};
use crate::score::{self, Score};
use crate::world::{Siblings, Slot, World};

/// Points that a preference of ±100, a sibling or a task over its share is measured in: these many double.
pub(crate) const POINTS_DOUBLE: i64 = 50;

/// What all nodes with equal attributes have in common for a request.
#[derive(Clone, Copy, Debug)]
struct ClassFacts {
    /// Passes data centres, platforms and constraints on attributes.
    passes: bool,
    /// Points of preferences on attributes, positive is away.
    preferred: i64,
    /// Points of the spread, positive is away.
    spread: i64,
}

/// Tasks of the group by value of an attribute.
pub(crate) type Counts<'a> = BTreeMap<&'a str, u32>;

/// A request and the world.
pub(crate) struct Ask<'a> {
    pub(crate) world: &'a World,
    pub(crate) request: &'a Request,
    pub(crate) need: Amounts,
    /// For each shape: what the task multiplies its prices by, less one.
    growth: Vec<[u32; 3]>,
    pub(crate) siblings: Option<&'a Siblings>,
    /// The filters that have something to decide for this request, of those that depend on it.
    filters: Vec<&'static dyn Filter>,
    pub(crate) score: &'static dyn Score,
    /// For each `distinct` rule that is not about single nodes: the group's tasks by value.
    pub(crate) distinct: Vec<Counts<'a>>,
    spread: Option<Spread<'a>>,
    /// By class; empty where no class differs from another.
    facts: Vec<Memo<Option<ClassFacts>>>,
    /// Whether any node can have points.
    pointed: bool,
    /// The most points towards a node that a node can have.
    towards_max: i64,
    pub(crate) cursor: Option<NodeId>,
}

/// One node, judged for a request.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) row: &'a Row,
    pub(crate) slot: &'a Slot,
    pub(crate) node: &'a Node,
    pub(crate) class: &'a Attributes,
}

impl Candidate<'_> {
    /// The value of any key, also of the node's own ones.
    pub(crate) fn value(&self, key: &str) -> Option<std::borrow::Cow<'_, str>> {
        match key {
            "node.id" => Some(self.node.id.to_string().into()),
            "node.name" => Some(self.node.name.as_str().into()),
            _ => self.class.get(key).map(Into::into),
        }
    }
}

/// How good a node is; the smallest wins. Compared field by field from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// The task failed there again and again.
    pub(crate) avoided: bool,
    /// The score's cost with its points, units of 2⁻⁴⁰.
    pub(crate) cost: u64,
    /// Tasks of the same group on it.
    pub(crate) siblings: u32,
    /// Tasks on it.
    pub(crate) tasks: u32,
    /// Not after the round-robin cursor.
    pub(crate) wrapped: bool,
    pub(crate) id: NodeId,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(world: &'a World, request: &'a Request, cursor: Option<NodeId>) -> Self {
        let need = amounts(request.resources);
        let weight = pieces(amounts(request.resources.weight()));
        let growth = world.index.shapes().iter();
        let growth = growth.map(|s| std::array::from_fn(|r| cost::growth(weight[r], s.0[r]))).collect();
        let siblings = request.group.as_ref().and_then(|group| world.groups.get(group));
        let by_class = !request.constraints.is_empty()
            || !request.data_centers.is_empty()
            || !request.platforms.is_empty()
            || !request.preferences.is_empty()
            || request.spread_over.is_some();
        let score = score::of(request.algorithm);
        let mut ask = Self {
            world,
            request,
            need,
            growth,
            siblings,
            filters: filter::OF_REQUEST.iter().copied().filter(|f| f.wanted(request)).collect(),
            score,
            distinct: Vec::new(),
            spread: None,
            facts: if by_class { vec![Memo::new(None); world.classes.len()] } else { Vec::new() },
            pointed: !request.preferences.is_empty()
                || request.spread_over.is_some()
                || (siblings.is_some() && score.keeps_away()),
            towards_max: request.preferences.iter().map(|p| i64::from(p.weight.max(0))).sum(),
            cursor,
        };
        ask.distinct = request.distinct.iter().map(|rule| ask.counts(&rule.key)).collect();
        ask.spread = request.spread_over.as_ref().and_then(|rule| Spread::new(&ask, rule));
        // facts were judged without the spread's points
        ask.facts.iter().for_each(|memo| memo.set(None));
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

    pub(crate) fn candidate<'b>(&self, row: &'b Row) -> Option<Candidate<'b>>
    where
        'a: 'b,
    {
        let world: &'a World = self.world;
        let slot = world.slot(row.slot);
        let node = slot.node.as_ref()?;
        Some(Candidate { row, slot, node, class: &world.classes[row.class as usize].attributes })
    }

    /// The first of the request's filters that the node does not pass.
    pub(crate) fn first_failed(&self, candidate: &Candidate<'_>) -> Option<&'static dyn Filter> {
        self.filters.iter().copied().find(|filter| !filter.passes(self, candidate))
    }

    /// What the task multiplies the prices of a shape by, less one.
    pub(crate) fn growth(&self, shape: u32) -> [u32; 3] {
        self.growth[shape as usize]
    }

    fn facts(&self, class: u32) -> ClassFacts {
        let Some(memo) = self.facts.get(class as usize) else {
            return ClassFacts { passes: true, preferred: 0, spread: 0 };
        };
        if let Some(facts) = memo.get() {
            return facts;
        }
        let attributes = &self.world.classes[class as usize].attributes;
        let request = self.request;
        let facts = ClassFacts {
            passes: self.failed_constraint(attributes).is_none()
                && in_data_centers(request, attributes)
                && attributes.runs(&request.platforms),
            preferred: self.preferred(attributes),
            spread: self.spread.as_ref().map_or(0, |spread| spread.points(attributes)),
        };
        memo.set(Some(facts));
        facts
    }

    /// Whether the node's attributes pass data centres, platforms and constraints.
    pub(crate) fn class_passes(&self, class: u32) -> bool {
        self.facts(class).passes
    }

    /// The first constraint on shared attributes that does not hold.
    pub(crate) fn failed_constraint(&self, attributes: &Attributes) -> Option<&'a Constraint> {
        let shared = self.request.constraints.iter().filter(|c| !attributes::is_own(&c.key));
        shared.into_iter().find(|c| !attributes::holds(c, attributes.get(&c.key)))
    }

    /// Points of preferences on shared attributes; positive is away.
    fn preferred(&self, attributes: &Attributes) -> i64 {
        let points = self.request.preferences.iter().map(|preference| match &preference.to {
            Target::Constraint(c) if !attributes::is_own(&c.key) && attributes::holds(c, attributes.get(&c.key)) => {
                -i64::from(preference.weight)
            }
            _ => 0,
        });
        points.sum()
    }

    /// Points of preferences for the node itself; positive is away.
    fn preferred_node(&self, candidate: &Candidate<'_>) -> i64 {
        let points = self.request.preferences.iter().map(|preference| {
            let holds = match &preference.to {
                Target::Constraint(c) => {
                    attributes::is_own(&c.key) && attributes::holds(c, candidate.value(&c.key).as_deref())
                }
                Target::Node(id) => *id == candidate.node.id,
                Target::Group(group) => {
                    self.world.groups.get(group).is_some_and(|s| s.on_node.contains_key(&candidate.row.slot))
                }
            };
            if holds { -i64::from(preference.weight) } else { 0 }
        });
        points.sum()
    }

    /// Tasks of the same group on the node.
    pub(crate) fn siblings_on(&self, slot: u32) -> u32 {
        self.siblings.and_then(|siblings| siblings.on_node.get(&slot)).copied().unwrap_or(0)
    }

    /// The three sums of points of a node, positive is away: preferences, spread, siblings.
    pub(crate) fn points(&self, candidate: &Candidate<'_>) -> [i64; 3] {
        if !self.pointed {
            return [0; 3];
        }
        let facts = self.facts(candidate.row.class);
        let siblings = i64::from(self.siblings_on(candidate.row.slot));
        let spread = match &self.spread {
            Some(spread) if spread.own => spread.over(siblings.unsigned_abs(), 1),
            _ => facts.spread,
        };
        let preferred =
            if self.request.preferences.is_empty() { 0 } else { facts.preferred + self.preferred_node(candidate) };
        let away = if self.score.keeps_away() { siblings * i64::from(self.request.keep_away.0) } else { 0 };
        [preferred, spread, away]
    }

    /// How good a node that fits is.
    pub(crate) fn rank(&self, candidate: &Candidate<'_>) -> Rank {
        let points = self.points(candidate).iter().sum();
        let counted = self.score.counts_tasks();
        let id = candidate.node.id;
        Rank {
            avoided: self.request.avoid.contains(&id),
            cost: cost::with_points(self.score.cost(self, candidate.row), points),
            siblings: if counted { self.siblings_on(candidate.row.slot) } else { 0 },
            tasks: if counted { candidate.row.tasks } else { 0 },
            wrapped: self.score.goes_round() && self.cursor.is_some_and(|cursor| id <= cursor),
            id,
        }
    }

    /// No node of the cell can cost less.
    pub(crate) fn bound(&self, bounds: &Bounds) -> u64 {
        cost::with_points(self.score.bound(self, bounds), -self.towards_max)
    }
}

/// Whether the request may run in the data centre.
pub(crate) fn in_data_centers(request: &Request, attributes: &Attributes) -> bool {
    request.data_centers.is_empty() || request.data_centers.contains(&attributes.data_center)
}

/// The spread of a group over the values of an attribute, as it stands.
pub(crate) struct Spread<'a> {
    rule: &'a SpreadOver,
    /// The rule is about single nodes.
    own: bool,
    counts: Counts<'a>,
    /// The group's tasks that are counted, with the one to place.
    total: u64,
    /// Sum of the shares of all values.
    shares: u64,
}

impl<'a> Spread<'a> {
    /// `None` where no value has a share.
    fn new(ask: &Ask<'a>, rule: &'a SpreadOver) -> Option<Self> {
        let mut spread =
            Self { rule, own: attributes::is_own(&rule.key), counts: Counts::new(), total: 1, shares: 0 };
        if spread.own {
            spread.total += u64::from(ask.siblings.map_or(0, |siblings| siblings.total));
            spread.shares = ask.world.index.len() as u64;
            return (spread.shares > 0).then_some(spread);
        }
        let world: &'a World = ask.world;
        for (number, class) in world.classes.iter().enumerate() {
            if class.open_nodes > 0 && ask.class_passes(number as u32) {
                spread.counts.entry(class.attributes.get(&rule.key).unwrap_or_default()).or_default();
            }
        }
        for (class, tasks) in ask.siblings.iter().flat_map(|siblings| &siblings.in_class) {
            let value = world.classes[*class as usize].attributes.get(&rule.key).unwrap_or_default();
            if let Some(count) = spread.counts.get_mut(value) {
                *count += tasks;
                spread.total += u64::from(*tasks);
            }
        }
        spread.shares = spread.counts.keys().map(|value| spread.share(value)).sum();
        (spread.shares > 0).then_some(spread)
    }

    fn share(&self, value: &str) -> u64 {
        if self.rule.shares.is_empty() {
            return 1;
        }
        u64::from(self.rule.shares.get(value).copied().unwrap_or(0))
    }

    /// Points of the value that the attributes have: a doubling for each task over its share.
    fn points(&self, attributes: &Attributes) -> i64 {
        if self.own {
            return 0;
        }
        let value = attributes.get(&self.rule.key).unwrap_or_default();
        let count = u64::from(self.counts.get(value).copied().unwrap_or(0));
        self.over(count, self.share(value))
    }

    fn over(&self, count: u64, share: u64) -> i64 {
        let target = (self.total * share).div_ceil(self.shares);
        (count + 1).saturating_sub(target) as i64 * POINTS_DOUBLE
    }
}
