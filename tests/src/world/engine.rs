//! A container engine in memory: it does what the worker's effects ask for, as Docker would, and it can fail.
//!
//! What an image does is in its name:
//!
//! | image | its process |
//! |---|---|
//! | `forever…` | runs, and exits with 0 soon after a TERM |
//! | `stubborn…` | runs, and has to be killed |
//! | `exit-CODE-after-MS` | exits by itself |
//! | `sick-after-MS` | runs and has a health check: healthy soon, and unhealthy after that time |
//! | `missing…` | is in no registry |
//! | `unstartable…` | cannot be executed |
//!
//! Once the world is repaired every image runs for ever.

use std::collections::{BTreeMap, BTreeSet};

use orca_api::id::LifeId;
use orca_api::link::PublishedPort;
use orca_api::spec::Port;
use orca_api::task::Reason;
use orca_api::units::Time;
use orca_core::worker::OpId;
use orca_core::worker::io::{
    Container, ContainerStatus, Done, Effect, Event, Failure, FailureKind, Health, Labels,
};

use super::{Happening, World};

/// How long a polite process needs to end.
const POLITE_MS: u64 = 50;
/// How long a health check needs for its first good word.
const HEALTHY_MS: u64 = 300;
/// How long a pull takes.
const PULL_MS: u64 = 2_000;

/// What an engine does next.
#[derive(Debug)]
pub(crate) enum Do {
    /// What a worker's process of that life asked for.
    Asked(LifeId, Box<Effect>),
    /// A process ends by itself: container, the number of its run, exit code.
    Ends(String, u64, i32),
    /// A container's health check says something: container, the number of its run.
    Health(String, u64, Health),
    /// A stop's grace is over, or its container has ended.
    StopOver(LifeId, OpId, String),
    /// It comes up, or goes on after it hung.
    ComesUp,
}

/// Whether an engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It does.
    Up,
    /// It is there and says nothing.
    Hung,
    /// It is not there.
    Down,
}

/// A container.
#[derive(Clone, Debug)]
pub struct Made {
    /// What the engine tells of it.
    pub seen: Container,
    pub(crate) image: String,
    pub(crate) publishes: Vec<Port>,
    /// How often its process was begun.
    pub starts: u32,
    pub(crate) run: u64,
}

/// An engine.
pub struct Engine {
    /// Its number in the world.
    pub(crate) n: usize,
    /// Whether it answers.
    pub power: Power,
    pub(crate) life: u32,
    pub(crate) live_restore: bool,
    /// Its containers, by id.
    pub containers: BTreeMap<String, Made>,
    images: BTreeSet<String>,
    made: u64,
    /// Calls that changed something: create, start, stop, remove.
    pub calls: u64,
}

/// What an image does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behaviour {
    ends: Option<(i32, u64)>,
    /// It has a health check; when that one begins to fail, if ever.
    checked: bool,
    sick: Option<u64>,
    pub(crate) stubborn: bool,
    missing: bool,
    unstartable: bool,
}

pub(crate) fn behaviour(image: &str, repaired: bool) -> Behaviour {
    let mut b = Behaviour {
        ends: None,
        checked: image.starts_with("sick-"),
        sick: None,
        stubborn: image.starts_with("stubborn"),
        missing: false,
        unstartable: false,
    };
    if !repaired {
        b.missing = image.starts_with("missing");
        b.unstartable = image.starts_with("unstartable");
        b.sick = image.strip_prefix("sick-after-").and_then(|ms| ms.parse().ok());
        b.ends = image.strip_prefix("exit-").and_then(|rest| {
            let (code, ms) = rest.split_once("-after-")?;
            Some((code.parse().ok()?, ms.parse().ok()?))
        });
    }
    b
}

impl Engine {
    pub(crate) fn new(n: usize) -> Self {
        Self {
            n,
            power: Power::Up,
            life: 1,
            live_restore: false,
            containers: BTreeMap::new(),
            images: BTreeSet::new(),
            made: 0,
            calls: 0,
        }
    }

    /// Containers of others give their ports up.
    pub(crate) fn free_foreign_ports(&mut self) {
        for made in self.containers.values_mut().filter(|c| c.seen.labels.is_none()) {
            made.publishes.clear();
        }
    }

    /// The labels of everything that runs here and is ours.
    pub fn running(&self) -> impl Iterator<Item = &Labels> {
        self.containers.values().filter(|c| alive(&c.seen)).filter_map(|c| c.seen.labels.as_ref())
    }
}

