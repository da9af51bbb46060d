//! The client of a daemon: of this machine over its control socket, or of a manager over the network.
//!
//! ```text
//!   client.call(Route) .part(…) .query(…) .body(…) ──► answer()   one JSON object
//!                                                  ──► stream()   JSON lines or server-sent events
//!                                                  ──► upgrade()  frames both ways
//! ```
//!
//! Three things go wrong in a daemon's life and are told apart here: it is not there, it may not be asked, it
//! does not answer. The last has a deadline for the first byte: a dead daemon behind an activated socket accepts
//! connections and only queues. What changes something carries an idempotency key, so that it can be sent once
//! more when the connection breaks.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::client::legacy::Client as HttpClient;
use hyperlocal::{UnixClientExt as _, UnixConnector};
use orca_api::error::{Code, Problem};
use orca_api::id::{IdSource, RawId, RequestId};
use orca_api::route::{Access, Method, Route, encode};
use orca_api::stream::PROTOCOL;
use orca_api::units::{Span, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::output::error::Failure;
use crate::settings::{Settings, Way};

use self::remote::{Remote, Trouble};

pub mod reach;
pub mod remote;
pub mod stream;

/// The largest answer that is read whole: 10,000 tasks are about 10 MiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The socket beside the control socket that answers reads only.
const VIEW_SOCKET: &str = "view.sock";

/// Talks to one daemon.
#[derive(Debug)]
pub struct Client {
    http: HttpClient<UnixConnector, Full<Bytes>>,
    remote: Option<Remote>,
    socket: PathBuf,
    answer_timeout: Span,
}

/// An answer, and the daemon's clock when it was given: ages are by that clock.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was answered.
    pub body: T,
    /// When, to the second.
    pub now: Time,
}

/// One request in the making.
#[derive(Debug)]
pub struct Call<'c> {
    client: &'c Client,
    route: Route,
    parts: Vec<&'c str>,
    query: Vec<(&'static str, String)>,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
    parked: Span,
}

/// Random bits of the operating system.
struct OsIds;

impl IdSource for OsIds {
    fn next_id(&mut self) -> RawId {
        let mut bytes = [0; 10];
        if getrandom::fill(&mut bytes).is_err() {
            // Before the kernel's generator is ready: time and process are unlikely enough for a retry's key.
            let nanos = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |t| t.as_nanos());
            bytes[..6].copy_from_slice(&nanos.to_be_bytes()[10..]);
            bytes[6..].copy_from_slice(&std::process::id().to_be_bytes());
        }
        RawId::from_bytes(bytes)
    }
}

impl Client {
    /// For whom the settings name; nothing is connected yet.
    ///
    /// # Errors
    /// The certificate of a context cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let remote = match &settings.way {
            Way::Socket => None,
            Way::Network { by, context, .. } => Some(Remote::new(by, context)?),
        };
        Ok(Self {
            http: HttpClient::unix(),
            remote,
            socket: settings.socket.clone(),
            answer_timeout: settings.answer_timeout,
        })
    }

    /// Whether another machine is asked.
    pub fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Begins a request.
    pub fn call(&self, route: Route) -> Call<'_> {
        Call {
            client: self,
            route,
            parts: Vec::new(),
            query: Vec::new(),
            body: Vec::new(),
            headers: Vec::new(),
            parked: Span::ZERO,
        }
    }
}

impl<'c> Call<'c> {
    /// The next part of the path that varies: a name or id.
    pub fn part(mut self, part: &'c str) -> Self {
        self.parts.push(part);
        self
    }

