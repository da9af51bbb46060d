//! `orcad backup restore`: a backup in the place of the store, with no daemon running.

use std::io::{BufRead as _, IsTerminal as _, Write};
use std::path::Path;

use orca_core::manager::{Admits, Peer};

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
    for line in admitted(restored.admits) {
        eprintln!("{line}");
    }
    eprintln!("hint: systemctl start orcad");
    Ok(())
}

/// What is to be looked through, since the backup may be from before it was taken back.
fn admitted(admits: Admits) -> Vec<String> {
    let mut lines = Vec::new();
    let are = |n: usize, one: &str| if n == 1 { format!("1 {one} is") } else { format!("{n} {one}s are") };
    if admits.tokens > 0 {
        lines.push(format!(
            "note: {} not brought back, as they may have been used or revoked since: orcactl node token makes new ones",
            are(admits.tokens, "join token of the backup")
        ));
    }
    if admits.people > 0 {
        lines.push(format!(
            "warning: {} good again, also what was revoked since the backup: orcactl cluster admin-cert list, then admin-cert revoke",
            are(admits.people, "certificate of people or programs")
        ));
    }
    if admits.nodes > 0 {
        lines.push(format!(
            "warning: {} of the cluster as of the backup, also what was removed since: orcactl node list, then orcactl node remove",
            are(admits.nodes, "other node")
        ));
    }
    lines
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