pub(crate) fn alive(seen: &Container) -> bool {
    matches!(seen.status, ContainerStatus::Running | ContainerStatus::Paused)
}

fn failed(kind: FailureKind, message: &str) -> Result<Done, Failure> {
    Err(Failure { kind, message: message.to_owned() })
}

/// A container that is not there.
fn gone() -> Result<Done, Failure> {
    failed(FailureKind::NoSuchContainer, "no such container")
}

impl World {
    /// A worker's process asks for something.
    pub(crate) fn engine_asked(&mut self, n: usize, effect: Effect) {
        let life = self.workers[n].life;
        let late = self.rng.between(1, 1 + self.faults.late);
        self.schedule(late, Happening::Engine(n, Do::Asked(life, Box::new(effect))));
    }

    pub(crate) fn engine_does(&mut self, n: usize, what: Do) {
        match what {
            Do::Asked(life, effect) => self.engine_hears(n, life, *effect),
            Do::Ends(id, run, code) => {
                if self.engine(n).containers.get(&id).is_some_and(|c| c.run == run && alive(&c.seen)) {
                    self.ends(n, &id, code);
                }
            }
            Do::Health(id, run, health) => {
                let sick = matches!(health, Health::Unhealthy(_)) && self.faults.repaired;
                let made = self.engine(n).containers.get_mut(&id).filter(|c| c.run == run && alive(&c.seen));
                if let Some(made) = made.filter(|_| !sick) {
                    made.seen.health = Some(health);
                    self.hint(n, &id);
                }
            }
            Do::StopOver(life, op, id) => self.stop_over(n, life, op, &id),
            Do::ComesUp => self.engine_comes_up(n),
        }
        self.checker.look(&self.workers);
    }

    pub(crate) fn engine(&mut self, n: usize) -> &mut Engine {
        &mut self.workers[n].engine
    }

    fn engine_hears(&mut self, n: usize, life: LifeId, effect: Effect) {
        // A process that is gone may have asked just before; whether that was heard is a matter of luck.
        let heard =
            self.engine(n).power == Power::Up && (self.workers[n].life == life || self.rng.chance(500));
        let op = match &effect {
            Effect::Pull { op, .. }
            | Effect::Create { op, .. }
            | Effect::Start { op, .. }
            | Effect::Stop { op, .. }
            | Effect::Remove { op, .. } => Some(*op),
            Effect::Inspect { .. } | Effect::Sweep | Effect::Report { .. } => None,
        };
        if !heard || self.rng.chance(self.faults.engine_refuses) {
            if let Some(op) = op {
                self.tell(n, life, op, failed(FailureKind::Unknown, "no answer"), 1_000);
            }
            return;
        }
        match effect {
            Effect::Pull { op, image, .. } => self.pull(n, life, op, image),
            Effect::Create { op, name, labels, spec, .. } => {
                let made = self.create(n, name, labels, spec.image.to_string(), spec.ports.clone());
                self.tell(n, life, op, made, 20);
            }
            Effect::Start { op, container } => {
                let started = self.start(n, &container);
                self.tell(n, life, op, started, 50);
            }
            Effect::Stop { op, container, grace, .. } => self.stop(n, life, op, container, grace.ms()),
            Effect::Remove { op, container } => {
                let removed = self.remove(n, &container);
                self.tell(n, life, op, removed, 20);
            }
            Effect::Inspect { container } => {
                let seen = self.engine(n).containers.get(&container).map(|c| Box::new(c.seen.clone()));
                self.tell_event(n, life, Event::Inspected { container, seen }, 1);
            }
            Effect::Sweep => {
                let containers = self.engine(n).containers.values().map(|c| c.seen.clone());
                let containers = containers.filter(|c| c.labels.is_some()).collect();
                self.tell_event(n, life, Event::Swept { containers }, 5);
            }
            Effect::Report { .. } => {}
        }
    }

    /// The answer to an operation, unless it gets lost: then the worker's shell gives up on it.
    fn tell(&mut self, n: usize, life: LifeId, op: OpId, result: Result<Done, Failure>, ms: u64) {
        let (result, ms) = if self.rng.chance(self.faults.answers_lost) {
            (failed(FailureKind::Unknown, "the answer was lost"), self.rng.between(1_000, 10_000))
        } else {
            (result, ms)
        };
        let late = self.rng.below(1 + self.faults.late);
        self.worker_event_in(n, life, ms + late, Event::Done { op, result });
    }

