//! Opening a store: look before you touch, then SQLite with the settings that make a commit last.
//!
//! A new store is made under another name and renamed when it is whole, so a file of no bytes, or a log without its
//! file, is always damage and never a first start. What is there is looked at from outside first (is it SQLite, is it
//! ours, is it of a known schema), so that a refused file stays as it was, byte for byte.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::error::StoreError;
use super::migrate::{self, Migrations};

/// How long a statement waits for somebody else's lock, such as that of a `sqlite3` in a terminal.
const BUSY: Duration = Duration::from_secs(10);
/// Prepared statements kept a connection; there are about thirty.
const STATEMENTS: usize = 128;
/// Pages kept in memory a connection, in KiB. What is asked often is in the cores' memory; the stores are read at a start, for
/// events, and where a commit puts something. SQLite's own 2 MiB would fill up with pages of events that nobody reads again.
const CACHE_KIB: i64 = 256;
/// The log is cut to this many bytes after a checkpoint, however far it grew.
const LOG_MAX: u32 = 16 << 20;

/// What tells one kind of store from another.
#[derive(Debug)]
pub(super) struct Kind {
    /// For messages: `manager`.
    pub name: &'static str,
    /// `PRAGMA application_id`: four letters that `file(1)` can show.
    pub application_id: u32,
    /// Its schemas.
    pub migrations: Migrations,
}

/// The path with something added to its file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens a store for writing; makes it where it does not exist. The caller holds its lock.
pub(super) fn open(path: &Path, kind: &Kind) -> Result<Connection, StoreError> {
    if look(path, kind)? == Seen::Nothing {
        create(path, kind)?;
    }
    let mut connection = connect(path)?;
    // Until it is known to be ours, not even the log may be written back when the connection closes.
    set_checkpoint_on_close(&connection, path, false)?;
    let found = migrate::version(&connection).map_err(StoreError::sqlite("read", path))?;
    if found > migrate::newest(kind.migrations) {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
            known: migrate::newest(kind.migrations),
        });
    }
    check(&connection, path)?;
    configure(&connection, path)?;
    set_checkpoint_on_close(&connection, path, true)?;
    if found < migrate::newest(kind.migrations) {
        migrate::run(&mut connection, path, kind.migrations)?;
        // The schema's number must stand in the file itself, where `look` reads it.
        checkpoint(&connection).map_err(StoreError::sqlite("write back", path))?;
    }
    // The first read makes the log's index: now, and not in the first commit on a disk that is full by then.
    migrate::version(&connection).map_err(StoreError::sqlite("read", path))?;
    Ok(connection)
}

/// Whether the disk is full. The log's index is a file of its own, and has a code of its own for it.
pub(super) fn is_full_disk(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else { return false };
    error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
}

/// A connection that only reads, for a store that is open already.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    let set = || {
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "trusted_schema", false)
    };
    set().map_err(StoreError::sqlite("open", path))?;
    Ok(connection)
}

/// Writes the whole log back into the file.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// What stands at a path that is no reason to refuse.
#[derive(PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing, and no log either.
    Nothing,
    /// A store of that kind.
    Store,
}

/// Looks at a file from outside: its header says what it is.
pub(super) fn look(path: &Path, kind: &Kind) -> Result<Seen, StoreError> {
    let damaged = |detail: &str| StoreError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
    let foreign = |found: String| StoreError::Foreign { path: path.to_owned(), wanted: kind.name, found };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let log = beside(path, "-wal");
            let log_bytes = std::fs::metadata(&log).map_or(0, |m| m.len());
            return if log_bytes == 0 {
                Ok(Seen::Nothing)
            } else {
                Err(damaged("it is gone, and its -wal is still there"))
            };
        }
        Err(e) => return Err(StoreError::io("open", path)(e)),
    };
    let meta = file.metadata().map_err(StoreError::io("read", path))?;
    if !meta.is_file() {
        return Err(foreign("it is not a file".to_owned()));
    }
    if meta.len() == 0 {
        return Err(damaged("it is empty"));
    }
    let mut header = [0u8; 100];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Err(damaged("it ends within its header")),
        Err(e) => return Err(StoreError::io("read", path)(e)),
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(foreign("it is not an SQLite database".to_owned()));
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (found, id) = (number(60), number(68));
    if id != kind.application_id {
        return Err(foreign(format!("it is an SQLite database of another kind (application_id {id:#010x})")));
    }
    if found > migrate::newest(kind.migrations) {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            found,
            known: migrate::newest(kind.migrations),
        });
    }
    Ok(Seen::Store)
}

/// Makes a store under another name and renames it.
fn create(path: &Path, kind: &Kind) -> Result<(), StoreError> {
    let new = beside(path, ".new");
    for left in [new.clone(), beside(&new, "-journal"), beside(path, "-wal"), beside(path, "-shm")] {
        remove(&left)?;
    }
    // SQLite gives the log the rights of the file.
    let file = File::options().write(true).create_new(true).mode(0o600).open(&new);
    let file = file.map_err(StoreError::io("create", &new))?;
    let mut connection = connect(&new)?;
    let set = || {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "application_id", kind.application_id)
    };
    set().map_err(StoreError::sqlite("create", &new))?;
    migrate::run(&mut connection, &new, kind.migrations)?;
    connection.close().map_err(|(_, e)| StoreError::sqlite("create", &new)(e))?;
    file.sync_all().map_err(StoreError::io("write", &new))?;
    std::fs::rename(&new, path).map_err(StoreError::io("create", path))?;
    sync_folder(path)
}

/// Makes names in the folder of a path last.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(StoreError::io("write", folder))
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::io("replace", path)(e)),
        _ => Ok(()),
    }
}

/// A connection as every other one is made: it writes, and waits for locks.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(StoreError::sqlite("open", path))?;
    connection.busy_timeout(BUSY).map_err(StoreError::sqlite("open", path))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection
        .pragma_update(None, "cache_size", -CACHE_KIB)
        .map_err(StoreError::sqlite("configure", path))?;
    Ok(connection)
}

fn configure(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let err = || StoreError::sqlite("configure", path);
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(err())?;
    if mode != "wal" {
        return Err(StoreError::Io {
            doing: "keep a log beside",
            path: path.to_owned(),
            source: std::io::Error::other(format!(
                "SQLite answers with journal_mode={mode}: is it a network file system?"
            )),
        });
    }
    let set = || {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update_and_check(None, "journal_size_limit", LOG_MAX, |_| Ok(()))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map(|_| ())
    };
    set().map_err(err())
}

/// Whether the last connection writes the log back when it closes.
pub(super) fn set_checkpoint_on_close(
    connection: &Connection,
    path: &Path,
    on: bool,
) -> Result<(), StoreError> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !on);
    set.map(|_| ()).map_err(StoreError::sqlite("open", path))
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let said: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(StoreError::sqlite("check", path))?;
    if said == "ok" {
        Ok(())
    } else {
        Err(StoreError::Damaged {
            path: path.to_owned(),
            // SQLite puts a headline before each finding.
            detail: said.lines().filter(|line| !line.starts_with("***")).collect::<Vec<_>>().join("; "),
        })
    }
}
