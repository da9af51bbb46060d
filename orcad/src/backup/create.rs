//! `orcad backup create`: a consistent copy beside a running daemon.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use orca_api::units::Time;

use super::{BackupError, authority, line, stamp, store_of};
use crate::store::{self, Backup, StoreError, Summary};

/// Where backups go that are given no name, in the state folder.
const FOLDER: &str = "backups";
/// Backups whose name was made up begin so, …
const PREFIX: &str = "orca-";
/// … and end so.
const SUFFIX: &str = ".db";

/// Makes a backup in a file, or under a made-up name in a folder, and keeps the newest `keep` of that folder.
pub(super) fn create(
    state_dir: &Path,
    file: Option<PathBuf>,
    keep: Option<u32>,
    now: Time,
    out: &mut dyn Write,
) -> Result<(), BackupError> {
    let store = store_of(state_dir);
    let named = || format!("{PREFIX}{}{SUFFIX}", stamp(now));
    let (to, ours) = match file {
        None => {
            let folder = state_dir.join(FOLDER);
            make_folder(&folder, &store)?;
            (folder.join(named()), true)
        }
        Some(folder) if folder.is_dir() => (folder.join(named()), false),
        Some(file) if keep.is_some() => return Err(BackupError::KeepNeedsFolder(file)),
        Some(file) => (file, false),
    };
    let summary = write(&store, &to, ours)?;
    if let Some(keep) = keep {
        for old in older(&to, keep)? {
            std::fs::remove_file(&old).map_err(io("remove", &old))?;
        }
    }
    writeln!(out, "{}: {}", to.display(), line(&summary))?;
    Ok(())
}

/// Copies under another name and renames what is whole, so that a file with the right name always is.
fn write(store: &Path, to: &Path, ours: bool) -> Result<Summary, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    remove(&part)?;
    let made = fill(store, &part, ours).and_then(|summary| {
        std::fs::rename(&part, to).map_err(io("rename", &part))?;
        let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(io("write", folder))?;
        Ok(Summary { file: to.to_owned(), ..summary })
    });
    if made.is_err() {
        // The first error is the one to tell; the next try removes what is left.
        let _ = remove(&part);
    }
    made
}

fn fill(store: &Path, part: &Path, ours: bool) -> Result<Summary, BackupError> {
    store::copy_to(store, part)?;
    let state = store.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some(sealed) = authority::sealed(state)? {
        store::attach(part, authority::SEALED, &sealed)?;
    }
    if ours {
        store::own(part, store)?;
    }
    // Older backups may be removed on the strength of this one.
    let backup = Backup::open(part)?;
    backup.check()?;
    Ok(backup.summary()?)
}

/// Makes the folder, for the daemon's user alone.
fn make_folder(folder: &Path, store: &Path) -> Result<(), BackupError> {
    if folder.is_dir() {
        return Ok(());
    }
    // Not the state folder itself: where that is missing, there is nothing to back up.
    std::fs::DirBuilder::new().mode(0o700).create(folder).map_err(io("make", folder))?;
    Ok(store::own(folder, store)?)
}

/// The backups in the folder of the newest one that are more than `keep`. Only made-up names count.
fn older(newest: &Path, keep: u32) -> Result<Vec<PathBuf>, BackupError> {
    let folder = newest.parent().unwrap_or(Path::new("."));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io("read", folder))? {
        let name = entry.map_err(io("read", folder))?.file_name();
        if let Some(name) = name.to_str().filter(|name| is_made_up(name)) {
            names.push(name.to_owned());
        }
    }
    // The instant in the name sorts as text.
    names.sort_unstable();
    names.truncate(names.len().saturating_sub(keep as usize));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn is_made_up(name: &str) -> bool {
    name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)).is_some_and(|stamp| {
        stamp.len() == 16
            && stamp.bytes().enumerate().all(|(at, b)| match at {
                8 => b == b'T',
                15 => b == b'Z',
                _ => b.is_ascii_digit(),
            })
    })
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io("remove", path)(e)),
        _ => Ok(()),
    }
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| match source.kind() {
        ErrorKind::StorageFull => BackupError::Store(StoreError::Io { doing, path, source }),
        _ => BackupError::Io { doing, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_made_up_names_are_counted() {
        assert!(is_made_up(&format!("orca-{}.db", stamp(Time::from_ms(1_764_000_000_500)))));
        for name in [
            "orca-.db",
            "orca-before-upgrade-1.db",
            "orca-20261124T183000Z.db.part",
            "manager.db",
            "orca-20261124T18300ZZ.db",
        ] {
            assert!(!is_made_up(name), "{name}");
        }
    }
}
