//! How a change rolls over the tasks of a job.
//!
//! ```text
//!   for each task:  its placement is of the job's version ─► healthy for long enough: done; else it is in flight
//!                   its container need not be replaced ────► kept: only what is recorded changes
//!                   another version runs ──────────────────► its turn comes (parallel, max_unavailable): a move of moves.rs
//!                   nothing runs ──────────────────────────► placed anew at once
//!   a new one fails, or is late, or nothing gets on ────────► back to the last version that was healthy, or pause, or go on
//! ```
//!
//! The new task's image is pulled and its container made before the old one is touched, also where the old one must end
//! first: then the new placement is made ready beside it and holds no more room than the old one leaves to it. So a version
//! that cannot be started changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::id::TaskId;
use orca_api::job::{Group, OnFailure, Order};
use orca_api::link::PlacementWanted;
use orca_api::spec::TaskSpec;
use orca_api::task::{Reason, State};
use orca_api::units::Span;

use super::super::moves::volume_of;
use super::super::record::{Next, PlacementRecord, Room, TaskRecord};
use super::super::turn::{SetChange, Turn};
use super::record::{JobRecord, Rollout, RolloutState, VersionRecord};
use super::watch::{Health, JobWatch};

/// How long a new task must be healthy where nothing is said: without a check, and with one.
const HEALTHY_FOR: [Span; 2] = [Span::from_secs(5), Span::from_secs(2)];
/// Versions of a job that are kept.
pub(super) const VERSIONS_KEPT: usize = 10;

/// What a container is made of: two tasks that differ elsewhere need not be replaced by each other.
fn container_of(spec: &TaskSpec) -> TaskSpec {
    TaskSpec {
        constraints: Vec::new(),
        preferences: Vec::new(),
        data_centers: Vec::new(),
        algorithm: None,
        labels: std::collections::BTreeMap::new(),
        ..spec.clone()
    }
}

/// How long a new task of a group must be healthy.
fn healthy_for(group: &Group) -> Span {
    group.update.healthy_for.unwrap_or(HEALTHY_FOR[usize::from(group.spec.health.is_some())])
}

/// Why the old task must end before the new one begins, whatever the file says; `None` where it need not.
pub(super) fn must_stop_first(spec: &TaskSpec) -> Option<&'static str> {
    if spec.singleton {
        Some("it is a singleton")
    } else if spec.mounts.iter().any(|m| !m.read_only) {
        Some("it writes to a mount, which has one writer at a time")
    } else {
        None
    }
}

/// Why the old task may have to end first, where no other node takes the new one.
fn may_stop_first(group: &Group) -> Option<&'static str> {
    if group.spec.ports.iter().any(|p| p.host.is_some()) {
        Some("its port is taken by the old one")
    } else if group.max_per_node.is_some() || !group.distinct.is_empty() {
        Some("no more than so many of them may be there")
    } else {
        None
    }
}

/// One group, as a rollout finds it.
#[derive(Debug, Default)]
struct Found {
    /// Running, and of the new version healthy for long enough; without those whose turn to end has come.
    available: u32,
    /// New ones that do not count as healthy yet.
    in_flight: u32,
    /// New ones that are held beside the old ones and are healthy.
    canaries: u32,
    /// What they shall be.
    done: u32,
    /// Those whose turn has not come, and whether they run.
    waiting: Vec<(bool, TaskId)>,
}

