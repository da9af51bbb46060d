//! The engine's comings and goings, and what they mean for ends that are seen afterwards.

use std::collections::VecDeque;

use orca_api::units::{Span, Time};

use super::defaults::{ENGINE_RESTART_MARGIN, OUTAGES_KEPT, UNRESPONSIVE_AFTER};
use super::io::{AttemptRecord, EngineState};
use crate::Now;

/// What is known of the engine in this life of the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Engine {
    /// Its state; `None` until the first word of it.
    pub state: Option<EngineState>,
    /// Since when, on the boot clock.
    pub since: u64,
    /// When this life of ours began to watch it.
    pub watched_from: Option<Time>,
    outages: VecDeque<Outage>,
}

/// A time in which the engine could not be asked.
#[derive(Clone, Copy, Debug)]
struct Outage {
    from: Time,
    to: Option<Time>,
    /// Containers were said to live on.
    live_restore: bool,
}

impl Engine {
    /// Takes in a new state. True where what was known of the containers must be looked at again.
    pub fn on_state(&mut self, state: EngineState, now: Now) -> bool {
        if self.state.as_ref() == Some(&state) {
            return false;
        }
        let was_up = match &self.state {
            Some(EngineState::Up { live_restore, .. }) => Some(*live_restore),
            _ => None,
        };
        let is_up = matches!(state, EngineState::Up { .. });
        if let Some(live_restore) = was_up {
            // A new life without a gap in between is an absence too short to be seen.
            let to = is_up.then_some(now.wall);
            self.outages.push_back(Outage { from: now.wall, to, live_restore });
            if self.outages.len() > OUTAGES_KEPT {
                self.outages.pop_front();
            }
        } else if is_up && let Some(last) = self.outages.back_mut() {
            last.to = Some(now.wall);
        }
        self.state = Some(state);
        self.since = now.boot_ms;
        is_up
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        matches!(self.state, Some(EngineState::Up { .. }))
    }

    /// Whether it is known not to answer.
    pub fn is_gone(&self) -> bool {
        matches!(self.state, Some(EngineState::Away | EngineState::Unresponsive))
    }

    /// Its present life.
    pub fn life(&self) -> Option<&str> {
        match &self.state {
            Some(EngineState::Up { life, .. }) => Some(life),
            _ => None,
        }
    }

    /// When its silence becomes a condition of the node, on the boot clock.
    pub fn unresponsive_at(&self) -> Option<u64> {
        (self.state == Some(EngineState::Unresponsive))
            .then(|| self.since.saturating_add(UNRESPONSIVE_AFTER.ms()))
    }

    /// Whether an end was the engine's doing: it lives another life than when the process was last seen alive,
    /// its containers do not live on without it, and the process ended about when it was away, or unwatched.
    pub fn ended_it(&self, attempt: &AttemptRecord, finished: Option<Time>) -> bool {
        let (Some(EngineState::Up { life, live_restore }), Some(before)) =
            (&self.state, &attempt.engine_life)
        else {
            return false;
        };
        if life == before || *live_restore {
            return false;
        }
        let Some(finished) = finished else { return true };
        if self.watched_from.is_none_or(|from| finished < from) {
            return true;
        }
        self.outages.iter().any(|outage| {
            !outage.live_restore
                && outage.from.since(finished) <= ENGINE_RESTART_MARGIN
                && outage.to.is_none_or(|to| finished.since(to) <= ENGINE_RESTART_MARGIN)
        })
    }
}

/// The instant at which the machine was started, by the wall clock, less a minute for clocks that are set late.
pub(super) fn boot_time(now: Now) -> Time {
    const SLACK_MS: i64 = 60_000;
    Time::from_ms(
        now.wall.ms().saturating_sub(Span::from_ms(now.boot_ms).ms() as i64).saturating_sub(SLACK_MS),
    )
}
