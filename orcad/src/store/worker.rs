//! A worker's store: disposable. One that cannot be used is moved aside and begun empty.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orca_core::worker::io::Change;

use super::error::{CommitError, StoreError};
use super::history::History;
use super::reserve::{Reserve, Space};
use super::sqlite;
use super::worker_rows::{self, WorkerRows};
use super::writer::{CommitInfo, Writer};

/// The reserve is 5 % of the file system, at most this many bytes: a worker's store is small.
const RESERVE_MAX: u64 = 8 << 20;

/// A worker's store. Dropping it finishes what was handed in, and closes it.
pub struct WorkerStore {
    // Before the writer, so that the writer's connection is the last one and leaves no log behind.
    reader: History,
    writer: Writer<WorkerRows>,
    reserve: Arc<Reserve>,
    moved_aside: Option<PathBuf>,
}

impl WorkerStore {
    /// Opens the store at a path; makes it where there is none. One that is damaged, foreign or of a newer orcad is
    /// renamed to `<path>.broken-<seconds since 1970>`, with a warning, and an empty one takes its place. Blocks.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match Self::open_as_is(path) {
            Err(e) if e.is_files_fault() => {
                let aside = move_aside(path)?;
                tracing::warn!(error = %e, moved_to = %aside.display(),
                    "the worker's store cannot be used: it is begun anew from the containers and the manager");
                Ok(Self { moved_aside: Some(aside), ..Self::open_as_is(path)? })
            }
            other => other,
        }
    }

    fn open_as_is(path: &Path) -> Result<Self, StoreError> {
        let reserve = Arc::new(Reserve::of(path, RESERVE_MAX));
        let writer = Writer::open(path, Arc::clone(&reserve))?;
        let reader = History::new(sqlite::open_reader(path)?, path.to_owned());
        let store = Self { reader, writer, reserve, moved_aside: None };
        // A row that cannot be read is as bad as a page that cannot.
        store.load()?;
        Ok(store)
    }

    /// The rows, as the changes that put them; empty for a new store. Blocks.
    pub fn load(&self) -> Result<Vec<Change>, StoreError> {
        self.reader.read_now(worker_rows::load)
    }

    /// Stores changes in one transaction that outlives a power cut.
    ///
    /// # Errors
    /// [`CommitError::Full`] is a known rollback: load again and go on. With any other the process has to end.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<CommitInfo, CommitError> {
        self.writer.commit(vec![(0, changes)]).await
    }

    /// Measures the file system; has a reserve that was given up made again once there is room.
    pub fn space(&self) -> std::io::Result<Space> {
        let space = self.reserve.space()?;
        if self.reserve.wants_refill(&space) {
            self.writer.ask_refill();
        }
        Ok(space)
    }

    /// Bytes of the store with its log.
    pub fn size(&self) -> u64 {
        self.writer.size()
    }

    /// Where an unusable store was moved by [`WorkerStore::open`].
    pub fn moved_aside(&self) -> Option<&Path> {
        self.moved_aside.as_deref()
    }
}

fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let aside = sqlite::beside(path, &format!(".broken-{now}"));
    for suffix in ["", "-wal", "-shm"] {
        let from = sqlite::beside(path, suffix);
        match std::fs::rename(&from, sqlite::beside(&aside, suffix)) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::io("move aside", &from)(e)),
        }
    }
    Ok(aside)
}
