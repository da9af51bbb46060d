//! Many equal tasks at once: the same choices as placing and holding them one after another, for the
//! price of one search.
//!
//! ```text
//!   chunks up to a limit ──► rows by rank, one heap for each lane ──► best of the lanes' heads ──┐
//!     ▲  the limit is raised when that best is above it, or there is none                        │
//!     └──────────────────── the node, one task fuller, goes back into its heap ◄─────────────────┘
//! ```
//!
//! A *lane* holds the nodes that share what changes from outside when a task is placed elsewhere: the
//! value of the spread, and the values of `distinct` rules. Nothing outside the batch is changed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use orca_api::id::{NodeId, PlacementId, RawId};
use orca_api::spec::Algorithm;

use crate::ask::{Ask, Rank};
use crate::attributes;
use crate::cost;
use crate::index::Row;
use crate::model::{Distinct, Request, Target};
use crate::place::Choice;
use crate::refusal::Refusal;
use crate::score::{self, Score};
use crate::spread::{Counts, SpreadState};
use crate::world::{Busy, World};

/// Where equal tasks go, in order, and why the rest of them goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// One choice for each task that fits.
    pub choices: Vec<Choice>,
    /// Why there are not more, where fewer than asked for fit.
    pub refusal: Option<Refusal>,
}

/// A node in a lane's heap: its rank, packed into four numbers that compare as the rank does, since there are
/// many of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Avoided (1 bit), cost.
    cost: u64,
    /// Siblings, tasks.
    counts: u64,
    /// The first eight bytes of the id.
    id: u64,
    /// Its last two bytes (16 bits) and, deciding nothing, where the node is.
    tail: u64,
}

/// The bit of [`Entry`] that says that its node has a seat.
const SEATED: u64 = 1 << 32;
const AVOIDED: u64 = 1 << 63;

impl Entry {
    fn new(ask: &Ask<'_>, cost: u64, [siblings, tasks]: [u32; 2], id: NodeId, at: At) -> Self {
        let avoided = if ask.request.avoid.contains(&id) { AVOIDED } else { 0 };
        let mut id_bits = [0; 16];
        id_bits[6..].copy_from_slice(&id.raw().bytes());
        let id_bits = u128::from_be_bytes(id_bits);
        let at = match at {
            At::Slot(slot) => u64::from(slot),
            At::Seat(seat) => SEATED | u64::from(seat),
        };
        Self {
            cost: avoided | cost,
            counts: u64::from(siblings) << 32 | u64::from(tasks),
            id: (id_bits >> 16) as u64,
            tail: u64::from(id_bits as u16) << 48 | at,
        }
    }

    fn avoided(self) -> bool {
        self.cost & AVOIDED != 0
    }

    fn at(self) -> At {
        let number = self.tail as u32;
        if self.tail & SEATED == 0 { At::Slot(number) } else { At::Seat(number) }
    }

    fn rank(self, over: u32) -> Rank {
        let mut id = [0; 10];
        id[..8].copy_from_slice(&self.id.to_be_bytes());
        id[8..].copy_from_slice(&((self.tail >> 48) as u16).to_be_bytes());
        Rank {
            avoided: self.avoided(),
            over,
            cost: self.cost & !AVOIDED,
            siblings: (self.counts >> 32) as u32,
            tasks: self.counts as u32,
            wrapped: false,
            id: NodeId::from_raw(RawId::from_bytes(id)),
        }
    }
}

/// Where a node's row is: in the index as it was, or in its seat, once it has a task of this batch.
enum At {
    Slot(u32),
    Seat(u32),
}

/// A node with tasks of this batch.
struct Seat {
    row: Row,
    busy: Busy,
    siblings: u32,
    preferred: i64,
}

/// Nodes that share values of the spread and of `distinct` rules.
struct Lane<'a> {
    /// The number of the spread's value.
    spread: Option<usize>,
    distinct: Vec<Option<&'a str>>,
    /// Tasks over the share of its value of the spread.
    over: u32,
    /// No `distinct` rule is used up.
    open: bool,
    heap: BinaryHeap<Reverse<Entry>>,
}

struct Run<'a, S> {
    ask: &'a Ask<'a>,
    score: &'a S,
    /// Chunks with bounds up to this are open.
    limit: Option<u64>,
    lanes: Vec<Lane<'a>>,
    /// By class; empty where there is one lane.
    lane_of: Vec<Option<u32>>,
    seats: Vec<Seat>,
    spread: Option<SpreadState<'a>>,
    distinct: Vec<Counts<'a>>,
    /// Two of these tasks cannot share a node: they publish the same port.
    alone: bool,
}

impl Ask<'_> {
    /// The nodes of as many of `count` equal tasks as fit.
    pub(crate) fn many(&self, count: usize) -> Vec<Choice> {
        match self.request.algorithm {
            Algorithm::Epvm => Run::new(self, &score::Epvm).choices(count),
            Algorithm::Spread => Run::new(self, &score::Spread).choices(count),
            Algorithm::Binpack => Run::new(self, &score::Binpack).choices(count),
            Algorithm::Greedy => Run::new(self, &score::Greedy).choices(count),
            Algorithm::RoundRobin => Run::new(self, &score::RoundRobin).choices(count),
        }
    }
}

