//! The manager's end of the link: it answers its workers, and asks them for measurements, logs and processes.
//!
//! ```text
//!   worker ── hello, poll (parked), report, spec, goodbye ──► answered here     first connection
//!   worker ◄── load (each 5 s), logs, exec ─────────────────── asked here       second connection
//! ```
//!
//! Who a worker is comes from its connection. A worker that the core does not hear (its hello is missing, or it was
//! silent for too long) is told to say hello again: a resync is the normal path.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming as IncomingBody;
use hyper::{Method, Request, Response, StatusCode};
use orca_api::error::{Code, Problem};
use orca_api::id::{IdSource, NodeId};
use orca_api::link::{Goodbye, Hello, Poll, PollAnswer, Report, SpecBody};
use orca_api::load::NodeLoad;
use orca_api::route::{link, worker};
use orca_core::manager::{Answer, Event, HEARTBEAT};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ManagerHandle;
use crate::net::h2::{self, Asker};
use crate::net::http::{self, Body};
use crate::net::limits::LINK_TIME;
use crate::net::memory::{Incoming, Purpose};

/// How often a worker is asked for its measurements, in milliseconds, before jitter.
const MEASURE_MS: u64 = 5000;
/// How soon after a failed attempt, and after the first connection, it is asked again.
const MEASURE_RETRY: Duration = Duration::from_secs(1);

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
        self.by_node.lock().unwrap_or_else(PoisonError::into_inner).insert(node, asker);
    }
}

/// The manager's end of the link.
pub struct Link {
    manager: ManagerHandle,
    workers: Arc<Workers>,
    ids: Mutex<Box<dyn IdSource + Send>>,
    stop: CancellationToken,
}

impl Link {
    /// The end of a manager; polls are answered at once after `stop`.
    pub fn new(
        manager: ManagerHandle,
        workers: Arc<Workers>,
        ids: Box<dyn IdSource + Send>,
        stop: CancellationToken,
    ) -> Self {
        Self { manager, workers, ids: Mutex::new(ids), stop }
    }

    /// Serves the connections that workers make, until `stop`.
    pub async fn serve(self: Arc<Self>, mut connections: mpsc::Receiver<Incoming>) {
        let tasks = TaskTracker::new();
        loop {
            let incoming = tokio::select! {
                incoming = connections.recv() => incoming,
                () = self.stop.cancelled() => break,
            };
            let Some(incoming) = incoming else { break };
            let link = Arc::clone(&self);
            tasks.spawn(async move {
                let stop = link.stop.clone();
                let served = async {
                    match incoming.purpose {
                        Purpose::WorkerAsks => {
                            let node = incoming.node;
                            h2::serve(incoming.io, move |request| Arc::clone(&link).answer(node, request))
                                .await;
                        }
                        Purpose::ManagerAsks => link.ask_worker(incoming).await,
                    }
                };
                tokio::select! {
                    () = served => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn answer(self: Arc<Self>, node: NodeId, request: Request<IncomingBody>) -> Response<Body> {
        match self.route(node, request).await {
            Ok(response) => response,
            Err(problem) => http::problem(&problem),
        }
    }

    async fn route(&self, node: NodeId, request: Request<IncomingBody>) -> Result<Response<Body>, Problem> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
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
            link::HELLO => self.hello(node, h2::read(&bytes).map_err(unreadable)?).await,
            link::POLL => self.poll(node, h2::read(&bytes).map_err(unreadable)?).await,
            link::REPORT => self.report(node, h2::read(&bytes).map_err(unreadable)?).await,
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

    async fn hello(&self, node: NodeId, hello: Hello) -> Result<Response<Body>, Problem> {
        let hello = Box::new(hello);
        match self.manager.ask(move |token| Event::Hello { token, node, address: None, hello }).await? {
            Answer::Welcome(welcome) => Ok(ok(&welcome)),
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
        let answer = |assignment| ok(&PollAnswer { assignment, period: HEARTBEAT });
        loop {
            let woken = changed.notified();
            let (heard, newer) = self
                .manager
                .read(move |manager, _| {
                    let newer = manager.generation(node).is_some_and(|g| g > generation);
                    (manager.hears(node, life), if newer { manager.assignment(node) } else { None })
                })
                .await?;
            if !heard {
                return Err(Problem::new(Code::Changed, "this manager has not heard your hello"));
            }
            if newer.is_some() {
                return Ok(answer(newer));
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(until) => return Ok(answer(None)),
                () = self.stop.cancelled() => return Ok(answer(None)),
            }
        }
    }

    /// A spec's body, for a node that one of its placements needs it on.
    async fn spec(&self, node: NodeId, digest: String) -> Result<Response<Body>, Problem> {
        let spec = self
            .manager
            .read(move |manager, _| {
                let needed = manager
                    .assignment(node)
                    .is_some_and(|set| set.placements.values().any(|p| p.spec == digest));
                if needed { manager.spec_by_digest(&digest) } else { None }
            })
            .await?;
        match spec {
            Some(spec) => Ok(ok(&SpecBody { spec: (*spec).clone() })),
            None => Err(Problem::new(Code::NoSuchRoute, "no placement on your node has that spec")),
        }
    }

    /// Takes a worker's second connection into use: asks for its measurements until it is gone.
    async fn ask_worker(&self, incoming: Incoming) {
        let node = incoming.node;
        let asker = match Asker::new(incoming.io).await {
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

fn ok(value: &impl Serialize) -> Response<Body> {
    http::json(StatusCode::OK, value)
}

fn unreadable(error: h2::AskError) -> Problem {
    Problem::new(Code::BadRequest, "the message cannot be read").because(error.to_string())
}

fn unexpected(answer: &Answer) -> Problem {
    Problem::new(Code::Internal, format!("the core answered something else: {answer:?}"))
}
