//! Each placement one step nearer to what is wanted of it.
//!
//! ```text
//!  no live attempt:  to be stopped ─► finished      wait over, nothing left alive ─► a new attempt
//!  a live attempt:   look at its container, then
//!     no container   to be stopped ─► stopped       image there? Create : Pull
//!     created        to be stopped ─► Stop          to run ─► Start        held otherwise
//!     runs           to be stopped ─► Stop
//! ```

use orca_api::id::PlacementId;
use orca_api::task::{Reason, State};
use orca_api::units::Span;

use super::containers::is_dead;
use super::io::{AttemptRecord, Effect, Labels};
use super::observe::{new_attempt, push_attempt};
use super::ops::{OpKind, Target};
use super::restart;
use super::step::Turn;

impl Turn<'_> {
    /// Converges everything.
    pub fn converge(&mut self) {
        let all: Vec<PlacementId> = self.w.durable.placements.keys().copied().collect();
        let (may_look, may_act) = (self.w.may_look(), self.w.may_act());
        for placement in all {
            if may_look {
                self.look(placement);
            }
            self.watch_lease(placement);
            self.settle(placement);
            if may_act {
                self.begin_next(placement);
                self.drive(placement);
            }
        }
        if may_act {
            self.tidy();
        }
    }

    /// What needs no engine: a stop of what has no container ends at once, and nothing follows a stop.
    fn settle(&mut self, placement: PlacementId) {
        let Some(record) = self.record(placement) else { return };
        let Some(reason) = record.stop_wanted() else { return };
        match record.live_attempt() {
            // A lost store does not know its attempts before the first sweep.
            None if record.attempts.is_empty() && !self.knows_of_none(placement) => {}
            None => self.edit(placement, |r| {
                r.finished = true;
                r.next_attempt_at = None;
            }),
            // While a container is being made, it is waited for; the wait has an end.
            Some(a)
                if a.status.container.is_none()
                    && self.in_flight(&Target::Attempt(placement)) != Some(OpKind::Create) =>
            {
                let number = a.status.number;
                self.finish_attempt(placement, number, State::Stopped, Some(reason), String::new());
            }
            Some(_) => {}
        }
    }

    /// Whether the engine has told all, and of nothing that may live for a placement. What it told may not have been
    /// looked at yet: a set can come in while it hangs.
    fn knows_of_none(&self, placement: PlacementId) -> bool {
        self.w.live.swept && self.w.live.containers.of(placement).all(|c| is_dead(c))
    }

    /// Begins the next attempt when it is due, and nothing of an earlier one may still come alive.
    fn begin_next(&mut self, placement: PlacementId) {
        let Some(record) = self.record(placement).cloned() else { return };
        if record.finished || record.stop_wanted().is_some() || record.live_attempt().is_some() {
            return;
        }
        if self.w.lease_left(&record).is_some_and(|left| left == 0) {
            return;
        }
        if let Some(at) = record.next_attempt_at {
            // A clock that was set back does not make anybody wait longer than the longest wait.
            let latest = self.now.wall.plus(restart::backoff_max());
            if at > latest {
                self.edit(placement, |r| r.next_attempt_at = Some(latest));
            }
            if at > self.now.wall {
                return;
            }
        }
        if self.w.live.containers.of(placement).any(|c| !is_dead(c))
            || !self.w.durable.specs.contains_key(&record.spec)
        {
            return;
        }
        let number = record.last_number().saturating_add(1);
        let own_end = record.attempts.last().is_some_and(|a| {
            matches!(a.status.state, State::Completed | State::Failed)
                && !matches!(a.status.reason, Some(Reason::EngineRestart | Reason::NodeReboot))
        });
        let tag: String = self.ids.next_id().to_string().to_ascii_lowercase().chars().take(4).collect();
        let attempt = new_attempt(
            number,
            format!("{}-a{number}-{tag}", record.name),
            self.w.boot_id.clone(),
            self.now.wall,
        );
        self.w.live.shown.entry(placement).or_default().own.begin(self.now.boot_ms);
        self.edit(placement, |r| {
            r.next_attempt_at = None;
            if own_end {
                r.counters.restarts = r.counters.restarts.saturating_add(1);
            }
            push_attempt(r, attempt);
        });
    }

    /// Begins the next operation of the live attempt.
    fn drive(&mut self, placement: PlacementId) {
        let target = Target::Attempt(placement);
        let Some(record) = self.record(placement).cloned() else { return };
        let Some(attempt) = record.live_attempt() else { return };
        let number = attempt.status.number;
        if !self.is_free(&target) {
            return;
        }
        let stop = record.stop_wanted();
        match (&attempt.status.container, attempt.status.state) {
            (None, _) => self.prepare(placement, attempt),
            (Some(container), State::Stopping) => self.stop(placement, number, container.clone()),
            (Some(container), _) if stop.is_some() => {
                self.edit_attempt(placement, number, |a| {
                    a.stop_sent = true;
                    a.status.reason = stop;
                    a.status.message.clear();
                    a.rise(State::Stopping);
                });
                self.stop(placement, number, container.clone());
            }
            (Some(container), State::Ready) if record.run_wanted() => {
                self.start(placement, number, container.clone());
            }
            (Some(_), _) => {}
        }
    }

    fn prepare(&mut self, placement: PlacementId, attempt: &AttemptRecord) {
        let Some(record) = self.record(placement).cloned() else { return };
        let Some(spec) = self.w.durable.specs.get(&record.spec).cloned() else { return };
        let Some(cluster) = self.w.cluster() else { return };
        let number = attempt.status.number;
        let target = Target::Attempt(placement);
        if self.w.live.pulled.contains_key(&placement) {
            let op = self.begin(OpKind::Create, target, number, None, Span::ZERO);
            let labels =
                Labels { cluster, task: record.task, placement, attempt: number, spec: record.spec.clone() };
            let hostname = spec.hostname.clone().unwrap_or_else(|| record.name.to_string());
            let name = attempt.container_name.clone();
            self.effects.push(Effect::Create {
                op,
                name,
                hostname,
                labels,
                task_name: record.name.clone(),
                spec,
            });
        } else {
            let op = self.begin(OpKind::Pull, target, number, None, Span::ZERO);
            self.effects.push(Effect::Pull { op, image: spec.image.to_string(), pull: spec.pull });
        }
    }

    fn start(&mut self, placement: PlacementId, number: u32, container: String) {
        let life = self.w.live.engine.life().map(str::to_owned);
        let boot_id = self.w.boot_id.clone();
        self.edit_attempt(placement, number, |a| {
            a.engine_life = life;
            a.boot_id = boot_id;
        });
        let op = self.begin(
            OpKind::Start,
            Target::Attempt(placement),
            number,
            Some(container.clone()),
            Span::ZERO,
        );
        self.effects.push(Effect::Start { op, container });
    }

    fn stop(&mut self, placement: PlacementId, number: u32, container: String) {
        let Some(record) = self.record(placement) else { return };
        let spec = self.w.durable.specs.get(&record.spec);
        let asked =
            record.assigned.as_ref().filter(|_| record.stop_wanted().is_some()).and_then(|a| a.stop_grace);
        let grace = asked.or_else(|| spec.map(|s| s.grace())).unwrap_or(orca_api::spec::STOP_GRACE_DEFAULT);
        let signal = spec.and_then(|s| s.stop_signal);
        let op = self.begin(OpKind::Stop, Target::Attempt(placement), number, Some(container.clone()), grace);
        self.effects.push(Effect::Stop { op, container, signal, grace });
    }
}
