//! A crowd of workers without machines: each joins a manager over real TLS, says hello, holds its parked poll, takes up its
//! sets and reports them as running, and serves measurements. Only the engine is missing.
//!
//! ```text
//!   join (own address) ─► dial ─► hello (inventory) ─► second connection, served ─► ┌ poll (parked) ─► specs ─► report
//!                          ▲                                                        └───────────────────────────┘
//!                          └──── 0.5 to 1 s, as a worker's, when anything breaks ◄──
//! ```
//!
//! Every worker has an address of its own in 127.0.0.0/8, as machines have: the manager's limits for each address hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use orca_api::error::{Code, Problem};
use orca_api::id::{IdSource as _, LifeId, PlacementId};
use orca_api::join::{Join, JoinToken, Joined};
use orca_api::link::{
    Assignment, AttemptStatus, Generation, Hello, LINK_VERSION, NodeFacts, PlacementStatus, PlacementWanted,
    Poll, PollAnswer, Report, ReportAnswer, SpecBody, Welcome,
};
use orca_api::load::{MachineLoad, NodeLoad};
use orca_api::name::Name;
use orca_api::node::Role;
use orca_api::route::{encode, link, worker};
use orca_api::task::{Reason, State};
use orca_api::units::{Bytes, Cpu};
use orcad::clock::{self, OsIds};
use orcad::net::h2::{self, AskError, Asker, Share};
use orcad::net::http::{self, Body};
use orcad::net::memory::Purpose;
use orcad::net::tls::{Client, Dates, Floor, Own, Trust};
use orcad::pki::identity::{self, About, NodeIdentity};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The pause before a connection is made again, of which between the half and the whole is taken: a worker's first one.
const DIAL_PAUSE: Duration = Duration::from_secs(1);
/// The pause after a manager said that too many join.
const JOIN_PAUSE: Duration = Duration::from_secs(1);
/// The most workers: each has an address 127.x.y.z.
pub const WORKERS_MAX: usize = 10_000;
/// What each machine has.
const CPUS: u32 = 32;
const MEMORY: Bytes = Bytes::mib(64 * 1024);

/// What the whole crowd knows.
#[derive(Debug, Default)]
struct Known {
    connected: AtomicUsize,
    running: AtomicUsize,
    welcomed: AtomicU64,
    /// Placements that were ever begun: more than tasks, and one was moved or doubled.
    begun: AtomicU64,
    /// Why the last session ended that did.
    broke: Mutex<Option<String>>,
}

/// A crowd that runs until it is stopped.
#[derive(Debug)]
pub struct Crowd {
    token: JoinToken,
    manager: SocketAddr,
    known: Arc<Known>,
    stop: CancellationToken,
    workers: TaskTracker,
    joined: usize,
}

impl Crowd {
    /// Nobody yet, with a token for everybody.
    ///
    /// # Errors
    /// The text is no token, or has no address that is one.
    pub fn new(token: &str) -> Result<Self> {
        let token: JoinToken = token.parse().context("the token")?;
        let manager = token.addresses.first().context("a token without an address")?;
        let manager = manager.parse().context("the token's address")?;
        let (known, stop) = (Arc::default(), CancellationToken::new());
        Ok(Self { token, manager, known, stop, workers: TaskTracker::new(), joined: 0 })
    }

    /// So many more join, not more at once than `abreast`, and stay.
    ///
    /// # Errors
    /// One may not, for another reason than that too many ask.
    pub async fn join(&mut self, more: usize, abreast: usize) -> Result<()> {
        let numbers = self.joined..self.joined + more;
        anyhow::ensure!(numbers.end <= WORKERS_MAX, "at most {WORKERS_MAX} workers");
        let room = Arc::new(tokio::sync::Semaphore::new(abreast));
        let mut joining = tokio::task::JoinSet::new();
        for number in numbers {
            let (token, manager, room) = (self.token.clone(), self.manager, Arc::clone(&room));
            joining.spawn(async move {
                let _place = room.acquire_owned().await;
                Worker::join(number, manager, &token).await
            });
        }
        while let Some(worker) = joining.join_next().await {
            let worker = worker.context("a worker")??;
            let (known, stop) = (Arc::clone(&self.known), self.stop.clone());
            self.workers.spawn(worker.run(known, stop));
            self.joined += 1;
        }
        Ok(())
    }

    /// Workers whose manager knows them at present.
    pub fn connected(&self) -> usize {
        self.known.connected.load(Ordering::Relaxed)
    }

    /// Sessions that were ever welcomed.
    pub fn welcomed(&self) -> u64 {
        self.known.welcomed.load(Ordering::Relaxed)
    }

    /// Placements whose running the manager has acknowledged.
    pub fn running(&self) -> usize {
        self.known.running.load(Ordering::Relaxed)
    }

    /// Placements that were ever begun.
    pub fn begun(&self) -> u64 {
        self.known.begun.load(Ordering::Relaxed)
    }

