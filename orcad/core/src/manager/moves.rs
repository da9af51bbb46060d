//! How a task moves: from its placement to the next one, on another node.
//!
//! ```text
//!                 may run beside the former          may not (one writer, singleton, not running anyway)
//!   next made     wanted running                     wanted ready: image, container, room are there, nothing runs
//!        │                │ it runs                                  │ it is ready
//!        │                ▼                                          ▼
//!        │        task.placement = next                      the former is asked to stop
//!        │        the former is asked to stop                        │ its end was observed
//!        │                                                           ▼
//!        │                                                   task.placement = next, wanted running
//!        └─ it failed, or nobody wants the move any more: stopped, forgotten; the former was never touched
//! ```
//!
//! A task has at most two live placements: the one that it has, and the next one or the former one. Everything here is
//! derived from the records by [`Turn::settle_next`], a part of the one rule, so a restart goes on at the same step. Drains use
//! it, and failures that say elsewhere; whoever moves a task for another reason begins a move and leaves the rest to it.

use std::sync::Arc;

use orca_api::id::{NodeId, PlacementId, TaskId};
use orca_api::link::{ATTEMPTS_KEPT, AttemptStatus, PlacementWanted};
use orca_api::node::Availability;
use orca_api::spec::{MountSource, TaskSpec};
use orca_api::task::{Next as Where, Reason, State, Wanted};
use orca_api::units::Time;

use super::defaults::{AVOID_FOR, AVOID_MAX, FAILURES, FAILURES_WITHIN};
use super::record::{Avoided, Moved, Next, PlacementRecord, StopAsked, TaskRecord};
use super::state::Manager;
use super::turn::{SetChange, Turn};

/// Whether the next placement may run before the former one has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It may: at no time does none run.
    StartFirst,
    /// It is made ready, and begins when the former one has ended.
    StopFirst,
}

impl Order {
    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartFirst => "start-first",
            Self::StopFirst => "stop-first",
        }
    }
}

/// The first volume of its node that a task writes to: its data stays there.
pub(super) fn volume_of(spec: &TaskSpec) -> Option<&str> {
    spec.mounts.iter().filter(|m| !m.read_only).find_map(|m| match &m.source {
        MountSource::Volume(name) => Some(name.as_str()),
        MountSource::Bind(_) => None,
    })
}

/// In which order a task may move. What it writes to may be shared by nodes and have one writer at a time; and of what does
/// not run nothing is gained by beginning beside it.
pub(super) fn order(placement: &PlacementRecord) -> Order {
    let writes = placement.spec.mounts.iter().any(|m| !m.read_only);
    if placement.state() == State::Running && !writes && !placement.spec.singleton {
        Order::StartFirst
    } else {
        Order::StopFirst
    }
}

impl TaskRecord {
    /// Nodes that it failed on lately.
    pub(super) fn avoided(&self, now: Time) -> impl Iterator<Item = &Avoided> {
        self.avoid.iter().filter(move |a| now.since(a.at) < AVOID_FOR)
    }
}

impl Manager {
    pub(super) fn placement(&self, id: Option<PlacementId>) -> Option<&Arc<PlacementRecord>> {
        id.and_then(|id| self.durable.placements.get(&id))
    }

    /// The next placement of a task that moves.
    pub(super) fn next_of(&self, task: &TaskRecord) -> Option<&Arc<PlacementRecord>> {
        self.placement(task.next.as_ref().map(|n| n.placement))
    }

    /// Whether some placement of a task, besides the one it has, has not ended.
    pub(super) fn other_live(&self, task: &TaskRecord) -> bool {
        let next = task.next.as_ref().map(|n| n.placement);
        [task.retired, next].into_iter().filter_map(|id| self.placement(id)).any(|p| !p.is_ended())
    }

    pub(super) fn node_name(&self, node: NodeId) -> String {
        self.durable.nodes.get(&node).map_or_else(|| node.to_string(), |n| n.name.to_string())
    }
}

