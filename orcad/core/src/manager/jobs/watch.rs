//! What is watched of rollouts by time. Volatile: after a restart every wait begins anew, except that a task which has been
//! healthy for long enough counts as such at once.

use orca_api::id::JobId;
use orca_api::task::State;
use orca_api::units::Span;

use super::super::record::PlacementRecord;
use super::super::state::Manager;
use super::super::turn::Turn;

/// A new task of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::manager) struct TaskWatch {
    job: JobId,
    /// Which attempt is healthy, and from when on the boot clock it counts.
    healthy: Option<(u32, u64)>,
    /// When it has failed, on the boot clock, unless it counts as healthy by then.
    fail_at: u64,
    /// When it is looked at next.
    wake: Option<u64>,
}

impl TaskWatch {
    /// The job that it is of.
    pub const fn job(self) -> JobId {
        self.job
    }
}

/// A rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::manager) struct JobWatch {
    /// Tasks that have come to be what they shall be.
    pub done: u32,
    /// When it has failed, on the boot clock, unless another one has come so far by then.
    pub fail_at: u64,
    /// It was looked at then.
    pub told: bool,
}

/// How a new task of a rollout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It was healthy for as long as it must be.
    Proven,
    /// It may come to be.
    Open,
    /// Its time is up.
    Late,
}

impl Manager {
    /// When time alone makes something due of a rollout, on the boot clock.
    pub(in crate::manager) fn jobs_due(&self) -> Option<u64> {
        let tasks = self.live.watches.values().filter_map(|w| w.wake);
        let jobs = self.live.rollouts.values().filter(|w| !w.told).map(|w| w.fail_at);
        tasks.chain(jobs).min()
    }
}

impl Turn<'_> {
    /// Jobs of which something is due.
    pub(in crate::manager) fn tick_jobs(&mut self) {
        let now = self.now.boot_ms;
        let mut tasks = Vec::new();
        for (placement, watch) in &mut self.m.live.watches {
            if watch.wake.is_some_and(|at| at <= now) {
                watch.wake = None;
                self.unsettled.insert(watch.job);
                tasks.push(*placement);
            }
        }
        for placement in tasks {
            if let Some(task) = self.m.durable.placements.get(&placement).map(|p| p.task) {
                self.reconcile(task);
            }
        }
        for (job, watch) in &mut self.m.live.rollouts {
            if !watch.told && watch.fail_at <= now {
                watch.told = true;
                self.unsettled.insert(*job);
            }
        }
    }

    /// Looks at a new task of a rollout.
    pub(super) fn look_at(
        &mut self,
        job: JobId,
        placement: &PlacementRecord,
        healthy_for: Span,
        deadline: Span,
    ) -> Health {
        let now = self.now.boot_ms;
        let new = TaskWatch { job, healthy: None, fail_at: now + deadline.ms(), wake: None };
        let watch = self.m.live.watches.entry(placement.id).or_insert(new);
        let attempt = placement.status.attempts.last().map_or(0, |a| a.number);
        if placement.state() == State::Running && placement.stop.is_none() {
            if watch.healthy.is_none_or(|(number, _)| number != attempt) {
                // After a restart of the manager the time before it counts; on a clock that jumped, no more than asked.
                let past = self.now.wall.since(placement.since).ms().min(healthy_for.ms());
                watch.healthy = Some((attempt, now + healthy_for.ms() - past));
            }
        } else {
            watch.healthy = None;
        }
        let (health, wake) = match watch.healthy {
            Some((_, at)) if at <= now => (Health::Proven, None),
            _ if watch.fail_at <= now => (Health::Late, None),
            Some((_, at)) => (Health::Open, Some(at.min(watch.fail_at))),
            None => (Health::Open, Some(watch.fail_at)),
        };
        watch.wake = wake;
        health
    }
}
