//! `orcactl job list`.

use anstyle::Style;
use orca_api::control::List;
use orca_api::error::exit;
use orca_api::job::view::{JobState, JobView};
use orca_api::route::Route;
use orca_api::units::Time;

use crate::client::Client;
use crate::commands::Outcome;
use crate::output::printer::{BAD, DIM, GOOD, Printer, WARN};
use crate::output::table::{Cell, Table};
use crate::output::words;

/// Prints the jobs, all pages of them.
pub async fn run(client: &Client, printer: Printer) -> Outcome {
    let mut jobs: Vec<JobView> = Vec::new();
    let mut next: Option<String> = None;
    let now = loop {
        let call = client.call(Route::JobList).query_some("continue", next.as_ref());
        let answer = call.answer::<List<JobView>>().await?;
        jobs.extend(answer.body.items);
        next = answer.body.next;
        if next.is_none() {
            break answer.now;
        }
    };
    printer.objects(
        &jobs,
        |job| job.id.to_string(),
        |job| job.name.to_string(),
        |wide| table(&jobs, now, wide),
    )?;
    if jobs.is_empty() {
        printer.note("no jobs yet: orcactl job init writes an example of a file");
    }
    Ok(exit::OK)
}

/// One row for each job.
pub(super) fn table(jobs: &[JobView], now: Time, wide: bool) -> Table {
    let mut heads = vec!["NAME", "TYPE", "STATE", ">TASKS", ">VERSION", "AGE", "NOTE"];
    if wide {
        heads.extend(["ID", ">REVISION"]);
    }
    let mut table = Table::new(&heads);
    for job in jobs {
        let mut row = vec![
            Cell::from(&job.name),
            Cell::from(job.kind),
            Cell::styled(state(job), state_style(job.state)),
            Cell::from(tasks(job)),
            Cell::from(job.version),
            Cell::from(words::age(job.created_at, now)),
            Cell::from(note(job, now)),
        ];
        if wide {
            row.extend([Cell::from(job.id), Cell::from(job.revision)]);
        }
        table.row(row);
    }
    table
}

/// A job's state in words: `running`, `pending (waiting_on)`.
pub(super) fn state(job: &JobView) -> String {
    match job.reason {
        Some(reason) => format!("{} ({reason})", job.state),
        None => job.state.to_string(),
    }
}

/// How a job's state is coloured.
pub(super) fn state_style(state: JobState) -> Style {
    match state {
        JobState::Running => GOOD,
        JobState::Pending | JobState::Rolling => WARN,
        JobState::Degraded | JobState::Failed => BAD,
        JobState::Completed | JobState::Stopped => DIM,
    }
}

/// How many of those that are wanted are as wanted: `2/3`.
pub(super) fn tasks(job: &JobView) -> String {
    let (mut well, mut wanted) = (0u64, 0u64);
    for group in &job.groups {
        well += u64::from(group.running) + u64::from(group.completed);
        wanted += u64::from(group.wanted);
    }
    // A job that is launched again and again wants none in between.
    if wanted == 0 { String::new() } else { format!("{well}/{wanted}") }
}

/// The same in a sentence: `running, 2/3 tasks as wanted`; without figures where none is wanted.
pub(super) fn summary(job: &JobView) -> String {
    let (style, tasks) = (state_style(job.state), tasks(job));
    let state = format!("{style}{}{style:#}", state(job));
    if tasks.is_empty() || job.state == JobState::Stopped {
        return state;
    }
    format!("{state}, {tasks} tasks as wanted")
}

/// What a person should know of it besides: how far a change has come, when the next launch is.
fn note(job: &JobView, now: Time) -> String {
    if let Some(rollout) = &job.rollout {
        let words = super::rollout::words(rollout);
        return if rollout.message.is_empty() { words } else { format!("{words}: {}", rollout.message) };
    }
    if !job.message.is_empty() {
        return job.message.clone();
    }
    match job.schedule.as_ref().and_then(|schedule| schedule.next) {
        Some(next) => format!("next {}", words::moment(next, now)),
        None => String::new(),
    }
}
