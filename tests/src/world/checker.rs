//! What must never be, whatever breaks. It looks on from outside: at committed records and at the containers.
//!
//! * what was acknowledged is there after every load, and revisions only rise;
//! * a placement's task, node and spec never change, its attempts' states only rise, and an end stays an end;
//! * at most one container of a task is alive at any time, over all nodes, but while it moves: then the former one and the
//!   next; of a singleton never two. A container's process is begun once;
//! * a process that ended by itself is not followed by another before the back-off allows it;
//! * containers without our labels are never touched;
//! * and what `calm.rs` adds once nothing breaks any more.

use std::collections::{BTreeMap, BTreeSet};

use orca_api::id::{NodeId, PlacementId, TaskId};
use orca_api::node::NodeState;
use orca_api::task::State;
use orca_core::manager::{Change, Manager};
use orca_core::worker::io::Container;

use super::engine::Made;
use super::worker::WorkerBox;

/// What is remembered of a placement.
#[derive(Clone, PartialEq)]
struct Fixed {
    task: TaskId,
    node: NodeId,
    version: u32,
    digest: String,
}

/// How far a placement's own ends have driven its back-off.
#[derive(Clone, Copy, Default)]
struct Backoff {
    /// Own ends in a row.
    ends: u32,
    /// When the last one was, if nothing was begun since.
    last: Option<u64>,
}

