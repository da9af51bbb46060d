//! From records to the scheduler's words, and placing a task.

use orca_api::id::{NodeId, PlacementId, TaskId};
use orca_api::task::Reason;
use orca_api::units::{Bytes, Cpu, Time};
use scheduler::{Held, Load, Node, Pressure, Request, Resources, Scheduler};

use super::record::{NodeRecord, PlacementRecord, TaskRecord};
use super::state::{LiveNode, Manager};
use super::turn::Turn;

/// A node in the scheduler's words.
pub(super) fn node(record: &NodeRecord, live: Option<&LiveNode>, scheduler: &Scheduler) -> Node {
    let facts = &record.facts;
    let capacity = record.capacity();
    let capacity = Resources { cpu: capacity.cpu, memory: capacity.memory, disk: capacity.disk };
    let mut node = Node::new(record.id, record.name.clone(), capacity);
    node.reserve =
        Resources { cpu: facts.reserve_cpu, memory: facts.reserve_memory, disk: facts.reserve_disk };
    node.labels.clone_from(&record.labels);
    node.data_center.clone_from(&record.data_center);
    node.os.clone_from(&facts.os);
    node.arch.clone_from(&facts.arch);
    node.kernel.clone_from(&facts.kernel);
    node.engine.clone_from(&facts.engine);
    node.availability = record.availability;
    node.state = record.state;
    if let Some(live) = live {
        node.conditions.clone_from(&live.conditions);
        if let Some(measured) = &live.load {
            node.load = load(measured, |p| scheduler.held(p).map(|h| h.resources.weight()));
        }
    }
    node
}

/// Measurements in the scheduler's words: averages, and pressure in per mille. Tasks' own use counts as far as it is
/// more than their weight, which the scheduler knows; `weight` gives that.
pub(super) fn load(
    measured: &orca_api::load::NodeLoad,
    weight: impl Fn(PlacementId) -> Option<Resources>,
) -> Load {
    let machine = &measured.machine;
    let mut cpu = machine.cpu_average.max(0.0);
    let mut memory = machine.memory_average;
    for task in &measured.tasks {
        let Some(weight) = weight(task.placement) else { continue };
        cpu -= task.cpu_average.clamp(0.0, weight.cpu.millis() as f64 / 1000.0);
        memory = memory.saturating_sub(task.memory.min(weight.memory.get()));
    }
    let mille = |percent: f64| (percent * 10.0).clamp(0.0, 1000.0) as u16;
    let pressure = machine.pressure.as_ref().map_or_else(Pressure::default, |p| Pressure {
        cpu: mille(p.cpu_some),
        memory: mille(p.memory_full),
        io: mille(p.io_full),
    });
    let disk =
        machine.disks.iter().find(|d| d.role == "engine").map_or(0, |d| d.total.saturating_sub(d.free));
    Load {
        cpu: Cpu::from_millis((cpu.max(0.0) * 1000.0) as u64),
        memory: Bytes::new(memory),
        disk: Bytes::new(disk),
        pressure,
    }
}

/// A placement in the scheduler's words.
pub(super) fn held(record: &PlacementRecord) -> Held {
    let room = record.room();
    Held {
        placement: record.id,
        task: record.task,
        node: record.node,
        resources: Resources { cpu: room.cpu, memory: room.memory, disk: room.disk },
        ports: room.ports,
        // One that is to take over on the same node is no sibling of the one that is there.
        group: if record.spare.is_none() { group_of(&record.name) } else { None },
        priority: 0,
    }
}

/// The siblings of a job's task: `shop.api.2` is one of `shop.api`. A task that stands alone has none.
fn group_of(name: &orca_api::name::Name) -> Option<scheduler::Group> {
    name.as_str().rsplit_once('.').map(|(group, _)| scheduler::Group::new(group))
}

fn resources(spec: &orca_api::spec::TaskSpec) -> Resources {
    Resources {
        cpu: spec.cpu_reservation(),
        memory: spec.memory_reservation(),
        disk: spec.disk_reservation(),
    }
}

