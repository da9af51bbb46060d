//! The daemon, put together: what is opened, in which order it runs, and how it stops.
//!
//! ```text
//!   open    stores, cores (a first start makes a cluster of one), identity        state.rs
//!   serve   as a manager (manager.rs), or as a worker of another machine's (member.rs):
//!           back:  drivers, the manager's end of the link, engine watch, measurements
//!           front: control socket, the worker's end of the link                        ─► ready
//!   stop    front: parked requests answered, goodbye, connections drained
//!           back:  what was accepted is finished and committed                         ─► containers keep running
//!   again   this machine joined another cluster, or left it: open, with the same sockets
//! ```
//!
//! What belongs to systemd comes in as [`Manners`], so that the same daemon runs in a test.

mod manager;
mod member;
mod state;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use orca_api::error::Problem;
use orca_api::id::{LifeId, NodeId};
use orca_api::link::NodeFacts;
use orca_api::node::Role;
use orca_api::route::Access;
use orca_api::units::Time;
use orca_core::manager::Manager;
use orca_core::worker::{self, Worker};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::state::Held;
use crate::again::Again;
use crate::clock::{self, OsIds};
use crate::config::Config;
use crate::driver::{self, Driver, Inbox};
use crate::host::{self, Roots};
use crate::manager::authority::{Authority, Here};
use crate::metrics::Metrics;
use crate::net::limits::DRAIN_TIME;
use crate::net::unix;
use crate::pki::identity::IdentityError;
use crate::store::{ManagerStore, StoreError, WorkerStore};
use crate::tasks::{TaskEnded, Tasks};
use crate::worker::docker::{Engine, EngineConfig, LogDefault};
use crate::worker::facts::Keeper;
use crate::worker::health::Prober;
use crate::worker::link::{LinkClient, Way};
use crate::worker::measure::Measure;
use crate::worker::member::{Member, MemberError};
use crate::worker::serve::Served;
use crate::worker::{WorkerHandle, WorkerRole};

/// How long the front may take to stop: connections, and a second for the rest.
const FRONT_GRACE: Duration = Duration::from_secs(DRAIN_TIME.as_secs() + 1);
/// How long the last batch may take.
const BACK_GRACE: Duration = Duration::from_secs(10);
/// Events of the engine that wait for the driver.
const ENGINE_EVENTS: usize = 256;
/// The longest time without a turn where no watchdog asks for less.
const BEAT_MAX: Duration = Duration::from_secs(5);

/// How the daemon behaves towards whoever started it.
pub struct Manners {
    /// Called when everything is served; again after this machine joined or left a cluster.
    pub ready: Box<dyn Fn() + Send + Sync>,
    /// Called with a line for people whenever it changes.
    pub status: Arc<dyn Fn(&str) + Send + Sync>,
    /// Called after each turn of a driver, as long as every driver has had one lately.
    pub alive: Arc<dyn Fn() + Send + Sync>,
    /// How often [`Manners::alive`] is wanted at least; `None` where nobody watches.
    pub beat: Option<Duration>,
    /// Whether the whole machine is going down; asked when the daemon stops.
    pub machine_stops: Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>,
}

impl Default for Manners {
    /// Nobody watches and nobody listens.
    fn default() -> Self {
        Self {
            ready: Box::new(|| {}),
            status: Arc::new(|_| {}),
            alive: Arc::new(|| {}),
            beat: None,
            machine_stops: Box::new(|| async { false }.boxed()),
        }
    }
}

/// Why the daemon could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state folder cannot be made or used.
    #[error("the state folder {} cannot be used", path.display())]
    Folder {
        /// It.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first start could not be stored.
    #[error("the first start could not be stored")]
    Commit(#[from] crate::store::CommitError),
    /// Who this node is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its membership of another machine's cluster.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A defect.
    #[error("{0}")]
    Defect(String),
}

impl OpenError {
    /// Whether starting again cannot help before somebody changes something.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Store(error) => error.needs_a_person(),
            Self::Folder { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
            Self::Identity(IdentityError::Part { .. } | IdentityError::TooNew { .. }) => true,
            Self::Commit(_) | Self::Defect(_) | Self::Identity(_) | Self::Member(_) => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => Some(error.hint()),
            Self::Folder { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("the state folder must be the user orca's: sudo chown -R orca:orca /var/lib/orca")
            }
            Self::Identity(IdentityError::Part { .. }) => Some(
                "put the folder `identity` of the state folder aside (mv identity identity.bad), start orcad, and join again with a new token",
            ),
            Self::Identity(error) => Some(error.hint()),
            Self::Member(error) => Some(error.hint()),
            Self::Folder { .. } | Self::Commit(_) => {
                Some("check owner, rights and free space of the state folder (df -h, ls -l)")
            }
            Self::Defect(_) => None,
        }
    }
}

