//! `orcactl task remove`.
//!
//! The name is free when the last process has ended: that is waited for.

use orca_api::control::{TaskAnswer, TaskDetail, TaskView};
use orca_api::error::Code;
use orca_api::route::Route;

use super::follow::{self, End, Verdict};
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
                let question = format!("{name} has not ended. Stop and remove it?");
                let yes = args.yes || printer.ask(&question) == Some(true);
                if yes { remove(client, name, true).await } else { Err(with_hint(failure, name)) }
            }
            other => other,
        };
        let outcome = match outcome {
            Ok(task) if !args.detach => gone(client, &printer, task).await,
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

/// Waits until nothing is left of a task.
async fn gone(client: &Client, printer: &Printer, task: TaskView) -> Result<TaskView, Failure> {
    let id = task.id.to_string();
    match client.call(Route::TaskInspect).part(&id).answer::<TaskDetail>().await {
        Ok(answer) => match follow::until(client, printer, answer.body.task, None, |_| Verdict::GoOn).await {
            Err(failure) if failure.code == Some(Code::NoSuchTask) => Ok(task),
            Err(failure) => Err(failure),
            Ok(End::Reached(task) | End::Cannot(task)) => Ok(task),
        },
        Err(failure) if failure.code == Some(Code::NoSuchTask) => Ok(task),
        Err(failure) => Err(failure),
    }
}

fn with_hint(failure: Failure, name: &str) -> Failure {
    if failure.hint.is_empty() {
        failure.hint(format!("orcactl task remove --force {name} stops it first"))
    } else {
        failure
    }
}
