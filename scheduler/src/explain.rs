//! Why: the table of nodes and filters behind a choice or a refusal, from the filters and scores that decided.

use std::borrow::Cow;

use orca_api::id::NodeId;
use orca_api::name::Name;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Candidate, Rank};
use crate::cost;
use crate::filter::{self, Filter};
use crate::place::Choice;
use crate::refusal::Count;
use crate::score;

/// Nodes that an explanation lists where the caller does not say how many.
pub const NODES_LISTED: usize = 100;

/// Everything there is to say about one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Where the task would go now.
    pub chosen: Option<Choice>,
    /// The verdict, as one sentence.
    pub text: String,
    /// Nodes that are known.
    pub nodes_total: u32,
    /// Nodes that fit.
    pub nodes_fit: u32,
    /// The nodes: those that fit from the cheapest, then the others from the nearest to fitting.
    pub nodes: Vec<NodeView>,
    /// How many nodes failed which filter first, most nodes first.
    pub counts: Vec<Count>,
    /// The smallest changes that would make it fit; empty where it fits.
    pub suggestions: Vec<String>,
}

/// One node in an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: Name,
    /// Whether the task can run there.
    pub fits: bool,
    /// Whether it is the one.
    pub chosen: bool,
    /// Every filter that had something to decide.
    pub filters: Vec<FilterLine>,
    /// What the task costs there in millionths, points included; `None` where it does not fit.
    pub score: Option<i64>,
    /// What the cost is made of.
    pub parts: Vec<Part>,
}

/// One filter on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterLine {
    /// The filter's name.
    pub name: String,
    /// Whether the node passes.
    pub ok: bool,
    /// The figures as a sentence: `memory: needs 512 MiB, 300 MiB free (short by 212 MiB)`.
    pub text: String,
    /// What is needed, where it is an amount.
    pub needed: Option<String>,
    /// What is free.
    pub free: Option<String>,
    /// What is missing.
    pub short_by: Option<String>,
}

/// A part of a cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: Cow<'static, str>,
    /// In millionths for a part of the sum, in points for what multiplies it (50 points double), as a count for what comes before cost.
    pub value: i64,
    /// The formula with its figures.
    pub text: String,
}

/// Where a node stands in the list: the ones that fit by rank, the others by what they miss.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Fits(Rank),
    Misses { filters: usize, distance: u64, id: NodeId },
}

/// How much of what is needed is missing, in millionths.
fn distance((missing, of): (u64, u64)) -> u64 {
    (u128::from(missing) * 1_000_000 / u128::from(of.max(1))) as u64
}

