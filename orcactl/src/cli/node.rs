//! `orcactl node …`, `orcactl manager …` and `orcactl worker …`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

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
    /// Forbid new work on nodes; what runs there stays
    #[command(before_help = examples::NODE_PAUSE)]
    Pause(NodeArgs),
    /// Allow new work on nodes again
    #[command(before_help = examples::NODE_ACTIVATE)]
    Activate(NodeArgs),
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

/// `node pause|activate`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Names, or at least 4 characters of an id
    #[arg(value_name = "NODE", required = true, add = ArgValueCompleter::new(completion::nodes))]
    pub nodes: Vec<String>,
}

/// What can be done with a role of this node.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Give this node the role; starts orcad where it does not run
    #[command(before_help = examples::ROLE_START)]
    Start(RoleArgs),
}

/// `manager start` and `worker start`.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}
