//! The output of a task: attempt after attempt, as JSON lines, from the workers that have it.
//!
//! ```text
//!   kept attempts, oldest first ──► lines of each ──► (follow) the newest, until it ends
//!                                                        ▲            │ a note says how
//!                                                        └── the next ┘ … until the task has ended for good
//! ```
//!
//! A line is passed on as the worker wrote it. What is gone is said, never left out in silence.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Response};
use orca_api::control::{LogLine, TaskView};
use orca_api::error::{Code, Problem};
use orca_api::id::TaskId;
use orca_api::link::AttemptStatus;
use orca_api::route::worker::{self, LogQuery};
use orca_api::task::State;
use orca_api::units::{Span, Time};
use orca_core::manager::LogSource;
use tokio::sync::mpsc;

use super::control::{Call, Control};
use super::waiters::Parked;
use crate::net::h2;
use crate::net::http::{self, Body, bad_parameter};
use crate::net::limits::LINK_TIME;

/// The most lines of a `tail`.
const TAIL_MAX: u32 = 100_000;
/// Bytes of earlier attempts' lines that a `tail` over several attempts holds at most.
const TAIL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pieces that are written ahead of a reader.
const AHEAD: usize = 16;
/// How long to wait for a task's next step before looking again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often an attempt whose node does not answer is tried again while following.
const RETRY: Duration = Duration::from_secs(1);

/// What a reader asks for.
#[derive(Clone, Copy)]
struct Ask {
    follow: bool,
    tail: Option<u32>,
    since: Option<Time>,
    attempt: Option<u32>,
}

pub(super) async fn logs(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let query = &call.query;
    let since = query.text("since").map(str::to_owned);
    let text = call.part.clone();
    let (now, (task, sources), view) = control
        .manager
        .read(move |manager, now| {
            let (task, mut sources) = manager.log_sources(&text)?;
            sources.retain(has_begun);
            let view = manager.task_view(task, now);
            Ok::<_, Problem>((now.wall, (task, sources), view))
        })
        .await??;
    let ask = Ask {
        follow: query.flag("follow")?,
        tail: query.parsed::<u32>("tail")?.map(|n| n.min(TAIL_MAX)),
        since: since.map(|text| point(&text, now)).transpose()?,
        attempt: query.parsed("attempt")?,
    };
    let mut sources = sources;
    if let Some(number) = ask.attempt {
        sources.retain(|s| s.attempt.number == number);
        if sources.is_empty() {
            return Err(attempt_gone(number, view.as_ref()));
        }
    }
    let place = control.stream_place()?;
    let (to, body) = http::pieces(AHEAD);
    let teller = Teller { manager: control.manager.clone(), workers: control.workers.clone(), to, task, ask };
    let stop = control.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = teller.tell(sources) => {}
            () = teller.to.closed() => {}
            () = stop.cancelled() => {}
        }
        drop(place);
    });
    Ok(http::stream("application/x-ndjson", body))
}

/// `2026-01-02T03:04:05Z`, or `10m` for ten minutes ago.
fn point(text: &str, now: Time) -> Result<Time, Problem> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(Time::from_ms(now.ms().saturating_sub(i64::try_from(span.ms()).unwrap_or(i64::MAX))));
    }
    text.parse()
        .map_err(|_| bad_parameter("since", "a point in time (2026-01-02T03:04:05Z), or how long ago (10m)"))
}

fn attempt_gone(number: u32, view: Option<&TaskView>) -> Problem {
    let made = view.map_or(0, |v| v.attempts);
    let problem = if number == 0 || number > made {
        Problem::new(Code::AttemptGone, format!("there was no attempt {number}: {made} were made"))
    } else {
        Problem::new(Code::AttemptGone, format!("the output of attempt {number} is gone with its container"))
            .because("the last 2 dead containers of a task are kept".to_owned())
    };
    problem.hint("orcactl task inspect shows the attempts")
}

/// Whether the process of an attempt has begun: the engine has nothing to follow of a container that was only made.
fn has_begun(source: &LogSource) -> bool {
    source.attempt.state.may_run() || source.attempt.state.is_terminal()
}

/// The reader is gone.
struct Gone;

struct Teller {
    manager: super::ManagerHandle,
    workers: std::sync::Arc<super::link::Workers>,
    to: mpsc::Sender<Bytes>,
    task: TaskId,
    ask: Ask,
}