/// A daemon whose state is open and which does nothing yet.
pub struct Daemon {
    config: Config,
    role: Opened,
    worker: Option<(Worker, WorkerStore)>,
    life: LifeId,
    started_at: Time,
    view: Option<UnixListener>,
}

/// What the daemon is.
enum Opened {
    Manager(Box<OpenedManager>),
    Member(Arc<Member>),
}

struct OpenedManager {
    manager: Manager,
    store: Arc<ManagerStore>,
    here: NodeId,
    authority: Result<Arc<Authority>, Problem>,
}

/// The sockets of this machine: they outlive what the daemon is.
struct Sockets {
    control: Arc<UnixListener>,
    view: Option<Arc<UnixListener>>,
}

impl Daemon {
    /// Opens the state folder, and makes a cluster of one where there is none.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let now = clock::now();
        let life = LifeId::fresh(&mut OsIds);
        let held = blocking({
            let config = config.clone();
            move || state::open(&config, now.wall)
        })
        .await?;
        let (role, cluster, roles) = match held {
            Held::Manager { store, mut rows, identity } => {
                if rows.is_empty() {
                    let name = config.node_name.clone().unwrap_or_else(host::node_name);
                    tracing::info!(%name, "first start: a cluster of one is made");
                    rows = Manager::bootstrap(&mut OsIds, now, name, config.roles.clone());
                    store.commit(vec![(1, rows.clone())]).await?;
                }
                let manager = Manager::load(rows);
                let here = state::own_node(&manager, identity.as_ref(), now)
                    .ok_or_else(|| OpenError::Defect("the store has no node".to_owned()))?;
                let authority = authority(&config, &manager, here, now).await?;
                let cluster = manager.cluster();
                let opened = OpenedManager { manager, store: Arc::new(store), here, authority };
                (Opened::Manager(Box::new(opened)), cluster, config.roles.clone())
            }
            Held::Member(identity) => {
                let cluster = identity.about.cluster;
                tracing::info!(name = %identity.about.name, %cluster, "a worker of another machine's manager");
                let member = Member::new(config.state_dir.clone(), identity, clock::clock())?;
                (Opened::Member(member), Some(cluster), vec![Role::Worker])
            }
        };
        let worker = if roles.contains(&Role::Worker) {
            let config = config.clone();
            Some(blocking(move || state::open_worker(&config, cluster, life, now.wall)).await?)
        } else {
            None
        };
        Ok(Self { config, role, worker, life, started_at: now.wall, view: None })
    }

    /// Serves reads on a socket of their own as well.
    pub fn with_view(self, listener: Option<UnixListener>) -> Self {
        Self { view: listener, ..self }
    }

    /// Serves the control socket and runs tasks until `stop`. When this machine becomes a worker of another cluster, or
    /// leaves one, everything but the sockets is stopped and opened again.
    pub async fn serve(
        mut self,
        listener: UnixListener,
        manners: Manners,
        stop: CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let sockets = Sockets { control: Arc::new(listener), view: self.view.take().map(Arc::new) };
        loop {
            let (config, round) = (self.config.clone(), stop.child_token());
            let again = Again::new(round.clone());
            match self.role {
                Opened::Manager(opened) => {
                    let parts = Parts { config: self.config, worker: self.worker, life: self.life };
                    let round = Round { stop: round, again: again.clone(), started_at: self.started_at };
                    manager::serve(parts, *opened, &sockets, &manners, round).await?;
                }
                Opened::Member(member) => {
                    let parts = Parts { config: self.config, worker: self.worker, life: self.life };
                    let round = Round { stop: round, again: again.clone(), started_at: self.started_at };
                    member::serve(parts, member, &sockets, &manners, round).await?;
                }
            }
            if stop.is_cancelled() || !again.is_asked() {
                return Ok(());
            }
            tracing::info!("orcad begins anew");
            self = Self::open(config).await?;
        }
    }
}

