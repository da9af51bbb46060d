//! Draining a node: its tasks leave one at a time, in the scheduler's order, by the moves of `moves.rs`.
//!
//! A drained node stays `draining`, with no tasks, until it is activated. What cannot leave is told with its reason, and
//! tried again at every change of capacity and each 30 s; at the deadline it is stopped all the same.

use std::collections::BTreeSet;

use orca_api::cluster::{DrainView, LeavingView};
use orca_api::control::{Attention, SetAvailability};
use orca_api::error::{Code, Problem};
use orca_api::id::{NodeId, TaskId};
use orca_api::link::PlacementWanted;
use orca_api::node::{Availability, NodeState};
use orca_api::task::{Reason, Wanted};
use orca_api::units::{Span, Time};
use scheduler::{Leaving, Movable, Scheduler};

use super::defaults::{DRAIN_DEADLINE_MAX, DRAIN_SWEEP};
use super::io::Answer;
use super::moves::{Order, order, volume_of};
use super::record::{Drain, NodeRecord, PlacementRecord, TaskRecord};
use super::state::Manager;
use super::turn::Turn;
use crate::Now;

impl Manager {
    /// What is to leave a node, and what each asks for.
    fn movable(&self, node: NodeId, now: Time) -> Vec<Movable> {
        let here = self.durable.by_node.get(&node).into_iter().flatten();
        let live = here.filter_map(|p| self.durable.placements.get(p)).filter(|p| !p.is_ended());
        live.filter_map(|p| {
            let task = self.durable.tasks.get(&p.task)?;
            let leaves = task.placement == Some(p.id) && task.wanted == Wanted::Running && task.run == p.run;
            leaves.then(|| {
                let mut request = self.request_of(task, now);
                request.exclude.append(&mut request.avoid);
                Movable { placement: p.id, request }
            })
        })
        .collect()
    }

    fn leaving(&self, scheduler: &mut Scheduler, node: NodeId, now: Time) -> Vec<Leaving> {
        scheduler.drain(node, &self.movable(node, now))
    }

    /// What a drain of a node would do, or does. Nothing moves by this.
    ///
    /// # Errors
    /// There is no such node.
    pub fn drain_plan(&self, text: &str, now: Now) -> Result<DrainView, Problem> {
        let id = self.find_node(text)?;
        Ok(self.drain_view(id, now))
    }

    /// What a node's drain does, or would do.
    pub(super) fn drain_view(&self, node: NodeId, now: Now) -> DrainView {
        let mut scheduler = self.scheduler.clone();
        let leaving = self.leaving(&mut scheduler, node, now.wall);
        let drain = self.durable.nodes.get(&node).and_then(|n| n.drain.as_ref());
        let mut tasks: Vec<LeavingView> = leaving.iter().filter_map(|l| self.leaving_view(l)).collect();
        let told: BTreeSet<TaskId> = tasks.iter().map(|t| t.task).collect();
        tasks.extend(self.stopping_on(node).filter(|t| !told.contains(&t.task)));
        // What is on its way already comes first.
        tasks.sort_by_key(|t| t.step.starts_with("waits"));
        DrainView { since: drain.map(|d| d.since), deadline: drain.and_then(|d| d.deadline), tasks }
    }

    /// What is being stopped on a node: its task has another placement by now, or none is wanted.
    fn stopping_on(&self, node: NodeId) -> impl Iterator<Item = LeavingView> {
        let here = self.durable.by_node.get(&node).into_iter().flatten();
        let live = here.filter_map(|p| self.durable.placements.get(p)).filter(|p| !p.is_ended());
        live.filter(|p| p.wanted == PlacementWanted::Stopped).filter_map(move |p| {
            let task = self.durable.tasks.get(&p.task)?;
            let to = self.placement(task.placement).map(|p| p.node).filter(|to| *to != node);
            Some(LeavingView {
                task: task.id,
                name: task.name.clone(),
                to: to.and_then(|to| self.durable.nodes.get(&to)).map(|n| n.name.clone()),
                order: order(p).as_str().to_owned(),
                step: "stopping".to_owned(),
                blocked: None,
            })
        })
    }

