//! The manager's end of the link: it answers its workers, and asks them for measurements, logs and processes.
//!
//! ```text
//!   worker ── hello, poll (parked), report, spec, renew, leave, goodbye ──► answered here     first connection
//!   worker ◄── load (each 5 s), logs, exec ─────────────────── asked here       second connection
//! ```
//!
//! Who a worker is comes from its connection: a pipe for the manager's own, else its certificate. A node that was removed
//! gets the same answer on every route. A worker that the core does not hear (its hello is missing, or it was silent for
//! too long) is told to say hello again: a resync is the normal path.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming as IncomingBody;
use hyper::{Method, Request, Response, StatusCode};
use orca_api::error::{Code, Problem};
use orca_api::id::{CertificateId, IdSource, LifeId, NodeId};
use orca_api::join::{CaDigest, CertRole, Renew, Renewed};
use orca_api::link::{Goodbye, Hello, Poll, PollAnswer, Report, SpecBody};
use orca_api::load::NodeLoad;
use orca_api::route::{link, worker};
use orca_api::units::Time;
use orca_core::manager::{Answer, Event, HEARTBEAT};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ManagerHandle;
use super::members::Members;
use crate::clock;
use crate::net::h2::{self, Asker, Io, Share};
use crate::net::http::{self, Body};
use crate::net::limits::{LINK_TIME, MESSAGES_PER_NODE};
use crate::net::memory::{Incoming, Purpose};
use crate::net::room::Pace;
use crate::pki::certificate::Identity;

/// How often a worker is asked for its measurements, in milliseconds, before jitter.
const MEASURE_MS: u64 = 5000;
/// How soon after a failed attempt, and after the first connection, it is asked again.
const MEASURE_RETRY: Duration = Duration::from_secs(1);
/// Certificates of one node: so many at once, and then one each so many milliseconds.
const RENEWALS: (u32, u64) = (5, 10_000);

/// The workers that can be asked.
#[derive(Debug, Default)]
pub struct Workers {
    by_node: Mutex<BTreeMap<NodeId, Asker>>,
}

impl Workers {
    /// The connection to a node's worker.
    pub fn asker(&self, node: NodeId) -> Result<Asker, Problem> {
        let by_node = self.by_node.lock().unwrap_or_else(PoisonError::into_inner);
        by_node.get(&node).filter(|a| !a.is_closed()).cloned().ok_or_else(|| {
            Problem::new(Code::NodeAway, "the task's node is not connected")
                .hint("orcactl node list; systemctl status orcad there")
        })
    }

    fn put(&self, node: NodeId, asker: Asker) {
        let mut by_node = self.by_node.lock().unwrap_or_else(PoisonError::into_inner);
        by_node.retain(|_, asker| !asker.is_closed());
        by_node.insert(node, asker);
    }
}

/// Who asks on a connection, as far as the link is concerned.
#[derive(Debug)]
pub struct Caller {
    /// The node.
    pub node: NodeId,
    /// Over the network: from which address, as what, and whether the certificate is within its dates.
    pub remote: Option<Remote>,
    /// The life that was welcomed on this connection.
    welcomed: Mutex<Option<LifeId>>,
}

/// A node over the network.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    /// The address that its connection comes from.
    pub address: IpAddr,
    /// What its certificate says.
    pub role: CertRole,
    /// Whether that is within its dates by this machine's clock. Without, it may renew, and nothing else.
    pub valid: bool,
    /// Until when it is good.
    pub expires_at: Time,
    /// The authority that signed it.
    pub issuer: Option<CaDigest>,
}

impl Caller {
    /// A node.
    pub fn new(node: NodeId, remote: Option<Remote>) -> Arc<Self> {
        Arc::new(Self { node, remote, welcomed: Mutex::default() })
    }

