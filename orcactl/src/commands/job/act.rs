//! `orcactl job stop`, `start`, `restart`, `scale` and `rollback`.

use orca_api::error::exit;
use orca_api::job::view::{JobAnswer, JobDetail, JobState, JobView, RollbackJob, ScaleJob};
use orca_api::route::Route;
use orca_api::units::Span;

use super::follow::{self, Verdict};
use super::{show, show_one};
use crate::cli::job::{ActArgs, RollbackArgs, ScaleArgs};
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// Asks all jobs to stop, then waits for each.
pub async fn stop(client: &Client, printer: Printer, args: &ActArgs) -> Outcome {
    let asked = ask_each(client, &printer, Route::JobStop, &args.names).await;
    let mut each = Each { done: Vec::new(), code: asked.code };
    for JobAnswer { job, changed } in asked.done {
        if !changed {
            printer.note(format!("{} was stopped already", job.name));
        }
        let outcome = if args.detach { Ok(job) } else { stopped(client, &printer, &job, args.timeout).await };
        each.take(&printer, outcome);
    }
    show(&printer, &each.done)?;
    Ok(each.code)
}

/// Starts jobs that were stopped, and waits until they run.
pub async fn start(client: &Client, printer: Printer, args: &ActArgs) -> Outcome {
    let asked = ask_each(client, &printer, Route::JobStart, &args.names).await;
    running(client, printer, args, asked, "was not stopped").await
}

/// Restarts the tasks of jobs, and waits until the new ones run.
pub async fn restart(client: &Client, printer: Printer, args: &ActArgs) -> Outcome {
    let asked = ask_each(client, &printer, Route::JobRestart, &args.names).await;
    running(client, printer, args, asked, "has nothing to restart").await
}

/// Changes how many tasks a group has, and waits until that many run.
pub async fn scale(client: &Client, printer: Printer, args: &ScaleArgs) -> Outcome {
    let request = ScaleJob { group: args.group.clone().unwrap_or_default(), count: args.count };
    let call = client.call(Route::JobScale).part(&args.name).body(&request)?;
    let JobAnswer { job, changed } = call.answer::<JobAnswer>().await?.body;
    if !changed {
        printer.note(format!("{} has that many already", job.name));
    }
    let job = if args.detach { job } else { follow::rolled(client, &printer, &job, args.timeout).await? };
    show_one(&printer, &job)?;
    Ok(exit::OK)
}

/// Goes back to an earlier version, and waits until it runs.
pub async fn rollback(client: &Client, printer: Printer, args: &RollbackArgs) -> Outcome {
    let call = client.call(Route::JobRollback).part(&args.name).body(&RollbackJob { to: args.to })?;
    let JobAnswer { job, changed } = call.answer::<JobAnswer>().await?.body;
    if !changed {
        printer.note(format!("{} is just like that already", job.name));
    }
    let job = if args.detach { job } else { follow::rolled(client, &printer, &job, args.timeout).await? };
    show_one(&printer, &job)?;
    Ok(exit::OK)
}

async fn ask_each(client: &Client, printer: &Printer, route: Route, names: &[String]) -> Each<JobAnswer> {
    let mut each = Each::default();
    for name in names {
        let answer = client.call(route).part(name).answer::<JobAnswer>().await;
        each.take(printer, answer.map(|answer| answer.body));
    }
    each
}

async fn running(
    client: &Client,
    printer: Printer,
    args: &ActArgs,
    asked: Each<JobAnswer>,
    unchanged: &str,
) -> Outcome {
    let mut each = Each { done: Vec::new(), code: asked.code };
    for JobAnswer { job, changed } in asked.done {
        if !changed {
            printer.note(format!("{} {unchanged}", job.name));
        }
        let outcome =
            if args.detach { Ok(job) } else { follow::rolled(client, &printer, &job, args.timeout).await };
        each.take(&printer, outcome);
    }
    show(&printer, &each.done)?;
    Ok(each.code)
}

/// Waits until nothing of a job runs any more.
pub(super) async fn stopped(
    client: &Client,
    printer: &Printer,
    job: &JobView,
    limit: Option<Span>,
) -> Result<JobView, Failure> {
    let judge = |detail: &JobDetail| if is_stopped(detail) { Verdict::Reached } else { Verdict::GoOn };
    Ok(follow::until(client, printer, job, limit, judge).await?.detail.job)
}

fn is_stopped(detail: &JobDetail) -> bool {
    let ended = matches!(detail.job.state, JobState::Stopped | JobState::Completed | JobState::Failed);
    ended && !detail.tasks.iter().any(|task| task.state.may_run())
}