    /// Why the last session ended that did.
    pub fn broke(&self) -> Option<String> {
        self.known.broke.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everybody hangs up, without a goodbye.
    pub async fn stopped(self) {
        self.stop.cancel();
        self.workers.close();
        self.workers.wait().await;
    }
}

/// One worker.
struct Worker {
    number: usize,
    manager: SocketAddr,
    client: Client,
    life: LifeId,
    held: Mutex<Held>,
}

/// What it holds.
#[derive(Default)]
struct Held {
    generation: Generation,
    placements: BTreeMap<PlacementId, PlacementStatus>,
    /// Digests of the specs that were fetched.
    specs: BTreeSet<String>,
    /// Placements whose running the manager has acknowledged.
    acknowledged: usize,
}

impl Worker {
    async fn join(number: usize, manager: SocketAddr, token: &JoinToken) -> Result<Self> {
        let (key, csr) = identity::request()?;
        let client = Client::joining(token.ca, clock::clock());
        let secret = token.secret.0.iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let joined: Joined = loop {
            let stream = client.over(dial(number, manager).await?, Purpose::WorkerAsks).await?.stream;
            let asker = Asker::new(stream).await?;
            let join = Join {
                version: LINK_VERSION,
                secret: secret.clone(),
                csr: csr.clone(),
                facts: facts(number),
                clock: clock::now().wall,
            };
            match asker.ask(link::JOIN, &join, Duration::ZERO).await {
                Ok(joined) => break joined,
                Err(AskError::Refused(problem)) if problem.code == Code::TooOften => {
                    tokio::time::sleep(JOIN_PAUSE).await;
                }
                Err(error) => return Err(error).with_context(|| format!("worker {number} may not join")),
            }
        };
        let Joined { cluster, node, name, certificate, ca, managers, .. } = joined;
        let about = About::new(cluster, node, vec![Role::Worker], name, managers);
        let identity = NodeIdentity::new(about, key, certificate, ca)?;
        let dates = Dates::Node(Floor::new(identity.facts.not_before));
        let trust = Trust::new(cluster, identity.cas())?;
        let client = Client::known(Own::of(&identity)?, trust, dates, clock::clock());
        Ok(Self { number, manager, client, life: LifeId::fresh(&mut OsIds), held: Mutex::default() })
    }

