//! What goes into the manager core and what comes out.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::control::{EventView, NodeView, SetAvailability, StartTask, StopTask, TaskAnswer};
use orca_api::error::Problem;
use orca_api::id::{LifeId, NodeId, PlacementId, TaskId};
use orca_api::link::{Generation, Goodbye, Hello, PlacementStatus, ReportAnswer, Welcome};
use orca_api::load::NodeLoad;
use orca_api::node::Condition;
use orca_api::units::Time;
use serde::{Deserialize, Serialize};

use super::record::{AuditRecord, ClusterRecord, NodeRecord, PlacementRecord, RequestRecord, TaskRecord};

/// Who waits for an answer; the shell's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Who asks, made from the connection and never from a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Peer {
    /// A process on this machine, over the control socket.
    Unix {
        /// Its user.
        uid: u32,
        /// Its process; `None` where the kernel does not tell.
        pid: Option<i32>,
    },
    /// The daemon itself.
    Local,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { uid, pid: Some(pid) } => write!(f, "uid {uid} (pid {pid})"),
            Self::Unix { uid, pid: None } => write!(f, "uid {uid}"),
            Self::Local => f.write_str("orcad"),
        }
    }
}

/// What a client asks for. Objects are named by name, or by the beginning of an id.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Start a task.
    Start(Box<StartTask>),
    /// Stop a task.
    Stop {
        /// Which.
        task: String,
        /// How.
        how: StopTask,
    },
    /// Restart a task, or start a stopped one again.
    Restart {
        /// Which.
        task: String,
    },
    /// Remove a task.
    Remove {
        /// Which.
        task: String,
        /// Stop it first.
        force: bool,
    },
    /// Allow or forbid new work on a node.
    SetAvailability {
        /// Which.
        node: String,
        /// What is allowed.
        set: SetAvailability,
    },
}

impl Request {
    /// Its name in the audit.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Start(_) => "task.start",
            Self::Stop { .. } => "task.stop",
            Self::Restart { .. } => "task.restart",
            Self::Remove { .. } => "task.remove",
            Self::SetAvailability { .. } => "node.availability",
        }
    }
}

/// A request with everything that belongs to it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who waits for the answer.
    pub token: Token,
    /// Who asks.
    pub peer: Peer,
    /// The request's id, for the audit: the client's `X-Request-Id` or one of the shell's.
    pub request_id: String,
    /// The client's `Idempotency-Key`, with the digest of route and body.
    pub key: Option<(String, String)>,
    /// `If-Match`: only if the object still has this revision.
    pub if_match: Option<u64>,
    /// What is asked.
    pub request: Request,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The state was loaded; derive every effect anew. Every node gets a full grace.
    Started,
    /// A client asks.
    Asked(Box<Asked>),
    /// A worker introduces itself.
    Hello {
        /// Who waits for the answer.
        token: Token,
        /// The node, known from the connection.
        node: NodeId,
        /// What it says.
        hello: Box<Hello>,
    },
    /// A worker polls: it lives.
    Polled {
        /// The node.
        node: NodeId,
        /// The life that said hello.
        life: LifeId,
        /// What it holds.
        generation: Generation,
        /// What is wrong with it.
        conditions: Vec<Condition>,
    },
    /// A worker reports.
    Reported {
        /// Who waits for the answer.
        token: Token,
        /// The node.
        node: NodeId,
        /// The life that said hello.
        life: LifeId,
        /// The latest status of placements.
        placements: Vec<PlacementStatus>,
    },
    /// A worker says goodbye.
    Goodbye {
        /// The node.
        node: NodeId,
        /// What it says.
        goodbye: Goodbye,
    },
    /// Measurements were polled.
    Measured {
        /// The node.
        node: NodeId,
        /// They.
        load: Box<NodeLoad>,
    },
    /// The state folder's disk is short of space, or is not any more.
    Space {
        /// Creates are refused while it is.
        scarce: bool,
    },
    /// Nothing but time.
    Tick,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A task was made.
    Created(Box<TaskAnswer>),
    /// A task after a mutation.
    Task(Box<TaskAnswer>),
    /// A node after a mutation.
    Node(Box<NodeView>),
    /// To a worker's hello.
    Welcome(Welcome),
    /// To a worker's report.
    Report(ReportAnswer),
}

/// What is to be done once the changes are committed.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answer a request.
    Reply {
        /// Who waits.
        token: Token,
        /// With what.
        answer: Result<Answer, Problem>,
    },
    /// Answer the node's parked poll: its assignment changed.
    NotifyNode {
        /// The node.
        node: NodeId,
    },
    /// Wake those who wait for these objects, and give the events to those who follow.
    Publish {
        /// The revision.
        revision: u64,
        /// Tasks that changed.
        tasks: BTreeSet<TaskId>,
        /// Nodes that changed.
        nodes: BTreeSet<NodeId>,
        /// What happened.
        events: Vec<EventView>,
    },
}

/// A row-sized fact: the only thing that alters durable state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    /// The cluster's own record.
    ClusterPut {
        /// It.
        record: Arc<ClusterRecord>,
    },
    /// A node.
    NodePut {
        /// It.
        record: Arc<NodeRecord>,
    },
    /// A node is forgotten.
    NodeGone {
        /// Which.
        node: NodeId,
    },
    /// A task.
    TaskPut {
        /// It.
        record: Arc<TaskRecord>,
    },
    /// A task is removed; its name is free.
    TaskGone {
        /// Which.
        task: TaskId,
    },
    /// A placement.
    PlacementPut {
        /// It.
        record: Arc<PlacementRecord>,
    },
    /// A placement is forgotten.
    PlacementGone {
        /// Which.
        placement: PlacementId,
    },
    /// An idempotency key was used.
    RequestPut {
        /// It.
        record: Arc<RequestRecord>,
    },
    /// An idempotency key is free again.
    RequestGone {
        /// Which.
        key: String,
    },
    /// History: something happened. Append-only, read by SQL alone.
    EventAdded {
        /// What.
        event: EventView,
    },
    /// History: old events and audit records are deleted.
    EventsTrimmed {
        /// The first revision whose events stay.
        before: u64,
        /// Audit records from before this instant are deleted as well.
        audited_before: Time,
    },
    /// History: a mutation was asked for.
    Audited {
        /// By whom, and what came of it.
        record: AuditRecord,
    },
}

/// What one step gave.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The revision of the changes; 0 where there are none.
    pub revision: u64,
    /// To be committed together. They are already applied in memory.
    pub changes: Vec<Change>,
    /// To be released after the commit.
    pub effects: Vec<Effect>,
}
