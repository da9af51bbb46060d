//! A model of all that surrounds the worker core: one engine, one disk, one manager's wishes, one clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use orca_api::id::{ClusterId, LifeId, NodeId, PlacementId, SeededIds, TaskId};
use orca_api::link::{
    Assigned, Assignment, DEAD_CONTAINERS_KEPT, Generation, PlacementStatus, PlacementWanted,
};
use orca_api::spec::TaskSpec;
use orca_api::task::{Reason, State};
use orca_api::units::{Bytes, Span, Time};

use crate::Now;
use crate::invariant::check_worker;
use crate::worker::io::{
    Container, ContainerStatus, Done, EngineState, Failure, FailureKind, Health, Labels,
};
use crate::worker::{Effect, Event, Worker};

/// Placements that there may be.
const PLACEMENTS: usize = 3;

pub(super) struct World {
    pub worker: Worker,
    pub ids: SeededIds,
    pub now: Now,
    pub boot_id: String,
    /// What the disk holds.
    stored: Worker,
    /// Effects that the engine has not carried out.
    pub pending: VecDeque<Effect>,
    /// Events on their way to the core.
    pub inbox: VecDeque<Event>,
    /// The engine.
    pub containers: BTreeMap<String, Container>,
    engine_life: u32,
    pub engine: Option<EngineState>,
    pub live_restore: bool,
    made: u32,
    pub cluster: ClusterId,
    node: NodeId,
    /// What the manager wants.
    pub assignment: Assignment,
    pub specs: BTreeMap<String, Arc<TaskSpec>>,
    pub placements: Vec<PlacementId>,
    tasks: Vec<TaskId>,
    /// The latest reports, as the manager keeps them.
    pub reported: BTreeMap<PlacementId, PlacementStatus>,
    /// The highest state that was committed of each attempt.
    highest: BTreeMap<(PlacementId, u32), State>,
    /// Effects on the engine since this was last cleared.
    pub calls: Vec<String>,
    /// Changes that were committed since this was last cleared.
    pub commits: usize,
    /// Whether the way to the manager loses reports.
    lossy: bool,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut ids = SeededIds(seed);
        let spec = TaskSpec {
            memory: Some(Bytes::mib(64)),
            ..TaskSpec::of_image("busybox:1".parse().expect("an image"))
        };
        let worker = Worker::load(LifeId::fresh(&mut ids), "boot-1".to_owned(), []);
        let mut world = Self {
            stored: worker.clone(),
            worker,
            now: Now { wall: Time::from_ms(1_800_000_000_000), boot_ms: 1_000_000 },
            boot_id: "boot-1".to_owned(),
            pending: VecDeque::new(),
            inbox: VecDeque::new(),
            containers: BTreeMap::new(),
            engine_life: 1,
            engine: None,
            live_restore: false,
            made: 0,
            cluster: ClusterId::fresh(&mut ids),
            node: NodeId::fresh(&mut ids),
            assignment: Assignment::default(),
            specs: BTreeMap::from([(spec.digest(), Arc::new(spec))]),
            placements: (0..PLACEMENTS).map(|_| PlacementId::fresh(&mut ids)).collect(),
            tasks: (0..PLACEMENTS).map(|_| TaskId::fresh(&mut ids)).collect(),
            reported: BTreeMap::new(),
            highest: BTreeMap::new(),
            calls: Vec::new(),
            commits: 0,
            lossy: false,
            ids,
        };
        world.begin_life();
        world
    }

    /// The events with which a daemon begins.
    fn begin_life(&mut self) {
        self.step(Event::Started);
        self.inbox.push_back(Event::Welcomed {
            cluster: self.cluster,
            node: self.node,
            name: "n1".parse().expect("a name"),
        });
        self.set_engine(EngineState::Up {
            life: self.engine_life.to_string(),
            live_restore: self.live_restore,
        });
        self.inbox.push_back(self.assigned());
    }

    pub fn assigned(&self) -> Event {
        Event::Assigned { assignment: self.assignment.clone(), specs: self.specs.clone() }
    }

    /// The manager wants something of a placement; `None` takes it out of the set.
    pub fn want(&mut self, index: usize, wanted: Option<PlacementWanted>, restart: &str) {
        self.assignment.generation.n += 1;
        let (placement, task) = (self.placements[index], self.tasks[index]);
        match wanted {
            None => {
                self.assignment.placements.remove(&placement);
                // A placement never comes back: the next one of the task is another.
                self.placements[index] = PlacementId::fresh(&mut self.ids);
            }
            Some(wanted) => {
                let assigned = Assigned {
                    task,
                    name: format!("t{index}").parse().expect("a name"),
                    spec: self.specs.keys().next().cloned().unwrap_or_default(),
                    wanted,
                    stop_reason: (wanted == PlacementWanted::Stopped).then_some(Reason::StoppedByUser),
                    stop_grace: None,
                    restart: restart.parse().expect("a policy"),
                    attempts_before: 0,
                };
                self.assignment.placements.insert(placement, assigned);
            }
        }
        self.inbox.push_back(self.assigned());
    }

    /// One step, committed, with its effects released.
    pub fn step(&mut self, event: Event) {
        let step = self.worker.step(event, self.now, &mut self.ids);
        for change in &step.changes {
            self.stored.apply(change);
        }
        self.commits += step.changes.len();
        self.after_commit();
        for effect in step.effects {
            match effect {
                Effect::Report { .. } if self.lossy && self.ids.next_u64() % 4 == 0 => {}
                Effect::Report { placements } => {
                    let accepted = placements.iter().map(|p| (p.placement, p.sequence)).collect();
                    for status in placements {
                        self.take_report(status);
                    }
                    self.inbox.push_back(Event::ReportAccepted { accepted, unknown: Vec::new() });
                }
                effect => {
                    let name = match &effect {
                        Effect::Pull { image, .. } => format!("pull {image}"),
                        Effect::Create { name, .. } => format!("create {name}"),
                        Effect::Start { container, .. } => format!("start {container}"),
                        Effect::Stop { container, .. } => format!("stop {container}"),
                        Effect::Remove { container, .. } => format!("remove {container}"),
                        Effect::Inspect { .. } | Effect::Sweep | Effect::Report { .. } => String::new(),
                    };
                    if !name.is_empty() {
                        self.calls.push(name);
                    }
                    self.pending.push_back(effect);
                }
            }
        }
    }

    /// What the manager keeps: the largest sequence; of equal ones they must be equal.
    fn take_report(&mut self, status: PlacementStatus) {
        match self.reported.get(&status.placement) {
            Some(known) if known.sequence > status.sequence => {}
            Some(known) if known.sequence == status.sequence => {
                assert_eq!(known.attempts, status.attempts, "two reports of one sequence differ");
            }
            _ => {
                self.reported.insert(status.placement, status);
            }
        }
    }

    /// What must hold whenever something was committed.
    fn after_commit(&mut self) {
        assert_eq!(check_worker(&self.worker), Vec::<String>::new());
        assert!(self.worker.same_durable(&self.stored), "memory and disk differ");
        for status in self.worker.inventory() {
            for attempt in &status.attempts {
                let highest = self.highest.entry((status.placement, attempt.number)).or_insert(attempt.state);
                assert!(
                    attempt.state == *highest || (attempt.state > *highest && !highest.is_terminal()),
                    "attempt {} went from {highest} to {}",
                    attempt.number,
                    attempt.state
                );
                *highest = attempt.state;
            }
        }
    }

    /// At most one container of a placement lives.
    fn check_engine(&self) {
        let mut alive: BTreeMap<PlacementId, usize> = BTreeMap::new();
        for container in self.containers.values().filter(|c| c.status == ContainerStatus::Running) {
            if let Some(labels) = container.labels.as_ref().filter(|l| l.cluster == self.cluster) {
                *alive.entry(labels.placement).or_default() += 1;
            }
        }
        assert!(
            alive.values().all(|n| *n <= 1),
            "two containers of a placement live: {:#?}",
            self.containers
        );
    }

    pub fn set_engine(&mut self, state: EngineState) {
        self.engine = Some(state.clone());
        self.inbox.push_back(Event::Engine(state));
    }

    pub fn is_up(&self) -> bool {
        matches!(self.engine, Some(EngineState::Up { .. }))
    }

    /// The daemon dies and begins anew, with what was committed.
    pub fn crash(&mut self) {
        let rows = self.stored.durable_rows();
        let life = LifeId::fresh(&mut self.ids);
        self.worker = Worker::load(life, self.boot_id.clone(), rows);
        assert!(self.worker.same_durable(&self.stored), "what is loaded is not what was stored");
        self.inbox.clear();
        // What was asked of the engine may still be carried out, but nobody hears of it.
        self.begin_life();
    }

    /// Its store is lost with it.
    pub fn lose_store(&mut self) {
        self.stored = Worker::load(LifeId::fresh(&mut self.ids), self.boot_id.clone(), []);
        self.highest.clear();
        // Sequences follow the clock; a restart takes longer than the few that may have run ahead of it.
        self.now = self.now.plus(Span::from_secs(1));
        self.crash();
    }

    /// The engine is killed and comes back; without live-restore it takes its containers with it.
    pub fn restart_engine(&mut self) {
        if !self.live_restore {
            let running: Vec<String> = self
                .containers
                .values()
                .filter(|c| c.status == ContainerStatus::Running)
                .map(|c| c.id.clone())
                .collect();
            for id in running {
                self.exit(&id, 137);
            }
        }
        self.engine_life += 1;
        for effect in std::mem::take(&mut self.pending) {
            self.answer_unknown(&effect);
        }
        self.set_engine(EngineState::Away);
        self.set_engine(EngineState::Up {
            life: self.engine_life.to_string(),
            live_restore: self.live_restore,
        });
    }

    /// A container's process ends.
    pub fn exit(&mut self, id: &str, code: i32) {
        let now = self.now.wall;
        if let Some(container) = self.containers.get_mut(id).filter(|c| c.status == ContainerStatus::Running)
        {
            container.status = ContainerStatus::Exited;
            container.exit_code = Some(code);
            container.finished_at = Some(now);
            container.pid = 0;
        }
    }

    fn answer_unknown(&mut self, effect: &Effect) {
        if let Some(op) = op_of(effect) {
            let failure = Failure { kind: FailureKind::Unknown, message: "time-out".to_owned() };
            self.inbox.push_back(Event::Done { op, result: Err(failure) });
        }
    }

    fn answer_rejected(&mut self, effect: &Effect, reason: Reason) {
        if let Some(op) = op_of(effect) {
            let failure = Failure { kind: FailureKind::Rejected(reason), message: "no".to_owned() };
            self.inbox.push_back(Event::Done { op, result: Err(failure) });
        }
    }

    /// The engine carries an effect out, and answers.
    pub fn carry_out(&mut self, effect: Effect) {
        let now = self.now.wall;
        let answer = match effect {
            Effect::Pull { op, .. } => {
                Event::Done { op, result: Ok(Done::Pulled { image_id: "sha256:1".to_owned() }) }
            }
            Effect::Create { op, name, labels, .. } => Event::Done {
                op,
                result: Ok(Done::Created { container: self.create(name, labels), warnings: Vec::new() }),
            },
            Effect::Start { op, container } => {
                let result = match self.containers.get_mut(&container) {
                    None => Err(Failure { kind: FailureKind::NoSuchContainer, message: String::new() }),
                    Some(c) => {
                        if c.status == ContainerStatus::Created {
                            c.status = ContainerStatus::Running;
                            c.started_at = Some(now);
                            c.pid = 42;
                        }
                        Ok(Done::Started { seen: Box::new(c.clone()) })
                    }
                };
                Event::Done { op, result }
            }
            Effect::Stop { op, container, .. } => {
                self.exit(&container, 143);
                Event::Done {
                    op,
                    result: Ok(Done::Stopped {
                        seen: self.containers.get(&container).cloned().map(Box::new),
                    }),
                }
            }
            Effect::Remove { op, container } => {
                let running =
                    self.containers.get(&container).is_some_and(|c| c.status == ContainerStatus::Running);
                let result = if running {
                    Err(Failure { kind: FailureKind::Unknown, message: "it runs".to_owned() })
                } else if self.containers.remove(&container).is_some() {
                    Ok(Done::Removed)
                } else {
                    Err(Failure { kind: FailureKind::NoSuchContainer, message: String::new() })
                };
                Event::Done { op, result }
            }
            Effect::Inspect { container } => {
                let seen = self.containers.get(&container).cloned().map(Box::new);
                Event::Inspected { container, seen }
            }
            Effect::Sweep => Event::Swept { containers: self.containers.values().cloned().collect() },
            Effect::Report { .. } => return,
        };
        self.check_engine();
        self.inbox.push_back(answer);
    }

    fn create(&mut self, name: String, labels: Labels) -> String {
        if let Some(known) = self.containers.values().find(|c| c.name == name) {
            return known.id.clone();
        }
        self.made += 1;
        let id = format!("c{}", self.made);
        let container = Container {
            id: id.clone(),
            name,
            labels: Some(labels),
            status: ContainerStatus::Created,
            exit_code: Some(0),
            oom_killed: false,
            error: String::new(),
            created_at: Some(self.now.wall),
            started_at: None,
            finished_at: None,
            health: None,
            image_id: "sha256:1".to_owned(),
            ports: Vec::new(),
            pid: 0,
        };
        self.containers.insert(id.clone(), container);
        id
    }

    /// One random move; the most frequent ones are those that get on.
    pub fn move_on(&mut self, what: u8, which: usize) {
        self.lossy = true;
        const WANTED: [PlacementWanted; 4] = [
            PlacementWanted::Running,
            PlacementWanted::Running,
            PlacementWanted::Ready,
            PlacementWanted::Stopped,
        ];
        const POLICIES: [&str; 4] = ["always", "on-failure", "on-failure:2", "never"];
        let pick = |n: usize| if n == 0 { None } else { Some(which % n) };
        match what {
            0..=99 => self.deliver(which),
            100..=169 => {
                if self.is_up()
                    && let Some(effect) = pick(self.pending.len()).and_then(|i| self.pending.remove(i))
                {
                    self.carry_out(effect);
                }
            }
            170..=184 => self.advance(Span::from_ms(which as u64)),
            185..=204 => {
                let index = which % PLACEMENTS;
                let known = self.assignment.placements.get(&self.placements[index]).map(|a| a.wanted);
                // The manager never takes a stop back.
                let wanted = match (which / 8) % 5 {
                    4 => None,
                    _ if known == Some(PlacementWanted::Stopped) => None,
                    n => Some(WANTED[n]),
                };
                self.want(index, wanted, POLICIES[(which / 64) % 4]);
            }
            205..=212 => {
                if let Some(id) =
                    pick(self.containers.len()).and_then(|i| self.containers.keys().nth(i).cloned())
                {
                    self.exit(&id, [0, 1, 137][which / 256 % 3]);
                    self.inbox.push_back(Event::Hint { container: id });
                }
            }
            213..=214 => {
                if let Some(id) =
                    pick(self.containers.len()).and_then(|i| self.containers.keys().nth(i).cloned())
                {
                    self.containers.remove(&id);
                }
            }
            215..=219 => {
                if let Some(event) = pick(self.inbox.len()).and_then(|i| self.inbox.get(i).cloned()) {
                    self.inbox.push_back(event);
                }
            }
            220..=223 => {
                if let Some(i) = pick(self.inbox.len())
                    .filter(|i| !matches!(self.inbox[*i], Event::Engine(_) | Event::Welcomed { .. }))
                {
                    self.inbox.remove(i);
                }
            }
            224..=227 => {
                if let Some(effect) = pick(self.pending.len()).and_then(|i| self.pending.remove(i)) {
                    if which / 256 % 2 == 0 && self.is_up() {
                        self.carry_out(effect.clone());
                        self.inbox.pop_back();
                    }
                    self.answer_unknown(&effect);
                }
            }
            228..=230 => {
                let refusable = |e: &Effect| {
                    matches!(e, Effect::Pull { .. } | Effect::Create { .. } | Effect::Start { .. })
                };
                if let Some(i) = pick(self.pending.len()).filter(|i| refusable(&self.pending[*i]))
                    && let Some(effect) = self.pending.remove(i)
                {
                    self.answer_rejected(&effect, [Reason::PullError, Reason::PortTaken][which / 256 % 2]);
                }
            }
            231..=234 => self.crash(),
            235..=237 => {
                // Before the commit: the step never was.
                if let Some(event) = self.inbox.pop_front() {
                    let _ = self.worker.step(event, self.now, &mut self.ids);
                }
                self.crash();
            }
            238..=239 => self.lose_store(),
            240..=242 => self.restart_engine(),
            243..=244 => {
                self.live_restore = which % 2 == 0;
                self.restart_engine();
            }
            245..=247 => self.set_engine([EngineState::Away, EngineState::Unresponsive][which % 2].clone()),
            248..=251 => self.set_engine(EngineState::Up {
                life: self.engine_life.to_string(),
                live_restore: self.live_restore,
            }),
            252..=253 => {
                if let Some(id) =
                    pick(self.containers.len()).and_then(|i| self.containers.keys().nth(i).cloned())
                    && let Some(container) = self.containers.get_mut(&id)
                {
                    container.health = Some(
                        [Health::Starting, Health::Healthy, Health::Unhealthy("no answer".to_owned())]
                            [which / 256 % 3]
                            .clone(),
                    );
                    self.inbox.push_back(Event::Hint { container: id });
                }
            }
            254 => self.advance(Span::from_secs(which as u64)),
            255 => {
                // The machine is restarted.
                self.boot_id = format!("boot-{which}-{}", self.ids.next_u64());
                self.pending.clear();
                let running: Vec<String> = self.containers.keys().cloned().collect();
                for id in running {
                    self.exit(&id, 255);
                }
                self.engine_life += 1;
                self.crash();
            }
        }
    }

    /// An event reaches the core; not always the oldest.
    fn deliver(&mut self, which: usize) {
        let index = if which % 4 == 0 { which / 4 % self.inbox.len().max(1) } else { 0 };
        // The engine's conditions come in order.
        let index =
            if matches!(self.inbox.get(index), Some(Event::Engine(_))) { self.first_engine() } else { index };
        if let Some(event) = self.inbox.remove(index) {
            self.step(event);
        }
    }

    fn first_engine(&self) -> usize {
        self.inbox.iter().position(|e| matches!(e, Event::Engine(_))).unwrap_or(0)
    }

    fn advance(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.step(Event::Tick);
    }

    /// Delivers everything, until there is nothing to deliver.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if let Some(event) = self.inbox.pop_front() {
                self.step(event);
            } else if let Some(effect) = self.pending.pop_front() {
                self.carry_out(effect);
            } else {
                return;
            }
        }
        panic!("it does not settle: {:?}", self.calls.iter().rev().take(20).collect::<Vec<_>>());
    }

    /// Time passes, deadline by deadline, with everything delivered at once.
    pub fn run_for(&mut self, span: Span) {
        let end = self.now.plus(span);
        self.settle();
        for _ in 0..10_000 {
            let Some(at) = self.worker.next_deadline().filter(|at| *at <= end.boot_ms) else { break };
            assert!(at > self.now.boot_ms, "a deadline that is over");
            self.now = self.now.plus(Span::from_ms(at - self.now.boot_ms));
            self.step(Event::Tick);
            self.settle();
        }
        self.now = end;
        self.step(Event::Tick);
        self.settle();
    }

    /// The faults end. Twenty minutes are enough for a lost pull and the longest back-off.
    pub fn calm_down(&mut self) {
        self.lossy = false;
        for container in self.containers.values_mut() {
            container.health = None;
        }
        self.set_engine(EngineState::Up {
            life: self.engine_life.to_string(),
            live_restore: self.live_restore,
        });
        self.inbox.push_back(Event::Welcomed {
            cluster: self.cluster,
            node: self.node,
            name: "n1".parse().expect("a name"),
        });
        self.inbox.push_back(self.assigned());
        self.run_for(Span::from_secs(1200));
    }

    /// What is wanted is there, and nothing else.
    pub fn assert_converged(&mut self) {
        let held = self.worker.inventory();
        let known: BTreeSet<PlacementId> = held.iter().map(|s| s.placement).collect();
        let wanted: BTreeSet<PlacementId> = self.assignment.placements.keys().copied().collect();
        assert_eq!(known, wanted, "what is held is not what is assigned");
        assert_eq!(self.worker.generation(), self.assignment.generation);
        let mut needed = BTreeSet::new();
        for status in &held {
            let last = status.attempts.last();
            match self.assignment.placements[&status.placement].wanted {
                PlacementWanted::Stopped => assert!(
                    status.finished && last.is_none_or(|a| a.state.is_terminal()),
                    "not stopped: {status:#?}"
                ),
                _ if status.finished => assert!(
                    last.is_some_and(|a| a.state.is_terminal()),
                    "finished without an end: {status:#?}"
                ),
                PlacementWanted::Running => {
                    assert!(last.is_some_and(|a| a.state == State::Running), "does not run: {status:#?}")
                }
                PlacementWanted::Ready => assert!(
                    last.is_some_and(|a| matches!(a.state, State::Ready | State::Running)),
                    "is not ready: {status:#?}"
                ),
            }
            if let Some(a) = last.filter(|a| !a.state.is_terminal()) {
                needed.insert(a.container.clone().expect("a container"));
            }
            assert_eq!(
                self.reported.get(&status.placement).map(|r| &r.attempts),
                Some(&status.attempts),
                "not reported"
            );
        }
        let mut dead: BTreeMap<TaskId, usize> = BTreeMap::new();
        for container in self.containers.values() {
            let labels = container.labels.as_ref().expect("labels");
            if !needed.contains(&container.id) {
                assert_eq!(container.status, ContainerStatus::Exited, "a leftover: {container:#?}");
                assert!(wanted.contains(&labels.placement), "a container of nobody: {container:#?}");
                *dead.entry(labels.task).or_default() += 1;
            }
        }
        assert!(dead.values().all(|n| *n <= DEAD_CONTAINERS_KEPT), "too many dead containers");
    }

    /// Restarts of the daemon, resent sets and sweeps touch nothing.
    pub fn assert_restart_neutral(&mut self) {
        self.calls.clear();
        self.commits = 0;
        for _ in 0..2 {
            self.inbox.push_back(self.assigned());
            self.run_for(Span::from_secs(60));
            self.crash();
            self.run_for(Span::from_secs(60));
        }
        assert_eq!(self.calls, Vec::<String>::new(), "something was done though nothing had changed");
        assert_eq!(self.commits, 0, "something was stored though nothing had changed");
        // An older set is refused.
        let older =
            Generation { n: self.assignment.generation.n.saturating_sub(1), ..self.assignment.generation };
        if older < self.assignment.generation {
            self.step(Event::Assigned {
                assignment: Assignment { generation: older, ..Assignment::default() },
                specs: BTreeMap::new(),
            });
            assert_eq!((self.calls.len(), self.commits), (0, 0), "an older set was taken in");
        }
    }
}

fn op_of(effect: &Effect) -> Option<crate::worker::OpId> {
    match effect {
        Effect::Pull { op, .. }
        | Effect::Create { op, .. }
        | Effect::Start { op, .. }
        | Effect::Stop { op, .. }
        | Effect::Remove { op, .. } => Some(*op),
        Effect::Inspect { .. } | Effect::Sweep | Effect::Report { .. } => None,
    }
}
