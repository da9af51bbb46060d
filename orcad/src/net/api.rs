//! What every control API does with a request before it knows what is asked: id, path, method, access, query, body.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Response, StatusCode};
use orca_api::control::List;
use orca_api::error::{Code, Problem};
use orca_api::route::{self, Access, ROUTES, Route};
use orca_core::manager::Peer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::http::{self, Body, Query};
use super::limits::TARGET_BYTES_MAX;
use super::unix::Connection;

/// The header of a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest request id or idempotency key that is taken.
pub const ID_BYTES_MAX: usize = 128;

/// The client's own id for its request, where it is sane.
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let sane = |id: &&str| (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    http::text_header(headers, REQUEST_ID.as_str()).filter(sane).map(str::to_owned)
}

/// One request, past its head.
pub struct Call {
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
#[derive(Debug)]
pub struct Refused {
    /// What is told.
    pub problem: Problem,
    /// The methods that its path has, where its own is not among them.
    pub allowed: Option<String>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, allowed: None }
    }
}

impl Refused {
    /// As the answer to the request of that id.
    pub fn answer(self, id: &str) -> Response<Body> {
        let problem = Problem { request_id: Some(id.to_owned()), ..self.problem };
        let mut response = http::problem(&problem);
        if let Some(allowed) = self.allowed {
            http::set_header(&mut response, header::ALLOW, &allowed);
        }
        response
    }
}

/// The table of routes, to be looked up by path and method.
pub struct Paths {
    router: matchit::Router<usize>,
    /// Methods by path, in the order of the router's values.
    paths: Vec<Vec<(&'static str, Route)>>,
}

impl Paths {
    /// Of every route.
    ///
    /// # Errors
    /// Where two routes have the same path: a defect of the table.
    pub fn new() -> Result<Self, matchit::InsertError> {
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
        Ok(Self { router, paths })
    }

    /// Reads a request's head.
    ///
    /// # Errors
    /// There is no such path or method, it is not for this connection, or its query is wrong.
    pub fn read(
        &self,
        connection: Connection,
        id: &str,
        request: Request<Incoming>,
    ) -> Result<(Route, Call, Incoming), Refused> {
        if request.uri().path_and_query().map_or(0, |target| target.as_str().len()) > TARGET_BYTES_MAX {
            return Err(Problem::new(
                Code::TooLarge,
                format!("path and query are longer than {TARGET_BYTES_MAX} bytes"),
            )
            .into());
        }
        let (route, part) = self.route(request.method().as_str(), request.uri().path())?;
        check_access(&connection, route)?;
        let query = Query::read(request.uri().query(), route.entry().query)?;
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        Ok((route, Call { connection, id: id.to_owned(), part, query, head }, body))
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
}

/// Refuses to those who may only look what more than reads.
fn check_access(connection: &Connection, route: Route) -> Result<(), Problem> {
    if connection.access == Access::Admin || route.entry().access == Access::View {
        return Ok(());
    }
    Err(match connection.peer {
        Peer::Cert { .. } => {
            Problem::new(Code::NotAllowed, "a view certificate allows reads only, without logs and exec")
                .hint("on a manager: orcactl cluster admin-cert NAME --role admin")
        }
        _ => Problem::new(Code::NotAllowed, "this socket answers reads only, without logs and exec")
            .hint("ask on the control socket: with sudo, or as a member of the group orca"),
    })
}

/// `200 OK` with an object.
pub fn ok(value: &impl Serialize) -> Response<Body> {
    http::json(StatusCode::OK, value)
}

/// An object with its revision as `ETag`.
pub fn tagged(status: StatusCode, revision: u64, value: &impl Serialize) -> Response<Body> {
    let mut response = http::json(status, value);
    http::set_header(&mut response, header::ETAG, &format!("\"{revision}\""));
    response
}

/// A list at the cluster's revision.
pub fn list<T: Serialize>(items: Vec<T>, revision: u64, next: Option<String>) -> Response<Body> {
    ok(&List { items, revision, next })
}

/// Reads a body strictly; an empty one is an object without fields.
pub async fn read_body<T: DeserializeOwned>(call: &Call, body: Incoming) -> Result<(T, Bytes), Problem> {
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
