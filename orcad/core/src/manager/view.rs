//! What clients see. Views are made from the state when they are asked for, and never stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use orca_api::control::{CpuView, MemoryView, NodeDetail, NodeView, Status, TaskDetail, TaskStats, TaskView};
use orca_api::error::{Code, Problem};
use orca_api::id::{NodeId, TaskId};
use orca_api::link::{ATTEMPTS_KEPT, AttemptRef, AttemptStatus};
use orca_api::name::Name;
use orca_api::node::NodeState;
use orca_api::task::{Phase, Reason, State, Wanted};
use orca_api::units::{Bytes, Cpu, Time};

use super::defaults::LOAD_FRESH;
use super::record::{NodeRecord, PlacementRecord, TaskRecord};
use super::report::{outcome, shown_reason};
use super::state::Manager;
use crate::Now;

/// Where the output of an attempt is to be asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSource {
    /// The node.
    pub node: NodeId,
    /// The attempt.
    pub of: AttemptRef,
    /// Its status.
    pub attempt: AttemptStatus,
}

/// What to do about a task that an outage ended, and whose policy is never.
const STAYS_DOWN: &str =
    "orcactl task restart NAME starts it again; with --restart on-failure it would come back by itself";

/// State, reason, message and since when: what a task's row says.
struct Shown {
    state: State,
    phase: Phase,
    reason: Option<Reason>,
    message: String,
    since: Time,
    next_attempt_at: Option<Time>,
}

impl Manager {
    /// Whether nothing runs of a task and nothing is about to.
    pub(super) fn is_over(&self, task: &TaskRecord) -> bool {
        let Some(placement) = task.placement.and_then(|p| self.durable.placements.get(&p)) else {
            return task.wanted == Wanted::Stopped;
        };
        let end = placement.run == task.run && !placement.goes_on();
        placement.is_ended() && (end || task.wanted == Wanted::Stopped)
    }

    fn shown(task: &TaskRecord, placement: Option<&Arc<PlacementRecord>>) -> Shown {
        if let Some(waiting) = &task.waiting
            && placement.is_none_or(|p| p.is_ended() || p.state().is_terminal())
        {
            return Shown {
                state: State::Waiting,
                phase: Phase::Pending,
                reason: Some(waiting.reason),
                message: waiting.message.clone(),
                since: waiting.since,
                next_attempt_at: None,
            };
        }
        let Some(p) = placement else {
            // Stopped before it ever had a node.
            return Shown {
                state: State::Stopped,
                phase: Phase::Completed,
                reason: Some(Reason::StoppedByUser),
                message: String::new(),
                since: task.created_at,
                next_attempt_at: None,
            };
        };
        let state = p.state();
        let last = p.status.attempts.last();
        let shown = |state: State, reason: Option<Reason>, message: String| Shown {
            state,
            phase: state.phase(),
            reason,
            message,
            since: p.since,
            next_attempt_at: p.status.next_attempt_at,
        };
        if let Some(reason) = p.lost {
            return shown(State::Lost, Some(reason), String::new());
        }
        let Some(attempt) = last else {
            let reason = if state == State::Stopped { p.stop.as_ref().map(|s| s.reason) } else { None };
            return shown(state, reason, String::new());
        };
        if state.is_terminal() && p.stop.as_ref().is_some_and(|s| s.live) {
            // It was stopped, be it while its process ran or between two attempts.
            return shown(State::Stopped, p.stop.as_ref().map(|s| s.reason), outcome(attempt));
        }
        if state.is_terminal() && !p.status.finished && p.wanted_running() {
            let mut shown = shown(State::Waiting, Some(Reason::Backoff), backoff_message(attempt));
            shown.phase = Phase::Pending;
            return shown;
        }
        if !state.is_terminal() && p.stop.is_some() {
            return shown(state, p.stop.as_ref().map(|s| s.reason), attempt.message.clone());
        }
        shown(state, shown_reason(p, attempt), outcome(attempt))
    }

