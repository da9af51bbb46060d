//! What clients see of jobs.

use std::sync::Arc;

use orca_api::control::TaskView;
use orca_api::error::Problem;
use orca_api::id::JobId;
use orca_api::job::view::{GroupView, JobDetail, JobState, JobVersion, JobView, RolloutView};
use orca_api::task::{Phase, Reason, Wanted};

use super::super::record::TaskRecord;
use super::super::state::Manager;
use super::diff::changes;
use super::record::{JobRecord, RolloutState};
use crate::Now;

/// How a job is, and why.
struct Shown {
    state: JobState,
    reason: Option<Reason>,
    message: String,
}

impl Manager {
    /// The revision of a job's last change, or of a task's of it.
    pub fn job_revision(&self, id: JobId) -> Option<u64> {
        let job = self.durable.jobs.get(&id)?;
        let tasks = self.durable.by_job.get(&id).into_iter().flat_map(|t| t.values());
        let of_task = |task: &orca_api::id::TaskId| {
            let next = self.durable.tasks.get(task).and_then(|t| self.next_of(t)).map_or(0, |p| p.revision);
            let former = self.durable.tasks.get(task).and_then(|t| self.placement(t.retired));
            self.task_revision(*task).unwrap_or(0).max(next).max(former.map_or(0, |p| p.revision))
        };
        Some(tasks.map(of_task).max().unwrap_or(0).max(job.revision))
    }

    /// A job as lists show it.
    pub fn job_view(&self, id: JobId, now: Now) -> Option<JobView> {
        let job = self.durable.jobs.get(&id)?;
        let tasks = self.tasks_of(id);
        let views: Vec<TaskView> = tasks.iter().filter_map(|t| self.task_view(t.id, now)).collect();
        Some(self.job_view_of(job, &tasks, &views))
    }

    fn job_view_of(&self, job: &JobRecord, tasks: &[Arc<TaskRecord>], views: &[TaskView]) -> JobView {
        let shown = self.shown_job(job, tasks, views);
        JobView {
            id: job.id,
            name: job.name.clone(),
            revision: self.job_revision(job.id).unwrap_or(job.revision),
            kind: job.spec.kind,
            wanted: job.wanted,
            state: shown.state,
            reason: shown.reason,
            message: shown.message,
            version: job.version,
            created_at: job.created_at,
            groups: groups(job, tasks, views),
            rollout: self.rollout_view(job, tasks),
            schedule: None,
        }
    }

    fn shown_job(&self, job: &JobRecord, tasks: &[Arc<TaskRecord>], views: &[TaskView]) -> Shown {
        let shown = |state, reason, message: String| Shown { state, reason, message };
        let kept: Vec<&TaskView> =
            tasks.iter().zip(views).filter(|(t, _)| !t.removing).map(|(_, v)| v).collect();
        if job.wanted == Wanted::Stopped {
            let live = tasks.iter().filter(|t| !self.is_over(t)).count();
            let what = if job.removing { "being removed" } else { "being stopped" };
            let message =
                if live > 0 { format!("{what}: {live} tasks have not ended") } else { String::new() };
            return shown(JobState::Stopped, Some(Reason::StoppedByUser), message);
        }
        let count = |phase: Phase| kept.iter().filter(|v| v.phase == phase).count();
        let wanted = if job.spec.kind.is_everywhere() { kept.len() as u64 } else { job.spec.count() };
        let running = count(Phase::Running);
        let first = |phase: Phase| kept.iter().find(|v| v.phase == phase);
        let told = |v: &&TaskView| {
            let why = if v.message.is_empty() { String::new() } else { format!(": {}", v.message) };
            (v.reason, format!("{} is {}{why}", v.name, v.state))
        };
        if !job.spec.kind.lasts() {
            let (completed, failed) = (count(Phase::Completed), count(Phase::Failed));
            let ended = (completed + failed) as u64 == wanted && kept.len() == views.len();
            return if ended && failed == 0 {
                shown(JobState::Completed, None, format!("{completed} of {wanted} completed"))
            } else if ended {
                let (reason, message) = first(Phase::Failed).map_or((None, String::new()), told);
                shown(JobState::Failed, reason, message)
            } else if running > 0 {
                shown(JobState::Running, None, format!("{completed} of {wanted} completed"))
            } else {
                let (reason, message) = first(Phase::Pending).map_or((None, String::new()), told);
                shown(JobState::Pending, reason, message)
            };
        }
        if job.rollout.is_active() && job.rollout.from != 0 {
            return shown(JobState::Rolling, None, job.rollout.why.clone());
        }
        let ill = [Phase::Failed, Phase::Pending, Phase::Scheduled, Phase::Completed];
        let (reason, message) = ill.into_iter().find_map(first).map_or((None, String::new()), told);
        if running as u64 == wanted && kept.len() as u64 == wanted {
            shown(JobState::Running, None, String::new())
        } else if job.rollout.is_active() {
            shown(JobState::Pending, reason, message)
        } else {
            shown(JobState::Degraded, reason, message)
        }
    }

