//! What the worker knows: the durable half, changed by `apply` alone, and the volatile half.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orca_api::id::{ClusterId, LifeId, NodeId, PlacementId, TaskId};
use orca_api::link::{Assignment, Generation, PlacementStatus};
use orca_api::name::Name;
use orca_api::node::Condition;
use orca_api::spec::TaskSpec;
use orca_api::units::Bytes;

use super::containers::Containers;
use super::engine::Engine;
use super::io::{Change, EngineState, Health, PlacementRecord};
use super::oom::OomKills;
use super::ops::{Op, Retry, Target};
use super::report::{Outbox, Shown};
use crate::Now;

/// The worker core.
#[derive(Clone, Debug)]
pub struct Worker {
    /// This life of the process: results of operations of an older one are dropped.
    pub(super) life: LifeId,
    /// This boot of the kernel.
    pub(super) boot_id: String,
    /// What a restart would load.
    pub(super) durable: Durable,
    /// What a restart forgets.
    pub(super) live: Live,
}

/// The durable half.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Durable {
    pub identity: Option<Identity>,
    pub generation: Generation,
    pub placements: BTreeMap<PlacementId, Arc<PlacementRecord>>,
    pub specs: BTreeMap<String, Arc<TaskSpec>>,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Identity {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub name: Name,
}

/// The volatile half.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    /// The instant of the last step.
    pub now: Option<Now>,
    pub engine: Engine,
    pub sweep: Sweep,
    /// The engine has told all at least once in this life: there are no attempts that we do not know of.
    pub swept: bool,
    /// There is a set, of this life or stored by an earlier one: what is not in it is really not wanted.
    pub assigned: bool,
    /// The machine is going down: nothing is begun any more.
    pub going_down: bool,
    /// When the manager was asked that answered last, on the boot clock.
    pub heard: Option<u64>,
    pub containers: Containers,
    /// Operations in flight, by number.
    pub ops: BTreeMap<u64, Op>,
    /// The operation that an attempt or a container waits for.
    pub busy: BTreeMap<Target, u64>,
    /// The number of the last operation.
    pub last_op: u64,
    /// Not to be tried again before.
    pub retries: BTreeMap<Target, Retry>,
    /// The image's id of placements whose attempt has it pulled.
    pub pulled: BTreeMap<PlacementId, String>,
    /// What placements show besides their record.
    pub shown: BTreeMap<PlacementId, Shown>,
    pub outbox: Outbox,
    /// What checks over the network came to, by container.
    pub checked: BTreeMap<String, Health>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: OomKills,
    /// What the shell sees of the machine.
    pub conditions: Vec<Condition>,
    /// Peak memory by container.
    pub peaks: BTreeMap<String, Bytes>,
}

/// The looks at all containers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sweep {
    /// Asked for and not answered, on the boot clock.
    pub asked: Option<u64>,
    /// The last answer, on the boot clock.
    pub answered: Option<u64>,
    /// The engine has told all since it last came up.
    pub complete: bool,
    /// One is wanted now.
    pub wanted: bool,
}

impl Worker {
    /// A worker with the rows of a store. It does nothing before the engine is up and told of all its containers.
    pub fn load(life: LifeId, boot_id: String, rows: impl IntoIterator<Item = Change>) -> Self {
        let mut worker = Self { life, boot_id, durable: Durable::default(), live: Live::default() };
        for change in rows {
            worker.apply(&change);
        }
        // A set that was stored is the set: the manager does not send it again while it stands.
        worker.live.assigned = worker.durable.generation != Generation::default();
        // Whatever the manager had accepted, it may not be the manager that it was.
        worker.live.outbox.unaccepted = worker.durable.placements.keys().copied().collect();
        worker
    }

    /// Applies one change: the only thing that alters the durable half.
    pub fn apply(&mut self, change: &Change) {
        let d = &mut self.durable;
        match change {
            Change::IdentityPut { cluster, node, name } => {
                d.identity = Some(Identity { cluster: *cluster, node: *node, name: name.clone() });
            }
            Change::GenerationPut { generation } => d.generation = *generation,
            Change::PlacementPut { record } => {
                d.placements.insert(record.id, Arc::clone(record));
            }
            Change::PlacementGone { placement } => {
                d.placements.remove(placement);
            }
            Change::SpecPut { digest, spec } => {
                d.specs.insert(digest.clone(), Arc::clone(spec));
            }
            Change::SpecGone { digest } => {
                d.specs.remove(digest);
            }
        }
    }

