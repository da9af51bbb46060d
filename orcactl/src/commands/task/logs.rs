//! `orcactl task logs`.
//!
//! What tasks wrote goes to standard output, whichever stream they wrote to; what orca says about it (an attempt ended,
//! lines are gone) goes to standard error. On a terminal control bytes are shown as escapes: output is data, and data
//! must not move the cursor. In a pipe it is passed on as it is.
//!
//! The output of several tasks is merged by time in [`merge`]; each line then begins with the task's name.

use anstyle::{AnsiColor, Style};
use orca_api::control::LogLine;
use orca_api::error::{Code, exit};
use orca_api::route::Route;
use orca_api::units::{Span, Time};
use serde::Serialize;

use self::merge::{Merge, Next};
use crate::cli::task::{LogFormat, LogsArgs};
use crate::client::Client;
use crate::client::stream::Lines;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::{DIM, Printer};
use crate::output::words;
use crate::terminal;

mod merge;

/// Colours by which tasks are told apart; red and yellow are for what is wrong.
const COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightGreen,
];

/// Prints the output of tasks.
pub async fn run(client: &Client, args: &LogsArgs) -> Outcome {
    if let Some(since) = &args.since
        && since.parse::<Span>().is_err()
        && since.parse::<Time>().is_err()
    {
        return Err(Failure::usage(format!("`{since}` is neither a point in time nor a length of time"))
            .hint("--since 10m, or --since 2026-11-24T18:30:00Z"));
    }
    let printer = Printer::plain().quiet(args.quiet);
    let writer = Writer { printer, args, escape: terminal::stdout_is_terminal(), width: 0 };
    match args.names.as_slice() {
        [name] => one(client, &writer, name).await,
        names => several(client, writer, names).await,
    }
}

async fn open(client: &Client, args: &LogsArgs, name: &str) -> Result<Lines, Failure> {
    let call = client.call(Route::TaskLogs).part(name).query_some("follow", args.follow.then_some(true));
    let call = call
        .query_some("tail", args.tail)
        .query_some("since", args.since.as_ref())
        .query_some("attempt", args.attempt);
    call.stream().await
}

async fn one(client: &Client, writer: &Writer<'_>, name: &str) -> Outcome {
    let mut lines = open(client, writer.args, name).await?;
    while let Some(line) = lines.next().await? {
        writer.line(None, &line)?;
    }
    Ok(exit::OK)
}

/// The output of several tasks. One that cannot be read does not keep the others from being shown.
async fn several(client: &Client, mut writer: Writer<'_>, names: &[String]) -> Outcome {
    writer.width = names.iter().map(String::len).max().unwrap_or(0);
    let mut code = exit::OK;
    let mut merge = Merge::new(writer.args.follow);
    for (i, name) in names.iter().enumerate() {
        match open(client, writer.args, name).await {
            Ok(lines) => merge.add(i, lines),
            Err(failure) => writer.unread(name, &failure, &mut code),
        }
    }
    loop {
        match merge.next().await {
            Next::Line(i, line) => {
                let style = Style::new().fg_color(Some(COLORS[i % COLORS.len()].into()));
                writer.line(Some((&names[i], style)), &line)?;
            }
            Next::Broken(i, failure) => writer.unread(&names[i], &failure, &mut code),
            Next::End => return Ok(code),
        }
    }
}

/// How lines are said.
struct Writer<'a> {
    printer: Printer,
    args: &'a LogsArgs,
    /// Whether control bytes are shown as escapes.
    escape: bool,
    /// Columns of the longest name before a line.
    width: usize,
}

/// A line of one of several tasks, as JSON.
#[derive(Serialize)]
struct Named<'a> {
    task: &'a str,
    #[serde(flatten)]
    line: LogLine,
}

impl Writer<'_> {
    /// A node that is away is worth a warning: what the others wrote is still of use.
    fn unread(&self, name: &str, failure: &Failure, code: &mut u8) {
        if failure.code == Some(Code::NodeAway) || failure.is_unreachable() {
            let why = std::iter::once(&failure.message).chain(&failure.because);
            let why: Vec<String> = why.map(|text| words::plain(text)).collect();
            self.printer.warning(format!("{name}: {}", why.join(": ")));
            return;
        }
        let failed = self.printer.failure(failure);
        if *code == exit::OK {
            *code = failed;
        }
    }

    fn line(&self, of: Option<(&str, Style)>, line: &str) -> Result<(), Failure> {
        // A kind of line that a newer daemon may have.
        let Ok(line) = serde_json::from_str::<LogLine>(line) else { return Ok(()) };
        match (self.args.format, line) {
            (LogFormat::Json, LogLine::Note { .. }) if self.args.quiet => Ok(()),
            (LogFormat::Json, line) => match of {
                Some((task, _)) => self.printer.json_line(&Named { task, line }),
                None => self.printer.json_line(&line),
            },
            (LogFormat::Text, LogLine::Note { text }) => {
                let name = of.map(|(name, _)| format!("{name}: ")).unwrap_or_default();
                self.printer.note(format!("{DIM}-- {name}{}{DIM:#}", words::plain(&text)));
                Ok(())
            }
            (LogFormat::Text, LogLine::Line { time, text, .. }) => {
                let time = match time.filter(|_| self.args.timestamps) {
                    Some(time) => format!("{time} "),
                    None => String::new(),
                };
                let text = if self.escape { words::for_terminal(&text) } else { text };
                // The name may be coloured; the task's own bytes pass as they are.
                if let Some((name, style)) = of {
                    let space = " ".repeat(self.width.saturating_sub(name.len()));
                    self.printer.text(&format!("{style}{name}{space} |{style:#} "))?;
                }
                self.printer.bytes(format!("{time}{text}\n").as_bytes())
            }
        }
    }
}
