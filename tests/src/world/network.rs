//! What travels between the nodes: late, lost, doubled, out of order.

use orca_api::id::{LifeId, NodeId, PlacementId};
use orca_api::link::{Assignment, Generation, Hello, PlacementStatus, Welcome};
use orca_api::node::Condition;
use orca_api::spec::TaskSpec;
use orca_api::units::{Span, Time};
use orca_core::manager::Found;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Happening, World};

/// How long the shell waits for an answer to a probe.
const PROBE_MS: u64 = 1_000;

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// From a worker to the manager's process of that life.
    Up { from: usize, node: NodeId, life: LifeId, number: u64, body: Up },
    /// From the manager to a worker's process of that life.
    Down { to: usize, life: LifeId, number: u64, body: Down },
    /// The connection broke.
    Reset { to: usize },
    /// A worker's connection was closed by its kernel.
    Closed { from: usize, life: LifeId },
}

/// A worker's way to the manager: when each direction is open again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// Nothing from the worker comes through before.
    pub(crate) up_cut_until: u64,
    /// Nothing from the manager comes through before.
    pub(crate) down_cut_until: u64,
}

/// Which way is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both.
    Both,
    /// From the worker to the manager.
    Up,
    /// From the manager to the worker.
    Down,
}

/// What a worker says.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Hello(Box<Hello>),
    Poll {
        generation: Generation,
        conditions: Vec<Condition>,
        clock: Time,
    },
    Report(Vec<PlacementStatus>),
    /// Its process stops, and will be back within so long.
    Goodbye(Span),
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
    /// The node does not belong to the cluster any more.
    Removed,
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

    /// Nothing comes through from now on, for so long.
    pub(crate) fn cut(&mut self, n: usize, which: Cut, ms: u64) {
        if n == 0 {
            // On the manager's own machine there is nothing to cut.
            return;
        }
        let until = self.now + ms;
        let way = &mut self.workers[n].way;
        if which != Cut::Down {
            way.up_cut_until = way.up_cut_until.max(until);
        }
        if which != Cut::Up {
            way.down_cut_until = way.down_cut_until.max(until);
        }
        let words = match which {
            Cut::Both => "is cut off",
            Cut::Up => "is not heard",
            Cut::Down => "hears nothing",
        };
        self.note(format!("n{} {words} for {}", n + 1, Span::from_ms(ms)));
    }

    /// Nothing comes through to a node, or from it, for so long.
    pub fn cut_off(&mut self, n: usize, ms: u64) {
        self.cut(n, Cut::Both, ms);
    }

    fn is_cut(&self, message: &Message) -> bool {
        match message {
            Message::Up { from: n, .. } | Message::Closed { from: n, .. } => {
                self.workers[*n].way.up_cut_until > self.now
            }
            Message::Down { to: n, .. } | Message::Reset { to: n } => {
                self.workers[*n].way.down_cut_until > self.now
            }
        }
    }

    /// What a probe of a node finds, and after how long.
    pub(crate) fn probe(&mut self, n: usize) -> (u64, Found) {
        let worker = &self.workers[n];
        let cut = worker.way.up_cut_until.max(worker.way.down_cut_until) > self.now;
        if cut || worker.dark_until > self.now || self.rng.chance(self.faults.lost) {
            return (PROBE_MS, Found::Silence);
        }
        (self.latency() * 2, Found::Machine)
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
            Message::Closed { from, life } => self.connection_closed(from, life),
        }
    }
}
