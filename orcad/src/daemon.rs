//! The daemon, put together: what is opened, in which order it runs, and how it stops.
//!
//! ```text
//!   open    stores, cores (a first start makes a cluster of one)
//!   serve   back:  drivers, the manager's end of the link, engine watch, measurements
//!           front: control socket, the worker's end of the link                        ─► ready
//!   stop    front: parked requests answered, goodbye, connections drained
//!           back:  what was accepted is finished and committed                         ─► containers keep running
//! ```
//!
//! What belongs to systemd comes in as [`Manners`], so that the same daemon runs in a test.

use std::error::Error;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use orca_api::id::{LifeId, NodeId};
use orca_api::node::Role;
use orca_api::route::Access;
use orca_api::units::Time;
use orca_core::manager::{self, Manager};
use orca_core::worker::{self, Worker};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, OsIds};
use crate::config::Config;
use crate::driver::{self, Driver, Inbox};
use crate::host::{self, Roots};
use crate::manager::control::{About, Control};
use crate::manager::link::{Link, Workers};
use crate::manager::role::{ManagerHandle, ManagerRole, Summary};
use crate::metrics::Metrics;
use crate::net::limits::DRAIN_TIME;
use crate::net::{memory, unix};
use crate::store::{ManagerStore, StoreError, WorkerStore};
use crate::tasks::{TaskEnded, Tasks};
use crate::worker::WorkerRole;
use crate::worker::docker::{Engine, EngineConfig, LogDefault};
use crate::worker::facts::Keeper;
use crate::worker::health::Prober;
use crate::worker::link::LinkClient;
use crate::worker::measure::Measure;
use crate::worker::serve::Served;

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
    /// Called once, when everything is served.
    pub ready: Box<dyn FnOnce() + Send>,
    /// Called with a line for people whenever it changes.
    pub status: Box<dyn Fn(&str) + Send + Sync>,
    /// Called after each turn of a driver, as long as every driver has had one lately.
    pub alive: Arc<dyn Fn() + Send + Sync>,
    /// How often [`Manners::alive`] is wanted at least; `None` where nobody watches.
    pub beat: Option<Duration>,
    /// Whether the whole machine is going down; asked once, when the daemon stops.
    pub machine_stops: Box<dyn FnOnce() -> BoxFuture<'static, bool> + Send>,
}

impl Default for Manners {
    /// Nobody watches and nobody listens.
    fn default() -> Self {
        Self {
            ready: Box::new(|| {}),
            status: Box::new(|_| {}),
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
            Self::Commit(_) | Self::Defect(_) => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => Some(error.hint()),
            Self::Folder { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("the state folder must be the user orca's: sudo chown -R orca:orca /var/lib/orca")
            }
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
    manager: Manager,
    manager_store: Arc<ManagerStore>,
    worker: Option<(Worker, WorkerStore)>,
    here: NodeId,
    life: LifeId,
    started_at: Time,
    view: Option<UnixListener>,
}

impl Daemon {
    /// Opens the state folder, and makes a cluster of one where there is none.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let blocking = tokio::task::spawn_blocking({
            let config = config.clone();
            move || open_stores(&config)
        });
        let (manager_store, mut rows, worker_rows) =
            blocking.await.map_err(|e| OpenError::Defect(e.to_string()))??;
        let now = clock::now();
        if rows.is_empty() {
            let name = config.node_name.clone().unwrap_or_else(host::node_name);
            tracing::info!(%name, "first start: a cluster of one is made");
            rows = Manager::bootstrap(&mut OsIds, now, name, config.roles.clone());
            manager_store.commit(vec![(1, rows.clone())]).await?;
        }
        let manager = Manager::load(rows);
        let here =
            manager.first_node().ok_or_else(|| OpenError::Defect("the store has no node".to_owned()))?;
        let (life, boot_id) = (LifeId::fresh(&mut OsIds), host::boot_id(&config.metrics.proc_root));
        let worker = worker_rows.map(|(store, rows)| (Worker::load(life, boot_id, rows), store));
        Ok(Self {
            config,
            manager,
            manager_store: Arc::new(manager_store),
            worker,
            here,
            life,
            started_at: now.wall,
            view: None,
        })
    }

    /// Serves reads on a socket of their own as well.
    pub fn with_view(self, listener: Option<UnixListener>) -> Self {
        Self { view: listener, ..self }
    }

    /// Serves the control socket and runs tasks until `stop`.
    pub async fn serve(
        self,
        listener: UnixListener,
        manners: Manners,
        stop: CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let halt = CancellationToken::new();
        let (mut front, mut back) = (Tasks::new(stop.clone()), Tasks::new(halt.clone()));
        let drivers = 1 + usize::from(self.worker.is_some());
        let pulse = Pulse::new(drivers, &manners);

        let (queue, inbox) = driver::queue::<ManagerRole>();
        let metrics = Metrics::new(self.started_at);
        let counted = metrics.clone();
        let commits = Box::new(move |took| counted.committed(took));
        let (role, manager, summary) =
            ManagerRole::new(self.manager, self.manager_store, Box::new(OsIds), queue, commits);
        manager.tell(manager::Event::Started).await?;
        drive(&mut back, "manager", role, inbox, pulse.of(0), &halt);

        let workers = Arc::new(Workers::default());
        let (dialer, connections) = memory::listen(self.here);
        let link = Arc::new(Link::new(manager.clone(), Arc::clone(&workers), Box::new(OsIds), halt.clone()));
        back.spawn("link", async move {
            link.serve(connections).await;
            Ok(())
        });

        let mut worker_handle = None;
        if let Some((core, store)) = self.worker {
            let (events, arriving) = mpsc::channel(ENGINE_EVENTS);
            let engine = Engine::new(engine_config(&self.config), events.clone());
            let (queue, inbox) = driver::queue::<WorkerRole>();
            let proc = self.config.metrics.proc_root.clone();
            let roots = Roots { proc, sys: self.config.metrics.sys_root.clone() };
            let role = WorkerRole::new(
                core,
                store,
                Box::new(OsIds),
                engine.clone(),
                queue.clone(),
                metrics.clone(),
                roots,
            );
            let (outbox, cluster) = (role.outbox(), role.cluster());
            let prober = Prober::new(role.checks(), events.clone());
            back.spawn("health checks", prober.run(halt.clone()));
            queue.send(worker::Event::Started).await?;
            drive(&mut back, "worker", role, inbox, pulse.of(1), &halt);

            let keeper = Keeper::new(self.config.clone(), engine.clone()).await;
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
            let measure = Measure::new(&self.config, queue.clone(), engine_root, Arc::clone(&served));
            back.spawn("measurements", measure.run(halt.clone()));
            let client = LinkClient { worker: queue.clone(), dialer, life: self.life, facts, outbox, served };
            let stopped = stop.clone();
            front.spawn("link client", async move {
                client.run(stopped).await;
                Ok(())
            });
            worker_handle = Some(queue);
        }

        let about = About { here: self.here, roles: self.config.roles.clone(), started_at: self.started_at };
        let control =
            Arc::new(Control::new(manager.clone(), workers, about, metrics, Box::new(OsIds), stop.clone())?);
        let stopped = stop.clone();
        let viewed = Arc::clone(&control);
        front.spawn("control socket", async move {
            Ok(unix::serve(listener, Access::Admin, control, stopped).await?)
        });
        if let Some(listener) = self.view {
            let stopped = stop.clone();
            front.spawn("view socket", async move {
                Ok(unix::serve(listener, Access::View, viewed, stopped).await?)
            });
        }

        let Manners { ready, status, machine_stops, .. } = manners;
        front.spawn("status line", tell_status(summary, self.config.roles, status, stop.clone()));
        ready();
        tracing::info!(version = orca_api::VERSION, node = %self.here, "orcad serves");

        let ended: Option<TaskEnded> = tokio::select! {
            ended = front.ended() => Some(ended),
            ended = back.ended() => Some(ended),
            () = stop.cancelled() => None,
        };
        if ended.is_none()
            && machine_stops().await
            && let Some(worker) = &worker_handle
        {
            tracing::info!("the machine is going down");
            // The driver may have failed meanwhile, which its join tells.
            let _ = worker.send(worker::Event::GoingDown).await;
        }
        stop.cancel();
        let result = halted(&manager, front, back).await;
        match ended {
            Some(error) => Err(error.into()),
            None => Ok(result?),
        }
    }
}

