//! Requests and views of the control socket: what `orcactl` and every other client sends and gets.
//!
//! Requests are read strictly, views tolerantly. A view is a promise: fields are added, never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cluster::{DrainView, LinkView};
use crate::id::{ClusterId, NodeId, PlacementId, TaskId};
use crate::link::{AttemptStatus, Progress, PublishedPort};
use crate::load::{NodeLoad, TaskLoad};
use crate::name::Name;
use crate::node::{Availability, Condition, NodeState, Role};
use crate::spec::{Algorithm, TaskSpec};
use crate::task::{Phase, Reason, State, Wanted};
use crate::units::{Bytes, Cpu, Span, Time};

/// The most tasks of a cluster.
pub const TASKS_MAX: usize = 100_000;
/// The most objects in one answer to a list.
pub const LIST_MAX: usize = 10_000;
/// The longest a `GET` with `wait` is parked.
pub const WAIT_MAX: Span = Span::from_secs(60);

// ---------------------------------------------------------------------------------------------- requests

/// Start a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartTask {
    /// Its name; made from the image where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Name>,
    /// What to run.
    pub spec: TaskSpec,
    /// Where a task of this name runs with another spec: stop it and start this one in its place.
    #[serde(default)]
    pub replace: bool,
}

/// Stop a task. Its name stays taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopTask {
    /// Instead of the spec's grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "30s")]
    pub grace: Option<Span>,
}

/// Restart a task, or start a stopped one again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestartTask {}

/// Change a node's availability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAvailability {
    /// `active`, `paused` or `draining`.
    pub availability: Availability,
    /// Draining: what has not left after this is stopped all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub deadline: Option<Span>,
}

/// Explain a spec without starting it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainSpec {
    /// The spec.
    pub spec: TaskSpec,
}

/// Begin a process in a running task; the answer upgrades to `orca-stream/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecTask {
    /// The command.
    pub command: Vec<String>,
    /// With a terminal.
    #[serde(default)]
    pub tty: bool,
    /// With standard input.
    #[serde(default)]
    pub stdin: bool,
    /// As this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// In this folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// With these variables, besides the task's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// First size of the terminal: columns, rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u16, u16)>,
}

// ------------------------------------------------------------------------------------------------- views

/// A list, with the revision it was true at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List<T> {
    /// The objects.
    pub items: Vec<T>,
    /// The cluster's revision.
    pub revision: u64,
    /// Give it as `continue` to get the rest; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "continue")]
    pub next: Option<String>,
}

/// A task, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TaskId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// The revision of its last change.
    pub revision: u64,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// Its phase.
    pub phase: Phase,
    /// Its state.
    pub state: State,
    /// Why it is in this state.
    pub reason: Option<Reason>,
    /// Details in words.
    pub message: String,
    /// What to do about it; empty where there is nothing to do.
    pub hint: String,
    /// The name of its node.
    #[schema(value_type = Option<String>)]
    pub node: Option<Name>,
    /// The id of its node.
    #[schema(value_type = Option<String>)]
    pub node_id: Option<NodeId>,
    /// Its image, as written.
    pub image: String,
    /// New attempts after its own end.
    pub restarts: u32,
    /// Attempts made.
    pub attempts: u32,
    /// Exit code of the last attempt that ended.
    pub exit_code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<u8>,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Since when it is in this state.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// When the running process began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Time>,
    /// When the last process ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// When the next attempt begins.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<Time>,
    /// What the current step has come to.
    pub progress: Option<Progress>,
    /// Since when its node, or the node's engine, cannot be asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub stale_since: Option<Time>,
    /// Something a person should know.
    pub warning: Option<String>,
    /// The version of its spec.
    pub version: u32,
}