/// Who looks on.
pub struct Checker {
    /// What was found, oldest first.
    pub found: Vec<String>,
    revision: u64,
    /// Tasks that are there for certain, by their names.
    acknowledged: BTreeMap<TaskId, String>,
    removed: BTreeSet<TaskId>,
    fixed: BTreeMap<PlacementId, Fixed>,
    states: BTreeMap<(PlacementId, u32), State>,
    /// Placements that the manager gave up with their node: until the node is back, they may run beside others.
    lost: BTreeSet<PlacementId>,
    /// Nodes that were removed: they have not heard of it yet.
    left: BTreeSet<NodeId>,
    /// Of each task, the placements that may live beside each other: what it has, its next one, its former one.
    beside: BTreeMap<TaskId, BTreeSet<PlacementId>>,
    backoff: BTreeMap<PlacementId, Backoff>,
    /// Containers whose end is somebody's wish.
    stops: BTreeSet<String>,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self {
            found: Vec::new(),
            revision: 0,
            acknowledged: BTreeMap::new(),
            removed: BTreeSet::new(),
            fixed: BTreeMap::new(),
            states: BTreeMap::new(),
            lost: BTreeSet::new(),
            left: BTreeSet::new(),
            beside: BTreeMap::new(),
            backoff: BTreeMap::new(),
            stops: BTreeSet::new(),
        }
    }

    pub(crate) fn find(&mut self, what: String) {
        self.found.push(what);
    }

    // ---------------------------------------------------------------------------------------- what clients heard

    pub(crate) fn acknowledged(&mut self, task: TaskId, name: &str, revision: u64) {
        if !self.removed.contains(&task) {
            self.acknowledged.insert(task, name.to_owned());
        }
        if revision > self.revision {
            self.find(format!("task {task} was acknowledged at revision {revision}, which is not committed"));
        }
    }

    /// A task is gone, or on its way.
    pub(crate) fn removal_acknowledged(&mut self, task: TaskId) {
        self.removed.insert(task);
    }

    /// A removal is under way: it may come about at any time from now on.
    pub(crate) fn removal_asked(&mut self, name: &str) {
        self.acknowledged.retain(|_, n| n != name);
    }

    // ------------------------------------------------------------------------------------- what the manager holds

    pub(crate) fn manager_loaded(&mut self, core: &Manager) {
        if core.revision() < self.revision {
            self.find(format!(
                "revision {} was loaded after {} was committed",
                core.revision(),
                self.revision
            ));
        }
        let there: BTreeSet<TaskId> = tasks(core).collect();
        let lost: Vec<TaskId> = self.acknowledged.keys().filter(|id| !there.contains(id)).copied().collect();
        for task in lost {
            self.acknowledged.remove(&task);
            self.find(format!("task {task} was acknowledged, and is lost"));
        }
    }

    pub(crate) fn manager_committed(&mut self, core: &Manager) {
        if core.revision() <= self.revision {
            self.find(format!("revision {} was committed after {}", core.revision(), self.revision));
        }
        self.revision = core.revision();
        for row in core.durable_rows() {
            if let Change::TaskPut { record: t } = &row
                && !t.spec.singleton
            {
                let next = t.next.as_ref().map(|n| n.placement);
                self.beside.insert(t.id, [t.placement, next, t.retired].into_iter().flatten().collect());
            }
            if let Change::NodePut { record } = &row
                && record.state == NodeState::Left
            {
                self.left.insert(record.id);
            }
            let Change::PlacementPut { record: p } = row else { continue };
            let now = Fixed { task: p.task, node: p.node, version: p.version, digest: p.digest.clone() };
            if *self.fixed.entry(p.id).or_insert_with(|| now.clone()) != now {
                self.find(format!("placement {} of {} became another", p.id, p.name));
            }
            if p.lost.is_some() {
                self.lost.insert(p.id);
            }
            for attempt in &p.status.attempts {
                let before = self.states.insert((p.id, attempt.number), attempt.state);
                let sound =
                    before.is_none_or(|b| b == attempt.state || (b < attempt.state && !b.is_terminal()));
                if !sound {
                    let before = before.map_or("", State::as_str);
                    self.find(format!(
                        "{} attempt {}: {before} became {}",
                        p.name, attempt.number, attempt.state
                    ));
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------ what containers do

    /// At most one container of a task is alive, or two while it moves.
    pub(crate) fn look(&mut self, workers: &[WorkerBox]) {
        let mut alive: BTreeMap<TaskId, Vec<(PlacementId, u32)>> = BTreeMap::new();
        let members = workers.iter().filter(|w| !self.left.contains(&w.node));
        let running = members.flat_map(|w| w.engine.running());
        for labels in running.filter(|l| !self.lost.contains(&l.placement)).collect::<Vec<_>>() {
            let living = alive.entry(labels.task).or_default();
            living.push((labels.placement, labels.attempt));
            if let [former @ .., this] = living.as_slice()
                && !former.is_empty()
            {
                let beside = self.beside.get(&labels.task);
                let moves = former.len() == 1
                    && former[0].0 != this.0
                    && beside.is_some_and(|b| b.contains(&former[0].0) && b.contains(&this.0));
                if !moves {
                    let living: Vec<String> =
                        living.iter().map(|(p, n)| format!("{p} attempt {n}")).collect();
                    self.find(format!("too many containers of one task are alive: {}", living.join(", ")));
                }
            }
        }
        for worker in workers {
            for made in worker.engine.containers.values() {
                if made.starts > 1 {
                    self.find(format!("the process of {} was begun twice", made.seen.name));
                }
            }
        }
    }

    pub(crate) fn stop_sent(&mut self, seen: &Container) {
        if seen.labels.is_none() {
            self.find(format!("{} is none of ours, and was stopped", seen.name));
        }
        self.stops.insert(seen.id.clone());
    }

    pub(crate) fn started(&mut self, now: u64, made: &Made, clock_is_right: bool) {
        let Some(labels) = &made.seen.labels else { return };
        let backoff = self.backoff.entry(labels.placement).or_default();
        let Some(last) = backoff.last.take() else { return };
        // 1 s doubled with each end, at most 5 min, less a quarter.
        let least = (750u64 << (backoff.ends - 1).min(9)).min(225_000);
        // Waits are kept on the wall clock: one that was set makes them shorter or longer.
        if clock_is_right && now < last + least {
            let waited = now - last;
            let ends = backoff.ends;
            self.find(format!("{} was begun {waited} ms after end {ends} in a row", made.seen.name));
        }
    }

    /// A process ended. What is its own doing counts: not a stop, and nothing that took all of them.
    pub(crate) fn ended(&mut self, now: u64, seen: &Container) {
        let Some(labels) = &seen.labels else { return };
        let own = !self.stops.remove(&seen.id) && !matches!(seen.exit_code, Some(0 | 137 | 255));
        let backoff = self.backoff.entry(labels.placement).or_default();
        if own {
            backoff.ends += 1;
            backoff.last = Some(now);
        } else {
            *backoff = Backoff { last: None, ..*backoff };
        }
    }

    /// Ends of the last moments may be booked as something else than their own doing, or be forgotten.
    pub(crate) fn counts_lost(&mut self) {
        self.backoff.clear();
    }
}

fn tasks(core: &Manager) -> impl Iterator<Item = TaskId> {
    core.durable_rows().into_iter().filter_map(|row| match row {
        Change::TaskPut { record } => Some(record.id),
        _ => None,
    })
}
