//! What a placement's record says: its attempts, and whether it is to be stopped.

use orca_api::link::PlacementWanted;
use orca_api::task::{Reason, State};

use super::io::{AttemptRecord, PlacementRecord};

impl PlacementRecord {
    /// The attempt that has not ended. There is at most one, and it is the last.
    pub(super) fn live_attempt(&self) -> Option<&AttemptRecord> {
        self.attempts.last().filter(|a| !a.status.state.is_terminal())
    }

    /// An attempt by its number.
    pub(super) fn attempt(&self, number: u32) -> Option<&AttemptRecord> {
        self.attempts.iter().find(|a| a.status.number == number)
    }

    /// An attempt by its number.
    pub(super) fn attempt_mut(&mut self, number: u32) -> Option<&mut AttemptRecord> {
        self.attempts.iter_mut().find(|a| a.status.number == number)
    }

    /// The largest number that was given, here or by earlier placements of the task.
    pub(super) fn last_number(&self) -> u32 {
        let before = self.assigned.as_ref().map_or(0, |a| a.attempts_before);
        self.attempts.last().map_or(before, |a| a.status.number.max(before))
    }

    /// Why it is to be stopped; `None` while it is not.
    pub(super) fn stop_wanted(&self) -> Option<Reason> {
        let asked = match &self.assigned {
            Some(assigned) if assigned.wanted != PlacementWanted::Stopped && self.lease_ended => {
                Some(Reason::LeaseEnded)
            }
            Some(assigned) if assigned.wanted != PlacementWanted::Stopped => return None,
            Some(assigned) => assigned.stop_reason,
            None => None,
        };
        let begun = self.live_attempt().and_then(|a| a.status.reason).filter(|r| is_stop(*r));
        Some(asked.or(begun).unwrap_or(Reason::StoppedByUser))
    }

    /// Whether its process is to run.
    pub(super) fn run_wanted(&self) -> bool {
        self.assigned.as_ref().is_some_and(|a| a.wanted == PlacementWanted::Running)
    }
}

impl AttemptRecord {
    /// Moves it on; a state never falls, and an end stays what it was.
    pub(super) fn rise(&mut self, to: State) {
        if !self.status.state.is_terminal() && self.status.state < to {
            self.status.state = to;
        }
    }
}

/// Whether a reason says that somebody asked for the end.
pub(super) const fn is_stop(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::StoppedByUser
            | Reason::StoppedByJob
            | Reason::StoppedByRollout
            | Reason::StoppedByDrain
            | Reason::StoppedByRebalance
            | Reason::Preempted
            | Reason::LeaseEnded
    )
}
