//! `spread`: fewest tasks. What SwarmKit does, without its preference trees.
//!
//! Cost: tasks on the node, plus the one to place.

use super::Score;
use crate::ask::Ask;
use crate::cost::{ONE, millionths};
use crate::explain::Part;
use crate::index::{Bounds, Row};

pub(crate) struct Spread;

/// Costs stay below 2⁴⁷: a node has fewer than 32,768 tasks, or they count as so many.
fn cost(tasks: u32) -> u64 {
    (u64::from(tasks) + 1).min(1 << 15) * ONE
}

impl Score for Spread {
    fn cost(&self, _: &Ask<'_>, row: &Row) -> u64 {
        cost(row.tasks)
    }

    fn bound(&self, _: &Ask<'_>, bounds: &Bounds) -> u64 {
        cost(bounds.tasks)
    }

    fn parts(&self, _: &Ask<'_>, row: &Row) -> Vec<Part> {
        vec![Part {
            name: "tasks".into(),
            value: millionths(cost(row.tasks)),
            text: format!("{} tasks here, and this one", row.tasks),
        }]
    }
}
