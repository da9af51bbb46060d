//! Who is there: silence, probes, graces, the brake on mass failures, and what becomes of the tasks of a node that is down.
//!
//! ```text
//!              5 s silent, or its connection broke              machine answers, 6 s silent or 3 s after the break
//!   ready ───────────────────────────────► (probed each second) ───────────────────────► disconnected
//!     ▲                                        │ three times nothing                        │  ▲
//!     │ hello                                  └───────────────────────────► down ◄─────────┘  │ machine answers
//!     └──────────────────────────────────────────────────────────────────── each of them ──────┘ before it is given up
//!
//!   disconnected for agent_grace, down for node_grace ──► brake? ──► give up: its tasks are lost, and placed elsewhere
//! ```
//!
//! How long it takes, with nothing else configured, until replacements are asked for:
//! * A machine dies and its connections break: probes go out at once and after 1 s and 2 s, each waits 1 s: **3 s** (2 s
//!   where the network says at once that there is no way).
//! * A machine is cut off silently: its last sign of life is 0 to 2 s old then. The first probe goes out 5 s after that
//!   sign, the third comes back empty 3 s later: **6 to 8 s**.
//!
//! A replacement needs another second at most: within 5 s of a crash, within 10 s of a silent loss.
//!
//! All of it is volatile, but for the state itself: after a restart every node gets [`START_GRACE`] to be heard again,
//! and what was to be given up is found anew. The manager's own node is never probed and never given up.

use std::collections::BTreeSet;

use orca_api::error::{Code, Problem};
use orca_api::id::{LifeId, NodeId};
use orca_api::name::Name;
use orca_api::node::NodeState;
use orca_api::task::{Reason, State};
use orca_api::units::Span;

use super::brake::Brake;
use super::defaults::{
    BRAKE_EVERY, DIAL_BACK, GRACE_MAX, HEARTBEAT, HEARTBEATS_MISSED, JOIN_KEPT, PROBE_AFTER, PROBE_EVERY,
    PROBE_GIVEN_UP, PROBE_LOST, PROBE_TIME, PROBES_SILENT, START_GRACE,
};
use super::io::{Answer, Effect, Found};
use super::record::{NodeRecord, PlacementRecord};
use super::settings::counted;
use super::state::{LiveNode, Manager};
use super::turn::{SetChange, Turn};

/// How long a node may be silent before it is not heard any more.
pub(super) const SILENCE_MS: u64 = HEARTBEAT.ms() * HEARTBEATS_MISSED;

/// A node that is not heard. Instants are milliseconds of the boot clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Away {
    /// Since when.
    pub since: u64,
    /// Why that is believed.
    pub why: String,
    /// It counts as disconnected from then on, where its machine answers.
    pub disconnected_at: u64,
    /// It counts as down from then on, where nothing answers.
    pub down_at: u64,
    /// It announced that it would be back by then: nothing is moved before.
    pub back_by: u64,
    /// The probe whose answer is waited for.
    pub probe: Option<u64>,
    /// When the last one was sent.
    pub probed_at: u64,
    /// When the next one is due.
    pub probe_at: u64,
    /// Probes in a row that found nothing.
    pub silent: u32,
    /// The last probe found the machine.
    pub machine: bool,
    /// Since when it is in its state: a grace begins there.
    pub state_since: u64,
    /// When moving its tasks is thought about next, while the brake holds.
    pub held_until: u64,
    /// The brake holds its tasks where they are.
    pub held: bool,
    /// Its tasks were given up.
    pub given_up: bool,
}

impl Away {
    pub(super) fn new(now: u64, why: String) -> Self {
        Self {
            since: now,
            why,
            disconnected_at: now,
            down_at: now,
            back_by: 0,
            probe: None,
            probed_at: 0,
            probe_at: now,
            silent: 0,
            machine: false,
            state_since: now,
            held_until: 0,
            held: false,
            given_up: false,
        }
    }
}

/// What time alone makes due of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// It was silent for too long.
    Suspect,
    /// Its machine is to be probed.
    Probe,
    /// It is in another state than is shown.
    Conclude(NodeState),
    /// Its tasks are to be placed elsewhere.
    Move,
    /// It joined and never said hello.
    Forget,
}