    /// A query parameter.
    pub fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// A query parameter, where there is one.
    pub fn query_some(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// A header.
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The body.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn body(mut self, body: &impl Serialize) -> Result<Self, Failure> {
        self.body = serde_json::to_vec(body).map_err(|error| {
            Failure::new("the request cannot be written as JSON").because(error.to_string())
        })?;
        self.headers.push(("content-type", "application/json".to_owned()));
        Ok(self)
    }

    /// Lets the daemon wait with its answer: until the object has a newer revision, or so long.
    pub fn parked(mut self, since: u64, wait: Span) -> Self {
        self.parked = wait;
        self.query("since", since).query("wait", wait.to_string().replace(' ', ""))
    }

    /// Gives the daemon more time for its answer than usual.
    pub fn patient(mut self, wait: Span) -> Self {
        self.parked = wait;
        self
    }

    /// Sends it and reads the answer.
    pub async fn answer<T: DeserializeOwned>(self) -> Result<Answer<T>, Failure> {
        let deadline = self.client.answer_timeout;
        let response = self.open(false).await?;
        let now = date(&response);
        let body = whole(response, deadline).await?;
        let body = serde_json::from_slice(&body).map_err(|error| {
            Failure::new("the answer of orcad cannot be read")
                .because(error.to_string())
                .hint("orcactl version shows whether orcactl and orcad differ")
        })?;
        Ok(Answer { body, now })
    }

    /// Sends it and returns the answer's body as it comes.
    pub async fn stream(self) -> Result<stream::Lines, Failure> {
        Ok(stream::Lines::new(self.open(false).await?))
    }

    /// Sends it and returns the connection, which now carries frames.
    pub async fn upgrade(self) -> Result<hyper::upgrade::Upgraded, Failure> {
        let call = self.header("connection", "Upgrade").header("upgrade", PROTOCOL);
        let response = call.open(true).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::new(format!("orcad answered {} instead of {PROTOCOL}", response.status())));
        }
        hyper::upgrade::on(response)
            .await
            .map_err(|error| Failure::new("the connection to orcad broke").because(error.to_string()))
    }

    /// Sends it, once more where the connection broke, and turns what is no success into a failure.
    async fn open(self, upgrade: bool) -> Result<Response<Incoming>, Failure> {
        let entry = self.route.entry();
        let key = (entry.method != Method::Get).then(|| RequestId::fresh(&mut OsIds).to_string());
        if let Some(remote) = &self.client.remote {
            return self.open_remote(remote, key.as_deref(), upgrade).await;
        }
        let mut socket = self.client.socket.clone();
        let mut retried = false;
        let response = loop {
            let request = self.request(|path| hyperlocal::Uri::new(&socket, path).into(), key.as_deref())?;
            let deadline = self.client.answer_timeout.std() + self.parked.std();
            let sent = tokio::time::timeout(deadline, self.client.http.request(request)).await;
            let error = match sent {
                Ok(Ok(response)) => break response,
                Ok(Err(error)) => error,
                Err(_) => return Err(reach::no_answer(&socket, self.client.answer_timeout)),
            };
            let view = socket.with_file_name(VIEW_SOCKET);
            if reach::is_denied(&error) && entry.access == Access::View && socket != view && view.exists() {
                socket = view;
            } else if !error.is_connect() && !retried && entry.method != Method::Delete {
                retried = true;
            } else {
                return Err(reach::failure(&self.client.socket, &error));
            }
        };
        self.judge(response).await
    }

    /// The same, of a manager over the network.
    async fn open_remote(
        &self,
        remote: &Remote,
        key: Option<&str>,
        upgrade: bool,
    ) -> Result<Response<Incoming>, Failure> {
        let deadline = self.client.answer_timeout.std() + self.parked.std();
        let mut retried = false;
        let response = loop {
            let uri = |path: &str| {
                let origin = if upgrade { String::new() } else { format!("https://{}", remote::MANAGER) };
                format!("{origin}{path}").parse().unwrap_or_default()
            };
            let request = self.request(uri, key)?;
            let sending =
                async { if upgrade { remote.send_alone(request).await } else { remote.send(request).await } };
            match tokio::time::timeout(deadline, sending).await {
                Ok(Ok(response)) => break response,
                Ok(Err(Trouble::NotReached(failure))) => return Err(failure),
                // A connection that stood for long may have been closed meanwhile.
                Ok(Err(Trouble::Broke(_))) if !retried && self.route.entry().method != Method::Delete => {
                    retried = true;
                }
                Ok(Err(Trouble::Broke(error))) => return Err(remote::broke(remote, &error)),
                Err(_) => return Err(reach::no_remote_answer(&remote.name(), self.client.answer_timeout)),
            }
        };
        self.judge(response).await
    }

    /// Turns what is no success into a failure.
    async fn judge(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        Err(refused(response, self.client.answer_timeout).await)
    }

    fn request(
        &self,
        uri: impl Fn(&str) -> hyper::Uri,
        key: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut path = self.route.path(&self.parts);
        for (i, (name, value)) in self.query.iter().enumerate() {
            path.push(if i == 0 { '?' } else { '&' });
            path.push_str(name);
            path.push('=');
            path.push_str(&encode(value));
        }
        let mut request = Request::builder()
            .method(self.route.entry().method.as_str())
            .uri(uri(&path))
            .header(header::HOST, if self.client.is_remote() { remote::MANAGER } else { "localhost" })
            .header(header::USER_AGENT, concat!("orcactl/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request
            .body(Full::new(Bytes::from(self.body.clone())))
            .map_err(|error| Failure::usage("the request cannot be made").because(error.to_string()))
    }
}

/// The daemon's clock, from the answer's `Date`; the local one where there is none.
fn date(response: &Response<Incoming>) -> Time {
    let date = response.headers().get(header::DATE).and_then(|value| value.to_str().ok());
    let date = date.and_then(|text| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
    Time::from_ms(date.unwrap_or_else(jiff::Timestamp::now).as_millisecond())
}

async fn whole(response: Response<Incoming>, deadline: Span) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
    // The first byte is there; a long list may take its time, a stuck daemon may not.
    match tokio::time::timeout(deadline.std() * 6, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(Failure::new("the answer of orcad broke off").because(error.to_string())),
        Err(_) => Err(Failure::new("the answer of orcad does not come to its end")),
    }
}

/// What an answer that is no success says.
async fn refused(response: Response<Incoming>, deadline: Span) -> Failure {
    let status = response.status();
    let body = match whole(response, deadline).await {
        Ok(body) => body,
        Err(failure) => return failure,
    };
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Failure::from(problem),
        Err(_) => {
            let text = String::from_utf8_lossy(&body);
            let mut failure = Failure::new(format!("orcad answered {status}"))
                .because(text.trim().chars().take(400).collect::<String>());
            failure.code = (status == StatusCode::NOT_FOUND).then_some(Code::NoSuchRoute);
            failure.hint("orcactl version shows whether orcactl and orcad differ")
        }
    }
}