impl<'a, S: Score> Run<'a, S> {
    fn new(ask: &'a Ask<'a>, score: &'a S) -> Self {
        let spread = ask.spread.clone().filter(|spread| !spread.own);
        let shared = ask.request.distinct.iter().any(|rule| !attributes::is_own(&rule.key));
        let mut run = Self {
            ask,
            score,
            limit: None,
            lanes: Vec::new(),
            lane_of: Vec::new(),
            seats: Vec::new(),
            spread,
            distinct: ask.distinct.clone(),
            alone: ask.request.ports.iter().any(|port| port.host.is_some()),
        };
        if run.spread.is_some() || shared {
            run.lane_of = vec![None; ask.world.classes.len()];
        } else {
            run.lanes.push(Lane {
                spread: None,
                distinct: Vec::new(),
                over: 0,
                open: true,
                heap: BinaryHeap::new(),
            });
        }
        run
    }

    fn choices(mut self, count: usize) -> Vec<Choice> {
        let mut choices = Vec::with_capacity(count.min(self.ask.world.index.len() * 16));
        while choices.len() < count {
            let mut best = self.head();
            while let Some(limit) = self.higher(best.map(|(rank, _)| rank)) {
                self.raise(limit);
                best = self.head();
            }
            let Some((rank, lane)) = best else { break };
            choices.push(Ask::choice(rank));
            self.take(lane);
        }
        choices
    }

    /// The best node of all lanes, and its lane.
    fn head(&self) -> Option<(Rank, usize)> {
        let mut best: Option<(&Entry, u32, usize)> = None;
        for (number, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| lane.open) {
            let Some(Reverse(entry)) = lane.heap.peek() else { continue };
            // avoided nodes come after all others, whatever their lanes
            let wins = best.is_none_or(|(other, over, _)| {
                (entry.avoided(), lane.over, entry) < (other.avoided(), over, other)
            });
            if wins {
                best = Some((entry, lane.over, number));
            }
        }
        best.map(|(entry, over, number)| (entry.rank(over), number))
    }

    /// The next limit, if chunks that are not open could have a better node.
    fn higher(&self, best: Option<Rank>) -> Option<u64> {
        let Some(limit) = self.limit else {
            // the first task goes where it would go alone; a little more room serves the next ones
            return Some(self.ask.best().map_or(u64::MAX, |rank| rank.cost.saturating_add(rank.cost / 8)));
        };
        if limit == u64::MAX {
            return None;
        }
        let over_least = self.spread.as_ref().map_or(0, SpreadState::over_least);
        match best.filter(|best| !best.avoided && best.over <= over_least) {
            Some(best) if best.cost <= limit => None,
            Some(best) => Some(best.cost.max(limit.saturating_add(limit / 8))),
            None => Some(limit.saturating_mul(2)),
        }
    }

    /// Raises the limit, and puts the nodes that fit of the chunks below it into their lanes.
    fn raise(&mut self, limit: u64) {
        let (ask, score) = (self.ask, self.score);
        let (before, dearest) = (self.limit.map(|limit| ask.dearest(limit)), ask.dearest(limit));
        ask.world.index.walk(
            self,
            |shape| score.weights(ask, shape),
            |_| score.most_rise(dearest),
            |run, cell| {
                for (number, bounds) in cell.bounds().iter().enumerate() {
                    let bound = score.bound(ask, bounds);
                    if bounds.have_room(ask.need)
                        && bound <= dearest
                        && before.is_none_or(|before| bound > before)
                    {
                        run.open(cell.chunk(number));
                    }
                }
            },
        );
        self.limit = Some(limit);
    }

    /// Puts the nodes of a chunk that fit into their lanes.
    fn open(&mut self, rows: &[Row]) {
        for row in rows {
            if !self.ask.fits(row) {
                continue;
            }
            let (siblings, preferred) = (self.ask.siblings_on(row.slot), self.ask.preference_points(row));
            let entry = entry(self.ask, self.score, row, siblings, preferred, At::Slot(row.slot));
            let lane = self.lane(row.class);
            self.lanes[lane].heap.push(Reverse(entry));
        }
    }

    /// The lane of a class, made if it is the first of its values.
    fn lane(&mut self, class: u32) -> usize {
        let Some(known) = self.lane_of.get(class as usize) else { return 0 };
        if let Some(lane) = known {
            return *lane as usize;
        }
        let attributes = &self.ask.world.classes[class as usize].attributes;
        let spread = self.spread.as_ref().and_then(|spread| spread.number_of(attributes));
        let shared = |rule: &Distinct| !attributes::is_own(&rule.key);
        let values =
            self.ask.request.distinct.iter().map(|rule| attributes.get(&rule.key).filter(|_| shared(rule)));
        let distinct: Vec<Option<&'a str>> = values.collect();
        let known = self.lanes.iter().position(|lane| lane.spread == spread && lane.distinct == distinct);
        let lane = known.unwrap_or_else(|| {
            self.lanes.push(Lane { spread, distinct, over: 0, open: true, heap: BinaryHeap::new() });
            self.tend(self.lanes.len() - 1);
            self.lanes.len() - 1
        });
        self.lane_of[class as usize] = Some(lane as u32);
        lane
    }

