//! Jobs: tasks that belong together, how many there are of them, and how a change of them rolls.
//!
//! ```text
//!   ask.rs     what clients want of jobs ──► JobRecord ─┐
//!   a task of a job changed ────────────────────────────┼─► unsettled ─► advance_job, at the end of the step
//!   tick (watch.rs): healthy long enough, or too late ──┘                   │ trim   tasks that are too many
//!                                                                           │ fill   tasks that are missing
//!                                                                           └ roll   tasks of another version (roll.rs)
//!   plan.rs    the same on a copy of the manager, in a world where everything goes well
//!   view.rs    what clients see
//! ```
//!
//! A job's tasks are tasks like all others, moved by the one rule of `tasks.rs`; what this module does is to make them, to
//! change what is wanted of them, and to let one version take over from another by the moves of `moves.rs`. It is derived from
//! the records at every change, so a restart goes on where it was.

mod ask;
mod diff;
mod plan;
pub mod record;
mod roll;
mod view;
pub(super) mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::control::TASKS_MAX;
use orca_api::id::{JobId, NodeId, TaskId};
use orca_api::job::{Group, JobType};
use orca_api::name::Name;
use orca_api::node::{Availability, NodeState};
use orca_api::spec::{Algorithm, TaskSpec};
use orca_api::task::{Reason, Wanted};

pub use self::ask::JobRequest;
use self::record::JobRecord;
use super::io::Change;
use super::record::{Owner, TaskRecord, Waiting};
use super::state::Manager;
use super::turn::Turn;

/// How often what follows from a change is followed up within one step.
const ROUNDS_MAX: usize = 100;

impl Manager {
    /// The tasks of a job, by group and number.
    pub(super) fn tasks_of(&self, job: JobId) -> Vec<Arc<TaskRecord>> {
        let tasks = self.durable.by_job.get(&job).into_iter().flat_map(|t| t.values());
        tasks.filter_map(|id| self.durable.tasks.get(id)).map(Arc::clone).collect()
    }

    /// Whether a spec may be on a node, whatever room there is.
    pub(super) fn may_be_on(&mut self, spec: &TaskSpec, node: NodeId) -> bool {
        let mut request = self.request(None, spec);
        request.resources = scheduler::Resources::ZERO;
        request.ports = Vec::new();
        request.preferences = Vec::new();
        request.algorithm = Algorithm::Spread;
        request.constraints.extend(format!("node.id == {node}").parse::<orca_api::spec::Constraint>());
        self.scheduler.place(&request).is_ok()
    }
}

