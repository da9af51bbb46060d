//! Tasks of which there is never more than one: before one is placed elsewhere, the lease of the old one must have ended.
//!
//! The worker ends a singleton by itself when it has not been heard by its manager for [`LEASE`]. It counts from before it
//! asked, the manager from after it was asked, so the manager's wait is the longer one. That holds while orcad runs on the node;
//! so where the node does not answer, it is waited for: as long as the task's spec says, or for ever, until the node is back,
//! is removed, or an operator confirms that it is down.

use std::collections::BTreeMap;

use orca_api::control::Attention;
use orca_api::id::PlacementId;
use orca_api::link::PlacementWanted;
use orca_api::node::NodeState;
use orca_api::task::Reason;
use orca_api::units::Span;

use super::defaults::LEASE_MARGIN;
use super::record::PlacementRecord;
use super::state::Manager;
use super::turn::Turn;
use crate::lease::LEASE;

/// Singletons on nodes that were given up, and when each may be placed elsewhere, on the boot clock; `None`: never by time.
pub(super) type Waits = BTreeMap<PlacementId, Option<u64>>;

/// How long a node must have been silent before its singleton may be placed elsewhere; `None`: for ever.
fn wait_of(placement: &PlacementRecord) -> Option<Span> {
    let least = LEASE.ms() + placement.spec.grace().ms() + LEASE_MARGIN.ms();
    placement.spec.singleton_wait.map(|wait| Span::from_ms(wait.ms().max(least)))
}

impl Manager {
    /// When the next one may be placed elsewhere, on the boot clock.
    pub(super) fn singletons_due(&self) -> Option<u64> {
        self.live.singletons.values().flatten().copied().min()
    }

    /// Singletons that are waited for.
    pub(super) fn attend_singletons(&self, list: &mut Vec<Attention>) {
        for (id, due) in &self.live.singletons {
            let Some(p) = self.durable.placements.get(id).filter(|p| !p.is_ended()) else { continue };
            let node = self.node_name(p.node);
            let until =
                if due.is_some() { "its singleton_wait is over" } else { "somebody says that it is down" };
            list.push(Attention {
                text: format!(
                    "task {} is a singleton on {node}, which is silent: it waits until {until}",
                    p.name
                ),
                hint: format!("orcactl node confirm-down {node}, if its machine is really off"),
            });
        }
    }
}

impl Turn<'_> {
    /// Whether a placement on a node that fell silent must be waited for.
    pub(super) fn must_wait(&mut self, placement: &PlacementRecord) -> bool {
        // What was only to be made ready runs nowhere.
        if !placement.spec.singleton || placement.wanted == PlacementWanted::Ready {
            return false;
        }
        let seen = self.m.live.nodes.get(&placement.node).map_or(self.now.boot_ms, |l| l.seen);
        let due = wait_of(placement).map(|wait| seen.saturating_add(wait.ms()));
        if due.is_some_and(|at| at <= self.now.boot_ms) {
            return false;
        }
        self.m.live.singletons.insert(placement.id, due);
        self.tasks.insert(placement.task);
        true
    }

    /// Places those elsewhere whose wait is over, and forgets those whose node is back.
    pub(super) fn tick_singletons(&mut self) {
        let now = self.now.boot_ms;
        let waits = std::mem::take(&mut self.m.live.singletons);
        for (id, due) in waits {
            let Some(p) = self.m.durable.placements.get(&id).filter(|p| !p.is_ended()).cloned() else {
                continue;
            };
            let silent = self
                .m
                .member(p.node)
                .is_some_and(|n| matches!(n.state, NodeState::Down | NodeState::Disconnected));
            if !silent {
                continue;
            }
            if due.is_some_and(|at| at <= now) {
                self.lose(&p, Reason::NodeDown);
                self.reconcile(p.task);
            } else {
                self.m.live.singletons.insert(id, due);
            }
        }
    }
}
