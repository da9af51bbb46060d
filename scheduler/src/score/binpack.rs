//! `binpack`: the fullest node that fits.
//!
//! Cost: 10^(free CPU) + 10^(free memory), the fractions that are free once the task is there, by
//! reservations: from 2 (full) to 20 (empty). It is Nomad's formula (`ScoreFitBinPack` in
//! `nomad/structs/funcs.go`), which scores 20 minus this.

use super::Score;
use crate::ask::Ask;
use crate::cost::{millionths, ten_to_the_free};
use crate::explain::Part;
use crate::index::{Amounts, Bounds, Row, pieces};

pub(crate) struct Binpack;

/// The two terms of a node of that shape with so much free.
fn terms(ask: &Ask<'_>, free: Amounts, shape: u32) -> [u64; 2] {
    let left = pieces(std::array::from_fn(|r| free[r].saturating_sub(ask.need[r])));
    let whole = ask.world.index.shapes()[shape as usize].0;
    std::array::from_fn(|r| u64::from(ten_to_the_free(left[r], whole[r])) << 12)
}

impl Score for Binpack {
    fn cost(&self, ask: &Ask<'_>, row: &Row) -> u64 {
        terms(ask, row.free, row.shape).iter().sum()
    }

    fn bound(&self, ask: &Ask<'_>, bounds: &Bounds) -> u64 {
        terms(ask, bounds.free_least, bounds.shape).iter().sum()
    }

    fn parts(&self, ask: &Ask<'_>, row: &Row) -> Vec<Part> {
        let [cpu, memory] = terms(ask, row.free, row.shape);
        let part = |name: &'static str, term| Part {
            name: name.into(),
            value: millionths(term),
            text: "10 to the power of the fraction left free (1 full, 10 empty)".to_owned(),
        };
        vec![part("cpu", cpu), part("memory", memory)]
    }
}
