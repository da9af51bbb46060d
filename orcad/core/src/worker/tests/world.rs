//! A model of all that surrounds the worker core: one engine, one disk, one manager's wishes, one clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use orca_api::id::{ClusterId, LifeId, NodeId, PlacementId, SeededIds, TaskId};
use orca_api::link::{Assigned, Assignment, PlacementStatus, PlacementWanted};
use orca_api::spec::{HealthCheck, TaskSpec};
use orca_api::task::{Reason, State};
use orca_api::units::{Bytes, Span, Time};

use crate::Now;
use crate::worker::io::{Container, EngineState, Health};
use crate::worker::{Effect, Event, Worker};

/// Placements that there may be.
pub(super) const PLACEMENTS: usize = 3;
/// The one of them whose health is checked over the network.
pub(super) const CHECKED: usize = 2;

pub(super) struct World {
    pub(super) worker: Worker,
    pub(super) ids: SeededIds,
    pub(super) now: Now,
    pub(super) boot_id: String,
    /// What the disk holds.
    pub(super) stored: Worker,
    /// Effects that the engine has not carried out.
    pub(super) pending: VecDeque<Effect>,
    /// Events on their way to the core.
    pub(super) inbox: VecDeque<Event>,
    /// The engine.
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) engine_life: u32,
    pub(super) engine: Option<EngineState>,
    pub(super) live_restore: bool,
    pub(super) made: u32,
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    /// What the manager wants.
    pub(super) assignment: Assignment,
    pub(super) specs: BTreeMap<String, Arc<TaskSpec>>,
    /// The digest of each placement's spec.
    pub(super) digests: [String; PLACEMENTS],
    pub(super) placements: Vec<PlacementId>,
    pub(super) tasks: Vec<TaskId>,
    /// The latest reports, as the manager keeps them.
    pub(super) reported: BTreeMap<PlacementId, PlacementStatus>,
    /// The highest state that was committed of each attempt.
    pub(super) highest: BTreeMap<(PlacementId, u32), State>,
    /// Effects on the engine since this was last cleared.
    pub(super) calls: Vec<String>,
    /// Changes that were committed since this was last cleared.
    pub(super) commits: usize,
    /// Whether the way to the manager loses reports.
    pub(super) lossy: bool,
    /// Whether anybody checks over the network.
    pub(super) probes: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut ids = SeededIds(seed);
        let spec = TaskSpec {
            memory: Some(Bytes::mib(64)),
            ..TaskSpec::of_image("busybox:1".parse().expect("an image"))
        };
        let checked = TaskSpec {
            health: Some(HealthCheck { tcp: Some(80), ..HealthCheck::default() }),
            ..spec.clone()
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
            digests: [spec.digest(), spec.digest(), checked.digest()],
            specs: [spec, checked].into_iter().map(|spec| (spec.digest(), Arc::new(spec))).collect(),
            placements: (0..PLACEMENTS).map(|_| PlacementId::fresh(&mut ids)).collect(),
            tasks: (0..PLACEMENTS).map(|_| TaskId::fresh(&mut ids)).collect(),
            reported: BTreeMap::new(),
            highest: BTreeMap::new(),
            calls: Vec::new(),
            commits: 0,
            lossy: false,
            probes: true,
            ids,
        };
        world.begin_life();
        world
    }

    /// The events with which a daemon begins.
    pub(super) fn begin_life(&mut self) {
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

    pub(super) fn assigned(&self) -> Event {
        Event::Assigned { assignment: self.assignment.clone(), specs: self.specs.clone() }
    }

    /// The manager wants something of a placement; `None` takes it out of the set.
    pub(super) fn want(&mut self, index: usize, wanted: Option<PlacementWanted>, restart: &str) {
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
                    spec: self.digests[index].clone(),
                    wanted,
                    stop_reason: (wanted == PlacementWanted::Stopped).then_some(Reason::StoppedByUser),
                    stop_grace: None,
                    restart: restart.parse().expect("a policy"),
                    attempts_before: 0,
                    budget_used: 0,
                };
                self.assignment.placements.insert(placement, assigned);
            }
        }
        self.inbox.push_back(self.assigned());
    }

    /// One step, committed, with its effects released.
    pub(super) fn step(&mut self, event: Event) {
        let step = self.worker.step(event, self.now, &mut self.ids);
        for change in &step.changes {
            self.stored.apply(change);
        }
        self.commits += step.changes.len();
        self.after_commit();
        for effect in step.effects {
            match effect {
                Effect::Report { .. } if self.lossy && self.ids.next_u64().is_multiple_of(4) => {}
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
    pub(super) fn take_report(&mut self, status: PlacementStatus) {
        match self.reported.get(&status.placement) {
            Some(known) if known.sequence > status.sequence => {}
            Some(known) if known.sequence == status.sequence => {
                assert_eq!(known.attempts, status.attempts, "two reports of one sequence differ");
                self.reported.insert(status.placement, status);
            }
            _ => {
                self.reported.insert(status.placement, status);
            }
        }
    }

    /// The daemon dies and begins anew, with what was committed.
    pub(super) fn crash(&mut self) {
        let rows = self.stored.durable_rows();
        let life = LifeId::fresh(&mut self.ids);
        self.worker = Worker::load(life, self.boot_id.clone(), rows);
        assert!(self.worker.same_durable(&self.stored), "what is loaded is not what was stored");
        self.inbox.clear();
        // What was asked of the engine may still be carried out, but nobody hears of it.
        self.begin_life();
    }

    /// Its store is lost with it.
    pub(super) fn lose_store(&mut self) {
        self.stored = Worker::load(LifeId::fresh(&mut self.ids), self.boot_id.clone(), []);
        self.highest.clear();
        // Sequences follow the clock; a restart takes longer than the few that may have run ahead of it.
        self.now = self.now.plus(Span::from_secs(1));
        self.crash();
    }

    /// Delivers everything, until there is nothing to deliver. What is to be checked is found well.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            if let Some(event) = self.inbox.pop_front() {
                self.step(event);
            } else if let Some(effect) = self.pending.pop_front() {
                self.carry_out(effect);
            } else if let Some(target) = self.worker.checks().into_iter().find(|t| t.starting && self.probes)
            {
                self.check(&target.container, Health::Healthy, None);
            } else {
                return;
            }
        }
        panic!("it does not settle: {:?}", self.calls.iter().rev().take(20).collect::<Vec<_>>());
    }

    /// A check over the network comes to something.
    pub(super) fn check(&mut self, container: &str, health: Health, failing: Option<&str>) {
        let failing = failing.map(str::to_owned);
        self.inbox.push_back(Event::Checked { container: container.to_owned(), health, failing });
    }

    /// Time passes, deadline by deadline, with everything delivered at once.
    pub(super) fn run_for(&mut self, span: Span) {
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
    pub(super) fn calm_down(&mut self) {
        self.lossy = false;
        for container in self.containers.values_mut() {
            container.health = None;
        }
        self.set_engine(EngineState::Up {
            life: self.engine_life.to_string(),
            live_restore: self.live_restore,
        });
        if self.worker.cluster().is_none() {
            self.inbox.push_back(Event::Welcomed {
                cluster: self.cluster,
                node: self.node,
                name: "n1".parse().expect("a name"),
            });
        }
        self.inbox.push_back(self.assigned());
        self.run_for(Span::from_secs(1200));
    }
}
