//! Following a task until it is where one wants it, or cannot get there.
//!
//! ```text
//!   view ──► judge ──┬─► reached: done
//!    ▲               ├─► cannot: the failure, with the task's last words
//!    │               └─► go on
//!    └── GET task?since=revision&wait=… ◄──┘    time is up: 124    Ctrl-C: 130; the task goes on
//! ```
//!
//! The daemon may be restarted meanwhile: it is asked again until it is back.

use std::time::Duration;

use orca_api::control::{Explanation, LogLine, TaskDetail, TaskView};
use orca_api::error::{Code, exit};
use orca_api::route::Route;
use orca_api::task::{Reason, State, Wanted};
use orca_api::units::{Span, Time};
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::Client;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::progress::Board;
use crate::output::words;

/// How long one question is parked; a change, and progress too, answers it earlier.
const PARKED: Span = Span::from_secs(30);
/// How long a daemon that went away is waited for.
const AWAY_MAX: Duration = Duration::from_mins(1);
/// How long to wait between two questions that were answered at once.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines of output shown with a failure.
const LAST_LINES: u32 = 10;

/// What a view means for whoever waits.
#[derive(Debug)]
pub enum Verdict {
    /// It is there.
    Reached,
    /// It will not get there by itself.
    Cannot,
    /// Not yet.
    GoOn,
}

/// Follows a task from a first view on.
///
/// # Errors
/// `None` where it cannot get there comes as the view itself in [`End::Cannot`]; the rest is of the connection, of
/// time (124), or of Ctrl-C (130).
pub async fn until(
    client: &Client,
    printer: &Printer,
    first: TaskView,
    limit: Option<Span>,
    judge: impl Fn(&TaskView) -> Verdict,
) -> Result<End, Failure> {
    let deadline = limit.map(|limit| Instant::now() + limit.std());
    let mut board = Board::new(*printer);
    let mut task = first;
    let mut told_stale = false;
    loop {
        board.show(&task);
        if task.stale_since.is_some() && !told_stale {
            // Otherwise one would sit before a line that does not move, and not know why.
            board.note(&format!(
                "{}: its node, or the node's engine, does not answer; this goes on by itself when it does (orcactl status says more)",
                task.name
            ));
            told_stale = true;
        }
        match judge(&task) {
            Verdict::Reached => {
                board.close();
                return Ok(End::Reached(task));
            }
            Verdict::Cannot => return Ok(End::Cannot(task)),
            Verdict::GoOn => {}
        }
        let next = tokio::select! {
            next = newer(client, &board, &task) => next,
            () = expired(deadline) => {
                drop(board);
                return Err(Failure::new(format!("time is up: {} is still {}", task.name, words::state(&task)))
                    .exit(exit::TIMEOUT)
                    .because(words::plain(&task.message))
                    .hint(format!("it goes on: orcactl task inspect {}", task.name)));
            }
            _ = tokio::signal::ctrl_c() => {
                drop(board);
                printer.note(format!("interrupted; {} goes on: orcactl task inspect {}", task.name, task.name));
                return Err(Failure::silent(exit::INTERRUPTED));
            }
        };
        task = next?;
    }
}

/// How following ended.
#[derive(Debug)]
pub enum End {
    /// The task is where it should be.
    Reached(TaskView),
    /// It cannot get there by itself.
    Cannot(TaskView),
}

