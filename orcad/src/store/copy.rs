//! Copies of the manager's store: made beside a running daemon, looked at without being touched, and put in its place.
//!
//! ```text
//!   copy_to      live store ── one read transaction ──► a file of its own, compact, fsynced
//!   Backup       a file ── read only, nothing is made beside it ──► summary, check, rows
//!   Replacement  lock ─► what is there? ─► new file, epoch raised ─► old one kept aside ─► log and index gone ─► rename
//! ```
//!
//! A crash at any point of a replacement leaves a whole store: the old one until the rename, the new one from then on.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use orca_api::id::ClusterId;
use orca_api::units::Time;
use orca_core::manager::record::ClusterRecord;
use orca_core::manager::{Admits, Change, Manager, Peer, Replaced};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde::Serialize;

use super::error::StoreError;
use super::lock::StoreLock;
use super::manager_rows::{self, ManagerRows, Table};
use super::migrate;
use super::sqlite::{self, Kind, Seen, beside};
use super::writer::Rows as _;

const KIND: Kind = ManagerRows::KIND;
/// Findings of SQLite that are told; one is as bad as many.
const FINDINGS_MAX: u32 = 3;

/// Copies a manager's store to a new file, as it is at one instant; a daemon may go on writing meanwhile. Blocks.
///
/// To be called in another process than the daemon's: a process that closes a file loses its POSIX locks on it, those
/// of SQLite too.
///
/// # Errors
/// The store is not there, damaged, foreign or too new; or the file exists, or cannot be written. What was begun of it
/// is the caller's to remove.
pub fn copy_to(store: &Path, to: &Path) -> Result<(), StoreError> {
    if sqlite::look(store, &KIND)? == Seen::Nothing {
        return Err(StoreError::io("open", store)(ErrorKind::NotFound.into()));
    }
    let connection = sqlite::connect(store)?;
    // A store of a newer orcad stays as it is, log and all, also where this is its last connection.
    sqlite::set_checkpoint_on_close(&connection, store, false)?;
    known_schema(&connection, store)?;
    sqlite::set_checkpoint_on_close(&connection, store, true)?;
    let target = to
        .to_str()
        .ok_or_else(|| StoreError::io("name", to)(std::io::Error::other("the path is not UTF-8")))?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(StoreError::io("create", to))?;
    connection.execute("VACUUM INTO ?1", [target]).map_err(StoreError::sqlite("copy", store))?;
    file.sync_all().map_err(StoreError::io("write", to))
}

/// Lays a content beside the tables of a copy, under a name. It is none of the store's: a restore leaves it out.
///
/// # Errors
/// The file cannot be written.
pub fn attach(copy: &Path, name: &str, content: &[u8]) -> Result<(), StoreError> {
    let err = || StoreError::sqlite("write", copy);
    let connection = Connection::open(copy).map_err(err())?;
    connection
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS attachment (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT",
        )
        .and_then(|()| {
            connection.execute("INSERT OR REPLACE INTO attachment VALUES (?1, ?2)", (name, content))
        })
        .map_err(err())?;
    connection.close().map_err(|(_, e)| err()(e))?;
    File::open(copy).and_then(|f| f.sync_all()).map_err(StoreError::io("write", copy))
}

fn known_schema(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let found = migrate::version(connection).map_err(StoreError::sqlite("read", path))?;
    let known = migrate::newest(KIND.migrations);
    if found > known {
        return Err(StoreError::TooNew { path: path.to_owned(), found, known });
    }
    Ok(found)
}

/// A backup, opened to be read. It is not changed, and no file is made beside it.
pub struct Backup {
    path: PathBuf,
    file: Connection,
    /// Its rows under the newest schema, in memory, where its own schema is older.
    raised: Option<Connection>,
    schema: u32,
    bytes: u64,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The file.
    pub file: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The version of its tables.
    pub schema: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// When the cluster was made.
    pub cluster_created_at: Time,
    /// Its epoch: rises with each restore.
    pub epoch: u64,
    /// The last revision that is in it.
    pub revision: u64,
    /// Nodes.
    pub nodes: u64,
    /// Tasks.
    pub tasks: u64,
    /// Events.
    pub events: u64,
    /// When the newest of them happened.
    pub last_event_at: Option<Time>,
}

impl Backup {
    /// Opens a file.
    ///
    /// # Errors
    /// It is not there, is no backup of orca's manager, is damaged, or is of a newer orcad.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let damaged = |detail: &str| StoreError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
        let bytes = std::fs::metadata(path).map_err(StoreError::io("open", path))?.len();
        // Read without its log, such a file would seem whole and lack the newest commits.
        if std::fs::metadata(beside(path, "-wal")).is_ok_and(|m| m.len() > 0) {
            return Err(damaged(
                "a log (-wal) stands beside it, so it is a store in use, or a copy of one, and no backup",
            ));
        }
        sqlite::look(path, &KIND)?;
        let uri = format!("file:{}?immutable=1", encoded(path));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let file = Connection::open_with_flags(uri, flags).map_err(StoreError::sqlite("open", path))?;
        let set = file.pragma_update(None, "trusted_schema", false);
        set.map_err(StoreError::sqlite("open", path))?;
        let schema = known_schema(&file, path)?;
        let raised = if schema < migrate::newest(KIND.migrations) {
            Some(raised(&file, KIND.migrations).map_err(StoreError::sqlite("read", path))?)
        } else {
            None
        };
        Ok(Self { path: path.to_owned(), file, raised, schema, bytes })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks every page, index and constraint of the file. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with SQLite's findings.
    pub fn check(&self) -> Result<(), StoreError> {
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.file.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        let said = read().map_err(StoreError::sqlite("check", &self.path))?;
        if said == ["ok"] {
            Ok(())
        } else {
            Err(StoreError::Damaged { path: self.path.clone(), detail: said.join("; ") })
        }
    }

