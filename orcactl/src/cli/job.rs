//! `orcactl job …`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use orca_api::job::JobType;
use orca_api::name::Name;
use orca_api::units::Span;

use super::spec::SpecArgs;
use super::task::LogFormat;
use super::{Output, examples};
use crate::commands::completion;

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Write an example of a job's file, with comments
    #[command(before_help = examples::JOB_INIT)]
    Init(InitArgs),
    /// Print the JSON Schema of a job's file
    #[command(before_help = examples::JOB_SCHEMA)]
    Schema,
    /// Show what a run would change, without doing it
    #[command(before_help = examples::JOB_PLAN, after_help = examples::JOB_PLAN_CODES)]
    Plan(PlanArgs),
    /// Run a job, or roll a change of it out, and wait until it is done
    #[command(before_help = examples::JOB_RUN, override_usage = "orcactl job run [OPTIONS] FILE\n       orcactl job run [OPTIONS] --name NAME IMAGE [COMMAND]...")]
    Run(Box<RunArgs>),
    /// List the jobs
    #[command(visible_alias = "ls", before_help = examples::JOB_LIST)]
    List(ListArgs),
    /// Show everything about jobs
    #[command(before_help = examples::JOB_INSPECT)]
    Inspect(InspectArgs),
    /// Say why a job's tasks run where they run, or why not
    #[command(before_help = examples::JOB_EXPLAIN)]
    Explain(ExplainArgs),
    /// Change how many tasks a group has
    #[command(before_help = examples::JOB_SCALE)]
    Scale(ScaleArgs),
    /// Stop the tasks of jobs; their names stay taken
    #[command(before_help = examples::JOB_STOP)]
    Stop(ActArgs),
    /// Start jobs that were stopped
    #[command(before_help = examples::JOB_START)]
    Start(ActArgs),
    /// Restart the tasks of jobs, a few at a time
    #[command(before_help = examples::JOB_RESTART)]
    Restart(ActArgs),
    /// Remove jobs with their tasks, and free their names
    #[command(before_help = examples::JOB_REMOVE)]
    Remove(RemoveArgs),
    /// Show the versions of a job: when, by whom, what differs
    #[command(before_help = examples::JOB_HISTORY)]
    History(HistoryArgs),
    /// Go back to an earlier version
    #[command(before_help = examples::JOB_ROLLBACK)]
    Rollback(RollbackArgs),
    /// Look at a change that is under way, or tell it something
    #[command(subcommand, before_help = examples::JOB_ROLLOUT)]
    Rollout(RolloutCommand),
    /// Wait for a job
    #[command(before_help = examples::JOB_WAIT)]
    Wait(WaitArgs),
    /// Show the output of a job's tasks, merged by time
    #[command(before_help = examples::JOB_LOGS)]
    Logs(LogsArgs),
    /// Run a command in one of a job's running tasks
    #[command(before_help = examples::JOB_EXEC, override_usage = "orcactl job exec [OPTIONS] NAME [--] COMMAND [ARG]...")]
    Exec(ExecArgs),
}

/// `job init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where to write it (- for standard output); a file that is there is not touched
    #[arg(value_name = "FILE", default_value = "job.toml", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
}

/// Values of a file's variables.
#[derive(Debug, Default, Args)]
pub struct VariableArgs {
    /// Give a variable of the file a value
    #[arg(long, value_name = "NAME=VALUE")]
    pub var: Vec<String>,
    /// Read values of variables from a TOML file; --var counts more
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub var_file: Vec<PathBuf>,
}

/// `job plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Values of its variables.
    #[command(flatten)]
    pub variables: VariableArgs,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// The job's file: TOML, or JSON that means the same (- for standard input)
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
}

/// `job run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run a job of this name without a file: IMAGE and flags say what it is
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// How many tasks [default: 1]
    #[arg(long, value_name = "NUMBER", requires = "name")]
    pub count: Option<u32>,
    /// How its tasks live [default: service]
    #[arg(long = "type", value_name = "TYPE", requires = "name")]
    pub kind: Option<TypeArg>,
    /// Only while the job has this revision, as `job plan` said
    #[arg(long, value_name = "REVISION")]
    pub if_revision: Option<u64>,
    /// Return at once, without waiting until the tasks run
    #[arg(short, long)]
    pub detach: bool,
    /// Give up waiting after this time; the job goes on
    #[arg(long, value_name = "TIME", conflicts_with = "detach")]
    pub timeout: Option<Span>,
    /// Values of the file's variables.
    #[command(flatten)]
    pub variables: VariableArgs,
    /// How to say what was run.
    #[command(flatten)]
    pub output: Output,
    /// What each task is.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// The job's file (- for standard input); with --name the image, and what to run in it
    #[arg(value_names = ["FILE|IMAGE", "COMMAND"], required = true, num_args = 1.., trailing_var_arg = true, value_hint = clap::ValueHint::FilePath)]
    pub what: Vec<String>,
}

