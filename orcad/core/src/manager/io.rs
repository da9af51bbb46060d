//! What goes into the manager core and what comes out.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::cluster::{CertificateView, CreateToken, NodeGone, SetCluster, SetLabels, TokenView};
use orca_api::control::{EventView, NodeView, SetAvailability, StartTask, StopTask, TaskAnswer};
use orca_api::error::Problem;
use orca_api::id::{CertificateId, ClusterId, JobId, LifeId, NodeId, PlacementId, TaskId, TokenId};
use orca_api::job::view::JobAnswer;
use orca_api::join::{CertRole, Secret};
use orca_api::link::{Generation, Goodbye, Hello, NodeFacts, PlacementStatus, ReportAnswer, Welcome};
use orca_api::load::NodeLoad;
use orca_api::name::Name;
use orca_api::node::Condition;
use orca_api::units::{Span, Time};
use serde::{Deserialize, Serialize};

use super::jobs::JobRequest;
use super::jobs::record::JobRecord;
use super::record::{
    AuditRecord, CertificateRecord, ClusterRecord, NodeRecord, PlacementRecord, RequestRecord, TaskRecord,
    TokenRecord,
};

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
    /// Somebody with a certificate, over the network.
    Cert {
        /// What the certificate allows.
        role: CertRole,
        /// The node's id, or that of the certificate of a person.
        id: String,
        /// The address that the connection comes from.
        address: String,
    },
    /// A machine without a certificate, over the network: it asks to join.
    Network {
        /// The address that the connection comes from.
        address: String,
    },
    /// The daemon itself.
    Local,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { uid, pid: Some(pid) } => write!(f, "uid {uid} (pid {pid})"),
            Self::Unix { uid, pid: None } => write!(f, "uid {uid}"),
            Self::Cert { role, id, address } => write!(f, "{role} {id} ({address})"),
            Self::Network { address } => write!(f, "a machine at {address}"),
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
    /// Change the labels of a node.
    SetLabels {
        /// Which.
        node: String,
        /// How.
        set: SetLabels,
    },
    /// A node is down for certain: its tasks are placed elsewhere, whatever brake or lease there is.
    ConfirmDown {
        /// Which.
        node: String,
    },
    /// Remove a node from the cluster.
    RemoveNode {
        /// Which.
        node: String,
        /// Though it has tasks, or answers still.
        force: bool,
    },
    /// Make a join token.
    CreateToken(CreateToken),
    /// Revoke a join token, named by the beginning of its id.
    RevokeToken {
        /// Which.
        token: String,
    },
    /// Set what counts for the cluster as a whole.
    SetCluster(SetCluster),
    /// Listen for nodes at this address, `ADDRESS:PORT`; `None` closes the port.
    Listen {
        /// Where.
        address: Option<String>,
        /// Though nodes would be stranded.
        force: bool,
    },
    /// Record a certificate of a person or a program; the shell signs it once this is committed.
    IssueCertificate {
        /// Whose.
        name: Name,
        /// What it allows: `admin` or `view`.
        role: CertRole,
        /// How long it is good.
        ttl: Option<Span>,
    },
    /// Revoke a certificate of a person or a program, named by name or by the beginning of its id.
    RevokeCertificate {
        /// Which.
        certificate: String,
    },
    /// Something about a job.
    Job(Box<JobRequest>),
    /// The CA was replaced: every node is to renew its certificate. (The shell made the new CA before it asked.)
    RotateCa {
        /// The digest of the new CA, in hexadecimal.
        ca: String,
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
            Self::SetLabels { .. } => "node.labels",
            Self::ConfirmDown { .. } => "node.confirm-down",
            Self::RemoveNode { .. } => "node.remove",
            Self::CreateToken(_) => "token.create",
            Self::RevokeToken { .. } => "token.revoke",
            Self::SetCluster(_) => "cluster.set",
            Self::Listen { .. } => "manager.listen",
            Self::IssueCertificate { .. } => "certificate.issue",
            Self::RevokeCertificate { .. } => "certificate.revoke",
            Self::RotateCa { .. } => "ca.rotate",
            Self::Job(job) => job.method(),
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
    /// A machine asks to become a node, with the secret of a token. Nothing but the secret is known of it.
    JoinAsked {
        /// Who waits for the answer.
        token: Token,
        /// The address that it asks from.
        address: String,
        /// What it says; its request for a certificate is the shell's business.
        join: Box<JoinAsked>,
    },
    /// A node got a new certificate.
    Certified {
        /// Which.
        node: NodeId,
        /// Until when it is good.
        expires_at: Time,
        /// The digest of the CA that signed it, in hexadecimal.
        ca: String,
    },
    /// The node itself wants to leave the cluster: it is drained, and then forgotten.
    LeaveAsked {
        /// Who waits for the answer.
        token: Token,
        /// Which.
        node: NodeId,
    },
    /// The connection broke, or was closed, on which a life of a node's worker had said hello and been welcomed: a
    /// hint to look after it at once. (One that was refused says nothing of the life that is heard.)
    Dropped {
        /// Which.
        node: NodeId,
        /// The life that was welcomed on that connection.
        life: LifeId,
    },
    /// What a probe of a node's address found.
    Probed {
        /// Which.
        node: NodeId,
        /// The number of the probe; an older one is ignored.
        probe: u64,
        /// What answered.
        found: Found,
    },
    /// A worker introduces itself.
    Hello {
        /// Who waits for the answer.
        token: Token,
        /// The node, known from the connection.
        node: NodeId,
        /// The address that the connection comes from; `None` for the manager's own node.
        address: Option<String>,
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
        /// Its clock; `None` where it does not say.
        clock: Option<Time>,
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

/// What a machine says that asks to become a node.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinAsked {
    /// The version of the link that it speaks.
    pub version: u32,
    /// The digest of the token's secret ([`orca_api::join::Secret::digest`]).
    pub secret: String,
    /// What it is, and the name that it would like.
    pub facts: NodeFacts,
    /// Its clock.
    pub clock: Time,
}

/// What answered at a node's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// The machine: it accepted or refused a connection.
    Machine,
    /// Nothing: the probe timed out, or there is no way to the address.
    Silence,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A task was made.
    Created(Box<TaskAnswer>),
    /// A task after a mutation.
    Task(Box<TaskAnswer>),
    /// A job after a mutation.
    Job {
        /// It.
        answer: Box<JobAnswer>,
        /// Whether it was made.
        created: bool,
    },
    /// A node after a mutation.
    Node(Box<NodeView>),
    /// A node that was removed.
    NodeGone(NodeGone),
    /// A token that was made; its text is the shell's to write.
    TokenMade {
        /// It.
        view: TokenView,
        /// Its secret.
        secret: Secret,
    },
    /// A token that was revoked.
    Token(TokenView),
    /// A certificate that is to be signed, or was revoked.
    Certificate(CertificateView),
    /// Settings, the port or the CA changed; how it is now is read.
    Done {
        /// Whether anything was changed.
        changed: bool,
    },
    /// To a machine that asked to join: its certificate is to be signed.
    Joined {
        /// Its node id.
        node: NodeId,
        /// Its name.
        name: Name,
        /// The cluster.
        cluster: ClusterId,
        /// Something that a person should know.
        warning: Option<String>,
    },
    /// To a node that wants to leave: whether it is forgotten by now; it asks again until it is.
    Leaving {
        /// Tasks that are still on it.
        tasks: u32,
    },
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
    /// Try to connect to a node's address (bare TCP, to the port its daemon would never need: any answer counts), and
    /// step [`Event::Probed`]. Harmless to lose: it is asked for again.
    Probe {
        /// Which.
        node: NodeId,
        /// Its address, without a port.
        address: String,
        /// The number of the probe.
        probe: u64,
    },
    /// Close every connection under this node's certificate: it was removed.
    CutNode {
        /// Which.
        node: NodeId,
    },
    /// Close every connection under this certificate of a person: it was revoked.
    CutCertificate {
        /// Which.
        certificate: CertificateId,
    },
    /// Open, move or close the port of the link as [`super::Manager::listen`] says.
    Listen,
    /// Wake those who wait for these objects, and give the events to those who follow.
    Publish {
        /// The revision.
        revision: u64,
        /// Tasks that changed.
        tasks: BTreeSet<TaskId>,
        /// Jobs that changed, or a task of which did.
        jobs: BTreeSet<JobId>,
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
    /// A job.
    JobPut {
        /// It.
        record: Arc<JobRecord>,
    },
    /// A job is removed; its name is free.
    JobGone {
        /// Which.
        job: JobId,
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
    /// A join token.
    TokenPut {
        /// It.
        record: Arc<TokenRecord>,
    },
    /// A join token is spent or revoked.
    TokenGone {
        /// Which.
        token: TokenId,
    },
    /// A certificate of a person or a program.
    CertificatePut {
        /// It.
        record: Arc<CertificateRecord>,
    },
    /// A certificate of a person or a program has expired or was revoked: it is not let in any more.
    CertificateGone {
        /// Which.
        certificate: CertificateId,
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
