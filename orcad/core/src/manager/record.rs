//! The manager's records: private to the cores and the store, never shown as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use orca_api::id::{CertificateId, ClusterId, JobId, NodeId, PlacementId, TaskId, TokenId};
use orca_api::join::CertRole;
use orca_api::link::{AttemptStatus, Generation, NodeFacts, PlacementStatus, PlacementWanted};
use orca_api::name::Name;
use orca_api::node::{Availability, NodeState, Role};
use orca_api::spec::{Algorithm, Port, RestartCondition, TaskSpec};
use orca_api::task::{Next as Where, Reason, State, Wanted};
use orca_api::units::{Bytes, Cpu, Span, Time};
use serde::{Deserialize, Serialize};

use super::io::Peer;

/// The cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// Its id.
    pub id: ClusterId,
    /// When it was made.
    pub created_at: Time,
    /// Rises with each restored backup and each new leader.
    pub epoch: u64,
    /// The last revision that was given.
    pub revision: u64,
    /// How tasks are placed that do not say.
    pub algorithm: Algorithm,
    /// Where round robin goes on: after this node.
    pub round_robin: Option<NodeId>,
    /// The first revision whose events are still there.
    pub events_from: u64,
    /// Events that were ever added.
    pub events_added: u64,
    /// A mark a day, oldest first: what old events are trimmed by.
    pub marks: Vec<EventMark>,
    /// Where this manager listens for nodes, `ADDRESS:PORT`; `None`: the port is closed.
    #[serde(default)]
    pub listen: Option<String>,
    /// Where managers can be reached, as an admin set it, `HOST:PORT`; empty: it is found out.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// What an admin set; `None`: the default.
    #[serde(default)]
    pub node_grace: Option<Span>,
    /// What an admin set; `None`: the default.
    #[serde(default)]
    pub agent_grace: Option<Span>,
    /// What an admin set; `None`: the default.
    #[serde(default)]
    pub certificate_ttl: Option<Span>,
    /// The CA is being replaced: nodes whose certificate is not of this CA are to renew it.
    #[serde(default)]
    pub rotation: Option<Rotation>,
    /// The digest of the CA of the last replacement that was heard of, in hexadecimal: without it nobody may take a
    /// replacement that this cluster has not begun for one that is over.
    #[serde(default)]
    pub rotated: Option<String>,
}

/// A replacement of the CA that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The digest of the new CA, in hexadecimal.
    pub ca: String,
    /// Since when.
    pub since: Time,
    /// Every node has a certificate of the new CA: the former one is trusted for certificates of people alone.
    #[serde(default)]
    pub nodes_done: bool,
}

/// A join token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// The digest of its secret.
    pub secret: String,
    /// What machines become with it.
    pub role: Role,
    /// Only for a machine of this name.
    pub node: Option<Name>,
    /// When it was made.
    pub created_at: Time,
    /// Until when it is good.
    pub expires_at: Time,
    /// How many machines may still join with it.
    pub uses_left: u32,
    /// It was revoked.
    #[serde(default)]
    pub revoked: bool,
    /// Who made it.
    pub by: Peer,
}

/// A certificate of a person or a program. One without a record is not let in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Its id, which is in it.
    pub id: CertificateId,
    /// Whose.
    pub name: Name,
    /// What it allows.
    pub role: CertRole,
    /// When it was made.
    pub created_at: Time,
    /// Until when it is good.
    pub expires_at: Time,
    /// Who asked for it.
    pub by: Peer,
    /// It was made before the CA's replacement that is under way: the former CA stays trusted for it.
    #[serde(default)]
    pub of_former_ca: bool,
}

/// Where the events of a day begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMark {
    /// When.
    pub at: Time,
    /// The revision at that time.
    pub revision: u64,
    /// Events added until then.
    pub added: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its id.
    pub id: NodeId,
    /// Its name, unique.
    pub name: Name,
    /// The revision of its last change.
    pub revision: u64,
    /// What it does.
    pub roles: Vec<Role>,
    /// Its state. One that has left stays for as long as its certificate may be good, so that it can be told so; it has
    /// no name any more (another may have it), and is in no list.
    pub state: NodeState,
    /// Since when.
    pub since: Time,
    /// What an operator allows.
    pub availability: Availability,
    /// What its worker last said of it.
    pub facts: NodeFacts,
    /// Labels that count for scheduling: those of its join, and what an operator set.
    pub labels: BTreeMap<String, String>,
    /// The number of its set.
    pub generation: Generation,
    /// The address that its connections come from, without a port; `None` for the manager's own node.
    #[serde(default)]
    pub address: Option<String>,
    /// Its data centre that counts: that of its join, and what an admin accepted.
    #[serde(default)]
    pub data_center: String,
    /// The capacity that counts at most: that of its join, and what an admin accepted. `None` until its first hello.
    #[serde(default)]
    pub approved: Option<Capacity>,
    /// Its certificate; `None` for the manager's own node.
    #[serde(default)]
    pub certificate: Option<NodeCertificate>,
    /// While it is being drained.
    #[serde(default)]
    pub drain: Option<Drain>,
    /// It wants to leave: it is forgotten once nothing is left on it.
    #[serde(default)]
    pub leaving: bool,
    /// The labels that it told of itself when it joined, or when an admin last accepted them: what it tells later is
    /// compared with them, and not with what an operator has set since.
    #[serde(default)]
    pub labels_told: BTreeMap<String, String>,
}

