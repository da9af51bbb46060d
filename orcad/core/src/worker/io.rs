//! What goes into the worker core and what comes out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use orca_api::id::{ClusterId, LifeId, NodeId, PlacementId, TaskId};
use orca_api::link::{
    Assigned, Assignment, AttemptStatus, Generation, PlacementStatus, Progress, PublishedPort,
};
use orca_api::name::Name;
use orca_api::node::Condition;
use orca_api::spec::{HealthCheck, Pull, Signal, TaskSpec};
use orca_api::task::Reason;
use orca_api::units::{Bytes, Span, Time};
use serde::{Deserialize, Serialize};

/// An operation of this life of the process. Results of an older life are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The life.
    pub life: LifeId,
    /// Its number in it.
    pub n: u64,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The state was loaded; derive every effect anew.
    Started,
    /// The manager knows us.
    Welcomed {
        /// The cluster: containers of others are foreign.
        cluster: ClusterId,
        /// Our id.
        node: NodeId,
        /// Our name.
        name: Name,
    },
    /// A complete set of placements. The shell has fetched every spec that [`super::Worker::missing_specs`] named.
    Assigned {
        /// The set.
        assignment: Assignment,
        /// Bodies of specs, by digest.
        specs: BTreeMap<String, Arc<TaskSpec>>,
    },
    /// The manager answered a poll: its leases are good for as long again.
    Heard {
        /// When it was asked, in milliseconds of the boot clock: it heard us no earlier.
        asked_at: u64,
    },
    /// The manager took a report in.
    ReportAccepted {
        /// Placement and sequence of what was reported.
        accepted: Vec<(PlacementId, u64)>,
        /// Placements that it does not know.
        unknown: Vec<PlacementId>,
    },
    /// The engine's condition changed.
    Engine(EngineState),
    /// The engine's complete list of containers with our label: the truth, every 10 to 30 s and after each reconnect.
    Swept {
        /// They. Containers of other clusters are left out.
        containers: Vec<Container>,
    },
    /// The engine said that something happened to a container: only a hint, answered with [`Effect::Inspect`].
    Hint {
        /// The container's id.
        container: String,
    },
    /// Answer to [`Effect::Inspect`].
    Inspected {
        /// The container's id.
        container: String,
        /// What it is; `None` where the engine knows none of that id.
        seen: Option<Box<Container>>,
    },
    /// An operation came to its end.
    Done {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Done, Failure>,
    },
    /// The engine's part of an operation took so long; told before its result.
    Called {
        /// Which.
        op: OpId,
        /// How long.
        took: Span,
    },
    /// An operation got on.
    Progressed {
        /// Which.
        op: OpId,
        /// How far.
        progress: Progress,
    },
    /// What a check over the network came to: what of [`super::Worker::checks`] the shell has asked.
    Checked {
        /// The container's id.
        container: String,
        /// What that makes it.
        health: Health,
        /// What the check complains of, where it failed and that does not make it unhealthy yet.
        failing: Option<String>,
    },
    /// The kernel's count of processes that it killed for want of memory, since boot: once at first, then whenever it has
    /// changed, before whatever was received afterwards.
    OomKills {
        /// The count.
        total: u64,
    },
    /// Figures of the machine that outcomes depend on.
    Machine {
        /// Conditions that the shell sees: pressure, disk.
        conditions: Vec<Condition>,
        /// Peak memory by container, as sampled.
        peaks: BTreeMap<String, Bytes>,
    },
    /// The machine is going down: ends from now on are [`Reason::NodeReboot`].
    GoingDown,
    /// Nothing but time.
    Tick,
}

/// What the engine is at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// It answers.
    Up {
        /// Tells one process of the engine from the next: pid and start time.
        life: String,
        /// Whether containers live on while it restarts.
        live_restore: bool,
    },
    /// It accepts connections and does not answer.
    Unresponsive,
    /// It is not there.
    Away,
}