/// What every round is made of.
struct Parts {
    config: Config,
    worker: Option<(Worker, WorkerStore)>,
    life: LifeId,
}

/// One round of the daemon as the same thing.
struct Round {
    stop: CancellationToken,
    again: Again,
    started_at: Time,
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| OpenError::Defect(e.to_string()))?
}

/// The cluster's authority. Without one the daemon goes on: only other machines depend on it.
async fn authority(
    config: &Config,
    manager: &Manager,
    here: NodeId,
    now: orca_core::Now,
) -> Result<Result<Arc<Authority>, Problem>, OpenError> {
    let defect = || OpenError::Defect("the store has no cluster".to_owned());
    let cluster = manager.cluster().ok_or_else(defect)?;
    let name = manager.node_view(here, now).ok_or_else(defect)?.name;
    let here = Here { cluster, node: here, name, roles: config.roles.clone() };
    let state = config.state_dir.clone();
    let opened = blocking(move || Ok(Authority::open(&state, here, clock::clock()))).await?;
    Ok(match opened {
        Ok(authority) => Ok(Arc::new(authority)),
        Err(error) => {
            let problem = error.problem();
            tracing::error!(
                because = problem.because.join("; "),
                hint = problem.hint.join("; "),
                "{problem}; no other machine can join or reach this manager"
            );
            Err(problem)
        }
    })
}

/// Waits until a part ends, or everything is to stop; then stops the front, then the back. A part that ended by itself is
/// the error.
async fn until_stopped(
    mut front: Tasks,
    mut back: Tasks,
    stop: &CancellationToken,
    worker: Option<&WorkerHandle>,
    manners: &Manners,
    close: impl FnOnce(),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let ended: Option<TaskEnded> = tokio::select! {
        ended = front.ended() => Some(ended),
        ended = back.ended() => Some(ended),
        () = stop.cancelled() => None,
    };
    if ended.is_none()
        && (manners.machine_stops)().await
        && let Some(worker) = worker
    {
        tracing::info!("the machine is going down");
        // The driver may have failed meanwhile, which its join tells.
        let _ = worker.send(worker::Event::GoingDown).await;
    }
    stop.cancel();
    close();
    let front = front.join(FRONT_GRACE).await;
    let back = back.join(BACK_GRACE).await;
    match ended {
        Some(error) => Err(error.into()),
        None => Ok(front.and(back)?),
    }
}

/// The parts that run tasks, wherever the manager is.
struct WorkerParts {
    handle: WorkerHandle,
    facts: watch::Receiver<NodeFacts>,
    served: Arc<Served>,
    client: LinkClient,
}

async fn run_worker(
    (core, store): (Worker, WorkerStore),
    parts: (&Config, LifeId, Way),
    metrics: &Metrics,
    beat: Beat,
    back: &mut Tasks,
    halt: &CancellationToken,
) -> Result<WorkerParts, Box<dyn Error + Send + Sync>> {
    let (config, life, way) = parts;
    let (events, arriving) = mpsc::channel(ENGINE_EVENTS);
    let engine = Engine::new(engine_config(config), events.clone());
    let (queue, inbox) = driver::queue::<WorkerRole>();
    let proc = config.metrics.proc_root.clone();
    let roots = Roots { proc, sys: config.metrics.sys_root.clone() };
    let role =
        WorkerRole::new(core, store, Box::new(OsIds), engine.clone(), queue.clone(), metrics.clone(), roots);
    let (outbox, cluster) = (role.outbox(), role.cluster());
    let prober = Prober::new(role.checks(), events.clone());
    back.spawn("health checks", prober.run(halt.clone()));
    queue.send(worker::Event::Started).await?;
    drive(back, "worker", role, inbox, beat, halt);

    let keeper = Keeper::new(config.clone(), engine.clone()).await;
    let (facts, engine_root) = (keeper.facts(), keeper.engine_root());
    let (to, stopped) = (queue.clone(), halt.clone());
    back.spawn("engine events", async move {
        pump(arriving, to, keeper, stopped).await;
        Ok(())
    });
    let (watched, stopped) = (engine.clone(), halt.clone());
    back.spawn("engine watch", async move {
        tokio::select! {
            () = watched.watch(move || *cluster.borrow(), events) => {}
            () = stopped.cancelled() => {}
        }
        Ok(())
    });
    let served = Arc::new(Served::new(queue.clone(), engine));
    let measure = Measure::new(config, queue.clone(), engine_root, Arc::clone(&served));
    back.spawn("measurements", measure.run(halt.clone()));
    let client = LinkClient {
        worker: queue.clone(),
        way,
        life,
        facts: facts.clone(),
        outbox,
        served: Arc::clone(&served),
    };
    Ok(WorkerParts { handle: queue, facts, served, client })
}

