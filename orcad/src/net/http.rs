//! HTTP/1.1 as the control socket speaks it: bodies, answers and problems.
//!
//! Every answer that is no success is problem+json (RFC 9457), also to what cannot be parsed as HTTP at all
//! ([`super::timed`]); the connection is closed then.

use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use orca_api::error::{Code, Problem};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::limits::{BODY_BYTES_MAX, BODY_GRACE, BODY_RATE_MIN, BODY_TIME};

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BodyError>;

/// A body that is known whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes in pieces, and where to put them. It ends when the sender is dropped.
pub fn pieces(ahead: usize) -> (mpsc::Sender<Bytes>, Body) {
    let (to, mut from) = mpsc::channel::<Bytes>(ahead);
    let stream = futures_util::stream::poll_fn(move |cx| {
        from.poll_recv(cx).map(|piece| piece.map(|p| Ok(Frame::data(p))))
    });
    (to, StreamBody::new(stream).boxed_unsync())
}

/// A body that tells when it is done with, however it ends.
pub fn watched(body: Body, done: impl FnOnce() + Send + 'static) -> Body {
    Watched { body, done: Some(Box::new(done)) }.boxed_unsync()
}

struct Watched {
    body: Body,
    done: Option<Box<dyn FnOnce() + Send>>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done();
        }
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => typed(status, "application/json", bytes),
        Err(error) => {
            problem(&Problem::new(Code::Internal, format!("the answer cannot be written: {error}")))
        }
    }
}

/// An answer of some media type.
pub fn typed(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// An answer that comes in pieces.
pub fn stream(media: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A problem as an answer.
pub fn problem(problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bytes = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = typed(status, "application/problem+json", bytes);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Puts a header into an answer; a value that is no header value is left out.
pub fn set_header(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A header's text; `None` where it is missing, is not text, or is there twice.
pub fn text_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    if all.next().is_some() { None } else { Some(first) }
}

/// Reads a request's JSON body: its size, its time and its media type are bounded.
pub async fn body(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Problem> {
    let (most, time) = (BODY_BYTES_MAX, BODY_TIME);
    let too_large = || Problem::new(Code::TooLarge, format!("the body is larger than {most} bytes"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut body = Limited::new(body, most);
    let (mut bytes, began) = (BytesMut::new(), Instant::now());
    loop {
        let earned = Duration::from_millis(bytes.len() as u64 * 1000 / BODY_RATE_MIN);
        let until = began + time.min(BODY_GRACE + earned);
        match tokio::time::timeout_at(until, body.frame()).await {
            Ok(Some(Ok(frame))) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Ok(None) => break,
            Ok(Some(Err(error))) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large()),
            Ok(Some(Err(error))) => {
                return Err(Problem::new(Code::BadRequest, "the body broke off").because(error.to_string()));
            }
            Err(_) if until < began + time => {
                return Err(Problem::new(
                    Code::TooSlow,
                    format!("the body came slower than {BODY_RATE_MIN} bytes a second"),
                ));
            }
            Err(_) => {
                return Err(Problem::new(Code::TooSlow, format!("the body did not come within {time:?}")));
            }
        }
    }
    let bytes = bytes.freeze();
    if !bytes.is_empty() && !is_json(headers) {
        return Err(Problem::new(Code::BadMediaType, "the body is not application/json")
            .hint("send the header `Content-Type: application/json`"));
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = text_header(headers, "content-type").unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The parameters of a request's query.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads them: one that is not known, or is there twice, is refused with the nearest known name.
    pub fn read(text: Option<&str>, known: &[(&str, &str)]) -> Result<Self, Problem> {
        let mut all: Vec<(String, String)> = Vec::new();
        for pair in text.unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |part: &str| orca_api::route::decode(&part.replace('+', " "));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(Problem::new(Code::BadRequest, "the query is not percent-encoded UTF-8"));
            };
            if !known.iter().any(|(known, _)| *known == name) {
                let shown: String = name.chars().take(40).collect();
                let problem =
                    Problem::new(Code::BadRequest, format!("there is no query parameter `{shown}` here"));
                return Err(match orca_api::text::nearest(&name, known.iter().map(|k| k.0)) {
                    Some(near) => problem.hint(format!("did you mean `{near}`?")),
                    None => problem.hint(list_of(known)),
                });
            }
            if all.iter().any(|(other, _)| *other == name) {
                return Err(Problem::new(
                    Code::BadRequest,
                    format!("the query parameter `{name}` is there twice"),
                ));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// A parameter's text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A parameter, parsed.
    pub fn parsed<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        self.text(name).map(|text| text.parse().map_err(|e| bad_parameter(name, e))).transpose()
    }

    /// A parameter that is `true` or `false`; present without a value means true.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(bad_parameter(name, "write true or false")),
        }
    }
}

/// A parameter that cannot be read.
pub fn bad_parameter(name: &str, why: impl std::fmt::Display) -> Problem {
    Problem::new(Code::BadRequest, format!("the query parameter `{name}`: {why}"))
}

fn list_of(known: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (i, (name, meaning)) in known.iter().enumerate() {
        let _ = write!(text, "{}{name} ({meaning})", if i == 0 { "there is: " } else { "; " });
    }
    if text.is_empty() { "this path takes none".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(&str, &str)] = &[("since", "a revision"), ("wait", "how long")];

    #[test]
    fn queries_are_read_strictly() {
        let query = Query::read(Some("since=12&wait=1m%2030s"), KNOWN).unwrap();
        assert_eq!(query.parsed::<u64>("since").unwrap(), Some(12));
        assert_eq!(query.text("wait"), Some("1m 30s"));
        for (text, detail) in [
            ("sinse=1", "there is no query parameter `sinse` here"),
            ("since=1&since=2", "the query parameter `since` is there twice"),
            ("since=%zz", "the query is not percent-encoded UTF-8"),
        ] {
            let problem = Query::read(Some(text), KNOWN).unwrap_err();
            assert_eq!((problem.code, problem.detail.as_str()), (Code::BadRequest, detail));
        }
        assert_eq!(Query::read(Some("sinse=1"), KNOWN).unwrap_err().hint, ["did you mean `since`?"]);
        assert!(Query::read(Some("since=x"), KNOWN).unwrap().parsed::<u64>("since").is_err());
    }

    #[test]
    fn flags() {
        let known = &[("force", "")][..];
        for (text, value) in [("", false), ("force", true), ("force=true", true), ("force=0", false)] {
            assert_eq!(Query::read(Some(text), known).unwrap().flag("force").unwrap(), value, "{text}");
        }
        assert!(Query::read(Some("force=maybe"), known).unwrap().flag("force").is_err());
    }

    #[test]
    fn a_problem_has_its_status_and_media_type() {
        let response = problem(&Problem::new(Code::Busy, "no"));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "1");
    }
}
