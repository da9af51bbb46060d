//! What the manager knows: the durable half, changed by `apply` alone, and the volatile half.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orca_api::id::{CertificateId, ClusterId, IdSource, JobId, LifeId, NodeId, PlacementId, TaskId, TokenId};
use orca_api::link::{Assigned, Assignment, Generation, NodeFacts, PlacementWanted, Progress};
use orca_api::load::NodeLoad;
use orca_api::name::Name;
use orca_api::node::{Availability, Condition, NodeState, Role};
use orca_api::spec::{Algorithm, TaskSpec};
use orca_api::task::Phase;
use scheduler::Scheduler;

use super::brake::Engaged;
use super::io::Change;
use super::jobs::record::JobRecord;
use super::jobs::watch::{JobWatch, TaskWatch};
use super::liveness::Away;
use super::nodes::Knock;
use super::pressure::Window;
use super::record::{
    CertificateRecord, ClusterRecord, EventMark, NodeRecord, PlacementRecord, RequestRecord, TaskRecord,
    TokenRecord,
};
use crate::Now;

/// The manager core.
#[derive(Clone)]
pub struct Manager {
    /// What a restart would load.
    pub(super) durable: Durable,
    /// What a restart forgets.
    pub(super) live: Live,
    /// The scheduler's index: derived from the durable half and the measurements.
    pub(super) scheduler: Scheduler,
    /// Placements that the scheduler holds.
    pub(super) held: BTreeSet<PlacementId>,
}

/// The durable half. Maps from names and nodes are derived in `apply`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Durable {
    pub cluster: Option<Arc<ClusterRecord>>,
    pub nodes: BTreeMap<NodeId, Arc<NodeRecord>>,
    pub tasks: BTreeMap<TaskId, Arc<TaskRecord>>,
    pub names: BTreeMap<Name, TaskId>,
    pub jobs: BTreeMap<JobId, Arc<JobRecord>>,
    pub job_names: BTreeMap<Name, JobId>,
    /// The tasks of each job, by group and number.
    pub by_job: BTreeMap<JobId, BTreeMap<(String, u32), TaskId>>,
    /// Jobs of which a change rolls.
    pub rolling: BTreeSet<JobId>,
    pub placements: BTreeMap<PlacementId, Arc<PlacementRecord>>,
    pub by_node: BTreeMap<NodeId, BTreeSet<PlacementId>>,
    /// Placements that run.
    pub running: usize,
    pub requests: BTreeMap<String, Arc<RequestRecord>>,
    pub tokens: BTreeMap<TokenId, Arc<TokenRecord>>,
    pub certificates: BTreeMap<CertificateId, Arc<CertificateRecord>>,
    /// Tasks that wait for room.
    pub blocked: BTreeSet<TaskId>,
}

/// The volatile half.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    pub nodes: BTreeMap<NodeId, LiveNode>,
    /// Nothing is due of any node before, on the boot clock; `None` where nothing is due at all. A sign of life puts off
    /// what is due of its node and leaves this alone: when it has passed, they are all looked at. So a thousand nodes
    /// that are heard cost one look each few seconds, and not one each turn.
    pub nodes_due: Option<u64>,
    pub progress: BTreeMap<PlacementId, Progress>,
    /// When the blocked tasks are tried again at the latest, on the boot clock.
    pub sweep_at: Option<u64>,
    /// When housekeeping is due, on the boot clock.
    pub housekeeping_at: u64,
    /// New tasks of rollouts: until when they are watched.
    pub watches: BTreeMap<PlacementId, TaskWatch>,
    /// Rollouts: how far they are, and until when they must have come further.
    pub rollouts: BTreeMap<JobId, JobWatch>,
    /// The state folder's disk is short of space.
    pub scarce: bool,
    /// The number of the last probe.
    pub probes: u64,
    /// Too many nodes vanished at once.
    pub brake: Option<Engaged>,
    /// Nodes with a certificate of this cluster that are not known, and when they last came.
    pub strangers: BTreeMap<NodeId, u64>,
    /// When drains that do not get on are tried again, on the boot clock.
    pub drains: BTreeMap<NodeId, u64>,
    /// Singletons on nodes that fell silent.
    pub singletons: super::singleton::Waits,
    /// A minute of the boot clock, and the joins that were refused in it.
    pub refusals: (u64, u32),
}