impl Turn<'_> {
    /// A task begins to move to a node. It has no next placement, and its former one has ended.
    pub fn begin_move(&mut self, id: TaskId, to: NodeId, reason: Reason, why: String) {
        let Some(task) = self.m.durable.tasks.get(&id).cloned() else { return };
        let Some(now) = self.m.placement(task.placement).cloned() else { return };
        if task.next.is_some() || self.m.other_live(&task) {
            return;
        }
        let order = order(&now);
        let wanted = match order {
            Order::StartFirst => PlacementWanted::Running,
            Order::StopFirst => PlacementWanted::Ready,
        };
        let mut task = TaskRecord::clone(&task);
        task.attempts_before =
            task.attempts_before.max(now.status.attempts.last().map_or(now.attempts_before, |a| a.number));
        let next = self.new_placement(&task, to, wanted, now.status.budget_used);
        let words = format!("{why}: to {}, {}", self.m.node_name(to), order.as_str());
        task.next = Some(Next { placement: next.id, reason, why, healthy_ms: 0 });
        self.task_event("task.move", &task, Some(now.node), None, Some(reason), words);
        self.put_placement(next, SetChange::Yes);
        self.put_task(task);
    }

    /// Asks for the end of a placement, once.
    pub fn stop_placement(&mut self, id: PlacementId, reason: Reason, grace: Option<orca_api::units::Span>) {
        let Some(placement) = self.m.durable.placements.get(&id) else { return };
        if placement.is_ended() || placement.wanted == PlacementWanted::Stopped {
            return;
        }
        // Between two attempts nothing is stopped: the last one ended as it ended.
        let idle = placement.status.attempts.last().is_some_and(|a| a.state.is_terminal());
        let live = !(idle && reason.next() == Where::Elsewhere);
        let mut placement = PlacementRecord::clone(placement);
        placement.wanted = PlacementWanted::Stopped;
        placement.stop = Some(StopAsked { reason, at: self.now.wall, grace, live });
        self.put_placement(placement, SetChange::Yes);
    }

    /// One step of a task's move: hands over, goes on waiting, or gives the move up.
    pub fn settle_next(&mut self, id: TaskId) {
        let Some(task) = self.m.durable.tasks.get(&id).cloned() else { return };
        let Some(next) = task.next.clone() else { return };
        let Some(to) = self.m.placement(Some(next.placement)).cloned() else { return };
        let Some(from) = self.m.placement(task.placement).cloned() else { return };
        let failed = to.status.attempts.last().filter(|a| a.state.is_terminal() && a.state != State::Stopped);
        if to.is_ended() {
            // It came to nothing.
            if to.stop.is_none() || to.lost.is_some() {
                let words = failed.map_or_else(|| "did not come up".to_owned(), failed_words);
                if to.lost.is_none() && next.reason == Reason::StoppedByRollout {
                    self.failures.push((id, words.clone()));
                }
                self.avoid(id, to.node, words);
            }
            self.forget_next(id);
            return;
        }
        if to.wanted == PlacementWanted::Stopped {
            return;
        }
        if let Some(why) = self.moot(&task, &next, &to, &from) {
            self.task_event("task.move", &task, Some(to.node), None, None, format!("not any more: {why}"));
            self.stop_placement(to.id, next.reason, None);
        } else if let Some(attempt) = failed {
            let words = failed_words(attempt);
            let told = format!("its placement on {} {words}: it stays", self.m.node_name(to.node));
            self.task_event("task.move", &task, Some(to.node), None, attempt.reason, told);
            if next.reason == Reason::StoppedByRollout {
                let said = super::report::outcome(attempt);
                let said = if said.is_empty() { said } else { format!(": {said}") };
                self.failures.push((id, format!("{words}{said}")));
            }
            self.avoid(id, to.node, words);
            self.stop_placement(to.id, next.reason, None);
        } else if from.is_ended() {
            self.hand_over(id);
        } else if to.wanted == PlacementWanted::Running {
            if to.state() == State::Running && self.may_take_over(&task, &next, &to) {
                self.stop_placement(from.id, next.reason, None);
                self.hand_over(id);
            }
        } else if to.state() == State::Ready {
            self.stop_placement(from.id, next.reason, None);
        }
    }

    /// Why nobody wants a move any more; `None` while it is wanted.
    fn moot(
        &self,
        task: &TaskRecord,
        next: &Next,
        to: &PlacementRecord,
        from: &PlacementRecord,
    ) -> Option<&'static str> {
        let availability = |node: NodeId| self.m.durable.nodes.get(&node).map(|n| n.availability);
        if task.wanted == Wanted::Stopped {
            Some("it is to be stopped")
        } else if to.run != task.run {
            Some("it is begun anew")
        } else if to.version != task.version {
            Some("another version is wanted")
        } else if from.is_ended()
            && !from.goes_on()
            && from.stop.as_ref().is_none_or(|s| s.reason != next.reason)
        {
            Some("it has ended by itself")
        } else if availability(to.node) == Some(Availability::Draining) {
            Some("that node is drained, too")
        } else if next.reason == Reason::StoppedByDrain
            && availability(from.node) == Some(Availability::Active)
            && from.stop.is_none()
            && !from.is_ended()
        {
            Some("the drain was undone")
        } else {
            None
        }
    }

    /// The next placement becomes the one that the task has.
    fn hand_over(&mut self, id: TaskId) {
        let Some(task) = self.m.durable.tasks.get(&id) else { return };
        let mut task = TaskRecord::clone(task);
        let Some(next) = task.next.take() else { return };
        let Some(to) = self.m.placement(Some(next.placement)).cloned() else { return };
        let from = self.m.placement(task.placement).map_or(to.node, |p| p.node);
        self.retire(&mut task, Some(&next.why), to.node);
        task.placement = Some(to.id);
        task.waiting = None;
        let words = format!("from {} to {}: {}", self.m.node_name(from), self.m.node_name(to.node), next.why);
        self.task_event("task.moved", &task, Some(to.node), None, Some(next.reason), words);
        if to.wanted == PlacementWanted::Ready {
            let to = PlacementRecord {
                wanted: PlacementWanted::Running,
                spare: None,
                ..PlacementRecord::clone(&to)
            };
            self.put_placement(to, SetChange::Yes);
        }
        self.put_task(task);
    }

    /// A next placement that came to nothing is kept for its logs where nothing else is.
    fn forget_next(&mut self, id: TaskId) {
        let Some(task) = self.m.durable.tasks.get(&id) else { return };
        let mut task = TaskRecord::clone(task);
        let Some(next) = task.next.take() else { return };
        if let Some(gone) = self.m.placement(Some(next.placement)).cloned() {
            let last = gone.status.attempts.last().map_or(0, |a| a.number);
            task.attempts_before = task.attempts_before.max(last);
            keep_attempts(&mut task.history, &gone.status.attempts);
        }
        self.put_task(task);
        self.drop_placement(next.placement);
    }

    /// What a task has becomes its former placement, kept for the logs of its last containers; the one before that goes.
    /// It has ended, or it is being stopped; the one before has ended.
    pub fn retire(&mut self, task: &mut TaskRecord, why: Option<&str>, to: NodeId) {
        if let Some(gone) = task.retired.take() {
            self.drop_placement(gone);
        }
        let Some(old) = self.m.placement(task.placement).cloned() else { return };
        let last = old.status.attempts.last().map_or(0, |a| a.number);
        task.attempts_before = task.attempts_before.max(last);
        task.restarts_before = task.restarts_before.saturating_add(old.status.restarts);
        keep_attempts(&mut task.history, &old.status.attempts);
        task.retired = Some(old.id);
        if old.node == to {
            return;
        }
        let why = match (why, old.lost, &old.stop) {
            (Some(why), ..) => why.to_owned(),
            (None, Some(Reason::NodeRemoved), _) => format!("{} was removed", self.m.node_name(old.node)),
            (None, Some(_), _) => format!("{} did not answer", self.m.node_name(old.node)),
            (None, None, Some(stop)) => stop.reason.to_string(),
            (None, None, None) => "placed anew".to_owned(),
        };
        task.moved = Some(Moved { from: old.node, to, at: self.now.wall, why });
    }

    /// What became of a former placement's attempts after the task had moved on.
    pub fn refresh_history(&mut self, placement: &PlacementRecord) {
        let Some(task) = self.m.durable.tasks.get(&placement.task) else { return };
        if task.retired != Some(placement.id) {
            return;
        }
        let mut task = TaskRecord::clone(task);
        let before = task.history.clone();
        keep_attempts(&mut task.history, &placement.status.attempts);
        if task.history != before {
            self.put_task(task);
        }
    }

    /// A task failed on a node: others come first from now on, for a while.
    fn avoid(&mut self, id: TaskId, node: NodeId, why: String) {
        let Some(task) = self.m.durable.tasks.get(&id) else { return };
        let mut task = TaskRecord::clone(task);
        task.avoid.retain(|a| a.node != node && self.now.wall.since(a.at) < AVOID_FOR);
        task.avoid.push(Avoided { node, at: self.now.wall, why });
        let excess = task.avoid.len().saturating_sub(AVOID_MAX);
        task.avoid.drain(..excess);
        self.put_task(task);
    }

    /// Moves a task whose last attempt ended for a reason that is the node's, or that fails again and again there. Where no
    /// other node fits its worker goes on by the policy.
    pub fn consider_elsewhere(&mut self, id: TaskId) {
        let Some(task) = self.m.durable.tasks.get(&id).cloned() else { return };
        let Some(now) = self.m.placement(task.placement).cloned() else { return };
        if task.next.is_some() || now.stop.is_some() || now.status.finished || self.m.other_live(&task) {
            return;
        }
        let Some(why) = why_elsewhere(&now.status.attempts) else { return };
        // Its data would not go with it: a database that begins empty elsewhere is no repair.
        if volume_of(&now.spec).is_some() {
            return;
        }
        let mut request = self.m.request_of(&task, self.now.wall);
        request.exclude.push(now.node);
        request.exclude.append(&mut request.avoid);
        let Ok(choice) = self.m.scheduler.place(&request) else { return };
        let words = format!("{why} on {}", self.m.node_name(now.node));
        self.avoid(id, now.node, why);
        self.begin_move(id, choice.node, Reason::StoppedByRebalance, words);
    }
}

