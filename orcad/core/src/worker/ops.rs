//! Operations: one at a time for each attempt and each leftover container, each with an end, however it comes.
//!
//! An operation is volatile: that it is due follows from the state. One whose result is lost, late or unknown
//! costs a wait and a look at the truth, and is then derived again.

use orca_api::id::PlacementId;
use orca_api::link::Progress;
use orca_api::task::{Reason, State};
use orca_api::units::Span;

use super::defaults::{OP_LOST, PULL_LOST, RETRY_FIRST, RETRY_MAX, UNKILLABLE_RETRY};
use super::io::{Container, ContainerStatus, Done, Effect, Failure, FailureKind, OpId};
use super::step::Turn;

/// Whom an operation is for: nothing else is begun for it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The live attempt of a placement.
    Attempt(PlacementId),
    /// A container that nobody needs.
    Leftover(String),
}

/// An operation in flight.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub kind: OpKind,
    pub target: Target,
    /// The attempt's number; 0 for leftovers.
    pub number: u32,
    /// The container, where there is one.
    pub container: Option<String>,
    /// When it is taken for lost, on the boot clock.
    pub lost_at: u64,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpKind {
    Pull,
    Create,
    Start,
    Stop,
    Remove,
}

impl OpKind {
    /// As shown while it lasts.
    const fn step(self) -> &'static str {
        match self {
            Self::Pull => "pulling",
            Self::Create => "creating",
            Self::Start => "starting",
            Self::Stop => "stopping",
            Self::Remove => "removing",
        }
    }
}

/// Something is not to be tried again before an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    /// On the boot clock.
    pub at: u64,
    /// How often it has failed in a row.
    pub steps: u32,
}

/// When an operation is taken for lost: its own time-out in the shell is shorter.
fn lost_after(kind: OpKind, grace: Span) -> u64 {
    match kind {
        OpKind::Pull => PULL_LOST.ms(),
        OpKind::Stop => OP_LOST.ms().saturating_add(grace.ms()),
        OpKind::Create | OpKind::Start | OpKind::Remove => OP_LOST.ms(),
    }
}

