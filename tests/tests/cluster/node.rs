//! A node of a cluster in this process: the daemon as it ships, with a fake engine, real sockets, TLS and stores.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use orca_tests::fake_engine::{Behaviour, FakeEngine};
use orcad::config::Config;
use orcad::daemon::{Daemon, Manners};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for something that must come.
pub const SOON: Duration = Duration::from_mins(1);
/// How often it looks for a state that nothing announces.
const LOOK: Duration = Duration::from_millis(30);

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A node that runs.
pub struct Node {
    pub engine: FakeEngine,
    pub name: String,
    folder: TempDir,
    stop: CancellationToken,
    served: JoinHandle<Ended>,
}

impl Node {
    /// A first start, with an image `busybox`.
    pub async fn start(name: &str) -> Self {
        let engine = FakeEngine::start();
        engine.add_image("busybox", Behaviour::default());
        Self::start_with(name, engine, tempfile::tempdir().expect("a folder"), |_| ()).await
    }

    /// Over what there is, with a configuration of one's own.
    pub async fn start_with(
        name: &str,
        engine: FakeEngine,
        folder: TempDir,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config { state_dir: folder.path().join("state"), ..Config::default() };
        config.node_name = Some(name.parse().expect("a name"));
        config.docker.socket = engine.socket();
        config.metrics.period = orca_api::units::Span::from_secs(1);
        configure(&mut config);
        let daemon = Daemon::open(config).await.expect("the state opens");
        let _ = std::fs::remove_file(folder.path().join("s"));
        let listener = UnixListener::bind(folder.path().join("s")).expect("the socket is bound");
        let stop = CancellationToken::new();
        let served = tokio::spawn(daemon.serve(listener, Manners::default(), stop.clone()));
        Self { engine, name: name.to_owned(), folder, stop, served }
    }

    /// Stops the daemon and starts it again over the same state and engine.
    pub async fn restarted(self) -> Self {
        let name = self.name.clone();
        let (engine, folder) = self.stopped().await;
        Self::start_with(&name, engine, folder, |_| ()).await
    }

    /// Stops the daemon.
    pub async fn stopped(self) -> (FakeEngine, TempDir) {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.served).await.expect("it stops in time");
        ended.expect("no panic").expect("it stops well");
        (self.engine, self.folder)
    }

    /// Its state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Sends a request on a connection of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let io = UnixStream::connect(self.folder.path().join("s")).await.expect("it accepts");
        let (mut send, connection) = handshake(TokioIo::new(io)).await.expect("a handshake");
        tokio::spawn(connection.with_upgrades());
        let answer = tokio::time::timeout(SOON, send.send_request(request)).await;
        answer.expect("an answer in time").expect("an answer")
    }

    /// Sends a request and reads the answer as JSON.
    pub async fn json(&self, method: &str, target: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.send(request(method, target, body)).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        let value = serde_json::from_slice(&body);
        (status, value.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&body))))
    }

    /// Sends a request that must go well.
    pub async fn ok(&self, method: &str, target: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.json(method, target, body).await;
        assert!((200..300).contains(&status), "{method} {target}: {status} {answer}");
        answer
    }

    /// Waits until what a path answers is as wanted, and gives it.
    pub async fn until(&self, target: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                last = self.json("GET", target, None).await.1;
                if wanted(&last) {
                    return last.clone();
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if let Ok(seen) = tokio::time::timeout(SOON, waiting).await {
            return seen;
        }
        panic!("{target} does not become as wanted: {last}")
    }

    /// Opens the port on the loopback address and makes a token.
    pub async fn token(&self, create: Value) -> String {
        if self.ok("GET", "/v1/cluster", None).await["listen"].is_null() {
            self.ok("POST", "/v1/roles/manager", Some(json!({ "listen": "127.0.0.1:0" }))).await;
        }
        let answer = self.ok("POST", "/v1/tokens", Some(create)).await;
        answer["text"].as_str().expect("a text").to_owned()
    }

    /// Joins the cluster of a manager, and waits until that lists it as ready.
    pub async fn join(&self, manager: &Self) {
        let token = manager.token(json!({})).await;
        let answer = self.ok("POST", "/v1/roles/worker", Some(json!({ "join": token }))).await;
        assert_eq!(
            (answer["changed"].as_bool(), &answer["roles"]),
            (Some(true), &json!(["worker"])),
            "{answer}"
        );
        manager.until_node(&self.name, "ready").await;
    }

    /// Waits until a node is in a state.
    pub async fn until_node(&self, name: &str, state: &str) -> Value {
        let list = self.until("/v1/nodes", |list| node_of(list, name)["state"] == state).await;
        node_of(&list, name).clone()
    }

    /// Starts a task.
    pub async fn run(&self, name: &str, spec: Value) {
        self.ok("POST", "/v1/tasks", Some(json!({ "name": name, "spec": spec }))).await;
    }

    /// Waits until a task runs.
    pub async fn until_running(&self, name: &str) -> Value {
        self.until(&format!("/v1/tasks/{name}"), |task| task["state"] == "running").await
    }
}

/// A node of a list; null where it is not there.
pub fn node_of<'l>(list: &'l Value, name: &str) -> &'l Value {
    const NONE: &Value = &Value::Null;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().find(|node| node["name"] == name).unwrap_or(NONE)
}

/// A request.
pub fn request(method: &str, target: &str, body: Option<Value>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(target).header("host", "localhost");
    let request = if body.is_some() { request.header("content-type", "application/json") } else { request };
    request.body(Full::new(body.map(|b| Bytes::from(b.to_string())).unwrap_or_default())).expect("a request")
}
