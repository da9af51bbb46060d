//! What may be typed: clap types, and nothing that acts on them.
//!
//! `orcactl <noun> <verb>`; the few words without a noun (`status`, `events`, `version`) concern the whole.
//! Each command's help begins with examples, kept in [`examples`].

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use orca_api::units::Span;

use crate::commands::completion;

pub mod cluster;
pub mod debug;
pub mod examples;
pub mod job;
pub mod node;
pub mod spec;
pub mod task;

/// Where orcad's control socket stands where nothing else is said.
pub const SOCKET_DEFAULT: &str = "/run/orca/orca.sock";

const TEMPLATE: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// The whole command.
#[derive(Debug, Parser)]
#[command(name = "orcactl", version, about = "Run containers on one machine or on many", term_width = 80)]
#[command(subcommand_required = true, disable_help_flag = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// Which command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The control socket of orcad; /run/orca/orca.sock where nothing is said
    #[arg(long, global = true, value_name = "PATH", env = "ORCA_SOCKET", hide_env = true)]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// A manager to ask over the network, with the certificate of a context
    #[arg(long, global = true, value_name = "HOST[:PORT]", env = "ORCA_HOST", hide_env = true)]
    pub host: Option<String>,
    /// The context to use; `local` is the socket of this machine
    #[arg(long, global = true, value_name = "NAME", env = "ORCA_CONTEXT", hide_env = true)]
    #[arg(add = ArgValueCompleter::new(completion::contexts))]
    pub context: Option<String>,
    /// Which of them were typed; the others come from the environment.
    #[arg(skip)]
    pub typed: Typed,
    /// How long orcad may take to answer
    #[arg(long, global = true, value_name = "TIME", default_value = "10s")]
    pub answer_timeout: Span,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Which of the options that say whom to ask were typed: they count more than the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Typed {
    /// `--socket`.
    pub socket: bool,
    /// `--host`.
    pub host: bool,
    /// `--context`.
    pub context: bool,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Sets it for the whole process.
    pub fn set(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// The form of what is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For people, with more columns
    Wide,
    /// For machines: documented in the API
    Json,
    /// Only names
    Name,
}

/// How a command says what it found or did.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Output {
    /// The form of the output
    #[arg(short = 'o', long = "output", value_name = "FORM", default_value = "table")]
    pub format: Format,
    /// Print ids only
    #[arg(short, long)]
    pub quiet: bool,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start, stop and look at tasks
    #[command(subcommand, before_help = examples::TASK)]
    Task(task::TaskCommand),
    /// Run jobs: tasks that are changed and taken back as one
    #[command(subcommand, before_help = examples::JOB)]
    Job(job::JobCommand),
    /// Look at the nodes, and allow or forbid new work on them
    #[command(subcommand, before_help = examples::NODE)]
    Node(node::NodeCommand),
    /// Let this machine decide: the manager role
    #[command(subcommand, before_help = examples::MANAGER)]
    Manager(node::ManagerCommand),
    /// Let this machine run tasks: the worker role
    #[command(subcommand, before_help = examples::WORKER)]
    Worker(node::WorkerCommand),
    /// Look at and change what holds for the whole cluster
    #[command(subcommand, before_help = examples::CLUSTER)]
    Cluster(cluster::ClusterCommand),
    /// Say which cluster orcactl works on
    #[command(subcommand, before_help = examples::CONTEXT)]
    Context(cluster::ContextCommand),
    /// Show how everything is, and what needs attention
    #[command(before_help = examples::STATUS)]
    Status(cluster::StatusArgs),
    /// Watch nodes and tasks on a live screen
    #[command(before_help = examples::TOP)]
    Top(cluster::TopArgs),
    /// Check that everything is as it should be on this machine
    #[command(before_help = examples::DOCTOR)]
    Doctor(cluster::DoctorArgs),
    /// Show what happened
    #[command(before_help = examples::EVENTS)]
    Events(cluster::EventsArgs),
    /// Show the versions of orcactl and orcad
    #[command(before_help = examples::VERSION)]
    Version(cluster::VersionArgs),
    /// Gather what a bug report needs
    #[command(subcommand, before_help = examples::DEBUG)]
    Debug(debug::DebugCommand),
    /// Print a completion script for a shell
    #[command(before_help = examples::COMPLETION)]
    Completion(cluster::CompletionArgs),
}

/// The clap tree, with the template of help on every level.
pub fn command() -> clap::Command {
    fn with_template(command: clap::Command) -> clap::Command {
        command.help_template(TEMPLATE).disable_help_subcommand(true).mut_subcommands(with_template)
    }
    // One help for -h and --help: short lines, all of it on a screen or two.
    let help =
        Arg::new("help").short('h').long("help").help("Print help").action(ArgAction::HelpShort).global(true);
    with_template(Cli::command().arg(help).before_help(examples::ROOT).after_help(examples::EXIT_CODES))
}

/// Reads arguments.
///
/// # Errors
/// What clap says; help and version are among them.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = parse_once(&arguments)?;
    match &cli.command {
        Command::Job(job::JobCommand::Run(run)) => match run.with_options_first(&arguments) {
            Some(arguments) => parse_once(&arguments),
            None => Ok(cli),
        },
        _ => Ok(cli),
    }
}

fn parse_once(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
    let typed = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
    cli.global.typed = Typed { socket: typed("socket"), host: typed("host"), context: typed("context") };
    Ok(cli)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(command: &clap::Command, path: &str, see: &mut impl FnMut(&str, &clap::Command)) {
        let path = format!("{path} {}", command.get_name());
        see(path.trim(), command);
        for sub in command.get_subcommands() {
            each(sub, &path, see);
        }
    }

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_two_examples_that_parse() {
        each(&command(), "", &mut |path, command| {
            let text = command.get_before_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
            assert!(examples.len() >= 2, "{path} has {} examples", examples.len());
            for example in examples {
                let words = example.split_whitespace().skip_while(|word| *word != "orcactl");
                let words: Vec<OsString> =
                    words.take_while(|w| !["|", ">", "#"].contains(w)).map(OsString::from).collect();
                if let Err(error) = parse(words) {
                    panic!("{path}: `{example}`: {error}");
                }
            }
        });
    }

    #[test]
    fn help_fits_80_columns() {
        let mut tree = command();
        tree.build();
        each(&tree, "", &mut |path, command| {
            for text in [command.clone().render_help(), command.clone().render_long_help()] {
                for line in text.to_string().lines() {
                    assert!(line.chars().count() <= 80, "{path}: {line}");
                }
            }
        });
    }
}
