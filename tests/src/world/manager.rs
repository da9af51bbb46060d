//! The manager's shell: events in, one commit, effects out; and who waits for an answer.

use std::collections::{BTreeMap, VecDeque};

use orca_api::error::{Code, Problem};
use orca_api::id::{LifeId, NodeId, SeededIds};
use orca_api::link::{Generation, Goodbye};
use orca_core::manager::check::check_manager;
use orca_core::manager::{Answer, Asked, Change, Effect, Event, Found, HEARTBEAT, Manager, Token};

use super::disk::Disk;
use super::network::{Down, Message, Up};
use super::{Happening, World};

/// Events of one commit.
const BATCH: usize = 64;

/// The manager's invariants are checked at every so many revisions.
const CHECK_EVERY: u64 = 4;

/// What the manager's process does next.
#[derive(Debug)]
pub(crate) enum Do {
    /// Step what has come in.
    Turn,
    /// The commit came about.
    Committed,
    /// Something may be due.
    Tick,
    /// A poll was parked long enough.
    PollOver(usize, u64),
    /// A probe came to its end.
    Probed(NodeId, u64, Found),
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waiter {
    Client(u64),
    /// A machine that asks to join.
    Machine(usize),
    Worker {
        n: usize,
        life: LifeId,
        number: u64,
    },
}

/// A poll: answered after the commit of the batch that it came in, or parked.
#[derive(Clone, Copy, Debug)]
struct Poll {
    n: usize,
    node: NodeId,
    life: LifeId,
    number: u64,
    generation: Generation,
}

/// What waits for the commit.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    effects: Vec<Effect>,
    polls: Vec<Poll>,
}

/// The manager's machine.
pub struct ManagerBox {
    /// Its store.
    pub disk: Disk<Change>,
    /// Its process; `None` while there is none.
    pub core: Option<Manager>,
    pub(crate) life: u64,
    ids: SeededIds,
    inbox: VecDeque<Event>,
    polls: Vec<Poll>,
    waiters: BTreeMap<u64, Waiter>,
    tokens: u64,
    parked: BTreeMap<usize, Poll>,
    batch: Option<Batch>,
    turn_planned: bool,
    tick_at: Option<u64>,
}

impl ManagerBox {
    pub(crate) fn new(rows: Vec<Change>) -> Self {
        Self {
            disk: Disk::new(rows),
            core: None,
            life: 0,
            ids: SeededIds(0),
            inbox: VecDeque::new(),
            polls: Vec::new(),
            waiters: BTreeMap::new(),
            tokens: 0,
            parked: BTreeMap::new(),
            batch: None,
            turn_planned: false,
            tick_at: None,
        }
    }
}

impl World {
    pub(crate) fn manager_starts(&mut self) {
        if self.manager.core.is_some() {
            return;
        }
        let core = Manager::load(self.manager.disk.rows());
        self.checker.manager_loaded(&core);
        self.manager.core = Some(core);
        self.manager.ids = SeededIds(self.rng.below(u64::MAX));
        self.note("manager starts");
        self.manager_event(Event::Started);
    }

    /// The process ends without a word. What it had in memory must be what its store and its last batch make.
    pub fn crash_manager(&mut self) {
        let back = self.faults.restart_ms(&mut self.rng);
        self.end_manager();
        self.schedule(back, Happening::ManagerStarts);
    }

    pub(crate) fn end_manager(&mut self) {
        let Some(core) = self.manager.core.take() else { return };
        let batch = self.manager.batch.take().map_or_else(Vec::new, |b| b.changes);
        let mut loaded = Manager::load(self.manager.disk.rows());
        for change in &batch {
            loaded.apply(change);
        }
        if !loaded.same_durable(&core) {
            self.checker
                .find("manager: what is in memory is not what a load and the last batch make".to_owned());
        }
        self.manager.life += 1;
        self.manager.inbox.clear();
        self.manager.polls.clear();
        self.manager.waiters.clear();
        self.manager.parked.clear();
        self.manager.turn_planned = false;
        self.manager.tick_at = None;
        self.note("manager crashes");
        for to in 0..self.workers.len() {
            self.send(Message::Reset { to });
        }
    }

    pub(crate) fn manager_event(&mut self, event: Event) {
        self.manager.inbox.push_back(event);
        self.plan_manager_turn();
    }

