//! The store against the file system: what a restart finds.

mod commit;
mod files;
mod fold;

use std::sync::Arc;

use orca_api::control::EventView;
use orca_api::id::{ClusterId, NodeId, PlacementId, RawId, TaskId};
use orca_api::link::{Generation, NodeFacts, PlacementStatus, PlacementWanted};
use orca_api::node::{Availability, NodeState, Role};
use orca_api::spec::{Algorithm, TaskSpec};
use orca_api::task::{Reason, Wanted};
use orca_api::units::Time;
use orca_core::manager::jobs::record::{JobRecord, Rollout, RolloutState, VersionRecord};
use orca_core::manager::record::{
    AuditRecord, ClusterRecord, EventMark, NodeRecord, PlacementRecord, RequestRecord, TaskRecord,
};
use orca_core::manager::{Change, Peer};

pub(super) fn raw(n: u8) -> RawId {
    RawId::from_bytes([n; 10])
}

pub(super) fn spec(image: &str) -> Arc<TaskSpec> {
    let spec = serde_json::from_value(serde_json::json!({ "image": image }));
    Arc::new(spec.expect("a spec of an image alone is valid"))
}

pub(super) fn cluster(revision: u64) -> Change {
    let at = Time::from_ms(1_700_000_000_123);
    Change::ClusterPut {
        record: Arc::new(ClusterRecord {
            id: ClusterId::from_raw(raw(1)),
            created_at: at,
            epoch: 1,
            revision,
            algorithm: Algorithm::default(),
            round_robin: None,
            events_from: 1,
            events_added: revision,
            marks: vec![EventMark { at, revision: 1, added: 0 }],
            listen: None,
            addresses: Vec::new(),
            node_grace: None,
            agent_grace: None,
            certificate_ttl: None,
            rotation: None,
            rotated: None,
        }),
    }
}

pub(super) fn node(n: u8, revision: u64) -> Change {
    Change::NodePut {
        record: Arc::new(NodeRecord {
            id: NodeId::from_raw(raw(n)),
            name: format!("n{n}").parse().expect("a name"),
            revision,
            roles: vec![Role::Manager, Role::Worker],
            state: NodeState::Ready,
            since: Time::from_ms(5),
            availability: Availability::Active,
            facts: NodeFacts { kernel: "6.1 \"ö\" \u{1F433}".to_owned(), ..NodeFacts::default() },
            labels: [("disk".to_owned(), "ssd".to_owned())].into(),
            generation: Generation { epoch: 1, n: revision },
            address: None,
            data_center: String::new(),
            approved: None,
            certificate: None,
            drain: None,
            leaving: false,
            labels_told: std::collections::BTreeMap::new(),
        }),
    }
}

pub(super) fn task(n: u8, revision: u64, wanted: Wanted) -> Change {
    Change::TaskPut {
        record: Arc::new(TaskRecord {
            id: TaskId::from_raw(raw(n)),
            name: format!("t{n}").parse().expect("a name"),
            revision,
            created_at: Time::from_ms(7),
            wanted,
            removing: false,
            version: 1,
            spec: spec("nginx"),
            digest: "d".to_owned(),
            run: 1,
            placement: None,
            retired: None,
            attempts_before: 0,
            restarts_before: 0,
            history: Vec::new(),
            waiting: None,
            next: None,
            avoid: Vec::new(),
            moved: None,
            owner: None,
        }),
    }
}

/// A job.
pub(super) fn job(n: u8, revision: u64) -> Change {
    let spec = serde_json::json!({ "type": "service", "priority": 50, "groups": {"": {"count": n, "spec": spec("a")}}});
    let spec: orca_api::job::JobSpec = serde_json::from_value(spec).unwrap();
    let spec = Arc::new(spec);
    Change::JobPut {
        record: Arc::new(JobRecord {
            id: orca_api::id::JobId::from_raw(raw(n)),
            name: format!("job-{n}").parse().unwrap(),
            revision,
            created_at: Time::from_ms(1),
            wanted: Wanted::Running,
            removing: false,
            version: 1,
            renewed: 0,
            digest: spec.digest(),
            versions: vec![VersionRecord {
                version: 1,
                spec: Arc::clone(&spec),
                at: Time::from_ms(1),
                by: "uid 0".to_owned(),
                proven: true,
            }],
            spec,
            rollout: Rollout {
                from: 0,
                to: 1,
                since: Time::from_ms(1),
                state: RolloutState::Done,
                back: false,
                promoted: false,
                why: String::new(),
                skipped: std::collections::BTreeSet::new(),
            },
        }),
    }
}

pub(super) fn placement(n: u8, revision: u64) -> Change {
    let (id, task) = (PlacementId::from_raw(raw(n)), TaskId::from_raw(raw(n)));
    Change::PlacementPut {
        record: Arc::new(PlacementRecord {
            id,
            task,
            name: format!("t{n}").parse().expect("a name"),
            node: NodeId::from_raw(raw(1)),
            revision,
            created_at: Time::from_ms(9),
            run: 1,
            version: 1,
            spec: spec("nginx"),
            digest: "d".to_owned(),
            wanted: PlacementWanted::Running,
            stop: None,
            attempts_before: 0,
            budget_used: 0,
            status: PlacementStatus {
                placement: id,
                task,
                sequence: revision,
                attempts: Vec::new(),
                restarts: 0,
                budget_used: 0,
                next_attempt_at: None,
                finished: false,
                progress: None,
                warning: None,
            },
            since: Time::from_ms(9),
            lost: None,
            spare: None,
        }),
    }
}

pub(super) fn request(n: u8) -> Change {
    Change::RequestPut {
        record: Arc::new(RequestRecord {
            key: format!("key-{n}"),
            digest: "d".to_owned(),
            at: Time::from_ms(11),
            task: Some(TaskId::from_raw(raw(n))),
            job: None,
            created: true,
            changed: true,
        }),
    }
}

pub(super) fn event(revision: u64, index: u32, task: Option<u8>) -> EventView {
    EventView {
        revision,
        index,
        at: Time::from_ms(13),
        kind: "task.state".to_owned(),
        task: task.map(|n| TaskId::from_raw(raw(n))),
        task_name: task.map(|n| format!("t{n}").parse().expect("a name")),
        node: task.is_some().then(|| NodeId::from_raw(raw(1))),
        node_name: None,
        state: Some("running".to_owned()),
        reason: Some(Reason::Exited),
        message: "exited with 1".to_owned(),
        by: Some("uid 0".to_owned()),
        request_id: None,
    }
}

pub(super) fn added(revision: u64, index: u32, task: Option<u8>) -> Change {
    Change::EventAdded { event: event(revision, index, task) }
}

pub(super) fn audited(revision: u64, at: i64) -> Change {
    Change::Audited {
        record: AuditRecord {
            at: Time::from_ms(at),
            revision,
            peer: Peer::Unix { uid: 1000, pid: Some(4242) },
            method: "task.start".to_owned(),
            object: "web".to_owned(),
            request_id: "r".to_owned(),
            outcome: "ok".to_owned(),
        },
    }
}

/// Runs what a driver would, on a small runtime.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}
