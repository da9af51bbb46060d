//! The commands that concern the whole, or orcactl itself.

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use orca_api::units::Span;

use super::Output;
use crate::commands::completion;
use crate::commands::top::Sort;

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// How to say it; with --quiet, only what is not right.
    #[command(flatten)]
    pub output: Output,
}

/// `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Print one picture and end
    #[arg(long)]
    pub once: bool,
    /// What tasks are sorted by
    #[arg(short, long, value_name = "COLUMN", default_value = "cpu")]
    pub sort: Sort,
    /// How often to ask
    #[arg(short = 'i', long, value_name = "TIME", default_value = "2s")]
    pub interval: Span,
    /// How to say it; json prints one picture.
    #[command(flatten)]
    pub output: Output,
}

/// `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on as things happen
    #[arg(short, long)]
    pub follow: bool,
    /// Only what came after this revision, or after one event of it
    #[arg(long, value_name = "REVISION[.INDEX]")]
    pub since: Option<String>,
    /// At most this many, the newest
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    pub limit: u32,
    /// Only of this task
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(completion::tasks))]
    pub task: Option<String>,
    /// How to say it; with --follow, json is one object a line.
    #[command(flatten)]
    pub output: Output,
}

/// `version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}
