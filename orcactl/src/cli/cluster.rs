//! The commands that concern the whole, or orcactl itself.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use orca_api::name::Name;
use orca_api::units::Span;

use super::{Output, examples};
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
    /// Only of this node
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(completion::nodes))]
    pub node: Option<String>,
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

/// What can be done with the cluster as such.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the cluster's settings, addresses and CA
    #[command(before_help = examples::CLUSTER_INSPECT)]
    Inspect(ClusterInspectArgs),
    /// Change settings of the cluster
    #[command(before_help = examples::CLUSTER_SET)]
    Set(ClusterSetArgs),
    /// Make a certificate with which a person or program works from elsewhere
    #[command(before_help = examples::ADMIN_CERT, subcommand_negates_reqs = true)]
    #[command(
        args_conflicts_with_subcommands = true,
        override_usage = "orcactl cluster admin-cert [OPTIONS] NAME\n       orcactl cluster admin-cert <COMMAND>"
    )]
    AdminCert(AdminCertArgs),
    /// The authority that certificates are signed with
    #[command(subcommand, before_help = examples::CA)]
    Ca(CaCommand),
}

/// `cluster inspect`.
#[derive(Debug, Args)]
pub struct ClusterInspectArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `cluster set`.
#[derive(Debug, Args)]
pub struct ClusterSetArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// scheduler, node_grace, agent_grace, certificate_ttl or addresses, and the value
    #[arg(value_name = "KEY=VALUE", required = true, add = ArgValueCompleter::new(completion::settings))]
    pub settings: Vec<String>,
}

/// `cluster admin-cert`.
#[derive(Debug, Args)]
pub struct AdminCertArgs {
    /// What it allows
    #[arg(long, value_name = "ROLE", default_value = "admin")]
    pub role: PersonRole,
    /// How long it is good, a year at most; 90 days where nothing is said
    #[arg(long, value_name = "TIME")]
    pub ttl: Option<Span>,
    /// Where to write the context, or into which folder; NAME.toml where nothing is said
    #[arg(short = 'o', long = "output", value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub output: Option<PathBuf>,
    /// Whose it is: shown in the audit and in lists
    #[arg(value_name = "NAME", required = true)]
    pub name: Option<Name>,
    /// Instead of making one.
    #[command(subcommand)]
    pub command: Option<AdminCertCommand>,
}

/// What a person's certificate allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PersonRole {
    /// Everything: whoever holds it is root on every node
    Admin,
    /// To look, without logs and environment values
    View,
}

/// What can be done with certificates of people.
#[derive(Debug, Subcommand)]
pub enum AdminCertCommand {
    /// List the certificates of people and programs
    #[command(visible_alias = "ls", before_help = examples::ADMIN_CERT_LIST)]
    List(AdminCertListArgs),
    /// Revoke certificates: connections that stand are closed
    #[command(before_help = examples::ADMIN_CERT_REVOKE)]
    Revoke(AdminCertRevokeArgs),
}

/// `cluster admin-cert list`.
#[derive(Debug, Args)]
pub struct AdminCertListArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `cluster admin-cert revoke`.
#[derive(Debug, Args)]
pub struct AdminCertRevokeArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Ids, or at least 4 characters of them
    #[arg(value_name = "CERTIFICATE", required = true, add = ArgValueCompleter::new(completion::certificates))]
    pub certificates: Vec<String>,
}

/// What can be done with the CA.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Replace the CA and every certificate of a node; no task is touched
    #[command(before_help = examples::CA_ROTATE)]
    Rotate(CaRotateArgs),
}

/// `cluster ca rotate`.
#[derive(Debug, Args)]
pub struct CaRotateArgs {
    /// Return at once, without waiting until every node is renewed
    #[arg(short, long)]
    pub detach: bool,
    /// Give up waiting after this time; the rotation goes on
    #[arg(long, value_name = "TIME", conflicts_with = "detach")]
    pub timeout: Option<Span>,
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// What can be done with contexts.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List the contexts
    #[command(visible_alias = "ls", before_help = examples::CONTEXT_LIST)]
    List(ContextListArgs),
    /// Take in a file that `orcactl cluster admin-cert` made
    #[command(before_help = examples::CONTEXT_ADD)]
    Add(ContextAddArgs),
    /// Use a context from now on; `local` is the socket of this machine
    #[command(before_help = examples::CONTEXT_USE)]
    Use(ContextUseArgs),
    /// Show a context, without its key
    #[command(before_help = examples::CONTEXT_SHOW)]
    Show(ContextShowArgs),
    /// Remove contexts
    #[command(before_help = examples::CONTEXT_REMOVE)]
    Remove(ContextRemoveArgs),
}

/// `context list`.
#[derive(Debug, Args)]
pub struct ContextListArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
}

/// `context add`.
#[derive(Debug, Args)]
pub struct ContextAddArgs {
    /// Its name here; that of the file where nothing is said
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// Take the place of a context of that name
    #[arg(short, long)]
    pub force: bool,
    /// The file
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
}

/// `context use`.
#[derive(Debug, Args)]
pub struct ContextUseArgs {
    /// Its name
    #[arg(value_name = "CONTEXT", add = ArgValueCompleter::new(completion::contexts))]
    pub name: Name,
}

/// `context show`.
#[derive(Debug, Args)]
pub struct ContextShowArgs {
    /// How to say it.
    #[command(flatten)]
    pub output: Output,
    /// Its name; the current one where none is given
    #[arg(value_name = "CONTEXT", add = ArgValueCompleter::new(completion::contexts))]
    pub name: Option<Name>,
}

/// `context remove`.
#[derive(Debug, Args)]
pub struct ContextRemoveArgs {
    /// Their names
    #[arg(value_name = "CONTEXT", required = true, add = ArgValueCompleter::new(completion::contexts))]
    pub names: Vec<Name>,
}
