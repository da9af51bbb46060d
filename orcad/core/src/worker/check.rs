//! What must hold of a worker core after every step.

use orca_api::link::ATTEMPTS_KEPT;

use super::state::Worker;

impl Worker {
    /// Everything that must not be, in words; empty when all is well.
    pub(crate) fn check(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.check_records(&mut found);
        self.check_live(&mut found);
        found
    }

    fn check_records(&self, found: &mut Vec<String>) {
        for record in self.durable.placements.values() {
            let mut wrong = |what: &str| found.push(format!("{} {}: {what}", record.name, record.id));
            if record.attempts.len() > ATTEMPTS_KEPT {
                wrong("more attempts than are kept");
            }
            if !record.attempts.is_sorted_by(|a, b| a.status.number < b.status.number) {
                wrong("attempts out of order");
            }
            let live = record.attempts.iter().filter(|a| !a.status.state.is_terminal()).count();
            let last_lives = record.attempts.last().is_some_and(|a| !a.status.state.is_terminal());
            if live > 1 || (live == 1 && !last_lives) {
                wrong("an attempt that is not the last one has not ended");
            }
            if record.finished && (live > 0 || record.next_attempt_at.is_some()) {
                wrong("finished, and yet something is live or planned");
            }
            if live > 0 && record.next_attempt_at.is_some() {
                wrong("a next attempt is planned while one is live");
            }
            if record.attempts.iter().any(|a| a.status.state.may_run() && a.status.container.is_none()) {
                wrong("an attempt runs without a container");
            }
            if record.attempts.iter().any(|a| {
                a.status.state.is_terminal() && (a.status.reason.is_none() || a.status.finished_at.is_none())
            }) {
                wrong("an attempt ended without a reason or an instant");
            }
            if !self.durable.specs.contains_key(&record.spec) {
                wrong("its spec is not here");
            }
            if record.sequence == 0 {
                wrong("it has no sequence");
            }
        }
    }

    fn check_live(&self, found: &mut Vec<String>) {
        for (target, n) in &self.live.busy {
            if self.live.ops.get(n).is_none_or(|op| op.target != *target) {
                found.push(format!("{target:?} waits for operation {n}, which is not for it"));
            }
        }
        if self.live.ops.len() != self.live.busy.len() {
            found.push("an operation that nobody waits for".to_owned());
        }
    }
}
