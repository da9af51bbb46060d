//! A worker's shell: events in, one commit, effects out; and its side of the link.

use std::collections::{BTreeMap, VecDeque};

use orca_api::id::{LifeId, NodeId, PlacementId, SeededIds};
use orca_api::link::{Hello, LINK_VERSION, NodeFacts};
use orca_api::units::Span;
use orca_core::invariant::check_worker;
use orca_core::worker::Worker;
use orca_core::worker::io::{Change, Effect, EngineState, Event};

use super::disk::Disk;
use super::engine::{Engine, Power};
use super::network::{Down, Message, Up, Way};
use super::rng::Rng;
use super::{Happening, World};

/// Events of one commit.
const BATCH: usize = 64;
/// How long an answer is waited for, beyond the time that a poll is parked.
const PATIENCE_MS: u64 = 5_000;

/// What a worker's process does next.
#[derive(Debug)]
pub(crate) enum Do {
    /// Step what has come in.
    Turn,
    /// The commit came about.
    Committed,
    /// Something may be due.
    Tick,
    /// Something came in.
    Event(Box<Event>),
    /// See whether the engine answers.
    LookAtEngine,
    /// Introduce itself.
    Hello,
    /// Ask for the set.
    Poll,
    /// An answer did not come.
    NoAnswer(u64),
}

/// What waits for the commit.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    effects: Vec<Effect>,
}

/// A worker's machine.
pub struct WorkerBox {
    /// Its node.
    pub node: NodeId,
    pub(crate) facts: NodeFacts,
    /// Its store.
    pub disk: Disk<Change>,
    /// Its process; `None` while there is none.
    pub core: Option<Worker>,
    pub(crate) life: LifeId,
    boots: u32,
    pub(crate) booted_at: u64,
    pub(crate) skew_ms: i64,
    /// Its way to the manager.
    pub(crate) way: Way,
    /// Its machine has no power before.
    pub(crate) dark_until: u64,
    /// Its engine.
    pub engine: Engine,
    ids: SeededIds,
    inbox: VecDeque<Event>,
    batch: Option<Batch>,
    turn_planned: bool,
    tick_at: Option<u64>,
    /// The hello or poll whose answer is waited for.
    asked: Option<u64>,
    /// When that was, on the boot clock.
    asked_at: u64,
    welcomed: bool,
    reports: BTreeMap<u64, Vec<(PlacementId, u64)>>,
    numbers: u64,
    name: String,
}

impl WorkerBox {
    pub(crate) fn new(n: usize, node: NodeId, facts: NodeFacts, rng: &mut Rng) -> Self {
        Self {
            node,
            facts,
            disk: Disk::new(Vec::new()),
            core: None,
            life: LifeId::fresh(rng.ids()),
            boots: 0,
            booted_at: 0,
            skew_ms: 0,
            way: Way::default(),
            dark_until: 0,
            engine: Engine::new(n),
            ids: SeededIds(0),
            inbox: VecDeque::new(),
            batch: None,
            turn_planned: false,
            tick_at: None,
            asked: None,
            asked_at: 0,
            welcomed: false,
            reports: BTreeMap::new(),
            numbers: 0,
            name: format!("n{}", n + 1),
        }
    }
}

impl World {
    pub(crate) fn worker_starts(&mut self, n: usize) {
        if self.workers[n].core.is_some() {
            return;
        }
        let life = LifeId::fresh(self.rng.ids());
        let w = &mut self.workers[n];
        w.life = life;
        w.ids = SeededIds(self.rng.below(u64::MAX));
        let core = Worker::load(life, format!("boot-{}", w.boots), w.disk.rows());
        w.core = Some(core);
        let name = w.name.clone();
        self.note(format!("worker {name} starts"));
        self.worker_event(n, Event::Started);
        self.tell_engine_state(n, 10);
        self.schedule(5, Happening::Worker(n, life, Do::Hello));
    }

