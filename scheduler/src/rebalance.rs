//! Rebalance and drain: what to move, in which order, and what it gains.
//!
//! Both try each move on the world itself, with the filters and scores that place, and undo all of it at
//! the end. A move is planned only if the task costs less where it goes than where it is, with every
//! earlier move done and none of the later ones: whoever stops after any number of moves is better off.

use orca_api::id::{NodeId, PlacementId};
use serde::{Deserialize, Serialize};

use crate::ask::Ask;
use crate::cost;
use crate::index::amounts;
use crate::model::{Held, Request};
use crate::place::Choice;
use crate::refusal::Refusal;
use crate::world::World;

/// A placement and what its task asks for, which decides where it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movable {
    /// The placement.
    pub placement: PlacementId,
    /// What its task asks for.
    pub request: Request,
}

/// How far a rebalance goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceLimits {
    /// At most so many moves.
    pub moves_max: usize,
    /// A move that saves less of the task's cost is not worth it: per cent, 1–99.
    pub gain_percent_min: u8,
}

impl Default for RebalanceLimits {
    /// Ten moves, each of which halves the task's cost.
    fn default() -> Self {
        Self { moves_max: 10, gain_percent_min: 50 }
    }
}

/// One move of a rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// What moves.
    pub placement: PlacementId,
    /// Where it is.
    pub from: NodeId,
    /// Where it goes.
    pub to: NodeId,
    /// What it costs where it is, in millionths.
    pub cost_before: i64,
    /// What it costs where it goes.
    pub cost_after: i64,
}

impl Move {
    /// What the move saves, in millionths; more than zero.
    pub const fn gain(&self) -> i64 {
        self.cost_before - self.cost_after
    }
}

/// One task that a drain moves off a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// What leaves.
    pub placement: PlacementId,
    /// Where it goes, once those before it are there; or what blocks it.
    pub to: Result<Choice, Refusal>,
}

/// Moves that were tried, to be undone from the last.
struct Trial<'a> {
    world: &'a mut World,
    done: Vec<(Held, NodeId)>,
}

impl Trial<'_> {
    fn occupy(&mut self, held: &Held, node: NodeId) {
        if let Some(number) = self.world.number(node) {
            self.world.occupy(number, held.placement, held.resources, &held.ports, held.group.as_ref());
        }
    }

    fn vacate(&mut self, held: &Held, node: NodeId) {
        if let Some(number) = self.world.number(node) {
            self.world.vacate(number, held.placement, held.resources, held.group.as_ref());
        }
    }

    fn undo(mut self) {
        while let Some((held, to)) = self.done.pop() {
            self.vacate(&held, to);
            self.occupy(&held, held.node);
        }
    }
}

/// Moves off crowded nodes, the hottest first.
pub(crate) fn rebalance(
    world: &mut World,
    movable: &[Movable],
    limits: RebalanceLimits,
    cursor: Option<NodeId>,
) -> Vec<Move> {
    let mut trial = Trial { world, done: Vec::new() };
    let mut moves: Vec<Move> = Vec::new();
    let mut waiting: Vec<(&Movable, Held)> = movable
        .iter()
        .filter_map(|movable| Some((movable, trial.world.held.get(&movable.placement)?.clone())))
        .collect();
    while moves.len() < limits.moves_max {
        // the hottest node first: there a move gains most, and prices have changed since the last one
        waiting.sort_by_cached_key(|(_, held)| {
            (std::cmp::Reverse(heat(trial.world, held.node)), held.placement)
        });
        let found = waiting.iter().position(|(movable, held)| {
            let planned = try_move(&mut trial, movable, held, limits.gain_percent_min, cursor);
            planned.map(|planned| moves.push(planned)).is_some()
        });
        match found {
            Some(at) => drop(waiting.remove(at)),
            None => break,
        }
    }
    trial.undo();
    moves
}

/// The sum of a node's prices, if it takes work.
fn heat(world: &World, node: NodeId) -> u64 {
    world.number(node).map_or(0, |number| world.row(number).price.iter().map(|price| u64::from(*price)).sum())
}

/// Moves a task if it gains enough; otherwise leaves all as it was.
fn try_move(
    trial: &mut Trial<'_>,
    movable: &Movable,
    held: &Held,
    gain_percent_min: u8,
    cursor: Option<NodeId>,
) -> Option<Move> {
    let from = trial.world.number(held.node)?;
    if trial.world.closed.contains(&from) {
        return None;
    }
    trial.vacate(held, held.node);
    let ask = Ask::new(trial.world, &movable.request, cursor);
    let here = ask.rank_of(&trial.world.row(from));
    let planned = ask.best().filter(|there| {
        let keep = u128::from(here.cost) * u128::from(100 - gain_percent_min.clamp(1, 99));
        there.id != held.node
            && (there.avoided, there.over) <= (here.avoided, here.over)
            && u128::from(there.cost) * 100 <= keep
    });
    let Some(there) = planned else {
        trial.occupy(held, held.node);
        return None;
    };
    trial.occupy(held, there.id);
    trial.done.push((held.clone(), there.id));
    Some(Move {
        placement: held.placement,
        from: held.node,
        to: there.id,
        cost_before: cost::millionths(here.cost),
        cost_after: cost::millionths(there.cost),
    })
}

/// Where the tasks of a node go: higher priorities first, then those that are hardest to place.
pub(crate) fn drain(
    world: &mut World,
    node: NodeId,
    movable: &[Movable],
    cursor: Option<NodeId>,
) -> Vec<Leaving> {
    let mut trial = Trial { world, done: Vec::new() };
    let mut tasks: Vec<(&Movable, Held)> = movable
        .iter()
        .filter_map(|movable| Some((movable, trial.world.held.get(&movable.placement)?.clone())))
        .filter(|(_, held)| held.node == node)
        .collect();
    let whole = trial.world.node(node).map_or([0; 3], |node| amounts(node.allocatable()));
    tasks.sort_by_cached_key(|(_, held)| {
        let need = amounts(held.resources);
        let largest = (0..3)
            .map(|r| (u128::from(need[r]) * 1_000_000).checked_div(u128::from(whole[r])).unwrap_or(0))
            .max();
        (std::cmp::Reverse((held.priority, largest)), held.placement)
    });
    let mut plan = Vec::new();
    for (movable, held) in tasks {
        let mut request = movable.request.clone();
        request.exclude.push(node);
        trial.vacate(&held, node);
        let ask = Ask::new(trial.world, &request, cursor);
        let to = ask.best().map(Ask::choice).ok_or_else(|| ask.refusal());
        match &to {
            Ok(choice) => {
                trial.occupy(&held, choice.node);
                trial.done.push((held, choice.node));
            }
            Err(_) => trial.occupy(&held, node),
        }
        plan.push(Leaving { placement: movable.placement, to });
    }
    trial.undo();
    plan
}
