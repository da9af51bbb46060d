//! The worker as a role of the driver: step, commit, release.
//!
//! What is committed is disposable (containers' labels and the manager rebuild it), and it still goes first: an effect
//! whose cause is not stored is an effect that a crash forgets. Where the disk is full, changes and effects are kept
//! together and tried again: nothing new is done, and nothing is undone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use orca_api::id::{ClusterId, IdSource, PlacementId};
use orca_api::link::PlacementStatus;
use orca_api::units::Span;
use orca_core::Now;
use orca_core::worker::io::CheckTarget;
use orca_core::worker::{Change, Effect, Event, Worker};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::docker::Engine;
use crate::driver::{Fatal, Handle, Role};
use crate::host::{self, Roots};
use crate::metrics::Metrics;
use crate::store::{CommitError, WorkerStore};

/// The way to the worker core.
pub type WorkerHandle = Handle<WorkerRole>;

/// Statuses that the manager should hear of: the newest of each placement.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<BTreeMap<PlacementId, PlacementStatus>>,
    some: Notify,
}

impl Outbox {
    fn put(&self, statuses: Vec<PlacementStatus>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for status in statuses {
            waiting.insert(status.placement, status);
        }
        drop(waiting);
        self.some.notify_one();
    }

    /// Waits until there are some, and takes them.
    pub async fn take(&self) -> Vec<PlacementStatus> {
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if !waiting.is_empty() {
                return waiting.into_values().collect();
            }
            self.some.notified().await;
        }
    }
}

/// The worker core with its store and its hands.
pub struct WorkerRole {
    core: Worker,
    store: WorkerStore,
    ids: Box<dyn IdSource + Send>,
    engine: Engine,
    results: WorkerHandle,
    outbox: Arc<Outbox>,
    cluster: watch::Sender<Option<ClusterId>>,
    checks: watch::Sender<Vec<CheckTarget>>,
    calls: Arc<Semaphore>,
    running: TaskTracker,
    changes: Vec<Change>,
    effects: Vec<Effect>,
    full: bool,
    metrics: Metrics,
    roots: Roots,
    oom_kills: Option<u64>,
}

impl WorkerRole {
    /// The role, with the core that was loaded from the store. Results of its operations go to `results`, its own queue.
    pub fn new(
        core: Worker,
        store: WorkerStore,
        ids: Box<dyn IdSource + Send>,
        engine: Engine,
        results: WorkerHandle,
        metrics: Metrics,
        roots: Roots,
    ) -> Self {
        let cluster = watch::Sender::new(core.cluster());
        let calls = Arc::new(Semaphore::new(engine.config().parallel_starts.max(1)));
        Self {
            core,
            store,
            ids,
            engine,
            results,
            outbox: Arc::default(),
            cluster,
            checks: watch::Sender::default(),
            calls,
            running: TaskTracker::new(),
            changes: Vec::new(),
            effects: Vec::new(),
            full: false,
            metrics,
            roots,
            oom_kills: None,
        }
    }

    /// What the manager should hear of.
    pub fn outbox(&self) -> Arc<Outbox> {
        Arc::clone(&self.outbox)
    }

    /// Whose containers are ours, once that is known.
    pub fn cluster(&self) -> watch::Receiver<Option<ClusterId>> {
        self.cluster.subscribe()
    }

    /// What is to be checked over the network, from now on.
    pub fn checks(&self) -> watch::Receiver<Vec<CheckTarget>> {
        self.checks.subscribe()
    }

    fn release(&mut self) {
        self.cluster.send_if_modified(|known| {
            let now = self.core.cluster();
            std::mem::replace(known, now) != now
        });
        if let Some((_, name)) = self.core.node() {
            self.engine.set_node(name);
        }
        let checks = self.core.checks();
        self.checks.send_if_modified(|known| {
            let changed = *known != checks;
            if changed {
                *known = checks;
            }
            changed
        });
        for effect in self.effects.drain(..) {
            if let Effect::Report { placements } = effect {
                self.outbox.put(placements);
                continue;
            }
            // Pulls are bounded by the engine's own queue, a stop may take minutes, and a look must not wait for either.
            let bounded =
                matches!(effect, Effect::Create { .. } | Effect::Start { .. } | Effect::Remove { .. });
            let (engine, results, calls) =
                (self.engine.clone(), self.results.clone(), Arc::clone(&self.calls));
            let metrics = self.metrics.clone();
            self.running.spawn(async move {
                let place = if bounded { calls.acquire_owned().await.ok() } else { None };
                let (op, began) = (name(&effect), Instant::now());
                let event = engine.perform(effect).await;
                let took = began.elapsed();
                metrics.called(op, took);
                drop(place);
                if let Event::Done { op, .. } = &event {
                    let took = Span::from_ms(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
                    let _ = results.send(Event::Called { op: *op, took }).await;
                }
                // A driver that has stopped needs no results: the next life looks for itself.
                let _ = results.send(event).await;
            });
        }
    }
}

/// An operation's name in the metrics.
const fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::Pull { .. } => "pull",
        Effect::Create { .. } => "create",
        Effect::Start { .. } => "start",
        Effect::Stop { .. } => "stop",
        Effect::Remove { .. } => "remove",
        Effect::Inspect { .. } => "inspect",
        Effect::Sweep => "sweep",
        Effect::Report { .. } => "report",
    }
}

impl Role for WorkerRole {
    type Core = Worker;
    type Event = Event;

    fn core(&self) -> &Worker {
        &self.core
    }

    fn next_deadline(&self) -> Option<u64> {
        self.core.next_deadline()
    }

    fn tick(&self) -> Event {
        Event::Tick
    }

    /// The count is read before what was received is stepped: a kill is known before the end that it caused.
    fn measured(&mut self, _now: Now) -> Option<Event> {
        let total = host::oom_kills(&self.roots)?;
        if self.oom_kills.replace(total) == Some(total) { None } else { Some(Event::OomKills { total }) }
    }

    fn step(&mut self, event: Event, now: Now) {
        let step = self.core.step(event, now, &mut *self.ids);
        self.changes.extend(step.changes);
        self.effects.extend(step.effects);
    }

    async fn commit(&mut self, _now: Now) -> Result<(), Fatal> {
        if !self.changes.is_empty() {
            match self.store.commit(self.changes.clone()).await {
                Ok(_) => {
                    self.changes.clear();
                    self.full = false;
                }
                Err(CommitError::Full) => {
                    if !self.full {
                        tracing::warn!(
                            "the disk of the state folder is full: the worker does nothing new until there is space"
                        );
                    }
                    self.full = true;
                    return Ok(());
                }
                Err(error) => return Err(Fatal { role: "worker", source: Box::new(error) }),
            }
        }
        self.release();
        Ok(())
    }
}
