//! Output of a container, as lines.
//!
//! A line is what the engine stored as one message: a line of output, or a piece of 16 KiB of a longer one. What cannot
//! be read (a driver that only writes, a damaged file) is said in a [`LogLine::Note`], never passed over in silence.
//!
//! An engine that is followed may close the stream before it sent a container's last words (seen with 20.10 and
//! `json-file`, in two of five runs). So the end of a followed stream is read once more, from the last message on.

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
const NANOS_PER_MS: i64 = 1_000_000;
const NANOS_PER_S: i64 = 1_000_000_000;

/// The lines of a container's output. With `follow` the stream ends when the container does.
pub async fn logs(
    engine: &Engine,
    container: &str,
    attempt: u32,
    query: &LogQuery,
) -> impl Stream<Item = LogLine> + Send + use<> {
    let since = query.since.map(|at| at.ms().saturating_mul(NANOS_PER_MS));
    let tail = query.tail.map_or_else(|| "all".to_owned(), |n| n.to_string());
    match raw::get(engine, "logs", &path(container, query.follow, &tail, since)).await {
        Ok(body) => {
            let again = query.follow.then(|| Again {
                engine: engine.clone(),
                container: container.to_owned(),
                tail,
                since,
            });
            let reading = Reading {
                body,
                demux: Demux::default(),
                attempt,
                again,
                last: Position { time: i64::MIN, count: 0 },
                skip: 0,
                rest: None,
                ended: false,
            };
            let lines = stream::unfold(reading, |mut reading| async move {
                reading.next_line().await.map(|line| (line, reading))
            });
            // Said first: whoever reads on knows that lines are missing.
            stream::iter(dropped(engine, container, query).await.map(note)).chain(lines).left_stream()
        }
        Err(error) => {
            stream::iter([note(format!("the output of attempt {attempt} cannot be read: {error}"))])
                .right_stream()
        }
    }
}

/// What the journal dropped while the container ran, where its output goes there.
async fn dropped(engine: &Engine, container: &str, query: &LogQuery) -> Option<String> {
    let (began, ended) = engine.in_journal(container).await?;
    let since = query.since.map_or(began, |since| since.max(began));
    super::dropped::between(since, ended).await
}

fn path(container: &str, follow: bool, tail: &str, since: Option<i64>) -> String {
    // Seconds with nanoseconds; the engine gives what is not older.
    let since = since.map_or_else(String::new, |at| {
        format!("&since={}.{:09}", at.max(0) / NANOS_PER_S, at.max(0) % NANOS_PER_S)
    });
    let container = orca_api::route::encode(container);
    format!(
        "/containers/{container}/logs?stdout=true&stderr=true&timestamps=true&follow={follow}&tail={tail}{since}"
    )
}

fn note(text: String) -> LogLine {
    LogLine::Note { text }
}

/// Where to read the end once more.
struct Again {
    engine: Engine,
    container: String,
    /// What was asked for at first, which holds as long as nothing was told.
    tail: String,
    since: Option<i64>,
}

/// How far the reading has come: the time of the last message, in nanoseconds since 1970, and how many had it (the
/// pieces of a long line share theirs).
#[derive(Clone, Copy)]
struct Position {
    time: i64,
    count: usize,
}

struct Reading {
    body: Incoming,
    demux: Demux,
    attempt: u32,
    /// Set as long as a followed stream has not been read once more.
    again: Option<Again>,
    last: Position,
    /// Messages of the last time that were told before.
    skip: usize,
    /// The rest of a piece that is longer than a line.
    rest: Option<(Option<Time>, &'static str, BytesMut)>,
    ended: bool,
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
                        if !self.demux.buffer.is_empty() {
                            self.ended = true;
                            return Some(note("the engine's stream broke off within a line".to_owned()));
                        }
                        self.ended = !self.read_again().await;
                    }
                },
            }
        }
    }

    /// Reads the end of a followed stream once more; whether there is something to read.
    async fn read_again(&mut self) -> bool {
        let Some(Again { engine, container, tail, since }) = self.again.take() else { return false };
        let rest = match self.last.count {
            0 => path(&container, false, &tail, since),
            _ => path(&container, false, "all", Some(self.last.time)),
        };
        match raw::get(&engine, "logs", &rest).await {
            Ok(body) => {
                self.body = body;
                self.skip = self.last.count;
                true
            }
            // It is gone with its output, or the engine is: what was told is what there was.
            Err(error) => {
                tracing::debug!(%error, container, "the end of the output was not read again");
                false
            }
        }
    }

    /// Whether a message of this time was told before. Messages of both streams may be a little out of order, so only
    /// those of the latest time are counted: exactly those come again first when the engine is asked from there on.
    fn is_told(&mut self, time: i64) -> bool {
        if time == self.last.time && self.skip > 0 {
            self.skip -= 1;
            return true;
        }
        if time > self.last.time {
            self.last = Position { time, count: 1 };
            self.skip = 0;
        } else if time == self.last.time {
            self.last.count += 1;
        }
        false
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
        if !time.is_some_and(|time| self.is_told(time)) {
            self.rest =
                Some((time.map(|nanos| Time::from_ms(nanos.div_euclid(NANOS_PER_MS))), stream, bytes));
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
        Some(LogLine::Line {
            time,
            stream: stream.to_owned(),
            attempt: self.attempt,
            text: String::from_utf8_lossy(&text).into_owned(),
        })
    }
}

/// Where to cut a text that is too long: not within a character of UTF-8.
fn cut(bytes: &[u8]) -> usize {
    let continues = |b: u8| b & 0b1100_0000 == 0b1000_0000;
    (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX).rev().find(|at| !continues(bytes[*at])).unwrap_or(LINE_BYTES_MAX)
}

/// Takes the engine's time stamp from the front of a message: nanoseconds since 1970.
fn split_time(bytes: &mut BytesMut) -> Option<i64> {
    // RFC 3339 with nanoseconds has 30 to 35 bytes.
    let end = bytes.iter().take(40).position(|b| *b == b' ')?;
    let time: jiff::Timestamp = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    let time = i64::try_from(time.as_nanosecond()).ok()?;
    bytes.advance(end + 1);
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_the_engines() {
        let asked = path("a/b", true, "5", Some(1_500_000_001));
        assert_eq!(
            asked,
            "/containers/a%2Fb/logs?stdout=true&stderr=true&timestamps=true&follow=true&tail=5&since=1.500000001"
        );
    }

    #[test]
    fn a_time_stamp_is_taken_off() {
        let mut bytes = BytesMut::from(&b"2026-11-24T10:00:00.123456789Z hello\n"[..]);
        assert_eq!(split_time(&mut bytes).unwrap() % NANOS_PER_S, 123_456_789);
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