    /// Its live rows, as [`super::ManagerStore::load`] would give them.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn rows(&self) -> Result<Vec<Change>, StoreError> {
        manager_rows::load(self.current(), &self.path)
    }

    /// What was attached under a name.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn attachment(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = || {
            let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'attachment'";
            if self.file.query_row(sql, [], |row| row.get::<_, i64>(0))? == 0 {
                return Ok(None);
            }
            let sql = "SELECT content FROM attachment WHERE name = ?1";
            self.file.query_row(sql, [name], |row| row.get(0)).optional()
        };
        read().map_err(StoreError::sqlite("read", &self.path))
    }

    /// What is in it.
    ///
    /// # Errors
    /// It cannot be read, or holds no cluster.
    pub fn summary(&self) -> Result<Summary, StoreError> {
        let none =
            || StoreError::Damaged { path: self.path.clone(), detail: "it holds no cluster".to_owned() };
        let cluster = cluster(self.current(), &self.path)?.ok_or_else(none)?;
        let number = |sql: &str| self.current().query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let count = |sql: &str| -> Result<u64, StoreError> {
            let n = number(sql).map_err(StoreError::sqlite("read", &self.path))?;
            Ok(n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
        };
        Ok(Summary {
            file: self.path.clone(),
            bytes: self.bytes,
            schema: self.schema,
            cluster: cluster.id,
            cluster_created_at: cluster.created_at,
            epoch: cluster.epoch,
            revision: cluster.revision,
            nodes: count("SELECT count(*) FROM node")?,
            tasks: count("SELECT count(*) FROM task")?,
            events: count("SELECT count(*) FROM event")?,
            last_event_at: number("SELECT max(at) FROM event")
                .map_err(StoreError::sqlite("read", &self.path))?
                .map(Time::from_ms),
        })
    }

    fn current(&self) -> &Connection {
        self.raised.as_ref().unwrap_or(&self.file)
    }
}

