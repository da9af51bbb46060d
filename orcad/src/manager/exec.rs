//! A process in a running task: the client's connection becomes a stream of frames, carried to the worker and back.
//!
//! The frames pass through as they are. The worker is asked before the client's connection is upgraded, so that a
//! refusal is an ordinary answer with its problem.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::upgrade::Upgraded;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use orca_api::control::ExecTask;
use orca_api::error::{Code, Problem};
use orca_api::route::{encode, worker};
use orca_api::stream::{Frame, PROTOCOL};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::control::{Call, Control, read_body};
use crate::net::h2;
use crate::net::http::{self, Body, text_header};
use crate::net::limits::LINK_TIME;

/// Bytes that are read from a client at once.
const CHUNK: usize = 32 * 1024;
/// Pieces on their way to the worker.
const AHEAD: usize = 8;
/// The longest command, in bytes: what travels in a request's target must fit into a head.
const SPEC_BYTES_MAX: usize = 64 * 1024;

pub(super) async fn exec(
    control: &Control,
    mut call: Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let upgrade = hyper::upgrade::on(&mut call.head);
    let asked = text_header(call.head.headers(), header::UPGRADE.as_str())
        .is_some_and(|p| p.eq_ignore_ascii_case(PROTOCOL));
    let (exec, _) = read_body::<ExecTask>(&call, body).await?;
    if !asked {
        return Err(Problem::new(Code::BadRequest, "exec needs an upgraded connection").hint(format!(
            "send `Connection: Upgrade` and `Upgrade: {PROTOCOL}`, or use orcactl task exec"
        )));
    }
    if exec.command.is_empty() {
        return Err(Problem::new(Code::BadRequest, "`command` is empty: there is nothing to run"));
    }
    let text = call.part.clone();
    let source = control.manager.read(move |manager, now| manager.running_attempt(&text, now)).await??;
    let place = control.stream_place()?;
    let query = worker::ExecQuery { of: source.of, exec };
    let query = serde_json::to_string(&query).map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    if query.len() > SPEC_BYTES_MAX {
        return Err(Problem::new(
            Code::TooLarge,
            format!("the command is longer than {SPEC_BYTES_MAX} bytes"),
        ));
    }
    let target = format!("{}?spec={}", worker::EXEC, encode(&query));
    let (to_worker, input) = http::pieces(AHEAD);
    let asker = control.workers.asker(source.node)?;
    let answer =
        asker.open(Method::POST, &target, input, LINK_TIME).await.map_err(h2::AskError::into_problem)?;
    let (stop, writes, id) = (control.stop.clone(), call.connection.writes.clone(), call.id.clone());
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                writes.lift();
                tokio::select! {
                    () = carry(upgraded, to_worker, answer.into_body()) => {}
                    () = stop.cancelled() => {}
                }
            }
            Err(error) => tracing::debug!(%error, request = id, "an exec connection was not upgraded"),
        }
        drop(place);
    });
    let mut response = Response::new(http::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    Ok(response)
}

/// Carries bytes both ways. The output decides: when the worker has sent its last frame, the connection is closed.
async fn carry(upgraded: Upgraded, to_worker: mpsc::Sender<Bytes>, mut output: Incoming) {
    let (mut from_client, mut to_client) = tokio::io::split(TokioIo::new(upgraded));
    let input = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            match from_client.read(&mut buffer).await {
                // A client that has nothing more to say still listens.
                Ok(0) => return true,
                Ok(read) => {
                    if to_worker.send(Bytes::copy_from_slice(&buffer[..read])).await.is_err() {
                        return true;
                    }
                }
                Err(_) => return false,
            }
        }
    };
    let output = async {
        while let Some(frame) = output.frame().await {
            let bytes = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) => {
                    let problem = Problem::new(Code::NodeAway, "the connection to the task's node broke")
                        .because(error.to_string());
                    Bytes::from(Frame::Error(serde_json::to_vec(&problem).unwrap_or_default()).encode())
                }
            };
            if to_client.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to_client.shutdown().await;
    };
    tokio::pin!(output);
    let listens = tokio::select! {
        listens = input => listens,
        () = output.as_mut() => return,
    };
    if listens {
        output.await;
    }
}
