//! What a run of a job would do: the run itself, on a copy of the manager, in a world where everything goes well.
//!
//! The copy gets the request, and then the reports of workers on which every placement comes up and every stop is obeyed, until
//! nothing happens any more. So the plan is made by the code that does it.

use std::collections::BTreeMap;

use orca_api::error::{Code, Problem};
use orca_api::id::{JobId, LifeId, NodeId, PlacementId, SeededIds, TaskId};
use orca_api::job::view::{JobPlan, PlannedAction, PlannedTask};
use orca_api::job::{JobSpec, Order};
use orca_api::link::{AttemptStatus, PlacementStatus, PlacementWanted};
use orca_api::name::Name;
use orca_api::task::{Reason, State, Wanted};
use orca_api::units::Span;

use super::super::io::{Answer, Asked, Effect, Event, Peer, Request, Token};
use super::super::state::Manager;
use super::ask::JobRequest;
use super::diff::changes;
use super::roll::must_stop_first;
use crate::Now;

/// The most rounds in which a plan's world answers.
const ROUNDS_MAX: usize = 20_000;

/// Where a task is, and as what.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    placement: Option<PlacementId>,
    node: Option<NodeId>,
    why: String,
}

impl Manager {
    /// What a run of a job would do. Nothing is changed by it.
    ///
    /// # Errors
    /// Those that the run would give.
    pub fn plan_job(
        &self,
        name: &Name,
        spec: &JobSpec,
        if_revision: Option<u64>,
        now: Now,
    ) -> Result<JobPlan, Problem> {
        let known = self.durable.job_names.get(name).and_then(|id| self.durable.jobs.get(id));
        let revision = known.map_or(0, |j| self.job_revision(j.id).unwrap_or(j.revision));
        let before = known.map(|j| self.places(j.id)).unwrap_or_default();
        let mut copy = self.clone();
        let mut ids = SeededIds(1);
        let request = JobRequest::Run { name: name.clone(), spec: spec.clone(), if_revision };
        let step = copy.step(Event::Asked(Box::new(asked(request))), now, &mut ids);
        let answer = step.effects.into_iter().find_map(|e| match e {
            Effect::Reply { answer, .. } => Some(answer),
            _ => None,
        });
        let changed = match answer {
            Some(Ok(Answer::Job { answer, .. })) => answer.changed,
            Some(Err(problem)) => return Err(problem),
            _ => return Err(Problem::new(Code::Internal, "a plan got no answer")),
        };
        let id = copy.find_job(name.as_str())?;
        let orders = if changed { copy.play(id, now, &mut ids) } else { BTreeMap::new() };
        let tasks = self.planned(&copy, id, &before, &orders);
        let fits = tasks.iter().all(|t| t.action == PlannedAction::Stop || t.to.is_some());
        let mut notes = Vec::new();
        for (group, spec) in &spec.groups {
            if let Some(why) = must_stop_first(&spec.spec)
                && spec.update.order == Order::StartFirst
                && orders.values().any(|o| *o == Order::StopFirst)
            {
                let of = if group.is_empty() { String::new() } else { format!(" of {group}") };
                notes.push(format!("each task{of} ends before the new one begins: {why}"));
            }
        }
        Ok(JobPlan {
            name: name.clone(),
            revision,
            changes: changed,
            fits,
            fields: changes(known.map(|j| j.spec.as_ref()), spec),
            tasks: if changed { tasks } else { Vec::new() },
            notes,
        })
    }

    /// Where the tasks of a job are.
    fn places(&self, job: JobId) -> BTreeMap<Name, Place> {
        let place = |task: &super::super::record::TaskRecord| {
            let live = self.placement(task.placement).filter(|p| !p.is_ended());
            let why = task.waiting.as_ref().filter(|w| w.reason == Reason::NoFit);
            Place {
                placement: live.map(|p| p.id),
                node: live.map(|p| p.node),
                why: why.map(|w| w.message.clone()).unwrap_or_default(),
            }
        };
        let tasks = self.tasks_of(job).into_iter().filter(|t| !t.removing && t.wanted == Wanted::Running);
        tasks.map(|t| (t.name.clone(), place(&t))).collect()
    }

    fn planned(
        &self,
        after: &Self,
        job: JobId,
        before: &BTreeMap<Name, Place>,
        orders: &BTreeMap<TaskId, Order>,
    ) -> Vec<PlannedTask> {
        let node = |id: Option<NodeId>| id.and_then(|n| self.durable.nodes.get(&n)).map(|n| n.name.clone());
        let now = after.places(job);
        let mut tasks = Vec::new();
        for (name, place) in &now {
            let old = before.get(name);
            let from = old.and_then(|o| o.node);
            let moved = old.is_none_or(|o| o.placement != place.placement);
            let action = match (from, moved) {
                (None, _) => PlannedAction::Start,
                (Some(_), true) => PlannedAction::Replace,
                (Some(_), false) => PlannedAction::Keep,
            };
            let order = after.durable.names.get(name).and_then(|id| orders.get(id)).copied();
            let why = if place.node.is_some() { String::new() } else { place.why.clone() };
            tasks.push(PlannedTask {
                name: name.clone(),
                action,
                from: node(from),
                to: node(place.node),
                order: order.filter(|_| action == PlannedAction::Replace),
                why,
            });
        }
        for (name, old) in before.iter().filter(|(name, _)| !now.contains_key(*name)) {
            tasks.push(PlannedTask {
                name: name.clone(),
                action: PlannedAction::Stop,
                from: node(old.node),
                to: None,
                order: None,
                why: String::new(),
            });
        }
        // What a rollout could not bring to its end, it told why.
        if let Some(record) = after.durable.jobs.get(&job)
            && record.rollout.is_active()
            && !record.rollout.why.is_empty()
        {
            for task in tasks.iter_mut().filter(|t| t.action == PlannedAction::Keep) {
                let old = after.durable.names.get(&task.name).and_then(|id| after.durable.tasks.get(id));
                let placed = old.and_then(|t| after.placement(t.placement));
                if placed.is_some_and(|p| p.version != record.version) {
                    task.action = PlannedAction::Replace;
                    task.to = None;
                    task.why.clone_from(&record.rollout.why);
                }
            }
        }
        tasks
    }