impl Manager {
    /// A spec in the scheduler's words. It was checked: what cannot be read now was not accepted then.
    pub(super) fn request(&self, task: Option<TaskId>, spec: &orca_api::spec::TaskSpec) -> Request {
        let default = self.durable.cluster.as_ref().map(|c| c.algorithm).unwrap_or_default();
        Request {
            task,
            resources: resources(spec),
            ports: spec.ports.clone(),
            constraints: spec.constraints.iter().filter_map(|c| c.parse().ok()).collect(),
            data_centers: spec.data_centers.clone(),
            preferences: spec.preferences.iter().filter_map(|p| preference(p)).collect(),
            algorithm: spec.algorithm.unwrap_or(default),
            ..Request::default()
        }
    }

    /// A task in the scheduler's words, with the nodes that it failed on lately.
    pub(super) fn request_of(&self, task: &TaskRecord, now: Time) -> Request {
        let mut request = self.request(Some(task.id), &task.spec);
        request.avoid = task.avoided(now).map(|a| a.node).collect();
        self.wish_of_job(task, &mut request);
        request
    }

    /// What a task's job says of where it may be.
    fn wish_of_job(&self, task: &TaskRecord, request: &mut Request) {
        let Some(owner) = &task.owner else { return };
        let Some(job) = self.durable.jobs.get(&owner.job) else { return };
        request.priority = job.spec.priority;
        if let Some(node) = owner.node {
            request.constraints.extend(format!("node.id == {node}").parse::<orca_api::spec::Constraint>());
            return;
        }
        request.group = group_of(&task.name);
        let Some(group) = job.spec.groups.get(&owner.group) else { return };
        request.max_per_node = group.max_per_node;
        request.distinct = group
            .distinct
            .iter()
            .map(|rule| scheduler::Distinct { key: rule.key.clone(), limit: rule.limit })
            .collect();
        request.spread_over = group
            .spread
            .as_ref()
            .map(|rule| scheduler::SpreadOver { key: rule.over.clone(), shares: rule.shares.clone() });
    }
}

fn preference(text: &str) -> Option<scheduler::Preference> {
    let preference: orca_api::spec::Preference = text.parse().ok()?;
    Some(scheduler::Preference {
        to: scheduler::Target::Constraint(preference.of),
        weight: preference.weight,
    })
}

impl Turn<'_> {
    /// Finds a node for a task, or says why there is none. `before` is the node of its former placement: data that
    /// the task left in volumes is there, so it goes back where it fits.
    pub fn place(&mut self, id: TaskId, before: Option<NodeId>) {
        let Some(task) = self.m.durable.tasks.get(&id) else { return };
        let mut request = self.m.request_of(task, self.now.wall);
        if let Some(node) = before {
            request
                .preferences
                .push(scheduler::Preference { to: scheduler::Target::Node(node), weight: 100 });
        }
        match self.m.scheduler.place(&request) {
            Ok(choice) => self.bind(id, choice.node),
            Err(refusal) => {
                let why = self.m.with_names(&refusal.to_string());
                self.wait(id, Reason::NoFit, &why);
            }
        }
    }

    /// Room was made somewhere: whoever waits for it is tried again, in the order of their priority and their waiting.
    pub fn retry_blocked(&mut self) {
        let mut blocked: Vec<&TaskRecord> = self
            .m
            .durable
            .blocked
            .iter()
            .filter_map(|id| self.m.durable.tasks.get(id))
            .map(AsRef::as_ref)
            .collect();
        let priority = |t: &TaskRecord| {
            let job = t.owner.as_ref().and_then(|o| self.m.durable.jobs.get(&o.job));
            job.map_or(orca_api::job::PRIORITY_DEFAULT, |j| j.spec.priority)
        };
        blocked.sort_by_key(|t| (std::cmp::Reverse(priority(t)), t.waiting.as_ref().map(|w| w.since), t.id));
        let ids: Vec<TaskId> = blocked.into_iter().map(|t| t.id).collect();
        for id in ids {
            self.reconcile(id);
        }
        self.m.live.sweep_at = None;
    }
}