/// A task with everything known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetail {
    /// As in lists.
    #[serde(flatten)]
    pub task: TaskView,
    /// Its spec.
    pub spec: TaskSpec,
    /// The digest of its spec.
    pub spec_digest: String,
    /// Its placement.
    #[schema(value_type = Option<String>)]
    pub placement: Option<PlacementId>,
    /// Its last attempts, oldest first.
    pub history: Vec<AttemptStatus>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: NodeId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// The revision of its last change.
    pub revision: u64,
    /// What it does.
    pub roles: Vec<Role>,
    /// Its state.
    pub state: NodeState,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// What an operator allows.
    pub availability: Availability,
    /// What is wrong with it.
    pub conditions: Vec<Condition>,
    /// CPU: capacity, reserve, reserved and measured.
    pub cpu: CpuView,
    /// Memory.
    pub memory: MemoryView,
    /// Disk.
    pub disk: MemoryView,
    /// Tasks placed on it that have not ended.
    pub tasks: u32,
    /// Version of its orcad.
    pub version: String,
    /// Version of its engine.
    pub engine: String,
    /// The address that its connections come from; absent for the manager's own node and until it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How far its clock is ahead of the manager's, in milliseconds.
    #[serde(default)]
    pub clock_ahead_ms: i64,
    /// Until when its certificate is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub certificate_expires_at: Option<Time>,
}

/// CPU of a node, in CPUs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CpuView {
    /// CPUs of the machine.
    #[schema(value_type = f64)]
    pub total: Cpu,
    /// Kept for the system.
    #[schema(value_type = f64)]
    pub reserve: Cpu,
    /// Reserved by tasks.
    #[schema(value_type = f64)]
    pub reserved: Cpu,
    /// Busy, on average; absent until measured.
    #[schema(value_type = Option<f64>)]
    pub used: Option<Cpu>,
}

/// Memory or disk of a node, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryView {
    /// Of the machine.
    #[schema(value_type = u64)]
    pub total: Bytes,
    /// Kept for the system.
    #[schema(value_type = u64)]
    pub reserve: Bytes,
    /// Reserved by tasks.
    #[schema(value_type = u64)]
    pub reserved: Bytes,
    /// In use; absent until measured.
    #[schema(value_type = Option<u64>)]
    pub used: Option<Bytes>,
}

/// A node with everything known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeDetail {
    /// As in lists.
    #[serde(flatten)]
    pub node: NodeView,
    /// `linux`.
    pub os: String,
    /// `x86_64`, …
    pub arch: String,
    /// Kernel release.
    pub kernel: String,
    /// Distribution.
    pub distribution: String,
    /// The engine's API version that was agreed on.
    pub engine_api: String,
    /// cgroup version.
    pub cgroup: u32,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Data centre.
    pub data_center: String,
    /// The last measurements.
    pub load: Option<NodeLoad>,
    /// The tasks on it.
    pub tasks_on_node: Vec<TaskView>,
    /// While it is being drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainView>,
    /// Where what it reports of itself differs from what counts: `label rack: b, not a`.
    #[serde(default)]
    pub differs: Vec<String>,
}

/// Use of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskStats {
    /// The task's name.
    #[schema(value_type = String)]
    pub name: Name,
    /// The name of its node.
    #[schema(value_type = Option<String>)]
    pub node: Option<Name>,
    /// When it was measured.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Time>,
    /// What was measured; absent until the first sample.
    pub load: Option<TaskLoad>,
}

/// Why a task runs where it runs, or why it does not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// One sentence: `web runs on n1`, `web fits on no node`.
    pub verdict: String,
    /// Whether some node fits.
    pub fits: bool,
    /// How the best was picked.
    pub algorithm: Algorithm,
    /// For each node: what each filter said, and the score; examples only on large clusters.
    pub nodes: Vec<NodeVerdict>,
    /// How many nodes each filter refused.
    pub refused: Vec<RefusedCount>,
    /// The smallest changes that would make it fit.
    pub suggestions: Vec<String>,
    /// The task's own story: state, reason, since when, what comes next. Empty for a bare spec.
    pub story: Vec<String>,
}

/// What was said of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeVerdict {
    /// The node's name.
    #[schema(value_type = String)]
    pub node: Name,
    /// The node's id.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// Whether it fits.
    pub fits: bool,
    /// Whether the task is there.
    pub chosen: bool,
    /// What each filter said.
    pub filters: Vec<FilterVerdict>,
    /// The score, where it fits; smaller is better, in the algorithm's own unit.
    pub score: Option<i64>,
    /// What the score is made of.
    pub parts: Vec<ScorePart>,
}