    /// A task as lists show it.
    pub fn task_view(&self, id: TaskId, now: Now) -> Option<TaskView> {
        let task = self.durable.tasks.get(&id)?;
        let current = task.placement.and_then(|p| self.durable.placements.get(&p));
        let shown = Self::shown(task, current);
        let placement =
            current.filter(|_| shown.state != State::Waiting || shown.reason == Some(Reason::Backoff));
        let node = placement.and_then(|p| self.durable.nodes.get(&p.node));
        let attempt = placement.and_then(|p| p.status.attempts.last());
        let ended = placement
            .and_then(|p| p.status.attempts.iter().rev().find(|a| a.state.is_terminal()))
            .or_else(|| task.history.last());
        let live = attempt.filter(|a| a.state.may_run());
        let attempts =
            current.and_then(|p| p.status.attempts.last()).map_or(task.attempts_before, |a| a.number);
        let restarts = task.restarts_before.saturating_add(current.map_or(0, |p| p.status.restarts));
        // Between two attempts the cause of the last end is what a person can mend.
        let cause = match shown.reason {
            Some(Reason::Backoff) => ended.and_then(|a| a.reason).filter(|r| !r.hint().is_empty()),
            reason => reason,
        };
        let hint = match cause.or(shown.reason) {
            // These say that it comes back by itself: not where its policy is never.
            Some(Reason::EngineRestart | Reason::NodeReboot) if shown.phase == Phase::Failed => STAYS_DOWN,
            reason => reason.map_or("", Reason::hint),
        };
        let wants_hint = matches!(shown.phase, Phase::Failed | Phase::Pending)
            || shown.reason == Some(Reason::StoppedByUser);
        let hint = if wants_hint { hint } else { "" };
        Some(TaskView {
            id,
            name: task.name.clone(),
            revision: task.revision.max(current.map_or(0, |p| p.revision)),
            wanted: task.wanted,
            phase: shown.phase,
            state: shown.state,
            reason: shown.reason,
            message: shown.message,
            hint: hint.replace("NAME", task.name.as_str()),
            node: node.map(|n| n.name.clone()),
            node_id: node.map(|n| n.id),
            image: task.spec.image.to_string(),
            restarts,
            attempts,
            exit_code: ended.and_then(|a| a.exit_code),
            signal: ended.and_then(|a| a.signal),
            ports: live.map(|a| a.ports.clone()).unwrap_or_default(),
            created_at: task.created_at,
            since: shown.since,
            started_at: live.and_then(|a| a.started_at),
            finished_at: ended.and_then(|a| a.finished_at),
            next_attempt_at: shown.next_attempt_at,
            progress: placement.and_then(|p| self.live.progress.get(&p.id)).cloned(),
            stale_since: node
                .and_then(|n| self.stale_since(n))
                .filter(|_| !shown.state.is_terminal() || shown.phase == Phase::Pending),
            warning: placement.and_then(|p| p.status.warning.clone()),
            version: task.version,
        })
        .map(|view| with_stale_reason(view, now))
    }

    /// The revision of a task's last change, or of its placement's.
    pub fn task_revision(&self, id: TaskId) -> Option<u64> {
        let task = self.durable.tasks.get(&id)?;
        let placement = task.placement.and_then(|p| self.durable.placements.get(&p));
        Some(task.revision.max(placement.map_or(0, |p| p.revision)))
    }

    /// Since when a node, or its engine, cannot be asked.
    fn stale_since(&self, node: &NodeRecord) -> Option<Time> {
        if matches!(node.state, NodeState::Disconnected | NodeState::Down) {
            return Some(node.since);
        }
        self.live.nodes.get(&node.id).and_then(|l| l.engine_away_since)
    }

    /// All tasks, by name.
    pub fn task_list(&self, now: Now) -> Vec<TaskView> {
        self.durable.names.values().filter_map(|id| self.task_view(*id, now)).collect()
    }

    /// A task with everything known of it.
    pub fn task_detail(&self, text: &str, now: Now) -> Result<TaskDetail, Problem> {
        let id = self.find_task(text)?;
        let gone = || Problem::new(Code::NoSuchTask, "the task is gone");
        let task = self.durable.tasks.get(&id).ok_or_else(gone)?;
        let placement = task.placement.and_then(|p| self.durable.placements.get(&p));
        let mut history = task.history.clone();
        history.extend(placement.into_iter().flat_map(|p| p.status.attempts.iter().cloned()));
        let excess = history.len().saturating_sub(ATTEMPTS_KEPT);
        history.drain(..excess);
        Ok(TaskDetail {
            task: self.task_view(id, now).ok_or_else(gone)?,
            spec: task.spec.as_ref().clone(),
            spec_digest: task.digest.clone(),
            placement: task.placement,
            history,
        })
    }

