//! `orcad backup verify` and `inspect`: what a backup holds, and whether it is whole. Nothing is written.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use orca_api::units::Bytes;
use orca_core::manager::Manager;
use orca_core::manager::check::check_manager;

use super::{BackupError, line};
use crate::args::InspectFormat;
use crate::store::{Backup, StoreError, Summary};

/// Opens a backup; what is wrong with it is told of it as a backup.
pub(super) fn open(file: &Path) -> Result<Backup, BackupError> {
    Backup::open(file).map_err(unusable(file))
}

/// Reads everything: pages, rows, and what the rows say of each other. The findings of the last step are returned, for
/// they make a backup doubtful and not useless.
pub(super) fn checked(backup: &Backup) -> Result<Vec<String>, BackupError> {
    let rows = backup.check().and_then(|()| backup.rows()).map_err(unusable(backup.path()))?;
    Ok(check_manager(&Manager::load(rows)))
}

pub(super) fn unusable(file: &Path) -> impl Fn(StoreError) -> BackupError {
    let path = file.to_owned();
    move |source| BackupError::Unusable { path: path.clone(), source }
}

/// Checks a backup whole.
pub(super) fn verify(file: &Path, out: &mut dyn Write) -> Result<(), BackupError> {
    let backup = open(file)?;
    let findings = checked(&backup)?;
    if !findings.is_empty() {
        return Err(BackupError::Contradictory { path: file.to_owned(), findings });
    }
    let summary = backup.summary().map_err(unusable(file))?;
    writeln!(out, "ok: {}: {}", file.display(), line(&summary))?;
    Ok(())
}

/// Says what is in a backup.
pub(super) fn inspect(file: &Path, format: InspectFormat, out: &mut dyn Write) -> Result<(), BackupError> {
    let summary = open(file)?.summary().map_err(unusable(file))?;
    match format {
        InspectFormat::Table => out.write_all(table(&summary).as_bytes())?,
        InspectFormat::Json => {
            let text = serde_json::to_string_pretty(&summary).map_err(std::io::Error::other)?;
            writeln!(out, "{text}")?;
        }
    }
    Ok(())
}

fn table(s: &Summary) -> String {
    let newest = s.last_event_at.map_or_else(|| "none".to_owned(), |at| at.to_string());
    let rows = [
        ("file", s.file.display().to_string()),
        ("size", Bytes::new(s.bytes).to_string()),
        ("schema", s.schema.to_string()),
        ("cluster", s.cluster.to_string()),
        ("created", s.cluster_created_at.to_string()),
        ("epoch", s.epoch.to_string()),
        ("revision", s.revision.to_string()),
        ("nodes", s.nodes.to_string()),
        ("tasks", s.tasks.to_string()),
        ("events", s.events.to_string()),
        ("newest event", newest),
    ];
    rows.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:<14}{value}");
        text
    })
}
