//! `round_robin`: the next node after the last one chosen, in the order of ids. Every node costs the same.

use super::Score;
use crate::ask::Ask;
use crate::cost::ONE;
use crate::explain::Part;
use crate::index::{Bounds, Row};

pub(crate) struct RoundRobin;

impl Score for RoundRobin {
    fn cost(&self, _: &Ask<'_>, _: &Row) -> u64 {
        ONE
    }
    fn bound(&self, _: &Ask<'_>, _: &Bounds) -> u64 {
        ONE
    }
    fn parts(&self, ask: &Ask<'_>, _: &Row) -> Vec<Part> {
        let after = ask.cursor.map_or_else(|| "the beginning".to_owned(), |id| id.to_string());
        vec![Part {
            name: "order".into(),
            value: 1_000_000,
            text: format!("all nodes cost the same; the next after {after} wins"),
        }]
    }
    fn counts_tasks(&self) -> bool {
        false
    }
    fn goes_round(&self) -> bool {
        true
    }
}
