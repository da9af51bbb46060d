//! HTTP/2 over a connection of the link: the side that serves, and the side that asks.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use orca_api::error::{Code, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};

use super::http::{Body, full};
use super::limits::{
    LINK_BYTES_MAX, LINK_HEAD_BYTES_MAX, LINK_STREAMS_MAX, LINK_TIME, STRANGER_HEAD_BYTES_MAX,
    STRANGER_STREAMS_MAX,
};

/// How often a silent connection is asked for a sign of life, and how long that may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// A connection, whatever carries it.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// What one connection may ask for at a time.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The most streams at once.
    pub streams: u32,
    /// The longest head of a request, in bytes.
    pub head_bytes: u32,
}

impl Share {
    /// That of a member of the cluster.
    pub const MEMBER: Self = Self { streams: LINK_STREAMS_MAX, head_bytes: LINK_HEAD_BYTES_MAX };
    /// That of somebody without a certificate: enough to join.
    pub const STRANGER: Self = Self { streams: STRANGER_STREAMS_MAX, head_bytes: STRANGER_HEAD_BYTES_MAX };
}

/// Serves one connection until it ends.
pub async fn serve<I, S, F>(io: I, share: Share, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = service(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(share.streams)
        .max_header_list_size(share.head_bytes)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .serve_connection(TokioIo::new(io), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the link ended");
    }
}

/// Why a question over the link got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The connection is gone.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// The other side refused.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// An answer that cannot be read.
    #[error("the answer cannot be read: {0}")]
    Garbled(String),
}

impl AskError {
    /// As a problem for a client who waits for an answer from that node.
    pub fn into_problem(self) -> Problem {
        match self {
            Self::Refused(problem) => *problem,
            other => Problem::new(Code::NodeAway, "the node does not answer").because(other.to_string()),
        }
    }
}

/// The side that asks.
#[derive(Clone, Debug)]
pub struct Asker {
    send: SendRequest<Body>,
}

impl Asker {
    /// Takes a connection into use. The connection's own work runs as a task until it ends.
    pub async fn new<I>(io: I) -> Result<Self, AskError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(KEEP_ALIVE.0))
            .keep_alive_timeout(KEEP_ALIVE.1)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|e| AskError::Broken(e.to_string()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection of the link ended");
            }
        });
        Ok(Self { send })
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.send.is_closed()
    }

    /// Sends a request and waits for the head of its answer. An answer that is no success becomes [`AskError::Refused`].
    pub async fn open(
        &self,
        method: Method,
        target: &str,
        body: Body,
        limit: Duration,
    ) -> Result<Response<Incoming>, AskError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://link{target}"))
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| AskError::Garbled(e.to_string()))?;
        let mut send = self.send.clone();
        let answer = async {
            send.ready().await?;
            send.send_request(request).await
        };
        let answer = match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(AskError::Broken(error.to_string())),
            Err(_) => return Err(AskError::Slow(limit)),
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let bytes = whole(answer.into_body(), limit).await?;
        let problem = serde_json::from_slice::<Problem>(&bytes)
            .unwrap_or_else(|_| Problem::new(Code::Internal, format!("the other side answered {status}")));
        Err(AskError::Refused(Box::new(problem)))
    }

    /// Sends a message and reads the answer. `parked` is how long the other side may keep it.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        target: &str,
        message: &impl Serialize,
        parked: Duration,
    ) -> Result<T, AskError> {
        let limit = LINK_TIME + parked;
        let body = serde_json::to_vec(message).map_err(|e| AskError::Garbled(e.to_string()))?;
        let answer = self.open(Method::POST, target, full(body), limit).await?;
        read(&whole(answer.into_body(), limit).await?)
    }

    /// Reads an object.
    pub async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, AskError> {
        let answer = self.open(Method::GET, target, full(Bytes::new()), LINK_TIME).await?;
        read(&whole(answer.into_body(), LINK_TIME).await?)
    }
}

/// Reads a message tolerantly: what is not known is left alone.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AskError> {
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|e| AskError::Garbled(e.to_string()))
}

/// Reads a body whole.
pub async fn whole(body: Incoming, limit: Duration) -> Result<Bytes, AskError> {
    whole_within(body, LINK_BYTES_MAX, limit).await
}

/// Reads a body whole that may have so many bytes.
pub async fn whole_within(body: Incoming, bytes_max: usize, limit: Duration) -> Result<Bytes, AskError> {
    match tokio::time::timeout(limit, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(AskError::Broken(error.to_string())),
        Err(_) => Err(AskError::Slow(limit)),
    }
}

/// A JSON body to send.
pub fn json_body(message: &impl Serialize) -> Result<Body, AskError> {
    let bytes = serde_json::to_vec(message).map_err(|e| AskError::Garbled(e.to_string()))?;
    Ok(Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync())
}
