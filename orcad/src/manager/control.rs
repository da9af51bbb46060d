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

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode};
use orca_api::control::{List, RolesView, VersionView};
use orca_api::error::{Code, Problem};
use orca_api::id::{IdSource, NodeId, RequestId};
use orca_api::link::LINK_VERSION;
use orca_api::node::Role;
use orca_api::route::{self, Access, ROUTES, Route};
use orca_api::units::Time;
use orca_core::manager::{Answer, Asked, Event, Peer, Request as Asking};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::link::Workers;
use super::{ManagerHandle, events, exec, logs, nodes, tasks};
use crate::metrics::{Metrics, Snapshot};
use crate::net::http::{self, Body, Query};
use crate::net::limits::{STREAMS_MAX, TARGET_BYTES_MAX, WATCHERS_MAX};
use crate::net::unix::{Connection, Service};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id or idempotency key that is taken.
const ID_BYTES_MAX: usize = 128;

/// What the control API knows of its daemon.
pub struct About {
    /// This node.
    pub here: NodeId,
    /// What it does.
    pub roles: Vec<Role>,
    /// Since when the daemon runs.
    pub started_at: Time,
}

/// The control API.
pub struct Control {
    pub(super) manager: ManagerHandle,
    pub(super) workers: Arc<Workers>,
    pub(super) stop: CancellationToken,
    about: About,
    metrics: Metrics,
    router: matchit::Router<usize>,
    /// Methods by path, in the order of the router's values.
    paths: Vec<Vec<(&'static str, Route)>>,
    streams: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    ids: Mutex<Box<dyn IdSource + Send>>,
}

/// One request, past its head.
pub(super) struct Call {
    /// The connection it came on.
    pub connection: Connection,
    /// Its id.
    pub id: String,
    /// The parts of its path that vary.
    pub part: String,
    /// Its query.
    pub query: Query,
    /// Its head.
    pub head: Request<()>,
}

/// Why a request got no success.
struct Refused {
    problem: Problem,
    /// The methods that its path has, where its own is not among them.
    allowed: Option<String>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, allowed: None }
    }
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
        metrics: Metrics,
        ids: Box<dyn IdSource + Send>,
        stop: CancellationToken,
    ) -> Result<Self, matchit::InsertError> {
        let mut router = matchit::Router::new();
        let mut paths: Vec<Vec<(&'static str, Route)>> = Vec::new();
        let mut seen: Vec<&'static str> = Vec::new();
        for entry in ROUTES {
            let at = match seen.iter().position(|path| *path == entry.path) {
                Some(at) => at,
                None => {
                    router.insert(entry.path, paths.len())?;
                    seen.push(entry.path);
                    paths.push(Vec::new());
                    paths.len() - 1
                }
            };
            paths[at].push((entry.method.as_str(), entry.route));
        }
        Ok(Self {
            manager,
            workers,
            stop,
            about,
            metrics,
            router,
            paths,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
            ids: Mutex::new(ids),
        })
    }

    fn request_id(&self, headers: &HeaderMap) -> String {
        let sane =
            |id: &&str| (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        match http::text_header(headers, REQUEST_ID.as_str()).filter(sane) {
            Some(id) => id.to_owned(),
            None => {
                RequestId::fresh(&mut **self.ids.lock().unwrap_or_else(PoisonError::into_inner)).to_string()
            }
        }
    }

    /// Finds the route and the part of its path that varies, or says what there is instead.
    fn route(&self, method: &str, path: &str) -> Result<(Route, String), Refused> {
        let Ok(found) = self.router.at(path) else {
            let shown: String = path.chars().take(100).collect();
            let problem = Problem::new(Code::NoSuchRoute, format!("there is no path {shown}"));
            return Err(problem.hint("GET /v1/openapi.json lists them").into());
        };
        let methods = self.paths.get(*found.value).map(Vec::as_slice).unwrap_or_default();
        let Some((_, route)) = methods.iter().find(|(m, _)| *m == method) else {
            let allowed = methods.iter().map(|(m, _)| *m).collect::<Vec<_>>().join(", ");
            let shown: String = method.chars().take(20).collect();
            let problem =
                Problem::new(Code::BadMethod, format!("{shown} is not for this path, but {allowed}"));
            return Err(Refused { problem, allowed: Some(allowed) });
        };
        let part = found.params.iter().next().map_or("", |(_, value)| value);
        let part = route::decode(part)
            .ok_or_else(|| Problem::new(Code::BadRequest, "the path is not percent-encoded UTF-8"))?;
        Ok((*route, part))
    }

    async fn call(
        &self,
        connection: Connection,
        id: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        if request.uri().path_and_query().map_or(0, |target| target.as_str().len()) > TARGET_BYTES_MAX {
            return Err(Problem::new(
                Code::TooLarge,
                format!("path and query are longer than {TARGET_BYTES_MAX} bytes"),
            )
            .into());
        }
        let (route, part) = self.route(request.method().as_str(), request.uri().path())?;
        check_access(connection.access, route)?;
        let query = Query::read(request.uri().query(), route.entry().query)?;
        let (head, body) = request.into_parts();
        let call = Call { connection, id: id.to_owned(), part, query, head: Request::from_parts(head, ()) };
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
            Route::ManagerStart => self.role_start(Role::Manager),
            Route::WorkerStart => self.role_start(Role::Worker),
            _ => Err(Problem::new(Code::Internal, "not written yet")),
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

    /// A node makes itself a cluster of one at its first start, with both roles: there is nothing left to start.
    fn role_start(&self, role: Role) -> Result<Response<Body>, Problem> {
        if !self.about.roles.contains(&role) {
            return Err(Problem::new(Code::NoSuchRole, format!("this node is not configured as a {role}"))
                .because(format!("roles in /etc/orcad.toml leaves out `{role}`"))
                .hint(format!("add \"{role}\" to roles in /etc/orcad.toml, then: systemctl restart orcad")));
        }
        Ok(ok(&RolesView {
            roles: self.about.roles.clone(),
            changed: false,
            message: format!("this node is a {role} already"),
        }))
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
    pub(super) async fn ask(
        &self,
        call: &Call,
        body: &[u8],
        request: Asking,
    ) -> Result<Response<Body>, Problem> {
        let headers = call.head.headers();
        let target = call.head.uri().path_and_query().map_or("", |t| t.as_str());
        let key = idempotency_key(headers, &call.connection, call.head.method().as_str(), target, body)?;
        let if_match = if_match(headers)?;
        let (peer, request_id) = (call.connection.peer.clone(), call.id.clone());
        let asked =
            move |token| Event::Asked(Box::new(Asked { token, peer, request_id, key, if_match, request }));
        match self.manager.ask(asked).await? {
            Answer::Created(task) => Ok(tagged(StatusCode::CREATED, task.task.revision, &*task)),
            Answer::Task(task) => Ok(tagged(StatusCode::OK, task.task.revision, &*task)),
            Answer::Node(node) => Ok(tagged(StatusCode::OK, node.revision, &*node)),
            other => {
                Err(Problem::new(Code::Internal, format!("the core answered something else: {other:?}")))
            }
        }
    }
}

impl Service for Control {
    async fn answer(self: Arc<Self>, connection: Connection, request: Request<Incoming>) -> Response<Body> {
        let id = self.request_id(request.headers());
        let mut response =
            self.call(connection, &id, request).await.unwrap_or_else(|Refused { problem, allowed }| {
                let mut response = http::problem(&Problem { request_id: Some(id.clone()), ..problem });
                if let Some(allowed) = allowed {
                    http::set_header(&mut response, header::ALLOW, &allowed);
                }
                response
            });
        http::set_header(&mut response, REQUEST_ID, &id);
        response
    }
}

/// Refuses on the view socket what more than reads.
fn check_access(access: Access, route: Route) -> Result<(), Problem> {
    if access == Access::View && route.entry().access == Access::Admin {
        return Err(Problem::new(Code::NotAllowed, "this socket answers reads only, without logs and exec")
            .hint("ask on the control socket: with sudo, or as a member of the group orca"));
    }
    Ok(())
}

/// `200 OK` with an object.
pub(super) fn ok(value: &impl Serialize) -> Response<Body> {
    http::json(StatusCode::OK, value)
}

/// An object with its revision as `ETag`.
pub(super) fn tagged(status: StatusCode, revision: u64, value: &impl Serialize) -> Response<Body> {
    let mut response = http::json(status, value);
    http::set_header(&mut response, header::ETAG, &format!("\"{revision}\""));
    response
}

/// A list at the cluster's revision.
pub(super) fn list<T: Serialize>(items: Vec<T>, revision: u64, next: Option<String>) -> Response<Body> {
    ok(&List { items, revision, next })
}

/// Reads a body strictly; an empty one is an object without fields.
pub(super) async fn read_body<T: DeserializeOwned>(
    call: &Call,
    body: Incoming,
) -> Result<(T, Bytes), Problem> {
    let bytes = http::body(call.head.headers(), body).await?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    let value = orca_api::text::read_json(text).map_err(|error| {
        let details = serde_json::json!({ "path": error.path });
        let mut problem =
            Problem::new(Code::BadRequest, format!("the request's body: {error}")).details(details);
        if let Some(near) = &error.nearest {
            problem = problem.hint(format!("did you mean `{near}`?"));
        }
        problem
    })?;
    Ok((value, bytes))
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
    use hyper::header::HeaderValue;

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
