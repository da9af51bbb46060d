//! The manager's changes as rows, and its rows as changes.
//!
//! A document holds the whole record; the columns beside it repeat what people look for with `sqlite3`.

use std::path::Path;
use std::sync::Arc;

use orca_core::manager::Change;
use rusqlite::{Connection, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use super::sqlite::Kind;
use super::writer::Rows;

/// How the manager's changes are written.
pub(super) struct ManagerRows;

impl Rows for ManagerRows {
    type Change = Change;
    const KIND: Kind = Kind {
        name: "manager",
        application_id: u32::from_be_bytes(*b"orcM"),
        migrations: &[
            include_str!("schema/manager-1.sql"),
            include_str!("schema/manager-2.sql"),
            include_str!("schema/manager-3.sql"),
        ],
    };

    fn write(tx: &Transaction<'_>, _revision: u64, change: &Change) -> rusqlite::Result<()> {
        match change {
            Change::ClusterPut { record: r } => {
                let sql = "INSERT OR REPLACE INTO cluster (one, id, revision, epoch, doc) VALUES (1, ?1, ?2, ?3, ?4)";
                tx.prepare_cached(sql)?.execute(params![
                    text(r.id),
                    int(r.revision),
                    int(r.epoch),
                    doc(r)?
                ])?;
            }
            Change::NodePut { record: r } => {
                let sql = "INSERT OR REPLACE INTO node (id, name, revision, state, doc) VALUES (?1, ?2, ?3, ?4, ?5)";
                let row = params![text(r.id), text(&r.name), int(r.revision), r.state.as_str(), doc(r)?];
                tx.prepare_cached(sql)?.execute(row)?;
            }
            Change::NodeGone { node } => delete(tx, "DELETE FROM node WHERE id = ?1", &text(node))?,
            Change::TaskPut { record: r } => {
                let sql = "INSERT OR REPLACE INTO task (id, name, revision, wanted, doc) VALUES (?1, ?2, ?3, ?4, ?5)";
                let row = params![text(r.id), text(&r.name), int(r.revision), word(r.wanted)?, doc(r)?];
                tx.prepare_cached(sql)?.execute(row)?;
            }
            Change::JobPut { record: r } => {
                let sql = "INSERT OR REPLACE INTO job (id, name, revision, wanted, version, doc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let row =
                    params![text(r.id), text(&r.name), int(r.revision), word(r.wanted)?, r.version, doc(r)?];
                tx.prepare_cached(sql)?.execute(row)?;
            }
            Change::JobGone { job } => delete(tx, "DELETE FROM job WHERE id = ?1", &text(job))?,
            Change::TaskGone { task } => delete(tx, "DELETE FROM task WHERE id = ?1", &text(task))?,
            Change::PlacementPut { record: r } => {
                let sql = "INSERT OR REPLACE INTO placement (id, task, node, revision, state, doc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let row = params![
                    text(r.id),
                    text(r.task),
                    text(r.node),
                    int(r.revision),
                    r.state().as_str(),
                    doc(r)?
                ];
                tx.prepare_cached(sql)?.execute(row)?;
            }
            Change::PlacementGone { placement } => {
                delete(tx, "DELETE FROM placement WHERE id = ?1", &text(placement))?;
            }
            Change::TokenPut { record: r } => {
                let sql = "INSERT OR REPLACE INTO token (id, expires_at, doc) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![text(r.id), r.expires_at.ms(), doc(r)?])?;
            }
            Change::TokenGone { token } => delete(tx, "DELETE FROM token WHERE id = ?1", &text(token))?,
            Change::CertificatePut { record: r } => {
                let sql =
                    "INSERT OR REPLACE INTO certificate (id, name, expires_at, doc) VALUES (?1, ?2, ?3, ?4)";
                let row = params![text(r.id), text(&r.name), r.expires_at.ms(), doc(r)?];
                tx.prepare_cached(sql)?.execute(row)?;
            }
            Change::CertificateGone { certificate } => {
                delete(tx, "DELETE FROM certificate WHERE id = ?1", &text(certificate))?;
            }
            Change::RequestPut { record: r } => {
                let sql = "INSERT OR REPLACE INTO request (key, at, doc) VALUES (?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![r.key, r.at.ms(), doc(r)?])?;
            }
            Change::RequestGone { key } => delete(tx, "DELETE FROM request WHERE key = ?1", key)?,
            Change::EventAdded { event } => super::history::add_event(tx, event)?,
            Change::EventsTrimmed { before, audited_before } => {
                super::history::trim(tx, *before, *audited_before)?;
            }
            Change::Audited { record } => super::history::add_audit(tx, record)?,
        }
        Ok(())
    }
}

