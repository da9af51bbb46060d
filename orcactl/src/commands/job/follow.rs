//! Following a job until it is where one wants it, or cannot get there.
//!
//! ```text
//!   detail ──► troubles (last words of what fails, while they are there) ──► judge ──┬─► reached, or stands
//!     ▲                                                                             ├─► cannot: the failure
//!     │                                                                             └─► go on
//!     └───────────── GET job?since=revision&wait=… ◄── time is up: 124, Ctrl-C: 130; the job goes on
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use orca_api::control::TaskView;
use orca_api::error::{Code, exit};
use orca_api::job::view::{JobDetail, JobState, JobView};
use orca_api::route::Route;
use orca_api::task::{Phase, Reason, State, Wanted};
use orca_api::units::Span;
use tokio::time::{Instant, sleep, sleep_until};

use super::{ask, board::Board, list};
use crate::client::Client;
use crate::commands::task::follow as task;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::words;

/// How long one question is parked; a change answers it earlier.
const PARKED: Span = Span::from_secs(30);
/// How long a daemon that went away is waited for.
const AWAY_MAX: Duration = Duration::from_mins(1);
/// How long to wait between two questions that were answered at once.
const PAUSE: Duration = Duration::from_millis(100);
/// Tasks whose last words are kept.
const TROUBLES_MAX: usize = 3;
/// Lines of each.
const LINES: u32 = 10;

/// What a view means for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there.
    Reached,
    /// It waits for a person.
    Stands,
    /// It will not get there by itself.
    Cannot,
    /// Not yet.
    GoOn,
}

/// A task that failed while one waited, and what it said last.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// The task, as it was.
    pub task: TaskView,
    /// Its last lines.
    pub lines: Vec<String>,
}

/// Where following ended.
#[derive(Debug)]
pub struct Followed {
    /// The job.
    pub detail: JobDetail,
    /// How.
    pub verdict: Verdict,
    /// What failed meanwhile, by name.
    pub troubles: BTreeMap<String, Trouble>,
}

/// Follows a job until `judge` says that it is where it should be, or cannot get there.
///
/// # Errors
/// Of the connection, of time (124), or of Ctrl-C (130).
pub async fn until(
    client: &Client,
    printer: &Printer,
    job: &JobView,
    limit: Option<Span>,
    judge: impl Fn(&JobDetail) -> Verdict,
) -> Result<Followed, Failure> {
    let deadline = limit.map(|limit| Instant::now() + limit.std());
    let id = job.id.to_string();
    let mut board = Board::new(*printer);
    let mut troubles: BTreeMap<String, Trouble> = BTreeMap::new();
    let mut detail = ask(client, &id).await?.body;
    loop {
        for failing in failing(&detail) {
            let known =
                troubles.get(failing.name.as_str()).is_some_and(|t| t.task.attempts == failing.attempts);
            let room = troubles.len() < TROUBLES_MAX || troubles.contains_key(failing.name.as_str());
            if !known && room {
                let lines = if failing.attempts > 0 {
                    task::last_output(client, failing.name.as_str(), LINES).await
                } else {
                    Vec::new()
                };
                troubles.insert(failing.name.to_string(), Trouble { task: failing.clone(), lines });
            }
        }
        board.show(&detail, &troubles);
        let verdict = judge(&detail);
        if verdict != Verdict::GoOn {
            board.close(&detail);
            return Ok(Followed { detail, verdict, troubles });
        }
        let next = tokio::select! {
            next = newer(client, &board, &detail) => next,
            () = expired(deadline) => {
                drop(board);
                let job = &detail.job;
                let summary = anstream::adapter::strip_str(&list::summary(job)).to_string();
                return Err(Failure::new(format!("time is up: {} is still {summary}", job.name))
                    .exit(exit::TIMEOUT)
                    .because(words::plain(&job.message))
                    .hint(format!("it goes on: orcactl job inspect {}", job.name)));
            }
            _ = tokio::signal::ctrl_c() => {
                drop(board);
                let name = &detail.job.name;
                printer.note(format!("interrupted; {name} goes on: orcactl job inspect {name}"));
                return Err(Failure::silent(exit::INTERRUPTED));
            }
        };
        detail = next?;
    }
}