impl Manager {
    /// What is due next of a node, and when.
    fn due(&self, node: &NodeRecord) -> Option<(u64, Due)> {
        let live = self.live.nodes.get(&node.id)?;
        match node.state {
            NodeState::Left => return None,
            NodeState::Joining if node.is_manager() => return None,
            NodeState::Joining => return Some((live.seen + JOIN_KEPT.ms(), Due::Forget)),
            NodeState::Ready | NodeState::Disconnected | NodeState::Down => {}
        }
        // A manager without a worker says nothing to itself.
        if !node.is_worker() {
            return None;
        }
        let probed = !node.is_manager() && node.address.is_some();
        let Some(away) = &live.away else {
            let after = if probed { PROBE_AFTER.ms() } else { SILENCE_MS };
            return Some((live.seen + after, Due::Suspect));
        };
        let probe = probed.then_some((away.probe_at, Due::Probe));
        let verdict = if away.silent >= PROBES_SILENT {
            Some((away.down_at, NodeState::Down))
        } else if away.machine || !probed {
            Some((away.disconnected_at, NodeState::Disconnected))
        } else {
            None
        };
        let verdict = verdict.filter(|(_, state)| *state != node.state);
        let verdict = verdict.map(|(at, state)| (at, Due::Conclude(state)));
        let grace = match node.state {
            NodeState::Disconnected => Some(away.since + self.agent_grace().ms()),
            NodeState::Down => Some(away.state_since + self.node_grace().ms()),
            _ => None,
        };
        let moved = grace.filter(|_| !away.given_up && !node.is_manager());
        let moved = moved.map(|at| (at.max(away.back_by).max(away.held_until), Due::Move));
        [verdict, probe, moved].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When something is due of any node, on the boot clock. It looks at each of them: [`super::state::Live::nodes_due`]
    /// is what is asked at each turn.
    pub(super) fn find_nodes_due(&self) -> Option<u64> {
        self.durable.nodes.values().filter_map(|n| self.due(n)).map(|(at, _)| at).min()
    }

    /// What is due of a node may be due sooner than anything was.
    fn due_sooner(&mut self, node: NodeId) {
        let due = self.durable.nodes.get(&node).and_then(|n| self.due(n)).map(|(at, _)| at);
        self.live.nodes_due = [self.live.nodes_due, due].into_iter().flatten().min();
    }

    /// Nodes whose tasks the brake holds where they are.
    pub(super) fn held_nodes(&self) -> Vec<&NodeRecord> {
        let held = |n: &NodeRecord| self.away(n.id).is_some_and(|a| a.held);
        self.members().map(AsRef::as_ref).filter(|n| held(n)).collect()
    }

    pub(super) fn away(&self, node: NodeId) -> Option<&Away> {
        self.live.nodes.get(&node)?.away.as_ref()
    }
}

impl Turn<'_> {
    /// The state was loaded: nobody counts as gone before a full grace has passed since now.
    pub(super) fn watch_anew(&mut self) {
        let later = self.now.boot_ms + START_GRACE.ms();
        let nodes: Vec<_> = self.m.members().cloned().collect();
        for node in nodes {
            let live = self.m.live.nodes.entry(node.id).or_default();
            live.seen = later.saturating_sub(PROBE_AFTER.ms());
            if matches!(node.state, NodeState::Disconnected | NodeState::Down) {
                let mut away = Away::new(later, "it was not heard before the manager's restart".to_owned());
                away.machine = node.state == NodeState::Disconnected;
                away.silent = if away.machine { 0 } else { PROBES_SILENT };
                if self.m.live_on(node.id) == 0 && node.state == NodeState::Down {
                    // It was down long before.
                    away.since = 0;
                    away.given_up = true;
                }
                self.m.live.nodes.entry(node.id).or_default().away = Some(away);
            }
        }
    }

    /// Everything that time has made due of nodes.
    pub(super) fn watch(&mut self) {
        let now = self.now.boot_ms;
        let is_due = |m: &Manager, n: &NodeRecord| m.due(n).is_some_and(|(at, _)| at <= now);
        let nodes: Vec<NodeId> =
            self.m.durable.nodes.values().filter(|n| is_due(self.m, n)).map(|n| n.id).collect();
        for node in nodes {
            self.watch_node(node);
        }
    }

    /// Does what is due of a node now; one thing may make another due.
    fn watch_node(&mut self, node: NodeId) {
        // Each thing that is done is not due any more afterwards; the number is a guard.
        for _ in 0..8 {
            let Some(record) = self.m.durable.nodes.get(&node) else { return };
            match self.m.due(record) {
                Some((at, due)) if at <= self.now.boot_ms => self.do_due(node, due),
                _ => return,
            }
        }
    }