    fn leaving_view(&self, leaving: &Leaving) -> Option<LeavingView> {
        let placement = self.durable.placements.get(&leaving.placement)?;
        let task = self.durable.tasks.get(&placement.task)?;
        let name = |node: NodeId| self.durable.nodes.get(&node).map(|n| n.name.clone());
        let (mut how, mut to, mut blocked) = (order(placement), None, None);
        match &leaving.to {
            Ok(choice) => to = name(choice.node),
            Err(refusal) => blocked = Some(self.with_names(&refusal.to_string())),
        }
        let mut step = "waits its turn".to_owned();
        if let Some(next) = self.next_of(task) {
            to = name(next.node);
            blocked = None;
            let at = self.node_name(next.node);
            step = match next.wanted {
                PlacementWanted::Running => format!("starting on {at}"),
                PlacementWanted::Ready if placement.stop.is_some() => {
                    format!("stopping, then it starts on {at}")
                }
                PlacementWanted::Ready => format!("being made ready on {at}"),
                PlacementWanted::Stopped => format!("did not come up on {at}"),
            };
            how = if next.wanted == PlacementWanted::Ready { Order::StopFirst } else { how };
        } else if placement.stop.is_some() {
            "stopping".clone_into(&mut step);
        } else if let Some(volume) = volume_of(&placement.spec) {
            step = format!("waits its turn; its volume {volume} stays behind, it begins with an empty one");
        }
        Some(LeavingView {
            task: task.id,
            name: task.name.clone(),
            to,
            order: how.as_str().to_owned(),
            step,
            blocked,
        })
    }

    /// Drains that do not get on.
    pub(super) fn attend_drains(&self, now: Now, list: &mut Vec<Attention>) {
        for node in self.draining() {
            let view = self.drain_view(node.id, now);
            let blocked: Vec<&LeavingView> = view.tasks.iter().filter(|t| t.blocked.is_some()).collect();
            let Some(first) = blocked.first() else { continue };
            list.push(Attention {
                text: format!(
                    "the drain of node {} waits for {} of {} tasks: {}: {}",
                    node.name,
                    blocked.len(),
                    view.tasks.len(),
                    first.name,
                    first.blocked.as_deref().unwrap_or_default()
                ),
                hint: format!(
                    "make room, or orcactl node activate {} to keep them there; orcactl node drain {} --plan shows all",
                    node.name, node.name
                ),
            });
        }
    }

    fn draining(&self) -> impl Iterator<Item = &NodeRecord> {
        self.members().map(AsRef::as_ref).filter(|n| n.availability == Availability::Draining)
    }

    /// When time alone makes something due of a drain, on the boot clock.
    pub(super) fn drains_due(&self) -> Option<u64> {
        self.live.drains.values().copied().min()
    }
}

