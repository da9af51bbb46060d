//! Made-up clusters and tasks with the shapes of the published traces.

use std::collections::BTreeMap;

use orca_api::id::{NodeId, PlacementId, SeededIds, TaskId};
use orca_api::units::{Bytes, Cpu};
use scheduler::{Group, Held, Node, Request, Resources, Scheduler};

/// Random values from a seed.
pub struct Dice(pub SeededIds);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(SeededIds(seed))
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n.max(1)
    }
    /// From 0 to 1.
    fn part(&mut self) -> f64 {
        self.below(1 << 32) as f64 / (1u64 << 32) as f64
    }
    /// Bounded Pareto with exponent 1: most are near `low`, a few near `high`.
    fn heavy_tailed(&mut self, low: f64, high: f64) -> f64 {
        low / (1.0 - self.part() * (1.0 - low / high))
    }
}

/// A task to place.
#[derive(Clone)]
pub struct Task {
    /// Thousandths of a CPU.
    pub cpu: i64,
    /// MiB.
    pub memory_mib: i64,
    /// Its service, if it is one of several copies.
    pub group: Option<Group>,
}

impl Task {
    /// A quarter of a node of 16 CPUs.
    pub fn big() -> Self {
        Self { cpu: 4000, memory_mib: 16_384, group: None }
    }

    fn resources(&self) -> Resources {
        Resources {
            cpu: Cpu::from_millis(self.cpu as u64),
            memory: Bytes::mib(self.memory_mib as u64),
            disk: Bytes::ZERO,
        }
    }

    pub fn request(&self) -> Request {
        Request { resources: self.resources(), group: self.group.clone(), ..Request::default() }
    }
}

/// Services (3 to 60 copies), single tasks and batch bursts (20 to 200 small tasks), without end.
pub fn arrivals(seed: u64) -> impl Iterator<Item = Task> {
    let mut dice = Dice::new(seed ^ 0xa11);
    (0..20_000u64).flat_map(move |job| {
        let (copies, high) = match dice.below(10) {
            0..=2 => (3 + dice.below(58), 4000.0),
            3 => (20 + dice.below(181), 500.0),
            _ => (1, 8000.0),
        };
        let cpu = dice.heavy_tailed(50.0, high);
        // memory follows CPU loosely: 0.5 to 16 GiB for each CPU
        let memory = cpu / 1000.0 * 512.0 * dice.heavy_tailed(1.0, 32.0);
        let group = (copies > 1).then(|| Group::new(&format!("job-{seed}-{job}")));
        let task = Task { cpu: cpu as i64, memory_mib: (memory as i64).clamp(16, 32_768), group };
        std::iter::repeat_n(task, copies as usize)
    })
}

/// A node as the rivals see it.
#[derive(Clone)]
pub struct Machine {
    pub id: NodeId,
    /// CPU in thousandths, memory in MiB.
    pub all: [i64; 2],
    pub free: [i64; 2],
}

/// The nodes, and what is on them.
#[derive(Clone)]
pub struct Cluster {
    pub scheduler: Scheduler,
    pub machines: BTreeMap<NodeId, Machine>,
    held: Vec<(PlacementId, NodeId, Task)>,
}

impl Cluster {
    pub fn new(dice: &mut Dice, nodes: usize) -> Self {
        let mut cluster = Self { scheduler: Scheduler::new(), machines: BTreeMap::new(), held: Vec::new() };
        for number in 0..nodes {
            let cpus = [8, 16, 32, 64][dice.below(4) as usize];
            let id = NodeId::fresh(&mut dice.0);
            let all = [cpus * 1000, cpus * 4096];
            let machine = Task { cpu: all[0], memory_mib: all[1], group: None };
            let name = format!("node-{number}").parse().expect("a name");
            cluster.scheduler.set_node(Node::new(id, name, machine.resources()));
            cluster.machines.insert(id, Machine { id, all, free: all });
        }
        cluster
    }

    pub fn hold(&mut self, dice: &mut Dice, task: &Task, node: NodeId) {
        let placement = PlacementId::fresh(&mut dice.0);
        self.scheduler.hold(Held {
            placement,
            task: TaskId::fresh(&mut dice.0),
            node,
            resources: task.resources(),
            ports: Vec::new(),
            group: task.group.clone(),
            priority: 0,
        });
        let machine = self.machines.get_mut(&node).expect("known");
        machine.free = [machine.free[0] - task.cpu, machine.free[1] - task.memory_mib];
        self.held.push((placement, node, task.clone()));
    }

    /// A random task ends.
    pub fn end_one(&mut self, dice: &mut Dice) {
        let at = dice.below(self.held.len() as u64) as usize;
        let (placement, node, task) = self.held.swap_remove(at);
        self.scheduler.release(placement);
        let machine = self.machines.get_mut(&node).expect("known");
        machine.free = [machine.free[0] + task.cpu, machine.free[1] + task.memory_mib];
    }

    /// How many tasks run.
    pub fn tasks(&self) -> usize {
        self.held.len()
    }

    /// Loses nodes; returns what ran on them.
    pub fn lose(&mut self, nodes: usize) -> Vec<Task> {
        let gone: Vec<NodeId> =
            self.machines.keys().copied().step_by(self.machines.len() / nodes).take(nodes).collect();
        let (lost, kept) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, node, _)| gone.contains(node));
        self.held = kept;
        for (placement, ..) in &lost {
            self.scheduler.release(*placement);
        }
        for node in gone {
            self.scheduler.remove_node(node);
            self.machines.remove(&node);
        }
        lost.into_iter().map(|(_, _, task): (_, _, Task)| task).collect()
    }

    /// The larger of the used parts of all CPU and all memory.
    pub fn load(&self) -> f64 {
        let part = |r: usize| {
            let (all, free) =
                self.machines.values().fold((0, 0), |(all, free), m| (all + m.all[r], free + m.free[r]));
            1.0 - free as f64 / all as f64
        };
        part(0).max(part(1))
    }

    /// For each node the larger of its used parts.
    pub fn shares(&self) -> Vec<f64> {
        let share =
            |m: &Machine| (0..2).map(|r| 1.0 - m.free[r] as f64 / m.all[r] as f64).fold(0.0, f64::max);
        self.machines.values().map(share).collect()
    }
}
