//! The worker's hands on the Docker engine.
//!
//! The worker core says what is to be done ([`Effect`]); this module does it and tells what came of it
//! ([`Event`]). It decides nothing: it knows how to ask the engine, how long to wait, and what an answer means.
//!
//! ```text
//!   worker core ──Effect──► Engine::perform ──► pull · create · run (start, stop, remove) · inspect ──┐
//!        ▲                                                                                            │
//!        └──Event── Done / Inspected / Swept ◄──────────────── connect (deadline, API version) ◄──────┤
//!        └──Event── Engine(Up | Unresponsive | Away), Hint ◄── watch (probe, event stream) ◄──────────┘ dockerd
//! ```
//!
//! * Every call has a deadline. A call without an answer is [`FailureKind::Unknown`]: its outcome is not known, and the
//!   next sweep tells. Nothing is concluded from silence.
//! * Status codes decide what an answer means; texts only where the engine leaves no other way ([`refusal`]), and the
//!   original text is always kept.
//! * Containers are ours by their labels ([`labels`]). A foreign container is never stopped, removed or reported.
//! * The engine's API version is negotiated at each connect and written into each path, so that an engine that is newer
//!   than this program answers as the older one did. Nothing newer than 1.41 (Docker 20.10) is asked for.
//!
//! It must never learn: what a placement is for, what a restart policy says, or who the manager is.

mod body;
mod connect;
mod create;
mod credentials;
mod failure;
mod inspect;
mod labels;
mod life;
mod ports;
mod progress;
mod pull;
pub mod refusal;
mod run;
mod sessions;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use orca_api::id::ClusterId;
use orca_api::name::Name;
use orca_core::worker::io::{Effect, Event, FailureKind, OpId};
use tokio::sync::{Notify, Semaphore, mpsc};

pub use self::body::{LogChoice, NodeTraits, container_body, cpu_shares};
pub(in crate::worker) use self::credentials::NOT_FOR_CHILDREN;
pub use self::failure::EngineError;
pub use self::ports::listener as listener_on;

/// The oldest API that orca speaks: Docker 20.10.
pub const API_FLOOR: (usize, usize) = (1, 41);

/// How the engine is reached, and the limits of what is asked of it.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Where it writes its process id: tells one life of the engine from the next.
    pub pid_file: PathBuf,
    /// Pulls at the same time, at least 1.
    pub parallel_pulls: usize,
    /// Containers created, started or removed at the same time, at least 1.
    pub parallel_starts: usize,
    /// A pull without progress for this long is given up.
    pub pull_stall: Duration,
    /// The longest wait for an answer to any other call. Starting a container may take four times as long.
    pub call_timeout: Duration,
    /// How long a killed process may take to go before it counts as one that cannot be killed.
    pub kill_wait: Duration,
    /// How often the engine is asked whether it still answers.
    pub probe_period: Duration,
    /// How long it may take to answer that. Shorter than `call_timeout`: the sooner an engine that goes down is noticed,
    /// the better the ends of its containers are told from their own.
    pub probe_timeout: Duration,
    /// Registry credentials in Docker's own format; the file need not exist.
    pub registry_config: PathBuf,
    /// The log driver of tasks that name none.
    pub log: LogDefault,
    /// The folder whose existence says that the journal survives a reboot.
    pub journal: PathBuf,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            socket: "/run/docker.sock".into(),
            pid_file: "/run/docker.pid".into(),
            parallel_pulls: 3,
            parallel_starts: 8,
            pull_stall: Duration::from_mins(1),
            call_timeout: Duration::from_secs(15),
            kill_wait: Duration::from_secs(10),
            probe_period: Duration::from_secs(3),
            probe_timeout: Duration::from_secs(5),
            registry_config: "/etc/orca/docker-config.json".into(),
            log: LogDefault::Auto,
            journal: "/var/log/journal".into(),
        }
    }
}

/// The log driver of tasks that name none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogDefault {
    /// `journald` where the journal is kept over reboots and the engine offers the driver, else `local`.
    #[default]
    Auto,
    /// The engine's `local` files, 3 of 10 MiB.
    Local,
    /// The journal.
    Journald,
}