/// What is known of a node until the next restart.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveNode {
    /// The life that said hello.
    pub life: Option<LifeId>,
    /// Its last sign of life, on the boot clock.
    pub seen: u64,
    /// What is wrong with it: what it tells, and what the manager found.
    pub conditions: BTreeSet<Condition>,
    /// What it tells itself.
    pub told: BTreeSet<Condition>,
    /// While it is not heard.
    pub away: Option<Away>,
    /// Another life that knocks while this one is heard.
    pub knock: Option<Knock>,
    /// How far its clock is ahead, in milliseconds.
    pub clock_ahead_ms: i64,
    pub pressure: Window,
    /// Since when its engine cannot be asked, on the wall clock.
    pub engine_away_since: Option<orca_api::units::Time>,
    pub load: Option<Arc<NodeLoad>>,
}

impl Manager {
    /// The changes that make a cluster of one: what a first start commits.
    pub fn bootstrap(ids: &mut dyn IdSource, now: Now, node_name: Name, roles: Vec<Role>) -> Vec<Change> {
        let cluster = ClusterRecord {
            id: ClusterId::fresh(ids),
            created_at: now.wall,
            epoch: 1,
            revision: 1,
            algorithm: Algorithm::default(),
            round_robin: None,
            events_from: 1,
            events_added: 0,
            marks: vec![EventMark { at: now.wall, revision: 1, added: 0 }],
            listen: None,
            addresses: Vec::new(),
            node_grace: None,
            agent_grace: None,
            certificate_ttl: None,
            rotation: None,
            rotated: None,
        };
        let node = NodeRecord {
            id: NodeId::fresh(ids),
            name: node_name,
            revision: 1,
            roles,
            state: NodeState::Joining,
            since: now.wall,
            availability: Availability::Active,
            facts: NodeFacts::default(),
            labels: BTreeMap::new(),
            generation: Generation { epoch: 1, n: 0 },
            address: None,
            data_center: String::new(),
            approved: None,
            certificate: None,
            drain: None,
            leaving: false,
            labels_told: BTreeMap::new(),
        };
        vec![Change::ClusterPut { record: Arc::new(cluster) }, Change::NodePut { record: Arc::new(node) }]
    }

    /// A manager with the rows of a store.
    pub fn load(rows: impl IntoIterator<Item = Change>) -> Self {
        let mut manager = Self {
            durable: Durable::default(),
            live: Live::default(),
            scheduler: Scheduler::new(),
            held: BTreeSet::new(),
        };
        for change in rows {
            manager.apply(&change);
        }
        manager
    }

    /// The rows that a store would hold of it.
    pub fn durable_rows(&self) -> Vec<Change> {
        let d = &self.durable;
        let mut rows = Vec::new();
        rows.extend(d.cluster.iter().map(|record| Change::ClusterPut { record: Arc::clone(record) }));
        rows.extend(d.nodes.values().map(|record| Change::NodePut { record: Arc::clone(record) }));
        rows.extend(d.jobs.values().map(|record| Change::JobPut { record: Arc::clone(record) }));
        rows.extend(d.tasks.values().map(|record| Change::TaskPut { record: Arc::clone(record) }));
        rows.extend(d.placements.values().map(|record| Change::PlacementPut { record: Arc::clone(record) }));
        rows.extend(d.tokens.values().map(|record| Change::TokenPut { record: Arc::clone(record) }));
        rows.extend(
            d.certificates.values().map(|record| Change::CertificatePut { record: Arc::clone(record) }),
        );
        rows.extend(d.requests.values().map(|record| Change::RequestPut { record: Arc::clone(record) }));
        rows
    }

    /// Whether both would load the same from their stores.
    pub fn same_durable(&self, other: &Self) -> bool {
        self.durable == other.durable
    }