impl NodeRecord {
    /// Whether this is the node of the manager itself.
    pub fn is_manager(&self) -> bool {
        self.roles.contains(&Role::Manager)
    }

    /// Whether tasks may run on it at all.
    pub fn is_worker(&self) -> bool {
        self.roles.contains(&Role::Worker)
    }

    /// What it has for scheduling: what it tells, and no more than what was approved.
    pub fn capacity(&self) -> Capacity {
        let told = Capacity::of(&self.facts);
        self.approved.map_or(told, |most| Capacity {
            cpu: told.cpu.min(most.cpu),
            memory: told.memory.min(most.memory),
            disk: told.disk.min(most.disk),
        })
    }
}

/// What a node may have at most for scheduling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// CPUs.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
}

impl Capacity {
    /// What a node tells of itself.
    pub const fn of(facts: &NodeFacts) -> Self {
        Self { cpu: facts.cpu, memory: facts.memory, disk: facts.disk }
    }
}

/// What is known of a node's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCertificate {
    /// Until when it is good.
    pub expires_at: Time,
    /// The digest of the CA that signed it, in hexadecimal.
    pub ca: String,
}

/// A drain that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Since when.
    pub since: Time,
    /// What has not left by then is stopped all the same.
    pub deadline: Option<Time>,
    /// Nothing was left on it.
    #[serde(default)]
    pub drained: bool,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: Name,
    /// The revision of its last change.
    pub revision: u64,
    /// When it was made.
    pub created_at: Time,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// It is to be removed once its placement has ended.
    pub removing: bool,
    /// The version of its spec, from 1.
    pub version: u32,
    /// Its spec.
    pub spec: Arc<TaskSpec>,
    /// The digest of its spec.
    pub digest: String,
    /// Rises with each request to run it: a placement of an earlier run is stopped and replaced.
    pub run: u32,
    /// Its placement: the newest one, also after it ended.
    pub placement: Option<PlacementId>,
    /// The placement before that, kept for the logs of its last containers.
    pub retired: Option<PlacementId>,
    /// Attempts that earlier placements made.
    pub attempts_before: u32,
    /// Restarts that earlier placements made.
    pub restarts_before: u32,
    /// Last attempts of earlier placements, oldest first.
    pub history: Vec<AttemptStatus>,
    /// While it has no live placement and should have one: why.
    pub waiting: Option<Waiting>,
    /// The placement that takes over from `placement` once it is ready to: the task moves.
    #[serde(default)]
    pub next: Option<Next>,
    /// Nodes on which it failed lately, oldest first: taken only where no other fits.
    #[serde(default)]
    pub avoid: Vec<Avoided>,
    /// Why it last moved, in a few words.
    #[serde(default)]
    pub moved: Option<Moved>,
    /// Of which job it is.
    #[serde(default)]
    pub owner: Option<Owner>,
}

/// A task's place in its job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// The job.
    pub job: JobId,
    /// Its group; empty for the unnamed one.
    pub group: String,
    /// Its number in the group, from 1.
    pub number: u32,
    /// Of a job on every node: the node that it is for.
    #[serde(default)]
    pub node: Option<NodeId>,
}

/// What is held of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// CPUs.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
    /// Ports.
    #[serde(default)]
    pub ports: Vec<Port>,
}

impl Room {
    /// What a task asks for.
    pub fn of(spec: &TaskSpec) -> Self {
        Self {
            cpu: spec.cpu_reservation(),
            memory: spec.memory_reservation(),
            disk: spec.disk_reservation(),
            ports: spec.ports.clone(),
        }
    }

    /// What it is more than another.
    pub fn beyond(&self, other: &Self) -> Self {
        let more = |port: &&Port| !other.ports.iter().any(|p| p.clashes(port));
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            disk: self.disk.saturating_sub(other.disk),
            ports: self.ports.iter().filter(more).cloned().collect(),
        }
    }
}

/// A placement that is to take over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Next {
    /// The placement. It is wanted running where it may run beside the former one, and otherwise ready: made, and held
    /// until the former one has ended.
    pub placement: PlacementId,
    /// Why the task moves: what the former placement is stopped with.
    pub reason: Reason,
    /// In a few words.
    pub why: String,
    /// How long it must be healthy before it takes over, in milliseconds.
    #[serde(default)]
    pub healthy_ms: u64,
}

