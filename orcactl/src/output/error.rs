//! How a failure looks, and with which code it ends the command.
//!
//! ```text
//! error: cannot start web: host port 8080 is taken
//! because: task api on n1 publishes it
//! hint: publish another one: -p 8081:80
//! code: ORCA-2103
//! ```

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use clap::error::ErrorKind;
use orca_api::error::{Code, Problem, exit};
use orca_api::text::TextError;

use super::printer::{BAD, BOLD, GOOD, Printer};
use super::words;
use crate::cli;

/// What went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The exit code, one of [`exit`], or a child's own.
    pub exit: u8,
    /// What happened.
    pub message: String,
    /// The lines of a file that it is about, with marks.
    pub snippet: Option<Box<str>>,
    /// Why.
    pub because: Vec<String>,
    /// What to type next.
    pub hint: Vec<String>,
    /// orcad's code.
    pub code: Option<Code>,
    /// The request, where it was a defect and the daemon's log is to be searched.
    pub request_id: Option<Box<str>>,
    /// Whether it was said already, or there is nothing to say.
    pub silent: bool,
}

impl Failure {
    /// With exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            exit: exit::FAILED,
            message: message.into(),
            snippet: None,
            because: Vec::new(),
            hint: Vec::new(),
            code: None,
            request_id: None,
            silent: false,
        }
    }

    /// Of wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message).exit(exit::USAGE)
    }

    /// Nothing more to say.
    pub fn silent(exit: u8) -> Self {
        Self { silent: true, ..Self::new("").exit(exit) }
    }

    /// With this exit code.
    pub fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// With a reason; an empty one is none.
    pub fn because(mut self, why: impl Into<String>) -> Self {
        let why = why.into();
        if !why.is_empty() {
            self.because.push(why);
        }
        self
    }

    /// With something to type next; an empty one is none.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() {
            self.hint.push(hint);
        }
        self
    }

    /// Whether the daemon cannot be reached.
    pub fn is_unreachable(&self) -> bool {
        self.exit == exit::UNREACHABLE
    }

    /// Its lines.
    pub fn render(&self) -> String {
        let mut out = format!("{BAD}error:{BAD:#} {}\n", lines(&self.message));
        if let Some(snippet) = &self.snippet {
            let _ = writeln!(out, "{}", snippet.trim_end());
        }
        for why in &self.because {
            let _ = writeln!(out, "{BOLD}because:{BOLD:#} {}", lines(why));
        }
        for hint in &self.hint {
            let _ = writeln!(out, "{GOOD}hint:{GOOD:#} {}", lines(hint));
        }
        if let Some(code) = self.code {
            let _ = write!(out, "{BOLD}code:{BOLD:#} {code}");
            if let Some(request) = &self.request_id {
                let _ = write!(out, " (request {})", words::plain(request));
            }
            out.push('\n');
        }
        out
    }
}

/// A text of several lines, indented from the second on, without control characters.
fn lines(text: &str) -> String {
    text.trim_end().lines().map(words::plain).collect::<Vec<_>>().join("\n  ")
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self {
            exit: problem.code.exit(),
            message: if problem.detail.is_empty() { problem.title } else { problem.detail },
            snippet: None,
            because: problem.because,
            hint: problem.hint,
            code: Some(problem.code),
            request_id: problem
                .request_id
                .filter(|_| problem.code == Code::Internal)
                .map(String::into_boxed_str),
            silent: false,
        }
    }
}

/// Of a TOML file that cannot be read: its lines, marked.
pub fn of_file(name: &str, text: &str, error: &TextError) -> Failure {
    let mut failure = Failure::usage(format!("{name}: {}", without_position(error)));
    if let Some(span) = &error.span
        && text.get(span.clone()).is_some()
    {
        let snippet = Snippet::source(text).path(name).annotation(AnnotationKind::Primary.span(span.clone()));
        failure.snippet = Some(
            Renderer::plain().render(&[Group::with_level(Level::ERROR).element(snippet)]).into_boxed_str(),
        );
    }
    match &error.nearest {
        Some(name) => failure.hint(format!("did you mean `{name}`?")),
        None => failure.hint("orcactl task start --help shows what a task may have, and in which form"),
    }
}

fn without_position(error: &TextError) -> String {
    if error.path.is_empty() { error.message.clone() } else { format!("`{}`: {}", error.path, error.message) }
}

/// Says what clap found: help and version on standard output with exit code 0, all else as a failure of usage.
pub fn of_arguments(error: clap::Error) -> u8 {
    let printer = Printer::plain();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match printer.text(&format!("{}\n", error.render().ansi().to_string().trim_end())) {
                Ok(()) => exit::OK,
                Err(failure) => printer.failure(&failure),
            }
        }
        ErrorKind::MissingSubcommand => {
            printer.note(typed_command().render_help().ansi().to_string().trim_end());
            exit::USAGE
        }
        _ => printer.failure(&of_usage(&error)),
    }
}

/// The command that the process's arguments name, as far as they name one.
fn typed_command() -> clap::Command {
    let mut tree = cli::command();
    tree.build();
    let mut found = &tree;
    for word in std::env::args().skip(1) {
        match found.find_subcommand(&word) {
            Some(next) => found = next,
            None if word.starts_with('-') => {}
            None => break,
        }
    }
    found.clone()
}

/// clap's own words, in the form of this command's failures.
fn of_usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let mut failure = Failure::usage(first.strip_prefix("error: ").unwrap_or(first).trim());
    for paragraph in paragraphs {
        let paragraph = paragraph.trim();
        if let Some(tips) = paragraph.strip_prefix("tip: ") {
            // That a flag could be meant as a word is true, and never what was meant.
            for tip in tips.split("\n  tip: ").filter(|tip| !tip.starts_with("to pass ")) {
                failure = failure.hint(tip.trim());
            }
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            // clap counts an option that the environment sets among those that were typed.
            let usage = usage.replace(" --socket <PATH>", " [OPTIONS]");
            failure = failure.hint(format!(
                "usage: {}",
                usage.split('\n').map(str::trim).collect::<Vec<_>>().join("\n  or: ")
            ));
        }
    }
    let command = typed_command();
    failure.hint(format!("{} --help", command.get_bin_name().unwrap_or("orcactl")))
}
