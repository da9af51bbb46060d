//! `orcactl task start`.

use orca_api::control::{StartTask, TaskAnswer};
use orca_api::error::exit;
use orca_api::route::Route;
use orca_api::task::Reason;

use super::follow::{self, End};
use super::list;
use crate::cli::Format;
use crate::cli::task::StartArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::printer::Printer;
use crate::output::words;
use crate::settings::{env, spec};

/// Starts a task and waits until it runs.
pub async fn run(client: &Client, printer: Printer, args: &StartArgs) -> Outcome {
    let (image, command) = match args.image_and_command.split_first() {
        Some((image, command)) => (Some(image.as_str()), command),
        None => (None, &[][..]),
    };
    let source = spec::Source { file: args.file.as_deref(), image, command, flags: &args.spec };
    let (name, spec) = spec::resolve(&source, &env::of_process)?;
    let request = StartTask { name: args.name.clone().or(name), spec, replace: args.replace };
    let answer = client.call(Route::TaskStart).body(&request)?.answer::<TaskAnswer>().await?;
    let (now, TaskAnswer { task, changed, explanation }) = (answer.now, answer.body);
    if !changed {
        printer.note(format!("{} was there already, with the same spec", task.name));
    }
    let task = if args.detach {
        task
    } else {
        // While the run that it replaces ends, the attempts are that one's.
        let before = (task.reason == Some(Reason::StoppedByRollout)).then_some(task.attempts);
        match follow::until(client, &printer, task, args.timeout, |task| follow::runs(task, before)).await? {
            End::Reached(task) => task,
            End::Cannot(task) => return Err(follow::cannot_run(client, &task, explanation).await),
        }
    };
    if let Some(warning) = &task.warning {
        printer.warning(words::plain(warning));
    }
    match printer.format() {
        Format::Json => printer.json(&task)?,
        _ if printer.is_quiet() => printer.line(task.id)?,
        Format::Wide => printer.table(&list::table(&[task], now, true))?,
        Format::Table | Format::Name => printer.line(&task.name)?,
    }
    Ok(exit::OK)
}
