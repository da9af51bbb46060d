//! Lines of several streams, by their time.
//!
//! Streams that end are merged exactly: the smallest of the next lines of all of them comes first. Streams that go on
//! cannot be waited for: a line is held back for a moment, so that an older one of a slower stream may come before it.

use std::collections::BTreeMap;
use std::time::Duration;

use orca_api::control::LogLine;
use orca_api::units::Time;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::client::stream::Lines;
use crate::output::error::Failure;

/// How long a line of a stream that goes on is held back. Longer is noticed; the way from a node is shorter.
const HOLD: Duration = Duration::from_millis(250);
/// Lines that are read ahead of each stream.
const AHEAD: usize = 64;

/// What comes next.
pub(super) enum Next {
    /// A line of that stream.
    Line(usize, String),
    /// That stream broke off; the others go on.
    Broken(usize, Failure),
    /// Nothing more.
    End,
}

/// A line with the time by which it is sorted: its own, or that of the line before it.
struct Timed {
    time: Time,
    text: String,
}

/// Merges.
pub(super) struct Merge {
    follow: bool,
    streams: BTreeMap<usize, Stream>,
    /// Held back: when it came, and from where.
    held: BTreeMap<(Time, u64), (Instant, usize, String)>,
    count: u64,
}

struct Stream {
    from: mpsc::Receiver<Result<Timed, Failure>>,
    head: Option<Timed>,
}

impl Merge {
    pub(super) fn new(follow: bool) -> Self {
        Self { follow, streams: BTreeMap::new(), held: BTreeMap::new(), count: 0 }
    }

    /// Adds a stream.
    pub(super) fn add(&mut self, i: usize, lines: Lines) {
        let (to, from) = mpsc::channel(AHEAD);
        tokio::spawn(read(lines, to));
        self.streams.insert(i, Stream { from, head: None });
    }

    pub(super) async fn next(&mut self) -> Next {
        if self.follow { self.next_held().await } else { self.next_exact().await }
    }

    async fn next_exact(&mut self) -> Next {
        let mut ended = Vec::new();
        for (i, stream) in &mut self.streams {
            if stream.head.is_none() {
                match stream.from.recv().await {
                    Some(Ok(line)) => stream.head = Some(line),
                    Some(Err(failure)) => {
                        let i = *i;
                        self.streams.remove(&i);
                        return Next::Broken(i, failure);
                    }
                    None => ended.push(*i),
                }
            }
        }
        for i in ended {
            self.streams.remove(&i);
        }
        let first = self
            .streams
            .iter_mut()
            .filter_map(|(i, stream)| stream.head.as_ref().map(|head| head.time).map(|time| (time, *i)))
            .min();
        let Some((_, i)) = first else { return Next::End };
        match self.streams.get_mut(&i).and_then(|stream| stream.head.take()) {
            Some(line) => Next::Line(i, line.text),
            None => Next::End,
        }
    }

    async fn next_held(&mut self) -> Next {
        loop {
            let due = self.held.first_key_value().map(|(_, (came, _, _))| *came + HOLD);
            if let Some(due) = due
                && (due <= Instant::now() || self.streams.is_empty())
                && let Some((_, (_, i, text))) = self.held.pop_first()
            {
                return Next::Line(i, text);
            }
            if self.streams.is_empty() {
                return Next::End;
            }
            let came = tokio::select! {
                came = any(&mut self.streams) => came,
                () = until(due) => continue,
            };
            match came {
                (i, Some(Ok(line))) => {
                    self.count += 1;
                    self.held.insert((line.time, self.count), (Instant::now(), i, line.text));
                }
                (i, Some(Err(failure))) => {
                    self.streams.remove(&i);
                    return Next::Broken(i, failure);
                }
                (i, None) => {
                    self.streams.remove(&i);
                }
            }
        }
    }
}

/// The next line of whichever stream has one.
async fn any(streams: &mut BTreeMap<usize, Stream>) -> (usize, Option<Result<Timed, Failure>>) {
    std::future::poll_fn(|context| {
        for (i, stream) in streams.iter_mut() {
            if let std::task::Poll::Ready(came) = stream.from.poll_recv(context) {
                return std::task::Poll::Ready((*i, came));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn read(mut lines: Lines, to: mpsc::Sender<Result<Timed, Failure>>) {
    let mut time = Time::default();
    loop {
        let next = match lines.next().await {
            Ok(Some(text)) => {
                if let Ok(LogLine::Line { time: Some(at), .. }) = serde_json::from_str(&text) {
                    time = at;
                }
                Ok(Timed { time, text })
            }
            Ok(None) => return,
            Err(failure) => Err(failure),
        };
        let broken = next.is_err();
        if to.send(next).await.is_err() || broken {
            return;
        }
    }
}
