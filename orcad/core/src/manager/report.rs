//! What workers observed is merged into what is known: states only rise, the larger one wins, and of two
//! different ends the first stands.

use std::collections::BTreeSet;

use orca_api::id::{LifeId, NodeId, PlacementId};
use orca_api::link::{ATTEMPTS_KEPT, AttemptStatus, PlacementStatus, ReportAnswer};
use orca_api::task::{Owner, Reason, State};
use orca_api::units::Time;

use super::io::{Answer, Token};
use super::record::PlacementRecord;
use super::turn::{SetChange, Turn};

/// What a merge gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Merged {
    pub status: PlacementStatus,
    /// Moves that the table forbids: they are recorded and not made.
    pub refused: Vec<String>,
}

/// Merges two statuses of one placement.
pub(super) fn merge(old: &PlacementStatus, new: &PlacementStatus) -> Merged {
    let mut refused = Vec::new();
    let mut attempts: Vec<AttemptStatus> = old.attempts.clone();
    let newest = attempts.last().map_or(0, |a| a.number);
    // What has ended gave its room back: a later attempt would be a resurrection.
    let over = old.finished && attempts.last().is_none_or(|a| a.state.is_terminal());
    for attempt in &new.attempts {
        match attempts.iter_mut().find(|a| a.number == attempt.number) {
            None if over && attempt.number > newest => {
                refused.push(format!("attempt {} began after the placement had ended", attempt.number));
            }
            None => attempts.push(attempt.clone()),
            Some(known) => {
                if let Err(why) = merge_attempt(known, attempt) {
                    refused.push(why);
                }
            }
        }
    }
    attempts.sort_by_key(|a| a.number);
    // Only the newest attempt can be alive: an older one that was never seen to end was overtaken.
    let excess = attempts.len().saturating_sub(ATTEMPTS_KEPT);
    attempts.drain(..excess);
    let finished = old.finished || new.finished;
    let status = PlacementStatus {
        placement: old.placement,
        task: old.task,
        sequence: new.sequence,
        restarts: old.restarts.max(new.restarts),
        budget_used: new.budget_used,
        next_attempt_at: if finished { None } else { new.next_attempt_at },
        finished,
        progress: None,
        warning: new.warning.clone(),
        attempts,
    };
    Merged { status, refused }
}

fn merge_attempt(known: &mut AttemptStatus, new: &AttemptStatus) -> Result<(), String> {
    let (from, to) = (known.state, new.state);
    if from == to {
        known.clone_from(new);
        return Ok(());
    }
    if from.is_terminal() {
        // The first end stands; that its container is gone is news all the same.
        known.container_kept &= new.container_kept;
        return if to.is_terminal() {
            Err(format!("attempt {}: {from} stands, {to} came later", known.number))
        } else {
            Ok(())
        };
    }
    if to < from {
        return Ok(()); // an old report, overtaken on its way
    }
    // Reports skip what was quick, or happened while the worker was not heard.
    if !from.may_reach(to, Owner::Worker) {
        return Err(format!("attempt {}: {from} cannot become {to}", known.number));
    }
    known.clone_from(new);
    Ok(())
}

/// Ends attempts that can have no other end: a later one has begun, or the worker is finished and knows nothing of
/// them. So it is when a worker lost its store, and the container with it.
fn close_overtaken(status: &mut PlacementStatus, told: &PlacementStatus, stop: Option<Reason>, now: Time) {
    let newest = status.attempts.last().map(|a| a.number);
    for attempt in status.attempts.iter_mut().filter(|a| !a.state.is_terminal()) {
        let known = told.attempts.iter().any(|a| a.number == attempt.number);
        if known || (Some(attempt.number) == newest && !told.finished) {
            continue;
        }
        (attempt.state, attempt.reason) = match stop {
            Some(reason) => (State::Stopped, Some(reason)),
            None if attempt.state < State::Starting => (State::Rejected, Some(Reason::ContainerRemoved)),
            None => (State::Failed, Some(Reason::ContainerRemoved)),
        };
        "how it ended is not known: its worker has lost its store".clone_into(&mut attempt.message);
        attempt.finished_at = attempt.finished_at.or(Some(now));
        attempt.container_kept = false;
    }
}

