//! A bare client of the control socket: one connection, kept open.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

pub struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(socket: &Path) -> Result<Self> {
        let io = UnixStream::connect(socket).await.context("the control socket")?;
        let (send, connection) = handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection);
        Ok(Self(send))
    }

    /// The bytes of an answer that must be a good one.
    pub async fn bytes(&mut self, method: &str, path: &str, body: Option<Value>) -> Result<Bytes> {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request =
            if body.is_some() { request.header("content-type", "application/json") } else { request };
        let body = body.map(|b| Bytes::from(b.to_string())).unwrap_or_default();
        self.0.ready().await?;
        let answer = self.0.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&bytes));
        Ok(bytes)
    }

    pub async fn get(&mut self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.bytes("GET", path, None).await?)?)
    }

    pub async fn send(&mut self, method: &str, path: &str, body: Value) -> Result<Value> {
        Ok(serde_json::from_slice(&self.bytes(method, path, Some(body)).await?)?)
    }
}
