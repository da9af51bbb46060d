//! `orcactl node …`, `orcactl manager …` and `orcactl worker …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use orca_api::name::Name;
use orca_api::units::Span;

use super::{Output, examples};
use crate::commands::completion;

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes
    #[command(visible_alias = "ls", before_help = examples::NODE_LIST)]
    List(NodeListArgs),
    /// Show everything about nodes
    #[command(before_help = examples::NODE_INSPECT)]
    Inspect(NodeInspectArgs),
    /// Make a token with which machines join, and print the line to paste there
    #[command(before_help = examples::NODE_TOKEN)]
    #[command(
        args_conflicts_with_subcommands = true,
        override_usage = "orcactl node token [OPTIONS]\n       orcactl node token <COMMAND>"
    )]
    Token(TokenArgs),
    /// Move the work off a node: new placements run before old ones stop
    #[command(before_help = examples::NODE_DRAIN)]
    Drain(DrainArgs),
    /// Forbid new work on nodes; what runs there stays
    #[command(before_help = examples::NODE_PAUSE)]
    Pause(NodeArgs),
    /// Allow new work on nodes again
    #[command(before_help = examples::NODE_ACTIVATE)]
    Activate(NodeArgs),
    /// Change the labels of a node
    #[command(before_help = examples::NODE_LABEL)]
    Label(LabelArgs),
    /// Remove nodes from the cluster
    #[command(before_help = examples::NODE_REMOVE)]
    Remove(NodeRemoveArgs),
    /// Say that nodes are down for certain: their tasks are placed elsewhere
    #[command(before_help = examples::NODE_CONFIRM_DOWN)]
    ConfirmDown(NodeArgs),
}

/// `node list`.
#[derive(Debug, Args)]
pub struct NodeListArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `node inspect`.
#[derive(Debug, Args)]
pub struct NodeInspectArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id; this node where none is given
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(completion::nodes))]
    pub nodes: Vec<String>,
}

/// `node pause|activate|confirm-down`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NODE", required = true, add = ArgValueCompleter::new(completion::nodes))]
    pub nodes: Vec<String>,
}

/// `node token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What machines become with it
    #[arg(long, value_name = "ROLE", default_value = "worker")]
    pub role: TokenRole,
    /// How long it is good, 30d at most
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub ttl: Span,
    /// How many machines may join with it
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub uses: u32,
    /// Only for a machine of this name
    #[arg(long, value_name = "NAME")]
    pub node: Option<Name>,
    /// Where machines reach this manager, instead of what orcad found out
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub address: Vec<String>,
    /// How to say it; with --quiet or -o name, only the token.
    #[command(flatten)]
    pub output: Output,
    /// Instead of making one.
    #[command(subcommand)]
    pub command: Option<TokenCommand>,
}

/// What a machine becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenRole {
    /// It runs tasks
    Worker,
    /// It decides
    Manager,
}

/// What can be done with join tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List the tokens that are still good
    #[command(visible_alias = "ls", before_help = examples::TOKEN_LIST)]
    List(TokenListArgs),
    /// Revoke tokens: nobody joins with them any more
    #[command(before_help = examples::TOKEN_REVOKE)]
    Revoke(TokenRevokeArgs),
}

/// `node token list`.
#[derive(Debug, Args)]
pub struct TokenListArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `node token revoke`.
#[derive(Debug, Args)]
pub struct TokenRevokeArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Ids, or at least 4 characters of them
    #[arg(value_name = "TOKEN", required = true, add = ArgValueCompleter::new(completion::tokens))]
    pub tokens: Vec<String>,
}

/// `node drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Stop what has not left after this time
    #[arg(long, value_name = "TIME")]
    pub deadline: Option<Span>,
    /// Only say what would happen; exit code 2 where something would
    #[arg(long, conflicts_with_all = ["deadline", "detach", "timeout"])]
    pub plan: bool,
    /// Return at once, without waiting until the node is empty
    #[arg(short, long)]
    pub detach: bool,
    /// Give up waiting after this time; the drain goes on
    #[arg(long, value_name = "TIME", conflicts_with = "detach")]
    pub timeout: Option<Span>,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(completion::nodes))]
    pub node: String,
}

/// `node label`.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Take over what the node reports of itself: labels, data center, capacity
    #[arg(long)]
    pub accept: bool,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// The name, or at least 4 characters of an id
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(completion::nodes))]
    pub node: String,
    /// KEY=VALUE sets a label, KEY- removes it
    #[arg(value_name = "LABEL", required_unless_present = "accept")]
    pub labels: Vec<String>,
}

/// `node remove`.
#[derive(Debug, Args)]
pub struct NodeRemoveArgs {
    /// Though it has tasks, or answers still
    #[arg(short, long)]
    pub force: bool,
    /// Answer yes to the question that --force asks
    #[arg(short, long)]
    pub yes: bool,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NODE", required = true, add = ArgValueCompleter::new(completion::nodes))]
    pub nodes: Vec<String>,
}

/// What can be done with the manager role of this machine.
#[derive(Debug, Subcommand)]
pub enum ManagerCommand {
    /// Make this machine a manager that others can join
    #[command(before_help = examples::MANAGER_START)]
    Start(ManagerStartArgs),
    /// Close the port that other machines reach this manager on
    #[command(before_help = examples::MANAGER_STOP)]
    Stop(RoleStopArgs),
}

/// `manager start`.
#[derive(Debug, Args)]
pub struct ManagerStartArgs {
    /// Where to listen; port 7443 of every address where nothing is said
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Run no tasks on this machine
    #[arg(long)]
    pub no_worker: bool,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// What can be done with the worker role of this machine.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Let this machine run tasks: of its own cluster, or of that of a token
    #[command(before_help = examples::WORKER_START)]
    Start(WorkerStartArgs),
    /// Run no tasks on this machine any more
    #[command(before_help = examples::WORKER_STOP)]
    Stop(RoleStopArgs),
    /// Leave the cluster: its tasks go, this machine is a cluster of one again
    #[command(before_help = examples::WORKER_LEAVE)]
    Leave(LeaveArgs),
}

/// `worker start`.
#[derive(Debug, Args)]
pub struct WorkerStartArgs {
    /// The token of `orcactl node token` (- for standard input)
    #[arg(long, value_name = "TOKEN")]
    pub join: Option<String>,
    /// Read the token from a file
    #[arg(long, value_name = "FILE", conflicts_with = "join", value_hint = clap::ValueHint::FilePath)]
    pub join_file: Option<PathBuf>,
    /// Though this machine has tasks of its own: they are stopped and forgotten
    #[arg(long)]
    pub force: bool,
    /// Give up waiting after this time
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub timeout: Span,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `manager stop` and `worker stop`.
#[derive(Debug, Args)]
pub struct RoleStopArgs {
    /// Though tasks or nodes would be stranded
    #[arg(long)]
    pub force: bool,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `worker leave`.
#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// Without the manager, though tasks would be stranded
    #[arg(long)]
    pub force: bool,
    /// Give up waiting after this time; the node goes on leaving
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub timeout: Span,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}
