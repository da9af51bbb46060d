//! What managers and workers say to each other over the link.
//!
//! On the first connection the worker asks: [`Hello`], [`Poll`] (parked: heartbeat and wake-up in one),
//! [`Report`]. On the second the worker serves and the manager asks: measurements, logs, exec.
//! An assignment is always the **complete** set for a node; one with an older generation is refused.
//! Messages are read tolerantly: unknown fields are ignored, missing ones have defaults.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, LifeId, NodeId, PlacementId, TaskId};
use crate::name::Name;
use crate::node::Condition;
use crate::spec::{Protocol, Restart, TaskSpec};
use crate::task::{Reason, State};
use crate::units::{Bytes, Cpu, Span, Time};

/// The version of these messages.
pub const LINK_VERSION: u32 = 1;

/// A node's assignment counter: the epoch rises with each restored backup or new leader, `n` with each set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// The manager's epoch.
    pub epoch: u64,
    /// The set's number in it.
    pub n: u64,
}

/// What a node is, as its worker sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFacts {
    /// Its host name, made a valid name; `None` where that is impossible.
    pub name: Option<Name>,
    /// CPUs.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Bytes,
    /// Size of the engine's data file system.
    pub disk: Bytes,
    /// CPU kept for the system.
    pub reserve_cpu: Cpu,
    /// Memory kept for the system.
    pub reserve_memory: Bytes,
    /// Disk kept for the system.
    pub reserve_disk: Bytes,
    /// `linux`.
    pub os: String,
    /// `x86_64`, `aarch64`.
    pub arch: String,
    /// Kernel release.
    pub kernel: String,
    /// Distribution, as /etc/os-release says.
    pub distribution: String,
    /// Version of the engine; empty while it is away.
    pub engine: String,
    /// API version of the engine that was agreed on.
    pub engine_api: String,
    /// cgroup version, 1 or 2.
    pub cgroup: u32,
    /// Version of orcad.
    pub orcad: String,
    /// Labels from its configuration.
    pub labels: BTreeMap<String, String>,
    /// Data centre from its configuration.
    pub data_center: String,
    /// The kernel's boot id.
    pub boot_id: String,
}

/// First message of a session: who the worker is, and its full inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`LINK_VERSION`] of the worker.
    pub version: u32,
    /// This life of its process.
    pub life: LifeId,
    /// What it is.
    pub facts: NodeFacts,
    /// The generation it holds.
    pub generation: Generation,
    /// Its clock.
    pub clock: Time,
    /// Every placement that it knows, with its attempts.
    pub inventory: Vec<PlacementStatus>,
}

/// Answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The agreed version.
    pub version: u32,
    /// The cluster: containers of others are foreign.
    pub cluster: ClusterId,
    /// The node's id.
    pub node: NodeId,
    /// The node's name in the cluster.
    pub name: Name,
    /// How long a poll is parked at most.
    pub period: Span,
    /// The manager's clock.
    pub clock: Time,
}

/// "I have generation g": parked until there is a newer one, or the period is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// This life of the worker's process.
    pub life: LifeId,
    /// The generation it holds.
    pub generation: Generation,
    /// What is wrong with the node at present.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Its clock.
    #[serde(default)]
    pub clock: Option<Time>,
}

/// Answer to [`Poll`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollAnswer {
    /// The new set; `None` where nothing changed.
    pub assignment: Option<Assignment>,
    /// How long the next poll is parked at most.
    pub period: Span,
    /// The node is to renew its certificate at once: its CA is being replaced.
    #[serde(default)]
    pub renew: bool,
    /// The manager's clock.
    #[serde(default)]
    pub clock: Option<Time>,
}

/// The complete set of placements that a node should have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Its number.
    pub generation: Generation,
    /// The placements, by id.
    pub placements: BTreeMap<PlacementId, Assigned>,
}

/// What is wanted of a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlacementWanted {
    /// Created and held.
    Ready,
    /// Running, restarted by its policy.
    Running,
    /// Ended; its last containers are kept for their logs.
    Stopped,
}