    /// Applies one change: the only thing that alters the durable half.
    pub fn apply(&mut self, change: &Change) {
        let d = &mut self.durable;
        match change {
            Change::ClusterPut { record } => {
                self.scheduler.set_cursor(record.round_robin);
                d.cluster = Some(Arc::clone(record));
            }
            Change::NodePut { record } => {
                d.nodes.insert(record.id, Arc::clone(record));
                self.index_node(record.id);
            }
            Change::NodeGone { node } => {
                d.nodes.remove(node);
                self.scheduler.remove_node(*node);
            }
            Change::TaskPut { record } => {
                if let Some(old) = d.tasks.insert(record.id, Arc::clone(record)) {
                    d.names.remove(&old.name);
                }
                if let Some(owner) = &record.owner {
                    let place = (owner.group.clone(), owner.number);
                    d.by_job.entry(owner.job).or_default().insert(place, record.id);
                }
                d.names.insert(record.name.clone(), record.id);
                if record.waiting.as_ref().is_some_and(|w| w.reason == orca_api::task::Reason::NoFit) {
                    d.blocked.insert(record.id);
                } else {
                    d.blocked.remove(&record.id);
                }
            }
            Change::TaskGone { task } => {
                if let Some(old) = d.tasks.remove(task) {
                    d.names.remove(&old.name);
                    if let Some(owner) = &old.owner
                        && let Some(tasks) = d.by_job.get_mut(&owner.job)
                    {
                        tasks.remove(&(owner.group.clone(), owner.number));
                        if tasks.is_empty() {
                            d.by_job.remove(&owner.job);
                        }
                    }
                }
                d.blocked.remove(task);
            }
            Change::JobPut { record } => {
                if let Some(old) = d.jobs.insert(record.id, Arc::clone(record)) {
                    d.job_names.remove(&old.name);
                }
                d.job_names.insert(record.name.clone(), record.id);
                if record.rollout.is_active() {
                    d.rolling.insert(record.id);
                } else {
                    d.rolling.remove(&record.id);
                    self.live.rollouts.remove(&record.id);
                }
            }
            Change::JobGone { job } => {
                if let Some(old) = d.jobs.remove(job) {
                    d.job_names.remove(&old.name);
                }
                d.rolling.remove(job);
                self.live.rollouts.remove(job);
            }
            Change::PlacementPut { record } => {
                d.by_node.entry(record.node).or_default().insert(record.id);
                d.running += usize::from(record.runs());
                if let Some(old) = d.placements.insert(record.id, Arc::clone(record)) {
                    d.running -= usize::from(old.runs());
                }
                self.index_placement(record);
            }
            Change::PlacementGone { placement } => {
                if let Some(old) = d.placements.remove(placement) {
                    d.running -= usize::from(old.runs());
                    if let Some(set) = d.by_node.get_mut(&old.node) {
                        set.remove(placement);
                        if set.is_empty() {
                            d.by_node.remove(&old.node);
                        }
                    }
                }
                self.live.progress.remove(placement);
                self.live.watches.remove(placement);
                if self.held.remove(placement) {
                    self.scheduler.release(*placement);
                }
            }
            Change::TokenPut { record } => {
                d.tokens.insert(record.id, Arc::clone(record));
            }
            Change::TokenGone { token } => {
                d.tokens.remove(token);
            }
            Change::CertificatePut { record } => {
                d.certificates.insert(record.id, Arc::clone(record));
            }
            Change::CertificateGone { certificate } => {
                d.certificates.remove(certificate);
            }
            Change::RequestPut { record } => {
                d.requests.insert(record.key.clone(), Arc::clone(record));
            }
            Change::RequestGone { key } => {
                d.requests.remove(key);
            }
            // History lives in the store alone.
            Change::EventAdded { .. } | Change::EventsTrimmed { .. } | Change::Audited { .. } => {}
        }
    }