    fn tell_event(&mut self, n: usize, life: LifeId, event: Event, ms: u64) {
        if !self.rng.chance(self.faults.answers_lost) {
            let late = self.rng.below(1 + self.faults.late * 4);
            self.worker_event_in(n, life, ms + late, event);
        }
    }

    /// The engine says that something happened to a container.
    pub(crate) fn hint(&mut self, n: usize, id: &str) {
        let life = self.workers[n].life;
        self.tell_event(n, life, Event::Hint { container: id.to_owned() }, 1);
    }

    fn pull(&mut self, n: usize, life: LifeId, op: OpId, image: String) {
        if behaviour(&image, self.faults.repaired).missing {
            let words = format!("{image}: not found in the registry");
            self.tell(n, life, op, failed(FailureKind::Rejected(Reason::ImageNotFound), &words), 300);
            return;
        }
        let ms = if self.engine(n).images.insert(image.clone()) { PULL_MS } else { 5 };
        self.tell(n, life, op, Ok(Done::Pulled { image_id: format!("sha256:{image}") }), ms);
    }

    fn create(
        &mut self,
        n: usize,
        name: String,
        labels: Labels,
        image: String,
        ports: Vec<Port>,
    ) -> Result<Done, Failure> {
        let now = self.clock_of(n).wall;
        let engine = self.engine(n);
        if let Some(same) = engine.containers.values().find(|c| c.seen.name == name) {
            return if same.seen.labels.as_ref() == Some(&labels) {
                Ok(Done::Created { container: same.seen.id.clone(), warnings: Vec::new() })
            } else {
                failed(FailureKind::Rejected(Reason::StartError), "the name is in use")
            };
        }
        if !engine.images.contains(&image) {
            return failed(FailureKind::ImageVanished, "no such image");
        }
        engine.made += 1;
        engine.calls += 1;
        let id = format!("c{}-{}", engine.n + 1, engine.made);
        let seen = Container {
            id: id.clone(),
            name,
            labels: Some(labels),
            status: ContainerStatus::Created,
            exit_code: None,
            oom_killed: false,
            error: String::new(),
            created_at: Some(now),
            started_at: None,
            finished_at: None,
            health: None,
            image_id: format!("sha256:{image}"),
            ports: Vec::new(),
            pid: 0,
            address: None,
        };
        self.note_call(n, "create", &seen);
        let made = Made { seen, image, publishes: ports, starts: 0, run: 0 };
        self.engine(n).containers.insert(id.clone(), made);
        Ok(Done::Created { container: id, warnings: Vec::new() })
    }

    fn start(&mut self, n: usize, id: &str) -> Result<Done, Failure> {
        let repaired = self.faults.repaired;
        let now = self.clock_of(n).wall;
        let engine = self.engine(n);
        let Some(made) = engine.containers.get(id) else { return gone() };
        if made.seen.status != ContainerStatus::Created {
            return Ok(Done::Started { seen: Box::new(made.seen.clone()) });
        }
        let b = behaviour(&made.image, repaired);
        if b.unstartable {
            return failed(FailureKind::Rejected(Reason::StartError), "exec: no such file");
        }
        let holds = |c: &Made| {
            alive(&c.seen) && c.publishes.iter().any(|p| made.publishes.iter().any(|q| p.clashes(q)))
        };
        if let Some(holder) = engine.containers.values().find(|c| holds(c)) {
            let words = format!("port is already allocated by {}", shown(&holder.seen));
            return failed(FailureKind::Rejected(Reason::PortTaken), &words);
        }
        engine.calls += 1;
        let Some(made) = engine.containers.get_mut(id) else { return gone() };
        made.starts += 1;
        made.run += 1;
        made.seen.status = ContainerStatus::Running;
        made.seen.started_at = Some(now);
        made.seen.finished_at = None;
        made.seen.exit_code = None;
        made.seen.pid = 1000;
        made.seen.health = b.checked.then_some(Health::Starting);
        made.seen.ports = made.publishes.iter().filter_map(published).collect();
        let (seen, run) = (made.seen.clone(), made.run);
        self.note_call(n, "start", &seen);
        let w = &self.workers[n];
        self.checker.started(self.now, &w.engine.containers[id], w.skew_ms == 0);
        if b.checked {
            let healthy = Do::Health(id.to_owned(), run, Health::Healthy);
            self.schedule(HEALTHY_MS, Happening::Engine(n, healthy));
        }
        if let Some(ms) = b.sick {
            let sick = Do::Health(id.to_owned(), run, Health::Unhealthy("no answer on port 80".to_owned()));
            self.schedule(ms.max(HEALTHY_MS + 1), Happening::Engine(n, sick));
        }
        if let Some((code, ms)) = b.ends {
            self.schedule(ms, Happening::Engine(n, Do::Ends(id.to_owned(), run, code)));
        }
        self.hint(n, id);
        Ok(Done::Started { seen: Box::new(seen) })
    }