impl Turn<'_> {
    /// Whether a placement may take over from the task's former one.
    pub(in crate::manager) fn may_take_over(
        &mut self,
        task: &TaskRecord,
        next: &Next,
        to: &PlacementRecord,
    ) -> bool {
        let Some(owner) = task.owner.as_ref().filter(|_| next.reason == Reason::StoppedByRollout) else {
            return true;
        };
        let Some(job) = self.m.durable.jobs.get(&owner.job).map(Arc::clone) else { return true };
        let Some(group) = job.spec.groups.get(&owner.group) else { return true };
        let health = self.look_at(job.id, to, Span::from_ms(next.healthy_ms), group.update.healthy_deadline);
        health == Health::Proven && !(group.update.canary > 0 && job.rollout.holds_canaries())
    }

    /// One step of a job's rollout.
    pub(super) fn roll(&mut self, job: &JobRecord) {
        let failures = self.failures_of(job);
        if !job.rollout.is_active() && !heals(job) {
            return;
        }
        if let Some((task, why)) = failures.first()
            && self.on_failure(job, *task, why)
        {
            return;
        }
        let (mut done, mut total, mut open, mut canaries) = (0, 0, false, true);
        let mut why = String::new();
        for (name, group) in &job.spec.groups {
            let tasks: Vec<TaskId> = self.group_tasks(job, name);
            let mut found = Found::default();
            for id in &tasks {
                if let Some((task, words)) = self.sort_in(job, group, *id, &mut found)
                    && self.on_failure(job, task, &words)
                {
                    return;
                }
            }
            let missing =
                if job.spec.kind.is_everywhere() { 0 } else { group.count.saturating_sub(count(&tasks)) };
            total += count(&tasks) + missing;
            done += found.done;
            open |= missing > 0 || found.done < count(&tasks);
            let holds = group.update.canary > 0 && job.rollout.holds_canaries();
            canaries &= !holds || found.canaries >= group.update.canary.min(count(&tasks));
            if job.rollout.state == RolloutState::Rolling {
                self.begin_turns(job, group, found, holds, count(&tasks), &mut why);
            }
        }
        self.sum_up(job, done, total, open, canaries, why);
    }

    /// What failed in this step of a job's new tasks.
    fn failures_of(&mut self, job: &JobRecord) -> Vec<(TaskId, String)> {
        let of_job = |task: &TaskId| {
            let task = self.m.durable.tasks.get(task);
            task.and_then(|t| t.owner.as_ref()).is_some_and(|o| o.job == job.id)
        };
        let (mine, others) = std::mem::take(&mut self.failures).into_iter().partition(|(t, _)| of_job(t));
        self.failures = others;
        mine
    }

    fn group_tasks(&self, job: &JobRecord, group: &str) -> Vec<TaskId> {
        let tasks = self.m.durable.by_job.get(&job.id).into_iter().flatten();
        let mine = tasks.filter(|((g, _), _)| g == group).map(|(_, id)| *id);
        mine.filter(|id| self.m.durable.tasks.get(id).is_some_and(|t| !t.removing)).collect()
    }

    /// Sorts a task in, and does what needs no turn. Tells where it has failed.
    fn sort_in(
        &mut self,
        job: &JobRecord,
        group: &Group,
        id: TaskId,
        found: &mut Found,
    ) -> Option<(TaskId, String)> {
        let task = self.m.durable.tasks.get(&id).map(Arc::clone)?;
        let placement = self.m.placement(task.placement).map(Arc::clone);
        let live = placement.as_ref().filter(|p| !p.is_ended());
        let runs = live.is_some_and(|p| p.state() == State::Running && p.stop.is_none());
        found.available += u32::from(runs);
        if let Some(next) = self.m.next_of(&task).map(Arc::clone) {
            found.in_flight += 1;
            if task.version != job.version {
                // Its next placement is of a version that nobody wants any more: it is given up.
                self.refresh(job, group, &task, false);
            } else if next.wanted != PlacementWanted::Stopped {
                // Its turn has come to end: it is counted as if it were gone.
                let ends = runs && next.wanted == PlacementWanted::Ready;
                found.available -= u32::from(ends);
                match self.look_at(job.id, &next, healthy_for(group), group.update.healthy_deadline) {
                    Health::Proven => found.canaries += 1,
                    Health::Late => return Some((id, late(group))),
                    Health::Open => {}
                }
            }
            return None;
        }
        let Some(p) = live else {
            // Nothing is lost by the new version: it is placed at once.
            let by_rollout = placement
                .as_ref()
                .is_some_and(|p| p.stop.as_ref().is_some_and(|s| s.reason == Reason::StoppedByRollout));
            if self.m.other_live(&task) {
                found.in_flight += 1;
            } else if task.version != job.version || (by_rollout && task.waiting.is_none()) {
                found.in_flight += 1;
                self.refresh(job, group, &task, true);
            } else if job.rollout.skipped.contains(&id) {
                found.done += 1;
            }
            return None;
        };
        if p.run != task.run || p.stop.is_some() {
            found.in_flight += 1;
            return None;
        }
        if p.version == job.version {
            return self.judge(job, group, &task, p, found);
        }
        let same = container_of(&p.spec) == container_of(&group.spec) && p.version >= job.renewed;
        if same && self.stays(group, p) {
            self.keep(job, group, &task, p);
            found.done += 1;
        } else if job.rollout.skipped.contains(&id) {
            found.done += 1;
        } else if self.m.other_live(&task) {
            found.in_flight += 1;
        } else {
            found.waiting.push((runs, id));
        }
        None
    }

    /// A task that is of the version already.
    fn judge(
        &mut self,
        job: &JobRecord,
        group: &Group,
        task: &TaskRecord,
        p: &PlacementRecord,
        found: &mut Found,
    ) -> Option<(TaskId, String)> {
        if job.rollout.skipped.contains(&task.id) {
            found.done += 1;
            return None;
        }
        match self.look_at(job.id, p, healthy_for(group), group.update.healthy_deadline) {
            Health::Proven if self.m.other_live(task) => {
                found.in_flight += 1;
                None
            }
            Health::Proven => {
                found.done += 1;
                None
            }
            Health::Late => Some((task.id, late(group))),
            Health::Open => {
                found.in_flight += 1;
                let runs = p.state() == State::Running && p.stop.is_none();
                found.available -= u32::from(runs);
                let last = p.status.attempts.last()?;
                let failed = matches!(last.state, State::Failed | State::Rejected);
                // A new job has nothing to go back to: its tasks are tried until the deadline.
                (failed && job.rollout.from != 0).then(|| {
                    let reason = last.reason.map_or_else(String::new, |r| format!(" ({r})"));
                    let said = super::super::report::outcome(last);
                    let said = if said.is_empty() { said } else { format!(": {said}") };
                    (task.id, format!("{}{reason}{said}", last.state))
                })
            }
        }
    }

    /// Whether a placement may stay on its node under the group's spec. Where the node does not answer, it may.
    fn stays(&mut self, group: &Group, p: &PlacementRecord) -> bool {
        use orca_api::node::{Availability, NodeState};
        let usable = |n: &super::super::record::NodeRecord| {
            n.state == NodeState::Ready && n.availability == Availability::Active
        };
        let same =
            p.spec.constraints == group.spec.constraints && p.spec.data_centers == group.spec.data_centers;
        same || self.m.member(p.node).is_none_or(|n| !usable(n)) || self.m.may_be_on(&group.spec, p.node)
    }

    /// A container that need not be replaced belongs to the new version from now on.
    fn keep(&mut self, job: &JobRecord, group: &Group, task: &TaskRecord, p: &PlacementRecord) {
        let p = PlacementRecord { version: job.version, ..p.clone() };
        self.put_placement(p, SetChange::No);
        if task.version != job.version {
            self.refresh(job, group, task, false);
        }
    }

    /// Begins with as many tasks as may be under way.
    fn begin_turns(
        &mut self,
        job: &JobRecord,
        group: &Group,
        mut found: Found,
        holds: bool,
        tasks: u32,
        why: &mut String,
    ) {
        // Those that do not run come first: nothing is lost with them.
        found.waiting.sort_by_key(|(runs, _)| *runs);
        let at_once = if holds { group.update.canary } else { group.update.parallel.of(tasks).max(1) };
        let mut slots = at_once.saturating_sub(found.in_flight);
        let spared = group.update.max_unavailable.of(tasks);
        for (runs, id) in std::mem::take(&mut found.waiting) {
            if slots == 0 {
                break;
            }
            // What must end first is missing for a while: one at a time, where nothing is said.
            let floor = tasks.saturating_sub(spared.max(1));
            let may_miss = found.available > floor;
            match self.begin_turn(job, group, id, may_miss, spared > 0) {
                Ok(order) => {
                    slots -= 1;
                    if runs && order == Order::StopFirst {
                        found.available = found.available.saturating_sub(1);
                    }
                }
                Err(words) => {
                    *why = words;
                    break;
                }
            }
        }
    }

    /// A task's turn has come: its next placement, of the job's version, is made.
    fn begin_turn(
        &mut self,
        job: &JobRecord,
        group: &Group,
        id: TaskId,
        may_miss: bool,
        spared: bool,
    ) -> Result<Order, String> {
        let gone = || "it is gone".to_owned();
        let old = self.m.durable.tasks.get(&id).map(Arc::clone).ok_or_else(gone)?;
        let now = self.m.placement(old.placement).map(Arc::clone).ok_or_else(gone)?;
        let mut task = TaskRecord::clone(&old);
        task.version = job.version;
        task.digest = group.spec.digest();
        task.spec = Arc::new(group.spec.clone());
        task.avoid.clear();
        let mut request = self.m.request_of(&task, self.now.wall);
        let stop_first = group.update.order == Order::StopFirst
            || must_stop_first(&group.spec).or_else(|| must_stop_first(&now.spec)).is_some();
        let runs = now.state() == State::Running;
        if runs && !stop_first {
            match self.m.scheduler.place(&request) {
                Ok(choice) => {
                    self.begin_next(job, group, task, &now, choice.node, None, PlacementWanted::Running);
                    return Ok(Order::StartFirst);
                }
                Err(refusal) if may_stop_first(group).is_none() && !spared => {
                    let words = self.m.with_names(&refusal.to_string());
                    return Err(format!("{} waits for room beside the old one: {words}", old.name));
                }
                Err(_) => {}
            }
        }
        if runs && !may_miss {
            return Err(format!("{} waits: no more may be missing at once", old.name));
        }
        // The old one's room is the new one's, on its node; elsewhere it takes its own.
        let held = self.m.scheduler.release(now.id);
        let elsewhere = request.constraints.len();
        request.constraints.extend(format!("node.id == {}", now.node).parse::<orca_api::spec::Constraint>());
        let mut choice = self.m.scheduler.place(&request);
        if choice.is_err() && volume_of(&now.spec).is_none() {
            request.constraints.truncate(elsewhere);
            choice = self.m.scheduler.place(&request);
        }
        if let Some(held) = held {
            self.m.scheduler.hold(held);
        }
        match choice {
            Ok(choice) => {
                let spare = (choice.node == now.node).then(|| Room::of(&group.spec).beyond(&now.room()));
                self.begin_next(job, group, task, &now, choice.node, spare, PlacementWanted::Ready);
                Ok(Order::StopFirst)
            }
            Err(refusal) => {
                let words = self.m.with_names(&refusal.to_string());
                Err(format!("{} fits on no node: {words}", old.name))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that a next placement is made of")]
    fn begin_next(
        &mut self,
        job: &JobRecord,
        group: &Group,
        mut task: TaskRecord,
        now: &PlacementRecord,
        node: orca_api::id::NodeId,
        spare: Option<Room>,
        wanted: PlacementWanted,
    ) {
        let last = now.status.attempts.last().map_or(now.attempts_before, |a| a.number);
        task.attempts_before = task.attempts_before.max(last);
        let mut next = self.new_placement(&task, node, wanted, 0);
        next.spare = spare;
        let why = format!("version {}", job.version);
        let order = if wanted == PlacementWanted::Running { "start-first" } else { "stop-first" };
        let words = format!("{why}: to {}, {order}", self.m.node_name(node));
        task.next = Some(Next {
            placement: next.id,
            reason: Reason::StoppedByRollout,
            why,
            healthy_ms: healthy_for(group).ms(),
        });
        self.task_event("task.roll", &task, Some(now.node), None, Some(Reason::StoppedByRollout), words);
        self.put_placement(next, SetChange::Yes);
        self.put_task(task);
    }

    /// What a rollout has come to.
    fn sum_up(&mut self, job: &JobRecord, done: u32, total: u32, open: bool, canaries: bool, why: String) {
        let now = self.now.boot_ms;
        let mut rollout = job.rollout.clone();
        if !open {
            self.finish_rollout(job);
            return;
        }
        let deadline =
            job.spec.groups.values().map(|g| g.update.progress_deadline).max().unwrap_or(Span::ZERO);
        let fresh = JobWatch { done, fail_at: now + deadline.ms(), told: false };
        if rollout.state != RolloutState::Rolling {
            // Who waits for somebody to say something is not late.
            self.m.live.rollouts.remove(&job.id);
            return;
        }
        let watch = self.m.live.rollouts.entry(job.id).or_insert(fresh);
        if done > watch.done {
            *watch = fresh;
        }
        if watch.fail_at <= now {
            let words = format!("nothing got on for {deadline}, with {done} of {total} done");
            let words = if why.is_empty() { words } else { format!("{words}: {why}") };
            self.fail_rollout(job, strictest(job), &words);
            return;
        }
        if !rollout.back {
            rollout.why = why;
        }
        if canaries && rollout.holds_canaries() && job.spec.groups.values().any(|g| g.update.canary > 0) {
            rollout.state = RolloutState::Canary;
            "its canaries are healthy; the rest waits for orcactl job rollout resume"
                .clone_into(&mut rollout.why);
            self.job_event("job.canary", job, rollout.why.clone());
        }
        if rollout != job.rollout {
            self.put_job(JobRecord { rollout, ..job.clone() });
        }
    }

    fn finish_rollout(&mut self, job: &JobRecord) {
        let mut job = job.clone();
        let skipped = job.rollout.skipped.len();
        if job.rollout.back {
            job.rollout.state = RolloutState::Failed;
            self.job_event("job.rolled_back", &job, job.rollout.why.clone());
        } else if skipped > 0 {
            job.rollout.state = RolloutState::Failed;
            job.rollout.why = format!("{skipped} tasks failed: {}", job.rollout.why);
            self.job_event("job.failed", &job, job.rollout.why.clone());
        } else {
            job.rollout.state = RolloutState::Done;
            job.rollout.why = String::new();
            self.job_event("job.healthy", &job, format!("version {}", job.version));
        }
        if skipped == 0
            && let Some(version) = job.versions.iter_mut().find(|v| v.version == job.version)
        {
            version.proven = true;
        }
        self.m.live.watches.retain(|_, w| w.job() != job.id);
        self.put_job(job);
    }

    /// A new task has failed. Tells whether that decided the rollout.
    fn on_failure(&mut self, job: &JobRecord, task: TaskId, words: &str) -> bool {
        let Some(record) = self.m.durable.tasks.get(&task) else { return false };
        let group = record.owner.as_ref().and_then(|o| job.spec.groups.get(&o.group));
        let how = group.map_or(OnFailure::Rollback, |g| g.update.on_failure);
        let words = format!("{} {words}", record.name);
        if job.rollout.state == RolloutState::Paused || job.rollout.skipped.contains(&task) {
            return false;
        }
        if how == OnFailure::Continue {
            let mut job = job.clone();
            job.rollout.skipped.insert(task);
            job.rollout.why = words;
            self.unsettled.insert(job.id);
            self.put_job(job);
            return true;
        }
        self.fail_rollout(job, how, &words);
        true
    }

    /// A rollout has failed: it goes back, or stands still.
    pub(super) fn fail_rollout(&mut self, job: &JobRecord, how: OnFailure, words: &str) {
        let back = job.last_proven().cloned();
        if how != OnFailure::Pause
            && !job.rollout.back
            && let Some(to) = back
        {
            self.go_back(job, &to, words, "orcad");
            return;
        }
        let mut job = job.clone();
        let stands = how == OnFailure::Pause && job.rollout.from != 0;
        job.rollout.state = if stands { RolloutState::Paused } else { RolloutState::Failed };
        words.clone_into(&mut job.rollout.why);
        self.job_event(if stands { "job.paused" } else { "job.failed" }, &job, words.to_owned());
        self.put_job(job);
    }

    /// Back to an earlier version, which becomes the newest one.
    pub(super) fn go_back(&mut self, job: &JobRecord, to: &VersionRecord, words: &str, by: &str) {
        let mut job = job.clone();
        let failed = job.version;
        self.new_version(&mut job, Arc::clone(&to.spec), by.to_owned());
        job.rollout.back = true;
        job.rollout.why = format!("version {failed} failed: {words}; back to version {}", to.version);
        self.job_event("job.rolling_back", &job, job.rollout.why.clone());
        self.unsettled.insert(job.id);
        self.put_job(job);
    }

    /// A job has a new version, which rolls from now on.
    pub(super) fn new_version(&mut self, job: &mut JobRecord, spec: Arc<orca_api::job::JobSpec>, by: String) {
        let from = job.version;
        job.version += 1;
        job.digest = spec.digest();
        job.spec = Arc::clone(&spec);
        job.versions.push(VersionRecord { version: job.version, spec, at: self.now.wall, by, proven: false });
        // The last version that was healthy is kept, however many others came after it.
        let proven = job.last_proven().map(|v| v.version);
        while job.versions.len() > VERSIONS_KEPT {
            let at = job.versions.iter().position(|v| Some(v.version) != proven).unwrap_or(0);
            job.versions.remove(at);
        }
        job.rollout = Rollout {
            from,
            to: job.version,
            since: self.now.wall,
            state: RolloutState::Rolling,
            back: false,
            promoted: false,
            why: String::new(),
            skipped: BTreeSet::new(),
        };
        self.m.live.rollouts.remove(&job.id);
    }
}

fn late(group: &Group) -> String {
    format!("is not healthy after {}", group.update.healthy_deadline)
}

fn count(tasks: &[TaskId]) -> u32 {
    u32::try_from(tasks.len()).unwrap_or(u32::MAX)
}

/// What happens where the rollout as a whole fails: what the most careful group says.
fn strictest(job: &JobRecord) -> OnFailure {
    let all = job.spec.groups.values().map(|g| g.update.on_failure);
    let rank = |f: &OnFailure| match f {
        OnFailure::Rollback => 0,
        OnFailure::Pause => 1,
        OnFailure::Continue => 2,
    };
    all.min_by_key(rank).unwrap_or_default()
}

/// Whether a rollout that failed may still come to a good end: of a new job, whose tasks are tried for ever.
fn heals(job: &JobRecord) -> bool {
    job.rollout.state == RolloutState::Failed && !job.rollout.back && job.rollout.from == 0
}
