//! `orcactl task …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use orca_api::name::Name;
use orca_api::units::Span;

use super::spec::SpecArgs;
use super::{Output, examples};
use crate::commands::completion;

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Start a task and wait until it runs
    #[command(before_help = examples::TASK_START, override_usage = "orcactl task start [OPTIONS] IMAGE [COMMAND]...\n       orcactl task start [OPTIONS] -f FILE")]
    Start(Box<StartArgs>),
    /// Stop tasks; their names stay taken
    #[command(before_help = examples::TASK_STOP)]
    Stop(StopArgs),
    /// Restart tasks, or start stopped ones again
    #[command(before_help = examples::TASK_RESTART)]
    Restart(RestartArgs),
    /// Remove tasks and free their names
    #[command(before_help = examples::TASK_REMOVE)]
    Remove(RemoveArgs),
    /// List the tasks
    #[command(visible_alias = "ls", before_help = examples::TASK_LIST)]
    List(ListArgs),
    /// Show everything about tasks
    #[command(before_help = examples::TASK_INSPECT)]
    Inspect(InspectArgs),
    /// Say why a task runs where it runs, or why not
    #[command(before_help = examples::TASK_EXPLAIN, override_usage = "orcactl task explain [OPTIONS] NAME\n       orcactl task explain [OPTIONS] -f FILE\n       orcactl task explain [OPTIONS] --image IMAGE")]
    Explain(Box<ExplainArgs>),
    /// Show the output of tasks
    #[command(before_help = examples::TASK_LOGS)]
    Logs(LogsArgs),
    /// Run a command in a running task
    #[command(before_help = examples::TASK_EXEC, override_usage = "orcactl task exec [OPTIONS] NAME [--] COMMAND [ARG]...")]
    Exec(ExecArgs),
    /// Wait for a task
    #[command(before_help = examples::TASK_WAIT)]
    Wait(WaitArgs),
    /// Show what tasks use
    #[command(before_help = examples::TASK_STATS)]
    Stats(StatsArgs),
}

/// `task start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// The task's name; made from the image where none is given
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// Read the task from a TOML file (- for standard input); flags come on top
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Take the place of a task of this name that runs with another spec
    #[arg(long)]
    pub replace: bool,
    /// Return at once, without waiting until the task runs
    #[arg(short, long)]
    pub detach: bool,
    /// Give up waiting after this time; the task goes on
    #[arg(long, value_name = "TIME", conflicts_with = "detach")]
    pub timeout: Option<Span>,
    /// How to say what was started.
    #[command(flatten)]
    pub output: Output,
    /// What the task is.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// The image, and what to run in it instead of its own command
    #[arg(value_names = ["IMAGE", "COMMAND"], num_args = 0.., trailing_var_arg = true)]
    pub image_and_command: Vec<String>,
}

/// `task stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// How long a task may take to end before it is killed
    #[arg(short = 't', long, value_name = "TIME")]
    pub grace: Option<Span>,
    /// Return at once, without waiting until the tasks are stopped
    #[arg(short, long)]
    pub detach: bool,
    /// How to say what was stopped.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(completion::tasks))]
    pub names: Vec<String>,
}

/// `task restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Return at once, without waiting until the tasks run
    #[arg(short, long)]
    pub detach: bool,
    /// How to say what was restarted.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(completion::tasks))]
    pub names: Vec<String>,
}

/// `task remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Stop a task that runs, then remove it
    #[arg(short, long)]
    pub force: bool,
    /// Return at once, without waiting until the tasks are gone
    #[arg(short, long)]
    pub detach: bool,
    /// Answer yes to the question whether a task that runs is to be stopped
    #[arg(short, long)]
    pub yes: bool,
    /// How to say what was removed.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(completion::tasks))]
    pub names: Vec<String>,
}

/// `task list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only some: phase=PHASE, node=NODE or name=PREFIX*
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// Only what is on this node
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(completion::nodes))]
    pub node: Option<String>,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `task inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(completion::tasks))]
    pub names: Vec<String>,
}

/// `task explain`.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true, args = ["name", "file", "image"])]
pub struct ExplainArgs {
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", conflicts_with_all = ["file", "image"], add = ArgValueCompleter::new(completion::tasks))]
    pub name: Option<String>,
    /// Where the task of a TOML file would run (- for standard input)
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Where a task of this image would run
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// What the task would be.
    #[command(flatten)]
    pub spec: SpecArgs,
}

/// `task logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Go on as the task writes, over its restarts
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Only what came after a point in time (RFC 3339), or within a time (10m)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only the output of this attempt
    #[arg(long, value_name = "NUMBER")]
    pub attempt: Option<u32>,
    /// Begin each line with its time
    #[arg(short = 't', long)]
    pub timestamps: bool,
    /// The form of the output; json is one object a line
    #[arg(short = 'o', long = "output", value_name = "FORM", default_value = "text")]
    pub format: LogFormat,
    /// Leave out what orca itself says about the output
    #[arg(short, long)]
    pub quiet: bool,
    /// Names, or at least 4 characters of an id; several are merged by time
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(completion::tasks))]
    pub names: Vec<String>,
}

/// The form of a task's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// As it was written
    Text,
    /// One JSON object a line
    Json,
}

/// `task exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Pass standard input on
    #[arg(short, long)]
    pub interactive: bool,
    /// With a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// As this user: name, uid or uid:gid
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// In this folder of the container
    #[arg(short, long, value_name = "FOLDER")]
    pub workdir: Option<String>,
    /// Set a variable; NAME alone takes it from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// The task's name and the command
    #[arg(value_names = ["NAME", "COMMAND"], trailing_var_arg = true, required = true, num_args = 1.., add = ArgValueCompleter::new(completion::tasks))]
    pub name_and_command: Vec<String>,
}

/// `task wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// What to wait for
    #[arg(long = "for", value_name = "STATE", default_value = "completed")]
    pub goal: Goal,
    /// Give up after this time, with exit code 124
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// How to say what came of it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::tasks))]
    pub name: String,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// Its process runs
    Running,
    /// It ended by itself, with exit code 0
    Completed,
    /// No process of it is left, however it ended
    Stopped,
    /// It was removed
    Gone,
}

/// `task stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id; all tasks where none is given
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::tasks))]
    pub names: Vec<String>,
}
