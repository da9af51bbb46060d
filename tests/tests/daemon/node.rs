//! A node in this process: the daemon as it ships, with a fake engine.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use orca_api::task::{Phase, State};
use orca_tests::fake_engine::FakeEngine;
use orcad::config::Config;
use orcad::daemon::{Daemon, Manners};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for something that must come.
pub const SOON: Duration = Duration::from_secs(30);

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A node that runs.
pub struct Node {
    pub engine: FakeEngine,
    folder: TempDir,
    stop: CancellationToken,
    served: JoinHandle<Ended>,
}

impl Node {
    /// A first start, with an image `busybox`.
    pub async fn start() -> Self {
        let engine = FakeEngine::start();
        engine.add_image("busybox", orca_tests::fake_engine::Behaviour::default());
        Self::start_with(engine, tempfile::tempdir().expect("a folder")).await
    }

    async fn start_with(engine: FakeEngine, folder: TempDir) -> Self {
        let mut config = Config { state_dir: folder.path().join("state"), ..Config::default() };
        config.docker.socket = engine.socket();
        config.metrics.period = orca_api::units::Span::from_secs(1);
        let daemon = Daemon::open(config).await.expect("the state opens");
        let _ = std::fs::remove_file(folder.path().join("s"));
        let listener = UnixListener::bind(folder.path().join("s")).expect("the socket is bound");
        let stop = CancellationToken::new();
        let served = tokio::spawn(daemon.serve(listener, Manners::default(), stop.clone()));
        Self { engine, folder, stop, served }
    }

    /// Stops the daemon and starts it again over the same state and engine.
    pub async fn restarted(self) -> Self {
        let (engine, folder) = self.stopped().await;
        Self::start_with(engine, folder).await
    }

    /// Stops the daemon.
    pub async fn stopped(self) -> (FakeEngine, TempDir) {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.served).await.expect("it stops in time");
        ended.expect("no panic").expect("it stops well");
        (self.engine, self.folder)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// Sends a request on a connection of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let io = UnixStream::connect(self.socket()).await.expect("it accepts");
        let (mut send, connection) = handshake(TokioIo::new(io)).await.expect("a handshake");
        tokio::spawn(connection.with_upgrades());
        let answer = tokio::time::timeout(SOON + SOON, send.send_request(request)).await;
        answer.expect("an answer in time").expect("an answer")
    }

    /// Sends a request and reads the answer as JSON.
    pub async fn json(&self, method: &str, target: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.send(request(method, target, body)).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    /// Starts a task.
    pub async fn run(&self, name: &str, spec: Value) {
        let (status, answer) =
            self.json("POST", "/v1/tasks", Some(serde_json::json!({ "name": name, "spec": spec }))).await;
        assert_eq!(status, 201, "{answer}");
    }

    /// Waits until a task is as wanted, and gives it.
    pub async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut since = 0;
        let waiting = async {
            loop {
                let (status, task) =
                    self.json("GET", &format!("/v1/tasks/{name}?since={since}&wait=1s"), None).await;
                assert_eq!(status, 200, "{task}");
                if wanted(&task) {
                    return task;
                }
                since = task["revision"].as_u64().unwrap_or(0);
            }
        };
        if let Ok(task) = tokio::time::timeout(SOON, waiting).await {
            return task;
        }
        panic!("it does not come: {}", self.json("GET", &format!("/v1/tasks/{name}"), None).await.1)
    }

    /// Waits until a task runs.
    pub async fn until_running(&self, name: &str) -> Value {
        self.until(name, |task| task["state"] == State::Running.as_str()).await
    }

    /// Waits until a task is in a phase.
    pub async fn until_phase(&self, name: &str, phase: Phase) -> Value {
        self.until(name, |task| task["phase"] == phase.as_str()).await
    }
}

/// A request.
pub fn request(method: &str, target: &str, body: Option<Value>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(target).header("host", "localhost");
    let request = if body.is_some() { request.header("content-type", "application/json") } else { request };
    request.body(Full::new(body.map(|b| Bytes::from(b.to_string())).unwrap_or_default())).expect("a request")
}

/// Reads JSON lines until one is as wanted, and gives all of them.
pub async fn lines_until(body: &mut Incoming, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let (mut text, mut lines) = (String::new(), Vec::new());
    let reading = async {
        while let Some(frame) = body.frame().await {
            text.push_str(&String::from_utf8_lossy(
                &frame.expect("it does not break").into_data().unwrap_or_default(),
            ));
            while let Some(end) = text.find('\n') {
                let line: String = text.drain(..=end).collect();
                lines.push(serde_json::from_str(&line).expect("JSON"));
                if lines.last().is_some_and(&wanted) {
                    return;
                }
            }
        }
    };
    assert!(tokio::time::timeout(SOON, reading).await.is_ok(), "it does not come: {lines:?}");
    lines
}