    /// The process ends without a word; its kernel closes its connections. What it had in memory must be what its store
    /// and its last batch make.
    pub fn crash_worker(&mut self, n: usize) {
        let back = self.faults.restart_ms(&mut self.rng);
        let life = self.workers[n].life;
        self.end_worker(n);
        self.send(Message::Closed { from: n, life });
        self.schedule(back, Happening::WorkerStarts(n));
    }

    pub(crate) fn end_worker(&mut self, n: usize) {
        let w = &mut self.workers[n];
        let Some(core) = w.core.take() else { return };
        let batch = w.batch.take().map_or_else(Vec::new, |b| b.changes);
        let mut loaded = Worker::load(w.life, format!("boot-{}", w.boots), w.disk.rows());
        for change in &batch {
            loaded.apply(change);
        }
        if !loaded.same_durable(&core) {
            self.checker
                .find(format!("{}: what is in memory is not what a load and the last batch make", w.name));
        }
        w.life = LifeId::fresh(self.rng.ids());
        w.inbox.clear();
        w.turn_planned = false;
        w.tick_at = None;
        w.asked = None;
        w.welcomed = false;
        w.reports.clear();
        let name = w.name.clone();
        self.note(format!("worker {name} crashes"));
    }

    /// The node was removed: what it ran for this cluster is stopped, and nothing is asked of it any more.
    fn stops_for_good(&mut self, n: usize) {
        let name = self.workers[n].name.clone();
        self.note(format!("{name} hears that it was removed, and stops what it runs"));
        self.end_worker(n);
        self.ends_all(n);
    }

    /// The process dies, and is started again after so long.
    pub fn stay_away(&mut self, n: usize, ms: u64) {
        let life = self.workers[n].life;
        self.end_worker(n);
        self.send(Message::Closed { from: n, life });
        self.schedule(ms, Happening::WorkerStarts(n));
    }

    /// The process stops in order, and says when it will be back.
    pub fn say_goodbye(&mut self, n: usize, back_in: Span) {
        let w = &self.workers[n];
        let (node, life, body) = (w.node, w.life, Up::Goodbye(back_in));
        self.send(Message::Up { from: n, node, life, number: 0, body });
        self.stay_away(n, back_in.ms());
    }

    /// A machine dies with everything on it, and its connections break.
    pub fn kill_machine(&mut self, n: usize, dark_ms: u64) {
        let life = self.workers[n].life;
        self.send(Message::Closed { from: n, life });
        self.lose_power(n, dark_ms);
    }

    /// The power fails for a moment: every process is gone. What was committed is there.
    pub fn reboot(&mut self, n: usize) {
        let dark = self.faults.restart_ms(&mut self.rng) / 2;
        self.lose_power(n, dark);
        let name = self.workers[n].name.clone();
        self.note(format!("node {name} is rebooted"));
    }

    /// The power fails for so long; then the machine starts, its engine, and its worker.
    pub fn lose_power(&mut self, n: usize, dark_ms: u64) {
        self.end_worker(n);
        self.engine_loses_power(n);
        self.checker.counts_lost();
        let back = dark_ms + self.faults.restart_ms(&mut self.rng) / 2 + 1_000;
        let (now, w) = (self.now, &mut self.workers[n]);
        w.boots += 1;
        w.booted_at = now;
        w.dark_until = now + dark_ms;
        if n == 0 {
            // It is the manager's machine as well.
            self.end_manager();
            self.schedule(back, Happening::ManagerStarts);
        }
        self.schedule(back - 500, Happening::Engine(n, super::engine::Do::ComesUp));
        self.schedule(back, Happening::WorkerStarts(n));
    }

    /// The worker's store is lost with its process.
    pub fn lose_worker_store(&mut self, n: usize) {
        self.crash_worker(n);
        self.workers[n].disk.wipe();
        let name = self.workers[n].name.clone();
        self.checker.counts_lost();
        self.note(format!("the store of {name} is lost"));
    }

