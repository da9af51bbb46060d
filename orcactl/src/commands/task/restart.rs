//! `orcactl task restart`.

use orca_api::control::{RestartTask, TaskAnswer, TaskDetail, TaskView};
use orca_api::route::Route;

use super::follow::{self, End};
use super::stop;
use crate::cli::task::RestartArgs;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// Restarts tasks, and waits until each runs.
pub async fn run(client: &Client, printer: Printer, args: &RestartArgs) -> Outcome {
    let mut each = Each::default();
    for name in &args.names {
        let outcome = restart(client, &printer, name, args.detach).await;
        each.take(&printer, outcome);
    }
    stop::show(&printer, &each.done)?;
    Ok(each.code)
}

async fn restart(client: &Client, printer: &Printer, name: &str, detach: bool) -> Result<TaskView, Failure> {
    // The attempt that runs now does not count as the one that is waited for.
    let before = client.call(Route::TaskInspect).part(name).answer::<TaskDetail>().await?.body.task.attempts;
    let answer =
        client.call(Route::TaskRestart).part(name).body(&RestartTask {})?.answer::<TaskAnswer>().await?.body;
    if detach {
        return Ok(answer.task);
    }
    match follow::until(client, printer, answer.task, None, |task| follow::runs(task, Some(before))).await? {
        End::Reached(task) => Ok(task),
        End::Cannot(task) => Err(follow::cannot_run(client, &task, answer.explanation).await),
    }
}