    fn welcomed(&self) -> std::sync::MutexGuard<'_, Option<LifeId>> {
        self.welcomed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The manager's end of the link.
pub struct Link {
    manager: ManagerHandle,
    workers: Arc<Workers>,
    /// Who may become a member, and how; nothing where this cluster has no authority.
    members: Option<Arc<Members>>,
    /// Connections on which a life was welcomed.
    welcomed: Mutex<BTreeMap<(NodeId, LifeId), usize>>,
    messages: Pace<NodeId>,
    renewals: Pace<NodeId>,
    ids: Mutex<Box<dyn IdSource + Send>>,
    stop: CancellationToken,
}

impl Link {
    /// The end of a manager; polls are answered at once after `stop`.
    pub fn new(
        manager: ManagerHandle,
        workers: Arc<Workers>,
        members: Option<Arc<Members>>,
        ids: Box<dyn IdSource + Send>,
        stop: CancellationToken,
    ) -> Self {
        let (messages, renewals) = (Pace::new(MESSAGES_PER_NODE), Pace::new(RENEWALS));
        Self {
            manager,
            workers,
            members,
            welcomed: Mutex::default(),
            messages,
            renewals,
            ids: Mutex::new(ids),
            stop,
        }
    }

    /// Serves the connections that this node's own worker makes, until `stop`.
    pub async fn serve(self: Arc<Self>, mut connections: mpsc::Receiver<Incoming>) {
        let tasks = TaskTracker::new();
        loop {
            let incoming = tokio::select! {
                incoming = connections.recv() => incoming,
                () = self.stop.cancelled() => break,
            };
            let Some(incoming) = incoming else {
                // This node's own worker dials no more: it stops a moment before this does.
                self.stop.cancelled().await;
                break;
            };
            let caller = Caller::new(incoming.node, None);
            tasks.spawn(Arc::clone(&self).connection(caller, incoming.purpose, incoming.io));
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Serves one connection of a node until it ends, or the daemon stops.
    pub async fn connection(self: Arc<Self>, caller: Arc<Caller>, purpose: Purpose, io: impl Io) {
        let stop = self.stop.clone();
        let served = async {
            match purpose {
                Purpose::WorkerAsks => {
                    let (link, by) = (Arc::clone(&self), Arc::clone(&caller));
                    let answer = move |request| Arc::clone(&link).answer(Arc::clone(&by), request);
                    h2::serve(io, Share::MEMBER, answer).await;
                }
                Purpose::ManagerAsks => self.ask_worker(caller.node, io).await,
            }
        };
        tokio::select! {
            () = served => {}
            () = stop.cancelled() => return,
        }
        let life = caller.welcomed().take();
        if let Some(life) = life
            && self.was_last(caller.node, life)
            && caller.remote.is_some()
        {
            // The driver may have stopped: then nobody needs the hint.
            let _ = self.manager.tell(Event::Dropped { node: caller.node, life }).await;
        }
    }

    /// A worker that says hello anew on another connection closes the one before: only the last one's end means anything.
    fn was_last(&self, node: NodeId, life: LifeId) -> bool {
        let mut welcomed = self.welcomed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = welcomed.get(&(node, life)).map_or(0, |n| n.saturating_sub(1));
        if left == 0 {
            welcomed.remove(&(node, life));
        } else {
            welcomed.insert((node, life), left);
        }
        left == 0
    }

    /// Answers one message of a node.
    pub async fn answer(
        self: Arc<Self>,
        caller: Arc<Caller>,
        request: Request<IncomingBody>,
    ) -> Response<Body> {
        match self.route(&caller, request).await {
            Ok(response) => response,
            Err(problem) => http::problem(&problem),
        }
    }

    async fn route(
        &self,
        caller: &Caller,
        request: Request<IncomingBody>,
    ) -> Result<Response<Body>, Problem> {
        let node = caller.node;
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        if let Some(remote) = caller.remote {
            if !self.messages.take(&node, clock::now().boot_ms) {
                return Err(Problem::new(Code::TooOften, "this node sends too many messages"));
            }
            // Before anything else, whatever is asked: who was removed hears so.
            self.manager.read(move |manager, _| manager.is_member(node)).await??;
            if !remote.valid && path != link::RENEW {
                return Err(Problem::new(Code::NotAllowed, OUT_OF_DATE)
                    .because("by the manager's clock it is past its end, or not begun")
                    .hint("the node renews it by itself; compare the clocks of both machines (date -u)"));
            }
        }
        if let Some(digest) = path.strip_prefix(link::SPEC)
            && method == Method::GET
        {
            return self.spec(node, digest.to_owned()).await;
        }
        if method != Method::POST {
            return Err(Problem::new(Code::NoSuchRoute, format!("there is no {method} {path} on the link")));
        }
        let bytes = h2::whole(request.into_body(), LINK_TIME).await.map_err(unreadable)?;
        match path.as_str() {
            link::HELLO => self.hello(caller, h2::read(&bytes).map_err(unreadable)?).await,
            link::POLL => self.poll(node, h2::read(&bytes).map_err(unreadable)?).await,
            link::REPORT => self.report(node, h2::read(&bytes).map_err(unreadable)?).await,
            link::RENEW => self.renew(caller, h2::read(&bytes).map_err(unreadable)?).await,
            link::LEAVE => self.leave(node).await,
            link::GOODBYE => {
                let goodbye: Goodbye = h2::read(&bytes).map_err(unreadable)?;
                self.manager.tell(Event::Goodbye { node, goodbye }).await?;
                // It is heard when it is committed: the worker goes then.
                self.manager.read(|_, _| ()).await?;
                Ok(ok(&()))
            }
            _ => Err(Problem::new(Code::NoSuchRoute, format!("there is no {path} on the link"))),
        }
    }

    async fn hello(&self, caller: &Caller, hello: Hello) -> Result<Response<Body>, Problem> {
        let (node, life, hello) = (caller.node, hello.life, Box::new(hello));
        let address = caller.remote.map(|remote| remote.address.to_string());
        self.shown(caller).await?;
        match self.manager.ask(move |token| Event::Hello { token, node, address, hello }).await? {
            Answer::Welcome(welcome) => {
                if caller.welcomed().replace(life) != Some(life) {
                    let mut welcomed = self.welcomed.lock().unwrap_or_else(PoisonError::into_inner);
                    *welcomed.entry((node, life)).or_default() += 1;
                }
                Ok(ok(&welcome))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// What counts is the certificate that a node shows, and not one that it was sent: that may have been lost on the way,
    /// and the authority of the one that it has must stay trusted for so long.
    async fn shown(&self, caller: &Caller) -> Result<(), Problem> {
        let (Some(Remote { expires_at, issuer: Some(issuer), .. }), Some(members)) =
            (caller.remote, &self.members)
        else {
            return Ok(());
        };
        let (node, ca) = (caller.node, issuer.to_string());
        self.manager.tell(Event::Certified { node, expires_at, ca }).await?;
        members.settle_when_due();
        Ok(())
    }

    /// A new certificate for the same node in the same role, whatever the request says.
    async fn renew(&self, caller: &Caller, renew: Renew) -> Result<Response<Body>, Problem> {
        let node = caller.node;
        let (Some(remote), Some(members)) = (caller.remote, &self.members) else {
            return Err(Problem::new(Code::NoSuchRoute, "this node has no certificate to renew"));
        };
        if !self.renewals.take(&node, clock::now().boot_ms) {
            return Err(Problem::new(Code::TooOften, "this node renews its certificate too often"));
        }
        let Some((cluster, ttl)) = members.cluster().await? else {
            return Err(Problem::new(Code::Internal, "there is no cluster yet"));
        };
        let who = Identity::of_node(cluster, remote.role, node);
        let id = CertificateId::fresh(&mut **self.ids.lock().unwrap_or_else(PoisonError::into_inner));
        let issued = members.authority().certify(&renew.csr, &who, id, ttl)?;
        let managers = members.managers().await;
        tracing::info!(%node, "a node renewed its certificate");
        Ok(ok(&Renewed { certificate: issued.chain, ca: members.authority().bundle(), managers }))
    }

    /// Asked again and again, until nothing is left on the node.
    async fn leave(&self, node: NodeId) -> Result<Response<Body>, Problem> {
        match self.manager.ask(move |token| Event::LeaveAsked { token, node }).await? {
            Answer::Leaving { tasks: 0 } => Ok(ok(&serde_json::json!({ "tasks": 0 }))),
            Answer::Leaving { tasks } => {
                Ok(http::json(StatusCode::ACCEPTED, &serde_json::json!({ "tasks": tasks })))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn report(&self, node: NodeId, report: Report) -> Result<Response<Body>, Problem> {
        let Report { life, placements } = report;
        match self.manager.ask(move |token| Event::Reported { token, node, life, placements }).await? {
            Answer::Report(answer) => Ok(ok(&answer)),
            other => Err(unexpected(&other)),
        }
    }

    /// Parked until the node's set is newer than what it holds, or the period is over.
    async fn poll(&self, node: NodeId, poll: Poll) -> Result<Response<Body>, Problem> {
        let Poll { life, generation, conditions, clock } = poll;
        let until = Instant::now() + HEARTBEAT.std();
        self.manager.tell(Event::Polled { node, life, generation, conditions, clock }).await?;
        let changed = self.manager.waiters().node(node);
        // One that must renew is told when it is woken, and at the end of its poll: not in a circle while it does.
        let mut parked = true;
        loop {
            let woken = changed.notified();
            let (member, heard, newer, renew) = self
                .manager
                .read(move |manager, _| {
                    let newer = manager.generation(node).is_some_and(|g| g > generation);
                    let newer = if newer { manager.assignment(node) } else { None };
                    let renew = manager.node_must_renew(node);
                    (manager.is_member(node), manager.hears(node, life), newer, renew)
                })
                .await?;
            member?;
            if !heard {
                return Err(Problem::new(Code::Changed, "this manager has not heard your hello"));
            }
            let clock = Some(clock::now().wall);
            let answer = |assignment| ok(&PollAnswer { assignment, period: HEARTBEAT, renew, clock });
            if newer.is_some() || (renew && !parked) {
                return Ok(answer(newer));
            }
            tokio::select! {
                () = woken => parked = false,
                () = tokio::time::sleep_until(until) => return Ok(answer(None)),
                () = self.stop.cancelled() => return Ok(answer(None)),
            }
        }
    }

    /// A spec's body, for a node that one of its placements needs it on.
    async fn spec(&self, node: NodeId, digest: String) -> Result<Response<Body>, Problem> {
        let spec = self.manager.read(move |manager, _| manager.spec_for(node, &digest)).await?;
        match spec {
            Some(spec) => Ok(ok(&SpecBody { spec: (*spec).clone() })),
            None => Err(Problem::new(Code::NoSuchRoute, "no placement on your node has that spec")),
        }
    }

    /// Takes a worker's second connection into use: asks for its measurements until it is gone.
    async fn ask_worker(&self, node: NodeId, io: impl Io) {
        let asker = match Asker::new(io).await {
            Ok(asker) => asker,
            Err(error) => {
                tracing::warn!(%error, %node, "a worker's second connection did not come about");
                return;
            }
        };
        self.workers.put(node, asker.clone());
        while !asker.is_closed() {
            let pause = match asker.get::<NodeLoad>(worker::LOAD).await {
                // Nothing was sampled yet.
                Ok(load) if load.at.is_none() => MEASURE_RETRY,
                Ok(load) => {
                    if self.manager.tell(Event::Measured { node, load: Box::new(load) }).await.is_err() {
                        return;
                    }
                    self.jittered()
                }
                Err(error) => {
                    tracing::debug!(%error, %node, "a worker's measurements could not be read");
                    MEASURE_RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The period, ± 20 %: a fleet must not answer in step.
    fn jittered(&self) -> Duration {
        let random = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next_id().bytes()[0];
        Duration::from_millis(MEASURE_MS * 4 / 5 + MEASURE_MS * 2 / 5 * u64::from(random) / 255)
    }
}

/// What a node with such a certificate hears on every route but that of renewal.
const OUT_OF_DATE: &str = "the certificate of this node is not within its dates";

fn ok(value: &impl Serialize) -> Response<Body> {
    http::json(StatusCode::OK, value)
}

fn unreadable(error: h2::AskError) -> Problem {
    Problem::new(Code::BadRequest, "the message cannot be read").because(error.to_string())
}

fn unexpected(answer: &Answer) -> Problem {
    Problem::new(Code::Internal, format!("the core answered something else: {answer:?}"))
}
