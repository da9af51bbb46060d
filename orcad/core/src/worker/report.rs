//! What the manager hears: the latest status of placements that changed, again until it was accepted.

use std::collections::BTreeSet;

use orca_api::id::PlacementId;
use orca_api::link::{PlacementStatus, Progress};
use orca_api::units::Span;

use super::defaults::{PROGRESS_EVERY, RESEND, SWEEP_BUSY, SWEEP_IDLE, SWEEP_LOST};
use super::io::{Effect, PlacementRecord};
use super::state::Worker;
use super::step::Turn;

/// What is not accepted yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    pub unaccepted: BTreeSet<PlacementId>,
    /// When all of it is sent again, on the boot clock.
    pub resend_at: Option<u64>,
}

/// What a placement shows besides its record: worth a look, not a commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// How far the current operation is.
    pub progress: Option<Progress>,
    /// There is progress that was not reported.
    pub unsaid: bool,
    /// When progress was last reported, on the boot clock.
    pub said_at: Option<u64>,
    /// Something that a person should know.
    pub warning: Option<String>,
    /// The time that orca itself takes.
    pub own: OwnTime,
}

impl Shown {
    /// When unreported progress may be reported, on the boot clock.
    pub fn due_at(&self) -> Option<u64> {
        self.unsaid.then(|| self.said_at.map_or(0, |at| at.saturating_add(PROGRESS_EVERY.ms())))
    }
}

/// How long an attempt has been under way, and how much of that was the engine's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnTime {
    /// When it was taken up, on the boot clock.
    since: Option<u64>,
    /// Milliseconds of the engine's calls for it.
    engine_ms: u64,
    /// When the present call was asked for: the engine may tell of its effect before it answers.
    calling: Option<u64>,
}

impl OwnTime {
    /// It is taken up.
    pub fn begin(&mut self, boot_ms: u64) {
        *self = Self { since: Some(boot_ms), ..Self::default() };
    }

    /// A call of the engine for it is asked for.
    pub fn call(&mut self, boot_ms: u64) {
        self.calling = Some(boot_ms);
    }

    /// That call took so long.
    pub fn called(&mut self, took: Span) {
        self.calling = None;
        self.engine_ms = self.engine_ms.saturating_add(took.ms());
    }

    /// Milliseconds that orca itself took; `None` for one that an earlier life took up.
    pub fn ms(&self, boot_ms: u64) -> Option<u64> {
        let calling = self.calling.map_or(0, |since| boot_ms.saturating_sub(since));
        self.since.map(|since| boot_ms.saturating_sub(since).saturating_sub(self.engine_ms + calling))
    }
}

impl Worker {
    /// What a placement looks like to the manager.
    pub(super) fn status_of(&self, record: &PlacementRecord) -> PlacementStatus {
        let shown = self.live.shown.get(&record.id);
        PlacementStatus {
            placement: record.id,
            task: record.task,
            sequence: record.sequence,
            attempts: record.attempts.iter().map(|a| a.status.clone()).collect(),
            restarts: record.counters.restarts,
            budget_used: record.counters.budget_used,
            next_attempt_at: record.next_attempt_at,
            finished: record.finished,
            progress: shown.and_then(|s| s.progress.clone()),
            warning: shown.and_then(|s| s.warning.clone()),
        }
    }

    /// How long the engine may go without telling all.
    fn sweep_period(&self) -> u64 {
        let busy = self.durable.placements.values().any(|r| r.live_attempt().is_some());
        if busy { SWEEP_BUSY.ms() } else { SWEEP_IDLE.ms() }
    }

    /// When the next sweep is due, on the boot clock; `None` while the engine cannot be asked, or we do not know which
    /// containers are ours: an answer to that would be taken for all there are.
    pub(super) fn sweep_at(&self) -> Option<u64> {
        let sweep = &self.live.sweep;
        if self.live.engine.is_gone() || self.durable.identity.is_none() {
            None
        } else if let Some(asked) = sweep.asked {
            Some(asked.saturating_add(SWEEP_LOST.ms()))
        } else if sweep.wanted {
            Some(0)
        } else {
            sweep.answered.map(|at| at.saturating_add(self.sweep_period()))
        }
    }
}

impl Turn<'_> {
    /// Changes what a person should know of a placement; the manager hears of it.
    pub fn warn(&mut self, placement: PlacementId, warning: Option<String>) {
        let shown = self.w.live.shown.entry(placement).or_default();
        if shown.warning == warning {
            return;
        }
        shown.warning = warning;
        if let Some(record) = self.record(placement) {
            let mut record = PlacementRecord::clone(record);
            self.raise_sequence(&mut record);
            self.put(super::io::Change::PlacementPut { record: std::sync::Arc::new(record) });
        }
    }

    /// Asks for a sweep when one is due.
    pub fn sweep(&mut self) {
        if self.w.sweep_at().is_some_and(|at| at <= self.now.boot_ms) {
            let sweep = &mut self.w.live.sweep;
            sweep.asked = Some(self.now.boot_ms);
            sweep.wanted = false;
            self.effects.push(Effect::Sweep);
        }
    }

    /// Reports what is new, what is due again, and progress.
    pub fn report(&mut self) {
        self.w.live.outbox.unaccepted.extend(self.news.iter().copied());
        if self.w.durable.identity.is_none() {
            return;
        }
        let now = self.now.boot_ms;
        let live = &mut self.w.live;
        let mut due = std::mem::take(&mut self.news);
        if live.outbox.resend_at.is_some_and(|at| at <= now) {
            due.extend(live.outbox.unaccepted.iter().copied());
            live.outbox.resend_at = None;
        }
        if live.outbox.unaccepted.is_empty() {
            live.outbox.resend_at = None;
        } else if live.outbox.resend_at.is_none() {
            live.outbox.resend_at = Some(now.saturating_add(RESEND.ms()));
        }
        for (placement, shown) in &mut live.shown {
            if shown.due_at().is_some_and(|at| at <= now) {
                due.insert(*placement);
            }
            if due.contains(placement) {
                shown.unsaid = false;
                shown.said_at = Some(now);
            }
        }
        let placements: Vec<PlacementStatus> = due
            .iter()
            .filter_map(|id| self.w.durable.placements.get(id))
            .map(|record| self.w.status_of(record))
            .collect();
        if !placements.is_empty() {
            self.effects.push(Effect::Report { placements });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_engine_is_not_orcas_own() {
        let mut own = OwnTime::default();
        assert_eq!(own.ms(5000), None);
        own.begin(1000);
        own.called(Span::from_ms(250));
        own.called(Span::from_ms(100));
        assert_eq!(own.ms(1360), Some(10));
        own.call(1360);
        assert_eq!(own.ms(1400), Some(10), "told of before the answer");
        own.called(Span::from_ms(45));
        assert_eq!(own.ms(1410), Some(15));
        assert_eq!(own.ms(1300), Some(0), "clocks of different parts may differ by a tick");
    }
}