    fn do_due(&mut self, node: NodeId, due: Due) {
        match due {
            Due::Suspect => {
                let why = format!("{HEARTBEATS_MISSED} heartbeats were missed");
                if let Some(live) = self.m.live.nodes.get_mut(&node) {
                    let mut away = Away::new(self.now.boot_ms, why);
                    away.disconnected_at = live.seen + SILENCE_MS;
                    away.down_at = live.seen + SILENCE_MS;
                    live.away = Some(away);
                }
            }
            Due::Probe => self.probe(node),
            Due::Conclude(state) => self.conclude(node, state),
            Due::Move => self.move_off(node),
            Due::Forget => {
                self.dismiss(node, Reason::NodeRemoved, "it joined, and never said hello");
            }
        }
    }

    fn probe(&mut self, node: NodeId) {
        let now = self.now.boot_ms;
        self.m.live.probes += 1;
        let probe = self.m.live.probes;
        let address = self.m.durable.nodes.get(&node).and_then(|n| n.address.clone());
        let away = self.m.live.nodes.get_mut(&node).and_then(|l| l.away.as_mut());
        let (Some(away), Some(address)) = (away, address) else { return };
        away.probe = Some(probe);
        away.probed_at = now;
        // Asked for again if no answer comes: the effect may be lost.
        away.probe_at = now + PROBE_LOST.ms();
        self.effect(Effect::Probe { node, address, probe });
    }

    pub(super) fn on_probed(&mut self, node: NodeId, probe: u64, found: Found) {
        let now = self.now.boot_ms;
        let Some(away) = self.m.live.nodes.get_mut(&node).and_then(|l| l.away.as_mut()) else { return };
        if away.probe != Some(probe) {
            return;
        }
        away.probe = None;
        let pause = match found {
            Found::Machine => {
                away.silent = 0;
                away.machine = true;
                PROBE_EVERY
            }
            Found::Silence => {
                away.silent = away.silent.saturating_add(1);
                away.machine = false;
                if away.silent < PROBES_SILENT { PROBE_TIME } else { PROBE_EVERY }
            }
        };
        let pause = if away.given_up { PROBE_GIVEN_UP } else { pause };
        // "No way there" is said at once; three of them shall not come within a moment.
        away.probe_at = now.max(away.probed_at + pause.ms());
        self.watch_node(node);
    }

    /// A connection broke on which a life of the node had been welcomed. Where another life was heard since, it is no news.
    pub(super) fn on_dropped(&mut self, node: NodeId, life: LifeId) {
        let now = self.now.boot_ms;
        let Some(live) = self.m.live.nodes.get_mut(&node) else { return };
        if live.life != Some(life) || live.away.is_some() {
            return;
        }
        let mut away = Away::new(now, "its connection broke".to_owned());
        away.disconnected_at = now + DIAL_BACK.ms();
        live.away = Some(away);
        self.watch_node(node);
    }

    /// A worker said that it stops: its machine lives at that moment.
    pub(super) fn on_farewell(&mut self, node: NodeId, why: String, back_in: Option<Span>) {
        let now = self.now.boot_ms;
        let grace = self.m.agent_grace().ms();
        let Some(live) = self.m.live.nodes.get_mut(&node) else { return };
        live.life = None;
        let mut away = Away::new(now, why);
        away.machine = true;
        // What was announced is awaited, and the grace after it: nobody is back to the second.
        let back_in = back_in.map(|span| span.min(GRACE_MAX).ms());
        away.back_by = back_in.map_or(0, |ms| now + ms + grace);
        away.probe_at = now + PROBE_EVERY.ms();
        live.away = Some(away);
        self.watch_node(node);
    }

    /// The node is in another state from now on; what it says counts again after its next hello.
    fn conclude(&mut self, node: NodeId, state: NodeState) {
        let now = self.now.boot_ms;
        let Some(record) = self.m.member(node) else { return };
        let mut record = NodeRecord::clone(record);
        let Some(live) = self.m.live.nodes.get_mut(&node) else { return };
        let Some(away) = live.away.as_mut() else { return };
        live.life = None;
        away.state_since = now;
        let address = record.address.as_deref().unwrap_or("its address");
        let words = match (state, record.state) {
            (NodeState::Down, _) => {
                format!("{}, and {PROBES_SILENT} probes of {address} found nothing", away.why)
            }
            (_, NodeState::Down) => format!("its machine answers again at {address}, its orcad does not"),
            _ if away.probed_at == 0 => away.why.clone(),
            _ => format!("{}; its machine answers at {address}", away.why),
        };
        record.state = state;
        record.since = self.now.wall;
        self.node_event("node.state", &record, state.as_str(), words);
        self.put_node(record);
        self.touch_tasks_of(node);
    }