/// Every live row, as the change that puts it: cluster, nodes, tasks, placements, keys, each by id.
pub(super) fn load(connection: &Connection, path: &Path) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    let t = Table { connection, path };
    t.read("cluster", "SELECT id, doc FROM cluster", |_, r| {
        changes.push(Change::ClusterPut { record: Arc::new(r) });
    })?;
    t.read("node", "SELECT id, doc FROM node ORDER BY id", |_, r| {
        changes.push(Change::NodePut { record: Arc::new(r) });
    })?;
    t.read("job", "SELECT id, doc FROM job ORDER BY id", |_, r| {
        changes.push(Change::JobPut { record: Arc::new(r) });
    })?;
    t.read("task", "SELECT id, doc FROM task ORDER BY id", |_, r| {
        changes.push(Change::TaskPut { record: Arc::new(r) });
    })?;
    t.read("placement", "SELECT id, doc FROM placement ORDER BY id", |_, r| {
        changes.push(Change::PlacementPut { record: Arc::new(r) });
    })?;
    t.read("token", "SELECT id, doc FROM token ORDER BY id", |_, r| {
        changes.push(Change::TokenPut { record: Arc::new(r) });
    })?;
    t.read("certificate", "SELECT id, doc FROM certificate ORDER BY id", |_, r| {
        changes.push(Change::CertificatePut { record: Arc::new(r) });
    })?;
    t.read("request", "SELECT key, doc FROM request ORDER BY key", |_, r| {
        changes.push(Change::RequestPut { record: Arc::new(r) });
    })?;
    Ok(changes)
}

/// Reads documents.
pub(super) struct Table<'a> {
    /// Through this.
    pub connection: &'a Connection,
    /// For messages.
    pub path: &'a Path,
}

impl Table<'_> {
    /// Hands over every key and document that a query gives.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        table: &'static str,
        sql: &str,
        mut each: impl FnMut(String, T),
    ) -> Result<(), StoreError> {
        let err = || StoreError::sqlite("read", self.path);
        let mut statement = self.connection.prepare_cached(sql).map_err(err())?;
        let mut rows = statement.query([]).map_err(err())?;
        while let Some(row) = rows.next().map_err(err())? {
            let key: String = row.get(0).map_err(err())?;
            let doc = row.get_ref(1).and_then(|v| v.as_str().map_err(Into::into)).map_err(err())?;
            match serde_json::from_str(doc) {
                Ok(record) => each(key, record),
                Err(source) => {
                    return Err(StoreError::BadRow { path: self.path.to_owned(), table, key, source });
                }
            }
        }
        Ok(())
    }
}

/// A record as JSON.
pub(super) fn doc(record: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(record).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

/// An enum's own word.
fn word(value: impl Serialize) -> rusqlite::Result<String> {
    Ok(doc(&value)?.trim_matches('"').to_owned())
}

/// An id or a name as text.
pub(super) fn text(value: impl std::fmt::Display) -> String {
    value.to_string()
}

/// SQLite's integers are signed; revisions never come near their end.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Deletes by key.
pub(super) fn delete(tx: &Transaction<'_>, sql: &str, key: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(sql)?.execute([key]).map(|_| ())
}
