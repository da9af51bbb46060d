//! The control socket and the view socket: who connects, whether there is room, and HTTP/1.1 on each connection until
//! it ends. What a connection may do is the socket's word alone: its file's mode says who may open it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use orca_api::error::{Code, Problem};
use orca_api::route::Access;
use orca_core::manager::Peer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http::{self, Body};
use super::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_UID_MAX, DRAIN_TIME, HEAD_BYTES_MAX, HEAD_TIME, HEADERS_MAX, IDLE_TIME,
    WRITE_TIME,
};
use super::timed::{Lift, Patience, Timed};

/// How long to wait after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that is turned away may take to read why.
const SHED_TIME: Duration = Duration::from_secs(1);

/// What is known of a connection, whatever its requests say.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who is at its other end.
    pub peer: Peer,
    /// What it may do.
    pub access: Access,
    /// Lifts the deadline of its writes, after an upgrade.
    pub writes: Lift,
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one.
    fn answer(
        self: Arc<Self>,
        connection: Connection,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Connections by user.
#[derive(Debug, Default)]
struct Room {
    by_uid: Mutex<BTreeMap<u32, usize>>,
}

impl Room {
    /// A place for one more, given back when it is dropped; root has no share of its own, so that it is never locked out
    /// by others and by itself only at the very end.
    fn take(self: &Arc<Self>, uid: u32) -> Option<Place> {
        let mut by_uid = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = by_uid.values().sum();
        let own = by_uid.entry(uid).or_default();
        if all >= CONNECTIONS_MAX || (uid != 0 && *own >= CONNECTIONS_PER_UID_MAX) {
            return None;
        }
        *own += 1;
        Some(Place { room: Arc::clone(self), uid })
    }
}

struct Place {
    room: Arc<Room>,
    uid: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_uid = self.room.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_uid.get_mut(&self.uid) {
            *own -= 1;
            if *own == 0 {
                by_uid.remove(&self.uid);
            }
        }
    }
}

/// Accepts and serves until `stop`, then lets the connections come to their end for [`DRAIN_TIME`] at most.
pub async fn serve<S: Service>(
    listener: Arc<UnixListener>,
    access: Access,
    service: Arc<S>,
    stop: CancellationToken,
) -> io::Result<()> {
    let connections = TaskTracker::new();
    let room = Arc::new(Room::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let peer = match stream.peer_cred() {
            Ok(cred) => Peer::Unix { uid: cred.uid(), pid: cred.pid() },
            Err(error) => {
                tracing::warn!(%error, "a connection whose other end is not known is closed");
                continue;
            }
        };
        let Peer::Unix { uid, .. } = peer else { continue };
        match room.take(uid) {
            Some(place) => {
                let (service, stop) = (Arc::clone(&service), stop.clone());
                connections.spawn(async move {
                    connection(stream, peer, access, service, stop).await;
                    drop(place);
                });
            }
            None => {
                tracing::warn!(%peer, "too many connections: one is turned away");
                connections.spawn(shed(stream));
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN_TIME, connections.wait()).await.is_err() {
        tracing::info!(left = connections.len(), "connections were still open at the end");
    }
    Ok(())
}

async fn connection<S: Service>(
    stream: UnixStream,
    peer: Peer,
    access: Access,
    service: Arc<S>,
    stop: CancellationToken,
) {
    let patience = Patience { write: WRITE_TIME, head: HEAD_TIME, idle: IDLE_TIME };
    let io = Timed::new(stream, patience, unread);
    let (about, turn) = (Connection { peer, access, writes: io.lift() }, io.turn());
    let answer = service_fn(move |request| {
        turn.asked();
        let answer = Arc::clone(&service).answer(about.clone(), request);
        let turn = turn.clone();
        async move { Ok::<_, Infallible>(answer.await.map(|body| http::watched(body, move || turn.answered()))) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(io), answer)
        .with_upgrades();
    tokio::pin!(served);
    let mut told = false;
    let result = loop {
        tokio::select! {
            result = served.as_mut() => break result,
            () = stop.cancelled(), if !told => {
                told = true;
                served.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection of the control socket ended");
    }
}

/// Says that there is no room, without reading the request.
async fn shed(mut stream: UnixStream) {
    let problem =
        Problem::new(Code::Busy, "too many connections at once").hint("close some, or try again in a moment");
    let text = unasked(&problem);
    let told = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread input would reset the connection before the answer is read.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(SHED_TIME, told).await;
}

/// What is answered to a head that is none, in place of a bare status.
fn unread(status: u16) -> String {
    let problem = match status {
        408 => {
            Problem::new(Code::TooSlow, format!("the head of the request did not come within {HEAD_TIME:?}"))
        }
        414 | 431 => Problem::new(
            Code::TooLarge,
            format!(
                "the head of the request is longer than {HEAD_BYTES_MAX} bytes, or has more than {HEADERS_MAX} headers"
            ),
        ),
        _ => Problem::new(Code::BadRequest, "this is no HTTP/1.1 request")
            .hint("curl --unix-socket, or orcactl"),
    };
    unasked(&Problem { status, ..problem })
}

/// A problem as a whole answer, for a connection that no HTTP library serves.
pub fn unasked(problem: &Problem) -> String {
    let body = serde_json::to_string(problem).unwrap_or_default();
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{body}",
        problem.status,
        StatusCode::from_u16(problem.status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Refused"),
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_share_and_root_has_the_rest() {
        let room = Arc::new(Room::default());
        let held: Vec<_> = (0..CONNECTIONS_PER_UID_MAX).map(|_| room.take(1000).unwrap()).collect();
        assert!(room.take(1000).is_none());
        let root: Vec<_> = std::iter::from_fn(|| room.take(0)).collect();
        assert_eq!(root.len(), CONNECTIONS_MAX - CONNECTIONS_PER_UID_MAX);
        drop(held);
        assert!(room.take(1000).is_some());
    }
}