/// A node that a task failed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Avoided {
    /// The node.
    pub node: NodeId,
    /// When.
    pub at: Time,
    /// How, in a few words.
    pub why: String,
}

/// That a task was moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// From which node.
    pub from: NodeId,
    /// To which.
    pub to: NodeId,
    /// When.
    pub at: Time,
    /// Why, in a few words.
    pub why: String,
}

/// Why a task has no node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The reason.
    pub reason: Reason,
    /// In words.
    pub message: String,
    /// Since when.
    pub since: Time,
}

/// A task on a node at a version of its spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacementRecord {
    /// Its id.
    pub id: PlacementId,
    /// Its task.
    pub task: TaskId,
    /// Its task's name.
    pub name: Name,
    /// Its node.
    pub node: NodeId,
    /// The revision of its last change.
    pub revision: u64,
    /// When it was made.
    pub created_at: Time,
    /// The run of the task that it was made for.
    pub run: u32,
    /// The version of the spec.
    pub version: u32,
    /// The spec: it may be older than the task's.
    pub spec: Arc<TaskSpec>,
    /// The digest of the spec.
    pub digest: String,
    /// What is wanted of it.
    pub wanted: PlacementWanted,
    /// Why it is to be stopped, and since when.
    pub stop: Option<StopAsked>,
    /// Attempts that earlier placements made.
    pub attempts_before: u32,
    /// What earlier placements of this run have used of the restart budget.
    #[serde(default)]
    pub budget_used: u32,
    /// What its worker last said of it.
    pub status: PlacementStatus,
    /// When its state last changed.
    pub since: Time,
    /// The manager gave up on its node.
    pub lost: Option<Reason>,
    /// Until it takes over from the task's former placement on the same node, it holds no more than this: the rest is
    /// what that one gives back.
    #[serde(default)]
    pub spare: Option<Room>,
}

/// A stop that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopAsked {
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Time,
    /// Instead of the spec's grace.
    pub grace: Option<Span>,
    /// It was live then: whatever it ends with, it was stopped.
    pub live: bool,
}

impl PlacementRecord {
    /// What it holds of its node while it has not ended.
    pub fn room(&self) -> Room {
        self.spare.clone().unwrap_or_else(|| Room::of(&self.spec))
    }

    /// Its state: that of its newest attempt.
    pub fn state(&self) -> State {
        if self.lost.is_some() {
            return State::Lost;
        }
        match self.status.attempts.last() {
            None if self.status.finished => State::Stopped,
            None => State::Assigned,
            Some(attempt) => attempt.state,
        }
    }

    /// Whether nothing more comes of it: its resources are free.
    pub fn is_ended(&self) -> bool {
        if self.lost.is_some() {
            return true;
        }
        let over = self.status.attempts.last().is_none_or(|a| a.state.is_terminal());
        over && self.status.finished
    }

    /// Whether it was given up, or asked to make room: its end is not the end of its task.
    pub fn is_moved(&self) -> bool {
        let last = self.status.attempts.last();
        let elsewhere = |reason: Reason| reason.next() == Where::Elsewhere;
        self.lost.is_some()
            || self.stop.as_ref().is_some_and(|s| elsewhere(s.reason))
            || last.is_some_and(|a| a.state == State::Stopped && a.reason.is_some_and(elsewhere))
    }

    /// Whether its task is to run again after it, though nobody asked anew: it was moved, and what it came to meanwhile is
    /// not an end by its own policy.
    pub fn goes_on(&self) -> bool {
        if !self.is_moved() {
            return false;
        }
        if self.lost.is_some() {
            return true;
        }
        let Some(last) = self.status.attempts.last() else { return true };
        match self.spec.restart.condition {
            RestartCondition::Never => !matches!(last.state, State::Completed | State::Failed),
            RestartCondition::OnFailure => last.state != State::Completed,
            RestartCondition::Always => true,
        }
    }
}

/// An idempotency key that was used: what came of it, not its body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The key.
    pub key: String,
    /// Digest of route and body.
    pub digest: String,
    /// When.
    pub at: Time,
    /// The task that it was about.
    pub task: Option<TaskId>,
    /// The job that it was about.
    #[serde(default)]
    pub job: Option<JobId>,
    /// Whether it made that task, or that job.
    pub created: bool,
    /// Whether it changed anything.
    pub changed: bool,
}

/// A mutation that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When.
    pub at: Time,
    /// The revision that it made; 0 where it was refused or changed nothing.
    pub revision: u64,
    /// Who.
    pub peer: Peer,
    /// What: `task.start`.
    pub method: String,
    /// The object, as it was named.
    pub object: String,
    /// The request's id.
    pub request_id: String,
    /// `ok`, or the code of the refusal.
    pub outcome: String,
}