impl RunArgs {
    /// What follows an image is its command, whatever it begins with; what follows a file may be options. So where a
    /// file is followed by them, the same arguments with the file at their end.
    pub fn with_options_first(&self, arguments: &[OsString]) -> Option<Vec<OsString>> {
        let [file, rest @ ..] = self.what.as_slice() else { return None };
        let tail = arguments.len().checked_sub(self.what.len())?;
        let is_tail = arguments[tail..].iter().zip(&self.what).all(|(a, b)| a.as_os_str() == b.as_str());
        if self.name.is_some() || !is_tail || !rest.first().is_some_and(|word| word.starts_with('-')) {
            return None;
        }
        let options = rest.iter().chain(std::iter::once(file)).map(OsString::from);
        Some(arguments[..tail].iter().cloned().chain(options).collect())
    }
}

/// How a job's tasks live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TypeArg {
    /// For ever, so many
    Service,
    /// To completion, so many
    Batch,
    /// For ever, one on every node that fits
    System,
    /// To completion, one on every node that fits
    Sysbatch,
}

impl From<TypeArg> for JobType {
    fn from(kind: TypeArg) -> Self {
        match kind {
            TypeArg::Service => Self::Service,
            TypeArg::Batch => Self::Batch,
            TypeArg::System => Self::System,
            TypeArg::Sysbatch => Self::Sysbatch,
        }
    }
}

/// `job list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `job inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(completion::jobs))]
    pub names: Vec<String>,
}

/// `job explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobs))]
    pub name: String,
}

/// `job scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Which group, where the job has several
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Return at once, without waiting until that many run
    #[arg(short, long)]
    pub detach: bool,
    /// Give up waiting after this time; the job goes on
    #[arg(long, value_name = "TIME", conflicts_with = "detach")]
    pub timeout: Option<Span>,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobs))]
    pub name: String,
    /// How many tasks
    #[arg(value_name = "COUNT")]
    pub count: u32,
}

/// `job stop`, `job start` and `job restart`.
#[derive(Debug, Args)]
pub struct ActArgs {
    /// Return at once, without waiting until it is done
    #[arg(short, long)]
    pub detach: bool,
    /// Give up waiting after this time; the job goes on
    #[arg(long, value_name = "TIME", conflicts_with = "detach")]
    pub timeout: Option<Span>,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(completion::jobs))]
    pub names: Vec<String>,
}

/// `job remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Stop a job that runs, then remove it
    #[arg(short, long)]
    pub force: bool,
    /// Return at once, without waiting until the jobs are gone
    #[arg(short, long)]
    pub detach: bool,
    /// Answer yes to the question whether a job that runs is to be stopped
    #[arg(short, long)]
    pub yes: bool,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NAME", required = true, add = ArgValueCompleter::new(completion::jobs))]
    pub names: Vec<String>,
}

/// `job history`, `job rollout status` and `job rollout pause`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobs))]
    pub name: String,
}

/// `job rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// To which version; the last one before the present that was healthy where none is given
    #[arg(long, value_name = "VERSION")]
    pub to: Option<u32>,
    /// Return at once, without waiting until the tasks run
    #[arg(short, long)]
    pub detach: bool,
    /// Give up waiting after this time; the job goes on
    #[arg(long, value_name = "TIME", conflicts_with = "detach")]
    pub timeout: Option<Span>,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobs))]
    pub name: String,
}

/// What can be done with a change that is under way.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Show how far a change has come
    #[command(before_help = examples::JOB_ROLLOUT_STATUS)]
    Status(HistoryArgs),
    /// Let a change stand still
    #[command(before_help = examples::JOB_ROLLOUT_PAUSE)]
    Pause(HistoryArgs),
    /// Let a change go on; canaries that stand are promoted
    #[command(before_help = examples::JOB_ROLLOUT_RESUME)]
    Resume(RolloutArgs),
    /// Go back to the version before
    #[command(before_help = examples::JOB_ROLLOUT_ABORT)]
    Abort(RolloutArgs),
}

/// `job rollout resume` and `abort`.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    /// Return at once, without waiting until it is done
    #[arg(short, long)]
    pub detach: bool,
    /// Give up waiting after this time; the job goes on
    #[arg(long, value_name = "TIME", conflicts_with = "detach")]
    pub timeout: Option<Span>,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobs))]
    pub name: String,
}

/// `job wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// What to wait for
    #[arg(long = "for", value_name = "STATE", default_value = "healthy")]
    pub goal: Goal,
    /// Give up after this time, with exit code 124
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// How to say what came of it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobs))]
    pub name: String,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// All of its tasks run and are healthy, and no change is under way
    Healthy,
    /// It ran to its end
    Complete,
    /// It was removed
    Gone,
}

/// `job logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Go on as the tasks write, over their restarts
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines of each task
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Only what came after a point in time (RFC 3339), or within a time (10m)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only the tasks of this group
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Begin each line with its time
    #[arg(short = 't', long)]
    pub timestamps: bool,
    /// The form of the output; json is one object a line
    #[arg(short = 'o', long = "output", value_name = "FORM", default_value = "text")]
    pub format: LogFormat,
    /// Leave out what orca itself says about the output
    #[arg(short, long)]
    pub quiet: bool,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::jobs))]
    pub name: String,
}

/// `job exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// In a task of this group
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
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
    /// The job's name and the command
    #[arg(value_names = ["NAME", "COMMAND"], trailing_var_arg = true, required = true, num_args = 1.., add = ArgValueCompleter::new(completion::jobs))]
    pub name_and_command: Vec<String>,
}
