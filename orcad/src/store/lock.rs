//! One process a store: an advisory lock on a file beside it, held for as long as the process lives.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::StoreError;

/// The lock. The kernel lets go of it when the process ends, however it ends; the file stays.
#[derive(Debug)]
pub(super) struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes the lock of a store, without waiting.
    pub(super) fn take(store: &Path) -> Result<Self, StoreError> {
        let path = super::sqlite::beside(store, ".lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(in_use(store.to_owned(), &mut file)),
            Err(e) => return Err(StoreError::io("lock", &path)(e.into())),
        }
        // Who holds it is only said for people. A full disk must not keep orcad from starting, so a failure is let be.
        let _said = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn in_use(path: PathBuf, file: &mut File) -> StoreError {
    let mut text = String::new();
    let holder = file.take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
    StoreError::InUse { path, holder }
}
