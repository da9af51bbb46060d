//! `orcactl job remove`.
//!
//! The name is free when the last of its tasks is gone: that is waited for.

use orca_api::error::Code;
use orca_api::job::view::{JobAnswer, JobView};
use orca_api::route::Route;

use super::follow::{self, Verdict};
use super::show;
use crate::cli::job::RemoveArgs;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// Removes jobs. One that runs is removed with `--force`, or where a person at a terminal says yes.
pub async fn run(client: &Client, printer: Printer, args: &RemoveArgs) -> Outcome {
    let mut each = Each::default();
    for name in &args.names {
        let outcome = match remove(client, name, args.force).await {
            Err(failure) if failure.code == Some(Code::StillRunning) => {
                let question = format!("{name} is not stopped. Stop and remove it with its tasks?");
                let yes = args.yes || printer.ask(&question) == Some(true);
                if yes { remove(client, name, true).await } else { Err(with_hint(failure, name)) }
            }
            other => other,
        };
        let outcome = match outcome {
            Ok(job) if !args.detach => gone(client, &printer, job).await,
            other => other,
        };
        each.take(&printer, outcome);
    }
    show(&printer, &each.done)?;
    Ok(each.code)
}

async fn remove(client: &Client, name: &str, force: bool) -> Result<JobView, Failure> {
    let call = client.call(Route::JobRemove).part(name).query_some("force", force.then_some(true));
    call.answer::<JobAnswer>().await.map(|answer| answer.body.job)
}

/// Waits until nothing is left of a job.
pub(super) async fn gone(client: &Client, printer: &Printer, job: JobView) -> Result<JobView, Failure> {
    match follow::until(client, printer, &job, None, |_| Verdict::GoOn).await {
        Err(failure) if failure.code == Some(Code::NoSuchJob) => Ok(job),
        Err(failure) => Err(failure),
        Ok(followed) => Ok(followed.detail.job),
    }
}

fn with_hint(failure: Failure, name: &str) -> Failure {
    if failure.hint.is_empty() {
        failure.hint(format!("orcactl job remove --force {name} stops it first"))
    } else {
        failure
    }
}
