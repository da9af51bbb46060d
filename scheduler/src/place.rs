//! The third step: the best node for one task, exactly.
//!
//! The cells with the lowest prices are read first: they hold the best node, or one almost as good, unless
//! filters refuse it; then every cell and chunk whose bound is not above the best so far. Of a row the cost is computed
//! first (three multiplications), and only a row that could win is asked the filters. The choice is the same
//! as that of a scan over all nodes.

use orca_api::id::NodeId;
use orca_api::spec::Algorithm;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Candidate, Rank};
use crate::cost;
use crate::filter::{self, Filter};
use crate::index::{Cell, Row};
use crate::score::{self, Score};

/// Where a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The node.
    pub node: NodeId,
    /// What the task costs there, in millionths; comparable within one algorithm.
    pub cost: i64,
}

/// No node fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.text())]
pub struct Refusal {
    /// Nodes that are known.
    pub nodes: u32,
    /// How many nodes failed which filter first, most nodes first.
    pub counts: Vec<Count>,
}

/// Nodes that failed a filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The filter's name.
    pub filter: String,
    /// How many nodes failed it before any other.
    pub nodes: u32,
    /// What the filter says of the one that is nearest to passing.
    pub example: String,
    /// That node.
    pub example_node: NodeId,
}

impl Refusal {
    fn text(&self) -> String {
        if self.nodes == 0 {
            return "no node is known".to_owned();
        }
        let parts = self.counts.iter().map(|c| match c.nodes {
            1 => format!("1 node: {}", c.example),
            n => format!("{n} nodes: {} (nearest: {})", c.filter, c.example),
        });
        let nodes = if self.nodes == 1 { "the only node does not fit".to_owned() } else { format!("none of {} nodes fits", self.nodes) };
        format!("{nodes}: {}", parts.collect::<Vec<_>>().join("; "))
    }
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
        let mut best = None;
        self.world.index.search(
            &mut best,
            |best: &Option<Rank>, bounds| beaten(best.as_ref(), self.least(score.bound(self, bounds))),
            |best, _, cell| self.search(score, cell, best),
        );
        best
    }

    /// Looks for a better node in a cell.
    fn search<S: Score>(&self, score: &S, cell: &Cell, best: &mut Option<Rank>) {
        for (bounds, rows) in cell.chunks() {
            if !bounds.have_room(self.need) || beaten(best.as_ref(), self.least(score.bound(self, bounds))) {
                continue;
            }
            for row in rows {
                let cost = score.cost(self, row);
                if beaten(best.as_ref(), self.least(cost)) || !self.fits(row) {
                    continue;
                }
                let rank = self.rank(score, row, cost);
                if best.is_none_or(|best| rank < best) {
                    *best = Some(rank);
                }
            }
        }
    }

    /// Why no node fits: every node under the first filter that it fails.
    pub(crate) fn refusal(&self) -> Refusal {
        let mut tally = Tally::default();
        if self.reads_more {
            for row in self.world.index.rows() {
                tally.nodes += 1;
                let candidate = self.candidate(row);
                if let Some(number) = self.first_failed(&candidate) {
                    tally.count(filter::OF_NODE.len() + number, self.misses(number, &candidate), row);
                }
            }
        } else {
            self.tally_plain(&mut tally);
        }
        for slot in &self.world.closed {
            let row = self.world.row(*slot);
            let candidate = self.candidate(&row);
            tally.nodes += 1;
            if let Some(number) = filter::OF_NODE.iter().position(|f| !f.passes(self, &candidate)) {
                tally.count(number, 1, &row);
            }
        }
        Refusal { nodes: tally.nodes, counts: tally.counts(self) }
    }

    fn misses(&self, number: usize, candidate: &Candidate<'_>) -> u64 {
        filter::OF_REQUEST[number].misses(self, candidate).0
    }

    /// The same counts where the request's filters need nothing but rows: what fails by its class is judged once
    /// a class, and before that only the row's room is looked at.
    fn tally_plain(&self, tally: &mut Tally) {
        let mut by_class: Vec<Option<usize>> = vec![None; self.world.classes.len()];
        for row in self.world.index.rows() {
            tally.nodes += 1;
            if self.class_passes(row.class) {
                if !self.fits(row) {
                    let candidate = self.candidate(row);
                    if let Some(number) = self.first_failed(&candidate) {
                        tally.count(filter::OF_NODE.len() + number, self.misses(number, &candidate), row);
                    }
                }
                continue;
            }
            let class = &mut by_class[row.class as usize];
            if class.is_none() {
                *class = self.first_failed(&self.candidate(row));
            }
            if let Some(number) = *class {
                tally.count(filter::OF_NODE.len() + number, 1, row);
            }
        }
    }

    pub(crate) fn choice(rank: Rank) -> Choice {
        Choice { node: rank.id, cost: cost::millionths(rank.cost) }
    }
}

/// Whether nothing that costs at least so much can win. Equal costs can: something else decides then.
#[inline]
fn beaten(best: Option<&Rank>, bound: u64) -> bool {
    best.is_some_and(|best| !best.avoided && bound > best.cost)
}

/// Nodes by the first filter that they fail.
#[derive(Default)]
struct Tally {
    nodes: u32,
    /// By number: filters of the node, then filters of the request.
    failed: [Option<Failed>; filter::OF_NODE.len() + filter::OF_REQUEST.len()],
}

#[derive(Clone, Copy)]
struct Failed {
    nodes: u32,
    nearest: Nearest,
}

/// The node that misses least of what a filter wants, the lowest id of equals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Nearest {
    misses: u64,
    id: NodeId,
    slot: u32,
}

/// The beginning of an id, in its order.
fn head(id: NodeId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.raw().bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Tally {
    fn filter(number: usize) -> &'static dyn Filter {
        match number.checked_sub(filter::OF_NODE.len()) {
            None => filter::OF_NODE[number],
            Some(number) => filter::OF_REQUEST[number],
        }
    }

    #[inline]
    fn count(&mut self, number: usize, misses: u64, row: &Row) {
        let nearest = Nearest { misses, id: row.id, slot: row.slot };
        let failed = self.failed[number].get_or_insert(Failed { nodes: 0, nearest });
        failed.nodes += 1;
        // ids as numbers first: that is one comparison, and nearly always enough
        if (misses, head(nearest.id)) <= (failed.nearest.misses, head(failed.nearest.id)) {
            failed.nearest = failed.nearest.min(nearest);
        }
    }

    fn counts(&self, ask: &Ask<'_>) -> Vec<Count> {
        let mut counts: Vec<Count> = (0..self.failed.len())
            .filter_map(|number| {
                let failed = self.failed[number]?;
                let filter = Self::filter(number);
                let row = ask.world.row(failed.nearest.slot);
                let candidate = ask.candidate(&row);
                Some(Count {
                    filter: filter.name().to_owned(),
                    nodes: failed.nodes,
                    example: filter.tell(ask, &candidate).text,
                    example_node: failed.nearest.id,
                })
            })
            .collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.nodes));
        counts
    }
}
