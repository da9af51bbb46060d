//! `orcactl task logs`.
//!
//! What the task wrote goes to standard output, whichever stream it wrote to; what orca says about it (an attempt
//! ended, lines are gone) goes to standard error. On a terminal control bytes are shown as escapes: output is
//! data, and data must not move the cursor. In a pipe it is passed on as it is.

use orca_api::control::LogLine;
use orca_api::error::exit;
use orca_api::route::Route;
use orca_api::units::{Span, Time};

use crate::cli::task::{LogFormat, LogsArgs};
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::{DIM, Printer};
use crate::output::words;
use crate::terminal;

/// Prints a task's output.
pub async fn run(client: &Client, args: &LogsArgs) -> Outcome {
    if let Some(since) = &args.since
        && since.parse::<Span>().is_err()
        && since.parse::<Time>().is_err()
    {
        return Err(Failure::usage(format!("`{since}` is neither a point in time nor a length of time"))
            .hint("--since 10m, or --since 2026-11-24T18:30:00Z"));
    }
    let printer = Printer::plain().quiet(args.quiet);
    let call =
        client.call(Route::TaskLogs).part(&args.name).query_some("follow", args.follow.then_some(true));
    let call = call
        .query_some("tail", args.tail)
        .query_some("since", args.since.as_ref())
        .query_some("attempt", args.attempt);
    let mut lines = call.stream().await?;
    let escape = terminal::stdout_is_terminal();
    while let Some(line) = lines.next().await? {
        if line.is_empty() {
            continue;
        }
        match (args.format, serde_json::from_str::<LogLine>(&line)) {
            (LogFormat::Json, Ok(LogLine::Note { .. })) if args.quiet => {}
            (LogFormat::Json, Ok(line)) => printer.json_line(&line)?,
            (LogFormat::Text, Ok(LogLine::Note { text })) => {
                printer.note(format!("{DIM}-- {}{DIM:#}", words::plain(&text)));
            }
            (LogFormat::Text, Ok(LogLine::Line { time, text, .. })) => {
                let time = match time.filter(|_| args.timestamps) {
                    Some(time) => format!("{time} "),
                    None => String::new(),
                };
                let text = if escape { words::for_terminal(&text) } else { text };
                printer.bytes(format!("{time}{text}\n").as_bytes())?;
            }
            // A kind of line that a newer daemon may have.
            (_, Err(_)) => {}
        }
    }
    Ok(exit::OK)
}