    /// Where the outputs of a task's attempts are: oldest first, only those whose container is kept.
    pub fn log_sources(&self, text: &str) -> Result<(TaskId, Vec<LogSource>), Problem> {
        let id = self.find_task(text)?;
        let task =
            self.durable.tasks.get(&id).ok_or_else(|| Problem::new(Code::NoSuchTask, "the task is gone"))?;
        let placements = [task.retired, task.placement].into_iter().flatten();
        let placements = placements.filter_map(|p| self.durable.placements.get(&p));
        let sources = placements.flat_map(|p| {
            p.status.attempts.iter().filter(|a| a.container.is_some() && a.container_kept).map(|a| {
                LogSource {
                    node: p.node,
                    of: AttemptRef { placement: p.id, attempt: Some(a.number) },
                    attempt: a.clone(),
                }
            })
        });
        Ok((id, sources.collect()))
    }

    /// The attempt of a task that a process can be begun in.
    pub fn running_attempt(&self, text: &str, now: Now) -> Result<LogSource, Problem> {
        let (id, sources) = self.log_sources(text)?;
        if let Some(source) = sources.into_iter().rev().find(|s| s.attempt.state.may_run()) {
            return Ok(source);
        }
        let view =
            self.task_view(id, now).ok_or_else(|| Problem::new(Code::NoSuchTask, "the task is gone"))?;
        let mut problem = Problem::new(
            Code::NotRunning,
            format!("the task `{}` is not running: {}", view.name, view.state),
        );
        if !view.message.is_empty() {
            problem = problem.because(view.message);
        }
        Err(problem.hint(format!("orcactl task inspect {}", view.name)))
    }

    /// A node as lists show it.
    pub fn node_view(&self, id: NodeId, now: Now) -> Option<NodeView> {
        let node = self.member(id)?;
        let live = self.live.nodes.get(&id);
        let facts = &node.facts;
        let capacity = node.capacity();
        let (mut cpu, mut memory, mut disk, mut tasks) = (Cpu::ZERO, Bytes::ZERO, Bytes::ZERO, 0_u32);
        for placement in self.placements_on(id).filter(|p| !p.is_ended()) {
            cpu = cpu.saturating_add(placement.spec.cpu_reservation());
            memory = memory.saturating_add(placement.spec.memory_reservation());
            disk = disk.saturating_add(placement.spec.disk_reservation());
            tasks = tasks.saturating_add(1);
        }
        let load = live
            .and_then(|l| l.load.as_ref())
            .filter(|l| l.at.is_some_and(|at| now.wall.since(at) < LOAD_FRESH));
        let engine_disk = load.and_then(|l| l.machine.disks.iter().find(|d| d.role == "engine"));
        Some(NodeView {
            id,
            name: node.name.clone(),
            revision: node.revision,
            roles: node.roles.clone(),
            state: node.state,
            since: node.since,
            availability: node.availability,
            conditions: live.map(|l| l.conditions.iter().copied().collect()).unwrap_or_default(),
            cpu: CpuView {
                total: capacity.cpu,
                reserve: facts.reserve_cpu,
                reserved: cpu,
                used: load.map(|l| Cpu::from_millis((l.machine.cpu_average.max(0.0) * 1000.0) as u64)),
            },
            memory: MemoryView {
                total: capacity.memory,
                reserve: facts.reserve_memory,
                reserved: memory,
                used: load.map(|l| Bytes::new(l.machine.memory_used)),
            },
            disk: MemoryView {
                total: capacity.disk,
                reserve: facts.reserve_disk,
                reserved: disk,
                used: engine_disk.map(|d| Bytes::new(d.total.saturating_sub(d.free))),
            },
            tasks,
            version: facts.orcad.clone(),
            engine: facts.engine.clone(),
            address: node.address.clone(),
            clock_ahead_ms: live.map_or(0, |l| l.clock_ahead_ms),
            certificate_expires_at: node.certificate.as_ref().map(|c| c.expires_at),
        })
    }

    fn placements_on(&self, node: NodeId) -> impl Iterator<Item = &Arc<PlacementRecord>> {
        self.durable.by_node.get(&node).into_iter().flatten().filter_map(|p| self.durable.placements.get(p))
    }

    /// All nodes, by name.
    pub fn node_list(&self, now: Now) -> Vec<NodeView> {
        let by_name: BTreeMap<&Name, NodeId> = self.members().map(|n| (&n.name, n.id)).collect();
        by_name.values().filter_map(|id| self.node_view(*id, now)).collect()
    }