    pub(crate) fn worker_event(&mut self, n: usize, event: Event) {
        self.workers[n].inbox.push_back(event);
        self.plan_worker_turn(n);
    }

    /// Something that reaches a worker's process a little later.
    pub(crate) fn worker_event_in(&mut self, n: usize, life: LifeId, ms: u64, event: Event) {
        self.schedule(ms, Happening::Worker(n, life, Do::Event(Box::new(event))));
    }

    /// The shell looks at the engine a little later, and tells the core.
    pub(crate) fn tell_engine_state(&mut self, n: usize, ms: u64) {
        let life = self.workers[n].life;
        self.schedule(ms, Happening::Worker(n, life, Do::LookAtEngine));
    }

    fn look_at_engine(&mut self, n: usize) {
        let engine = &self.workers[n].engine;
        let state = match engine.power {
            Power::Up => {
                EngineState::Up { life: format!("e{}", engine.life), live_restore: engine.live_restore }
            }
            Power::Hung => EngineState::Unresponsive,
            Power::Down => EngineState::Away,
        };
        self.worker_event(n, Event::Engine(state));
    }

    fn plan_worker_turn(&mut self, n: usize) {
        let w = &mut self.workers[n];
        if w.core.is_some() && !w.turn_planned && w.batch.is_none() {
            w.turn_planned = true;
            let life = w.life;
            self.schedule(0, Happening::Worker(n, life, Do::Turn));
        }
    }

    pub(crate) fn worker_does(&mut self, n: usize, what: Do) {
        match what {
            Do::Turn => self.worker_turn(n),
            Do::Committed => self.worker_committed(n),
            Do::Tick => {
                let boot = self.clock_of(n).boot_ms;
                if self.workers[n].tick_at.is_some_and(|at| at <= boot) {
                    self.workers[n].tick_at = None;
                    self.worker_event(n, Event::Tick);
                }
            }
            Do::Event(event) => self.worker_event(n, *event),
            Do::LookAtEngine => self.look_at_engine(n),
            Do::Hello => self.say_hello(n),
            Do::Poll => self.poll(n),
            Do::NoAnswer(number) => {
                if self.workers[n].asked == Some(number) {
                    self.link_broke(n);
                }
            }
        }
    }

    fn worker_turn(&mut self, n: usize) {
        let now = self.clock_of(n);
        let w = &mut self.workers[n];
        w.turn_planned = false;
        let Some(core) = &mut w.core else { return };
        let mut batch = Batch::default();
        for _ in 0..BATCH {
            let Some(event) = w.inbox.pop_front() else { break };
            let step = core.step(event, now, &mut w.ids);
            batch.changes.extend(step.changes);
            batch.effects.extend(step.effects);
        }
        let life = w.life;
        if let Some(at) = core.next_deadline()
            && w.tick_at.is_none_or(|planned| at < planned)
        {
            let at = at.max(now.boot_ms + 1);
            w.tick_at = Some(at);
            self.schedule(at - now.boot_ms, Happening::Worker(n, life, Do::Tick));
        }
        let wait = if batch.changes.is_empty() { 0 } else { self.rng.between(1, 1 + self.faults.late / 4) };
        self.workers[n].batch = Some(batch);
        self.schedule(wait, Happening::Worker(n, life, Do::Committed));
    }

    fn worker_committed(&mut self, n: usize) {
        if self.rng.chance(self.faults.crash_before_commit) {
            self.crash_worker(n);
            return;
        }
        let w = &mut self.workers[n];
        let Some(batch) = w.batch.take() else { return };
        if !batch.changes.is_empty() {
            w.disk.commit(batch.changes);
            let Some(core) = &w.core else { return };
            for found in check_worker(core) {
                self.checker.find(format!("{}: {found}", w.name));
            }
        }
        for effect in batch.effects {
            if self.rng.chance(self.faults.crash_amid_effects) {
                self.crash_worker(n);
                return;
            }
            match effect {
                Effect::Report { placements } => self.report(n, placements),
                effect => self.engine_asked(n, effect),
            }
        }
        if !self.workers[n].inbox.is_empty() {
            self.plan_worker_turn(n);
        }
    }