impl Turn<'_> {
    /// A worker reports. Only the life that said hello is heard.
    pub fn on_reported(
        &mut self,
        token: Token,
        node: NodeId,
        life: LifeId,
        placements: Vec<PlacementStatus>,
    ) {
        if self.m.live.nodes.get(&node).and_then(|n| n.life) != Some(life) {
            let problem = orca_api::error::Problem::new(
                orca_api::error::Code::Changed,
                "this life of the worker is not the one that said hello",
            );
            self.reply(token, Err(problem.hint("say hello again")));
            return;
        }
        self.seen(node);
        let unknown = self.take_statuses(node, placements, false);
        self.reply(token, Ok(Answer::Report(ReportAnswer { unknown })));
    }

    /// Merges statuses in; answers with the placements that this node should not have. `whole` is a hello's
    /// inventory: it counts whatever its sequence, since a worker that lost its store counts anew.
    pub fn take_statuses(
        &mut self,
        node: NodeId,
        placements: Vec<PlacementStatus>,
        whole: bool,
    ) -> Vec<PlacementId> {
        let mut unknown = Vec::new();
        for status in placements {
            match self.m.durable.placements.get(&status.placement) {
                Some(known) if known.node == node && known.lost.is_none() && known.task == status.task => {
                    // Of an equal sequence only the progress may be new.
                    if whole || status.sequence >= known.status.sequence {
                        let known = PlacementRecord::clone(known);
                        self.take_status(known, &status);
                    }
                }
                Some(known) => {
                    let known = PlacementRecord::clone(known);
                    self.refuse_status(node, known, &status);
                    unknown.push(status.placement);
                }
                // Forgotten, or never there: its worker is told to end it.
                None => unknown.push(status.placement),
            }
        }
        unknown
    }

    /// A status that does not count. A late outcome of what was given up is recorded as such; what is not this node's to
    /// tell is refused, and that is recorded.
    fn refuse_status(&mut self, node: NodeId, mut known: PlacementRecord, status: &PlacementStatus) {
        let Some(task) = self.m.durable.tasks.get(&known.task).cloned() else { return };
        if known.node != node || known.task != status.task {
            let name = self.m.node_name(node);
            let what = if known.node == node { "as another task's" } else { "though it is not there" };
            self.audit_node(node, "link.report", task.name.as_str(), "not_allowed");
            let words = format!("{name} reports a placement of it {what}");
            self.task_event("task.refused", &task, Some(node), None, None, words);
            return;
        }
        // Progress of what was given up is no news: how it ended is.
        let merged = merge(&known.status, status).status;
        let last = merged.attempts.last().filter(|a| a.state.is_terminal()).cloned();
        let Some(last) = last else { return };
        let told = known.status.attempts.iter().any(|a| a.number == last.number && a.state == last.state);
        if told {
            return;
        }
        let words = format!("after it was given up: attempt {} {}", last.number, last.state);
        let said = outcome(&last);
        let words = if said.is_empty() { words } else { format!("{words}: {said}") };
        self.task_event("task.late", &task, Some(node), None, last.reason, words);
        known.status = merged;
        self.refresh_history(&known);
        self.put_placement(known, SetChange::No);
    }

    /// Of placements that a worker has forgotten the next report counts, whatever its sequence: it counts anew, and its
    /// clock may have been set back.
    pub fn forget_sequences(&mut self, node: NodeId, inventory: &[PlacementStatus]) {
        let told: BTreeSet<PlacementId> = inventory.iter().map(|status| status.placement).collect();
        let here = self.m.durable.by_node.get(&node).into_iter().flatten();
        let forgotten: Vec<PlacementId> = here.filter(|id| !told.contains(id)).copied().collect();
        for placement in forgotten {
            if let Some(record) = self.m.durable.placements.get(&placement)
                && record.status.sequence > 0
            {
                let mut record = PlacementRecord::clone(record);
                record.status.sequence = 0;
                self.put_placement(record, SetChange::No);
            }
        }
    }

    fn take_status(&mut self, mut record: PlacementRecord, status: &PlacementStatus) {
        let id = record.id;
        let before = self.m.live.progress.get(&id).cloned();
        match &status.progress {
            Some(progress) => self.m.live.progress.insert(id, progress.clone()),
            None => self.m.live.progress.remove(&id),
        };
        if before != status.progress {
            self.tasks.insert(record.task);
        }
        let mut merged = merge(&record.status, status);
        close_overtaken(&mut merged.status, status, record.stop.as_ref().map(|s| s.reason), self.now.wall);
        let same =
            PlacementStatus { sequence: record.status.sequence, ..merged.status.clone() } == record.status;
        // A worker that lost its store counts anew: from where, it must be known.
        if same && merged.refused.is_empty() && status.sequence >= record.status.sequence {
            return;
        }
        let (state, number) = (record.state(), record.status.attempts.last().map(|a| a.number));
        let ended = record.is_ended();
        record.status = merged.status;
        let now = record.state();
        let moved = now != state || record.status.attempts.last().map(|a| a.number) != number;
        if moved {
            record.since = self.now.wall;
        }
        let (task, node) = (record.task, record.node);
        let ended_now = record.is_ended() && !ended;
        if let Some(task) = self.m.durable.tasks.get(&task).cloned() {
            if moved {
                let last = record.status.attempts.last();
                let (reason, message) =
                    last.map_or((None, String::new()), |a| (shown_reason(&record, a), outcome(a)));
                self.task_event("task.state", &task, Some(node), Some(now.as_str()), reason, message);
            }
            for why in merged.refused {
                self.task_event("task.refused", &task, Some(node), None, None, why);
            }
        }
        if moved {
            self.refresh_history(&record);
        }
        // A worker that forgot the end must hear of it, or it would begin another attempt.
        self.put_placement(record, if ended_now { SetChange::Yes } else { SetChange::No });
        if ended_now {
            self.m.live.progress.remove(&id);
        }
        if moved || ended_now {
            self.reconcile(task);
        }
    }
}

