//! The one way out.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use orca_api::error::exit;
use serde::Serialize;

use super::error::Failure;
use super::table::Table;
use super::{json, words};
use crate::cli::{Format, Output};
use crate::terminal;

/// Green: as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Yellow: under way, or worth a look.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Red: wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Bold: a heading.
pub const BOLD: Style = Style::new().bold();
/// Dimmed: said for completeness.
pub const DIM: Style = Style::new().dimmed();

/// Writes data to standard output, and words to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    format: Format,
    quiet: bool,
    columns: Option<usize>,
}

impl Printer {
    /// As the command's options say.
    pub fn new(output: Output) -> Self {
        Self { format: output.format, quiet: output.quiet, columns: terminal::columns() }
    }

    /// For commands whose output has one form.
    pub fn plain() -> Self {
        Self::new(Output::default())
    }

    /// The same, without notes.
    pub fn quiet(self, quiet: bool) -> Self {
        Self { quiet: self.quiet || quiet, ..self }
    }

    /// The form that was asked for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether only ids are wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Columns of the terminal; `None` where standard output is none.
    pub fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Whether something that moves may be shown on standard error.
    pub fn is_live(&self) -> bool {
        !self.quiet && terminal::stderr_is_terminal()
    }

    /// A line of data.
    pub fn line(&self, text: impl Display) -> Result<(), Failure> {
        self.text(&format!("{text}\n"))
    }

    /// Data with its own line ends.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Bytes of another process, exactly as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Bytes of another process for standard error, exactly as they are.
    pub fn error_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stderr().lock();
        Ok(out.write_all(bytes)?)
    }

    /// A table, as wide as the terminal.
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        self.text(&table.render(self.columns))
    }

    /// JSON, indented.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.text(&json::pretty(value)?)
    }

    /// What was asked for by name: one object as itself, several as an array.
    pub fn json_named(&self, items: &[impl Serialize], asked: usize) -> Result<(), Failure> {
        match items {
            [] if asked == 1 => Ok(()),
            [item] if asked == 1 => self.json(item),
            items => self.json(&items),
        }
    }

    /// JSON on one line.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.text(&json::line(value)?)
    }

    /// Objects in the form that was asked for: ids, names, JSON or a table.
    pub fn objects<T: Serialize>(
        &self,
        items: &[T],
        id: impl Fn(&T) -> String,
        name: impl Fn(&T) -> String,
        table: impl FnOnce(bool) -> Table,
    ) -> Result<(), Failure> {
        let lines = |of: &dyn Fn(&T) -> String| {
            items.iter().fold(String::new(), |mut out, item| {
                let _ = writeln!(out, "{}", of(item));
                out
            })
        };
        match self.format {
            Format::Json => self.json(&items),
            _ if self.quiet => self.text(&lines(&id)),
            Format::Name => self.text(&lines(&name)),
            Format::Table => self.table(&table(false)),
            Format::Wide => self.table(&table(true)),
        }
    }

    /// Says something beside the data.
    pub fn note(&self, text: impl Display) {
        if !self.quiet {
            say(&format!("{text}\n"));
        }
    }

    /// Says that something is not as it should be; also when quiet.
    pub fn warning(&self, text: impl Display) {
        say(&format!("{WARN}warning:{WARN:#} {text}\n"));
    }

    /// Says what went wrong, and returns the exit code.
    pub fn failure(&self, failure: &Failure) -> u8 {
        if !failure.silent {
            say(&failure.render());
        }
        failure.exit
    }

    /// Asks a question on a terminal; `None` where there is none.
    pub fn ask(&self, question: &str) -> Option<bool> {
        if !terminal::stdin_is_terminal() || !terminal::stderr_is_terminal() {
            return None;
        }
        say(&format!("{question} [y/N] "));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// A heading and indented lines under it, where there are any.
    pub fn section(&self, title: &str, lines: &[String]) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = format!("{BOLD}{title}{BOLD:#}\n");
        for line in lines {
            let _ = writeln!(text, "  {}", words::plain(line));
        }
        self.text(&text)
    }
}

/// Standard error may be closed: then there is nobody to tell.
fn say(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

impl From<std::io::Error> for Failure {
    /// Of writing to standard output: whoever closed a pipe wants no more, and no complaint.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self { silent: true, ..Self::new("").exit(exit::OK) };
        }
        Self::new("the output cannot be written").because(error.to_string())
    }
}
