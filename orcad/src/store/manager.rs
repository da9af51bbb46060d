//! The manager's store: the cluster, and its history.

use std::path::Path;
use std::sync::Arc;

use orca_api::control::EventView;
use orca_core::manager::Change;
use orca_core::manager::record::AuditRecord;

use super::error::{CommitError, StoreError};
use super::history::{self, EventFilter, EventPlace, History};
use super::manager_rows::{self, ManagerRows};
use super::reserve::{Reserve, Space};
use super::sqlite;
use super::writer::{CommitInfo, Writer};

/// The reserve is 5 % of the file system, at most this many bytes.
const RESERVE_MAX: u64 = 64 << 20;

/// The manager's store. Dropping it finishes what was handed in, and closes it.
pub struct ManagerStore {
    // Before the writer, so that the writer's connection is the last one and leaves no log behind.
    history: History,
    writer: Writer<ManagerRows>,
    reserve: Arc<Reserve>,
}

impl ManagerStore {
    /// Opens the store at a path and checks it; makes it where there is none. Blocks: seconds for a large store.
    ///
    /// # Errors
    /// Every one names the file and, by [`StoreError::hint`], what to do. A store that is refused stays as it was.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let reserve = Arc::new(Reserve::of(path, RESERVE_MAX));
        let writer = Writer::open(path, Arc::clone(&reserve))?;
        let history = History::new(sqlite::open_reader(path)?, path.to_owned());
        Ok(Self { history, writer, reserve })
    }

    /// The live rows, as the changes that put them; empty for a new store. Blocks.
    pub fn load(&self) -> Result<Vec<Change>, StoreError> {
        self.history.read_now(manager_rows::load)
    }

    /// Stores changes, each under its revision, in one transaction that outlives a power cut.
    ///
    /// # Errors
    /// [`CommitError::Full`] is a known rollback: load again and go on. With any other the process has to end.
    pub async fn commit(&self, batch: Vec<(u64, Vec<Change>)>) -> Result<CommitInfo, CommitError> {
        self.writer.commit(batch).await
    }

    /// At most `limit` events after a place, oldest first.
    pub async fn events(
        &self,
        since: EventPlace,
        limit: u32,
        filter: EventFilter,
    ) -> Result<Vec<EventView>, StoreError> {
        self.history.read(move |c| history::events_after(c, since, limit, filter)).await
    }

    /// The newest `limit` events, oldest first.
    pub async fn newest(&self, limit: u32, filter: EventFilter) -> Result<Vec<EventView>, StoreError> {
        self.history.read(move |c| history::newest_events(c, limit, filter)).await
    }

    /// The newest `limit` entries of the audit, oldest first.
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.history.read(move |c| history::newest_audit(c, limit)).await
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

    /// The store's file.
    pub fn path(&self) -> &Path {
        self.writer.path()
    }
}
