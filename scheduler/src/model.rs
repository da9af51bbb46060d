//! What the scheduler is told: nodes, requests, held placements. Plain data, made by the caller.
//!
//! Everything a decision depends on is in here; there is no clock, no file, no socket, no chance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orca_api::id::{NodeId, PlacementId, TaskId};
use orca_api::name::Name;
use orca_api::node::{Availability, Condition, NodeState};
use orca_api::spec::{Algorithm, Constraint, Port};
use orca_api::units::{Bytes, Cpu};
use serde::{Deserialize, Serialize};

/// Amounts of the three counted resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// CPU, in thousandths of one CPU.
    pub cpu: Cpu,
    /// Memory, in bytes.
    pub memory: Bytes,
    /// Disk of the engine's data file system, in bytes.
    pub disk: Bytes,
}

impl Resources {
    /// None of anything.
    pub const ZERO: Self = Self { cpu: Cpu::ZERO, memory: Bytes::ZERO, disk: Bytes::ZERO };

    /// The sums.
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            disk: self.disk.saturating_add(other.disk),
        }
    }

    /// The differences, never below zero.
    pub const fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            disk: self.disk.saturating_sub(other.disk),
        }
    }

    /// Whether every one is at most the other's.
    pub fn within(self, other: Self) -> bool {
        self.cpu <= other.cpu && self.memory <= other.memory && self.disk <= other.disk
    }

    /// What the scores count for a task that reserves this: a task that reserves neither CPU nor
    /// memory weighs [`UNRESERVED`], so that equal tasks without reservations spread.
    pub fn weight(self) -> Self {
        if self.cpu == Cpu::ZERO && self.memory == Bytes::ZERO {
            Self { disk: self.disk, ..UNRESERVED }
        } else {
            self
        }
    }
}

/// The weight of a task that reserves nothing, in scores only: 0.1 CPU and 64 MiB.
pub const UNRESERVED: Resources =
    Resources { cpu: Cpu::from_millis(100), memory: Bytes::mib(64), disk: Bytes::ZERO };

/// What a node has in use besides what its tasks are held for, as moving averages over about 30 s.
///
/// A task counts with its reservation from the moment it is placed. What is measured comes on top, without the tasks' own
/// use as far as that is reserved: were the larger of the two to count, a machine that is busy with other things would
/// not grow dearer by new tasks until it is measured again, and would get all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// CPU in use by what is no task, and by tasks beyond their weight.
    pub cpu: Cpu,
    /// Memory in use, likewise: total without what is available.
    pub memory: Bytes,
    /// Disk in use on the engine's data file system, by whomever: here the larger of this and reservations counts, since
    /// what a task wrote cannot be told apart.
    pub disk: Bytes,
    /// Time lost waiting, from the kernel's pressure files.
    pub pressure: Pressure,
}

/// Time in which processes waited for a resource, in per mille of the last seconds (PSI).
///
/// For CPU the `some` line without what tasks wait at their own quota; for memory and io the `full` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// Waited for a CPU, 0–1000.
    pub cpu: u16,
    /// Waited for memory, 0–1000.
    pub memory: u16,
    /// Waited for io, 0–1000.
    pub io: u16,
}

/// A node, as far as decisions depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: Name,
    /// What the machine has.
    pub capacity: Resources,
    /// What is kept back for the system; tasks never get it.
    pub reserve: Resources,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its data centre; empty where none is given.
    pub data_center: String,
    /// Operating system, as the engine names it: `linux`.
    pub os: String,
    /// Processor, as the engine or the image names it: `x86_64` and `amd64` are one.
    pub arch: String,
    /// Kernel version.
    pub kernel: String,
    /// Engine version.
    pub engine: String,
    /// What an operator allows on it.
    pub availability: Availability,
    /// What it is to the cluster.
    pub state: NodeState,
    /// What is wrong with it.
    pub conditions: BTreeSet<Condition>,
    /// What it measured last.
    pub load: Load,
    /// Ids of images that exist on single nodes only and are here.
    pub images: BTreeSet<String>,
}

