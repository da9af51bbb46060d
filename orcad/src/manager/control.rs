//! The control API: every route of the control socket, decoded, asked, and answered.
//!
//! ```text
//!   request ──► id ──► route (path, method) ──► query, body (strict) ──► one match ──► answer
//!                 └── each problem carries the id; mutations are recorded under it, with uid and pid
//! ```
//!
//! Who asks, and what the socket allows, is known from the connection; no header ever says so. Every error is
//! problem+json. The view socket reaches the routes that read, and sees no values of environment variables.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode};
use orca_api::control::VersionView;
use orca_api::error::{Code, Problem};
use orca_api::id::{IdSource, NodeId, RequestId};
use orca_api::link::{LINK_VERSION, NodeFacts};
use orca_api::node::Role;
use orca_api::route::Route;
use orca_api::units::Time;
use orca_core::manager::{Answer, Asked, Event, Peer, Request as Asking};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::link::Workers;
use super::members::Members;
use super::port::Port;
use super::{ManagerHandle, cluster, events, exec, jobs, logs, nodes, roles, tasks};
use crate::again::Again;
use crate::config::Config;
use crate::metrics::{Metrics, Snapshot};
use crate::net::api::{self, ID_BYTES_MAX, Paths, REQUEST_ID, Refused};
pub(super) use crate::net::api::{Call, list, ok, read_body, tagged};
use crate::net::http::{self, Body};
use crate::net::limits::{STREAMS_MAX, WATCHERS_MAX};
use crate::net::unix::{Connection, Service};

/// What the control API knows of its daemon.
pub struct About {
    /// This node.
    pub here: NodeId,
    /// What it does.
    pub roles: Vec<Role>,
    /// Since when the daemon runs.
    pub started_at: Time,
    /// The configuration.
    pub config: Config,
    /// What this node is, where it has a worker.
    pub facts: Option<watch::Receiver<NodeFacts>>,
    /// Has the daemon begin anew, as something else.
    pub again: Again,
}

/// What of a manager other machines may reach.
pub struct Network {
    /// Who may become a member, and how.
    pub members: Arc<Members>,
    /// The port of the link.
    pub port: Arc<Port>,
}

/// The control API.
pub struct Control {
    pub(super) manager: ManagerHandle,
    pub(super) workers: Arc<Workers>,
    pub(super) stop: CancellationToken,
    pub(super) about: About,
    /// The network; why there is none, where this cluster has no authority that can be used.
    pub(super) network: Result<Network, Problem>,
    /// One change of what this node is at a time.
    pub(super) turning: tokio::sync::Mutex<()>,
    metrics: Metrics,
    paths: Paths,
    streams: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    ids: Mutex<Box<dyn IdSource + Send>>,
}

impl Control {
    /// The API of a manager. `stop` ends streams and parked requests.
    ///
    /// # Errors
    /// Where two routes have the same path: a defect of the table.
    pub fn new(
        manager: ManagerHandle,
        workers: Arc<Workers>,
        about: About,
        network: Result<Network, Problem>,
        metrics: Metrics,
        ids: Box<dyn IdSource + Send>,
        stop: CancellationToken,
    ) -> Result<Self, matchit::InsertError> {
        Ok(Self {
            manager,
            workers,
            stop,
            about,
            network,
            turning: tokio::sync::Mutex::default(),
            metrics,
            paths: Paths::new()?,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
            ids: Mutex::new(ids),
        })
    }

    fn request_id(&self, headers: &HeaderMap) -> String {
        let fresh = || RequestId::fresh(&mut **self.ids.lock().unwrap_or_else(PoisonError::into_inner));
        api::request_id(headers).unwrap_or_else(|| fresh().to_string())
    }

    async fn call(
        &self,
        connection: Connection,
        id: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let (route, call, body) = self.paths.read(connection, id, request)?;
        let answer = self.dispatch(route, call, body).await;
        let status = answer.as_ref().map_or_else(|problem| problem.status, |answer| answer.status().as_u16());
        self.metrics.answered(&format!("{route:?}"), status);
        Ok(answer?)
    }

