//! The manager as a role of the driver: step, commit, release; and the handle that everything else asks through.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use orca_api::error::{Code, Problem};
use orca_api::id::IdSource;
use orca_core::Now;
use orca_core::manager::{Answer, Change, Effect, Event, Manager, Token};
use tokio::sync::{mpsc, oneshot, watch};

use super::waiters::Waiters;
use crate::driver::{Fatal, Handle, Role};
use crate::store::{CommitError, ManagerStore, StoreError};

/// How often free space is measured at most, in milliseconds.
const SPACE_EVERY_MS: u64 = 1000;

/// What a client gets that asks while the daemon stops.
pub fn stopping() -> Problem {
    Problem::new(Code::Stopping, "orcad is stopping").hint("systemctl status orcad")
}

type Waiting = oneshot::Sender<Result<Answer, Problem>>;

/// Who waits for an answer of the core.
#[derive(Debug, Default)]
struct Replies {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<Token, Waiting>>,
}

impl Replies {
    fn expect(&self) -> (Token, oneshot::Receiver<Result<Answer, Problem>>) {
        let token = Token(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(token, answer);
        (token, answered)
    }

    fn take(&self, token: Token) -> Option<Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&token)
    }
}

/// Figures for the unit's status line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Nodes whose orcad answers.
    pub ready: usize,
    /// Nodes.
    pub nodes: usize,
    /// Tasks that run.
    pub running: usize,
}

/// The way to the manager core.
#[derive(Clone)]
pub struct ManagerHandle {
    handle: Handle<ManagerRole>,
    replies: Arc<Replies>,
    waiters: Arc<Waiters>,
    store: Arc<ManagerStore>,
}

impl ManagerHandle {
    /// Asks the core and waits for its answer, which comes after the commit.
    ///
    /// Who stops waiting does not undo what was asked.
    pub async fn ask(&self, event: impl FnOnce(Token) -> Event) -> Result<Answer, Problem> {
        let (token, answered) = self.replies.expect();
        if self.handle.send(event(token)).await.is_err() {
            self.replies.take(token);
            return Err(stopping());
        }
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Tells the core something that has no answer.
    pub async fn tell(&self, event: Event) -> Result<(), Problem> {
        self.handle.send(event).await.map_err(|_| stopping())
    }

    /// Reads the core.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Manager, Now) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.handle.read(read).await.map_err(|_| stopping())
    }

    /// Those who wait for something to happen.
    pub fn waiters(&self) -> &Arc<Waiters> {
        &self.waiters
    }

    /// The store, for its history.
    pub fn store(&self) -> &Arc<ManagerStore> {
        &self.store
    }
}

/// The manager core with its store.
pub struct ManagerRole {
    core: Manager,
    store: Arc<ManagerStore>,
    ids: Box<dyn IdSource + Send>,
    replies: Arc<Replies>,
    waiters: Arc<Waiters>,
    changes: Vec<(u64, Vec<Change>)>,
    effects: Vec<Effect>,
    /// When free space is measured next, and what was told to the core.
    space: (u64, Option<bool>),
    summary: watch::Sender<Summary>,
    hands: mpsc::UnboundedSender<Effect>,
    commits: Box<dyn Fn(std::time::Duration) + Send>,
}

impl ManagerRole {
    /// The role, with the core that was loaded from the store. `hands` carry out what reaches beyond this machine
    /// (probes, connections to cut, the port); `commits` hears how long each commit took.
    pub fn new(
        core: Manager,
        store: Arc<ManagerStore>,
        ids: Box<dyn IdSource + Send>,
        handle: Handle<Self>,
        hands: mpsc::UnboundedSender<Effect>,
        commits: Box<dyn Fn(std::time::Duration) + Send>,
    ) -> (Self, ManagerHandle, watch::Receiver<Summary>) {
        let (replies, waiters) = (Arc::<Replies>::default(), Arc::<Waiters>::default());
        let (summary, seen) = watch::channel(Summary::default());
        let handle = ManagerHandle {
            handle,
            replies: Arc::clone(&replies),
            waiters: Arc::clone(&waiters),
            store: Arc::clone(&store),
        };
        let role = Self {
            core,
            store,
            ids,
            replies,
            waiters,
            changes: Vec::new(),
            effects: Vec::new(),
            space: (0, None),
            summary,
            hands,
            commits,
        };
        (role, handle, seen)
    }

