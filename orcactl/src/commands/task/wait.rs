//! `orcactl task wait`.

use orca_api::control::{TaskDetail, TaskView};
use orca_api::error::{Code, exit};
use orca_api::route::Route;
use orca_api::task::State;

use super::follow::{self, End, Verdict};
use super::stop;
use crate::cli::Format;
use crate::cli::task::{Goal, WaitArgs};
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::words;

/// Waits until a task is where it should be.
pub async fn run(client: &Client, printer: Printer, args: &WaitArgs) -> Outcome {
    let found = client.call(Route::TaskInspect).part(&args.name).answer::<TaskDetail>().await;
    let first = match found {
        Ok(answer) => answer.body.task,
        Err(failure) if is_gone(args.goal, &failure) => return gone(&printer, &args.name),
        Err(failure) => return Err(failure),
    };
    let followed = follow::until(client, &printer, first, args.timeout, |task| judge(args.goal, task)).await;
    match followed {
        Ok(End::Reached(task)) => {
            stop::show(&printer, &[task])?;
            Ok(exit::OK)
        }
        Ok(End::Cannot(task)) => Err(never(client, args.goal, &task).await),
        Err(failure) if is_gone(args.goal, &failure) => gone(&printer, &args.name),
        Err(failure) => Err(failure),
    }
}

fn judge(goal: Goal, task: &TaskView) -> Verdict {
    let ended = follow::is_stopped(task);
    match goal {
        Goal::Running if task.state == State::Running => Verdict::Reached,
        Goal::Completed if task.state == State::Completed && ended => Verdict::Reached,
        Goal::Stopped if ended => Verdict::Reached,
        Goal::Running | Goal::Completed if ended => Verdict::Cannot,
        _ => Verdict::GoOn,
    }
}

async fn never(client: &Client, goal: Goal, task: &TaskView) -> Failure {
    if task.state == State::Completed || task.state == State::Stopped {
        let wanted = if goal == Goal::Running { "run" } else { "complete" };
        return Failure::new(format!("{} will not {wanted}: it is {}", task.name, words::state(task)))
            .because(task.message.clone())
            .hint(format!("orcactl task restart {} starts it again", task.name));
    }
    follow::cannot_run(client, task, None).await
}

fn is_gone(goal: Goal, failure: &Failure) -> bool {
    goal == Goal::Gone && failure.code == Some(Code::NoSuchTask)
}

fn gone(printer: &Printer, name: &str) -> Outcome {
    if printer.format() == Format::Json {
        printer.json(&Vec::<TaskView>::new())?;
    } else if !printer.is_quiet() {
        printer.line(words::plain(name))?;
    }
    Ok(exit::OK)
}
