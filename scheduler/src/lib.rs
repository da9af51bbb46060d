//! The choice: which node runs a task, and why.
//!
//! ```text
//!   nodes, loads ──► set_node, set_load, remove_node ─┐
//!   placements   ──► hold, release ───────────────────┤►  world: slots, groups, index
//!                                                     │
//!   a request    ──► place    ──►  filters ► scores ► the cheapest  ──►  Choice or Refusal
//!                    explain  ──►  the same, told          ──►  Explanation
//! ```
//!
//! [`Scheduler`] decides and never acts: [`Scheduler::place`] names a node, and the caller, once that is
//! durable, says [`Scheduler::hold`]. Decisions are exact, integer, and depend on nothing but what was told:
//! the same nodes, placements and request give the same answer in whatever order they came.
//!
//! This crate must never learn of clocks, randomness, files, sockets or threads. `README.md` beside it
//! explains the algorithm with pictures.

mod ask;
mod attributes;
mod batch;
mod cost;
#[cfg(test)]
mod example;
mod explain;
mod failures;
mod filter;
mod index;
mod model;
mod place;
mod preempt;
mod rebalance;
mod refusal;
mod score;
mod spread;
mod world;

use orca_api::id::{NodeId, PlacementId};
use orca_api::spec::Algorithm;

pub use batch::Batch;
pub use explain::{Explanation, FilterLine, NODES_LISTED, NodeView, Part};
pub use failures::{FAILURE_PAIRS_MAX, FAILURES_BAD, FAILURES_WINDOW_MS, Failures};
pub use model::{
    Distinct, Group, Held, KeepAway, Load, Node, Platform, Preference, Pressure, Request, Resources,
    SpreadOver, Target, UNRESERVED,
};
pub use place::Choice;
pub use preempt::{Preemption, Victim};
pub use rebalance::{Leaving, Movable, Move, RebalanceLimits};
pub use refusal::{Count, Refusal};

use ask::Ask;
pub use world::Summary;
use world::World;

/// Bytes that filters and scores read of a node: its row, its prices in columns, its class apart, and its part of a
/// chunk's bounds.
pub const HOT_BYTES_PER_NODE: usize = size_of::<index::Row>()
    + size_of::<index::Prices>() / index::LANES
    + size_of::<u32>()
    + size_of::<index::Bounds>().div_ceil(index::CHUNK);

/// Knows the cluster as it was told, and chooses nodes.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    world: World,
    cursor: Option<NodeId>,
}

impl Scheduler {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A node is new, or anything about it changed.
    pub fn set_node(&mut self, node: Node) {
        self.world.set_node(node);
    }

    /// A node measured its load. Unknown nodes are ignored.
    pub fn set_load(&mut self, node: NodeId, load: Load) {
        self.world.set_load(node, load);
    }

    /// A node is gone for good. What is held on it stays held until it is released.
    pub fn remove_node(&mut self, node: NodeId) {
        self.world.remove_node(node);
    }

    /// What is known of a node.
    pub fn node(&self, node: NodeId) -> Option<&Node> {
        self.world.node(node)
    }

    /// A placement was made: it takes room. One with the same id is replaced.
    pub fn hold(&mut self, held: Held) {
        self.world.hold(held);
    }

    /// A placement ended: its room is free. Returns what was held.
    pub fn release(&mut self, placement: PlacementId) -> Option<Held> {
        self.world.release(placement)
    }

    /// What is held under a placement's id.
    pub fn held(&self, placement: PlacementId) -> Option<&Held> {
        self.world.held.get(&placement)
    }

    /// What is reserved on a node, in all; `None` where the node is not known.
    pub fn reserved(&self, node: NodeId) -> Option<Resources> {
        self.world.reserved(node)
    }

    /// What the index knows of each node, in the order of ids: equal for equal contents, however they came to be.
    pub fn summary(&self) -> Vec<Summary> {
        self.world.summary()
    }

    /// The node for a task, or why there is none. Nothing is held; the round-robin cursor moves on.
    pub fn place(&mut self, request: &Request) -> Result<Choice, Refusal> {
        let ask = Ask::new(&self.world, request, self.cursor);
        let Some(rank) = ask.best() else {
            return Err(ask.refusal());
        };
        if request.algorithm == Algorithm::RoundRobin {
            self.cursor = Some(rank.id);
        }
        Ok(Ask::choice(rank))
    }

    /// The nodes of `count` equal tasks: what placing and holding them one after another would choose, in one
    /// search. Nothing is held; the round-robin cursor moves on.
    pub fn place_many(&mut self, request: &Request, count: usize) -> Batch {
        let before = self.cursor;
        let mut choices = Vec::new();
        if batch::one_by_one(request) {
            while choices.len() < count {
                let Ok(choice) = self.place(request) else { break };
                batch::occupy(&mut self.world, request, choices.len(), choice);
                choices.push(choice);
            }
            batch::vacate(&mut self.world, request, &choices);
        } else {
            choices = Ask::new(&self.world, request, before).many(count);
        }
        let refusal = (choices.len() < count).then(|| {
            for (number, choice) in choices.iter().enumerate() {
                batch::occupy(&mut self.world, request, number, *choice);
            }
            let refusal = Ask::new(&self.world, request, self.cursor).refusal();
            batch::vacate(&mut self.world, request, &choices);
            refusal
        });
        Batch { choices, refusal }
    }

    /// Why [`Self::place`] would choose what it would choose now; lists at most [`NODES_LISTED`] nodes.
    pub fn explain(&self, request: &Request) -> Explanation {
        self.explain_listing(request, NODES_LISTED)
    }

    /// The same with at most so many nodes listed; all of them are counted.
    pub fn explain_listing(&self, request: &Request, nodes_max: usize) -> Explanation {
        Ask::new(&self.world, request, self.cursor).explain(nodes_max)
    }

    /// The cheapest set of tasks of lower priority whose end makes the request fit; `None` where no such set helps,
    /// or it fits as it is. Nothing ends by this.
    pub fn preempt(&self, request: &Request) -> Option<Preemption> {
        let ask = Ask::new(&self.world, request, self.cursor);
        if ask.best().is_some() { None } else { ask.preemption() }
    }

    /// Moves that make the cluster cheaper, each with its gain, each better than none after the ones before it.
    /// Only these placements move, each at most once. Nothing moves by this.
    pub fn rebalance(&mut self, movable: &[Movable], limits: RebalanceLimits) -> Vec<Move> {
        rebalance::rebalance(&mut self.world, movable, limits, self.cursor)
    }

    /// Where these placements go when they leave a node, in the order in which they should, and what blocks the
    /// ones that cannot. Nothing moves by this.
    pub fn drain(&mut self, node: NodeId, movable: &[Movable]) -> Vec<Leaving> {
        rebalance::drain(&mut self.world, node, movable, self.cursor)
    }

    /// The node that `round_robin` chose last: durable state, kept by the caller.
    pub fn cursor(&self) -> Option<NodeId> {
        self.cursor
    }

    /// Sets the cursor, after a load.
    pub fn set_cursor(&mut self, cursor: Option<NodeId>) {
        self.cursor = cursor;
    }
}