    /// Computes what a lane adds, and whether it is open.
    fn tend(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.over = self.spread.as_ref().map_or(0, |spread| spread.over_of_number(lane.spread));
        let rules = self.ask.request.distinct.iter().zip(&self.distinct).zip(&lane.distinct);
        lane.open = rules.into_iter().all(|((rule, counts), value)| {
            value.is_none_or(|value| counts.get(value).copied().unwrap_or(0) < rule.limit.max(1))
        });
    }

    /// Puts a task on the head of a lane.
    fn take(&mut self, number: usize) {
        let lane = &mut self.lanes[number];
        if let Some(head) = lane.heap.peek_mut() {
            if self.alone {
                PeekMut::pop(head);
            } else {
                Self::fill(self.ask, self.score, &mut self.seats, head);
            }
        }
        if self.lane_of.is_empty() || self.ask.request.group.is_none() {
            return;
        }
        if let (Some(state), Some(value)) = (&mut self.spread, lane.spread) {
            state.add(value);
        }
        for (counts, value) in self.distinct.iter_mut().zip(&lane.distinct) {
            if let Some(value) = value {
                *counts.entry(value).or_default() += 1;
            }
        }
        (0..self.lanes.len()).for_each(|lane| self.tend(lane));
    }

    /// Puts one more task on a node, and the node where it now belongs.
    fn fill(ask: &Ask<'_>, score: &S, seats: &mut Vec<Seat>, mut head: PeekMut<'_, Reverse<Entry>>) {
        let number = match head.0.at() {
            At::Seat(number) => number,
            At::Slot(slot) => {
                let Some(row) = ask.world.listed(slot) else { return };
                let (siblings, preferred) = (ask.siblings_on(slot), ask.preference_points(row));
                seats.push(Seat { row: *row, busy: ask.world.slot(slot).busy, siblings, preferred });
                seats.len() as u32 - 1
            }
        };
        let Seat { row, busy, siblings, preferred } = &mut seats[number as usize];
        for r in 0..3 {
            row.free[r] = row.free[r].saturating_sub(ask.need[r]);
            busy.weight[r] = busy.weight[r].saturating_add(ask.weight[r]);
        }
        row.price = busy.prices(ask.world.index.shapes()[row.shape as usize]);
        row.tasks += 1;
        *siblings += u32::from(ask.request.group.is_some());
        let own_limits = ask.request.distinct.iter().filter(|rule| attributes::is_own(&rule.key));
        let limit = own_limits.map(|rule| rule.limit.max(1)).chain(ask.request.max_per_node).min();
        let room = (0..3).all(|r| ask.need[r] == 0 || ask.need[r] <= row.free[r]);
        if !room || limit.is_some_and(|limit| *siblings >= limit) {
            PeekMut::pop(head);
            return;
        }
        head.0 = entry(ask, score, row, *siblings, *preferred, At::Seat(number));
    }
}

/// How good a node is, without what its lane adds.
fn entry<S: Score>(ask: &Ask<'_>, score: &S, row: &Row, siblings: u32, preferred: i64, at: At) -> Entry {
    let counted = if score.counts_tasks() { [siblings, row.tasks] } else { [0, 0] };
    let cost = cost::with_points(score.cost(ask, row), preferred + ask.sibling_points(counted[0]));
    Entry::new(ask, cost, counted, row.id, at)
}

/// Whether a placement changes what other nodes cost in a way that lanes do not follow.
pub(crate) fn one_by_one(request: &Request) -> bool {
    let own_group = |to: &Target| matches!(to, Target::Group(group) if Some(group) == request.group.as_ref());
    request.algorithm == Algorithm::RoundRobin
        || request.spread_over.as_ref().is_some_and(|rule| attributes::is_own(&rule.key))
        || request.preferences.iter().any(|preference| own_group(&preference.to))
}

/// A stand-in for a placement that is not made yet; never outlives the call that makes it.
fn stand_in(number: usize) -> PlacementId {
    let mut bytes = [0xff; 10];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PlacementId::from_raw(RawId::from_bytes(bytes))
}

/// Holds stand-ins for a while.
pub(crate) fn occupy(world: &mut World, request: &Request, number: usize, choice: Choice) {
    if let Some(slot) = world.number(choice.node) {
        world.occupy(slot, stand_in(number), request.resources, &request.ports, request.group.as_ref());
    }
}

/// Lets go of stand-ins, the last one first.
pub(crate) fn vacate(world: &mut World, request: &Request, choices: &[Choice]) {
    for (number, choice) in choices.iter().enumerate().rev() {
        if let Some(slot) = world.number(choice.node) {
            world.vacate(slot, stand_in(number), request.resources, request.group.as_ref());
        }
    }
}