    async fn dispatch(&self, route: Route, call: Call, body: Incoming) -> Result<Response<Body>, Problem> {
        match route {
            Route::Status => self.status().await,
            Route::Version => Ok(ok(&VersionView {
                version: orca_api::VERSION.to_owned(),
                api: "v1".to_owned(),
                link: LINK_VERSION,
            })),
            Route::OpenApi => Ok(ok(&orca_api::openapi::document())),
            Route::Metrics => self.metrics().await,
            Route::TaskList => tasks::list(self, &call).await,
            Route::TaskStart => tasks::start(self, &call, body).await,
            Route::TaskInspect => tasks::inspect(self, &call).await,
            Route::TaskRemove => tasks::remove(self, &call).await,
            Route::TaskStop => tasks::stop(self, &call, body).await,
            Route::TaskRestart => tasks::restart(self, &call, body).await,
            Route::TaskExplain => tasks::explain(self, &call).await,
            Route::TaskLogs => logs::logs(self, &call).await,
            Route::TaskExec => exec::exec(self, call, body).await,
            Route::TaskStats => tasks::stats_of(self, &call).await,
            Route::Stats => tasks::stats(self).await,
            Route::Explain => tasks::explain_spec(self, &call, body).await,
            Route::NodeList => nodes::list(self).await,
            Route::NodeInspect => nodes::inspect(self, &call).await,
            Route::NodeAvailability => nodes::set_availability(self, &call, body).await,
            Route::Events => events::events(self, &call).await,
            Route::NodeDrainPlan => nodes::drain_plan(self, &call).await,
            Route::NodeLabels => nodes::set_labels(self, &call, body).await,
            Route::NodeConfirmDown => nodes::confirm_down(self, &call).await,
            Route::NodeRemove => nodes::remove(self, &call).await,
            Route::TokenList => cluster::tokens(self).await,
            Route::TokenCreate => cluster::create_token(self, &call, body).await,
            Route::TokenRevoke => cluster::revoke_token(self, &call).await,
            Route::ClusterInspect => cluster::inspect(self).await,
            Route::ClusterSet => cluster::set(self, &call, body).await,
            Route::CaRotate => cluster::rotate(self, &call).await,
            Route::CertificateList => cluster::certificates(self).await,
            Route::CertificateIssue => cluster::issue(self, &call, body).await,
            Route::CertificateRevoke => cluster::revoke(self, &call).await,
            Route::JobList => jobs::list(self, &call).await,
            Route::JobRun => jobs::run(self, &call, body).await,
            Route::JobPlan => jobs::plan(self, &call, body).await,
            Route::JobInspect => jobs::inspect(self, &call).await,
            Route::JobRemove => jobs::remove(self, &call).await,
            Route::JobStop => jobs::stop(self, &call, body).await,
            Route::JobStart => jobs::start(self, &call, body).await,
            Route::JobRestart => jobs::restart(self, &call, body).await,
            Route::JobScale => jobs::scale(self, &call, body).await,
            Route::JobRollback => jobs::rollback(self, &call, body).await,
            Route::JobHistory => jobs::history(self, &call).await,
            Route::JobRollout => jobs::rollout(self, &call, body).await,
            Route::ManagerStart => roles::manager_start(self, &call, body).await,
            Route::ManagerStop => roles::manager_stop(self, &call).await,
            Route::WorkerStart => roles::worker_start(self, &call, body).await,
            Route::WorkerStop => roles::worker_stop(self),
            Route::Leave => roles::leave(),
        }
    }

    async fn metrics(&self) -> Result<Response<Body>, Problem> {
        let snapshot = self.manager.read(Snapshot::of).await?;
        let text = self.metrics.text(&snapshot, self.manager.store().size());
        Ok(http::typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
    }

    async fn status(&self) -> Result<Response<Body>, Problem> {
        let (here, started_at) = (self.about.here, self.about.started_at);
        let status = self
            .manager
            .read(move |manager, now| manager.status(here, orca_api::VERSION, started_at, now))
            .await?;
        let status = status
            .ok_or_else(|| Problem::new(Code::Internal, "this node is not in the cluster's records"))?;
        Ok(ok(&status))
    }

    /// A place for an answer without an end; given back when it is dropped.
    pub(super) fn stream_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Busy, format!("{STREAMS_MAX} streams (logs, exec) are open already"))
                .hint("close some first")
        })
    }

    /// A place for a watcher of events, likewise.
    pub(super) fn watcher_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            Problem::new(Code::Busy, format!("{WATCHERS_MAX} watchers of events are there already"))
                .hint("close some first")
        })
    }

    /// Asks the core for a mutation. `body` is what the idempotency key stands for.
    pub(super) async fn change(&self, call: &Call, body: &[u8], request: Asking) -> Result<Answer, Problem> {
        let headers = call.head.headers();
        let target = call.head.uri().path_and_query().map_or("", |t| t.as_str());
        let key = idempotency_key(headers, &call.connection, call.head.method().as_str(), target, body)?;
        let if_match = if_match(headers)?;
        let (peer, request_id) = (call.connection.peer.clone(), call.id.clone());
        let asked =
            move |token| Event::Asked(Box::new(Asked { token, peer, request_id, key, if_match, request }));
        self.manager.ask(asked).await
    }

    /// Asks the core for a mutation of a task or a node.
    pub(super) async fn ask(
        &self,
        call: &Call,
        body: &[u8],
        request: Asking,
    ) -> Result<Response<Body>, Problem> {
        match self.change(call, body, request).await? {
            Answer::Created(task) => Ok(tagged(StatusCode::CREATED, task.task.revision, &*task)),
            Answer::Task(task) => Ok(tagged(StatusCode::OK, task.task.revision, &*task)),
            Answer::Job { answer, created } => {
                let status = if created { StatusCode::CREATED } else { StatusCode::OK };
                Ok(tagged(status, answer.job.revision, &*answer))
            }
            Answer::Node(node) => Ok(tagged(StatusCode::OK, node.revision, &*node)),
            Answer::NodeGone(gone) => Ok(ok(&gone)),
            other => Err(cluster::unexpected(&other)),
        }
    }
}

