//! One step: events go in, changes and effects are gathered, all of one revision.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::control::EventView;
use orca_api::error::Problem;
use orca_api::id::{IdSource, JobId, NodeId, PlacementId, TaskId};
use orca_api::task::Reason;

use super::io::{Answer, Change, Effect, Event, Step, Token};
use super::jobs::record::JobRecord;
use super::record::{NodeRecord, PlacementRecord, TaskRecord};
use super::state::Manager;
use crate::Now;

/// A step in the making.
pub(super) struct Turn<'a> {
    pub m: &'a mut Manager,
    pub now: Now,
    pub ids: &'a mut dyn IdSource,
    /// The revision of everything that changes in this step.
    pub revision: u64,
    changes: Vec<Change>,
    effects: Vec<Effect>,
    events: Vec<EventView>,
    pub tasks: BTreeSet<TaskId>,
    pub nodes: BTreeSet<NodeId>,
    pub jobs: BTreeSet<JobId>,
    /// Jobs that something happened to: what follows from it is done at the end.
    pub unsettled: BTreeSet<JobId>,
    /// What went wrong with new tasks of rollouts in this step: the task, and how.
    pub failures: Vec<(TaskId, String)>,
    /// Nodes whose set changed: their generation rises once at the end.
    dirty: BTreeSet<NodeId>,
    /// Room was made: the blocked tasks are tried again at the end.
    pub room: bool,
    /// The request that caused this step, for its events.
    pub cause: Option<(String, String)>,
}

impl Manager {
    /// One step. The changes are applied already; the effects are released once they are committed.
    pub fn step(&mut self, event: Event, now: Now, ids: &mut dyn IdSource) -> Step {
        let revision = self.revision() + 1;
        let mut turn = Turn {
            m: self,
            now,
            ids,
            revision,
            changes: Vec::new(),
            effects: Vec::new(),
            events: Vec::new(),
            tasks: BTreeSet::new(),
            nodes: BTreeSet::new(),
            jobs: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            failures: Vec::new(),
            dirty: BTreeSet::new(),
            room: false,
            cause: None,
        };
        // These are most of what is heard of a large cluster, and what they put off need not be found at once.
        let only_later = matches!(
            event,
            Event::Polled { .. } | Event::Reported { .. } | Event::Measured { .. } | Event::Space { .. }
        );
        match event {
            Event::Started => turn.on_started(),
            Event::Asked(asked) => turn.on_asked(*asked),
            Event::JoinAsked { token, address, join } => turn.on_join_asked(token, address, *join),
            Event::Certified { node, expires_at, ca } => turn.on_certified(node, expires_at, ca),
            Event::LeaveAsked { token, node } => turn.on_leave_asked(token, node),
            Event::Dropped { node, life } => turn.on_dropped(node, life),
            Event::Probed { node, probe, found } => turn.on_probed(node, probe, found),
            Event::Hello { token, node, address, hello } => turn.on_hello(token, node, address, *hello),
            Event::Polled { node, life, conditions, clock, .. } => {
                turn.on_polled(node, life, conditions, clock);
            }
            Event::Reported { token, node, life, placements } => {
                turn.on_reported(token, node, life, placements);
            }
            Event::Goodbye { node, goodbye } => turn.on_goodbye(node, &goodbye),
            Event::Measured { node, load } => turn.on_measured(node, load),
            Event::Space { scarce } => turn.m.live.scarce = scarce,
            Event::Tick => turn.on_tick(),
        }
        let step = turn.finish();
        if !only_later {
            self.live.nodes_due = self.find_nodes_due();
        }
        debug_assert!(
            self.find_nodes_due().is_none_or(|due| self.live.nodes_due.is_some_and(|known| known <= due)),
            "something is due of a node before it would be looked at"
        );
        step
    }
}

