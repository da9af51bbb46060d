//! One question to a container: a connection, and for HTTP a GET. Everything about it is bounded.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use orca_api::spec::HttpCheck;
use orca_core::worker::io::CheckTarget;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// The most of an answer's head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most of an answer's body that is read, in bytes; it is shown where the status is bad.
const BODY_BYTES_MAX: usize = 256;

/// Asks; an error says in words what was asked, and what is wrong.
pub(super) async fn ask(target: &CheckTarget) -> Result<(), String> {
    let patience = target.check.patience();
    let deadline = Instant::now() + patience.std();
    let address = |port| {
        target
            .address
            .map(|ip| SocketAddr::new(ip, port))
            .ok_or_else(|| "the container has no network address that could be asked".to_owned())
    };
    let (what, asked) = if let Some(check) = &target.check.http {
        let at = address(check.port)?;
        (format!("GET http://{at}{}", check.path), get(at, check, deadline).await)
    } else if let Some(port) = target.check.tcp {
        let at = address(port)?;
        (format!("tcp {at}"), connect(at, deadline).await.map(drop))
    } else {
        return Ok(());
    };
    asked.map_err(|why| match why {
        Why::Late => format!("{what}: no answer within {patience}"),
        Why::Said(said) => format!("{what}: {said}"),
    })
}

/// Why there is no good answer.
enum Why {
    Late,
    Said(String),
}

impl From<tokio::time::error::Elapsed> for Why {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Late
    }
}

async fn connect(at: SocketAddr, deadline: Instant) -> Result<TcpStream, Why> {
    timeout_at(deadline, TcpStream::connect(at)).await?.map_err(|error| Why::Said(error.kind().to_string()))
}

/// A GET on a connection of its own. Well is a status of 200 to 399; redirects are not followed.
async fn get(at: SocketAddr, check: &HttpCheck, deadline: Instant) -> Result<(), Why> {
    let request = Request::get(&check.path)
        .header(header::HOST, at.to_string())
        .header(header::USER_AGENT, concat!("orcad/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Why::Said(error.to_string()))?;
    let stream = connect(at, deadline).await?;
    let shaken = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) = timeout_at(deadline, shaken).await?.map_err(|error| said(&error))?;
    let exchange = async {
        let response = timeout_at(deadline, sender.send_request(request)).await?.map_err(|e| said(&e))?;
        judge(response, deadline).await
    };
    let (mut exchange, mut connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
    tokio::select! {
        biased;
        judged = &mut exchange => judged,
        // The connection may end before its answer was read; that the exchange knows itself.
        _ = &mut connection => exchange.await,
    }
}

async fn judge(response: Response<Incoming>, deadline: Instant) -> Result<(), Why> {
    let status = response.status();
    if (200..400).contains(&status.as_u16()) {
        return Ok(());
    }
    // What it says about a bad status is an extra: it does not wait long for it.
    let soon = deadline.min(Instant::now() + Duration::from_millis(200));
    let mut body = response.into_body();
    let mut text = Vec::new();
    while text.len() < BODY_BYTES_MAX {
        let Ok(Some(Ok(frame))) = timeout_at(soon, body.frame()).await else { break };
        if let Some(data) = frame.data_ref() {
            text.extend_from_slice(&data[..data.len().min(BODY_BYTES_MAX - text.len())]);
        }
    }
    Err(Why::Said(bad_status(status, &text)))
}

/// `status 503 Service Unavailable: the first line of the answer`
fn bad_status(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    // Markup is for browsers.
    let silent = line.is_empty() || line.starts_with('<');
    if silent { format!("status {status}") } else { format!("status {status}: {line}") }
}

fn said(error: &hyper::Error) -> Why {
    use std::error::Error as _;
    Why::Said(match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use orca_api::spec::HealthCheck;
    use orca_api::units::Span;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a server that reads a request and answers with `answer`; without one it never does.
    async fn http(answer: Option<&'static str>) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let Some(answer) = answer else {
                let _ = stream.read(&mut request).await;
                return String::new();
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request[..read].to_vec()).unwrap()
        });
        let check = HealthCheck {
            http: format!("{port}/ready?now").parse().ok(),
            timeout: Some(Span::from_ms(if answer.is_some() { 5000 } else { 50 })),
            ..HealthCheck::default()
        };
        let asked = ask(&target(check)).await;
        let request = server.await.unwrap();
        if answer.is_some() {
            assert!(request.starts_with("GET /ready?now HTTP/1.1\r\n"), "{request}");
            assert!(request.to_lowercase().contains(&format!("host: 127.0.0.1:{port}\r\n")), "{request}");
        }
        asked.map_err(|said| said.replace(&port.to_string(), "PORT"))
    }

    fn target(check: HealthCheck) -> CheckTarget {
        CheckTarget {
            container: "c".to_owned(),
            address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            check,
            started_at: None,
            starting: true,
        }
    }

    #[tokio::test]
    async fn statuses_and_what_is_said_with_them() {
        let about = "GET http://127.0.0.1:PORT/ready?now: ";
        for (answer, said) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None),
            ("HTTP/1.0 204 No Content\r\n\r\n", None),
            ("HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n", None),
            (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 17\r\n\r\n\ndatabase is down",
                Some("status 503 Service Unavailable: database is down"),
            ),
            (
                "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n6\r\n<html>\r\n0\r\n\r\n",
                Some("status 404 Not Found"),
            ),
            // The answer breaks off in its body.
            ("HTTP/1.1 500 \r\ncontent-length: 900\r\n\r\nno", Some("status 500 Internal Server Error: no")),
        ] {
            assert_eq!(http(Some(answer)).await.err(), said.map(|said| format!("{about}{said}")), "{answer}");
        }
        assert!(http(Some("SSH-2.0-OpenSSH_9\r\n")).await.is_err_and(|said| said.contains("invalid HTTP")));
        assert!(http(Some("")).await.is_err_and(|said| said.contains("connection closed")));
        assert_eq!(http(None).await, Err(format!("{about}no answer within 50ms")));
    }

    #[tokio::test]
    async fn connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let check = HealthCheck { tcp: Some(port), ..HealthCheck::default() };
        assert_eq!(ask(&target(check.clone())).await, Ok(()));
        drop(listener);
        assert_eq!(
            ask(&target(check.clone())).await,
            Err(format!("tcp 127.0.0.1:{port}: connection refused"))
        );
        let nowhere = CheckTarget { address: None, ..target(check) };
        assert_eq!(
            ask(&nowhere).await,
            Err("the container has no network address that could be asked".to_owned())
        );
    }
}
