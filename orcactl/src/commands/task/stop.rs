//! `orcactl task stop`.

use orca_api::control::{StopTask, TaskAnswer, TaskView};
use orca_api::route::Route;
use orca_api::units::Time;

use super::follow::{self, End, Verdict};
use super::list;
use crate::cli::Format;
use crate::cli::task::StopArgs;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::words;

/// Asks all tasks to stop, then waits for each.
pub async fn run(client: &Client, printer: Printer, args: &StopArgs) -> Outcome {
    let mut asked = Each::default();
    let request = StopTask { grace: args.grace };
    for name in &args.names {
        let answer = client.call(Route::TaskStop).part(name).body(&request)?.answer::<TaskAnswer>().await;
        asked.take(&printer, answer.map(|answer| answer.body));
    }
    let mut each = Each { done: Vec::new(), code: asked.code };
    for answer in asked.done {
        if !answer.changed && follow::is_stopped(&answer.task) {
            printer.note(format!("{} does not run: {}", answer.task.name, words::state(&answer.task)));
        }
        let outcome =
            if args.detach { Ok(answer.task) } else { stopped(client, &printer, answer.task).await };
        each.take(&printer, outcome);
    }
    show(&printer, &each.done)?;
    Ok(each.code)
}

async fn stopped(client: &Client, printer: &Printer, task: TaskView) -> Result<TaskView, Failure> {
    let judge = |task: &TaskView| if follow::is_stopped(task) { Verdict::Reached } else { Verdict::GoOn };
    let (End::Reached(task) | End::Cannot(task)) = follow::until(client, printer, task, None, judge).await?;
    Ok(task)
}

/// Says which tasks a command has acted on.
pub(super) fn show(printer: &Printer, tasks: &[TaskView]) -> Result<(), Failure> {
    if printer.format() == Format::Table && !printer.is_quiet() {
        return tasks.iter().try_for_each(|task| printer.line(&task.name));
    }
    let now = Time::from_ms(jiff::Timestamp::now().as_millisecond());
    printer.objects(
        tasks,
        |task| task.id.to_string(),
        |task| task.name.to_string(),
        |wide| list::table(tasks, now, wide),
    )
}
