//! The second step: what a node that fits costs; the cheapest wins.
//!
//! A score gives whole numbers in units of 2⁻³² and never zero, so that points (preferences, spread,
//! siblings) can double or halve it. Each has a file with its formula, its source and an example.

mod binpack;
mod epvm;
mod greedy;
mod round_robin;
mod spread;

use orca_api::spec::Algorithm;

pub(crate) use binpack::Binpack;
pub(crate) use epvm::Epvm;
pub(crate) use greedy::Greedy;
pub(crate) use round_robin::RoundRobin;
pub(crate) use spread::Spread;

use crate::ask::Ask;
use crate::explain::Part;
use crate::index::{Bounds, Prices, Row};

/// Says what a task costs on a node.
pub(crate) trait Score: Sync {
    /// The cost of the task on the node, at least 1, in units of 2⁻³².
    fn cost(&self, ask: &Ask<'_>, row: &Row) -> u64;
    /// What a node's prices count for where it is of this shape; nothing where the score does not look at prices.
    fn weights(&self, _ask: &Ask<'_>, _shape: u32) -> [u32; 3] {
        [0; 3]
    }
    /// The highest Σ weight × price of a node that costs at most so much.
    fn most_rise(&self, _most: u64) -> u64 {
        u64::MAX
    }
    /// Whether one of these rows of one shape can cost at most so much.
    fn may_cost(&self, _ask: &Ask<'_>, _shape: u32, _prices: &Prices, _most: u64) -> bool {
        true
    }
    /// No row of the set costs less.
    fn bound(&self, ask: &Ask<'_>, bounds: &Bounds) -> u64;
    /// What the cost is made of, for people.
    fn parts(&self, ask: &Ask<'_>, row: &Row) -> Vec<Part>;
    /// Whether siblings on a node make it dearer, and whether, of equal costs, fewer siblings and then fewer tasks win.
    fn counts_tasks(&self) -> bool {
        true
    }
    /// Whether, of equal costs, the next node after the cursor wins.
    fn goes_round(&self) -> bool {
        false
    }
}

/// The score of an algorithm.
pub(crate) fn of(algorithm: Algorithm) -> &'static dyn Score {
    match algorithm {
        Algorithm::Epvm => &Epvm,
        Algorithm::Spread => &Spread,
        Algorithm::Binpack => &Binpack,
        Algorithm::Greedy => &Greedy,
        Algorithm::RoundRobin => &RoundRobin,
    }
}