    fn number(&mut self, n: usize) -> u64 {
        self.workers[n].numbers += 1;
        self.workers[n].numbers
    }

    fn ask(&mut self, n: usize, body: Up) {
        let number = self.number(n);
        let (node, life) = (self.workers[n].node, self.workers[n].life);
        self.workers[n].asked = Some(number);
        self.workers[n].asked_at = self.clock_of(n).boot_ms;
        self.send(Message::Up { from: n, node, life, number, body });
        self.schedule(PATIENCE_MS, Happening::Worker(n, life, Do::NoAnswer(number)));
    }

    fn say_hello(&mut self, n: usize) {
        if self.workers[n].asked.is_some() {
            return;
        }
        let clock = self.clock_of(n).wall;
        let w = &self.workers[n];
        let Some(core) = &w.core else { return };
        let hello = Hello {
            version: LINK_VERSION,
            life: w.life,
            facts: w.facts.clone(),
            generation: core.generation(),
            clock,
            inventory: core.inventory(),
        };
        self.ask(n, Up::Hello(Box::new(hello)));
    }

    fn poll(&mut self, n: usize) {
        if !self.workers[n].welcomed || self.workers[n].asked.is_some() {
            return;
        }
        let Some(core) = &self.workers[n].core else { return };
        let (generation, conditions) = (core.generation(), core.conditions());
        let body = Up::Poll { generation, conditions, clock: self.clock_of(n).wall };
        self.ask(n, body);
    }

    fn report(&mut self, n: usize, placements: Vec<orca_api::link::PlacementStatus>) {
        if !self.workers[n].welcomed {
            return;
        }
        let number = self.number(n);
        let w = &mut self.workers[n];
        w.reports.insert(number, placements.iter().map(|p| (p.placement, p.sequence)).collect());
        let (node, life) = (w.node, w.life);
        self.send(Message::Up { from: n, node, life, number, body: Up::Report(placements) });
    }

    /// The connection is gone: a new one begins with a hello.
    pub(crate) fn link_broke(&mut self, n: usize) {
        let w = &mut self.workers[n];
        w.asked = None;
        w.welcomed = false;
        w.reports.clear();
        let life = w.life;
        let wait = self.rng.between(100, 1_000);
        self.schedule(wait, Happening::Worker(n, life, Do::Hello));
    }

    pub(crate) fn worker_hears(&mut self, n: usize, number: u64, body: Down) {
        let life = self.workers[n].life;
        let waited_for = self.workers[n].asked == Some(number);
        if waited_for {
            self.workers[n].asked = None;
        }
        match body {
            Down::Welcome(welcome) => {
                if waited_for {
                    self.workers[n].welcomed = true;
                }
                let event =
                    Event::Welcomed { cluster: welcome.cluster, node: welcome.node, name: welcome.name };
                self.worker_event(n, event);
            }
            Down::Poll { assignment } => {
                if waited_for {
                    let asked_at = self.workers[n].asked_at;
                    self.worker_event(n, Event::Heard { asked_at });
                }
                if let Some((assignment, specs)) = assignment {
                    self.worker_event(n, Event::Assigned { assignment, specs });
                }
            }
            Down::Report { unknown } => {
                let accepted = self.workers[n].reports.remove(&number).unwrap_or_default();
                self.worker_event(n, Event::ReportAccepted { accepted, unknown });
            }
            Down::Removed => self.stops_for_good(n),
            Down::Refused => {
                self.workers[n].reports.remove(&number);
                self.link_broke(n);
            }
        }
        if waited_for {
            self.schedule(10, Happening::Worker(n, life, Do::Poll));
        }
    }
}
