//! Requests and views of the cluster as such: tokens, certificates of people, settings, drains, roles.
//!
//! Requests are read strictly, views tolerantly, as in [`crate::control`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Problem;
use crate::id::{CertificateId, ClusterId, NodeId, TaskId, TokenId};
use crate::join::CertRole;
use crate::name::Name;
use crate::node::Role;
use crate::spec::Algorithm;
use crate::units::{Span, Time};

// ---------------------------------------------------------------------------------------------- requests

/// Make a join token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What machines become with it: `worker` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// How long it is good: an hour where nothing is said, 30 days at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1h")]
    pub ttl: Option<Span>,
    /// How many machines may join with it: one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// Only for a machine of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node: Option<Name>,
    /// Where the managers can be reached, `HOST:PORT`; chosen where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

/// Set what counts for the cluster as a whole; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCluster {
    /// How tasks are placed that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Algorithm>,
    /// How long a node may be down before its tasks are placed elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node_grace: Option<Span>,
    /// How long a node's orcad may be away, on a machine that lives, before its tasks are placed elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub agent_grace: Option<Span>,
    /// How long certificates of nodes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub certificate_ttl: Option<Span>,
    /// Where managers can be reached, `HOST:PORT`, instead of what was found out; an empty list: found out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
}

/// Change the labels of a node that count for scheduling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLabels {
    /// Labels to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Labels to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Take over what the node itself reports: labels, data centre, capacity.
    #[serde(default)]
    pub accept: bool,
}

/// Make a certificate for a person or a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueCertificate {
    /// Whose: shown in the audit and in lists.
    #[schema(value_type = String)]
    pub name: Name,
    /// `admin` or `view`.
    pub role: CertRole,
    /// How long it is good: 90 days where nothing is said, a year at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ttl: Option<Span>,
    /// The request for it, PEM: the key stays with who asks. Only its public key counts.
    pub csr: String,
}

/// Make this node a worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartWorker {
    /// Of the cluster of this token; of its own cluster where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// Though its own cluster has tasks: they are stopped and forgotten.
    #[serde(default)]
    pub force: bool,
}

/// Make this node a manager.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartManager {
    /// Where to listen, `ADDRESS:PORT`; every address, port 7443, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Run no tasks here.
    #[serde(default)]
    pub no_worker: bool,
}

/// Take a role from this node, or leave its cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRole {
    /// Though tasks would be stranded.
    #[serde(default)]
    pub force: bool,
}

// ------------------------------------------------------------------------------------------------- views

/// A join token, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TokenId,
    /// What machines become with it.
    pub role: Role,
    /// Only for a machine of this name.
    #[schema(value_type = Option<String>)]
    pub node: Option<Name>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
    /// How many machines may still join with it.
    pub uses_left: u32,
    /// Who made it.
    pub by: String,
}

/// A token that was just made: the only time that its text is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenAnswer {
    /// As lists show it.
    #[serde(flatten)]
    pub token: TokenView,
    /// The text to paste.
    pub text: String,
    /// The addresses in it.
    pub addresses: Vec<String>,
    /// Why these addresses.
    pub why: String,
    /// The port was closed before and is open now.
    pub opened: bool,
}

/// A certificate of a person or a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CertificateId,
    /// Whose.
    #[schema(value_type = String)]
    pub name: Name,
    /// What it allows.
    pub role: CertRole,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
    /// Who asked for it.
    pub by: String,
}

/// A certificate that was just made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IssuedCertificate {
    /// As lists show it.
    #[serde(flatten)]
    pub view: CertificateView,
    /// It, PEM.
    pub certificate: String,
    /// The CAs to trust, PEM.
    pub ca: String,
    /// Where the managers listen.
    pub managers: Vec<String>,
}

/// The cluster as such.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClusterView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ClusterId,
    /// The revision.
    pub revision: u64,
    /// Rises with each restored backup.
    pub epoch: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// How tasks are placed that do not say.
    pub scheduler: Algorithm,
    /// See [`SetCluster::node_grace`].
    #[schema(value_type = String)]
    pub node_grace: Span,
    /// See [`SetCluster::agent_grace`].
    #[schema(value_type = String)]
    pub agent_grace: Span,
    /// See [`SetCluster::certificate_ttl`].
    #[schema(value_type = String)]
    pub certificate_ttl: Span,
    /// Where this manager listens; nothing: the port is closed.
    pub listen: Option<String>,
    /// Where managers can be reached.
    pub addresses: Vec<String>,
    /// The CA.
    pub ca: CaView,
}

/// The cluster's CA.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CaView {
    /// SHA-256 of its certificate, in hexadecimal.
    pub digest: String,
    /// Until when it is good.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
    /// While it is being replaced: how far that has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationView>,
}

/// How far the replacement of the CA has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RotationView {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// Nodes that have a certificate of the new one.
    pub renewed: u32,
    /// Nodes that are still to be renewed.
    #[schema(value_type = Vec<String>)]
    pub waiting: Vec<Name>,
    /// Names on certificates of people that are of the former one, which stays trusted for them, and once no node waits
    /// for them alone, until the last has expired or was revoked.
    #[schema(value_type = Vec<String>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<Name>,
}

/// What a node's drain does, or would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DrainView {
    /// Since when it is being drained; absent in a plan.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// When what has not left by then is stopped.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Time>,
    /// The tasks that are still on the node, in the order in which they leave.
    pub tasks: Vec<LeavingView>,
}

/// A task that is to leave a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeavingView {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// The node that it goes to; absent where it is blocked.
    #[schema(value_type = Option<String>)]
    pub to: Option<Name>,
    /// `start-first`, `stop-first`: whether its new placement runs before the old one stops.
    pub order: String,
    /// Where it has come to: `waits its turn`, `starting on n2`, `stopping`.
    pub step: String,
    /// Why it cannot leave; absent where it can.
    pub blocked: Option<String>,
}

/// How a worker's way to its manager is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkView {
    /// Where its managers listen.
    pub managers: Vec<String>,
    /// `connected`, `connecting`, `refused`.
    pub state: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// Why it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A node that was named in an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeGone {
    /// Its id.
    #[schema(value_type = String)]
    pub id: NodeId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// Names of the tasks that had to be placed elsewhere.
    #[schema(value_type = Vec<String>)]
    pub moved: Vec<Name>,
}
