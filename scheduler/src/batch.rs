//! Many equal tasks at once: the same choices as placing and holding them one after another, for the
//! price of one search.
//!
//! ```text
//!   chunks by bound ──► rows by rank, one heap for each lane ──► best of the lanes' heads ──┐
//!        ▲  a chunk is opened when its bound is not above that best                         │
//!        └──────────────── the node, one task fuller, goes back into its heap ◄─────────────┘
//! ```
//!
//! A *lane* holds the nodes that share what changes from outside when a task is placed elsewhere: the
//! value of the spread, and the values of `distinct` rules. Nothing outside the batch is changed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use orca_api::id::{PlacementId, RawId};
use orca_api::spec::Algorithm;

use crate::ask::{Ask, Rank};
use crate::attributes;
use crate::cost;
use crate::index::Row;
use crate::model::{Request, Target};
use crate::place::{Choice, Refusal};
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

/// A chunk to open: its bound, the cell and the chunk's number in it; `None` for a cell as a whole.
type Pending = Reverse<(u64, u32, Option<u32>)>;

/// A node in a lane's heap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    rank: Rank,
    /// Its row as it was; or its seat, once it has a task of this batch.
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Row { cell: u32, at: u32 },
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
    spread: Option<&'a str>,
    distinct: Vec<Option<&'a str>>,
    /// Doublings of its value of the spread.
    over: u64,
    /// No `distinct` rule is used up.
    open: bool,
    heap: BinaryHeap<Reverse<Entry>>,
}

struct Run<'a, S> {
    ask: &'a Ask<'a>,
    score: &'a S,
    pending: BinaryHeap<Pending>,
    lanes: Vec<Lane<'a>>,
    /// By class; empty where there is one lane.
    lane_of: Vec<Option<u32>>,
    seats: Vec<Seat>,
    spread: Option<SpreadState<'a>>,
    distinct: Vec<Counts<'a>>,
    /// Two of these tasks cannot share a node: they publish the same port.
    alone: bool,
}