impl Node {
    /// A ready, active node without labels, load or reserve, on `linux`/`amd64`; callers set the rest.
    pub fn new(id: NodeId, name: Name, capacity: Resources) -> Self {
        Self {
            id,
            name,
            capacity,
            reserve: Resources::ZERO,
            labels: BTreeMap::new(),
            data_center: String::new(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            kernel: String::new(),
            engine: String::new(),
            availability: Availability::Active,
            state: NodeState::Ready,
            conditions: BTreeSet::new(),
            load: Load::default(),
            images: BTreeSet::new(),
        }
    }

    /// What tasks can have: capacity without the reserve.
    pub fn allocatable(&self) -> Resources {
        self.capacity.minus(self.reserve)
    }
}

/// Tasks that are copies of one another (a job's group): they keep away from each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group(Arc<str>);

impl Group {
    /// From what names it, for instance `shop.api`.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// What names it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Name> for Group {
    fn from(name: &Name) -> Self {
        Self::new(name.as_str())
    }
}

/// Operating system and processor that an image is made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// For instance `linux`.
    pub os: String,
    /// For instance `amd64`, `arm64`; other usual names are understood.
    pub arch: String,
}

/// Towards or away from nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preference {
    /// What is preferred.
    pub to: Target,
    /// From −100 (away from it) to 100 (to it). Fifty points halve or double the cost.
    pub weight: i8,
}

/// What a preference is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Nodes for which this is true.
    Constraint(#[serde(with = "constraint_text")] Constraint),
    /// One node.
    Node(NodeId),
    /// Nodes with tasks of this group.
    Group(Group),
}

/// Even (or weighted) spread of a group's tasks over the values of a label or attribute. Nodes whose value is
/// over its share come after the others, whatever they cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpreadOver {
    /// Label or attribute, such as `zone`. Nodes without it form one value of their own.
    pub key: String,
    /// Shares by value, in any unit; empty: every value that nodes have gets the same share.
    /// Where shares are given, a value that is not listed has none.
    pub shares: BTreeMap<String, u32>,
}

/// At most so many tasks of the group per value of a label or attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distinct {
    /// Label or attribute; `node.id` is "per host". Nodes without it do not pass.
    pub key: String,
    /// The most tasks of the group per value; at least 1.
    pub limit: u32,
}

/// One task that needs a node. [`Request::default`] asks for nothing at all and fits every usable node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The task, for the record; decisions do not depend on it.
    pub task: Option<TaskId>,
    /// What it reserves.
    pub resources: Resources,
    /// Ports it publishes on the node.
    pub ports: Vec<Port>,
    /// What the node must be; all of them.
    pub constraints: Vec<Constraint>,
    /// Data centres it may run in; empty: all.
    pub data_centers: Vec<String>,
    /// Platforms its image exists for; empty: not known, every node passes.
    pub platforms: Vec<Platform>,
    /// Id of an image that no registry has: only nodes with it pass.
    pub local_image: Option<String>,
    /// Nodes it must not run on.
    pub exclude: Vec<NodeId>,
    /// How the best node is chosen.
    pub algorithm: Algorithm,
    /// Its siblings.
    pub group: Option<Group>,
    /// Points of cost (see [`Preference::weight`]) for each sibling on a node; 50 doubles the cost.
    pub keep_away: KeepAway,
    /// Nodes on which this version of the task failed again and again: taken only when no other fits.
    pub avoid: Vec<NodeId>,
    /// Towards and away from nodes.
    pub preferences: Vec<Preference>,
    /// Spread of the group over values of a label.
    pub spread_over: Option<SpreadOver>,
    /// Limits of the group per value of a label.
    pub distinct: Vec<Distinct>,
    /// The most tasks of the group on one node.
    pub max_per_node: Option<u32>,
    /// Higher may push out lower where preemption is asked for.
    pub priority: u8,
}

/// Points that each sibling on a node costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAway(pub u8);

impl Default for KeepAway {
    /// Fifty points: every sibling doubles the node's cost.
    fn default() -> Self {
        Self(50)
    }
}

/// A placement that takes room on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The placement.
    pub placement: PlacementId,
    /// Its task.
    pub task: TaskId,
    /// Its node.
    pub node: NodeId,
    /// What it reserves.
    pub resources: Resources,
    /// The ports it publishes.
    pub ports: Vec<Port>,
    /// Its siblings.
    pub group: Option<Group>,
    /// Its priority.
    pub priority: u8,
}

mod constraint_text {
    //! A constraint as its text.
    use orca_api::spec::Constraint;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(constraint: &Constraint, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(constraint)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Constraint, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
