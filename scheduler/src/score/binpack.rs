//! `binpack`: the fullest node that fits.
//!
//! Cost: 10^(free CPU) + 10^(free memory), the fractions that are free once the task is there, by
//! reservations: from 2 (full) to 20 (empty). It is Nomad's formula (`ScoreFitBinPack` in
//! `nomad/structs/funcs.go`), which scores 20 minus this.

use super::Score;
use crate::ask::Ask;
use crate::cost::{ONE, millionths, ten_to_the_free};
use crate::explain::Part;
use crate::index::{Bounds, Row, pieces};

pub(crate) struct Binpack;

fn terms(ask: &Ask<'_>, row: &Row) -> [u64; 2] {
    let left = pieces(std::array::from_fn(|r| row.free[r].saturating_sub(ask.need[r])));
    let whole = ask.world.index.shapes()[row.shape as usize].0;
    std::array::from_fn(|r| u64::from(ten_to_the_free(left[r], whole[r])) << 12)
}

impl Score for Binpack {
    fn cost(&self, ask: &Ask<'_>, row: &Row) -> u64 {
        terms(ask, row).iter().sum()
    }

    /// What a full node costs: cells say nothing of what is free, so all are looked at.
    fn bound(&self, _: &Ask<'_>, _: &Bounds) -> u64 {
        2 * ONE
    }

    fn parts(&self, ask: &Ask<'_>, row: &Row) -> Vec<Part> {
        let [cpu, memory] = terms(ask, row);
        let part = |name: &'static str, term| Part {
            name: name.into(),
            value: millionths(term),
            text: "10 to the power of the fraction left free (1 full, 10 empty)".to_owned(),
        };
        vec![part("cpu", cpu), part("memory", memory)]
    }
}
