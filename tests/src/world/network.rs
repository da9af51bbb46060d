//! What travels between the nodes: late, lost, doubled, out of order.

use orca_api::id::{LifeId, NodeId, PlacementId};
use orca_api::link::{Assignment, Generation, Hello, PlacementStatus, Welcome};
use orca_api::node::Condition;
use orca_api::spec::TaskSpec;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Happening, World};

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// From a worker to the manager's process of that life.
    Up { from: usize, node: NodeId, life: LifeId, number: u64, body: Up },
    /// From the manager to a worker's process of that life.
    Down { to: usize, life: LifeId, number: u64, body: Down },
    /// The connection broke.
    Reset { to: usize },
}

/// What a worker says.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Hello(Box<Hello>),
    Poll { generation: Generation, conditions: Vec<Condition> },
    Report(Vec<PlacementStatus>),
}

/// What a manager answers.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    Welcome(Welcome),
    Poll {
        assignment: Option<(Assignment, BTreeMap<String, Arc<TaskSpec>>)>,
    },
    Report {
        unknown: Vec<PlacementId>,
    },
    /// Say hello again.
    Refused,
}

impl World {
    /// Sends a message, as well as the network is.
    pub(crate) fn send(&mut self, message: Message) {
        if self.rng.chance(self.faults.lost) || self.is_cut(&message) {
            return;
        }
        let late = self.latency();
        if self.rng.chance(self.faults.doubled) {
            let later = self.latency() + self.rng.below(2_000);
            self.schedule(later, Happening::Arrives(message.clone()));
        }
        self.schedule(late, Happening::Arrives(message));
    }

    fn latency(&mut self) -> u64 {
        match self.faults.late {
            0 => 1,
            late if self.rng.chance(100) => self.rng.between(1, late * 20),
            late => self.rng.between(1, late),
        }
    }

    fn is_cut(&self, message: &Message) -> bool {
        let (Message::Up { from: n, .. } | Message::Down { to: n, .. } | Message::Reset { to: n }) = message;
        self.workers[*n].cut_until > self.now
    }

    pub(crate) fn arrives(&mut self, message: Message) {
        if self.is_cut(&message) {
            return;
        }
        match message {
            Message::Up { from, node, life, number, body } => {
                if self.manager.core.is_some() {
                    self.manager_hears(from, node, life, number, body);
                } else {
                    // Nobody listens: that is noticed at once.
                    self.schedule(1, Happening::Arrives(Message::Reset { to: from }));
                }
            }
            Message::Down { to, life, number, body } => {
                if self.workers[to].life == life && self.workers[to].core.is_some() {
                    self.worker_hears(to, number, body);
                }
            }
            Message::Reset { to } => {
                if self.workers[to].core.is_some() {
                    self.link_broke(to);
                }
            }
        }
    }
}
