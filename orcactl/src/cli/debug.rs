//! `orcactl debug …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::examples;

/// What helps those who look for a fault.
#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Put what a bug report needs into one file, without secrets
    #[command(before_help = examples::DEBUG_BUNDLE)]
    Bundle(BundleArgs),
}

/// `debug bundle`.
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The file, .tar.gz; one that exists is left alone [default: made of host name and time]
    #[arg(short = 'o', long = "output", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Print the file's name only
    #[arg(short, long)]
    pub quiet: bool,
}