/// One placement of an assignment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assigned {
    /// The task.
    pub task: TaskId,
    /// The task's name, for container names and labels.
    pub name: Name,
    /// Digest of its spec; the body travels once, by itself.
    pub spec: String,
    /// What is wanted of it.
    pub wanted: PlacementWanted,
    /// Why it is to be stopped.
    #[serde(default)]
    pub stop_reason: Option<Reason>,
    /// Instead of the spec's grace, for that stop.
    #[serde(default)]
    pub stop_grace: Option<Span>,
    /// Its restart policy.
    pub restart: Restart,
    /// Attempts that earlier placements of the task made: numbers go on from here.
    #[serde(default)]
    pub attempts_before: u32,
    /// What earlier placements of its run have used of the restart budget.
    #[serde(default)]
    pub budget_used: u32,
}

/// A spec's body, asked for by its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpecBody {
    /// The spec.
    pub spec: TaskSpec,
}

/// The latest status of placements; resent until accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// This life of the worker's process.
    pub life: LifeId,
    /// One for each placement that changed.
    pub placements: Vec<PlacementStatus>,
}

/// Answer to [`Report`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportAnswer {
    /// Placements that the manager does not know, or gave up on: stop and remove them.
    pub unknown: Vec<PlacementId>,
}

/// What a worker says of a placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacementStatus {
    /// The placement.
    pub placement: PlacementId,
    /// Its task.
    pub task: TaskId,
    /// Rises with each change on the worker; the manager keeps the largest.
    pub sequence: u64,
    /// Its last attempts, at most [`ATTEMPTS_KEPT`], by number.
    pub attempts: Vec<AttemptStatus>,
    /// New attempts after the task's own end, in this placement.
    #[serde(default)]
    pub restarts: u32,
    /// Own ends since the last healthy stretch: what the restart budget has used.
    #[serde(default)]
    pub budget_used: u32,
    /// Between attempts: when the next one begins.
    #[serde(default)]
    pub next_attempt_at: Option<Time>,
    /// The worker makes no further attempt by itself.
    #[serde(default)]
    pub finished: bool,
    /// What the current step has come to: `pulling 12 of 48 MiB`.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Something that does not end the attempt but that a person should know.
    #[serde(default)]
    pub warning: Option<String>,
}

/// Attempt records kept for each task.
pub const ATTEMPTS_KEPT: usize = 5;
/// Dead containers kept for each task, for their logs.
pub const DEAD_CONTAINERS_KEPT: usize = 2;

/// Progress of a pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// The step: `pulling`, `waiting for a pull slot`, `creating`, `starting`, …
    pub step: String,
    /// Bytes done.
    #[serde(default)]
    pub done: u64,
    /// Bytes in all; 0 while unknown.
    #[serde(default)]
    pub total: u64,
}

/// What a worker says of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptStatus {
    /// Its number, from 1, over all placements of its task.
    pub number: u32,
    /// Its state; only rises.
    pub state: State,
    /// Why it is in this state; `None` while it goes well.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// Details in words: the engine's or the registry's own.
    #[serde(default)]
    pub message: String,
    /// Exit code, once it ended.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default)]
    pub signal: Option<u8>,
    /// Its container, once created.
    #[serde(default)]
    pub container: Option<String>,
    /// Whether its container still exists.
    #[serde(default)]
    pub container_kept: bool,
    /// The image's id that was used.
    #[serde(default)]
    pub image_id: Option<String>,
    /// When the worker took it up.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// When its process began, by the engine's clock.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Time>,
    /// When its process ended, by the engine's clock.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// Published ports, once known.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
    /// Milliseconds from taking it up to running, without the calls of the engine: what the worker itself needed.
    #[serde(default)]
    pub own_ms: Option<u64>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PublishedPort {
    /// Address on the node.
    pub address: String,
    /// Port on the node.
    pub host: u16,
    /// Port of the container.
    pub container: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// A worker's last words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goodbye {
    /// This life of the worker's process.
    pub life: LifeId,
    /// Why: `restart`, `shutdown`, `upgrade`.
    pub reason: String,
    /// When it expects to be back.
    #[serde(default)]
    pub back_in: Option<Span>,
}

/// Which container a manager asks a worker about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRef {
    /// The placement.
    pub placement: PlacementId,
    /// The attempt; the newest where none is given.
    #[serde(default)]
    pub attempt: Option<u32>,
}
