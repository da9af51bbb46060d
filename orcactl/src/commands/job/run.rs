//! `orcactl job run`.

use orca_api::error::exit;
use orca_api::job::view::JobAnswer;
use orca_api::route::Route;

use super::{follow, show_one};
use crate::cli::job::RunArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::printer::Printer;
use crate::settings::{env, job};

/// Runs a job, and waits until every new task is healthy and every old one is gone.
pub async fn run(client: &Client, printer: Printer, args: &RunArgs) -> Outcome {
    let request = job::of_arguments(args, &env::of_process)?;
    let answer = client.call(Route::JobRun).body(&request)?.answer::<JobAnswer>().await?.body;
    if !answer.changed {
        printer.note(format!("{} is there already, just like that", answer.job.name));
    }
    let job = if args.detach {
        answer.job
    } else {
        follow::rolled(client, &printer, &answer.job, args.timeout).await?
    };
    show_one(&printer, &job)?;
    Ok(exit::OK)
}