    /// Its grace is over: what it has is placed elsewhere, unless too many vanished with it.
    fn move_off(&mut self, node: NodeId) {
        let now = self.now.boot_ms;
        let brake = self.brake(node);
        let tasks = self.m.live_on(node);
        let Some(record) = self.m.member(node).cloned() else { return };
        let Some(away) = self.m.live.nodes.get_mut(&node).and_then(|l| l.away.as_mut()) else { return };
        match brake {
            Brake::Free => {
                away.held = false;
                away.given_up = true;
                away.probe_at = now + PROBE_GIVEN_UP.ms();
                if tasks > 0 {
                    let words = format!("{} on it to be placed elsewhere", counted(tasks, "task"));
                    self.node_event("node.given_up", &record, record.state.as_str(), words);
                }
                self.give_up(node, Reason::NodeDown);
            }
            Brake::Wait => away.held_until = now + BRAKE_EVERY.ms(),
            Brake::Holds => {
                away.held_until = now + BRAKE_EVERY.ms();
                if !std::mem::replace(&mut away.held, true) {
                    self.nodes.insert(node);
                }
            }
        }
    }

    pub(super) fn confirm_down(&mut self, text: &str) -> Result<Answer, Problem> {
        let id = self.m.find_node(text)?;
        let gone = || Problem::new(Code::NoSuchNode, "the node is gone");
        let record = self.m.member(id).cloned().ok_or_else(gone)?;
        let heard = record.state == NodeState::Ready && self.m.away(id).is_none();
        if record.is_manager() || heard {
            return Err(Problem::new(Code::NodeAlive, format!("{} is not down: it is heard", record.name))
                .hint(format!("orcactl node drain {} moves its tasks off", record.name)));
        }
        let mut record = NodeRecord::clone(&record);
        if record.state != NodeState::Down {
            record.state = NodeState::Down;
            record.since = self.now.wall;
        }
        self.node_event("node.confirmed_down", &record, NodeState::Down.as_str(), String::new());
        self.put_node(record);
        let now = self.now.boot_ms;
        let live = self.m.live.nodes.entry(id).or_default();
        live.life = None;
        let away = live.away.get_or_insert_with(|| Away::new(now, "an operator said so".to_owned()));
        away.given_up = true;
        away.held = false;
        away.probe_at = now + PROBE_GIVEN_UP.ms();
        self.touch_tasks_of(id);
        self.give_up(id, Reason::NodeDown);
        let view = self.m.node_view(id, self.now).ok_or_else(gone)?;
        Ok(Answer::Node(Box::new(view)))
    }

    /// The manager gives up on a node: what it had there is lost, and placed elsewhere. Gives the names of those tasks.
    pub(super) fn give_up(&mut self, node: NodeId, reason: Reason) -> Vec<Name> {
        let here = self.m.durable.by_node.get(&node).into_iter().flatten();
        let live = here.filter_map(|p| self.m.durable.placements.get(p)).filter(|p| !p.is_ended());
        let live: Vec<_> = live.cloned().collect();
        // What nobody vouches for may still run there: a singleton is waited for.
        let silent = reason == Reason::NodeDown && self.cause.is_none();
        let mut tasks = BTreeSet::new();
        for placement in live {
            if !(silent && self.must_wait(&placement)) {
                tasks.insert(placement.task);
                self.lose(&placement, reason);
            }
        }
        for task in &tasks {
            self.reconcile(*task);
        }
        self.names_of(&tasks)
    }

    /// A sign of life: the node is there, whatever was suspected.
    pub fn seen(&mut self, node: NodeId) {
        let now = self.now.boot_ms;
        let is_new = !self.m.live.nodes.contains_key(&node);
        let live = self.m.live.nodes.entry(node).or_default();
        // After a start it was not to be missed before a full grace.
        let was_spared = std::mem::replace(&mut live.seen, now) > now;
        let was_away = live.away.take().is_some();
        if is_new || was_spared || was_away {
            // Nothing was due of it, or something far off.
            self.m.due_sooner(node);
        }
        if was_away {
            self.ease_brake();
        }
    }

    /// A placement is lost with its node.
    pub(super) fn lose(&mut self, placement: &PlacementRecord, reason: Reason) {
        if let Some(task) = self.m.durable.tasks.get(&placement.task).cloned() {
            let (node, state) = (Some(placement.node), Some(State::Lost.as_str()));
            self.task_event("task.state", &task, node, state, Some(reason), String::new());
        }
        let mut placement = PlacementRecord::clone(placement);
        placement.lost = Some(reason);
        placement.since = self.now.wall;
        self.put_placement(placement, SetChange::Yes);
    }
}

impl LiveNode {
    /// Whether its life is heard: another one cannot take its place.
    pub(super) fn is_heard(&self, now: u64) -> bool {
        self.life.is_some() && self.away.is_none() && now.saturating_sub(self.seen) < SILENCE_MS
    }
}