    async fn run(self, known: Arc<Known>, stop: CancellationToken) {
        loop {
            let ended = tokio::select! {
                ended = self.session(&known) => ended,
                () = stop.cancelled() => return,
            };
            *known.broke.lock().unwrap_or_else(PoisonError::into_inner) =
                ended.err().map(|error| format!("worker {}: {error:#}", self.number));
            let dice = u32::from(OsIds.next_id().bytes()[0]);
            tokio::select! {
                () = tokio::time::sleep(DIAL_PAUSE / 2 + DIAL_PAUSE / 2 * dice / 255) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From hello until something breaks.
    async fn session(&self, known: &Arc<Known>) -> Result<()> {
        let io = self.client.over(dial(self.number, self.manager).await?, Purpose::WorkerAsks).await?.stream;
        let asker = Asker::new(io).await?;
        let hello = {
            let held = self.held();
            Hello {
                version: LINK_VERSION,
                life: self.life,
                facts: facts(self.number),
                generation: held.generation,
                clock: clock::now().wall,
                inventory: held.placements.values().cloned().collect(),
            }
        };
        let welcome: Welcome = asker.ask(link::HELLO, &hello, Duration::ZERO).await?;
        self.held().acknowledge(known);
        let io = self.client.over(dial(self.number, self.manager).await?, Purpose::ManagerAsks).await?.stream;
        let _connected = Counted::new(known);
        let serving = h2::serve(io, Share::MEMBER, |request| async move { serve(&request) });
        tokio::select! {
            ended = self.polls(&asker, welcome.period.std(), known) => ended,
            () = serving => bail!("the connection on which the manager asks was closed"),
        }
    }

    async fn polls(&self, asker: &Asker, mut period: Duration, known: &Known) -> Result<()> {
        loop {
            let generation = self.held().generation;
            let clock = Some(clock::now().wall);
            let poll = Poll { life: self.life, generation, conditions: Vec::new(), clock };
            let answer: PollAnswer = asker.ask(link::POLL, &poll, period).await?;
            period = answer.period.std();
            if let Some(assignment) = answer.assignment {
                self.take_up(asker, assignment, known).await?;
            }
        }
    }

    /// Fetches the specs that are missing, does what the set says, and reports what came of it.
    async fn take_up(&self, asker: &Asker, assignment: Assignment, known: &Known) -> Result<()> {
        let mut missing: Vec<String> = assignment.placements.values().map(|p| p.spec.clone()).collect();
        missing.sort();
        missing.dedup();
        missing.retain(|digest| !self.held().specs.contains(digest));
        for digest in missing {
            match asker.get::<SpecBody>(&format!("{}{}", link::SPEC, encode(&digest))).await {
                Ok(_) => self.held().specs.insert(digest),
                // It belongs to a set that is older than the manager's: the next poll brings a newer one.
                Err(AskError::Refused(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
        }
        let changed = self.held().converge(&assignment, known);
        if changed.is_empty() {
            return Ok(());
        }
        let report = Report { life: self.life, placements: changed };
        let ReportAnswer { unknown } = asker.ask(link::REPORT, &report, Duration::ZERO).await?;
        let mut held = self.held();
        for placement in unknown {
            held.placements.remove(&placement);
        }
        held.acknowledge(known);
        Ok(())
    }
}

impl Held {
    /// The manager knows what is held now.
    fn acknowledge(&mut self, known: &Known) {
        let running = self.placements.values().filter(|s| is_alive(s)).count();
        known.running.fetch_add(running, Ordering::Relaxed);
        known.running.fetch_sub(std::mem::replace(&mut self.acknowledged, running), Ordering::Relaxed);
    }

    /// Does what a set says; what changed by that.
    fn converge(&mut self, assignment: &Assignment, known: &Known) -> Vec<PlacementStatus> {
        let now = clock::now().wall;
        let mut changed = Vec::new();
        self.generation = assignment.generation;
        self.placements.retain(|id, _| assignment.placements.contains_key(id));
        for (id, assigned) in &assignment.placements {
            let status = self.placements.get(id);
            let alive = status.is_some_and(is_alive);
            let mut next = status.cloned().unwrap_or_else(|| PlacementStatus {
                placement: *id,
                task: assigned.task,
                sequence: 0,
                attempts: Vec::new(),
                restarts: 0,
                budget_used: 0,
                next_attempt_at: None,
                finished: false,
                progress: None,
                warning: None,
            });
            match assigned.wanted {
                PlacementWanted::Running if status.is_none() => {
                    next.attempts.push(AttemptStatus {
                        number: assigned.attempts_before + 1,
                        state: State::Running,
                        reason: None,
                        message: String::new(),
                        exit_code: None,
                        signal: None,
                        container: Some(format!("{id}{id}")),
                        container_kept: true,
                        image_id: Some("sha256:0".to_owned()),
                        created_at: now,
                        started_at: Some(now),
                        finished_at: None,
                        ports: Vec::new(),
                        own_ms: Some(1),
                    });
                    known.begun.fetch_add(1, Ordering::Relaxed);
                }
                PlacementWanted::Stopped if alive => {
                    for attempt in next.attempts.iter_mut().filter(|a| !a.state.is_terminal()) {
                        attempt.state = State::Stopped;
                        attempt.reason = assigned.stop_reason.or(Some(Reason::StoppedByUser));
                        attempt.exit_code = Some(0);
                        attempt.finished_at = Some(now);
                    }
                    next.finished = true;
                }
                _ => continue,
            }
            next.sequence += 1;
            self.placements.insert(*id, next.clone());
            changed.push(next);
        }
        changed
    }
}

fn is_alive(status: &PlacementStatus) -> bool {
    status.attempts.iter().any(|attempt| !attempt.state.is_terminal())
}

/// One session among those that stand.
struct Counted(Arc<Known>);

impl Counted {
    fn new(known: &Arc<Known>) -> Self {
        known.connected.fetch_add(1, Ordering::Relaxed);
        known.welcomed.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(known))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// From the worker's own address.
async fn dial(number: usize, manager: SocketAddr) -> Result<TcpStream> {
    let [low, high] = [number % 250 + 1, number / 250].map(|n| u8::try_from(n).unwrap_or(u8::MAX));
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 1, high, low), 0).into())?;
    Ok(tokio::time::timeout(Duration::from_secs(5), socket.connect(manager)).await??)
}

fn facts(number: usize) -> NodeFacts {
    NodeFacts {
        name: format!("crowd-{number:05}").parse::<Name>().ok(),
        cpu: Cpu::from_millis(u64::from(CPUS) * 1000),
        memory: MEMORY,
        disk: Bytes::mib(1024 * 1024),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        kernel: "6.1.0-30-amd64".to_owned(),
        distribution: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        engine: "20.10.24".to_owned(),
        engine_api: "1.41".to_owned(),
        cgroup: 2,
        orcad: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: format!("{number:08}-0000-4000-8000-000000000000"),
        ..NodeFacts::default()
    }
}

fn serve(request: &Request<Incoming>) -> Response<Body> {
    if (request.method(), request.uri().path()) != (&Method::GET, worker::LOAD) {
        return http::problem(&Problem::new(Code::NoSuchRoute, "there is no engine here"));
    }
    let machine = MachineLoad {
        cpus: CPUS,
        cpu_now: 0.5,
        cpu_average: 0.5,
        memory_total: MEMORY.get(),
        memory_used: MEMORY.get() / 8,
        memory_average: MEMORY.get() / 8,
        ..MachineLoad::default()
    };
    let load = NodeLoad { at: Some(clock::now().wall), machine, tasks: Vec::new() };
    http::json(StatusCode::OK, &load)
}
