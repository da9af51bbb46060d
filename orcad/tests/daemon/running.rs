//! A daemon in this process: real socket, real stores in a folder of its own, and no engine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use orcad::config::Config;
use orcad::daemon::{Daemon, Manners};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for something that must come.
pub const SOON: Duration = Duration::from_secs(20);

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A daemon that runs.
pub struct Running {
    folder: TempDir,
    stop: CancellationToken,
    served: JoinHandle<Ended>,
}

impl Running {
    /// A first start.
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder")).await
    }

    /// A start in a folder that may have state.
    pub async fn start_in(folder: TempDir) -> Self {
        let mut config = Config { state_dir: folder.path().join("state"), ..Config::default() };
        config.node_name = Some("n1".parse().expect("a name"));
        config.docker.socket = folder.path().join("no-engine.sock");
        let daemon = Daemon::open(config).await.expect("the state opens");
        let _ = std::fs::remove_file(folder.path().join("s"));
        let listener = UnixListener::bind(folder.path().join("s")).expect("the socket is bound");
        let stop = CancellationToken::new();
        let _ = std::fs::remove_file(folder.path().join("view"));
        let view = UnixListener::bind(folder.path().join("view")).expect("the view socket is bound");
        let daemon = daemon.with_view(Some(view));
        let served = tokio::spawn(daemon.serve(listener, Manners::default(), stop.clone()));
        Self { folder, stop, served }
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    /// Asks it to stop, without waiting.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops it and gives its folder back.
    pub async fn stopped(self) -> TempDir {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.served)
            .await
            .expect("it stops in time")
            .expect("no panic")
            .expect("it stops well");
        self.folder
    }

    /// A connection of its own.
    pub async fn connect(&self) -> SendRequest<Full<Bytes>> {
        connect(&self.socket()).await
    }

    /// Sends a request on a connection of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let mut send = self.connect().await;
        tokio::time::timeout(SOON, send.send_request(request))
            .await
            .expect("an answer in time")
            .expect("an answer")
    }

    /// Sends a request and reads the answer as JSON.
    pub async fn json(&self, method: &str, target: &str, body: Option<Value>) -> (u16, Value) {
        let answer = self.send(request(method, target, body)).await;
        read(answer).await
    }

    /// Sends bytes as they are and reads all that comes until the daemon closes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut io = UnixStream::connect(self.socket()).await.expect("it accepts");
        io.write_all(bytes).await.expect("it takes them");
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = tokio::time::timeout(SOON, io.read_to_end(&mut answer)).await.expect("it closes in time");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A connection to a socket: the control socket, or `view` beside it.
pub async fn connect(socket: &Path) -> SendRequest<Full<Bytes>> {
    let io = UnixStream::connect(socket).await.expect("it accepts");
    let (send, connection) = handshake(TokioIo::new(io)).await.expect("a handshake");
    tokio::spawn(connection);
    send
}

/// A request.
pub fn request(method: &str, target: &str, body: Option<Value>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(target).header("host", "localhost");
    let request = if body.is_some() { request.header("content-type", "application/json") } else { request };
    request.body(Full::new(body.map(|b| Bytes::from(b.to_string())).unwrap_or_default())).expect("a request")
}

/// Reads an answer as JSON.
pub async fn read(answer: Response<Incoming>) -> (u16, Value) {
    let status = answer.status().as_u16();
    let body = tokio::time::timeout(SOON, answer.into_body().collect())
        .await
        .expect("a body in time")
        .expect("a body");
    let body = body.to_bytes();
    let value =
        serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&body)));
    (status, value)
}

/// A body that starts a task.
pub fn task(name: &str) -> Value {
    serde_json::json!({ "name": name, "spec": { "image": "busybox" } })
}
