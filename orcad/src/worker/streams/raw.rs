//! Requests to the engine whose answer is a stream of bytes.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyperlocal::UnixConnector;

use crate::worker::docker::{Engine, EngineError};

/// The longest error text that is read.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Asks for a stream.
pub(super) async fn get(engine: &Engine, call: &'static str, path: &str) -> Result<Incoming, EngineError> {
    Ok(send(engine, call, Method::GET, path, None).await?.into_body())
}

/// Asks for a connection of bytes both ways.
pub(super) async fn upgrade(
    engine: &Engine,
    call: &'static str,
    path: &str,
    body: String,
) -> Result<Upgraded, EngineError> {
    let answer = send(engine, call, Method::POST, path, Some(body)).await?;
    hyper::upgrade::on(answer).await.map_err(|e| EngineError::Broken { call, message: e.to_string() })
}

async fn send(
    engine: &Engine,
    call: &'static str,
    method: Method,
    path: &str,
    upgrade_with: Option<String>,
) -> Result<Response<Incoming>, EngineError> {
    let limit = engine.config().call_timeout;
    let prefix = engine.api_prefix().await?;
    let uri: hyper::Uri = hyperlocal::Uri::new(&engine.config().socket, &format!("{prefix}{path}")).into();
    let broken = |message: String| EngineError::Broken { call, message };
    let mut request = Request::builder().method(method).uri(uri).header(HOST, "docker");
    if upgrade_with.is_some() {
        request = request
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp");
    }
    let request = request
        .body(Full::new(Bytes::from(upgrade_with.unwrap_or_default())))
        .map_err(|e| broken(e.to_string()))?;
    // One connection for each stream, as long as it lives: nothing is pooled, so dropping the stream closes it.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build::<_, Full<Bytes>>(UnixConnector);
    let answer = match tokio::time::timeout(limit, client.request(request)).await {
        Err(_) => return Err(EngineError::Silent { call, after: limit }),
        Ok(Err(error)) if error.is_connect() => return Err(EngineError::Away(error.to_string())),
        Ok(Err(error)) => return Err(broken(error.to_string())),
        Ok(Ok(answer)) => answer,
    };
    let status = answer.status();
    if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer);
    }
    let text = tokio::time::timeout(
        limit,
        http_body_util::Limited::new(answer.into_body(), ERROR_BYTES_MAX).collect(),
    )
    .await;
    let text = text
        .ok()
        .and_then(Result::ok)
        .map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned())
        .unwrap_or_default();
    let message = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|v| v.get("message")?.as_str().map(str::to_owned))
        .unwrap_or(text);
    Err(EngineError::Refused { status: status.as_u16(), message })
}