    fn plan_manager_turn(&mut self) {
        let m = &mut self.manager;
        if m.core.is_some() && !m.turn_planned && m.batch.is_none() {
            m.turn_planned = true;
            let life = m.life;
            self.schedule(0, Happening::Manager(life, Do::Turn));
        }
    }

    pub(crate) fn manager_does(&mut self, what: Do) {
        match what {
            Do::Turn => self.manager_turn(),
            Do::Committed => self.manager_committed(),
            Do::Tick => {
                if self.manager.tick_at.is_some_and(|at| at <= self.now) {
                    self.manager.tick_at = None;
                    self.manager_event(Event::Tick);
                }
            }
            Do::Probed(node, probe, found) => self.manager_event(Event::Probed { node, probe, found }),
            // What is in memory is not committed yet: nobody may hear of it.
            Do::PollOver(n, number) if self.manager.batch.is_some() => {
                let life = self.manager.life;
                self.schedule(1, Happening::Manager(life, Do::PollOver(n, number)));
            }
            Do::PollOver(n, number) => {
                if self.manager.parked.get(&n).is_some_and(|p| p.number == number)
                    && let Some(poll) = self.manager.parked.remove(&n)
                {
                    self.answer_poll(poll, true);
                }
            }
        }
    }

    fn manager_turn(&mut self) {
        let now = self.clock();
        let m = &mut self.manager;
        m.turn_planned = false;
        let Some(core) = &mut m.core else { return };
        let mut batch = Batch { polls: std::mem::take(&mut m.polls), ..Batch::default() };
        for _ in 0..BATCH {
            let Some(event) = m.inbox.pop_front() else { break };
            let step = core.step(event, now, &mut m.ids);
            batch.changes.extend(step.changes);
            batch.effects.extend(step.effects);
        }
        if let Some(at) = core.next_deadline()
            && m.tick_at.is_none_or(|planned| at < planned)
        {
            let at = at.max(now.boot_ms + 1);
            m.tick_at = Some(at);
            let life = m.life;
            self.schedule(at - now.boot_ms, Happening::Manager(life, Do::Tick));
        }
        let m = &mut self.manager;
        let slow = if self.rng.chance(self.faults.slow_disk) { 3_000 } else { 0 };
        let wait =
            if batch.changes.is_empty() { 0 } else { self.rng.between(1, 1 + self.faults.late + slow) };
        m.batch = Some(batch);
        let life = m.life;
        self.schedule(wait, Happening::Manager(life, Do::Committed));
    }

    fn manager_committed(&mut self) {
        if self.rng.chance(self.faults.crash_before_commit) {
            self.crash_manager();
            return;
        }
        let Some(batch) = self.manager.batch.take() else { return };
        if !batch.changes.is_empty() {
            self.manager.disk.commit(batch.changes);
            let Some(core) = &self.manager.core else { return };
            // A load for each commit would take most of the time: one in a few is as good, since nothing heals.
            if core.revision() % CHECK_EVERY == 0 {
                for found in check_manager(core) {
                    self.checker.find(format!("manager: {found}"));
                }
            }
            self.checker.manager_committed(core);
        }
        for effect in batch.effects {
            if self.rng.chance(self.faults.crash_amid_effects) {
                self.crash_manager();
                return;
            }
            self.manager_effect(effect);
        }
        for poll in batch.polls {
            self.answer_poll(poll, false);
        }
        if !self.manager.inbox.is_empty() || !self.manager.polls.is_empty() {
            self.plan_manager_turn();
        }
    }