impl Teller {
    async fn tell(&self, mut sources: Vec<LogSource>) -> Result<(), Gone> {
        let newest = sources.pop();
        match (self.ask.tail, &newest) {
            (Some(tail), Some(newest)) => self.tail_of_earlier(&sources, newest, tail).await?,
            _ => {
                for source in &sources {
                    self.whole(source, None).await?;
                }
            }
        }
        if !self.ask.follow {
            match newest {
                Some(newest) => self.whole(&newest, self.ask.tail).await?,
                None => self.note("nothing was written yet: the task has no container".to_owned()).await?,
            }
            return Ok(());
        }
        let mut next = newest;
        let mut tail = self.ask.tail;
        loop {
            let number = match next {
                Some(source) => {
                    self.follow(&source, tail).await?;
                    tail = None;
                    source.attempt.number
                }
                None => 0,
            };
            if self.ask.attempt.is_some() {
                return Ok(());
            }
            next = self.next_after(number).await?;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// All lines of an attempt that are there, without waiting for more; and how it ended.
    async fn whole(&self, source: &LogSource, tail: Option<u32>) -> Result<(), Gone> {
        self.pass(source, false, tail, self.ask.since).await?;
        match ending(&source.attempt) {
            Some(text) if self.ask.attempt.is_none() => self.note(text).await,
            _ => Ok(()),
        }
    }

    /// The lines of an attempt until it ends. A node that does not answer is tried again, from when it stopped on.
    async fn follow(&self, source: &LogSource, tail: Option<u32>) -> Result<(), Gone> {
        let (mut told, mut tail, mut since) = (false, tail, self.ask.since);
        loop {
            match self.pass(source, true, tail, since).await? {
                Passed::All => {
                    // The engine closes a reader also when it restarts: an attempt that lives on is taken up again.
                    let at = self.now().await;
                    if self.is_over(source.attempt.number).await {
                        return Ok(());
                    }
                    (tail, since) = (None, at);
                }
                Passed::Broken(why) => {
                    if !told {
                        self.note(format!("the output is interrupted: {why}")).await?;
                        (told, tail, since) = (true, None, self.now().await);
                    }
                    tokio::time::sleep(RETRY).await;
                    if self.current(source.attempt.number).await.is_none_or(|a| a.state.is_terminal()) {
                        return Ok(());
                    }
                }
                Passed::Refused(why) => return self.note(why).await,
            }
        }
    }

    /// Passes an attempt's lines on as they come.
    async fn pass(
        &self,
        source: &LogSource,
        follow: bool,
        tail: Option<u32>,
        since: Option<Time>,
    ) -> Result<Passed, Gone> {
        let mut body = match self.open(source, follow, tail, since).await {
            Ok(body) => body,
            Err(problem) if follow && problem.code == Code::NodeAway => {
                return Ok(Passed::Broken(problem.detail));
            }
            Err(problem) => {
                let why = format!(
                    "the output of attempt {} cannot be read: {}",
                    source.attempt.number, problem.detail
                );
                if !follow {
                    self.note(why.clone()).await?;
                }
                return Ok(Passed::Refused(why));
            }
        };
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.to.send(data).await.map_err(|_| Gone)?;
                    }
                }
                Err(error) => return Ok(Passed::Broken(error.to_string())),
            }
        }
        Ok(Passed::All)
    }

    async fn open(
        &self,
        source: &LogSource,
        follow: bool,
        tail: Option<u32>,
        since: Option<Time>,
    ) -> Result<Incoming, Problem> {
        let query = LogQuery { of: source.of.clone(), follow, tail, since };
        let asker = self.workers.asker(source.node)?;
        let body = h2::json_body(&query).map_err(h2::AskError::into_problem)?;
        let answer = asker
            .open(Method::POST, worker::LOGS, body, LINK_TIME)
            .await
            .map_err(h2::AskError::into_problem)?;
        Ok(answer.into_body())
    }

    /// Where the newest attempt has fewer lines than were asked for, the last ones of earlier attempts come before.
    async fn tail_of_earlier(
        &self,
        earlier: &[LogSource],
        newest: &LogSource,
        tail: u32,
    ) -> Result<(), Gone> {
        let mut missing = (tail as usize).saturating_sub(self.last_lines(newest, tail).await.len());
        let mut parts: Vec<(Vec<Bytes>, &LogSource)> = Vec::new();
        for source in earlier.iter().rev() {
            if missing == 0 {
                break;
            }
            let lines = self.last_lines(source, u32::try_from(missing).unwrap_or(u32::MAX)).await;
            missing = missing.saturating_sub(lines.len());
            parts.push((lines, source));
        }
        for (lines, source) in parts.into_iter().rev() {
            for line in lines {
                self.to.send(line).await.map_err(|_| Gone)?;
            }
            if let Some(text) = ending(&source.attempt) {
                self.note(text).await?;
            }
        }
        Ok(())
    }

    /// The last lines of an attempt, whole in memory; none where they cannot be read.
    async fn last_lines(&self, source: &LogSource, tail: u32) -> Vec<Bytes> {
        let Ok(mut body) = self.open(source, false, Some(tail), self.ask.since).await else {
            return Vec::new();
        };
        let (mut lines, mut held, mut rest) = (VecDeque::new(), 0, BytesMut::new());
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line = rest.split_to(end + 1).freeze();
                held += line.len();
                lines.push_back(line);
                while lines.len() > tail as usize || held > TAIL_BYTES_MAX {
                    held -= lines.pop_front().map_or(0, |l: Bytes| l.len());
                }
            }
        }
        lines.into()
    }

    /// The attempt after one that ended, once it has a container; `None` when there will be none.
    async fn next_after(&self, number: u32) -> Result<Option<LogSource>, Gone> {
        let mut told = false;
        loop {
            let Some((view, next, ended, parked)) = self.look(number).await else { return Ok(None) };
            if let Some(ended) = ended.as_ref().and_then(ending).filter(|_| !told) {
                told = true;
                self.note(ended).await?;
            }
            if next.is_some() {
                return Ok(next);
            }
            if view.state.is_terminal() {
                if !told {
                    self.note(format!("the task is {}", view.state)).await?;
                }
                return Ok(None);
            }
            tokio::select! {
                () = parked => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// The task, its attempt after `number` if that has a container, how `number` ended, and the wait for what comes.
    async fn look(
        &self,
        number: u32,
    ) -> Option<(TaskView, Option<LogSource>, Option<AttemptStatus>, Parked)> {
        let (task, waiters) = (self.task, std::sync::Arc::clone(self.manager.waiters()));
        let looked = self.manager.read(move |manager, now| {
            let view = manager.task_view(task, now)?;
            let parked = waiters.park(task.raw()).ok()?;
            let (_, sources) = manager.log_sources(&task.to_string()).ok()?;
            let next = sources.iter().find(|s| s.attempt.number > number && has_begun(s)).cloned();
            let ended = sources.into_iter().find(|s| s.attempt.number == number).map(|s| s.attempt);
            Some((view, next, ended, parked))
        });
        looked.await.ok().flatten()
    }

    /// Whether an attempt has ended, or is told to have within [`RETRY`]: its output ends before its end is reported.
    async fn is_over(&self, number: u32) -> bool {
        let latest = tokio::time::Instant::now() + RETRY;
        loop {
            let Some((_, next, attempt, parked)) = self.look(number).await else { return true };
            if next.is_some() || attempt.is_none_or(|a| a.state.is_terminal()) {
                return true;
            }
            if tokio::time::timeout_at(latest, parked).await.is_err() {
                return false;
            }
        }
    }

    async fn current(&self, number: u32) -> Option<AttemptStatus> {
        let task = self.task;
        let read = self.manager.read(move |manager, _| {
            let (_, sources) = manager.log_sources(&task.to_string()).ok()?;
            sources.into_iter().find(|s| s.attempt.number == number).map(|s| s.attempt)
        });
        read.await.ok().flatten()
    }

    async fn now(&self) -> Option<Time> {
        self.manager.read(|_, now| now.wall).await.ok()
    }

    async fn note(&self, text: String) -> Result<(), Gone> {
        let mut line = serde_json::to_vec(&LogLine::Note { text }).map_err(|_| Gone)?;
        line.push(b'\n');
        self.to.send(Bytes::from(line)).await.map_err(|_| Gone)
    }
}

enum Passed {
    /// To its end.
    All,
    /// The connection broke.
    Broken(String),
    /// The worker has no such output.
    Refused(String),
}

/// `attempt 2 failed (exited): exit code 1`; `None` while it has not ended.
fn ending(attempt: &AttemptStatus) -> Option<String> {
    if !attempt.state.is_terminal() {
        return None;
    }
    let reason = attempt.reason.map_or_else(String::new, |r| format!(" ({r})"));
    let code = match (attempt.state, attempt.exit_code) {
        (State::Completed, _) | (_, None) => String::new(),
        (_, Some(code)) => format!(": exit code {code}"),
    };
    Some(format!("attempt {} {}{reason}{code}", attempt.number, attempt.state))
}
