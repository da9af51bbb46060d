//! What is loaded is what folding the committed changes gives, over random sequences and restarts.

use std::collections::BTreeMap;

use orca_api::id::{ClusterId, NodeId, PlacementId, TaskId};
use orca_api::link::Generation;
use orca_api::task::Wanted;
use orca_core::manager::Change;
use orca_core::worker::io::Change as WorkerChange;
use proptest::prelude::*;

use super::{added, audited, block_on, cluster, job, node, placement, raw, request, spec, task};
use crate::store::{ManagerStore, WorkerStore};

/// A change that stands for itself and the row that it is about.
fn key(change: &Change) -> Option<(&'static str, String)> {
    Some(match change {
        Change::ClusterPut { .. } => ("0", String::new()),
        Change::NodePut { record } => ("1", record.id.to_string()),
        Change::NodeGone { node } => ("1", node.to_string()),
        Change::JobPut { record } => ("1 job", record.id.to_string()),
        Change::JobGone { job } => ("1 job", job.to_string()),
        Change::TaskPut { record } => ("2", record.id.to_string()),
        Change::TaskGone { task } => ("2", task.to_string()),
        Change::PlacementPut { record } => ("3", record.id.to_string()),
        Change::PlacementGone { placement } => ("3", placement.to_string()),
        Change::TokenPut { record } => ("4", record.id.to_string()),
        Change::TokenGone { token } => ("4", token.to_string()),
        Change::CertificatePut { record } => ("5", record.id.to_string()),
        Change::CertificateGone { certificate } => ("5", certificate.to_string()),
        Change::RequestPut { record } => ("6", record.key.clone()),
        Change::RequestGone { key } => ("6", key.clone()),
        Change::EventAdded { .. } | Change::EventsTrimmed { .. } | Change::Audited { .. } => return None,
    })
}

fn is_gone(change: &Change) -> bool {
    matches!(
        change,
        Change::NodeGone { .. }
            | Change::JobGone { .. }
            | Change::TaskGone { .. }
            | Change::PlacementGone { .. }
            | Change::TokenGone { .. }
            | Change::CertificateGone { .. }
            | Change::RequestGone { .. }
    )
}

fn changes() -> impl Strategy<Value = Change> {
    (0u8..14, 1u8..5, 1u64..1000).prop_map(|(kind, n, revision)| match kind {
        0 => cluster(revision),
        1 => node(n, revision),
        2 => Change::NodeGone { node: NodeId::from_raw(raw(n)) },
        3 => task(n, revision, Wanted::Running),
        4 => task(n, revision, Wanted::Stopped),
        5 => Change::TaskGone { task: TaskId::from_raw(raw(n)) },
        6 => placement(n, revision),
        7 => Change::PlacementGone { placement: PlacementId::from_raw(raw(n)) },
        8 => request(n),
        9 => Change::RequestGone { key: format!("key-{n}") },
        10 => added(revision, 0, Some(n)),
        11 => job(n, revision),
        12 => Change::JobGone { job: orca_api::id::JobId::from_raw(raw(n)) },
        _ => audited(revision, 5),
    })
}

fn worker_changes() -> impl Strategy<Value = WorkerChange> {
    let name = || "n1".parse().expect("a name");
    (0u8..6, 1u8..5, 1u64..1000).prop_map(move |(kind, n, sequence)| {
        let id = PlacementId::from_raw(raw(n));
        match kind {
            0 => WorkerChange::IdentityPut {
                cluster: ClusterId::from_raw(raw(n)),
                node: NodeId::from_raw(raw(n)),
                name: name(),
            },
            1 => WorkerChange::GenerationPut { generation: Generation { epoch: 1, n: sequence } },
            2 => WorkerChange::PlacementPut { record: worker_placement(n, sequence) },
            3 => WorkerChange::PlacementGone { placement: id },
            4 => WorkerChange::SpecPut {
                digest: format!("sha256:{n}"),
                spec: spec(&format!("image:{sequence}")),
            },
            _ => WorkerChange::SpecGone { digest: format!("sha256:{n}") },
        }
    })
}

fn worker_placement(n: u8, sequence: u64) -> std::sync::Arc<orca_core::worker::io::PlacementRecord> {
    let record = serde_json::from_value(serde_json::json!({
        "id": PlacementId::from_raw(raw(n)),
        "assigned": null,
        "task": TaskId::from_raw(raw(n)),
        "name": "web",
        "spec": "sha256:1",
        "attempts": [],
        "counters": { "restarts": 1, "budget_used": 2, "backoff": 3 },
        "next_attempt_at": "2026-01-01T00:00:00.250Z",
        "finished": false,
        "sequence": sequence,
    }));
    std::sync::Arc::new(record.expect("a record"))
}

fn worker_key(change: &WorkerChange) -> (u8, String) {
    match change {
        WorkerChange::IdentityPut { .. } => (0, String::new()),
        WorkerChange::GenerationPut { .. } => (1, String::new()),
        WorkerChange::SpecPut { digest, .. } | WorkerChange::SpecGone { digest } => (2, digest.clone()),
        WorkerChange::PlacementPut { record } => (3, record.id.to_string()),
        WorkerChange::PlacementGone { placement } => (3, placement.to_string()),
    }
}

proptest! {
    // Each case makes and syncs files: fewer than a pure property can afford.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_managers_rows_are_the_fold(batches in prop::collection::vec(prop::collection::vec(changes(), 1..8), 1..12)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manager.db");
        let mut store = ManagerStore::open(&path).unwrap();
        let mut fold = BTreeMap::new();
        for (at, batch) in batches.into_iter().enumerate() {
            for change in &batch {
                match key(change) {
                    Some(key) if is_gone(change) => { fold.remove(&key); }
                    Some(key) => { fold.insert(key, change.clone()); }
                    None => {}
                }
            }
            block_on(store.commit(vec![(at as u64 + 1, batch)])).unwrap();
            prop_assert_eq!(store.load().unwrap(), fold.values().cloned().collect::<Vec<_>>());
            if at % 4 == 3 {
                drop(store);
                store = ManagerStore::open(&path).unwrap();
                prop_assert_eq!(store.load().unwrap(), fold.values().cloned().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_workers_rows_are_the_fold(batches in prop::collection::vec(prop::collection::vec(worker_changes(), 1..8), 1..12)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.db");
        let store = WorkerStore::open(&path).unwrap();
        let mut fold = BTreeMap::new();
        for batch in batches {
            for change in &batch {
                match change {
                    WorkerChange::PlacementGone { .. } | WorkerChange::SpecGone { .. } => { fold.remove(&worker_key(change)); }
                    _ => { fold.insert(worker_key(change), change.clone()); }
                }
            }
            block_on(store.commit(batch)).unwrap();
        }
        let wanted: Vec<_> = fold.values().cloned().collect();
        prop_assert_eq!(store.load().unwrap(), wanted.clone());
        drop(store);
        let again = WorkerStore::open(&path).unwrap();
        prop_assert!(again.moved_aside().is_none());
        prop_assert_eq!(again.load().unwrap(), wanted);
    }
}
