//! `orcactl job rollout …`: how far a change has come, and what it is told.

use anstyle::Style;
use orca_api::error::exit;
use orca_api::job::view::{ActOnRollout, JobAnswer, RolloutAct, RolloutView};
use orca_api::route::Route;

use super::{ask, follow, list, show_one};
use crate::cli::Format;
use crate::cli::job::RolloutArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::commands::task::list as tasks;
use crate::output::printer::{BAD, BOLD, DIM, GOOD, Printer, WARN};
use crate::output::words as say;

/// Shows how far a change has come.
pub async fn status(client: &Client, printer: Printer, name: &str) -> Outcome {
    let answer = ask(client, name).await?;
    let (now, detail) = (answer.now, answer.body);
    let job = &detail.job;
    match printer.format() {
        // `null` where nothing rolls.
        Format::Json => printer.json(&job.rollout)?,
        _ if printer.is_quiet() => printer.line(job.id)?,
        Format::Name => printer.line(&job.name)?,
        format => {
            let Some(rollout) = &job.rollout else {
                let (name, version) = (&job.name, job.version);
                printer.line(format!(
                    "{BOLD}{name}{BOLD:#}: no change is under way; version {version} is {}",
                    list::summary(job)
                ))?;
                return Ok(exit::OK);
            };
            let style = style(rollout);
            printer.line(format!("{BOLD}{}{BOLD:#}: {style}{}{style:#}", job.name, words(rollout)))?;
            if !rollout.message.is_empty() {
                printer.line(format!("  {}", say::plain(&rollout.message)))?;
            }
            printer.line(format!("  {DIM}since {}{DIM:#}", say::moment(rollout.since, now)))?;
            printer.line("")?;
            printer.table(&tasks::table(&detail.tasks, now, format == Format::Wide))?;
        }
    }
    Ok(exit::OK)
}

/// Lets a change stand still.
pub async fn pause(client: &Client, printer: Printer, name: &str) -> Outcome {
    let answer = tell(client, name, RolloutAct::Pause).await?;
    if !answer.changed {
        printer.note(format!("the change of {} stood still already", answer.job.name));
    }
    show_one(&printer, &answer.job)?;
    Ok(exit::OK)
}

/// Lets a change go on, and waits until it is done.
pub async fn resume(client: &Client, printer: Printer, args: &RolloutArgs) -> Outcome {
    let job = tell(client, &args.name, RolloutAct::Resume).await?.job;
    let job = if args.detach { job } else { follow::rolled(client, &printer, &job, args.timeout).await? };
    show_one(&printer, &job)?;
    Ok(exit::OK)
}

/// Goes back to the version before, and waits until that runs.
pub async fn abort(client: &Client, printer: Printer, args: &RolloutArgs) -> Outcome {
    let job = tell(client, &args.name, RolloutAct::Abort).await?.job;
    let job = if args.detach { job } else { follow::rolled(client, &printer, &job, args.timeout).await? };
    show_one(&printer, &job)?;
    Ok(exit::OK)
}

async fn tell(
    client: &Client,
    name: &str,
    act: RolloutAct,
) -> Result<JobAnswer, crate::output::error::Failure> {
    let call = client.call(Route::JobRollout).part(name).body(&ActOnRollout { act })?;
    Ok(call.answer::<JobAnswer>().await?.body)
}

/// How far it has come, in words: `rolling to version 4, 2 of 3 done`.
pub(super) fn words(rollout: &RolloutView) -> String {
    let RolloutView { to, done, total, .. } = rollout;
    let so_far = format!("{done} of {total} done");
    match rollout.state.as_str() {
        "rolling" => format!("rolling to version {to}, {so_far}"),
        "canary" => format!("canaries of version {to} stand"),
        "paused" => format!("paused on the way to version {to}, {so_far}"),
        "rolling_back" => format!("going back, {so_far}"),
        "failed" => "the last change failed".to_owned(),
        "done" => format!("version {to} runs"),
        other => format!("{}, version {to}, {so_far}", say::plain(other)),
    }
}

/// How its state is coloured.
pub(super) fn style(rollout: &RolloutView) -> Style {
    match rollout.state.as_str() {
        "failed" | "rolling_back" => BAD,
        "done" => GOOD,
        _ => WARN,
    }
}
