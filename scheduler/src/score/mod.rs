//! The second step: what a node that fits costs; the cheapest wins.
//!
//! A score gives whole numbers in units of 2⁻⁴⁰ and never zero, so that points (preferences, spread,
//! siblings) can double or halve it. Each has a file with its formula, its source and an example.

mod binpack;
mod epvm;
mod greedy;
mod round_robin;
mod spread;

use orca_api::spec::Algorithm;

use crate::ask::Ask;
use crate::explain::Part;
use crate::index::{Bounds, Row};

/// 1.0 as a cost.
pub(crate) const ONE: u64 = 1 << 40;

/// Says what a task costs on a node.
pub(crate) trait Score: Sync {
    /// The cost of the task on the node, at least 1, in units of 2⁻⁴⁰.
    fn cost(&self, ask: &Ask<'_>, row: &Row) -> u64;
    /// No row of the cell costs less.
    fn bound(&self, ask: &Ask<'_>, bounds: &Bounds) -> u64;
    /// What the cost is made of, for people.
    fn parts(&self, ask: &Ask<'_>, row: &Row) -> Vec<Part>;
    /// Whether siblings on a node make it dearer.
    fn keeps_away(&self) -> bool {
        true
    }
    /// Whether, of equal costs, fewer siblings and then fewer tasks win.
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
        Algorithm::Epvm => &epvm::Epvm,
        Algorithm::Spread => &spread::Spread,
        Algorithm::Binpack => &binpack::Binpack,
        Algorithm::Greedy => &greedy::Greedy,
        Algorithm::RoundRobin => &round_robin::RoundRobin,
    }
}
