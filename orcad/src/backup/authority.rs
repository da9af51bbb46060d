//! The certificate authority in a backup: sealed with the recovery key, which is not in it.
//!
//! On the machine that made the backup the key lies in the state folder, and nobody types anything. Elsewhere it comes
//! from a file that somebody kept (`--recovery-key FILE`); where it is lost, `--without-ca` restores the rest, and every
//! other node joins anew.

use std::io::Write;
use std::path::{Path, PathBuf};

use orca_api::id::ClusterId;

use super::BackupError;
use super::verify::unusable;
use crate::pki::ca::{self, Ca};
use crate::pki::folder;
use crate::pki::identity::{self, NodeIdentity};
use crate::pki::seal::{self, KEY_FILE, RecoveryKey};
use crate::store::Backup;

/// The attachment's name, and what the seal is for.
pub(super) const SEALED: &str = "ca.sealed";

/// Where the recovery key of a restore comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// From the state folder.
    Here,
    /// From a file.
    File(PathBuf),
    /// The authority is not restored.
    Without,
}

/// The sealed authority of a state folder, where it has one. A recovery key is made where there is none.
pub(super) fn sealed(state: &Path) -> Result<Option<Vec<u8>>, BackupError> {
    let Some(ca) = Ca::load(state)? else { return Ok(None) };
    let key = match RecoveryKey::of_state(state)? {
        Some(key) => key,
        None => {
            let key = RecoveryKey::fresh()?;
            key.save(state)?;
            eprintln!(
                "note: backups hold the certificate authority, sealed. Another machine needs the recovery key to restore it: keep a copy of {} elsewhere (orcad backup recovery-key shows it)",
                state.join(KEY_FILE).display()
            );
            key
        }
    };
    Ok(Some(seal::seal(&key, SEALED, &ca.to_bytes())?))
}

/// Prints the recovery key.
pub(super) fn show_key(state: &Path, out: &mut dyn Write) -> Result<(), BackupError> {
    let key =
        RecoveryKey::of_state(state)?.ok_or_else(|| BackupError::NoRecoveryKey(state.join(KEY_FILE)))?;
    writeln!(out, "{}", *key.text())?;
    Ok(())
}

/// What a restore does about the authority. Nothing is written yet.
pub(super) enum Plan {
    /// The state folder's stays, or there is none to restore.
    Keep,
    /// This one is put in place, and its key kept for the next backup.
    Put(Box<Ca>, RecoveryKey),
}

/// Opens the authority of a backup, where the state folder has not got one of that cluster.
pub(super) fn plan(
    state: &Path,
    backup: &Backup,
    cluster: ClusterId,
    recovery: &Recovery,
) -> Result<Plan, BackupError> {
    let sealed = backup.attachment(SEALED).map_err(unusable(backup.path()))?;
    let (Some(sealed), false) = (sealed, *recovery == Recovery::Without) else { return Ok(Plan::Keep) };
    // One that is there is as new as the one in the backup, or newer: nodes trust it. One that cannot be read is
    // replaced.
    if matches!(Ca::load(state), Ok(Some(present)) if present.cluster() == cluster) {
        return Ok(Plan::Keep);
    }
    let key = match recovery {
        Recovery::File(file) => RecoveryKey::read(file)?,
        _ => RecoveryKey::of_state(state)?.ok_or_else(|| BackupError::NoRecoveryKey(state.join(KEY_FILE)))?,
    };
    let ca = Ca::from_bytes(&seal::open(&key, SEALED, &sealed)?)?;
    if ca.cluster() != cluster {
        return Err(BackupError::Contradictory {
            path: backup.path().to_owned(),
            findings: vec![format!("its certificate authority is of cluster {}", ca.cluster())],
        });
    }
    Ok(Plan::Put(Box::new(ca), key))
}

impl Plan {
    /// Carries it out, before the store is replaced: a daemon that found the store without its authority would make
    /// another, which no node trusts. What is of another cluster is kept under the stamp.
    pub(super) fn carry_out(self, state: &Path, cluster: ClusterId, stamp: &str) -> Result<(), BackupError> {
        if let Self::Put(ca, key) = self {
            if let Some(aside) = folder::archive(state, ca::FOLDER, stamp).map_err(ca::CaError::from)? {
                eprintln!("note: the certificate authority that was there is kept as {}", aside.display());
            }
            ca.save(state)?;
            key.save(state)?;
        }
        let foreign = match NodeIdentity::load(state) {
            Ok(found) => found.is_some_and(|identity| identity.about.cluster != cluster),
            Err(_) => true,
        };
        if foreign && let Some(aside) = identity::archive(state, stamp)? {
            eprintln!(
                "note: the identity that was there is of another cluster, and is kept as {}",
                aside.display()
            );
        }
        Ok(())
    }
}