    fn manager_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Reply { token, answer } => {
                if let Some(waiter) = self.manager.waiters.remove(&token.0) {
                    self.answer(waiter, answer);
                }
            }
            Effect::NotifyNode { node } => {
                let parked = self.manager.parked.iter().find(|(_, p)| p.node == node).map(|(n, _)| *n);
                if let Some(poll) = parked.and_then(|n| self.manager.parked.remove(&n)) {
                    self.answer_poll(poll, true);
                }
            }
            Effect::Probe { node, probe, .. } => {
                if let Some(n) = self.workers.iter().position(|w| w.node == node) {
                    let (after, found) = self.probe(n);
                    let life = self.manager.life;
                    self.schedule(after, Happening::Manager(life, Do::Probed(node, probe, found)));
                }
            }
            Effect::CutNode { .. } | Effect::CutCertificate { .. } | Effect::Listen => {}
            Effect::Publish { events, .. } => {
                for e in events {
                    let name = e.task_name.as_ref().or(e.node_name.as_ref()).map_or("", |n| n.as_str());
                    let on = e.node_name.as_ref().filter(|_| e.task_name.is_some());
                    let mut line = format!("  {} {name}", e.kind);
                    let words = [
                        e.state.clone(),
                        on.map(|n| format!("on {n}")),
                        e.reason.map(|r| r.to_string()),
                        Some(e.message).filter(|m| !m.is_empty()).map(|m| format!("({m})")),
                    ];
                    for word in words.into_iter().flatten() {
                        line.push(' ');
                        line.push_str(&word);
                    }
                    self.note(line);
                }
            }
        }
    }

    fn answer(&mut self, waiter: Waiter, answer: Result<Answer, Problem>) {
        match waiter {
            Waiter::Client(number) => self.client_hears(number, answer),
            Waiter::Machine(machine) => self.machine_hears(machine, answer),
            Waiter::Worker { n, life, number } => {
                let body = match answer {
                    Ok(Answer::Welcome(welcome)) => Down::Welcome(welcome),
                    Ok(Answer::Report(report)) => Down::Report { unknown: report.unknown },
                    Err(problem) if problem.code == Code::Removed => Down::Removed,
                    _ => Down::Refused,
                };
                self.send(Message::Down { to: n, life, number, body });
            }
        }
    }

    pub(crate) fn token(&mut self, waiter: Waiter) -> Token {
        self.manager.tokens += 1;
        let token = self.manager.tokens;
        self.manager.waiters.insert(token, waiter);
        Token(token)
    }

    /// A client asks.
    pub(crate) fn manager_asked(&mut self, number: u64, asked: impl FnOnce(Token) -> Asked) {
        if self.manager.core.is_some() {
            let token = self.token(Waiter::Client(number));
            self.manager_event(Event::Asked(Box::new(asked(token))));
        }
    }

    /// A worker's connection was closed.
    pub(crate) fn connection_closed(&mut self, n: usize, life: LifeId) {
        if self.manager.core.is_some() {
            let node = self.workers[n].node;
            self.manager_event(Event::Dropped { node, life });
        }
    }

    /// A message of a worker came in.
    pub(crate) fn manager_hears(&mut self, n: usize, node: NodeId, life: LifeId, number: u64, body: Up) {
        let waiter = Waiter::Worker { n, life, number };
        match body {
            Up::Hello(hello) => {
                let token = self.token(waiter);
                // The first node is the manager's own machine.
                let address = (n > 0).then(|| format!("10.0.0.{}", n + 1));
                self.manager_event(Event::Hello { token, node, address, hello });
            }
            Up::Report(placements) => {
                let token = self.token(waiter);
                self.manager_event(Event::Reported { token, node, life, placements });
            }
            Up::Goodbye(back_in) => {
                let goodbye = Goodbye { life, reason: "restart".to_owned(), back_in: Some(back_in) };
                self.manager_event(Event::Goodbye { node, goodbye });
            }
            Up::Poll { generation, conditions, clock } => {
                self.manager.polls.push(Poll { n, node, life, number, generation });
                let clock = Some(clock);
                self.manager_event(Event::Polled { node, life, generation, conditions, clock });
            }
        }
    }

    /// Answers a poll, or parks it while there is nothing to say.
    fn answer_poll(&mut self, poll: Poll, now: bool) {
        let Some(core) = &self.manager.core else { return };
        let body = if core.hears(poll.node, poll.life) {
            let newer = core.generation(poll.node).is_some_and(|g| g != poll.generation);
            if !newer && !now {
                self.manager.parked.insert(poll.n, poll);
                let over = Happening::Manager(self.manager.life, Do::PollOver(poll.n, poll.number));
                self.schedule(HEARTBEAT.ms(), over);
                return;
            }
            let assignment = if newer { core.assignment(poll.node) } else { None };
            let specs = assignment.iter().flat_map(|a| a.placements.values());
            let specs =
                specs.filter_map(|a| Some((a.spec.clone(), core.spec_for(poll.node, &a.spec)?))).collect();
            Down::Poll { assignment: assignment.map(|a| (a, specs)) }
        } else {
            Down::Refused
        };
        self.send(Message::Down { to: poll.n, life: poll.life, number: poll.number, body });
    }
}