/// What the engine says of itself; empty while it is away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineFacts {
    /// Its version, `20.10.24`.
    pub version: String,
    /// The API version that was agreed on, `1.41`.
    pub api: String,
    /// cgroup version, 1 or 2; 0 while unknown.
    pub cgroup: u32,
    /// cgroup driver, `systemd` or `cgroupfs`.
    pub cgroup_driver: String,
    /// Where it keeps images, containers and volumes.
    pub data_root: PathBuf,
    /// Log drivers that it offers.
    pub log_drivers: Vec<String>,
    /// Storage driver, `overlay2`.
    pub storage_driver: String,
    /// Whether containers live on while it restarts.
    pub live_restore: bool,
}

/// A handle on the engine; clones share everything.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

type ClusterOf = Box<dyn Fn() -> Option<ClusterId> + Send + Sync>;

struct Inner {
    config: EngineConfig,
    /// The negotiated client; `None` before the first call and after a broken connection.
    client: tokio::sync::Mutex<Option<Arc<connect::Client>>>,
    /// Where progress goes.
    events: mpsc::Sender<Event>,
    pulls: pull::Pulls,
    pull_slots: Arc<Semaphore>,
    /// A call found the engine silent or gone: the watch looks at once.
    trouble: Notify,
    /// Who we are, as the watch was told.
    cluster: OnceLock<ClusterOf>,
    /// The node's name, once a manager gave it.
    node: Mutex<Option<Name>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// A handle. Nothing is connected yet. Progress of pulls goes to `events`; what finds the channel full is dropped.
    pub fn new(config: EngineConfig, events: mpsc::Sender<Event>) -> Self {
        let pull_slots = Arc::new(Semaphore::new(config.parallel_pulls.max(1)));
        Self {
            inner: Arc::new(Inner {
                config,
                client: tokio::sync::Mutex::new(None),
                events,
                pulls: pull::Pulls::default(),
                pull_slots,
                trouble: Notify::new(),
                cluster: OnceLock::new(),
                node: Mutex::default(),
            }),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// Does one effect and tells what came of it.
    ///
    /// A sweep or an inspection that failed has no event of its own, since nothing was learned: it is answered with
    /// [`Event::Tick`], and the watch looks after the engine. [`Effect::Report`] is not the engine's and is answered so, too.
    pub async fn perform(&self, effect: Effect) -> Event {
        match effect {
            Effect::Pull { op, image, pull } => done(op, self.pull(op, &image, pull).await),
            Effect::Create { op, name, hostname, labels, task_name, spec } => {
                done(op, self.create(&name, &hostname, &labels, &task_name, &spec).await)
            }
            Effect::Start { op, container } => done(op, self.start(&container).await),
            Effect::Stop { op, container, signal, grace } => {
                done(op, self.stop(&container, signal, grace).await)
            }
            Effect::Remove { op, container } => done(op, self.remove(&container).await),
            Effect::Inspect { container } => match self.inspect(&container).await {
                Ok(seen) => Event::Inspected { container, seen: seen.map(Box::new) },
                Err(error) => {
                    tracing::warn!(%error, container, "the engine did not tell about a container");
                    Event::Tick
                }
            },
            Effect::Sweep => match self.sweep().await {
                Ok(containers) => Event::Swept { containers },
                Err(error) => {
                    tracing::warn!(%error, "the engine did not list its containers");
                    Event::Tick
                }
            },
            Effect::Report { .. } => Event::Tick,
        }
    }

    /// What the engine says of itself; empty while it is away.
    pub async fn facts(&self) -> EngineFacts {
        match self.connected().await {
            Ok(client) => client.facts.clone(),
            Err(error) => {
                tracing::debug!(%error, "no facts about the engine");
                EngineFacts::default()
            }
        }
    }

    /// The node's name, from now on: containers carry it.
    pub fn set_node(&self, name: &Name) {
        let mut node = self.inner.node.lock().unwrap_or_else(PoisonError::into_inner);
        if node.as_ref() != Some(name) {
            *node = Some(name.clone());
        }
    }

    fn node(&self) -> Option<Name> {
        self.inner.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cluster whose containers are ours; `None` while it is not known.
    fn cluster(&self) -> Option<ClusterId> {
        self.inner.cluster.get().and_then(|cluster| cluster())
    }
}

fn done(op: OpId, result: Result<orca_core::worker::io::Done, orca_core::worker::io::Failure>) -> Event {
    if let Err(failure) = &result {
        let known = failure.kind != FailureKind::Unknown;
        tracing::info!(op = op.n, kind = ?failure.kind, known, message = failure.message, "an operation failed");
    }
    Event::Done { op, result }
}