/// A container as the engine tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The labels that orca gave it; `None` where one is missing or not readable: such a container is foreign.
    pub labels: Option<Labels>,
    /// What it does.
    pub status: ContainerStatus,
    /// Its exit code, once it ended.
    pub exit_code: Option<i32>,
    /// The engine's flag.
    pub oom_killed: bool,
    /// What the engine says went wrong.
    pub error: String,
    /// When it was made.
    pub created_at: Option<Time>,
    /// When its process began.
    pub started_at: Option<Time>,
    /// When its process ended.
    pub finished_at: Option<Time>,
    /// The engine's word on its health check; `None` where it has none.
    pub health: Option<Health>,
    /// The image's id.
    pub image_id: String,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
    /// Process id of its first process on the node; 0 where none lives.
    pub pid: u32,
    /// Where its ports are reached from the node; `None` where nothing of it runs, or it has no network.
    pub address: Option<IpAddr>,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Made and never started (or its start failed).
    Created,
    /// Its process runs.
    Running,
    /// Frozen.
    Paused,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// The engine could not remove it.
    Dead,
}

/// What a health check came to: the engine's word, or that of orca's own check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not known yet.
    Starting,
    /// Good.
    Healthy,
    /// Bad, with what the check said.
    Unhealthy(String),
}

/// A container whose health is checked over the network, by the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckTarget {
    /// The container's id.
    pub container: String,
    /// Where its ports are reached; `None` where it has no network.
    pub address: Option<IpAddr>,
    /// What is asked, and how often.
    pub check: HealthCheck,
    /// When its process began.
    pub started_at: Option<Time>,
    /// It was never well yet.
    pub starting: bool,
}

/// What orca writes on its containers, and adopts them by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// `orca.cluster`
    pub cluster: ClusterId,
    /// `orca.task-id`
    pub task: TaskId,
    /// `orca.placement`
    pub placement: PlacementId,
    /// `orca.attempt`
    pub attempt: u32,
    /// `orca.spec`: the digest.
    pub spec: String,
}

/// How an operation went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The image is there.
    Pulled {
        /// Its id.
        image_id: String,
    },
    /// The container is made (or one of the same labels and name was found).
    Created {
        /// Its id.
        container: String,
        /// What the engine warned of.
        warnings: Vec<String>,
    },
    /// Its process began; what the engine tells about it now.
    Started {
        /// The container.
        seen: Box<Container>,
    },
    /// It ended, or had ended; what the engine tells about it now, `None` where it is gone.
    Stopped {
        /// The container.
        seen: Option<Box<Container>>,
    },
    /// It is gone.
    Removed,
}

/// How an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it means for the attempt.
    pub kind: FailureKind,
    /// The engine's or the registry's own words.
    pub message: String,
}

/// What a failed operation means. Retry or give up is decided where the cause is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The attempt is rejected for this reason.
    Rejected(Reason),
    /// The engine could not be asked, or did not answer in time: the outcome is not known, and the next sweep tells.
    Unknown,
    /// The container is not there (any more).
    NoSuchContainer,
    /// The image that was there is gone: pull again, once.
    ImageVanished,
    /// It cannot be killed: it keeps its place until it is gone.
    Unkillable,
}

/// What is to be done. Every effect is derivable from state, or harmless to lose.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Make sure that the image is there. At most three at once, one for each image: the shell queues.
    Pull {
        /// The operation.
        op: OpId,
        /// The image.
        image: String,
        /// Whether to ask the registry.
        pull: Pull,
    },
    /// Make a container. One of the same name with equal labels is the result of an earlier try: adopt it.
    Create {
        /// The operation.
        op: OpId,
        /// The container's name.
        name: String,
        /// Host name where the spec gives none: the task's name.
        hostname: String,
        /// Its labels.
        labels: Labels,
        /// The task's name, for logs.
        task_name: Name,
        /// What to run.
        spec: Arc<TaskSpec>,
    },
    /// Begin its process, unless it was begun before: an earlier try may have come through.
    Start {
        /// The operation.
        op: OpId,
        /// The container.
        container: String,
    },
    /// Signal, wait for the grace, kill, verify that it is gone.
    Stop {
        /// The operation.
        op: OpId,
        /// The container.
        container: String,
        /// The signal; the image's own where none is given.
        signal: Option<Signal>,
        /// The grace.
        grace: Span,
    },
    /// Remove a container that has ended (and its anonymous volumes).
    Remove {
        /// The operation.
        op: OpId,
        /// The container.
        container: String,
    },
    /// Ask the engine about one container.
    Inspect {
        /// The container.
        container: String,
    },
    /// Ask the engine for all containers with our label.
    Sweep,
    /// Tell the manager. Resent by the core until accepted.
    Report {
        /// The latest status of the placements that changed.
        placements: Vec<PlacementStatus>,
    },
}

