//! When time alone makes something due.

use super::state::Worker;

impl Worker {
    /// The next instant, in milliseconds of the boot clock, at which a [`super::Event::Tick`] has something to do.
    /// What was due at the last step was done in it, or waits for an event.
    pub fn next_deadline(&self) -> Option<u64> {
        let now = self.live.now?;
        let live = &self.live;
        let waits =
            self.durable.placements.values().filter_map(|r| r.next_attempt_at).filter(|_| self.may_act());
        // Stored waits are on the wall clock.
        let waits = waits.map(|at| now.boot_ms.saturating_add(at.since(now.wall).ms()));
        waits
            .chain(live.retries.values().map(|r| r.at))
            .chain(live.ops.values().map(|op| op.lost_at))
            .chain(live.shown.values().filter_map(super::report::Shown::due_at))
            .chain(live.outbox.resend_at)
            .chain(live.engine.unresponsive_at())
            .chain(self.leases_end())
            .chain(self.sweep_at())
            .filter(|at| *at > now.boot_ms)
            .min()
    }
}
