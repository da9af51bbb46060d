//! One step: an event goes in, changes and effects are gathered.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::id::{IdSource, PlacementId};

use super::io::{AttemptRecord, Change, Effect, Event, PlacementRecord, Step};
use super::state::{Sweep, Worker};
use crate::Now;

/// A step in the making.
pub(super) struct Turn<'a> {
    pub w: &'a mut Worker,
    pub now: Now,
    pub ids: &'a mut dyn IdSource,
    changes: Vec<Change>,
    pub effects: Vec<Effect>,
    /// Placements of which there is something new to tell.
    pub news: BTreeSet<PlacementId>,
}

impl Worker {
    /// One step. The changes are applied already; the effects are released once they are committed.
    pub fn step(&mut self, event: Event, now: Now, ids: &mut dyn IdSource) -> Step {
        self.live.now = Some(now);
        let mut turn =
            Turn { w: self, now, ids, changes: Vec::new(), effects: Vec::new(), news: BTreeSet::new() };
        turn.on_event(event);
        turn.expire_ops();
        turn.converge();
        turn.sweep();
        turn.report();
        Step { changes: turn.changes, effects: turn.effects }
    }
}

impl Turn<'_> {
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Started => {
                self.w.live.engine.watched_from = Some(self.now.wall);
                self.w.live.sweep.wanted = true;
            }
            Event::Welcomed { cluster, node, name } => self.on_welcomed(cluster, node, name),
            Event::Assigned { assignment, specs } => self.on_assigned(assignment, specs),
            Event::Heard { asked_at } => self.w.live.heard = self.w.live.heard.max(Some(asked_at)),
            Event::ReportAccepted { accepted, unknown } => self.on_report_accepted(accepted, unknown),
            Event::Engine(state) => {
                if self.w.live.engine.on_state(state, self.now) {
                    // What happened meanwhile is not known before the engine has told all again.
                    self.w.live.sweep = Sweep { wanted: true, ..Sweep::default() };
                }
            }
            Event::Swept { containers } => self.on_swept(containers),
            Event::Hint { container } => self.inspect(container),
            Event::Inspected { container, seen } => match seen {
                Some(seen) => self.see(*seen),
                None if !self.w.live.engine.is_gone() => self.vanish(&container),
                None => {}
            },
            Event::Called { op, took } => self.on_called(op, took),
            Event::Done { op, result } => self.on_done(op, result),
            Event::Progressed { op, progress } => self.on_progressed(op, progress),
            Event::Checked { container, health, failing } => self.on_checked(&container, health, failing),
            Event::OomKills { total } => self.w.live.oom_kills.on_total(total, self.now.wall),
            Event::Machine { conditions, peaks } => {
                self.w.live.conditions = conditions;
                self.w.live.peaks.extend(peaks);
            }
            Event::GoingDown => self.w.live.going_down = true,
            Event::Tick => {}
        }
    }

    /// A placement's record.
    pub fn record(&self, placement: PlacementId) -> Option<&Arc<PlacementRecord>> {
        self.w.durable.placements.get(&placement)
    }

    /// Whether an attempt has not ended.
    pub fn is_live(&self, placement: PlacementId, number: u32) -> bool {
        self.record(placement).and_then(|r| r.live_attempt()).is_some_and(|a| a.status.number == number)
    }

    /// Applies a change and keeps it for the commit; of several of one placement the last is enough.
    pub fn put(&mut self, change: Change) {
        self.w.apply(&change);
        if matches!(change, Change::PlacementPut { .. } | Change::PlacementGone { .. }) {
            let of = |c: &Change| match c {
                Change::PlacementPut { record } => Some(record.id),
                Change::PlacementGone { placement } => Some(*placement),
                _ => None,
            };
            let id = of(&change);
            self.changes.retain(|c| of(c).is_none() || of(c) != id);
        }
        self.changes.push(change);
    }

    /// Stores a placement, if it differs. Its sequence rises with what the manager sees of it, and above what an
    /// earlier store of this node may have reported: it follows the clock.
    pub fn put_placement(&mut self, mut record: PlacementRecord) {
        let known = self.record(record.id).cloned();
        if known.as_deref() == Some(&record) {
            return;
        }
        let seen = |r: &PlacementRecord| {
            (r.counters.restarts, r.counters.budget_used, r.next_attempt_at, r.finished)
        };
        let statuses = |a: &PlacementRecord, b: &PlacementRecord| {
            a.attempts.iter().map(|a| &a.status).eq(b.attempts.iter().map(|b| &b.status))
        };
        if known.is_none_or(|known| seen(&known) != seen(&record) || !statuses(&known, &record)) {
            self.raise_sequence(&mut record);
        }
        self.put(Change::PlacementPut { record: Arc::new(record) });
    }

    /// Marks a record as news.
    pub fn raise_sequence(&mut self, record: &mut PlacementRecord) {
        let clock = u64::try_from(self.now.wall.ms()).unwrap_or(0);
        record.sequence = record.sequence.saturating_add(1).max(clock);
        self.news.insert(record.id);
    }

    /// Changes a placement.
    pub fn edit(&mut self, placement: PlacementId, change: impl FnOnce(&mut PlacementRecord)) {
        if let Some(record) = self.record(placement) {
            let mut record = PlacementRecord::clone(record);
            change(&mut record);
            self.put_placement(record);
        }
    }

    /// Changes an attempt.
    pub fn edit_attempt(
        &mut self,
        placement: PlacementId,
        number: u32,
        change: impl FnOnce(&mut AttemptRecord),
    ) {
        self.edit(placement, |record| {
            if let Some(attempt) = record.attempt_mut(number) {
                change(attempt);
            }
        });
    }
}
