//! History: events and the audit, which no core keeps in memory. Appended by the writer, read by SQL alone.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use orca_api::control::EventView;
use orca_api::id::{NodeId, TaskId};
use orca_api::name::Name;
use orca_api::task::Reason;
use orca_api::units::Time;
use orca_core::manager::record::AuditRecord;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, Row, Transaction, named_params, params};

use super::error::StoreError;
use super::manager_rows::{doc, int};

/// The place of an event: its revision, and its index among the events of that revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// The revision.
    pub revision: u64,
    /// The index in it.
    pub index: u32,
}

/// Which events are wanted: those that fit everything that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this task.
    pub task: Option<TaskId>,
    /// Of this node.
    pub node: Option<NodeId>,
}

/// The reading side, with a connection of its own.
#[derive(Clone)]
pub(super) struct History {
    connection: Arc<Mutex<Connection>>,
    path: Arc<PathBuf>,
}

impl History {
    pub(super) fn new(connection: Connection, path: PathBuf) -> Self {
        Self { connection: Arc::new(Mutex::new(connection)), path: Arc::new(path) }
    }

    /// Reads on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let history = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            history.read_now(|connection, path| read(connection).map_err(StoreError::sqlite("read", path)))
        });
        done.await.unwrap_or(Err(StoreError::WriterGone))
    }

    /// Reads on this thread.
    pub(super) fn read_now<T>(
        &self,
        read: impl FnOnce(&Connection, &std::path::Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A reader that panicked left no half-made state behind: a connection is good between statements.
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        read(&connection, &self.path)
    }
}

const COLUMNS: &str =
    "revision, idx, at, kind, task, task_name, node, node_name, state, reason, message, by, request_id";

/// Events after a place, oldest first.
pub(super) fn events_after(
    connection: &Connection,
    since: EventPlace,
    limit: u32,
    filter: EventFilter,
) -> rusqlite::Result<Vec<EventView>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE (revision, idx) > (:revision, :index){} ORDER BY revision, idx LIMIT :limit",
        conditions(filter)
    );
    query(connection, &sql, since, limit, filter)
}

/// The newest events, oldest first.
pub(super) fn newest_events(
    connection: &Connection,
    limit: u32,
    filter: EventFilter,
) -> rusqlite::Result<Vec<EventView>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE (revision, idx) >= (:revision, :index){} ORDER BY revision DESC, idx DESC LIMIT :limit",
        conditions(filter)
    );
    let mut events = query(connection, &sql, EventPlace::default(), limit, filter)?;
    events.reverse();
    Ok(events)
}

/// Every parameter stands in every statement, so that one binding serves all; equality lets the indexes be used.
fn conditions(filter: EventFilter) -> &'static str {
    match (filter.task.is_some(), filter.node.is_some()) {
        (false, false) => " AND :task IS NULL AND :node IS NULL",
        (true, false) => " AND task = :task AND :node IS NULL",
        (false, true) => " AND node = :node AND :task IS NULL",
        (true, true) => " AND task = :task AND node = :node",
    }
}

fn query(
    connection: &Connection,
    sql: &str,
    since: EventPlace,
    limit: u32,
    filter: EventFilter,
) -> rusqlite::Result<Vec<EventView>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(
        named_params! {
            ":revision": int(since.revision),
            ":index": since.index,
            ":limit": limit,
            ":task": filter.task.map(|t| t.to_string()),
            ":node": filter.node.map(|n| n.to_string()),
        },
        event,
    )?;
    rows.collect()
}

fn event(row: &Row<'_>) -> rusqlite::Result<EventView> {
    Ok(EventView {
        revision: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        index: row.get(1)?,
        at: Time::from_ms(row.get(2)?),
        kind: row.get(3)?,
        task: parsed_if_any(row, 4)?,
        task_name: name_if_any(row, 5)?,
        node: parsed_if_any(row, 6)?,
        node_name: parsed_if_any(row, 7)?,
        state: row.get(8)?,
        reason: row.get::<_, Option<String>>(9)?.and_then(|r| serde_json::from_value(r.into()).ok()),
        message: row.get(10)?,
        by: row.get(11)?,
        request_id: row.get(12)?,
    })
}

/// A column's text as what it stands for.
pub(super) fn parsed<T>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(at)?;
    text.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(e)))
}

fn parsed_if_any<T>(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    if row.get_ref(at)?.data_type() == Type::Null { Ok(None) } else { parsed(row, at).map(Some) }
}

/// A task's name: also one that a job made.
fn name_if_any(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Name>> {
    let text: Option<String> = row.get(at)?;
    let bad = |e| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(e));
    text.map(|text| Name::whole(&text).map_err(bad)).transpose()
}

/// The newest entries of the audit, oldest first.
pub(super) fn newest_audit(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<AuditRecord>> {
    let sql =
        "SELECT at, revision, peer, method, object, request_id, outcome FROM audit ORDER BY n DESC LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([limit], |row| {
        let peer: String = row.get(2)?;
        let peer = serde_json::from_str(&peer).map_err(|e| FromSqlError::Other(Box::new(e)))?;
        Ok(AuditRecord {
            at: Time::from_ms(row.get(0)?),
            revision: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
            peer,
            method: row.get(3)?,
            object: row.get(4)?,
            request_id: row.get(5)?,
            outcome: row.get(6)?,
        })
    })?;
    let mut entries = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    entries.reverse();
    Ok(entries)
}

pub(super) fn add_event(tx: &Transaction<'_>, e: &EventView) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT OR REPLACE INTO event ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    );
    tx.prepare_cached(&sql)?.execute(params![
        int(e.revision),
        e.index,
        e.at.ms(),
        e.kind,
        e.task.map(|t| t.to_string()),
        e.task_name.as_ref().map(ToString::to_string),
        e.node.map(|n| n.to_string()),
        e.node_name.as_ref().map(ToString::to_string),
        e.state,
        e.reason.map(Reason::as_str),
        e.message,
        e.by,
        e.request_id,
    ])?;
    Ok(())
}

pub(super) fn add_audit(tx: &Transaction<'_>, a: &AuditRecord) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit (at, revision, peer, method, object, request_id, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let row = params![a.at.ms(), int(a.revision), doc(&a.peer)?, a.method, a.object, a.request_id, a.outcome];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Deletes events before a revision, and entries of the audit before an instant.
pub(super) fn trim(tx: &Transaction<'_>, before: u64, audited_before: Time) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM event WHERE revision < ?1")?.execute([int(before)])?;
    tx.prepare_cached("DELETE FROM audit WHERE at < ?1")?.execute([audited_before.ms()])?;
    Ok(())
}