    fn release(&mut self) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Reply { token, answer } => {
                    if let Some(waiting) = self.replies.take(token) {
                        // Who asked may have gone.
                        let _ = waiting.send(answer);
                    }
                }
                Effect::NotifyNode { node } => self.waiters.wake_node(node),
                Effect::Probe { .. }
                | Effect::CutNode { .. }
                | Effect::CutCertificate { .. }
                | Effect::Listen => {
                    // The hands go only when the daemon stops: what is lost then is derived anew.
                    let _ = self.hands.send(effect);
                }
                Effect::Publish { tasks, jobs, events, .. } => {
                    self.waiters.publish(events);
                    self.waiters.wake(tasks.iter().map(|t| t.raw()).chain(jobs.iter().map(|j| j.raw())));
                }
            }
        }
    }

    fn sum_up(&self) {
        let (ready, nodes, running) = self.core.summary();
        let now = Summary { ready, nodes, running };
        self.summary.send_if_modified(|old| std::mem::replace(old, now) != now);
    }

    /// The disk is full and nothing of the batch is stored: go back to what is, and tell those who asked.
    async fn undo(&mut self, now: Now) -> Result<(), Fatal> {
        tracing::warn!("the disk of the state folder is full: the last requests are undone");
        for effect in self.effects.drain(..) {
            if let Effect::Reply { token, .. } = effect
                && let Some(waiting) = self.replies.take(token)
            {
                let problem = Problem::new(
                    Code::StoreFull,
                    "the disk of the state folder is full: nothing was changed",
                )
                .hint("df -h /var/lib/orca, then free space on it; stop and remove still work");
                let _ = waiting.send(Err(problem));
            }
        }
        self.changes.clear();
        let store = Arc::clone(&self.store);
        let rows = tokio::task::spawn_blocking(move || store.load()).await;
        let rows = rows.map_err(fatal)?.map_err(fatal::<StoreError>)?;
        self.core = Manager::load(rows);
        self.space = (0, None);
        self.step(Event::Space { scarce: true }, now);
        self.step(Event::Started, now);
        Ok(())
    }
}

fn fatal<E: std::error::Error + Send + Sync + 'static>(error: E) -> Fatal {
    Fatal { role: "manager", source: Box::new(error) }
}

impl Role for ManagerRole {
    type Core = Manager;
    type Event = Event;

    fn core(&self) -> &Manager {
        &self.core
    }

    fn next_deadline(&self) -> Option<u64> {
        self.core.next_deadline()
    }

    fn tick(&self) -> Event {
        Event::Tick
    }

    fn measured(&mut self, now: Now) -> Option<Event> {
        if now.boot_ms < self.space.0 {
            return None;
        }
        self.space.0 = now.boot_ms + SPACE_EVERY_MS;
        match self.store.space() {
            Ok(space) if self.space.1 != Some(space.scarce) => {
                if space.scarce {
                    tracing::warn!(
                        free = space.free,
                        total = space.total,
                        "the disk of the state folder is nearly full"
                    );
                }
                self.space.1 = Some(space.scarce);
                Some(Event::Space { scarce: space.scarce })
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "free space of the state folder is not known");
                None
            }
        }
    }

    fn step(&mut self, event: Event, now: Now) {
        let step = self.core.step(event, now, &mut *self.ids);
        if !step.changes.is_empty() {
            self.changes.push((step.revision, step.changes));
        }
        self.effects.extend(step.effects);
    }

    async fn commit(&mut self, now: Now) -> Result<(), Fatal> {
        if !self.changes.is_empty() {
            let began = Instant::now();
            match self.store.commit(std::mem::take(&mut self.changes)).await {
                Ok(info) => {
                    (self.commits)(began.elapsed());
                    if info.spent_reserve {
                        // What the reserve gave is for stops and removes: creates are refused from now on.
                        self.space.1 = Some(true);
                        self.step(Event::Space { scarce: true }, now);
                    }
                }
                Err(CommitError::Full) => return self.undo(now).await,
                Err(error) => return Err(fatal(error)),
            }
        }
        if !self.effects.is_empty() {
            self.release();
            self.sum_up();
        }
        Ok(())
    }
}