/// `was rejected (port_taken)`
fn failed_words(attempt: &AttemptStatus) -> String {
    let reason = attempt.reason.map_or_else(String::new, |r| format!(" ({r})"));
    format!("{}{reason}", attempt.state)
}

/// Why a placement between two attempts should be tried on another node; `None` where it should not.
fn why_elsewhere(attempts: &[AttemptStatus]) -> Option<String> {
    let last = attempts.last().filter(|a| matches!(a.state, State::Failed | State::Rejected))?;
    if let Some(reason) = last.reason.filter(|r| r.next() == Where::Elsewhere) {
        return Some(format!("{} ({reason})", last.state));
    }
    let own = |a: &&AttemptStatus| {
        matches!(a.state, State::Failed | State::Rejected) && a.reason.is_none_or(Reason::uses_budget)
    };
    let recent = attempts.iter().rev().take(FAILURES);
    let ends: Vec<Time> = recent.take_while(own).map(|a| a.finished_at.unwrap_or(a.created_at)).collect();
    let (newest, oldest) = (ends.first()?, ends.last()?);
    (ends.len() == FAILURES && newest.since(*oldest) <= FAILURES_WITHIN)
        .then(|| format!("failed {FAILURES} times within {FAILURES_WITHIN}"))
}

/// Adds attempts to a history, or what is newly known of those in it; the oldest go.
fn keep_attempts(history: &mut Vec<AttemptStatus>, attempts: &[AttemptStatus]) {
    for attempt in attempts {
        match history.iter_mut().find(|a| a.number == attempt.number && a.created_at == attempt.created_at) {
            Some(known) => known.clone_from(attempt),
            None => history.push(attempt.clone()),
        }
    }
    let excess = history.len().saturating_sub(ATTEMPTS_KEPT);
    history.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(n: u32, at_s: i64, state: State, reason: Reason) -> AttemptStatus {
        serde_json::from_value(serde_json::json!({
            "number": n, "state": state, "reason": reason,
            "created_at": Time::from_ms(at_s * 1000), "finished_at": Time::from_ms(at_s * 1000),
        }))
        .expect("an attempt")
    }

    fn failures(times: &[i64], reason: Reason) -> Vec<AttemptStatus> {
        (1..).zip(times).map(|(n, at)| attempt(n, *at, State::Failed, reason)).collect()
    }

    #[test]
    fn reasons_of_the_node_and_five_failures_in_five_minutes_say_elsewhere() {
        use Reason::{
            EngineRestart, Exited, NoDevice, NoSpace, NodeReboot, OomHost, OomLimit, PortTaken, Pressured,
        };
        for reason in [OomHost, PortTaken, NoDevice, Pressured, NoSpace] {
            assert_eq!(why_elsewhere(&failures(&[1], reason)), Some(format!("failed ({reason})")));
        }
        for (attempts, moves) in [
            (failures(&[0, 10, 20, 30], Exited), false),
            (failures(&[0, 10, 20, 30, 300], Exited), true),
            (failures(&[0, 10, 20, 30, 301], Exited), false),
            (failures(&[0, 10, 20, 30, 40], OomLimit), true),
            (failures(&[0, 10, 20, 30, 40], EngineRestart), false),
            (failures(&[0, 10, 20, 30, 40], NodeReboot), false),
            (vec![], false),
            (vec![attempt(1, 0, State::Stopped, Reason::StoppedByUser)], false),
            (vec![attempt(1, 0, State::Running, Exited)], false),
        ] {
            assert_eq!(why_elsewhere(&attempts).is_some(), moves, "{attempts:?}");
        }
        let mut mixed = failures(&[0, 10, 20, 30, 40], Exited);
        mixed[2].state = State::Completed;
        assert_eq!(why_elsewhere(&mixed), None, "in between it ended well");
    }
}
