//! Output of a container, as lines.
//!
//! A line is what the engine stored as one message: a line of output, or a piece of 16 KiB of a longer one. What cannot
//! be read (a driver that only writes, a damaged file) is said in a [`LogLine::Note`], never passed over in silence.

use bytes::{Buf as _, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use orca_api::control::LogLine;
use orca_api::route::worker::LogQuery;
use orca_api::units::Time;

use super::demux::{Demux, Piece, Source};
use super::raw;
use crate::worker::docker::Engine;

/// The longest line: what the engine cuts its messages to. A longer text is told in several lines.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// The lines of a container's output. With `follow` the stream ends when the container does.
pub async fn logs(engine: &Engine, container: &str, attempt: u32, query: &LogQuery) -> impl Stream<Item = LogLine> + Send + use<> {
    match raw::get(engine, "logs", &path(container, query)).await {
        Ok(body) => lines(body, attempt, query.since).left_stream(),
        Err(error) => stream::iter([note(format!("the output of attempt {attempt} cannot be read: {error}"))]).right_stream(),
    }
}

fn path(container: &str, query: &LogQuery) -> String {
    let tail = query.tail.map_or_else(|| "all".to_owned(), |n| n.to_string());
    // Seconds with nanoseconds; the engine gives what is not older.
    let since = query.since.map_or_else(String::new, |at| format!("&since={}.{:03}000000", at.ms().max(0) / 1000, at.ms().max(0) % 1000));
    format!(
        "/containers/{}/logs?stdout=true&stderr=true&timestamps=true&follow={}&tail={tail}{since}",
        orca_api::route::encode(container),
        query.follow
    )
}

fn note(text: String) -> LogLine {
    LogLine::Note { text }
}

struct Reading {
    body: Incoming,
    demux: Demux,
    attempt: u32,
    since: Option<Time>,
    /// The rest of a piece that is longer than a line.
    rest: Option<(Option<Time>, &'static str, BytesMut)>,
    ended: bool,
}

fn lines(body: Incoming, attempt: u32, since: Option<Time>) -> impl Stream<Item = LogLine> + Send {
    let reading = Reading { body, demux: Demux::default(), attempt, since, rest: None, ended: false };
    stream::unfold(reading, |mut reading| async move { reading.next_line().await.map(|line| (line, reading)) })
}

impl Reading {
    async fn next_line(&mut self) -> Option<LogLine> {
        loop {
            if let Some(line) = self.take_rest() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            match self.demux.next_piece() {
                Ok(Some(piece)) => {
                    if let Some(said) = self.begin(piece) {
                        return Some(said);
                    }
                }
                Err(damaged) => {
                    self.ended = true;
                    return Some(note(format!("{damaged}; what follows cannot be shown")));
                }
                Ok(None) => match self.body.frame().await {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            self.demux.buffer.extend_from_slice(&data);
                        }
                    }
                    Some(Err(error)) => {
                        self.ended = true;
                        return Some(note(format!("the engine's stream broke off: {error}")));
                    }
                    None => {
                        self.ended = true;
                        if !self.demux.buffer.is_empty() {
                            return Some(note("the engine's stream broke off within a line".to_owned()));
                        }
                    }
                },
            }
        }
    }

    /// Takes a message in; what the engine itself has to say is a note at once.
    fn begin(&mut self, piece: Piece) -> Option<LogLine> {
        let mut bytes = piece.bytes;
        let stream = match piece.source {
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
            Source::Engine => return Some(note(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
        };
        let time = split_time(&mut bytes);
        if bytes.last() == Some(&b'\n') {
            bytes.truncate(bytes.len() - 1);
        }
        let old = self.since.is_some_and(|since| time.is_some_and(|time| time < since));
        if !old {
            self.rest = Some((time, stream, bytes));
        }
        None
    }

    fn take_rest(&mut self) -> Option<LogLine> {
        let (time, stream, mut bytes) = self.rest.take()?;
        let text = if bytes.len() > LINE_BYTES_MAX {
            let line = bytes.split_to(cut(&bytes));
            self.rest = Some((time, stream, bytes));
            line
        } else {
            bytes
        };
        Some(LogLine::Line { time, stream: stream.to_owned(), attempt: self.attempt, text: String::from_utf8_lossy(&text).into_owned() })
    }
}

/// Where to cut a text that is too long: not within a character of UTF-8.
fn cut(bytes: &[u8]) -> usize {
    let continues = |b: u8| b & 0b1100_0000 == 0b1000_0000;
    (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX).rev().find(|at| !continues(bytes[*at])).unwrap_or(LINE_BYTES_MAX)
}

/// Takes the engine's time stamp from the front of a message.
fn split_time(bytes: &mut BytesMut) -> Option<Time> {
    // RFC 3339 with nanoseconds has 30 to 35 bytes.
    let end = bytes.iter().take(40).position(|b| *b == b' ')?;
    let time = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    bytes.advance(end + 1);
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use orca_api::link::AttemptRef;

    #[test]
    fn the_query_is_the_engines() {
        let of = AttemptRef { placement: "0123456789ABCDEF".parse().unwrap(), attempt: None };
        let query = LogQuery { of, follow: true, tail: Some(5), since: Some(Time::from_ms(1500)) };
        assert_eq!(path("a/b", &query), "/containers/a%2Fb/logs?stdout=true&stderr=true&timestamps=true&follow=true&tail=5&since=1.500000000");
    }

    #[test]
    fn a_time_stamp_is_taken_off() {
        let mut bytes = BytesMut::from(&b"2026-11-24T10:00:00.123456789Z hello\n"[..]);
        assert_eq!(split_time(&mut bytes).unwrap().ms() % 1000, 123);
        assert_eq!(&bytes[..], b"hello\n");
        let mut bare = BytesMut::from(&b"no time"[..]);
        assert_eq!(split_time(&mut bare), None);
        assert_eq!(&bare[..], b"no time");
    }

    #[test]
    fn a_cut_spares_characters() {
        let mut text = "x".repeat(LINE_BYTES_MAX - 1);
        text.push_str("äöü");
        assert_eq!(cut(text.as_bytes()), LINE_BYTES_MAX - 1);
        assert_eq!(cut(&vec![b'x'; LINE_BYTES_MAX + 1]), LINE_BYTES_MAX);
    }
}