impl Turn<'_> {
    /// Whether something may be begun for a target: nothing is in flight, and no wait is on.
    pub fn is_free(&self, target: &Target) -> bool {
        let live = &self.w.live;
        !live.busy.contains_key(target) && live.retries.get(target).is_none_or(|r| r.at <= self.now.boot_ms)
    }

    /// Begins an operation.
    pub fn begin(
        &mut self,
        kind: OpKind,
        target: Target,
        number: u32,
        container: Option<String>,
        grace: Span,
    ) -> OpId {
        let live = &mut self.w.live;
        live.last_op += 1;
        let n = live.last_op;
        live.busy.insert(target.clone(), n);
        if let Target::Attempt(placement) = &target {
            let shown = live.shown.entry(*placement).or_default();
            shown.progress = Some(Progress { step: kind.step().to_owned(), done: 0, total: 0 });
            shown.own.call(self.now.boot_ms);
        }
        let lost_at = self.now.boot_ms.saturating_add(lost_after(kind, grace));
        live.ops.insert(n, Op { kind, target, number, container, lost_at });
        OpId { life: self.w.life, n }
    }

    /// Forgets what is in flight for a target; its result will be dropped.
    pub fn drop_op(&mut self, target: &Target) {
        if let Some(n) = self.w.live.busy.remove(target) {
            self.w.live.ops.remove(&n);
        }
    }

    /// The kind of what is in flight for a target.
    pub fn in_flight(&self, target: &Target) -> Option<OpKind> {
        let n = self.w.live.busy.get(target)?;
        self.w.live.ops.get(n).map(|op| op.kind)
    }

    /// An operation got on.
    pub fn on_progressed(&mut self, id: OpId, progress: Progress) {
        if id.life != self.w.life {
            return;
        }
        let live = &mut self.w.live;
        let Some(op) = live.ops.get_mut(&id.n) else { return };
        op.lost_at = op.lost_at.max(self.now.boot_ms.saturating_add(lost_after(op.kind, Span::ZERO)));
        if let Target::Attempt(placement) = op.target {
            let shown = live.shown.entry(placement).or_default();
            shown.unsaid |= shown.progress.as_ref() != Some(&progress);
            shown.progress = Some(progress);
        }
    }

    /// An operation came to its end.
    pub fn on_done(&mut self, id: OpId, result: Result<Done, Failure>) {
        if id.life != self.w.life {
            return;
        }
        let Some(op) = self.w.live.ops.remove(&id.n) else { return };
        self.w.live.busy.remove(&op.target);
        match result {
            Ok(done) => {
                self.w.live.retries.remove(&op.target);
                self.on_success(&op, done);
            }
            Err(failure) => self.on_failure(&op, failure),
        }
    }

    /// A call of the engine for an operation took so long.
    pub fn on_called(&mut self, id: OpId, took: Span) {
        let op = self.w.live.ops.get(&id.n).filter(|_| id.life == self.w.life);
        if let Some(Target::Attempt(placement)) = op.map(|op| &op.target) {
            self.w.live.shown.entry(*placement).or_default().own.called(took);
        }
    }

    /// Operations that are overdue are taken for lost.
    pub fn expire_ops(&mut self) {
        let now = self.now.boot_ms;
        let lost: Vec<u64> =
            self.w.live.ops.iter().filter(|(_, op)| op.lost_at <= now).map(|(n, _)| *n).collect();
        for n in lost {
            if let Some(op) = self.w.live.ops.remove(&n) {
                self.w.live.busy.remove(&op.target);
                self.retry_from_truth(&op);
            }
        }
    }

    fn on_success(&mut self, op: &Op, done: Done) {
        match (done, &op.target) {
            (Done::Pulled { image_id }, Target::Attempt(placement)) => {
                if self.is_live(*placement, op.number) {
                    self.w.live.pulled.insert(*placement, image_id);
                }
            }
            (Done::Created { container, warnings }, Target::Attempt(placement)) => {
                if !self.on_created(*placement, op.number, &container, &warnings) {
                    self.retry_from_truth(op);
                }
            }
            (Done::Started { seen }, _) => {
                // Told to have begun, and not seen to: not at once again.
                if seen.status == ContainerStatus::Created || seen.labels.is_none() {
                    self.retry_from_truth(op);
                }
                self.see(*seen);
            }
            (Done::Stopped { seen: Some(seen) }, target) => {
                self.see(Container::clone(&seen));
                match (seen.status, target) {
                    _ if seen.labels.is_none() => self.retry_from_truth(op),
                    (ContainerStatus::Exited | ContainerStatus::Dead, _) => {}
                    // Asked to stop before its process began: the stop made sure that it never will.
                    (ContainerStatus::Created, Target::Attempt(placement)) => {
                        self.end(*placement, op.number, Some(&seen));
                    }
                    (ContainerStatus::Created, Target::Leftover(_)) => {}
                    (ContainerStatus::Running | ContainerStatus::Paused | ContainerStatus::Removing, _) => {
                        self.retry_from_truth(op);
                    }
                }
            }
            (Done::Stopped { seen: None } | Done::Removed, _) => {
                if let Some(container) = &op.container {
                    self.vanish(container);
                }
            }
            (Done::Pulled { .. } | Done::Created { .. }, Target::Leftover(_)) => {}
        }
    }

    fn on_failure(&mut self, op: &Op, failure: Failure) {
        match (failure.kind, &op.target) {
            (FailureKind::Unknown, _) => self.retry_from_truth(op),
            (FailureKind::NoSuchContainer, _) => match &op.container {
                Some(container) => self.vanish(container),
                None => self.retry_from_truth(op),
            },
            (FailureKind::ImageVanished, Target::Attempt(placement)) => {
                self.w.live.pulled.remove(placement);
                let again =
                    self.record(*placement).and_then(|r| r.attempt(op.number).map(|a| a.pulled_again));
                if again == Some(false) {
                    self.edit_attempt(*placement, op.number, |a| a.pulled_again = true);
                } else {
                    self.reject(*placement, op.number, Reason::ImageNotFound, failure.message);
                }
            }
            (FailureKind::Unkillable, target) => {
                self.w.live.retries.insert(
                    target.clone(),
                    Retry { at: self.now.boot_ms.saturating_add(UNKILLABLE_RETRY.ms()), steps: 0 },
                );
                if let Target::Attempt(placement) = target {
                    let warning = format!("it cannot be killed and keeps its place: {}", failure.message);
                    self.warn(*placement, Some(warning));
                }
            }
            (FailureKind::Rejected(reason), Target::Attempt(placement))
                if matches!(op.kind, OpKind::Pull | OpKind::Create | OpKind::Start) =>
            {
                self.reject(*placement, op.number, reason, failure.message);
            }
            (FailureKind::Rejected(_) | FailureKind::ImageVanished, _) => self.retry_from_truth(op),
        }
    }

    /// The engine (or the registry) will not have it. An attempt that was seen to run meanwhile is not touched.
    fn reject(&mut self, placement: PlacementId, number: u32, reason: Reason, message: String) {
        let Some(record) = self.record(placement) else { return };
        let never_ran = record.attempt(number).is_some_and(|a| a.status.state < State::Starting);
        if never_ran && let Some(stop) = record.stop_wanted() {
            self.finish_attempt(placement, number, State::Stopped, Some(stop), message);
        } else if never_ran {
            self.finish_attempt(placement, number, State::Rejected, Some(reason), message);
        }
    }

    /// The outcome is not known: look, and try again from what is there.
    fn retry_from_truth(&mut self, op: &Op) {
        let steps = self.w.live.retries.get(&op.target).map_or(0, |r| r.steps);
        let wait = RETRY_FIRST.ms().saturating_mul(1 << steps.min(5)).min(RETRY_MAX.ms());
        self.w
            .live
            .retries
            .insert(op.target.clone(), Retry { at: self.now.boot_ms.saturating_add(wait), steps: steps + 1 });
        match &op.container {
            Some(container) => self.inspect(container.clone()),
            None if op.kind == OpKind::Create => self.w.live.sweep.wanted = true,
            None => {}
        }
    }

    /// Asks the engine about one container, if it answers.
    pub fn inspect(&mut self, container: String) {
        if !self.w.live.engine.is_gone() {
            self.effects.push(Effect::Inspect { container });
        }
    }

    /// Takes in what the engine told of a container of ours. While the engine is away that may be yesterday's news.
    pub fn see(&mut self, container: Container) {
        let foreign =
            self.w.cluster().is_some_and(|ours| container.labels.as_ref().is_none_or(|l| l.cluster != ours));
        if !foreign && !self.w.live.engine.is_gone() {
            self.w.live.containers.see(container);
        }
    }
}
