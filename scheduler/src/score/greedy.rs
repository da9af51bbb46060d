//! `greedy`: the first node that fits, in the order of ids. Every node costs the same.

use super::Score;
use crate::ask::Ask;
use crate::cost::ONE;
use crate::explain::Part;
use crate::index::{Bounds, Row};

pub(crate) struct Greedy;

impl Score for Greedy {
    fn cost(&self, _: &Ask<'_>, _: &Row) -> u64 {
        ONE
    }
    fn bound(&self, _: &Ask<'_>, _: &Bounds) -> u64 {
        ONE
    }
    fn parts(&self, _: &Ask<'_>, _: &Row) -> Vec<Part> {
        vec![Part {
            name: "order".into(),
            value: 1_000_000,
            text: "all nodes cost the same; the lowest id wins".to_owned(),
        }]
    }
    fn counts_tasks(&self) -> bool {
        false
    }
}