/// The reason that is shown: of an end that was asked for, why it was asked for.
pub(super) fn shown_reason(record: &PlacementRecord, attempt: &AttemptStatus) -> Option<Reason> {
    if attempt.state == State::Stopped {
        record.stop.as_ref().map(|s| s.reason).or(attempt.reason)
    } else {
        attempt.reason
    }
}

/// How an attempt ended, in a few words.
pub(super) fn outcome(attempt: &AttemptStatus) -> String {
    // What was stopped for its health ended as the stop made it end: only what the check said is news.
    if attempt.reason == Some(Reason::Unhealthy) && !attempt.message.is_empty() {
        return attempt.message.clone();
    }
    let mut text = match (attempt.signal, attempt.exit_code) {
        (Some(signal), _) => match orca_api::spec::Signal::from_number(signal) {
            Some(signal) => format!("ended by {signal}"),
            None => format!("ended by signal {signal}"),
        },
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => String::new(),
    };
    if !attempt.message.is_empty() {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&attempt.message);
    }
    text
}

#[cfg(test)]
mod tests {
    use orca_api::id::{RawId, TaskId};

    use super::*;

    fn attempt(number: u32, state: State) -> AttemptStatus {
        serde_json::from_value(serde_json::json!({
            "number": number, "state": state, "created_at": "2026-01-01T00:00:00Z",
        }))
        .expect("an attempt")
    }

    fn status(sequence: u64, attempts: &[(u32, State)], finished: bool) -> PlacementStatus {
        let raw = RawId::from_bytes([1; 10]);
        PlacementStatus {
            placement: PlacementId::from_raw(raw),
            task: TaskId::from_raw(raw),
            sequence,
            attempts: attempts.iter().map(|(n, s)| attempt(*n, *s)).collect(),
            restarts: 0,
            budget_used: 0,
            next_attempt_at: None,
            finished,
            progress: None,
            warning: None,
        }
    }

    fn states(status: &PlacementStatus) -> Vec<(u32, State)> {
        status.attempts.iter().map(|a| (a.number, a.state)).collect()
    }

    #[test]
    fn what_was_too_quick_to_be_seen_is_believed() {
        use State::{Completed, Failed, Preparing, Ready, Rejected, Running};
        for (from, to, taken) in [
            (Ready, Completed, true),
            (Preparing, Failed, true),
            (Running, Ready, false),
            (Running, Rejected, false),
            (Completed, Failed, false),
        ] {
            let merged = merge(&status(1, &[(1, from)], false), &status(2, &[(1, to)], false));
            assert_eq!(states(&merged.status), [(1, if taken { to } else { from })], "{from} {to}");
        }
    }

    #[test]
    fn attempts_that_their_worker_has_lost_come_to_an_end() {
        use State::{Failed, Preparing, Rejected, Running, Stopped};
        let told_more = status(2, &[(8, Running)], false);
        let finished = status(2, &[], true);
        let silent = status(2, &[], false);
        for (known, told, stop, result) in [
            (&[(7, Running)][..], &told_more, None, &[(7, Failed), (8, Running)][..]),
            (&[(7, Preparing)][..], &finished, None, &[(7, Rejected)][..]),
            (&[(7, Running)][..], &finished, Some(Reason::StoppedByUser), &[(7, Stopped)][..]),
            (&[(7, Running)][..], &silent, None, &[(7, Running)][..]),
        ] {
            let mut merged = merge(&status(1, known, false), told);
            close_overtaken(&mut merged.status, told, stop, Time::from_ms(1));
            assert_eq!(states(&merged.status), result);
        }
    }
}
