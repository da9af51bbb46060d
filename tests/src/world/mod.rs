//! A world in one thread: a manager core and worker cores, with everything around them made of memory and one seed.
//!
//! ```text
//!                      network.rs: late, lost, doubled, out of order
//!   client.rs ──asks──► manager.rs ◄──hello, poll, report──► worker.rs ──effects──► engine.rs (containers)
//!                          │ disk.rs                            │ disk.rs              ends, restarts, hangs
//!                          └── crashes: before the commit, after it, amid the effects ─┘   (fault.rs)
//!   checker.rs looks on after every commit and every call of an engine
//! ```
//!
//! The shells of both roles are played here as the daemon plays them: events are gathered, stepped, committed once,
//! and only then are effects released. What is pending is one ordered queue; the next happening is taken from it,
//! time jumps to it, and every choice comes from the seed. So a run is repeated exactly by its seed, and a day costs
//! seconds.

pub mod calm;
pub mod checker;
pub mod client;
pub mod disk;
pub mod engine;
pub mod fault;
pub mod join;
pub mod manager;
pub mod network;
pub mod outage;
pub mod rng;
pub mod worker;

use std::collections::{BTreeMap, VecDeque};

use orca_api::id::{LifeId, NodeId};
use orca_api::link::NodeFacts;
use orca_api::node::Role;
use orca_api::units::{Bytes, Cpu, Span, Time};
use orca_core::Now;
use orca_core::manager::{Change, Manager};

use checker::Checker;
use client::Client;
use fault::Faults;
use manager::ManagerBox;
use rng::Rng;
use worker::WorkerBox;

/// The wall clock at the beginning: 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000;
/// The most workers of a random world.
const WORKERS_MAX: u64 = 50;
/// Lines of the transcript that a simulation keeps for its failure.
const LINES_KEPT: usize = 400;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The manager's process begins.
    ManagerStarts,
    /// The manager's process goes on, if it still is the one of that life.
    Manager(u64, manager::Do),
    /// A worker's process begins.
    WorkerStarts(usize),
    /// A worker's process goes on, if it still is the one of that life.
    Worker(usize, LifeId, worker::Do),
    /// A message arrives.
    Arrives(network::Message),
    /// A node's engine does something.
    Engine(usize, engine::Do),
    /// The client does something.
    Client(client::Do),
    /// Something breaks.
    Fault,
    /// A worker's way to the manager breaks for so many milliseconds.
    Cut(usize, network::Cut, u64),
}

/// The world.
pub struct World {
    /// Milliseconds since the beginning.
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
    /// The manager's machine.
    pub manager: ManagerBox,
    /// The workers' machines.
    pub workers: Vec<WorkerBox>,
    /// What machines that asked to join are.
    pub(crate) machines: Vec<NodeFacts>,
    /// Who asks.
    pub client: Client,
    /// What breaks.
    pub faults: Faults,
    /// Who looks on.
    pub checker: Checker,
    lines: VecDeque<String>,
    keep_lines: usize,
}

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The seed of every choice.
    pub seed: u64,
    /// How many nodes run a worker.
    pub workers: usize,
    /// CPUs of each.
    pub cpus: u64,
    /// Memory of each, in MiB.
    pub memory_mib: u64,
    /// What breaks from the beginning.
    pub faults: Faults,
    /// Whether every line of the transcript is kept.
    pub transcript: bool,
}

impl Plan {
    /// A calm world: what a scenario plays in.
    pub fn calm(workers: usize) -> Self {
        Self { seed: 1, workers, cpus: 4, memory_mib: 4096, faults: Faults::none(), transcript: true }
    }

    /// What a seed makes: a few workers, now and then many, and a little of every fault, or a lot of some.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5EED);
        let faults = Faults::random(&mut rng);
        let workers = match rng.below(100) {
            0..70 => rng.between(1, 4),
            70..95 => rng.between(5, 12),
            _ => rng.between(13, WORKERS_MAX),
        };
        Self { seed, workers: workers as usize, cpus: 4, memory_mib: 4096, faults, transcript: false }
    }
}

