//! The writer: one thread, one connection, one transaction a batch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::error::{CommitError, StoreError};
use super::lock::StoreLock;
use super::reserve::Reserve;
use super::sqlite::{self, Kind};

/// Batches that may wait for the thread. Each driver sends one and waits for it.
const QUEUE: usize = 8;
/// Free pages are given back to the file system in steps of this many after a commit: 4 MiB.
const VACUUM_PAGES: u32 = 1024;
/// Free pages below this are kept for what comes next: 16 MiB.
const VACUUM_ABOVE: u32 = 4096;

/// How a kind of change is written.
pub(super) trait Rows: 'static {
    /// The changes.
    type Change: Send + 'static;
    /// The store that they are written to.
    const KIND: Kind;
    /// Writes one change.
    fn write(transaction: &Transaction<'_>, revision: u64, change: &Self::Change) -> rusqlite::Result<()>;
}

/// Changes of one revision.
type Batch<C> = Vec<(u64, Vec<C>)>;

/// A commit that came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// The last revision that is stored by it; 0 where it held none.
    pub revision: u64,
    /// Changes that were stored.
    pub changes: usize,
    /// How long it took, without the wait for the thread.
    pub took: Duration,
    /// The disk was full, and the reserve paid for it.
    pub spent_reserve: bool,
}

enum Job<C> {
    Commit { batch: Batch<C>, answer: oneshot::Sender<Result<CommitInfo, CommitError>> },
    Refill,
}

/// The handle of the writer thread. Dropping it finishes what is queued, writes the log back and closes the store.
pub(super) struct Writer<R: Rows> {
    jobs: Option<mpsc::Sender<Job<R::Change>>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl<R: Rows> Writer<R> {
    /// Opens the store and starts its thread.
    pub(super) fn open(path: &Path, reserve: Arc<Reserve>) -> Result<Self, StoreError> {
        let lock = StoreLock::take(path)?;
        let connection = match sqlite::open(path, &R::KIND) {
            // Opening writes too: the log's index at least.
            Err(e) if e.is_full_disk() && reserve.spend() => sqlite::open(path, &R::KIND)?,
            other => other?,
        };
        reserve.refill();
        Self::start(path, connection, lock, reserve)
    }

    pub(super) fn start(
        path: &Path,
        connection: Connection,
        lock: StoreLock,
        reserve: Arc<Reserve>,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name(format!("store-{}", R::KIND.name))
            .spawn(move || run::<R>(connection, queue, &reserve, lock))
            .map_err(|_| StoreError::WriterGone)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), path: path.to_owned() })
    }

    /// Commits a batch. The commit comes about even if nobody waits for its answer any more.
    pub(super) async fn commit(&self, batch: Batch<R::Change>) -> Result<CommitInfo, CommitError> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(CommitError::Lost)?;
        jobs.send(Job::Commit { batch, answer }).await.map_err(|_| CommitError::Lost)?;
        answered.await.map_err(|_| CommitError::Lost)?
    }

    /// Has the reserve made again when the thread comes to it.
    pub(super) fn ask_refill(&self) {
        if let Some(jobs) = &self.jobs {
            // A full queue means work that matters more; the next measurement asks again.
            let _asked = jobs.try_send(Job::Refill);
        }
    }

    /// Bytes of the store with its log.
    pub(super) fn size(&self) -> u64 {
        [self.path.clone(), sqlite::beside(&self.path, "-wal")]
            .iter()
            .map(|path| std::fs::metadata(path).map_or(0, |m| m.len()))
            .sum()
    }

    /// The store's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl<R: Rows> Drop for Writer<R> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(store = %self.path.display(), "the store's writer panicked");
        }
    }
}

fn run<R: Rows>(
    mut connection: Connection,
    mut queue: mpsc::Receiver<Job<R::Change>>,
    reserve: &Reserve,
    lock: StoreLock,
) {
    while let Some(job) = queue.blocking_recv() {
        match job {
            Job::Commit { batch, answer } => {
                let result = commit::<R>(&mut connection, &batch, reserve);
                let went_well = result.is_ok();
                // Whoever asked may be gone; the commit stands all the same.
                let _heard = answer.send(result);
                if went_well {
                    vacuum(&connection);
                }
            }
            Job::Refill => reserve.refill(),
        }
    }
    if let Err(e) = sqlite::checkpoint(&connection).and_then(|()| connection.close().map_err(|(_, e)| e)) {
        // Nothing is lost: the next start reads the log.
        tracing::warn!(error = %e, "the store's log could not be written back");
    }
    drop(lock);
}

fn commit<R: Rows>(
    connection: &mut Connection,
    batch: &Batch<R::Change>,
    reserve: &Reserve,
) -> Result<CommitInfo, CommitError> {
    let began = Instant::now();
    let (result, spent_reserve) = match write::<R>(connection, batch) {
        Err(CommitError::Full) if reserve.spend() => (write::<R>(connection, batch), true),
        other => (other, false),
    };
    result.map(|()| CommitInfo {
        revision: batch.iter().map(|(revision, _)| *revision).max().unwrap_or(0),
        changes: batch.iter().map(|(_, changes)| changes.len()).sum(),
        took: began.elapsed(),
        spent_reserve,
    })
}

fn write<R: Rows>(connection: &mut Connection, batch: &Batch<R::Change>) -> Result<(), CommitError> {
    let wrote = transact::<R>(connection, batch);
    let Err(source) = wrote else { return Ok(()) };
    let full = source.sqlite_error_code() == Some(ErrorCode::DiskFull);
    // A failed statement may or may not have rolled back by itself; dropping the transaction did it otherwise.
    // Only where that is certain is a full disk a known rollback. No room for the log's index is not: the log itself
    // may have been written by then.
    if full && connection.is_autocommit() {
        Err(CommitError::Full)
    } else {
        Err(CommitError::Failed { source })
    }
}

fn transact<R: Rows>(connection: &mut Connection, batch: &Batch<R::Change>) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (revision, changes) in batch {
        for change in changes {
            R::write(&transaction, *revision, change)?;
        }
    }
    transaction.commit()
}

/// Gives free pages back in small steps, so that no commit waits long for it.
fn vacuum(connection: &Connection) {
    let step = || -> rusqlite::Result<()> {
        let free: u32 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free > VACUUM_ABOVE {
            connection.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        }
        Ok(())
    };
    if let Err(e) = step() {
        tracing::warn!(error = %e, "free pages of the store could not be given back");
    }
}