/// What one filter said of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FilterVerdict {
    /// The filter: `memory`, `ports`, `state`, …
    pub filter: String,
    /// Whether the node passes.
    pub passes: bool,
    /// In words, with figures.
    pub text: String,
    /// What is needed, where it is an amount: `512 MiB`.
    pub needed: Option<String>,
    /// What is free.
    pub free: Option<String>,
    /// What is missing.
    pub short_by: Option<String>,
}

/// A part of a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScorePart {
    /// Its name: `cpu`, `memory`, `siblings`, …
    pub name: String,
    /// Its value.
    pub value: i64,
    /// In words.
    pub text: String,
}

/// How many nodes a filter refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedCount {
    /// The filter.
    pub filter: String,
    /// How many nodes.
    pub nodes: u32,
    /// One of them, in words.
    pub example: String,
}

/// The answer to a mutation of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskAnswer {
    /// The task after it.
    pub task: TaskView,
    /// Whether anything was changed.
    pub changed: bool,
    /// Where it does not fit: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

/// What happened, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// The revision of the change set that it belongs to.
    pub revision: u64,
    /// Its place among the events of that revision.
    pub index: u32,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The kind: `task.created`, `task.state`, `node.state`, `audit`, …
    pub kind: String,
    /// The task concerned.
    #[schema(value_type = Option<String>)]
    pub task: Option<TaskId>,
    /// Its name.
    #[schema(value_type = Option<String>)]
    pub task_name: Option<Name>,
    /// The node concerned.
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeId>,
    /// Its name.
    #[schema(value_type = Option<String>)]
    pub node_name: Option<Name>,
    /// The new state.
    pub state: Option<String>,
    /// Why.
    pub reason: Option<Reason>,
    /// In words.
    pub message: String,
    /// Who asked for it, where a person did: `uid 1000 (pid 4242)`.
    pub by: Option<String>,
    /// The request that caused it.
    pub request_id: Option<String>,
}

/// A line of a task's output (one JSON object a line).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum LogLine {
    /// The task wrote it.
    Line {
        /// When, by the engine's clock.
        #[schema(value_type = Option<String>, format = DateTime)]
        time: Option<Time>,
        /// `stdout` or `stderr`.
        stream: String,
        /// The attempt.
        attempt: u32,
        /// The text, without its newline; bytes that are no UTF-8 are replaced.
        text: String,
    },
    /// orca says something about the output: an attempt ended, lines are gone.
    Note {
        /// What.
        text: String,
    },
}

/// The whole at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The cluster.
    #[schema(value_type = String)]
    pub cluster: ClusterId,
    /// This node's id.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// This node's name.
    #[schema(value_type = String)]
    pub node_name: Name,
    /// What this node does.
    pub roles: Vec<Role>,
    /// Version of its orcad.
    pub version: String,
    /// Since when it runs.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// The cluster's revision.
    pub revision: u64,
    /// Nodes by state.
    pub nodes: BTreeMap<NodeState, u32>,
    /// Tasks by phase.
    pub tasks: BTreeMap<Phase, u32>,
    /// What needs a person's eye, most important first.
    pub attention: Vec<Attention>,
    /// The nodes; on a worker, this one alone.
    pub node_list: Vec<NodeView>,
    /// On a worker: its way to the manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkView>,
}

/// Something that needs a person's eye.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attention {
    /// What is wrong.
    pub text: String,
    /// What to type.
    pub hint: String,
}

/// Versions, for `orcactl version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Version of orcad.
    pub version: String,
    /// Version of the API: `v1`.
    pub api: String,
    /// Version of the link.
    pub link: u32,
}

/// What a node's roles are, and what was changed: answer to `manager start` and `worker start`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolesView {
    /// The roles now.
    pub roles: Vec<Role>,
    /// Whether anything was changed.
    pub changed: bool,
    /// In words.
    pub message: String,
}
