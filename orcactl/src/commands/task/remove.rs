//! `orcactl task remove`.

use orca_api::control::{TaskAnswer, TaskView};
use orca_api::error::Code;
use orca_api::route::Route;

use super::stop;
use crate::cli::task::RemoveArgs;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// Removes tasks. One that runs is removed with `--force`, or where a person at a terminal says yes.
pub async fn run(client: &Client, printer: Printer, args: &RemoveArgs) -> Outcome {
    let mut each = Each::default();
    for name in &args.names {
        let outcome = match remove(client, name, args.force).await {
            Err(failure) if failure.code == Some(Code::StillRunning) => {
                let question = format!("{name} is running. Stop and remove it?");
                let yes = args.yes || printer.ask(&question) == Some(true);
                if yes { remove(client, name, true).await } else { Err(with_hint(failure, name)) }
            }
            other => other,
        };
        each.take(&printer, outcome);
    }
    stop::show(&printer, &each.done)?;
    Ok(each.code)
}

async fn remove(client: &Client, name: &str, force: bool) -> Result<TaskView, Failure> {
    let call = client.call(Route::TaskRemove).part(name).query_some("force", force.then_some(true));
    call.answer::<TaskAnswer>().await.map(|answer| answer.body.task)
}

fn with_hint(failure: Failure, name: &str) -> Failure {
    if failure.hint.is_empty() {
        failure.hint(format!("orcactl task remove --force {name} stops it first"))
    } else {
        failure
    }
}