impl Service for Control {
    async fn answer(self: Arc<Self>, connection: Connection, request: Request<Incoming>) -> Response<Body> {
        let id = self.request_id(request.headers());
        let answer = self.call(connection, &id, request).await;
        let mut response = answer.unwrap_or_else(|refused| refused.answer(&id));
        http::set_header(&mut response, REQUEST_ID, &id);
        response
    }
}

/// The client's key for a mutation, with the digest of what it stands for. A key belongs to its user.
fn idempotency_key(
    headers: &HeaderMap,
    of: &Connection,
    method: &str,
    target: &str,
    body: &[u8],
) -> Result<Option<(String, String)>, Problem> {
    if !headers.contains_key("idempotency-key") {
        return Ok(None);
    }
    let sane =
        |key: &&str| (1..=ID_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let Some(key) = http::text_header(headers, "idempotency-key").filter(sane) else {
        return Err(Problem::new(
            Code::BadRequest,
            format!("an Idempotency-Key has 1 to {ID_BYTES_MAX} visible ASCII characters"),
        ));
    };
    let owner = match &of.peer {
        Peer::Unix { uid, .. } => uid.to_string(),
        Peer::Cert { id, .. } => id.clone(),
        Peer::Network { address } => address.clone(),
        Peer::Local => "local".to_owned(),
    };
    let digest = Sha256::new()
        .chain_update(method)
        .chain_update(b"\0")
        .chain_update(target)
        .chain_update(b"\0")
        .chain_update(body)
        .finalize();
    let digest = digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok(Some((format!("{owner}:{key}"), digest)))
}

/// `If-Match`: a revision as its `ETag` shows it; `*` and no header stand for any.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(None);
    }
    let text = http::text_header(headers, header::IF_MATCH.as_str()).map(str::trim);
    match text {
        Some("*") => Ok(None),
        Some(text) => {
            let number = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
            let wrong = || {
                Problem::new(Code::BadRequest, "If-Match is one revision, as the ETag of the object shows it")
            };
            number.parse().map(Some).map_err(|_| wrong())
        }
        None => Err(Problem::new(
            Code::BadRequest,
            "If-Match is one revision, as the ETag of the object shows it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use orca_api::route::Access;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    fn connection(uid: u32) -> Connection {
        Connection {
            peer: Peer::Unix { uid, pid: None },
            access: Access::Admin,
            writes: crate::net::timed::Lift::default(),
        }
    }

    #[test]
    fn a_revision_is_matched_as_its_tag_is_shown() {
        for (value, revision) in [("\"12\"", Some(12)), ("12", Some(12)), ("*", None)] {
            assert_eq!(if_match(&headers("if-match", value)).unwrap(), revision, "{value}");
        }
        assert!(if_match(&headers("if-match", "\"a\"")).is_err());
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn a_key_belongs_to_its_user_and_its_request() {
        let key = |uid, body: &[u8]| {
            idempotency_key(&headers("idempotency-key", "k1"), &connection(uid), "POST", "/v1/tasks", body)
                .unwrap()
                .unwrap()
        };
        assert_eq!(key(0, b"{}"), key(0, b"{}"));
        assert_ne!(key(0, b"{}").0, key(1000, b"{}").0);
        assert_ne!(key(0, b"{}").1, key(0, b"{ }").1);
        assert!(
            idempotency_key(&headers("idempotency-key", "a b"), &connection(0), "POST", "/", b"").is_err()
        );
    }
}