impl World {
    /// A world in which nothing has happened yet: the first start made a cluster, and every node was taken in.
    pub fn new(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let now = Now { wall: Time::from_ms(BEGIN), boot_ms: 0 };
        let name = |n: usize| format!("n{}", n + 1).parse().expect("a name");
        let mut rows = Manager::bootstrap(rng.ids(), now, name(0), vec![Role::Manager, Role::Worker]);
        let mut nodes: Vec<NodeId> = Vec::new();
        for n in 1..plan.workers {
            let mut more = Manager::bootstrap(rng.ids(), now, name(n), vec![Role::Worker]);
            rows.extend(more.pop());
        }
        for row in &rows {
            if let Change::NodePut { record } = row {
                nodes.push(record.id);
            }
        }
        let facts = |n: usize| NodeFacts {
            name: Some(name(n)),
            cpu: Cpu::from_millis(plan.cpus * 1000),
            memory: Bytes::mib(plan.memory_mib),
            disk: Bytes::mib(100 * 1024),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            engine: "27.0".to_owned(),
            orcad: "test".to_owned(),
            ..NodeFacts::default()
        };
        let workers =
            nodes.iter().enumerate().map(|(n, id)| WorkerBox::new(n, *id, facts(n), &mut rng)).collect();
        let mut world = Self {
            now: 0,
            manager: ManagerBox::new(rows),
            workers,
            machines: Vec::new(),
            client: Client::new(),
            faults: plan.faults,
            checker: Checker::new(),
            lines: VecDeque::new(),
            keep_lines: if plan.transcript { usize::MAX } else { LINES_KEPT },
            queue: BTreeMap::new(),
            queued: 0,
            rng,
        };
        world.schedule(0, Happening::ManagerStarts);
        for n in 0..plan.workers {
            world.schedule(10 + n as u64, Happening::WorkerStarts(n));
        }
        world
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Span) {
        let until = self.now + span.ms();
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= until
        {
            let ((at, _), happening) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(happening);
        }
        self.now = until;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ManagerStarts => self.manager_starts(),
            Happening::Manager(life, what) if life == self.manager.life => self.manager_does(what),
            Happening::WorkerStarts(n) => self.worker_starts(n),
            Happening::Worker(n, life, what) if life == self.workers[n].life => self.worker_does(n, what),
            // Of a process that is gone.
            Happening::Manager(..) | Happening::Worker(..) => {}
            Happening::Arrives(message) => self.arrives(message),
            Happening::Engine(n, what) => self.engine_does(n, what),
            Happening::Client(what) => self.client_does(what),
            Happening::Fault => self.fault_strikes(),
            Happening::Cut(..) if self.faults.is_none() => {}
            Happening::Cut(n, which, ms) => self.cut(n, which, ms),
        }
    }

    pub(crate) fn schedule(&mut self, in_ms: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + in_ms, self.queued), happening);
    }

    /// The manager's clocks.
    pub fn clock(&self) -> Now {
        Now { wall: Time::from_ms(BEGIN + self.now as i64), boot_ms: self.now }
    }

    /// A worker's clocks: its wall clock may be set wrongly, and its boot clock begins with its machine's start.
    pub(crate) fn clock_of(&self, n: usize) -> Now {
        let worker = &self.workers[n];
        Now {
            wall: Time::from_ms(BEGIN + self.now as i64 + worker.skew_ms),
            boot_ms: self.now - worker.booted_at,
        }
    }

    /// Adds a line to the transcript.
    pub fn note(&mut self, text: impl std::fmt::Display) {
        if self.lines.len() >= self.keep_lines {
            self.lines.pop_front();
        }
        let ms = self.now;
        self.lines.push_back(format!("{:>5}.{:03}  {text}", ms / 1000, ms % 1000));
    }

    /// The lines of the transcript since the last call.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.lines.drain(..).collect()
    }

    /// Stops with the transcript's end when something was found that must not be.
    ///
    /// # Panics
    /// When the checker found something.
    pub fn assert_sound(&mut self) {
        if let Some(found) = self.checker.found.first().cloned() {
            let lines: Vec<String> = self.take_lines();
            panic!("{found}\n\nat {} ms, after:\n{}", self.now, lines.join("\n"));
        }
    }
}
