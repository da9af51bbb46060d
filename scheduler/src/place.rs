//! The third step: the best node for one task, exactly.
//!
//! The cells with the lowest prices are read first: they hold the best node, or one almost as good, unless
//! filters refuse it; then every cell and chunk whose bound is not above the best so far. Of a row the cost is computed
//! first (three multiplications), and only a row that could win is asked the filters. The choice is the same
//! as that of a scan over all nodes.

use orca_api::id::NodeId;
use orca_api::spec::Algorithm;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Rank};
use crate::cost;
use crate::index::Cell;
use crate::score::{self, Score};

/// Where a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The node.
    pub node: NodeId,
    /// What the task costs there, in millionths; comparable within one algorithm.
    pub cost: i64,
}

/// The best node so far, and what another may cost at most before its points to be better.
struct Best {
    rank: Option<Rank>,
    ceiling: u64,
    /// The same as what the score's weights and prices may add up to.
    most_rise: u64,
}

impl Ask<'_> {
    /// The best node that fits.
    pub(crate) fn best(&self) -> Option<Rank> {
        match self.request.algorithm {
            Algorithm::Epvm => self.best_by(&score::Epvm),
            Algorithm::Spread => self.best_by(&score::Spread),
            Algorithm::Binpack => self.best_by(&score::Binpack),
            Algorithm::Greedy => self.best_by(&score::Greedy),
            Algorithm::RoundRobin => self.best_by(&score::RoundRobin),
        }
    }

    fn best_by<S: Score>(&self, score: &S) -> Option<Rank> {
        let mut best = Best { rank: None, ceiling: u64::MAX, most_rise: u64::MAX };
        self.world.index.walk(
            &mut best,
            |shape| score.weights(self, shape),
            |best| best.most_rise,
            |best, cell| self.search(score, cell, best),
        );
        best.rank
    }

    /// Looks for a better node in a cell.
    fn search<S: Score>(&self, score: &S, cell: &Cell, best: &mut Best) {
        for (number, bounds) in cell.bounds().iter().enumerate() {
            if !bounds.have_room(self.need) || score.bound(self, bounds) > best.ceiling {
                continue;
            }
            for (prices, rows) in cell.lanes(number) {
                if !score.may_cost(self, bounds.shape, prices, best.ceiling) {
                    continue;
                }
                for row in rows {
                    let cost = score.cost(self, row);
                    if cost > best.ceiling || !self.fits(row) {
                        continue;
                    }
                    let rank = self.rank(score, row, cost);
                    if best.rank.is_none_or(|best| rank < best) {
                        let ceiling = self.ceiling(&rank);
                        *best = Best { rank: Some(rank), ceiling, most_rise: score.most_rise(ceiling) };
                    }
                }
            }
        }
    }

    pub(crate) fn choice(rank: Rank) -> Choice {
        Choice { node: rank.id, cost: cost::millionths(rank.cost) }
    }
}