/// Serves the sockets of this machine.
fn serve_sockets<S: unix::Service>(
    front: &mut Tasks,
    sockets: &Sockets,
    service: &Arc<S>,
    stop: &CancellationToken,
) {
    let (listener, api, stopped) = (Arc::clone(&sockets.control), Arc::clone(service), stop.clone());
    front.spawn(
        "control socket",
        async move { Ok(unix::serve(listener, Access::Admin, api, stopped).await?) },
    );
    if let Some(listener) = &sockets.view {
        let (listener, api, stopped) = (Arc::clone(listener), Arc::clone(service), stop.clone());
        front.spawn(
            "view socket",
            async move { Ok(unix::serve(listener, Access::View, api, stopped).await?) },
        );
    }
}

fn engine_config(config: &Config) -> EngineConfig {
    let docker = &config.docker;
    EngineConfig {
        socket: docker.socket.clone(),
        pid_file: docker.socket.with_extension("pid"),
        parallel_pulls: docker.parallel_pulls as usize,
        parallel_starts: docker.parallel_starts as usize,
        pull_stall: docker.pull_stall.std(),
        registry_config: docker.registry_config.clone(),
        log: match docker.log_driver {
            crate::config::LogDriver::Auto => LogDefault::Auto,
            crate::config::LogDriver::Local => LogDefault::Local,
            crate::config::LogDriver::Journald => LogDefault::Journald,
        },
        ..EngineConfig::default()
    }
}

fn drive<R: driver::Role>(
    back: &mut Tasks,
    name: &'static str,
    role: R,
    inbox: Inbox<R>,
    beat: Beat,
    halt: &CancellationToken,
) {
    let driver = Driver::new(role, inbox, clock::clock(), beat.every, Box::new(move || beat.turned()));
    let halt = halt.clone();
    back.spawn(name, async move { Ok(driver.run(halt).await?) });
}

/// Passes the engine's events on; what the engine is may be another after each of its starts.
async fn pump(
    mut arriving: mpsc::Receiver<worker::Event>,
    to: WorkerHandle,
    facts: Keeper,
    halt: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            event = arriving.recv() => event,
            () = halt.cancelled() => None,
        };
        let Some(event) = event else { return };
        if matches!(event, worker::Event::Engine(worker::io::EngineState::Up { .. })) {
            facts.look().await;
        }
        if to.send(event).await.is_err() {
            return;
        }
    }
}

/// When each driver last completed a turn: one that is wedged silences the others.
struct Pulse {
    turns: Arc<Vec<AtomicU64>>,
    every: Duration,
    /// A turn this old is not alive any more, in milliseconds.
    stale_ms: u64,
    alive: Arc<dyn Fn() + Send + Sync>,
}

impl Pulse {
    fn new(drivers: usize, manners: &Manners) -> Self {
        let every = manners.beat.map_or(BEAT_MAX, |beat| beat.min(BEAT_MAX));
        let now = clock::now().boot_ms;
        Self {
            turns: Arc::new((0..drivers).map(|_| AtomicU64::new(now)).collect()),
            every,
            stale_ms: 3 * u64::try_from(every.as_millis()).unwrap_or(u64::MAX),
            alive: Arc::clone(&manners.alive),
        }
    }

    fn of(&self, driver: usize) -> Beat {
        Beat {
            turns: Arc::clone(&self.turns),
            driver,
            every: self.every,
            stale_ms: self.stale_ms,
            alive: Arc::clone(&self.alive),
        }
    }
}

/// One driver's share of the pulse.
struct Beat {
    turns: Arc<Vec<AtomicU64>>,
    driver: usize,
    every: Duration,
    stale_ms: u64,
    alive: Arc<dyn Fn() + Send + Sync>,
}

impl Beat {
    fn turned(&self) {
        let now = clock::now().boot_ms;
        self.turns[self.driver].store(now, Ordering::Relaxed);
        if self.turns.iter().all(|turn| now.saturating_sub(turn.load(Ordering::Relaxed)) < self.stale_ms) {
            (self.alive)();
        }
    }
}
