//! `orcad backup restore`: a backup in the place of the store, with no daemon running.

use std::io::{BufRead as _, IsTerminal as _, Write};
use std::path::Path;

use orca_core::manager::Peer;

use super::authority::{self, Recovery};
use super::verify::{checked, open, unusable};
use super::{BackupError, stamp, store_of};
use crate::clock;
use crate::store::{Replacement, Summary};

/// Whether somebody agreed to lose what happened since the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// With `--yes`.
    Given,
    /// To be asked for, on a terminal.
    Ask,
}

/// Restores a backup. The file is checked whole before anything of the present store is touched.
pub(super) fn restore(
    state_dir: &Path,
    file: &Path,
    consent: Consent,
    recovery: &Recovery,
    out: &mut dyn Write,
) -> Result<(), BackupError> {
    let store = store_of(state_dir);
    let replacement = Replacement::begin(&store)?;
    let backup = open(file)?;
    for finding in checked(&backup)? {
        eprintln!("warning: {finding}");
    }
    let summary = backup.summary().map_err(unusable(file))?;
    if let Some(present) = replacement.present().filter(|present| *present != summary.cluster) {
        eprintln!(
            "warning: the backup is of cluster {}, and this is a node of cluster {present}: containers of that cluster are left alone and no longer watched",
            summary.cluster
        );
    }
    let authority = authority::plan(state_dir, &backup, summary.cluster, recovery)?;
    if consent == Consent::Ask {
        ask(&summary, &store)?;
    }
    let by =
        Peer::Unix { uid: rustix::process::getuid().as_raw(), pid: Some(std::process::id().cast_signed()) };
    let now = clock::now().wall;
    authority.carry_out(state_dir, summary.cluster, &stamp(now))?;
    let restored = replacement.put(&backup, &by, now, &stamp(now))?;
    writeln!(out, "restored: {}, revision {}, epoch {}", store.display(), restored.revision, restored.epoch)?;
    if let Some(aside) = restored.aside {
        eprintln!("note: the store that was there is kept as {}", aside.display());
    }
    eprintln!("hint: systemctl start orcad");
    Ok(())
}

fn ask(summary: &Summary, store: &Path) -> Result<(), BackupError> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(BackupError::NotAgreed("there is no terminal to ask on"));
    }
    eprintln!(
        "{} becomes what it was at revision {} ({} tasks).",
        store.display(),
        summary.revision,
        summary.tasks
    );
    eprint!(
        "Tasks that were started since are stopped, tasks that were removed since start again. Go on? [y/N] "
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(BackupError::NotAgreed("the answer was no"))
    }
}