    /// Lets every placement of a job come up and every stop of one be obeyed, until nothing happens any more. Tells in
    /// which order tasks were replaced.
    fn play(&mut self, job: JobId, mut now: Now, ids: &mut SeededIds) -> BTreeMap<TaskId, Order> {
        let mut orders = BTreeMap::new();
        let lasts = self.durable.jobs.get(&job).is_some_and(|j| j.spec.kind.lasts());
        for _ in 0..ROUNDS_MAX {
            if !lasts || self.durable.jobs.get(&job).is_none_or(|j| !j.rollout.is_active()) {
                break;
            }
            // Canaries are good in this world.
            if let Some(record) = self.durable.jobs.get(&job)
                && record.rollout.state == super::record::RolloutState::Canary
            {
                let act = JobRequest::Rollout {
                    job: record.name.to_string(),
                    act: orca_api::job::view::RolloutAct::Resume,
                };
                self.step(Event::Asked(Box::new(asked(act))), now, ids);
            }
            for task in self.tasks_of(job) {
                if let Some(next) = self.next_of(&task) {
                    let order = match next.wanted {
                        PlacementWanted::Running => Order::StartFirst,
                        _ => Order::StopFirst,
                    };
                    orders.entry(task.id).or_insert(order);
                }
            }
            let statuses = self.good_news(job, now);
            if statuses.is_empty() {
                let late = self.live.rollouts.get(&job).map(|w| w.fail_at);
                let due = self.jobs_due().filter(|at| late.is_none_or(|late| *at < late));
                let Some(due) = due else { break };
                now = now.plus(Span::from_ms(due.saturating_sub(now.boot_ms)));
                // Nobody falls silent in a plan.
                for live in self.live.nodes.values_mut().filter(|n| n.away.is_none()) {
                    live.seen = now.boot_ms;
                }
                self.step(Event::Tick, now, ids);
                continue;
            }
            for (node, placements) in statuses {
                // A node that is not heard tells nothing; in a plan it does.
                let life = self.live.nodes.entry(node).or_default().life.get_or_insert(LifeId::fresh(ids));
                let life = *life;
                self.step(Event::Reported { token: Token(0), node, life, placements }, now, ids);
            }
        }
        orders
    }

    /// What the nodes would report next, if all went well.
    fn good_news(&self, job: JobId, now: Now) -> BTreeMap<NodeId, Vec<PlacementStatus>> {
        let mut news: BTreeMap<NodeId, Vec<PlacementStatus>> = BTreeMap::new();
        for task in self.tasks_of(job) {
            let next = task.next.as_ref().map(|n| n.placement);
            for id in [task.placement, task.retired, next].into_iter().flatten() {
                let Some(p) = self.durable.placements.get(&id).filter(|p| !p.is_ended()) else { continue };
                let state = match p.wanted {
                    PlacementWanted::Running => State::Running,
                    PlacementWanted::Ready => State::Ready,
                    PlacementWanted::Stopped => State::Stopped,
                };
                if p.state() == state {
                    continue;
                }
                let number = match p.status.attempts.last() {
                    Some(a) if a.state.is_terminal() => a.number + 1,
                    Some(a) => a.number,
                    None => p.attempts_before + 1,
                };
                let mut attempts = p.status.attempts.clone();
                attempts.retain(|a| a.number != number);
                // Between two attempts a stop ends nothing but the waiting.
                let idle = p.status.attempts.last().is_some_and(|a| a.state.is_terminal());
                if !(state == State::Stopped && idle) {
                    attempts.push(attempt(number, state, now));
                }
                let status = PlacementStatus {
                    sequence: p.status.sequence + 1,
                    attempts,
                    finished: state == State::Stopped,
                    ..p.status.clone()
                };
                news.entry(p.node).or_default().push(status);
            }
        }
        news
    }
}

fn asked(request: JobRequest) -> Asked {
    Asked {
        token: Token(0),
        peer: Peer::Local,
        request_id: String::new(),
        key: None,
        if_match: None,
        request: Request::Job(Box::new(request)),
    }
}

fn attempt(number: u32, state: State, now: Now) -> AttemptStatus {
    AttemptStatus {
        number,
        state,
        reason: None,
        message: String::new(),
        exit_code: None,
        signal: None,
        container: None,
        container_kept: false,
        image_id: None,
        created_at: now.wall,
        started_at: Some(now.wall),
        finished_at: None,
        ports: Vec::new(),
        own_ms: None,
    }
}
