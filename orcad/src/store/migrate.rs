//! Schemas: numbered files, each applied once and in one transaction, counted in `PRAGMA user_version`.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::error::StoreError;
use super::sqlite::beside;

/// The schemas of one kind of store, the first one first. A file that was released is never changed.
pub(super) type Migrations = &'static [&'static str];

/// The newest schema of a list.
pub(super) fn newest(migrations: Migrations) -> u32 {
    migrations.len() as u32
}

/// The schema of an open store.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings a store up to the newest schema. A store that held data is copied to `<store>.schema-<n>` first.
pub(super) fn run(
    connection: &mut Connection,
    path: &Path,
    migrations: Migrations,
) -> Result<(), StoreError> {
    let from = version(connection).map_err(StoreError::sqlite("read", path))?;
    if from > newest(migrations) {
        return Err(StoreError::TooNew { path: path.to_owned(), found: from, known: newest(migrations) });
    }
    if from == newest(migrations) {
        return Ok(());
    }
    if from > 0 {
        back_up(connection, path, from)?;
    }
    steps(connection, migrations).map_err(StoreError::sqlite("migrate", path))?;
    tracing::info!(store = %path.display(), from, to = newest(migrations), "schema migrated");
    Ok(())
}

/// Every step that a database lacks. The caller has seen that its schema is a known one.
pub(super) fn steps(connection: &mut Connection, migrations: Migrations) -> rusqlite::Result<()> {
    let from = version(connection)?;
    for (at, sql) in migrations.iter().enumerate().skip(from as usize) {
        step(connection, sql, at as u32 + 1)?;
    }
    Ok(())
}

fn step(connection: &mut Connection, sql: &str, to: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}

fn back_up(connection: &Connection, path: &Path, from: u32) -> Result<(), StoreError> {
    let copy = beside(path, &format!(".schema-{from}"));
    if copy.exists() {
        std::fs::remove_file(&copy).map_err(StoreError::io("replace", &copy))?;
    }
    let target = copy.to_str().ok_or_else(|| StoreError::Io {
        doing: "name",
        path: copy.clone(),
        source: std::io::Error::other("the path is not UTF-8"),
    })?;
    connection.execute("VACUUM INTO ?1", [target]).map_err(StoreError::sqlite("back up", path))?;
    Ok(())
}
