//! A daemon that says what it was told to say, over a real socket.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use orca_api::error::Problem;
use orca_api::stream::{Decoder, Frame, PROTOCOL};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The daemon's clock: five minutes after the views' `12:00:00`.
pub const DATE: &str = "Sun, 01 Nov 2026 12:05:00 GMT";

/// What is answered.
#[derive(Clone)]
pub enum Reply {
    /// A status and a body.
    Body(u16, &'static str, String),
    /// Nothing, for ever.
    Silence,
    /// The connection is closed.
    Close,
    /// `orca-stream/1`: input comes back as output; at its end the process ends with this exit code.
    Echo(i32),
    /// `orca-stream/1`: the process cannot be run.
    Refuse(Problem),
}

/// Told beforehand what to say; each reply of a path is used once, the last one for ever.
pub struct Server {
    socket: PathBuf,
    replies: Arc<Mutex<BTreeMap<String, VecDeque<Reply>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    keys: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// With nothing to say.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Self {
            socket: folder.path().join("orca.sock"),
            replies: Arc::default(),
            asked: Arc::default(),
            keys: Arc::default(),
            _folder: folder,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
        };
        server.listen();
        server
    }

    fn listen(&self) {
        let _inside = self.runtime.enter();
        let listener = tokio::net::UnixListener::bind(&self.socket).unwrap();
        let (replies, asked, keys) = (self.replies.clone(), self.asked.clone(), self.keys.clone());
        self.runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (replies, asked, keys) = (replies.clone(), asked.clone(), keys.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        answer(request, replies.clone(), asked.clone(), keys.clone())
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    let _ = connection.with_upgrades().await;
                });
            }
        });
    }

    /// Listens on the network as well, for HTTP/2 and HTTP/1.1 as the connection agrees on.
    pub fn network(&self, config: rustls::ServerConfig) -> std::net::SocketAddr {
        let _inside = self.runtime.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (replies, asked, keys) = (self.replies.clone(), self.asked.clone(), self.keys.clone());
        self.runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (replies, asked, keys) = (replies.clone(), asked.clone(), keys.clone());
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let service = service_fn(move |request| {
                        answer(request, replies.clone(), asked.clone(), keys.clone())
                    });
                    let stream = TokioIo::new(stream);
                    if h2 {
                        let executor = hyper_util::rt::TokioExecutor::new();
                        let _ = hyper::server::conn::http2::Builder::new(executor)
                            .serve_connection(stream, service)
                            .await;
                    } else {
                        let connection = hyper::server::conn::http1::Builder::new();
                        let _ = connection.serve_connection(stream, service).with_upgrades().await;
                    }
                });
            }
        });
        address
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Says something when asked for `GET /v1/…`.
    pub fn reply(self, what: &str, reply: Reply) -> Self {
        self.replies.lock().unwrap().entry(what.to_owned()).or_default().push_back(reply);
        self
    }

    /// Says a view.
    pub fn json(self, what: &str, view: &impl Serialize) -> Self {
        let text = serde_json::to_string(view).unwrap();
        self.reply(what, Reply::Body(200, "application/json", text))
    }

    /// Says a problem.
    pub fn problem(self, what: &str, problem: &Problem) -> Self {
        let text = serde_json::to_string(problem).unwrap();
        self.reply(what, Reply::Body(problem.status, "application/problem+json", text))
    }

    /// What it was asked: method, path with query, body.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The idempotency keys that came, in order.
    pub fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).boxed_unsync()
}

async fn answer(
    mut request: Request<Incoming>,
    replies: Arc<Mutex<BTreeMap<String, VecDeque<Reply>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    keys: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Body>, std::io::Error> {
    let what = format!("{} {}", request.method(), request.uri().path());
    let mut line = format!("{} {}", request.method(), request.uri());
    if let Some(id) = request.headers().get("last-event-id") {
        line = format!("{line} (after {})", id.to_str().unwrap());
    }
    if let Some(key) = request.headers().get("idempotency-key") {
        keys.lock().unwrap().push(key.to_str().unwrap().to_owned());
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    if !body.is_empty() {
        line = format!("{line} {}", String::from_utf8_lossy(&body));
    }
    asked.lock().unwrap().push(line);
    let reply = {
        let mut replies = replies.lock().unwrap();
        match replies.get_mut(&what) {
            Some(list) if list.len() > 1 => list.pop_front(),
            Some(list) => list.front().cloned(),
            None => None,
        }
    };
    let build = |status: u16, kind: &str| {
        Response::builder().status(status).header("content-type", kind).header("date", DATE)
    };
    let response = match reply {
        None => build(404, "text/plain").body(full(format!("no reply for {what}"))),
        Some(Reply::Body(status, kind, text)) => build(status, kind).body(full(text)),
        Some(Reply::Silence) => std::future::pending().await,
        Some(Reply::Close) => return Err(std::io::Error::other("closed")),
        Some(Reply::Echo(code)) => {
            tokio::spawn(async move { echo(upgrade.await.unwrap(), Ok(code)).await });
            build(101, "text/plain")
                .header("connection", "Upgrade")
                .header("upgrade", PROTOCOL)
                .body(full(String::new()))
        }
        Some(Reply::Refuse(problem)) => {
            tokio::spawn(async move { echo(upgrade.await.unwrap(), Err(problem)).await });
            build(101, "text/plain")
                .header("connection", "Upgrade")
                .header("upgrade", PROTOCOL)
                .body(full(String::new()))
        }
    };
    Ok(response.unwrap())
}

async fn echo(connection: hyper::upgrade::Upgraded, end: Result<i32, Problem>) {
    let (mut from, mut to) = tokio::io::split(TokioIo::new(connection));
    let code = match end {
        Ok(code) => code,
        Err(problem) => {
            let bytes = serde_json::to_vec(&problem).unwrap();
            to.write_all(&Frame::Error(bytes).encode()).await.unwrap();
            return;
        }
    };
    let (mut decoder, mut buffer) = (Decoder::default(), vec![0; 4096]);
    loop {
        let read = from.read(&mut buffer).await.unwrap();
        decoder.push(&buffer[..read]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            match frame {
                Frame::Stdin(bytes) if bytes.is_empty() => {
                    to.write_all(&Frame::Stderr(b"bye\n".to_vec()).encode()).await.unwrap();
                    to.write_all(&Frame::Exit(code).encode()).await.unwrap();
                    return;
                }
                Frame::Stdin(bytes) => to.write_all(&Frame::Stdout(bytes).encode()).await.unwrap(),
                _ => {}
            }
        }
        if read == 0 {
            return;
        }
    }
}

/// A body of JSON lines.
pub fn lines(items: &[impl Serialize]) -> String {
    items.iter().map(|item| serde_json::to_string(item).unwrap() + "\n").collect()
}