async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The job when it, or a task of it, has changed, or after a while.
async fn newer(client: &Client, board: &Board, detail: &JobDetail) -> Result<JobDetail, Failure> {
    let id = detail.job.id.to_string();
    let began = Instant::now();
    let mut told = false;
    loop {
        let asked = Instant::now();
        let call = client.call(Route::JobInspect).part(&id).parked(detail.job.revision, PARKED);
        match call.answer::<JobDetail>().await {
            Ok(answer) => {
                if answer.body == *detail && asked.elapsed() < PAUSE {
                    sleep(PAUSE).await;
                }
                return Ok(answer.body);
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

/// Waits until a change of a job is done.
///
/// # Errors
/// Those of [`until`], and why the change did not come to its end.
pub async fn rolled(
    client: &Client,
    printer: &Printer,
    job: &JobView,
    limit: Option<Span>,
) -> Result<JobView, Failure> {
    let version = job.version;
    let followed = until(client, printer, job, limit, |detail| judge(detail, version)).await?;
    let name = &followed.detail.job.name;
    match followed.verdict {
        Verdict::Cannot => Err(cannot(client, &followed, version).await),
        Verdict::Stands => {
            printer.note(format!("the canaries of {name} stand: look at them, then"));
            printer.note(format!("  orcactl job rollout resume {name}   promotes them"));
            printer.note(format!("  orcactl job rollout abort {name}    goes back"));
            Ok(followed.detail.job)
        }
        Verdict::Reached | Verdict::GoOn => Ok(followed.detail.job),
    }
}

/// What a view means for whoever waits for a version to run.
pub fn judge(detail: &JobDetail, version: u32) -> Verdict {
    let job = &detail.job;
    if !job.kind.lasts() {
        return judge_batch(detail, version);
    }
    let rollout = job.rollout.as_ref();
    match rollout.map(|rollout| rollout.state.as_str()) {
        Some("rolling") if rollout.is_some_and(|r| r.from == 0) && stuck(detail).is_some() => Verdict::Cannot,
        Some("rolling" | "rolling_back") => Verdict::GoOn,
        Some("canary") => Verdict::Stands,
        Some("paused") => Verdict::Cannot,
        // It was taken back, or somebody else has changed it.
        _ if job.version != version => Verdict::Cannot,
        failed => match job.state {
            JobState::Failed | JobState::Stopped => Verdict::Cannot,
            JobState::Running | JobState::Completed if is_settled(detail) => Verdict::Reached,
            _ if stuck(detail).is_some() => Verdict::Cannot,
            _ if failed == Some("failed") && !detail.tasks.iter().any(is_moving) => Verdict::Cannot,
            _ => Verdict::GoOn,
        },
    }
}

/// The same of what runs to its end: that it has begun to run is enough.
fn judge_batch(detail: &JobDetail, version: u32) -> Verdict {
    let job = &detail.job;
    match job.state {
        _ if job.version != version => Verdict::Cannot,
        JobState::Running | JobState::Completed => Verdict::Reached,
        JobState::Failed | JobState::Stopped => Verdict::Cannot,
        // It runs when its time comes.
        _ if job.schedule.is_some() => Verdict::Reached,
        _ if stuck(detail).is_some() => Verdict::Cannot,
        _ => Verdict::GoOn,
    }
}

/// Whether everything that is wanted runs, and nothing else does.
fn is_settled(detail: &JobDetail) -> bool {
    // One that is to end runs until it is told so.
    let as_wanted = |task: &TaskView| task.state == State::Running && task.wanted != Wanted::Stopped;
    let on_its_way = |task: &TaskView| !as_wanted(task) && !task.state.is_terminal();
    detail.job.groups.iter().all(|group| group.running.saturating_add(group.completed) >= group.wanted)
        && !detail.tasks.iter().any(on_its_way)
}

/// Whether a task gets on by itself.
fn is_moving(task: &TaskView) -> bool {
    match task.state {
        State::Waiting => matches!(task.reason, None | Some(Reason::New | Reason::WaitingOn)),
        State::Running => false,
        state => !state.is_terminal(),
    }
}

/// Tasks that failed, or are between two attempts.
fn failing(detail: &JobDetail) -> impl Iterator<Item = &TaskView> {
    let between = |task: &TaskView| task.state == State::Waiting && task.reason == Some(Reason::Backoff);
    let failed = move |task: &&TaskView| task.phase == Phase::Failed || between(task);
    detail.tasks.iter().filter(failed)
}

/// The first task that waits for what does not come by itself, where no other is on its way any more.
fn stuck(detail: &JobDetail) -> Option<&TaskView> {
    let is_stuck = |task: &TaskView| {
        let reasons = [Reason::NoFit, Reason::NoImageOnNode, Reason::Paused, Reason::EngineAway];
        task.state == State::Waiting && task.reason.is_some_and(|reason| reasons.contains(&reason))
    };
    let at_rest =
        |task: &TaskView| is_stuck(task) || task.state == State::Running || task.state.is_terminal();
    let first = detail.tasks.iter().find(|task| is_stuck(task));
    first.filter(|_| detail.tasks.iter().all(at_rest))
}

/// Why a version does not run, with the last words of what failed.
pub async fn cannot(client: &Client, followed: &Followed, version: u32) -> Failure {
    let Followed { detail, troubles, .. } = followed;
    let job = &detail.job;
    let name = &job.name;
    if let Some(waits) = stuck(detail) {
        let failure = task::cannot_run(client, waits, None).await;
        let failing = detail.tasks.iter().filter(|task| task.reason == waits.reason).count() as u64;
        let fit = if failing == 1 { "fits" } else { "fit" };
        let message = format!("{} of {name} {fit} on no node", words::count(failing, "task"));
        let is_no_fit = failure.code == Some(Code::NoFit);
        let message = if is_no_fit { message } else { format!("{name} does not run: {}", list::state(job)) };
        return Failure { message, ..failure }
            .hint(format!("orcactl job explain {name}; it goes on waiting"));
    }
    let rollout = job.rollout.as_ref();
    let paused = rollout.is_some_and(|rollout| rollout.state == "paused");
    let back = job.version != version && rollout.is_some_and(|rollout| rollout.state == "failed");
    let message = if paused {
        format!("the change of {name} to version {version} stands still")
    } else if back {
        format!("version {version} of {name} failed, and was taken back")
    } else if job.version != version {
        format!("{name} was changed meanwhile: it has version {}, not {version}", job.version)
    } else {
        format!("version {version} of {name} does not run: {}", list::state(job))
    };
    let mut failure = Failure::new(message);
    failure = failure.because(rollout.map_or_else(|| job.message.clone(), |rollout| rollout.message.clone()));
    for Trouble { task, .. } in troubles.values() {
        failure = failure.because(super::board::line(task));
    }
    let mut blocks = Vec::new();
    for Trouble { task, lines } in troubles.values().filter(|trouble| !trouble.lines.is_empty()) {
        let lines: Vec<String> = lines.iter().map(|line| format!("  | {}", words::plain(line))).collect();
        blocks.push(format!("the last lines of {}:\n{}", task.name, lines.join("\n")));
    }
    if !blocks.is_empty() {
        failure.snippet = Some(blocks.join("\n").into_boxed_str());
    }
    if paused {
        return failure
            .hint(format!("orcactl job rollout resume {name} goes on"))
            .hint(format!("orcactl job rollout abort {name} goes back"));
    }
    if let Some(trouble) = troubles.values().find(|trouble| !trouble.task.hint.is_empty()) {
        failure = failure.hint(trouble.task.hint.clone());
    }
    failure.hint(format!("orcactl job inspect {name}, orcactl job history {name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A job of two tasks in these states, `waiting no_fit` with a reason, and perhaps a rollout from a version.
    fn detail(kind: &str, state: &str, rollout: Option<(&str, u32)>, tasks: &[&str]) -> JobDetail {
        let noon = "2026-11-24T12:00:00Z";
        let running = tasks.iter().filter(|state| **state == "running").count();
        let tasks: Vec<Value> = tasks
            .iter()
            .enumerate()
            .map(|(i, words)| {
                let (state, reason) = words.split_once(' ').map_or((*words, None), |(s, r)| (s, Some(r)));
                let wanted = if reason == Some("stopped_by_job") { "stopped" } else { "running" };
                json!({
                    "id": "00000000000000AA", "name": format!("web.{}", i + 1), "revision": 1, "wanted": wanted,
                    "phase": "pending", "state": state, "reason": reason, "message": "", "hint": "", "node": null,
                    "node_id": null, "image": "nginx", "restarts": 0, "attempts": 1, "exit_code": null, "signal": null,
                    "ports": [], "created_at": noon, "since": noon, "started_at": null, "finished_at": null,
                    "next_attempt_at": null, "progress": null, "stale_since": null, "warning": null, "version": 4,
                })
            })
            .collect();
        let rollout = rollout.map(|(state, from)| {
            json!({"state": state, "to": 4, "from": from, "done": 0, "total": 2, "since": noon, "message": ""})
        });
        serde_json::from_value(json!({
            "id": "00000000000000AB", "name": "web", "revision": 1, "type": kind, "wanted": "running", "state": state,
            "reason": null, "message": "", "version": 4, "created_at": noon, "rollout": rollout,
            "groups": [{"name": "", "wanted": 2, "running": running, "pending": 0, "completed": 0, "failed": 0}],
            "spec": {"type": kind, "priority": 50, "groups": {}}, "spec_digest": "", "tasks": tasks,
        }))
        .unwrap()
    }

    #[test]
    fn what_a_view_means_for_a_run() {
        use Verdict::{Cannot, GoOn, Reached, Stands};
        let well = ["running", "running"];
        for (kind, state, rollout, tasks, version, wanted) in [
            ("service", "running", None, &well[..], 4, Reached),
            // An old attempt that has not ended, and a task that is missing, are waited for.
            ("service", "running", None, &["running", "running", "stopping"], 4, GoOn),
            ("service", "running", None, &["running", "running", "running stopped_by_job"], 4, GoOn),
            ("service", "running", None, &["running"], 4, GoOn),
            ("service", "running", None, &well[..], 3, Cannot),
            ("service", "rolling", Some(("rolling", 3)), &well[..], 4, GoOn),
            ("service", "rolling", Some(("rolling_back", 3)), &well[..], 3, GoOn),
            ("service", "rolling", Some(("canary", 3)), &well[..], 4, Stands),
            ("service", "rolling", Some(("paused", 3)), &well[..], 4, Cannot),
            // Taken back: whoever asked for 3 has not got it, whoever asks for what there is has.
            ("service", "running", Some(("failed", 3)), &well[..], 3, Cannot),
            ("service", "running", Some(("failed", 3)), &well[..], 4, Reached),
            ("service", "degraded", Some(("failed", 3)), &["starting", "running"], 4, GoOn),
            ("service", "degraded", Some(("failed", 3)), &["waiting backoff", "running"], 4, Cannot),
            // What has no node waits for a person; of a change, the rollout says what becomes of it.
            ("service", "pending", Some(("rolling", 0)), &["waiting no_fit", "running"], 4, Cannot),
            ("service", "pending", Some(("rolling", 0)), &["waiting no_fit", "starting"], 4, GoOn),
            ("service", "rolling", Some(("rolling", 3)), &["waiting no_fit", "running"], 4, GoOn),
            ("service", "stopped", None, &[], 4, Cannot),
            ("batch", "running", Some(("rolling", 0)), &["running", "waiting new"], 4, Reached),
            ("batch", "completed", None, &[], 4, Reached),
            ("batch", "failed", None, &[], 4, Cannot),
            ("batch", "pending", Some(("rolling", 0)), &["starting"], 4, GoOn),
        ] {
            let seen = detail(kind, state, rollout, tasks);
            assert_eq!(judge(&seen, version), wanted, "{kind} {state} {rollout:?} {tasks:?} {version}");
        }
    }
}
