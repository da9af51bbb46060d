//! `spread`: fewest tasks. What SwarmKit does, without its preference trees.
//!
//! Cost: tasks on the node, plus the one to place.

use super::{ONE, Score};
use crate::ask::Ask;
use crate::cost::millionths;
use crate::explain::Part;
use crate::index::{Bounds, Row};

pub(super) struct Spread;

/// Costs stay below 2⁶² whatever the count.
fn cost(tasks: u32) -> u64 {
    (u64::from(tasks) + 1).min(1 << 22) * ONE
}

impl Score for Spread {
    fn cost(&self, _: &Ask<'_>, row: &Row) -> u64 {
        cost(row.tasks)
    }

    fn bound(&self, _: &Ask<'_>, bounds: &Bounds) -> u64 {
        cost(bounds.low_tasks)
    }

    fn parts(&self, _: &Ask<'_>, row: &Row) -> Vec<Part> {
        vec![Part {
            name: "tasks".into(),
            value: millionths(cost(row.tasks)),
            text: format!("{} tasks here, and this one", row.tasks),
        }]
    }
}
