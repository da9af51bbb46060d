//! `orcad backup`: the cluster's state in one file, and back.
//!
//! ```text
//!   create    store ──► FILE.part ─► checked, fsynced ─► FILE      a daemon may run and write; nothing waits for it
//!   verify    FILE ──► pages, rows, the invariants of the cluster   nothing is written
//!   inspect   FILE ──► what is in it
//!   restore   FILE ──► authority where it is missing, store        only without a daemon; the old store is kept
//! ```
//!
//! A backup is the manager's store and, sealed, its certificate authority ([`authority`]). The worker's store is rebuilt
//! from containers and the manager, images and volumes belong to the engine, and identities are issued anew. After a
//! restore the epoch is higher than any before, so that what workers hold of
//! the time after the backup gives way: what was started since is stopped, what was removed since starts again.
//!
//! It decides nothing about tasks. `main` calls it, once, and exits.

mod authority;
mod create;
mod error;
mod restore;
mod verify;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use orca_api::units::{Bytes, Time};

pub use self::error::BackupError;
use crate::args::BackupCommand;
use crate::config::ConfigErrors;
use crate::store::Summary;

/// The manager's store in a state folder.
const STORE: &str = "manager.db";

/// Runs a command; what it has to say for other programs goes to `out`. `state_dir` is asked for where it is needed.
///
/// # Errors
/// [`BackupError::exit_code`] and [`BackupError::render`] are for them.
pub fn run(
    command: BackupCommand,
    state_dir: impl FnOnce() -> Result<PathBuf, ConfigErrors>,
    out: &mut dyn Write,
) -> Result<(), BackupError> {
    match command {
        BackupCommand::Create { file, keep } => {
            create::create(&state_dir()?, file, keep, crate::clock::now().wall, out)
        }
        BackupCommand::Verify { file } => verify::verify(&file, out),
        BackupCommand::Inspect { file, output } => verify::inspect(&file, output, out),
        BackupCommand::RecoveryKey => authority::show_key(&state_dir()?, out),
        BackupCommand::Restore { file, yes, recovery_key, without_ca } => restore::restore(
            &state_dir()?,
            &file,
            if yes { restore::Consent::Given } else { restore::Consent::Ask },
            &match recovery_key {
                Some(file) => authority::Recovery::File(file),
                None if without_ca => authority::Recovery::Without,
                None => authority::Recovery::Here,
            },
            out,
        ),
    }
}

/// An instant as it stands in names of files: `20261124T183000Z`.
fn stamp(at: Time) -> String {
    let whole = Time::from_ms(at.ms().div_euclid(1000) * 1000).to_string();
    let seconds = whole.split('.').next().unwrap_or_default();
    seconds.chars().filter(|c| !matches!(c, '-' | ':' | 'Z')).chain(['Z']).collect()
}

/// `revision 41, 1 node, 3 tasks, 57 events, 120 KiB`
fn line(summary: &Summary) -> String {
    let of = |n: u64, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    format!(
        "revision {}, {}, {}, {}, {}",
        summary.revision,
        of(summary.nodes, "node"),
        of(summary.tasks, "task"),
        of(summary.events, "event"),
        Bytes::new(summary.bytes)
    )
}

/// The path of the manager's store.
fn store_of(state_dir: &Path) -> PathBuf {
    state_dir.join(STORE)
}