impl<'a> Ask<'a> {
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
        let cells = ask.world.index.cells().iter().enumerate().filter(|(_, cell)| !cell.is_empty());
        let bound = |cell: &crate::index::Cell| ask.least(score.bound(ask, &cell.bounds));
        let spread = ask.spread.clone().filter(|spread| !spread.own);
        let shared = ask.request.distinct.iter().any(|rule| !attributes::is_own(&rule.key));
        let mut run = Self {
            ask,
            score,
            pending: cells.map(|(number, cell)| Reverse((bound(cell), number as u32, None))).collect(),
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
            run.lanes.push(Lane { spread: None, distinct: Vec::new(), over: 0, open: true, heap: BinaryHeap::new() });
        }
        run
    }

    fn choices(mut self, count: usize) -> Vec<Choice> {
        let mut choices = Vec::with_capacity(count.min(self.ask.world.index.len() * 16));
        while choices.len() < count {
            let mut best = self.head();
            while let Some(Reverse((bound, cell, chunk))) = self.pending.peek().copied() {
                if best.is_some_and(|(rank, _)| !rank.avoided && rank.cost < bound) {
                    break;
                }
                self.pending.pop();
                self.open(cell, chunk);
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
        let open = self.lanes.iter().enumerate().filter(|(_, lane)| lane.open);
        let heads = open.filter_map(|(number, lane)| {
            let Reverse(entry) = lane.heap.peek()?;
            Some((Rank { cost: cost::doubled(entry.rank.cost, lane.over), ..entry.rank }, number))
        });
        heads.min()
    }

    /// Lists a cell's chunks, or puts a chunk's nodes that fit into their lanes.
    fn open(&mut self, cell_number: u32, chunk: Option<u32>) {
        let cell = &self.ask.world.index.cells()[cell_number as usize];
        let Some(chunk) = chunk else {
            for (number, (bounds, _)) in cell.chunks().enumerate() {
                let bound = self.ask.least(self.score.bound(self.ask, bounds));
                self.pending.push(Reverse((bound, cell_number, Some(number as u32))));
            }
            return;
        };
        for (at, row) in cell.chunk(chunk as usize) {
            if !self.ask.fits(row) {
                continue;
            }
            let siblings = self.ask.siblings_on(row.slot);
            let rank = self.rank(row, siblings, self.ask.preference_points(row));
            let lane = self.lane(row.class);
            let at = At::Row { cell: cell_number, at: at as u32 };
            self.lanes[lane].heap.push(Reverse(Entry { rank, at }));
        }
    }

    /// How good a node is, without what its lane adds.
    fn rank(&self, row: &Row, siblings: u32, preferred: i64) -> Rank {
        let counts_tasks = self.score.counts_tasks();
        let siblings = if counts_tasks { siblings } else { 0 };
        let points = preferred + self.ask.sibling_points(siblings);
        Rank {
            avoided: self.ask.request.avoid.contains(&row.id),
            cost: cost::with_points(self.score.cost(self.ask, row), points),
            siblings,
            tasks: if counts_tasks { row.tasks } else { 0 },
            wrapped: false,
            id: row.id,
        }
    }

    /// The lane of a class, made if it is the first of its values.
    fn lane(&mut self, class: u32) -> usize {
        let Some(known) = self.lane_of.get(class as usize) else { return 0 };
        if let Some(lane) = known {
            return *lane as usize;
        }
        let attributes = &self.ask.world.classes[class as usize].attributes;
        let spread = self.spread.as_ref().map(|spread| spread.value_of(attributes));
        let values = self.ask.request.distinct.iter().map(|rule| match attributes::is_own(&rule.key) {
            true => None,
            false => attributes.get(&rule.key),
        });
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
        if let (Some(spread), Some(value)) = (&self.spread, lane.spread) {
            lane.over = spread.over_of_value(value);
        }
        let rules = self.ask.request.distinct.iter().zip(&self.distinct).zip(&lane.distinct);
        lane.open = rules.into_iter().all(|((rule, counts), value)| {
            value.is_none_or(|value| counts.get(value).copied().unwrap_or(0) < rule.limit.max(1))
        });
    }

    /// Puts a task on the head of a lane.
    fn take(&mut self, lane_number: usize) {
        let grouped = self.ask.request.group.is_some();
        let lane = &mut self.lanes[lane_number];
        let (spread, distinct) = (lane.spread, lane.distinct.clone());
        let Some(mut head) = lane.heap.peek_mut() else { return };
        let seat_number = match head.0.at {
            At::Seat(seat) => seat,
            At::Row { cell, at } => {
                let row = self.ask.world.index.cells()[cell as usize].row(at as usize);
                let siblings = self.ask.siblings_on(row.slot);
                let preferred = self.ask.preference_points(row);
                let busy = self.ask.world.slot(row.slot).busy;
                self.seats.push(Seat { row: *row, busy, siblings, preferred });
                self.seats.len() as u32 - 1
            }
        };
        let seat = &mut self.seats[seat_number as usize];
        for r in 0..3 {
            seat.row.free[r] = seat.row.free[r].saturating_sub(self.ask.need[r]);
            seat.busy.weight[r] = seat.busy.weight[r].saturating_add(self.ask.weight[r]);
        }
        seat.row.price = seat.busy.prices(self.ask.world.index.shapes()[seat.row.shape as usize]);
        seat.row.tasks += 1;
        seat.siblings += u32::from(grouped);
        let request = self.ask.request;
        let own_limits = request.distinct.iter().filter(|rule| attributes::is_own(&rule.key)).map(|r| r.limit.max(1));
        let limit = own_limits.chain(request.max_per_node).min();
        let room = (0..3).all(|r| self.ask.need[r] == 0 || self.ask.need[r] <= seat.row.free[r]);
        if room && !self.alone && limit.is_none_or(|limit| seat.siblings < limit) {
            let (row, siblings, preferred) = (seat.row, seat.siblings, seat.preferred);
            let points = preferred + if self.score.counts_tasks() { self.ask.sibling_points(siblings) } else { 0 };
            let rank = &mut head.0.rank;
            rank.cost = cost::with_points(self.score.cost(self.ask, &row), points);
            if self.score.counts_tasks() {
                (rank.siblings, rank.tasks) = (siblings, row.tasks);
            }
            head.0.at = At::Seat(seat_number);
            drop(head);
        } else {
            PeekMut::pop(head);
        }
        if grouped && !self.lane_of.is_empty() {
            if let (Some(state), Some(value)) = (&mut self.spread, spread) {
                state.add(value);
            }
            for (counts, value) in self.distinct.iter_mut().zip(distinct) {
                if let Some(value) = value {
                    *counts.entry(value).or_default() += 1;
                }
            }
            (0..self.lanes.len()).for_each(|lane| self.tend(lane));
        }
    }
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
    if let Some(slot) = world.by_id.get(&choice.node).copied() {
        world.occupy(slot, stand_in(number), request.resources, &request.ports, request.group.as_ref());
    }
}

/// Lets go of stand-ins, the last one first.
pub(crate) fn vacate(world: &mut World, request: &Request, choices: &[Choice]) {
    for (number, choice) in choices.iter().enumerate().rev() {
        if let Some(slot) = world.by_id.get(&choice.node).copied() {
            world.vacate(slot, stand_in(number), request.resources, request.group.as_ref());
        }
    }
}