    /// A process ends by itself.
    pub fn end_process(&mut self, n: usize, id: &str, code: i32) {
        self.ends(n, id, code);
    }

    /// Whether containers live on while the engine of a node is away.
    pub fn set_live_restore(&mut self, n: usize, on: bool) {
        self.engine(n).live_restore = on;
    }

    /// A process ends.
    pub(crate) fn ends(&mut self, n: usize, id: &str, code: i32) {
        let now = self.clock_of(n).wall;
        let Some(made) = self.engine(n).containers.get_mut(id) else { return };
        made.seen.status = ContainerStatus::Exited;
        made.seen.exit_code = Some(code);
        made.seen.finished_at = Some(now);
        made.seen.pid = 0;
        made.seen.ports.clear();
        let seen = made.seen.clone();
        self.note_call(n, &format!("exit {code} of"), &seen);
        self.checker.ended(self.now, &seen);
        if self.engine(n).power == Power::Up {
            self.hint(n, id);
        }
    }

    fn stop(&mut self, n: usize, life: LifeId, op: OpId, id: String, grace: u64) {
        let repaired = self.faults.repaired;
        let engine = self.engine(n);
        let Some(made) = engine.containers.get(&id) else {
            self.tell(n, life, op, Ok(Done::Stopped { seen: None }), 5);
            return;
        };
        let (seen, stubborn, run) = (made.seen.clone(), behaviour(&made.image, repaired).stubborn, made.run);
        if !alive(&seen) {
            self.tell(n, life, op, Ok(Done::Stopped { seen: Some(Box::new(seen)) }), 5);
            return;
        }
        engine.calls += 1;
        self.note_call(n, "stop", &seen);
        self.checker.stop_sent(&seen);
        if !stubborn {
            self.schedule(POLITE_MS, Happening::Engine(n, Do::Ends(id.clone(), run, 0)));
        }
        let wait = if stubborn { grace } else { POLITE_MS + 1 };
        self.schedule(wait, Happening::Engine(n, Do::StopOver(life, op, id)));
    }

    fn stop_over(&mut self, n: usize, life: LifeId, op: OpId, id: &str) {
        if self.engine(n).power != Power::Up {
            self.tell(n, life, op, failed(FailureKind::Unknown, "no answer"), 1_000);
            return;
        }
        // The kill is sent by the shell that sent the signal: if that one is gone, nobody sends it.
        let runs = self.engine(n).containers.get(id).is_some_and(|c| alive(&c.seen));
        if runs && self.workers[n].life == life {
            self.ends(n, id, 137);
        }
        let seen = self.engine(n).containers.get(id).map(|c| Box::new(c.seen.clone()));
        self.tell(n, life, op, Ok(Done::Stopped { seen }), 5);
    }

    fn remove(&mut self, n: usize, id: &str) -> Result<Done, Failure> {
        match self.engine(n).containers.get(id).map(|c| c.seen.clone()) {
            None => Ok(Done::Removed),
            Some(seen) if alive(&seen) => failed(FailureKind::Unknown, "it runs"),
            Some(seen) => {
                let engine = self.engine(n);
                engine.containers.remove(id);
                engine.calls += 1;
                self.note_call(n, "remove", &seen);
                Ok(Done::Removed)
            }
        }
    }

    pub(crate) fn note_call(&mut self, n: usize, what: &str, seen: &Container) {
        self.note(format!("    n{}: {what} {}", n + 1, shown(seen)));
    }

    /// The engine's wall clock, for tests that look at times.
    pub fn wall_of(&self, n: usize) -> Time {
        self.clock_of(n).wall
    }
}

fn published(port: &Port) -> Option<PublishedPort> {
    Some(PublishedPort {
        address: "0.0.0.0".to_owned(),
        host: port.host?,
        container: port.container,
        protocol: port.protocol,
    })
}

/// A container's name without what is random in it.
fn shown(seen: &Container) -> String {
    match (&seen.labels, seen.name.rsplit_once('-')) {
        (Some(_), Some((name, _))) => name.to_owned(),
        _ => seen.name.clone(),
    }
}
