//! A store in memory: live rows by key, exactly as the real one keeps them.

use std::collections::BTreeMap;

use orca_core::manager::Change;
use orca_core::worker::io::Change as WorkerChange;

/// A change that knows which row it is about.
pub trait Row: Clone {
    /// The row, and whether it is there afterwards; `None` for history, which is not loaded.
    fn row(&self) -> Option<(String, bool)>;
}

impl Row for Change {
    fn row(&self) -> Option<(String, bool)> {
        Some(match self {
            Self::ClusterPut { .. } => ("0".to_owned(), true),
            Self::NodePut { record } => (format!("1{}", record.id), true),
            Self::NodeGone { node } => (format!("1{node}"), false),
            Self::JobPut { record } => (format!("1 job {}", record.id), true),
            Self::JobGone { job } => (format!("1 job {job}"), false),
            Self::TaskPut { record } => (format!("2{}", record.id), true),
            Self::TaskGone { task } => (format!("2{task}"), false),
            Self::PlacementPut { record } => (format!("3{}", record.id), true),
            Self::PlacementGone { placement } => (format!("3{placement}"), false),
            Self::TokenPut { record } => (format!("4{}", record.id), true),
            Self::TokenGone { token } => (format!("4{token}"), false),
            Self::CertificatePut { record } => (format!("5{}", record.id), true),
            Self::CertificateGone { certificate } => (format!("5{certificate}"), false),
            Self::RequestPut { record } => (format!("6{}", record.key), true),
            Self::RequestGone { key } => (format!("6{key}"), false),
            Self::EventAdded { .. } | Self::EventsTrimmed { .. } | Self::Audited { .. } => return None,
        })
    }
}

impl Row for WorkerChange {
    fn row(&self) -> Option<(String, bool)> {
        Some(match self {
            Self::IdentityPut { .. } => ("0".to_owned(), true),
            Self::GenerationPut { .. } => ("1".to_owned(), true),
            Self::SpecPut { digest, .. } => (format!("2{digest}"), true),
            Self::SpecGone { digest } => (format!("2{digest}"), false),
            Self::PlacementPut { record } => (format!("3{}", record.id), true),
            Self::PlacementGone { placement } => (format!("3{placement}"), false),
        })
    }
}

/// A store.
pub struct Disk<C> {
    rows: BTreeMap<String, C>,
}

impl<C: Row> Disk<C> {
    pub(crate) fn new(rows: impl IntoIterator<Item = C>) -> Self {
        let mut disk = Self { rows: BTreeMap::new() };
        for row in rows {
            disk.apply(row);
        }
        disk
    }

    fn apply(&mut self, change: C) {
        match change.row() {
            Some((key, true)) => {
                self.rows.insert(key, change);
            }
            Some((key, false)) => {
                self.rows.remove(&key);
            }
            None => {}
        }
    }

    pub(crate) fn commit(&mut self, changes: impl IntoIterator<Item = C>) {
        for change in changes {
            self.apply(change);
        }
    }

    /// Everything is gone.
    pub(crate) fn wipe(&mut self) {
        self.rows.clear();
    }

    /// What a start loads.
    pub fn rows(&self) -> Vec<C> {
        self.rows.values().cloned().collect()
    }
}
