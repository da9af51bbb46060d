//! What a manager may ask its worker: measurements, the output of a container, a process in a container.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use orca_api::control::LogLine;
use orca_api::error::{Code, Problem};
use orca_api::link::AttemptRef;
use orca_api::load::NodeLoad;
use orca_api::route::worker::{EXEC, ExecQuery, LOAD, LOGS, LogQuery};
use orca_api::stream::{Decoder, Frame};

use super::docker::Engine;
use super::{WorkerHandle, streams};
use crate::net::h2;
use crate::net::http::{self, Body};
use crate::net::limits::LINK_TIME;

/// Lines or frames that are written ahead of the manager.
const AHEAD: usize = 16;
/// Lines that are put into one piece, so that a long log is not a million pieces.
const LINES_AT_ONCE: usize = 64;

/// What is served to the manager.
pub struct Served {
    worker: WorkerHandle,
    engine: Engine,
    load: Mutex<Arc<NodeLoad>>,
}

impl Served {
    /// Serves a worker with its engine.
    pub fn new(worker: WorkerHandle, engine: Engine) -> Self {
        Self { worker, engine, load: Mutex::default() }
    }

    /// The newest measurements, from now on.
    pub fn set_load(&self, load: NodeLoad) {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(load);
    }

    /// The newest measurements.
    pub fn load(&self) -> Arc<NodeLoad> {
        Arc::clone(&self.load.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers the manager.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let result = match (request.method(), path.as_str()) {
            (&Method::GET, LOAD) => Ok(http::json(StatusCode::OK, &*self.load())),
            (&Method::POST, LOGS) => self.logs(request).await,
            (&Method::POST, EXEC) => self.exec(request).await,
            (method, path) => {
                Err(Problem::new(Code::NoSuchRoute, format!("there is no {method} {path} on a worker")))
            }
        };
        result.unwrap_or_else(|problem| http::problem(&problem))
    }

    async fn container(&self, of: AttemptRef) -> Result<(u32, String, bool), Problem> {
        let found = self.worker.read(move |worker, _| worker.container_of(of.placement, of.attempt)).await;
        let found = found.map_err(|stopped| Problem::new(Code::Stopping, stopped.to_string()))?;
        found.ok_or_else(|| Problem::new(Code::AttemptGone, "the container of that attempt is gone"))
    }

    async fn logs(&self, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let bytes = h2::whole(request.into_body(), LINK_TIME).await.map_err(unreadable)?;
        let query: LogQuery = h2::read(&bytes).map_err(unreadable)?;
        let (attempt, container, alive) = self.container(query.of.clone()).await?;
        // A container that has ended says nothing more.
        let query = LogQuery { follow: query.follow && alive, ..query };
        let lines = streams::logs(&self.engine, &container, attempt, &query).await;
        let (to, body) = http::pieces(AHEAD);
        tokio::spawn(async move {
            let pieces = lines.ready_chunks(LINES_AT_ONCE).map(|lines| text(&lines));
            tokio::pin!(pieces);
            loop {
                let piece = tokio::select! {
                    piece = pieces.next() => piece,
                    () = to.closed() => return,
                };
                let Some(piece) = piece else { return };
                if to.send(piece).await.is_err() {
                    return;
                }
            }
        });
        Ok(http::stream("application/x-ndjson", body))
    }

    async fn exec(&self, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let query =
            request.uri().query().and_then(|q| q.strip_prefix("spec=")).and_then(orca_api::route::decode);
        let query = query.ok_or_else(|| Problem::new(Code::BadRequest, "the query `spec` is missing"))?;
        let query: ExecQuery = h2::read(query.as_bytes()).map_err(unreadable)?;
        let (_, container, alive) = self.container(query.of).await?;
        if !alive {
            return Err(Problem::new(Code::NotRunning, "the container has ended"));
        }
        let output = streams::exec(&self.engine, &container, query.exec, frames(request.into_body())).await;
        let (to, body) = http::pieces(AHEAD);
        tokio::spawn(async move {
            tokio::pin!(output);
            loop {
                let frame = tokio::select! {
                    frame = output.next() => frame,
                    () = to.closed() => return,
                };
                let Some(frame) = frame else { return };
                if to.send(Bytes::from(frame.encode())).await.is_err() {
                    return;
                }
            }
        });
        Ok(http::stream("application/octet-stream", body))
    }
}

fn unreadable(error: h2::AskError) -> Problem {
    Problem::new(Code::BadRequest, "the message cannot be read").because(error.to_string())
}

fn text(lines: &[LogLine]) -> Bytes {
    let mut text = Vec::new();
    for line in lines {
        // A log line is plain data: it can be written.
        if serde_json::to_writer(&mut text, line).is_ok() {
            text.push(b'\n');
        }
    }
    Bytes::from(text)
}

/// The frames of a body, until it ends or is not one of frames.
fn frames(body: Incoming) -> impl Stream<Item = Frame> + Send {
    stream::unfold((body, Decoder::default()), |(mut body, mut decoder)| async move {
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => return Some((frame, (body, decoder))),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "a client sent something that is no frame");
                    return None;
                }
            }
            let data = body.frame().await?.ok()?.into_data().unwrap_or_default();
            decoder.push(&data);
        }
    })
}
