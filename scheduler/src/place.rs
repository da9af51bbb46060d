//! The third step: the best node for one task, exactly.
//!
//! Cells are visited from the lowest bound up; within a cell a row's cost is computed first (three
//! multiplications), and only a row that would win is asked the filters. A cell whose bound is above the
//! best so far is not read. The choice is the same as that of a scan over all nodes.

use std::collections::BTreeMap;

use orca_api::id::NodeId;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Rank};
use crate::cost;
use crate::filter;

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
        let mut best: Option<Rank> = None;
        for (bounds, cell) in self.world.index.cells() {
            if best.is_some_and(|best| !best.avoided && self.bound(bounds) > best.cost) {
                continue;
            }
            for row in &cell.rows {
                let Some(candidate) = self.candidate(row) else { continue };
                let rank = self.rank(&candidate);
                if best.is_none_or(|best| rank < best) && self.first_failed(&candidate).is_none() {
                    best = Some(rank);
                }
            }
        }
        best
    }

    /// Why no node fits: every node under the first filter that it fails.
    pub(crate) fn refusal(&self) -> Refusal {
        struct Failed {
            nodes: u32,
            nearest: (u64, NodeId, u32),
        }
        let mut failed: BTreeMap<&'static str, Failed> = BTreeMap::new();
        let mut nodes = 0;
        for (id, slot) in &self.world.by_id {
            let Some(row) = self.world.row(*slot) else { continue };
            let Some(candidate) = self.candidate(&row) else { continue };
            nodes += 1;
            let of_node = filter::OF_NODE.iter().copied().find(|f| !f.passes(self, &candidate));
            let Some(first) = of_node.or_else(|| self.first_failed(&candidate)) else { continue };
            let nearest = (first.distance(self, &candidate), *id, *slot);
            let entry = failed.entry(first.name()).or_insert(Failed { nodes: 0, nearest });
            entry.nodes += 1;
            entry.nearest = entry.nearest.min(nearest);
        }
        let all = filter::OF_NODE.iter().chain(filter::OF_REQUEST);
        let mut counts: Vec<Count> = all
            .filter_map(|filter| {
                let found = failed.get(filter.name())?;
                let row = self.world.row(found.nearest.2)?;
                let candidate = self.candidate(&row)?;
                Some(Count {
                    filter: filter.name().to_owned(),
                    nodes: found.nodes,
                    example: filter.tell(self, &candidate).text,
                    example_node: found.nearest.1,
                })
            })
            .collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.nodes));
        Refusal { nodes, counts }
    }

    pub(crate) fn choice(rank: Rank) -> Choice {
        Choice { node: rank.id, cost: cost::millionths(rank.cost) }
    }
}