impl Turn<'_> {
    /// Lets work come, keeps it off, or moves it off.
    pub(super) fn set_availability(
        &mut self,
        text: &str,
        set: &SetAvailability,
        if_match: Option<u64>,
    ) -> Result<Answer, Problem> {
        let id = self.m.find_node(text)?;
        let gone = || Problem::new(Code::NoSuchNode, "the node is gone");
        let old = self.m.member(id).cloned().ok_or_else(gone)?;
        super::members::check_match(&old, if_match)?;
        if set.deadline.is_some() && set.availability != Availability::Draining {
            return Err(Problem::new(Code::BadSpec, "deadline: only a drain has one"));
        }
        if let Some(deadline) = set.deadline
            && deadline > DRAIN_DEADLINE_MAX
        {
            return Err(Problem::new(
                Code::BadSpec,
                format!("deadline: at most {DRAIN_DEADLINE_MAX}, not {deadline}"),
            ));
        }
        if old.leaving && set.availability != Availability::Draining {
            return Err(Problem::new(Code::NotAllowed, format!("{} is leaving the cluster", old.name))
                .hint("it is forgotten once nothing is left on it"));
        }
        let mut record = NodeRecord::clone(&old);
        record.availability = set.availability;
        record.drain = (set.availability == Availability::Draining).then(|| {
            let since = old.drain.as_ref().map_or(self.now.wall, |d| d.since);
            let drained = old.drain.as_ref().is_some_and(|d| d.drained);
            Drain { since, deadline: set.deadline.map(|d| self.now.wall.plus(d)), drained }
        });
        if record != *old {
            let words = set.deadline.map_or_else(String::new, |d| format!("what is left in {d} is stopped"));
            self.node_event("node.availability", &record, set.availability.as_str(), words);
            self.put_node(record);
            self.reconcile_node(id);
            self.watch_drain(id);
            self.room = true;
        }
        let view = self.m.node_view(id, self.now).ok_or_else(gone)?;
        Ok(Answer::Node(Box::new(view)))
    }

    /// Applies the rule to every task that has to do with a node, also to those that are moving to it or from it.
    fn reconcile_node(&mut self, node: NodeId) {
        let here = self.m.durable.by_node.get(&node).into_iter().flatten();
        let tasks: Vec<TaskId> =
            here.filter_map(|p| self.m.durable.placements.get(p)).map(|p| p.task).collect();
        for task in tasks {
            self.reconcile(task);
        }
    }

    /// Looks at every drain again in a while; the state was loaded, or a drain began or ended.
    pub(super) fn watch_drains(&mut self) {
        let nodes: Vec<NodeId> = self.m.draining().map(|n| n.id).collect();
        for node in nodes {
            self.watch_drain(node);
        }
    }

    fn watch_drain(&mut self, node: NodeId) {
        let drain = self.m.member(node).and_then(|n| n.drain.as_ref());
        let Some(drain) = drain.filter(|d| !d.drained) else {
            self.m.live.drains.remove(&node);
            return;
        };
        // A stored deadline is on the wall clock; one that was set cannot make it later than the sweep.
        let left = drain.deadline.map_or(DRAIN_SWEEP, |at| at.since(self.now.wall).min(DRAIN_SWEEP));
        let due = self.now.boot_ms + left.max(Span::from_ms(1)).ms();
        self.m.live.drains.insert(node, due);
    }

    /// Drains whose time has come.
    pub(super) fn tick_drains(&mut self) {
        let now = self.now.boot_ms;
        let due: Vec<NodeId> =
            self.m.live.drains.iter().filter(|(_, at)| **at <= now).map(|(n, _)| *n).collect();
        for node in due {
            self.advance_drain(node);
            self.watch_drain(node);
        }
    }

    /// Something changed: whoever can leave now begins to.
    pub(super) fn advance_drains(&mut self) {
        let nodes: Vec<NodeId> = self
            .m
            .draining()
            .filter(|n| n.drain.as_ref().is_some_and(|d| !d.drained))
            .map(|n| n.id)
            .collect();
        for node in nodes {
            self.advance_drain(node);
        }
    }

    fn advance_drain(&mut self, node: NodeId) {
        let Some(record) = self.m.member(node).cloned() else { return };
        let Some(drain) = record.drain.clone() else { return };
        if drain.drained {
            return;
        }
        let movable = self.m.movable(node, self.now.wall);
        if self.m.live_on(node) == 0 {
            let mut record = NodeRecord::clone(&record);
            record.drain = Some(Drain { drained: true, ..drain });
            self.node_event("node.drained", &record, "draining", "nothing is left on it".to_owned());
            self.put_node(record);
            self.m.live.drains.remove(&node);
            return;
        }
        if drain.deadline.is_some_and(|at| at <= self.now.wall) {
            for movable in movable {
                self.stop_placement(movable.placement, Reason::StoppedByDrain, None);
            }
            return;
        }
        // A node that does not answer cannot be asked to stop anything: it is waited for, or given up.
        if record.state != NodeState::Ready || self.is_one_leaving(node) {
            return;
        }
        let leaving = self.m.scheduler.drain(node, &movable);
        let first = leaving.iter().find_map(|l| Some((l.placement, l.to.as_ref().ok()?.node)));
        if let Some((placement, to)) = first
            && let Some(task) = self.m.durable.placements.get(&placement).map(|p| p.task)
        {
            let why = format!("{} is drained", record.name);
            self.begin_move(task, to, Reason::StoppedByDrain, why);
        }
    }

    /// Whether one of a node's tasks is on its way off it.
    fn is_one_leaving(&self, node: NodeId) -> bool {
        let here = self.m.durable.by_node.get(&node).into_iter().flatten();
        let mut live = here.filter_map(|p| self.m.durable.placements.get(p)).filter(|p| !p.is_ended());
        let moves = |p: &PlacementRecord, task: &TaskRecord| {
            p.stop.is_some() || (task.placement == Some(p.id) && task.next.is_some())
        };
        live.any(|p| self.m.durable.tasks.get(&p.task).is_some_and(|task| moves(p, task)))
    }
}