    /// Tells the scheduler of a placement: its resources are held until it has ended.
    fn index_placement(&mut self, record: &PlacementRecord) {
        if record.is_ended() {
            if self.held.remove(&record.id) {
                self.scheduler.release(record.id);
            }
        } else {
            let held = super::place::held(record);
            if self.held.insert(record.id) {
                self.scheduler.hold(held);
            } else if self.scheduler.held(record.id).is_some_and(|old| *old != held) {
                self.scheduler.release(record.id);
                self.scheduler.hold(held);
            }
        }
    }

    /// Tells the scheduler of a node: what is stored of it, and what is known of it now.
    pub(super) fn index_node(&mut self, node: NodeId) {
        match self.durable.nodes.get(&node) {
            // A manager without a worker, and one that has left, are no candidates: nobody needs to hear why.
            Some(record) if record.is_worker() && record.state != NodeState::Left => {
                let live = self.live.nodes.get(&node);
                self.scheduler.set_node(super::place::node(record, live, &self.scheduler));
            }
            _ => {
                self.scheduler.remove_node(node);
            }
        }
    }

    /// The cluster's id; `None` before [`Manager::bootstrap`]'s changes were applied.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.durable.cluster.as_ref().map(|c| c.id)
    }

    /// The last revision.
    pub fn revision(&self) -> u64 {
        self.durable.cluster.as_ref().map_or(0, |c| c.revision)
    }

    /// The first revision whose events are still there.
    pub fn events_from(&self) -> u64 {
        self.durable.cluster.as_ref().map_or(1, |c| c.events_from)
    }

    /// The manager's own node, which the bootstrap made.
    pub fn first_node(&self) -> Option<NodeId> {
        self.durable.nodes.values().find(|n| n.is_manager()).map(|n| n.id)
    }

    /// The nodes that belong to the cluster: all but those that have left.
    pub(super) fn members(&self) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.durable.nodes.values().filter(|n| n.state != NodeState::Left)
    }

    /// The record of a node that belongs to the cluster.
    pub(super) fn member(&self, node: NodeId) -> Option<&Arc<NodeRecord>> {
        self.durable.nodes.get(&node).filter(|n| n.state != NodeState::Left)
    }

    /// The complete set of placements that a node should have.
    pub fn assignment(&self, node: NodeId) -> Option<Assignment> {
        let record = self.durable.nodes.get(&node)?;
        let placements = self.durable.by_node.get(&node).into_iter().flatten();
        let placements =
            placements.filter_map(|id| self.durable.placements.get(id)).filter(|p| p.lost.is_none());
        Some(Assignment {
            generation: record.generation,
            placements: placements.map(|p| (p.id, assigned(p))).collect(),
        })
    }

    /// A spec that some placement of a node's set has.
    pub fn spec_for(&self, node: NodeId, digest: &str) -> Option<Arc<TaskSpec>> {
        let placements = self.durable.by_node.get(&node).into_iter().flatten();
        let mut placements = placements.filter_map(|id| self.durable.placements.get(id));
        placements.find(|p| p.lost.is_none() && p.digest == digest).map(|p| Arc::clone(&p.spec))
    }
}

fn assigned(placement: &PlacementRecord) -> Assigned {
    Assigned {
        task: placement.task,
        name: placement.name.clone(),
        spec: placement.digest.clone(),
        // What has ended has ended, whatever its worker remembers of it.
        wanted: if placement.is_ended() { PlacementWanted::Stopped } else { placement.wanted },
        stop_reason: placement.stop.as_ref().map(|s| s.reason),
        stop_grace: placement.stop.as_ref().and_then(|s| s.grace),
        restart: placement.spec.restart,
        // A worker that lost its store must not give a number twice.
        attempts_before: placement.status.attempts.last().map_or(placement.attempts_before, |a| a.number),
        budget_used: placement.budget_used,
    }
}

impl PlacementRecord {
    /// Whether it should run.
    pub(super) fn wanted_running(&self) -> bool {
        self.wanted == PlacementWanted::Running
    }

    /// Whether it runs, as far as is known.
    fn runs(&self) -> bool {
        self.state().phase() == Phase::Running
    }
}