impl Turn<'_> {
    /// Follows up what happened to jobs in this step.
    pub(super) fn advance_jobs(&mut self) {
        if !self.nodes.is_empty() || self.room {
            let everywhere = |j: &&Arc<JobRecord>| j.spec.kind.is_everywhere() || j.rollout.is_active();
            let jobs: Vec<JobId> = self.m.durable.jobs.values().filter(everywhere).map(|j| j.id).collect();
            self.unsettled.extend(jobs);
        }
        for _ in 0..ROUNDS_MAX {
            let jobs = std::mem::take(&mut self.unsettled);
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                self.advance_job(job);
            }
        }
    }

    fn advance_job(&mut self, id: JobId) {
        let Some(job) = self.m.durable.jobs.get(&id).map(Arc::clone) else { return };
        if job.wanted == Wanted::Stopped {
            let tasks = self.m.tasks_of(id);
            for task in &tasks {
                if job.removing {
                    self.discard(task);
                } else if task.wanted == Wanted::Running {
                    self.want_stopped(task);
                }
            }
            if job.removing && !self.m.durable.by_job.contains_key(&id) {
                self.job_event("job.removed", &job, String::new());
                self.jobs.insert(id);
                self.put(Change::JobGone { job: id });
            }
            return;
        }
        let nodes = if job.spec.kind.is_everywhere() { self.nodes_for(&job) } else { BTreeSet::new() };
        self.trim(&job, &nodes);
        self.fill(&job, &nodes);
        if job.spec.kind.lasts() {
            self.roll(&job);
        }
    }

    /// The nodes on which a job that is everywhere has, or keeps, its tasks: by group.
    fn nodes_for(&mut self, job: &JobRecord) -> BTreeSet<(String, NodeId)> {
        let nodes: Vec<_> = self.m.members().filter(|n| n.is_worker()).map(Arc::clone).collect();
        let mut found = BTreeSet::new();
        for (name, group) in &job.spec.groups {
            for node in &nodes {
                // A node that does not answer keeps what it has; one that is paused, too.
                let has = || {
                    let tasks = self.m.tasks_of(job.id);
                    tasks.iter().any(|t| {
                        t.owner.as_ref().is_some_and(|o| o.group == *name && o.node == Some(node.id))
                    })
                };
                let wanted = match (node.state, node.availability) {
                    (_, Availability::Draining) => false,
                    (NodeState::Ready, Availability::Active) => self.m.may_be_on(&group.spec, node.id),
                    _ => has(),
                };
                if wanted {
                    found.insert((name.clone(), node.id));
                }
            }
        }
        found
    }

    /// Ends the tasks that are too many.
    fn trim(&mut self, job: &JobRecord, nodes: &BTreeSet<(String, NodeId)>) {
        for task in self.m.tasks_of(job.id) {
            let Some(owner) = &task.owner else { continue };
            let wanted = match job.spec.groups.get(&owner.group) {
                None => false,
                Some(_) if job.spec.kind.is_everywhere() => {
                    owner.node.is_some_and(|node| nodes.contains(&(owner.group.clone(), node)))
                }
                Some(group) => owner.number <= group.count,
            };
            // What runs to its end is begun anew by another version, not changed.
            if !wanted || (!job.spec.kind.lasts() && task.version != job.version) {
                self.discard(&task);
            }
        }
    }

    /// Makes the tasks that are missing.
    fn fill(&mut self, job: &JobRecord, nodes: &BTreeSet<(String, NodeId)>) {
        for (name, group) in &job.spec.groups {
            let tasks = self.m.durable.by_job.get(&job.id);
            let mine = tasks.into_iter().flatten().filter(|((g, _), _)| g == name);
            let mine: Vec<(u32, TaskId)> = mine.map(|((_, number), id)| (*number, *id)).collect();
            let numbers: BTreeSet<u32> = mine.iter().map(|(number, _)| *number).collect();
            let mut free = (1..).filter(|n| !numbers.contains(n));
            let spec = Arc::new(group.spec.clone());
            if job.spec.kind.is_everywhere() {
                let on: BTreeSet<NodeId> = mine
                    .iter()
                    .filter_map(|(_, id)| self.m.durable.tasks.get(id)?.owner.as_ref()?.node)
                    .collect();
                for (_, node) in nodes.iter().filter(|(g, node)| g == name && !on.contains(node)) {
                    let Some(number) = free.next() else { break };
                    self.make_task(job, name, number, Some(*node), &spec);
                }
                continue;
            }
            let mut room = usize::MAX;
            if let (JobType::Batch, Some(most)) = (job.spec.kind, group.parallelism) {
                let goes_on = |id: &TaskId| self.m.durable.tasks.get(id).is_some_and(|t| !self.m.is_over(t));
                let busy = mine.iter().filter(|(_, id)| goes_on(id)).count();
                room = (most as usize).saturating_sub(busy);
            }
            let missing = free.take_while(|n| *n <= group.count).take(room);
            for number in missing.collect::<Vec<_>>() {
                self.make_task(job, name, number, None, &spec);
            }
        }
    }

    fn make_task(
        &mut self,
        job: &JobRecord,
        group: &str,
        number: u32,
        node: Option<NodeId>,
        spec: &Arc<TaskSpec>,
    ) {
        let name = Name::of_task(&job.name, group, number);
        if self.m.durable.tasks.len() >= TASKS_MAX || self.m.durable.names.contains_key(&name) {
            return;
        }
        let id = TaskId::fresh(self.ids);
        let record = TaskRecord {
            id,
            name,
            revision: self.revision,
            created_at: self.now.wall,
            wanted: Wanted::Running,
            removing: false,
            version: job.version,
            digest: spec.digest(),
            spec: Arc::clone(spec),
            run: 1,
            placement: None,
            retired: None,
            attempts_before: 0,
            restarts_before: 0,
            history: Vec::new(),
            waiting: Some(Waiting { reason: Reason::New, message: String::new(), since: self.now.wall }),
            next: None,
            avoid: Vec::new(),
            moved: None,
            owner: Some(Owner { job: job.id, group: group.to_owned(), number, node }),
        };
        self.task_event("task.created", &record, None, None, None, format!("image {}", record.spec.image));
        self.put_task(record);
        self.reconcile(id);
    }

    /// Stops a task of a job, which stays.
    fn want_stopped(&mut self, task: &TaskRecord) {
        let task = TaskRecord { wanted: Wanted::Stopped, ..task.clone() };
        let id = task.id;
        self.put_task(task);
        self.stop_live(id, Reason::StoppedByJob, None);
        self.reconcile(id);
    }

    /// Stops a task of a job and forgets it.
    fn discard(&mut self, task: &TaskRecord) {
        if task.removing {
            return;
        }
        let task = TaskRecord { removing: true, ..task.clone() };
        self.want_stopped(&task);
    }

    /// A task was forgotten: of that its job has a new revision.
    pub(super) fn lost_one(&mut self, task: &TaskRecord) {
        let Some(owner) = &task.owner else { return };
        if let Some(job) = self.m.durable.jobs.get(&owner.job) {
            let job = JobRecord::clone(job);
            self.unsettled.insert(job.id);
            self.put_job(job);
        }
    }

    /// Gives a task the spec of its job's version, for its next placement.
    fn refresh(&mut self, job: &JobRecord, group: &Group, task: &TaskRecord, anew: bool) -> TaskRecord {
        let mut task = TaskRecord::clone(task);
        task.digest = group.spec.digest();
        if task.digest != self.m.durable.tasks.get(&task.id).map_or("", |t| t.digest.as_str()) {
            task.spec = Arc::new(group.spec.clone());
        }
        task.version = job.version;
        task.avoid.clear();
        if anew {
            task.run += 1;
            task.waiting = None;
        }
        self.put_task(task.clone());
        self.reconcile(task.id);
        task
    }
}
