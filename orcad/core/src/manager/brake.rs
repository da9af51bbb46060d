//! The brake on mass failures: where most nodes vanish at once, it is the network that failed, or the manager's own
//! way to it. To place everything anew on the few that are left would make an outage of it.
//!
//! It engages when more than half of the nodes, and at least two, vanish within [`BRAKE_WINDOW`]; it holds while more than
//! half are away, and as long as the window after that. Nodes that come back have kept their tasks; an operator may say
//! of each that it is down (`node confirm-down`).

use orca_api::id::NodeId;
use orca_api::node::NodeState;

use super::defaults::{BRAKE_WINDOW, SUSPECT_AFTER};
use super::record::NodeRecord;
use super::settings::{counted, listed};
use super::state::Manager;
use super::turn::Turn;

/// Whether the tasks of a node may be placed elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brake {
    /// They may.
    Free,
    /// Others are late: it will be known in a moment.
    Wait,
    /// They stay where they are.
    Holds,
}

/// The brake while it is engaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Engaged {
    /// Since when not more than half of the nodes are away any more, on the boot clock.
    pub eased_at: Option<u64>,
}

/// Numbers that decide.
struct Count {
    /// Nodes, without those that are gone for good.
    nodes: usize,
    /// Nodes that vanished in one window with the one that is asked about.
    together: usize,
    /// Nodes that are away.
    away: usize,
    /// Nodes that are late, and may be about to vanish.
    late: usize,
}

impl Count {
    fn most(&self, part: usize) -> bool {
        part >= 2 && part * 2 > self.nodes
    }
}

impl Manager {
    fn count(&self, node: Option<NodeId>, now: u64) -> Count {
        let window = BRAKE_WINDOW.ms();
        let of = node.and_then(|n| self.away(n)).map_or(now, |a| a.since);
        let gone_before = |n: &NodeRecord| {
            self.away(n.id).is_some_and(|a| a.given_up && a.since.saturating_add(window) < of)
        };
        let mut count = Count { nodes: 0, together: 0, away: 0, late: 0 };
        let mut vanished: Vec<u64> = Vec::new();
        for n in self.members().filter(|n| n.state != NodeState::Joining && !gone_before(n)) {
            count.nodes += 1;
            let Some(live) = self.live.nodes.get(&n.id) else { continue };
            match &live.away {
                Some(away) if n.state == NodeState::Ready => {
                    // Nothing was concluded yet: it is late.
                    count.late += usize::from(!away.given_up);
                }
                Some(away) => {
                    count.away += usize::from(!away.given_up);
                    vanished.push(away.since);
                }
                None if !n.is_manager()
                    && (live.life.is_none() || now.saturating_sub(live.seen) > SUSPECT_AFTER.ms()) =>
                {
                    count.late += 1;
                }
                None => {}
            }
        }
        vanished.sort_unstable();
        let mut from = 0;
        for (to, at) in vanished.iter().enumerate() {
            while vanished[from] + window < *at {
                from += 1;
            }
            if vanished[from] <= of && of <= *at {
                count.together = count.together.max(to + 1 - from);
            }
        }
        count
    }
}

impl Turn<'_> {
    /// Whether a node's tasks may be placed elsewhere, now that its grace is over.
    pub(super) fn brake(&mut self, node: NodeId) -> Brake {
        let now = self.now.boot_ms;
        let count = self.m.count(Some(node), now);
        if count.most(count.together) {
            if self.m.live.brake.is_none() {
                let names: Vec<String> = self
                    .m
                    .members()
                    .filter(|n| self.m.away(n.id).is_some_and(|a| !a.given_up))
                    .map(|n| n.name.to_string())
                    .collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let words = format!(
                    "{} of {} vanished within {BRAKE_WINDOW}: nothing is placed elsewhere ({}); orcactl node confirm-down NAME releases one",
                    count.together,
                    counted(count.nodes, "node"),
                    listed(&names)
                );
                self.cluster_event("cluster.brake", words);
            }
            self.m.live.brake = Some(Engaged { eased_at: None });
            return Brake::Holds;
        }
        let Some(engaged) = &mut self.m.live.brake else {
            return if count.most(count.together + count.late) { Brake::Wait } else { Brake::Free };
        };
        if count.most(count.away) {
            engaged.eased_at = None;
            return Brake::Holds;
        }
        let eased = *engaged.eased_at.get_or_insert(now);
        if now < eased + BRAKE_WINDOW.ms() {
            return Brake::Holds;
        }
        self.m.live.brake = None;
        self.cluster_event("cluster.brake", "released: most nodes are heard again".to_owned());
        Brake::Free
    }

    /// A node came back: where none is away any more, there is nothing to hold.
    pub(super) fn ease_brake(&mut self) {
        if self.m.live.brake.is_some() && self.m.count(None, self.now.boot_ms).away == 0 {
            self.m.live.brake = None;
            self.cluster_event("cluster.brake", "released: every node is heard again".to_owned());
        }
    }
}