/// What a step came to.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// What is to be committed; applied already. Empty for most events.
    pub changes: Vec<Change>,
    /// What is to be done once the changes are committed.
    pub effects: Vec<Effect>,
}

/// A row-sized fact: the only thing that alters the worker's durable state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    /// Who we are.
    IdentityPut {
        /// The cluster.
        cluster: ClusterId,
        /// Our id.
        node: NodeId,
        /// Our name.
        name: Name,
    },
    /// The generation that we hold.
    GenerationPut {
        /// It.
        generation: Generation,
    },
    /// A placement.
    PlacementPut {
        /// It.
        record: Arc<PlacementRecord>,
    },
    /// A placement and its attempts are forgotten.
    PlacementGone {
        /// Which.
        placement: PlacementId,
    },
    /// A spec's body.
    SpecPut {
        /// Its digest.
        digest: String,
        /// It.
        spec: Arc<TaskSpec>,
    },
    /// No placement needs this spec any more.
    SpecGone {
        /// Its digest.
        digest: String,
    },
}

/// A placement on this worker: what is wanted of it, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// Its id.
    pub id: PlacementId,
    /// What the manager wants; `None` once it is no longer in the set and only awaits removal.
    pub assigned: Option<Assigned>,
    /// The task's id, name and spec digest, also after it left the set.
    pub task: TaskId,
    /// The task's name.
    pub name: Name,
    /// Its spec's digest.
    pub spec: String,
    /// Its attempts, by number; the oldest are dropped.
    pub attempts: Vec<AttemptRecord>,
    /// Restarts, budget and back-off.
    pub counters: Counters,
    /// When the next attempt begins, by the wall clock.
    pub next_attempt_at: Option<Time>,
    /// No further attempt by itself.
    pub finished: bool,
    /// Rises with each change that the manager should hear of.
    pub sequence: u64,
    /// Of a singleton: when the manager was heard, at least. Stored, so that a restart of orcad makes no lease longer.
    #[serde(default)]
    pub heard: Option<Heard>,
    /// Of a singleton: its lease ended while it ran. It does not come back in this placement.
    #[serde(default)]
    pub lease_ended: bool,
}

/// An instant of a boot's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Which boot of the kernel.
    pub boot_id: String,
    /// Milliseconds of its clock.
    pub at: u64,
}

/// An attempt on this worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// What the manager hears of it.
    pub status: AttemptStatus,
    /// Name of its container.
    pub container_name: String,
    /// The kernel's boot in which it was taken up.
    pub boot_id: String,
    /// The engine's life in which its process began.
    #[serde(default)]
    pub engine_life: Option<String>,
    /// The image was pulled again after it had vanished: at most once.
    #[serde(default)]
    pub pulled_again: bool,
    /// We sent the stop: what it ends with is `stopped`.
    #[serde(default)]
    pub stop_sent: bool,
}

/// What the restart policy has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// New attempts after the task's own end.
    pub restarts: u32,
    /// Own ends since the last healthy stretch.
    pub budget_used: u32,
    /// Steps of the back-off: the next wait is 1 s × 2^steps, at most 5 min, ± 25 %.
    pub backoff: u32,
}