    fn rollout_view(&self, job: &JobRecord, tasks: &[Arc<TaskRecord>]) -> Option<RolloutView> {
        let rollout = &job.rollout;
        let state = match (rollout.state, rollout.back) {
            (RolloutState::Done, _) => return None,
            (RolloutState::Rolling, true) => "rolling_back",
            (RolloutState::Rolling, false) => "rolling",
            (RolloutState::Canary, _) => "canary",
            (RolloutState::Paused, _) => "paused",
            (RolloutState::Failed, _) => "failed",
        };
        let kept = || tasks.iter().filter(|t| !t.removing);
        let is_done = |t: &&Arc<TaskRecord>| {
            t.next.is_none()
                && self.placement(t.placement).is_some_and(|p| {
                    p.version == job.version && p.state().phase() == Phase::Running && p.stop.is_none()
                })
        };
        let total = if job.spec.kind.is_everywhere() {
            u32::try_from(kept().count()).unwrap_or(u32::MAX)
        } else {
            u32::try_from(job.spec.count()).unwrap_or(u32::MAX)
        };
        Some(RolloutView {
            state: state.to_owned(),
            to: rollout.to,
            from: rollout.from,
            done: u32::try_from(kept().filter(is_done).count()).unwrap_or(u32::MAX),
            total,
            since: rollout.since,
            message: rollout.why.clone(),
        })
    }

    /// All jobs, by name.
    pub fn job_list(&self, now: Now) -> Vec<JobView> {
        self.durable.job_names.values().filter_map(|id| self.job_view(*id, now)).collect()
    }

    /// A job with everything known of it.
    ///
    /// # Errors
    /// There is none.
    pub fn job_detail(&self, text: &str, now: Now) -> Result<JobDetail, Problem> {
        let job = self.job(text)?;
        let tasks = self.tasks_of(job.id);
        let views: Vec<TaskView> = tasks.iter().filter_map(|t| self.task_view(t.id, now)).collect();
        Ok(JobDetail {
            job: self.job_view_of(&job, &tasks, &views),
            spec: orca_api::job::JobSpec::clone(&job.spec),
            spec_digest: job.digest.clone(),
            tasks: views,
            launches: Vec::new(),
        })
    }

    /// The versions of a job that are kept, newest first.
    ///
    /// # Errors
    /// There is no such job.
    pub fn job_history(&self, text: &str) -> Result<Vec<JobVersion>, Problem> {
        let job = self.job(text)?;
        let mut versions = Vec::new();
        let mut before: Option<&super::record::VersionRecord> = None;
        for version in &job.versions {
            versions.push(JobVersion {
                version: version.version,
                at: version.at,
                by: version.by.clone(),
                current: version.version == job.version,
                proven: version.proven,
                // Of the oldest one that is kept nobody knows any more how it differs; of the first one everything is new.
                changes: if before.is_some() {
                    changes(before.map(|v| v.spec.as_ref()), &version.spec)
                } else {
                    Vec::new()
                },
            });
            before = Some(version);
        }
        versions.reverse();
        Ok(versions)
    }
}

fn groups(job: &JobRecord, tasks: &[Arc<TaskRecord>], views: &[TaskView]) -> Vec<GroupView> {
    let mut groups = Vec::new();
    for (name, group) in &job.spec.groups {
        let mut view = GroupView { name: name.clone(), ..GroupView::default() };
        for (task, shown) in tasks.iter().zip(views) {
            if task.removing || task.owner.as_ref().is_none_or(|o| o.group != *name) {
                continue;
            }
            view.wanted += u32::from(job.spec.kind.is_everywhere());
            match shown.phase {
                Phase::Running => view.running += 1,
                Phase::Pending | Phase::Scheduled => view.pending += 1,
                Phase::Completed => view.completed += 1,
                Phase::Failed => view.failed += 1,
            }
        }
        if !job.spec.kind.is_everywhere() {
            view.wanted = group.count;
        }
        groups.push(view);
    }
    groups
}