    /// The rows that a store would hold of it.
    pub fn durable_rows(&self) -> Vec<Change> {
        let d = &self.durable;
        let mut rows = Vec::new();
        rows.extend(d.identity.iter().map(|i| Change::IdentityPut {
            cluster: i.cluster,
            node: i.node,
            name: i.name.clone(),
        }));
        rows.push(Change::GenerationPut { generation: d.generation });
        rows.extend(
            d.specs
                .iter()
                .map(|(digest, spec)| Change::SpecPut { digest: digest.clone(), spec: Arc::clone(spec) }),
        );
        rows.extend(d.placements.values().map(|record| Change::PlacementPut { record: Arc::clone(record) }));
        rows
    }

    /// Whether both would load the same from their stores.
    pub fn same_durable(&self, other: &Self) -> bool {
        self.durable == other.durable
    }

    /// The generation that it holds.
    pub fn generation(&self) -> Generation {
        self.durable.generation
    }

    /// The cluster that it belongs to; `None` until a manager welcomed it.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.durable.identity.as_ref().map(|i| i.cluster)
    }

    /// Its node's id and name, likewise.
    pub fn node(&self) -> Option<(NodeId, &Name)> {
        self.durable.identity.as_ref().map(|i| (i.node, &i.name))
    }

    /// Digests of the specs that a set needs and that are not here.
    pub fn missing_specs(&self, assignment: &Assignment) -> Vec<String> {
        let wanted: BTreeSet<&String> = assignment.placements.values().map(|a| &a.spec).collect();
        wanted.into_iter().filter(|digest| !self.durable.specs.contains_key(*digest)).cloned().collect()
    }

    /// Every placement that it knows, for the hello.
    pub fn inventory(&self) -> Vec<PlacementStatus> {
        self.durable.placements.values().map(|record| self.status_of(record)).collect()
    }

    /// What is wrong with the node: what the shell sees of the machine, and the engine's absence.
    pub fn conditions(&self) -> Vec<Condition> {
        let now = self.live.now.map_or(0, |n| n.boot_ms);
        let mut found: BTreeSet<Condition> = self.live.conditions.iter().copied().collect();
        if self.live.engine.state == Some(EngineState::Away) {
            found.insert(Condition::EngineAway);
        }
        if self.live.engine.unresponsive_at().is_some_and(|at| at <= now) {
            found.insert(Condition::EngineUnresponsive);
        }
        found.into_iter().collect()
    }

    /// The container of an attempt (of the newest one that has a container where none is given): the attempt's
    /// number, the container's id, and whether its process may be alive.
    pub fn container_of(&self, placement: PlacementId, attempt: Option<u32>) -> Option<(u32, String, bool)> {
        let record = self.durable.placements.get(&placement)?;
        record
            .attempts
            .iter()
            .rev()
            .filter(|a| attempt.is_none_or(|n| a.status.number == n) && a.status.container_kept)
            .find_map(|a| {
                let container = a.status.container.clone()?;
                Some((a.status.number, container, a.status.state.may_run()))
            })
    }

    /// The attempts whose process may be alive: task, placement, number, container's id.
    pub fn running(&self) -> impl Iterator<Item = (TaskId, PlacementId, u32, &str)> {
        self.durable.placements.values().filter_map(|record| {
            let attempt = record.live_attempt().filter(|a| a.status.state.may_run())?;
            Some((record.task, record.id, attempt.status.number, attempt.status.container.as_deref()?))
        })
    }

    /// Whether what the engine told can be believed: it is up, has told all since, and we know which containers are ours.
    pub(super) fn may_look(&self) -> bool {
        self.durable.identity.is_some() && self.live.engine.is_up() && self.live.sweep.complete
    }

    /// Whether something may be begun.
    pub(super) fn may_act(&self) -> bool {
        self.may_look() && !self.live.going_down
    }
}