/// A path as a part of an SQLite URI (percent-encoded, byte by byte).
fn encoded(path: &Path) -> String {
    use std::fmt::Write as _;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"/-._~".contains(b) {
            out.push(char::from(*b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

/// A copy in memory, brought up to the newest schema.
fn raised(from: &Connection, migrations: migrate::Migrations) -> rusqlite::Result<Connection> {
    let mut memory = Connection::open_in_memory()?;
    let copying = rusqlite::backup::Backup::new(from, &mut memory)?;
    copying.step(-1)?;
    drop(copying);
    migrate::steps(&mut memory, migrations)?;
    Ok(memory)
}

fn cluster(connection: &Connection, path: &Path) -> Result<Option<ClusterRecord>, StoreError> {
    let mut found = None;
    Table { connection, path }
        .read("cluster", "SELECT id, doc FROM cluster", |_, record| found = Some(record))?;
    Ok(found)
}

/// A backup that is about to take a store's place. As long as it lives, no daemon can open the store.
pub struct Replacement {
    _lock: StoreLock,
    store: PathBuf,
    present: Option<ClusterRecord>,
}

/// A replacement that came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The cluster's epoch from now on.
    pub epoch: u64,
    /// Its revision.
    pub revision: u64,
    /// Where the store is kept that was there before.
    pub aside: Option<PathBuf>,
    /// What the backup holds that lets somebody in. Its tokens were dropped.
    pub admits: Admits,
}

impl Replacement {
    /// Takes the store's lock and looks at what is there: a store that can be read has its log written back.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while a daemon runs; the state folder is not there.
    pub fn begin(store: &Path) -> Result<Self, StoreError> {
        let lock = StoreLock::take(store)?;
        own(&beside(store, ".lock"), store)?;
        // Whatever is wrong with the present store is why somebody restores a backup: it is kept as it is.
        let present = present(store).ok().flatten();
        Ok(Self { _lock: lock, store: store.to_owned(), present })
    }

    /// The cluster of the store that is there, where it can be read.
    pub fn present(&self) -> Option<ClusterId> {
        self.present.as_ref().map(|c| c.id)
    }

    /// Puts the backup in the store's place. `stamp` is added to the name under which the present one is kept.
    ///
    /// # Errors
    /// Something cannot be read or written; the present store is then still in its place.
    pub fn put(self, backup: &Backup, by: &Peer, now: Time, stamp: &str) -> Result<Restored, StoreError> {
        let replaced = match &self.present {
            Some(c) => Replaced::At { epoch: c.epoch, revision: c.revision },
            None => Replaced::Unknown,
        };
        let new = beside(&self.store, ".restoring");
        for left in [new.clone(), beside(&new, "-journal"), beside(&new, "-wal"), beside(&new, "-shm")] {
            sqlite::remove(&left)?;
        }
        let made =
            prepare(backup, &new, replaced, by, now).and_then(|at| own(&new, &self.store).map(|()| at));
        let (epoch, revision, admits) = match made {
            Ok(at) => at,
            Err(error) => {
                // What is left of it is removed by the next try at the latest.
                let _ = sqlite::remove(&new);
                return Err(error);
            }
        };
        let aside = beside(&self.store, &format!(".before-restore-{stamp}"));
        let kept = keep(&self.store, &aside)?;
        keep(&beside(&self.store, "-wal"), &beside(&aside, "-wal"))?;
        sqlite::sync_folder(&self.store)?;
        // A log that stayed would be played into the restored store.
        sqlite::remove(&beside(&self.store, "-wal"))?;
        sqlite::remove(&beside(&self.store, "-shm"))?;
        std::fs::rename(&new, &self.store).map_err(StoreError::io("replace", &self.store))?;
        sqlite::sync_folder(&self.store)?;
        Ok(Restored { epoch, revision, aside: kept.then_some(aside), admits })
    }
}

/// Reads the cluster of the store that is there, and writes its log back.
fn present(store: &Path) -> Result<Option<ClusterRecord>, StoreError> {
    if sqlite::look(store, &KIND)? == Seen::Nothing {
        return Ok(None);
    }
    let connection = sqlite::connect(store)?;
    sqlite::set_checkpoint_on_close(&connection, store, false)?;
    known_schema(&connection, store)?;
    let cluster = cluster(&connection, store)?;
    sqlite::set_checkpoint_on_close(&connection, store, true)?;
    sqlite::checkpoint(&connection).map_err(StoreError::sqlite("write back", store))?;
    Ok(cluster)
}

/// Writes the store that will be: the backup under the newest schema, with its epoch raised.
fn prepare(
    backup: &Backup,
    new: &Path,
    replaced: Replaced,
    by: &Peer,
    now: Time,
) -> Result<(u64, u64, Admits), StoreError> {
    let mut from = File::open(&backup.path).map_err(StoreError::io("open", &backup.path))?;
    let mut to = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)
        .map_err(StoreError::io("create", new))?;
    std::io::copy(&mut from, &mut to).map_err(StoreError::io("write", new))?;
    let manager = Manager::load(backup.rows()?);
    let (revision, changes) = manager.restored(replaced, by, now);
    let mut connection = sqlite::connect(new)?;
    let err = || StoreError::sqlite("write", new);
    // One file, which can be renamed; the daemon turns the log on again when it opens the store.
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(err())?;
    connection.execute_batch("DROP TABLE IF EXISTS attachment").map_err(err())?;
    migrate::steps(&mut connection, KIND.migrations).map_err(err())?;
    let mut write = || -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        for change in &changes {
            ManagerRows::write(&transaction, revision, change)?;
        }
        transaction.commit()
    };
    write().map_err(err())?;
    let epoch = cluster(&connection, new)?.map_or(0, |c| c.epoch);
    connection.close().map_err(|(_, e)| err()(e))?;
    to.sync_all().map_err(StoreError::io("write", new))?;
    Ok((epoch, revision, manager.admits(now)))
}

/// Gives a file a second name, or copies it where the file system has no links; whether there was one.
fn keep(path: &Path, aside: &Path) -> Result<bool, StoreError> {
    match std::fs::hard_link(path, aside) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(StoreError::io("keep the present store as", aside)(e))
        }
        Err(_) => {
            std::fs::copy(path, aside).map_err(StoreError::io("keep the present store as", aside))?;
            Ok(true)
        }
    }
}

/// Gives a file that root made to the owner of the folder that the store is in: the daemon is not root.
pub(crate) fn own(path: &Path, store: &Path) -> Result<(), StoreError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let folder = store.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let meta = std::fs::metadata(folder).map_err(StoreError::io("read", folder))?;
    std::os::unix::fs::chown(path, Some(meta.uid()), Some(meta.gid()))
        .map_err(StoreError::io("give away", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_of_an_older_schema_is_read_through_the_newest() {
        let old = Connection::open_in_memory().unwrap();
        old.execute_batch("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (7); PRAGMA user_version = 1")
            .unwrap();
        let new =
            raised(&old, &["CREATE TABLE t (a INTEGER)", "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 9"])
                .unwrap();
        let row: (i64, i64) =
            new.query_row("SELECT a, b FROM t", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!((row, migrate::version(&new).unwrap()), ((7, 9), 2));
        assert_eq!(migrate::version(&old).unwrap(), 1, "the file is as it was");
    }

    #[test]
    fn any_path_can_stand_in_an_uri() {
        assert_eq!(encoded(Path::new("/a b/50%?x#y.db")), "/a%20b/50%25%3Fx%23y.db");
    }
}
