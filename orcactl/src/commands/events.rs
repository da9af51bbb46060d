//! `orcactl events`: what happened, and with `--follow` what happens.
//!
//! The stream resumes after a broken connection where it was, by the revision of the last event seen.

use std::fmt::Write as _;
use std::time::Duration;

use orca_api::control::{EventView, List};
use orca_api::error::{Code, exit};
use orca_api::route::Route;

use super::Outcome;
use crate::cli::Format;
use crate::cli::cluster::EventsArgs;
use crate::client::Client;
use crate::client::stream::Event;
use crate::output::error::Failure;
use crate::output::printer::{BAD, DIM, Printer};
use crate::output::words;

/// How long to wait before a broken stream is taken up again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often that is tried in a row: a restart of the daemon takes a few seconds.
const AGAIN_MAX: u32 = 30;

/// Prints events.
pub async fn run(client: &Client, printer: Printer, args: &EventsArgs) -> Outcome {
    if args.follow {
        return follow(client, &printer, args).await;
    }
    let call = client.call(Route::Events).query("limit", args.limit).query_some("since", args.since.as_ref());
    let call = call.query_some("task", args.task.as_ref()).query_some("node", args.node.as_ref());
    let answer = call.answer::<List<EventView>>().await?;
    if printer.format() == Format::Json {
        printer.json(&answer.body.items)?;
        return Ok(exit::OK);
    }
    for event in &answer.body.items {
        show(&printer, event)?;
    }
    if answer.body.items.is_empty() {
        printer.note("no events");
    }
    Ok(exit::OK)
}

async fn follow(client: &Client, printer: &Printer, args: &EventsArgs) -> Outcome {
    let mut last: Option<String> = None;
    let mut tries = 0;
    loop {
        let failure = match stream(client, printer, args, &mut last, &mut tries).await {
            // The daemon ended the stream: it stops, or restarts.
            Ok(()) => None,
            Err(failure) if failure.is_unreachable() && last.is_some() => Some(failure),
            Err(failure) => return Err(failure),
        };
        if tries == 0 {
            printer.note("the connection to orcad broke; trying again");
        }
        tries += 1;
        if tries > AGAIN_MAX {
            return Err(failure
                .unwrap_or_else(|| Failure::new("the connection to orcad broke").exit(exit::UNREACHABLE)));
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// One connection's worth of events.
async fn stream(
    client: &Client,
    printer: &Printer,
    args: &EventsArgs,
    last: &mut Option<String>,
    tries: &mut u32,
) -> Result<(), Failure> {
    let call = client.call(Route::Events).header("accept", "text/event-stream").query("follow", true);
    let call = call.query_some("task", args.task.as_ref()).query_some("node", args.node.as_ref());
    let call = match &*last {
        Some(id) => call.header("last-event-id", id),
        None => call.query("limit", args.limit).query_some("since", args.since.as_ref()),
    };
    let mut lines = match call.stream().await {
        Err(failure) if failure.code == Some(Code::Gone) && last.is_some() => {
            printer.warning("some events are gone; going on with the present ones");
            *last = None;
            return Ok(());
        }
        other => other?,
    };
    while let Some(event) = lines.next_event().await? {
        *tries = 0;
        let Event { id, data: Some(data), .. } = event else { continue };
        let Ok(view) = serde_json::from_str::<EventView>(&data) else { continue };
        *last = id.or_else(|| Some(format!("{}.{}", view.revision, view.index)));
        if printer.format() == Format::Json {
            printer.json_line(&view)?;
        } else {
            show(printer, &view)?;
        }
    }
    Ok(())
}

fn show(printer: &Printer, event: &EventView) -> Result<(), Failure> {
    if printer.is_quiet() {
        return printer.line(format!("{}.{}", event.revision, event.index));
    }
    if printer.format() == Format::Name {
        return printer.line(words::plain(&event.kind));
    }
    let about = match (&event.task_name, &event.node_name) {
        (Some(task), Some(node)) => format!("{task} on {node}"),
        (Some(name), None) | (None, Some(name)) => name.to_string(),
        (None, None) => String::new(),
    };
    let mut text = format!(
        "{DIM}{} {:>6}{DIM:#}  {:<18} ",
        words::local(event.at),
        event.revision,
        words::plain(&event.kind)
    );
    if !about.is_empty() {
        text.push_str(&about);
        text.push(' ');
    }
    if let Some(state) = &event.state {
        let style = if ["failed", "rejected", "lost", "down"].contains(&state.as_str()) {
            BAD
        } else {
            anstyle::Style::new()
        };
        let _ = write!(text, "{style}{}{style:#} ", words::plain(state));
    }
    if let Some(reason) = event.reason {
        let _ = write!(text, "({reason}) ");
    }
    text.push_str(&words::plain(&event.message));
    if let Some(by) = &event.by {
        let _ = write!(text, " {DIM}by {}{DIM:#}", words::plain(by));
    }
    if printer.format() == Format::Wide
        && let Some(request) = &event.request_id
    {
        let _ = write!(text, " {DIM}request {}{DIM:#}", words::plain(request));
    }
    printer.line(text.trim_end())
}