async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The task when it has changed, or after a while.
async fn newer(client: &Client, board: &Board, task: &TaskView) -> Result<TaskView, Failure> {
    let id = task.id.to_string();
    let began = Instant::now();
    let mut told = false;
    loop {
        let asked = Instant::now();
        let call = client.call(Route::TaskInspect).part(&id).parked(task.revision, PARKED);
        match call.answer::<TaskDetail>().await {
            Ok(answer) => {
                if answer.body.task == *task && asked.elapsed() < PAUSE {
                    sleep(PAUSE).await;
                }
                return Ok(answer.body.task);
            }
            Err(failure) if failure.is_unreachable() && began.elapsed() < AWAY_MAX => {
                if !told {
                    board.note("orcad went away; waiting for it to come back");
                    told = true;
                }
                sleep(PAUSE * 5).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether a task that was started or restarted runs. Of a task that had attempts before, only what a later
/// attempt does counts.
pub fn runs(task: &TaskView, attempts_before: Option<u32>) -> Verdict {
    let fresh = attempts_before.is_none_or(|before| task.attempts > before);
    match (task.state, task.reason) {
        (State::Running | State::Completed, _) if fresh => Verdict::Reached,
        (State::Stopped, _) if fresh || task.wanted == Wanted::Stopped => Verdict::Cannot,
        (State::Failed | State::Rejected | State::Lost, _) if fresh => Verdict::Cannot,
        (State::Waiting, None | Some(Reason::New | Reason::WaitingOn)) => Verdict::GoOn,
        (
            State::Waiting,
            Some(Reason::NoFit | Reason::NoImageOnNode | Reason::Paused | Reason::EngineAway),
        ) => Verdict::Cannot,
        (State::Waiting, Some(_)) if fresh => Verdict::Cannot,
        _ => Verdict::GoOn,
    }
}

/// Whether nothing of a task runs any more, and nothing will by itself.
pub fn is_stopped(task: &TaskView) -> bool {
    let ended = task.state.is_terminal() || (task.state == State::Waiting && task.wanted == Wanted::Stopped);
    ended && (task.wanted == Wanted::Stopped || task.next_attempt_at.is_none())
}

/// Why a task does not run, with its last words.
pub async fn cannot_run(client: &Client, task: &TaskView, explanation: Option<Explanation>) -> Failure {
    let name = &task.name;
    let mut failure =
        Failure::new(format!("{name} does not run: {}", words::state(task))).because(task.message.clone());
    if task.reason == Some(Reason::NoFit) {
        failure.code = Some(Code::NoFit);
        failure = why_not(client, task, failure, explanation).await;
    } else if task.attempts > 0 {
        failure.snippet = last_lines(client, name.as_str()).await;
    }
    if let Some(warning) = &task.warning {
        failure = failure.because(warning.clone());
    }
    failure = failure.hint(task.hint.clone());
    match task.next_attempt_at {
        Some(next) => {
            let left = next.since(Time::from_ms(jiff::Timestamp::now().as_millisecond()));
            failure.hint(format!(
                "orca tries again in {}; orcactl task restart {name} starts it now",
                words::short(left)
            ))
        }
        None if failure.hint.is_empty() => failure.hint(format!("orcactl task inspect {name}")),
        None => failure,
    }
}

/// What the nodes lack, from the explanation.
async fn why_not(
    client: &Client,
    task: &TaskView,
    mut failure: Failure,
    explanation: Option<Explanation>,
) -> Failure {
    let explanation = match explanation {
        Some(explanation) => explanation,
        None => {
            match client.call(Route::TaskExplain).part(task.name.as_str()).answer::<Explanation>().await {
                Ok(answer) => answer.body,
                Err(_) => return failure,
            }
        }
    };
    if task.message.is_empty() {
        failure = failure.because(explanation.verdict);
    }
    for node in explanation.nodes.iter().take(5) {
        for filter in node.filters.iter().filter(|filter| !filter.passes) {
            failure = failure.because(format!("{}: {}: {}", node.node, filter.filter, filter.text));
        }
    }
    for suggestion in explanation.suggestions {
        failure = failure.hint(suggestion);
    }
    failure
}

/// The last lines of a task's output, as a block; `None` where there are none, or they may not be seen.
async fn last_lines(client: &Client, name: &str) -> Option<Box<str>> {
    let lines = last_output(client, name, LAST_LINES).await;
    if lines.is_empty() {
        return None;
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("  | {}", words::plain(line))).collect();
    Some(format!("the last lines of {name}:\n{}", lines.join("\n")).into_boxed_str())
}

/// The last lines of a task's output; none where they may not be seen.
pub async fn last_output(client: &Client, name: &str, most: u32) -> Vec<String> {
    let mut found = Vec::new();
    let read = async {
        let mut lines = client.call(Route::TaskLogs).part(name).query("tail", most).stream().await?;
        while let Some(line) = lines.next().await? {
            if let Ok(LogLine::Line { text, .. }) = serde_json::from_str(&line) {
                found.push(text);
            }
        }
        Ok::<(), Failure>(())
    };
    // They are an extra: whatever goes wrong with them, the rest is said.
    let _ = tokio::time::timeout(Duration::from_secs(3), read).await;
    let skip = found.len().saturating_sub(most as usize);
    found.split_off(skip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: State, reason: Option<Reason>, attempts: u32) -> TaskView {
        let text = serde_json::json!({
            "id": "00000000000000AA", "name": "web", "revision": 1, "wanted": "running", "phase": state.phase(), "state": state,
            "reason": reason, "message": "", "hint": "", "node": null, "node_id": null, "image": "nginx", "restarts": 0,
            "attempts": attempts, "exit_code": null, "signal": null, "ports": [], "created_at": "2026-11-24T12:00:00Z",
            "since": "2026-11-24T12:00:00Z", "started_at": null, "finished_at": null, "next_attempt_at": null, "progress": null,
            "stale_since": null, "warning": null, "version": 1,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn what_a_view_means_for_a_start() {
        use State::{Assigned, Completed, Failed, Running, Stopping, Waiting};
        let table = [
            (Waiting, Some(Reason::New), 0, None, "GoOn"),
            (Assigned, None, 0, None, "GoOn"),
            (Running, None, 1, None, "Reached"),
            (Completed, Some(Reason::Exited), 1, None, "Reached"),
            (Failed, Some(Reason::Exited), 1, None, "Cannot"),
            (Waiting, Some(Reason::Backoff), 1, None, "Cannot"),
            (Waiting, Some(Reason::NoFit), 0, None, "Cannot"),
            // After a restart, what the attempts before did no longer counts.
            (Running, None, 3, Some(3), "GoOn"),
            (Stopping, None, 3, Some(3), "GoOn"),
            (Failed, Some(Reason::Exited), 3, Some(3), "GoOn"),
            (Running, None, 4, Some(3), "Reached"),
            (Waiting, Some(Reason::Backoff), 4, Some(3), "Cannot"),
        ];
        for (state, reason, attempts, before, wanted) in table {
            let verdict = runs(&view(state, reason, attempts), before);
            assert_eq!(format!("{verdict:?}"), wanted, "{state} {reason:?} {attempts} {before:?}");
        }
    }
}
