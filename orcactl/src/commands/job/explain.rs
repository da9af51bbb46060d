//! `orcactl job explain`: why a job's tasks run where they run, or why not.

use orca_api::control::{Explanation, TaskView};
use orca_api::error::exit;
use orca_api::name::Name;
use orca_api::route::Route;
use orca_api::task::State;
use serde::Serialize;

use super::{ask, list, tasks_of};
use crate::cli::Format;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::explanation;
use crate::output::printer::{BOLD, Printer};
use crate::output::words;

/// A task with its explanation, as JSON.
#[derive(Serialize)]
struct Explained<'a> {
    task: &'a Name,
    explanation: Explanation,
}

/// Explains of each group the first task that does not run; of one whose tasks all run, the first.
pub async fn run(client: &Client, printer: Printer, name: &str) -> Outcome {
    let detail = ask(client, name).await?.body;
    let job = &detail.job;
    let runs = |task: &TaskView| matches!(task.state, State::Running | State::Completed);
    let mut chosen: Vec<(&TaskView, usize, usize)> = Vec::new();
    for group in detail.spec.groups.keys() {
        let tasks = tasks_of(&detail, Some(group))?;
        let not: Vec<&&TaskView> = tasks.iter().filter(|task| !runs(task)).collect();
        if let Some(task) = not.first().copied().or_else(|| tasks.first()) {
            chosen.push((task, not.len(), tasks.len()));
        }
    }
    if printer.format() == Format::Name || printer.is_quiet() {
        for task in detail.tasks.iter().filter(|task| !runs(task)) {
            if printer.is_quiet() { printer.line(task.id)? } else { printer.line(&task.name)? }
        }
        return Ok(exit::OK);
    }
    let mut explained = Vec::new();
    for (task, not, all) in chosen {
        let answer = client.call(Route::TaskExplain).part(task.name.as_str()).answer::<Explanation>().await?;
        explained.push((Explained { task: &task.name, explanation: answer.body }, not, all));
    }
    if printer.format() == Format::Json {
        let explained: Vec<_> = explained.into_iter().map(|(explained, ..)| explained).collect();
        printer.json(&explained)?;
        return Ok(exit::OK);
    }
    let style = list::state_style(job.state);
    printer.line(format!("{BOLD}{}{BOLD:#} is {style}{}{style:#}", job.name, list::state(job)))?;
    if !job.message.is_empty() {
        printer.line(format!("  {}", words::plain(&job.message)))?;
    }
    if let Some(rollout) = &job.rollout {
        printer.line(format!("  {}", super::rollout::words(rollout)))?;
        if !rollout.message.is_empty() {
            printer.line(format!("  {}", words::plain(&rollout.message)))?;
        }
    }
    for (Explained { task, explanation }, not, all) in explained {
        let of = match not {
            0 => format!("one of {all}, which all run"),
            1 => format!("the one of {all} that does not run"),
            more => format!("the first of {more} of {all} that do not run"),
        };
        let of = if all == 1 { String::new() } else { format!(": {of}") };
        printer.line(format!("\n{BOLD}{task}{BOLD:#}{of}"))?;
        explanation::show(&printer, &explanation, printer.format() == Format::Wide)?;
    }
    Ok(exit::OK)
}
