//! Preemption: the cheapest set of tasks of lower priority whose end makes room for one that fits nowhere.
//!
//! A task's end costs `1000 × (priority + 1)` plus the larger of its shares of the node's CPU and memory in
//! per mille: few tasks rather than many, low ones rather than high ones, small ones rather than big ones.
//! For each node that only lacks room or ports, the cheapest set is searched; the cheapest node wins, and of
//! equals the one where the task then costs least, then the lowest id.
//!
//! The search over sets is exact, up to [`STEPS_MAX`] steps a node; beyond that (a node with very many small
//! tasks) it is the best set seen.

use orca_api::id::{NodeId, PlacementId, TaskId};
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Candidate};
use crate::filter::{self, ROOM};
use crate::index::{Amounts, amounts};
use crate::model::Held;

/// Steps of the search over the tasks of one node.
const STEPS_MAX: u32 = 20_000;

/// Which tasks would have to end, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preemption {
    /// The node that would then fit.
    pub node: NodeId,
    /// What would end, the lowest priority first.
    pub victims: Vec<Victim>,
    /// What their end costs; see the module's words in `README.md`.
    pub cost: u64,
    /// The same as a sentence.
    pub text: String,
}

/// A task that would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Victim {
    /// Its priority.
    pub priority: u8,
    /// Its placement.
    pub placement: PlacementId,
    /// It.
    pub task: TaskId,
}

/// A task that may end.
struct Lower<'a> {
    held: &'a Held,
    frees: Amounts,
    cost: u64,
}

impl<'a> Ask<'a> {
    /// The cheapest preemption that makes the request fit; `None` where there is none.
    pub(crate) fn preemption(&self) -> Option<Preemption> {
        let mut best: Option<(u64, crate::ask::Rank, Vec<&Held>)> = None;
        for row in self.world.index.rows() {
            let candidate = self.candidate(row);
            if !self.lacks_room_only(&candidate) {
                continue;
            }
            let limit = best.as_ref().map(|(cost, ..)| *cost);
            let Some((cost, victims)) = self.victims(&candidate, limit) else { continue };
            let rank = self.rank_of(row);
            if best.as_ref().is_none_or(|(least, other, _)| (cost, rank) < (*least, *other)) {
                best = Some((cost, rank, victims));
            }
        }
        let (cost, rank, held) = best?;
        let victim =
            |held: &&Held| Victim { priority: held.priority, placement: held.placement, task: held.task };
        let mut victims: Vec<Victim> = held.iter().map(victim).collect();
        victims.sort_unstable();
        let name = self.world.node(rank.id).map_or("", |node| node.name.as_str());
        let list: Vec<String> =
            victims.iter().map(|v| format!("{} (priority {})", v.task, v.priority)).collect();
        let count = if victims.len() == 1 { "1 task".to_owned() } else { format!("{} tasks", victims.len()) };
        let text = format!(
            "priority {} fits on {name} when {count} of lower priority end: {}",
            self.request.priority,
            list.join(", ")
        );
        Some(Preemption { node: rank.id, victims, cost, text })
    }

    /// Whether every filter that ending tasks cannot help passes.
    fn lacks_room_only(&self, candidate: &Candidate<'_>) -> bool {
        let helped = |number: usize| ROOM.contains(&number) || number == filter::PORTS;
        let wanted = filter::OF_REQUEST.iter().enumerate().filter(|(_, f)| f.wanted(self.request));
        wanted.into_iter().all(|(number, f)| helped(number) || f.passes(self, candidate))
    }

    /// The cheapest set on one node, if it costs at most `limit`.
    fn victims(&self, candidate: &Candidate<'_>, limit: Option<u64>) -> Option<(u64, Vec<&'a Held>)> {
        let world = self.world;
        let whole = amounts(candidate.node().allocatable());
        let mut lacking: Amounts = std::array::from_fn(|r| match self.need[r] {
            0 => 0,
            need => need.saturating_sub(candidate.row.free[r]),
        });
        let (mut cost, mut chosen, mut rest) = (0, Vec::new(), Vec::new());
        for held in candidate.slot.held.iter().filter_map(|placement| world.held.get(placement)) {
            let in_the_way =
                held.ports.iter().any(|port| self.request.ports.iter().any(|want| want.clashes(port)));
            if held.priority >= self.request.priority {
                if in_the_way {
                    return None;
                }
                continue;
            }
            let frees = amounts(held.resources);
            let share = (0..2).map(|r| (frees[r] * 1000).checked_div(whole[r]).unwrap_or(0).min(999)).max();
            let lower =
                Lower { held, frees, cost: 1000 * (u64::from(held.priority) + 1) + share.unwrap_or(0) };
            if in_the_way {
                lacking = std::array::from_fn(|r| lacking[r].saturating_sub(frees[r]));
                cost += lower.cost;
                chosen.push(held);
            } else if (0..3).any(|r| frees[r] > 0) {
                rest.push(lower);
            }
        }
        rest.sort_unstable_by_key(|lower| (lower.cost, lower.held.placement));
        let mut search = Search::new(&rest, limit.map_or(u64::MAX, |limit| limit.saturating_sub(cost)));
        if limit.is_some_and(|limit| cost > limit) {
            return None;
        }
        search.extend(0, 0, lacking);
        let found = search.best?;
        chosen.extend(found.iter().map(|number| rest[*number].held));
        // of an empty set the node would fit as it is, and nobody would ask
        (!chosen.is_empty()).then_some((cost + search.cost_max, chosen))
    }
}

/// Depth-first search over sets of tasks that free what is lacking.
struct Search<'a> {
    from: &'a [Lower<'a>],
    /// What all tasks from each number on free together.
    tails: Vec<Amounts>,
    /// Sets that cost more are of no use.
    cost_max: u64,
    set: Vec<usize>,
    best: Option<Vec<usize>>,
    steps: u32,
}

impl<'a> Search<'a> {
    fn new(from: &'a [Lower<'a>], cost_max: u64) -> Self {
        let mut tails = vec![[0; 3]; from.len() + 1];
        for number in (0..from.len()).rev() {
            tails[number] = std::array::from_fn(|r| tails[number + 1][r] + from[number].frees[r]);
        }
        Self { from, tails, cost_max, set: Vec::new(), best: None, steps: 0 }
    }

    fn extend(&mut self, next: usize, cost: u64, lacking: Amounts) {
        if lacking == [0; 3] {
            if cost < self.cost_max || (self.best.is_none() && cost == self.cost_max) {
                self.cost_max = cost;
                self.best = Some(self.set.clone());
            }
            return;
        }
        let enough = |tail: Amounts| (0..3).all(|r| lacking[r] <= tail[r]);
        for number in next..self.from.len() {
            let lower = &self.from[number];
            self.steps += 1;
            // costs rise with the number, so no later one is cheaper either
            let beaten = cost + lower.cost > self.cost_max
                || (self.best.is_some() && cost + lower.cost == self.cost_max);
            if beaten || !enough(self.tails[number]) || self.steps > STEPS_MAX {
                return;
            }
            if (0..3).all(|r| lacking[r] == 0 || lower.frees[r] == 0) {
                continue;
            }
            self.set.push(number);
            self.extend(
                number + 1,
                cost + lower.cost,
                std::array::from_fn(|r| lacking[r].saturating_sub(lower.frees[r])),
            );
            self.set.pop();
        }
    }
}
