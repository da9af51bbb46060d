//! `orcactl job logs`: the output of a job's tasks, merged by time.

use orca_api::error::exit;

use super::{ask, tasks_of};
use crate::cli::job::LogsArgs;
use crate::cli::task;
use crate::client::Client;
use crate::commands::Outcome;
use crate::commands::task::logs;
use crate::output::printer::Printer;

/// Prints the output of a job's tasks.
pub async fn run(client: &Client, args: &LogsArgs) -> Outcome {
    let detail = ask(client, &args.name).await?.body;
    let tasks = tasks_of(&detail, args.group.as_deref())?;
    // A task that never ran has said nothing; one that is followed may yet.
    let names: Vec<String> = tasks
        .iter()
        .filter(|task| args.follow || task.attempts > 0)
        .map(|task| task.name.to_string())
        .collect();
    if names.is_empty() {
        Printer::plain().quiet(args.quiet).note(format!("no task of {} has run yet", detail.job.name));
        return Ok(exit::OK);
    }
    let args = task::LogsArgs {
        follow: args.follow,
        tail: args.tail,
        since: args.since.clone(),
        attempt: None,
        timestamps: args.timestamps,
        format: args.format,
        quiet: args.quiet,
        names,
    };
    logs::run(client, &args).await
}
