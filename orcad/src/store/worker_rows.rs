//! A worker's changes as rows, and its rows as changes.

use std::path::Path;
use std::sync::Arc;

use orca_api::link::Generation;
use orca_core::worker::io::Change;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::error::StoreError;
use super::history::parsed;
use super::manager_rows::{Table, delete, doc, int, text};
use super::sqlite::Kind;
use super::writer::Rows;

/// How a worker's changes are written.
pub(super) struct WorkerRows;

impl Rows for WorkerRows {
    type Change = Change;
    const KIND: Kind = Kind {
        name: "worker",
        application_id: u32::from_be_bytes(*b"orcW"),
        migrations: &[include_str!("schema/worker-1.sql")],
    };

    fn write(tx: &Transaction<'_>, _revision: u64, change: &Change) -> rusqlite::Result<()> {
        match change {
            Change::IdentityPut { cluster, node, name } => {
                let sql = "INSERT OR REPLACE INTO identity (one, cluster, node, name) VALUES (1, ?1, ?2, ?3)";
                tx.prepare_cached(sql)?.execute(params![text(cluster), text(node), text(name)])?;
            }
            Change::GenerationPut { generation } => {
                let sql = "INSERT OR REPLACE INTO generation (one, epoch, n) VALUES (1, ?1, ?2)";
                tx.prepare_cached(sql)?.execute(params![int(generation.epoch), int(generation.n)])?;
            }
            Change::PlacementPut { record: r } => {
                let sql = "INSERT OR REPLACE INTO placement (id, task, name, doc) VALUES (?1, ?2, ?3, ?4)";
                tx.prepare_cached(sql)?.execute(params![text(r.id), text(r.task), text(&r.name), doc(r)?])?;
            }
            Change::PlacementGone { placement } => {
                delete(tx, "DELETE FROM placement WHERE id = ?1", &text(placement))?;
            }
            Change::SpecPut { digest, spec } => {
                let sql = "INSERT OR REPLACE INTO spec (digest, doc) VALUES (?1, ?2)";
                tx.prepare_cached(sql)?.execute(params![digest, doc(spec)?])?;
            }
            Change::SpecGone { digest } => delete(tx, "DELETE FROM spec WHERE digest = ?1", digest)?,
        }
        Ok(())
    }
}

/// Every row, as the change that puts it: identity, generation, specs, placements.
pub(super) fn load(connection: &Connection, path: &Path) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    let err = || StoreError::sqlite("read", path);
    let identity = connection.query_row("SELECT cluster, node, name FROM identity", [], identity);
    changes.extend(identity.optional().map_err(err())?);
    let generation = connection.query_row("SELECT epoch, n FROM generation", [], generation);
    changes.extend(generation.optional().map_err(err())?);
    let t = Table { connection, path };
    t.read("spec", "SELECT digest, doc FROM spec ORDER BY digest", |digest, spec| {
        changes.push(Change::SpecPut { digest, spec: Arc::new(spec) });
    })?;
    t.read("placement", "SELECT id, doc FROM placement ORDER BY id", |_, r| {
        changes.push(Change::PlacementPut { record: Arc::new(r) });
    })?;
    Ok(changes)
}

fn identity(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change::IdentityPut { cluster: parsed(row, 0)?, node: parsed(row, 1)?, name: parsed(row, 2)? })
}

fn generation(row: &Row<'_>) -> rusqlite::Result<Change> {
    let number = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(Change::GenerationPut { generation: Generation { epoch: number(0)?, n: number(1)? } })
}
