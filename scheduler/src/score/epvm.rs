//! `epvm`: the smallest rise of the cluster's cost.
//!
//! The cost of a node is Σ 2^(6 u) over CPU, memory and disk, u being the used fraction. A task that adds
//! the fraction d costs the difference, Σ 2^(6 u) × (2^(6 d) − 1): *price* × *growth*. Prices stand in the
//! rows; growths are computed once per request and shape, so the inner loop is three multiplications.
//!
//! A machine counts by its size: the cost of a resource is weighted with its amount over the mean of all
//! nodes, so that a machine twice the size costs what two would.
//!
//! Source: Y. Amir, B. Awerbuch, A. Barak, R. S. Borgstrom, A. Keren, *An Opportunity Cost Approach for Job
//! Assignment in a Scalable Computing Cluster*, IEEE TPDS 11(7), 2000. What differs here: `README.md`.

use super::Score;
use crate::ask::Ask;
use crate::cost::{millionths, most_rise, of_rise};
use crate::explain::Part;
use crate::index::{Bounds, Prices, Row};

pub(crate) struct Epvm;

impl Score for Epvm {
    #[inline]
    fn cost(&self, ask: &Ask<'_>, row: &Row) -> u64 {
        let growth = ask.growth(row.shape);
        of_rise(growth.iter().zip(row.price).map(|(g, p)| u64::from(*g) * u64::from(p)).sum())
    }

    #[inline]
    fn weights(&self, ask: &Ask<'_>, shape: u32) -> [u32; 3] {
        ask.growth(shape)
    }

    #[inline]
    fn most_rise(&self, most: u64) -> u64 {
        most_rise(most)
    }

    #[inline]
    fn may_cost(&self, ask: &Ask<'_>, shape: u32, prices: &Prices, most: u64) -> bool {
        prices.may_rise(ask.growth(shape), most_rise(most))
    }

    #[inline]
    fn bound(&self, ask: &Ask<'_>, bounds: &Bounds) -> u64 {
        of_rise(bounds.rise(ask.growth(bounds.shape)))
    }

    fn parts(&self, ask: &Ask<'_>, row: &Row) -> Vec<Part> {
        let growth = ask.growth(row.shape);
        let part = |r: usize, name: &'static str| {
            let rise = u64::from(growth[r]) * u64::from(row.price[r]);
            let price = f64::from(row.price[r]) / f64::from(1 << 20);
            let text = format!(
                "price {price:.2} (1 empty, 64 full) × growth {:.6}",
                f64::from(growth[r]) / f64::from(1 << 20)
            );
            Part { name: name.into(), value: millionths(rise >> 8), text }
        };
        vec![part(0, "cpu"), part(1, "memory"), part(2, "disk")]
    }
}