/// Stops the front, then the back.
async fn halted(manager: &ManagerHandle, front: Tasks, back: Tasks) -> Result<(), TaskEnded> {
    manager.waiters().close();
    let front = front.join(FRONT_GRACE).await;
    let back = back.join(BACK_GRACE).await;
    front.and(back)
}

type WorkerRows = Option<(WorkerStore, Vec<worker::Change>)>;

fn open_stores(config: &Config) -> Result<(ManagerStore, Vec<manager::Change>, WorkerRows), OpenError> {
    make_private(&config.state_dir)
        .map_err(|source| OpenError::Folder { path: config.state_dir.clone(), source })?;
    let manager = ManagerStore::open(&config.state_dir.join("manager.db"))?;
    let rows = manager.load()?;
    let worker = if config.roles.contains(&Role::Worker) {
        let store = WorkerStore::open(&config.state_dir.join("worker.db"))?;
        let rows = store.load()?;
        Some((store, rows))
    } else {
        None
    };
    Ok((manager, rows, worker))
}

/// Makes the folder, for its owner alone: it holds what must not be read by others.
fn make_private(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mode = std::fs::metadata(folder)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn engine_config(config: &Config) -> EngineConfig {
    let docker = &config.docker;
    EngineConfig {
        socket: docker.socket.clone(),
        pid_file: docker.socket.with_extension("pid"),
        parallel_pulls: docker.parallel_pulls as usize,
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
    to: crate::worker::WorkerHandle,
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

/// `manager, 1/1 workers, 12 tasks running`
async fn tell_status(
    mut summary: watch::Receiver<Summary>,
    roles: Vec<Role>,
    status: Box<dyn Fn(&str) + Send + Sync>,
    stop: CancellationToken,
) -> crate::tasks::TaskResult {
    loop {
        let Summary { ready, nodes, running } = *summary.borrow_and_update();
        status(&status_line(&roles, ready, nodes, running));
        tokio::select! {
            changed = summary.changed() => {
                if changed.is_err() {
                    // The driver has ended, which is told elsewhere.
                    stop.cancelled().await;
                    return Ok(());
                }
            }
            () = stop.cancelled() => return Ok(()),
        }
    }
}

fn status_line(roles: &[Role], ready: usize, nodes: usize, running: usize) -> String {
    let roles: Vec<&str> = roles.iter().map(|r| r.as_str()).collect();
    let tasks = if running == 1 { "task" } else { "tasks" };
    format!("{}, {ready}/{nodes} workers, {running} {tasks} running", roles.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line() {
        assert_eq!(status_line(&[Role::Manager], 1, 1, 12), "manager, 1/1 workers, 12 tasks running");
        assert_eq!(
            status_line(&[Role::Manager, Role::Worker], 0, 1, 1),
            "manager+worker, 0/1 workers, 1 task running"
        );
    }
}