impl Ask<'_> {
    fn wanted(&self) -> impl Iterator<Item = &'static dyn Filter> {
        let of_request = filter::OF_REQUEST.iter().filter(|f| f.wanted(self.request));
        filter::OF_NODE.iter().chain(of_request).copied()
    }

    fn standing(&self, candidate: &Candidate<'_>) -> Standing {
        let failed = self.wanted().filter(|f| !f.passes(self, candidate));
        let (filters, distance) = failed
            .fold((0, 0u64), |(n, sum), f| (n + 1, sum.saturating_add(distance(f.misses(self, candidate)))));
        match filters {
            0 => Standing::Fits(self.rank_of(candidate.row)),
            _ => Standing::Misses { filters, distance, id: candidate.row.id },
        }
    }

    /// The whole explanation, with at most so many nodes listed.
    pub(crate) fn explain(&self, nodes_max: usize) -> Explanation {
        let mut standings: Vec<(Standing, u32)> = Vec::new();
        for slot in self.world.numbers() {
            let row = self.world.row(slot);
            standings.push((self.standing(&self.candidate(&row)), slot));
        }
        standings.sort_unstable();
        let chosen = match standings.first() {
            Some((Standing::Fits(rank), _)) => Some(Self::choice(*rank)),
            _ => None,
        };
        let fit = standings.iter().take_while(|(s, _)| matches!(s, Standing::Fits(_))).count();
        let refusal = self.refusal();
        let listed = standings.iter().take(nodes_max);
        let nodes = listed.map(|(standing, slot)| self.view(*standing, *slot, chosen)).collect();
        let name = |id: NodeId| self.world.node(id).map(|node| node.name.as_str()).unwrap_or_default();
        let text = match &chosen {
            Some(choice) => {
                format!(
                    "{fit} of {} nodes fit; {} is the best by {}",
                    standings.len(),
                    name(choice.node),
                    self.request.algorithm.as_str()
                )
            }
            None => refusal.to_string(),
        };
        let suggestions = if fit == 0 { self.suggestions(&standings) } else { Vec::new() };
        Explanation {
            chosen,
            text,
            nodes_total: standings.len() as u32,
            nodes_fit: fit as u32,
            nodes,
            counts: refusal.counts,
            suggestions,
        }
    }

    fn view(&self, standing: Standing, slot: u32, chosen: Option<Choice>) -> NodeView {
        let row = self.world.row(slot);
        let candidate = self.candidate(&row);
        let filters = self.wanted().map(|filter| {
            let told = filter.tell(self, &candidate);
            FilterLine {
                name: filter.name().to_owned(),
                ok: filter.passes(self, &candidate),
                text: told.text,
                needed: told.needed,
                free: told.free,
                short_by: told.short_by,
            }
        });
        let (fits, score, parts) = match standing {
            Standing::Fits(rank) => (true, Some(cost::millionths(rank.cost)), self.parts(&candidate, rank)),
            Standing::Misses { .. } => (false, None, Vec::new()),
        };
        NodeView {
            id: row.id,
            name: candidate.node().name.clone(),
            fits,
            chosen: chosen.is_some_and(|choice| choice.node == row.id),
            filters: filters.collect(),
            score,
            parts,
        }
    }

    fn parts(&self, candidate: &Candidate<'_>, rank: Rank) -> Vec<Part> {
        let row = candidate.row;
        let mut parts = score::of(self.request.algorithm).parts(self, row);
        let mut points = |name: &'static str, value: i64, what: &str| {
            if value != 0 {
                parts.push(Part {
                    name: name.into(),
                    value,
                    text: format!("{what}: {value:+} points (50 double the cost, -50 halve it)"),
                });
            }
        };
        points("preferences", self.preference_points(row), "towards (-) or away (+)");
        points("keep_away", self.sibling_points(rank.siblings), "siblings on this node");
        if rank.over > 0 {
            let text = "tasks over its share of the spread: nodes with fewer come first, whatever they cost"
                .to_owned();
            parts.push(Part { name: "spread_over".into(), value: rank.over.into(), text });
        }
        if rank.avoided {
            let text = "the task failed here again and again: only if no other node fits".to_owned();
            parts.push(Part { name: "avoid".into(), value: 1, text });
        }
        parts
    }

    /// What would have to change on the nearest nodes: for each set of filters in the way, the nearest node's remedies.
    fn suggestions(&self, standings: &[(Standing, u32)]) -> Vec<String> {
        /// More than this nobody reads.
        const SUGGESTIONS_MAX: usize = 5;
        let mut seen: Vec<Vec<&'static str>> = Vec::new();
        let mut suggestions = Vec::new();
        for (_, slot) in standings {
            let row = self.world.row(*slot);
            let candidate = self.candidate(&row);
            let failed: Vec<&dyn Filter> = self.wanted().filter(|f| !f.passes(self, &candidate)).collect();
            let names: Vec<&'static str> = failed.iter().map(|f| f.name()).collect();
            if seen.iter().any(|earlier| earlier.iter().all(|name| names.contains(name))) {
                continue;
            }
            let remedies: Vec<String> = failed.iter().map(|f| f.remedy(self, &candidate)).collect();
            suggestions.push(remedies.join("; and "));
            seen.push(names);
            if suggestions.len() == SUGGESTIONS_MAX {
                break;
            }
        }
        if standings.is_empty() {
            suggestions.push("add a node".to_owned());
        }
        suggestions
    }
}