impl Turn<'_> {
    /// Applies a change and keeps it for the commit.
    pub fn put(&mut self, change: Change) {
        self.m.apply(&change);
        self.changes.push(change);
    }

    /// Stores a task under this step's revision.
    pub fn put_task(&mut self, mut record: TaskRecord) {
        record.revision = self.revision;
        self.tasks.insert(record.id);
        self.unsettled.extend(record.owner.as_ref().map(|o| o.job));
        self.put(Change::TaskPut { record: Arc::new(record) });
    }

    /// Stores a placement under this step's revision; `set` when its node's set changes by it.
    pub fn put_placement(&mut self, mut record: PlacementRecord, set: SetChange) {
        record.revision = self.revision;
        self.tasks.insert(record.task);
        let owner = self.m.durable.tasks.get(&record.task).and_then(|t| t.owner.as_ref());
        self.unsettled.extend(owner.map(|o| o.job));
        if set == SetChange::Yes {
            self.dirty.insert(record.node);
        }
        self.room |= record.is_ended();
        self.put(Change::PlacementPut { record: Arc::new(record) });
    }

    /// Forgets a placement.
    pub fn drop_placement(&mut self, placement: PlacementId) {
        if let Some(old) = self.m.durable.placements.get(&placement) {
            self.dirty.insert(old.node);
            self.room = true;
            self.put(Change::PlacementGone { placement });
        }
    }

    /// Stores a job under this step's revision.
    pub fn put_job(&mut self, mut record: JobRecord) {
        record.revision = self.revision;
        self.jobs.insert(record.id);
        self.put(Change::JobPut { record: Arc::new(record) });
    }

    /// Records that something happened to a job; its name stands where a task's does.
    pub fn job_event(&mut self, kind: &str, job: &JobRecord, message: String) {
        let mut event = self.event(kind, message);
        event.task_name = Some(job.name.clone());
        self.events.push(event);
    }

    /// Stores a node under this step's revision.
    pub fn put_node(&mut self, mut record: NodeRecord) {
        record.revision = self.revision;
        self.nodes.insert(record.id);
        self.put(Change::NodePut { record: Arc::new(record) });
    }

    /// Answers a request, after the commit.
    pub fn reply(&mut self, token: Token, answer: Result<Answer, Problem>) {
        self.effects.push(Effect::Reply { token, answer });
    }

    /// Wakes a node's parked poll.
    pub fn notify(&mut self, node: NodeId) {
        self.effects.push(Effect::NotifyNode { node });
    }

    /// Records that something happened to a task.
    pub fn task_event(
        &mut self,
        kind: &str,
        task: &TaskRecord,
        node: Option<NodeId>,
        state: Option<&str>,
        reason: Option<Reason>,
        message: String,
    ) {
        let mut event = self.event(kind, message);
        event.task = Some(task.id);
        event.task_name = Some(task.name.clone());
        event.node = node;
        event.node_name = node.and_then(|n| self.m.durable.nodes.get(&n)).map(|n| n.name.clone());
        event.state = state.map(str::to_owned);
        event.reason = reason;
        self.events.push(event);
    }

    /// Records that something happened to a node.
    pub fn node_event(&mut self, kind: &str, node: &NodeRecord, state: &str, message: String) {
        let mut event = self.event(kind, message);
        event.node = Some(node.id);
        event.node_name = Some(node.name.clone());
        event.state = Some(state.to_owned());
        self.events.push(event);
    }

    /// Records that something happened to the cluster as such.
    pub fn cluster_event(&mut self, kind: &str, message: String) {
        let event = self.event(kind, message);
        self.events.push(event);
    }

    /// Does something once the changes are committed.
    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn event(&self, kind: &str, message: String) -> EventView {
        EventView {
            revision: self.revision,
            index: u32::try_from(self.events.len()).unwrap_or(u32::MAX),
            at: self.now.wall,
            kind: kind.to_owned(),
            task: None,
            task_name: None,
            node: None,
            node_name: None,
            state: None,
            reason: None,
            message,
            by: self.cause.as_ref().map(|c| c.0.clone()),
            request_id: self.cause.as_ref().map(|c| c.1.clone()),
        }
    }

    fn finish(mut self) -> Step {
        self.advance_jobs();
        if self.room {
            self.retry_blocked();
        }
        if self.room || !self.tasks.is_empty() || !self.nodes.is_empty() {
            self.advance_drains();
        }
        self.advance_jobs();
        let of_jobs = self.tasks.iter().filter_map(|t| self.m.durable.tasks.get(t)?.owner.as_ref());
        self.jobs.extend(of_jobs.map(|o| o.job));
        for node in std::mem::take(&mut self.dirty) {
            if let Some(record) = self.m.durable.nodes.get(&node) {
                let mut record = NodeRecord::clone(record);
                record.generation.n += 1;
                self.put_node(record);
                self.notify(node);
            }
        }
        let events = std::mem::take(&mut self.events);
        for event in &events {
            self.changes.push(Change::EventAdded { event: event.clone() });
        }
        if self.changes.is_empty() {
            if !self.tasks.is_empty() || !self.nodes.is_empty() {
                self.effects.push(Effect::Publish {
                    revision: self.revision - 1,
                    tasks: self.tasks,
                    jobs: self.jobs,
                    nodes: self.nodes,
                    events,
                });
            }
            return Step { revision: 0, changes: self.changes, effects: self.effects };
        }
        if let Some(cluster) = &self.m.durable.cluster {
            let mut cluster = super::record::ClusterRecord::clone(cluster);
            cluster.revision = self.revision;
            cluster.events_added += events.len() as u64;
            cluster.round_robin = self.m.scheduler.cursor();
            self.put(Change::ClusterPut { record: Arc::new(cluster) });
        }
        // Publishing goes before replies, so that who waits for an object is not later than who changed it.
        self.effects.insert(
            0,
            Effect::Publish {
                revision: self.revision,
                tasks: self.tasks,
                jobs: self.jobs,
                nodes: self.nodes,
                events,
            },
        );
        Step { revision: self.revision, changes: self.changes, effects: self.effects }
    }
}

/// Whether a change of a placement changes what its node is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetChange {
    /// The node must hear of it.
    Yes,
    /// Only what was observed changed.
    No,
}