    /// A node with everything known of it.
    pub fn node_detail(&self, text: &str, now: Now) -> Result<NodeDetail, Problem> {
        let id = self.find_node(text)?;
        let gone = || Problem::new(Code::NoSuchNode, "the node is gone");
        let node = self.member(id).ok_or_else(gone)?;
        let facts = &node.facts;
        let mut tasks: Vec<TaskView> = self
            .placements_on(id)
            .filter(|p| !p.is_ended())
            .filter_map(|p| self.task_view(p.task, now))
            .collect();
        tasks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(NodeDetail {
            node: self.node_view(id, now).ok_or_else(gone)?,
            os: facts.os.clone(),
            arch: facts.arch.clone(),
            kernel: facts.kernel.clone(),
            distribution: facts.distribution.clone(),
            engine_api: facts.engine_api.clone(),
            cgroup: facts.cgroup,
            labels: node.labels.clone(),
            data_center: node.data_center.clone(),
            load: self.live.nodes.get(&id).and_then(|l| l.load.as_ref()).map(|l| l.as_ref().clone()),
            tasks_on_node: tasks,
            drain: node.drain.is_some().then(|| self.drain_view(id, now)),
            differs: node.differs(),
        })
    }

    /// What a task uses.
    pub fn task_stats(&self, text: &str) -> Result<TaskStats, Problem> {
        let id = self.find_task(text)?;
        self.stats_of(id).ok_or_else(|| Problem::new(Code::NoSuchTask, "the task is gone"))
    }

    /// What every task uses, by name.
    pub fn stats(&self) -> Vec<TaskStats> {
        self.durable.names.values().filter_map(|id| self.stats_of(*id)).collect()
    }

    fn stats_of(&self, id: TaskId) -> Option<TaskStats> {
        let task = self.durable.tasks.get(&id)?;
        let placement =
            task.placement.and_then(|p| self.durable.placements.get(&p)).filter(|p| p.state().may_run());
        let node = placement.and_then(|p| self.durable.nodes.get(&p.node));
        let load = node.and_then(|n| self.live.nodes.get(&n.id)).and_then(|l| l.load.as_ref());
        let attempt = placement.and_then(|p| p.status.attempts.last()).map(|a| a.number);
        Some(TaskStats {
            name: task.name.clone(),
            node: node.map(|n| n.name.clone()),
            at: load.and_then(|l| l.at),
            load: load
                .and_then(|l| l.tasks.iter().find(|t| t.task == id && Some(t.attempt) == attempt))
                .cloned(),
        })
    }

    /// The whole at a glance. What only the shell knows (since when it runs, its version, which node it is) is passed in.
    pub fn status(&self, here: NodeId, version: &str, started_at: Time, now: Now) -> Option<Status> {
        let node = self.durable.nodes.get(&here)?;
        let mut nodes: BTreeMap<NodeState, u32> = BTreeMap::new();
        for node in self.members() {
            *nodes.entry(node.state).or_default() += 1;
        }
        let views = self.task_list(now);
        let mut tasks: BTreeMap<Phase, u32> = BTreeMap::new();
        for view in &views {
            *tasks.entry(view.phase).or_default() += 1;
        }
        Some(Status {
            cluster: self.cluster()?,
            node: here,
            node_name: node.name.clone(),
            roles: node.roles.clone(),
            version: version.to_owned(),
            started_at,
            revision: self.revision(),
            nodes,
            tasks,
            attention: self.attention(&views, now),
            node_list: self.node_list(now),
            link: None,
        })
    }

    /// Milliseconds since a node's last sign of life; `None` where there was none in this life of the daemon.
    pub fn silent_ms(&self, node: NodeId, now: Now) -> Option<u64> {
        self.live.nodes.get(&node).map(|live| now.boot_ms.saturating_sub(live.seen))
    }

    /// For the unit's status line: nodes ready, nodes in all, tasks running.
    pub fn summary(&self) -> (usize, usize, usize) {
        let (mut ready, mut nodes) = (0, 0);
        for node in self.members() {
            nodes += 1;
            ready += usize::from(node.state == NodeState::Ready);
        }
        (ready, nodes, self.durable.running)
    }
}

/// `attempt 3 failed: exit code 1`
fn backoff_message(attempt: &AttemptStatus) -> String {
    let reason = attempt.reason.map_or_else(String::new, |r| format!(" ({r})"));
    let words = outcome(attempt);
    let words = if words.is_empty() { String::new() } else { format!(": {words}") };
    format!("attempt {} {}{reason}{words}", attempt.number, attempt.state)
}

/// While its node cannot be asked, the message says so: what is shown may be old.
fn with_stale_reason(mut view: TaskView, now: Now) -> TaskView {
    if let Some(since) = view.stale_since {
        let age = orca_api::units::Span::from_secs(now.wall.since(since).ms() / 1000);
        let words = format!("not confirmed for {age}: its node or the node's engine does not answer");
        view.message = if view.message.is_empty() { words } else { format!("{}; {words}", view.message) };
    }
    view
}
