//! Clusters and tasks to measure with: nodes of three sizes in eight zones at random load, small tasks.

use orca_api::id::{NodeId, PlacementId, SeededIds, TaskId};
use orca_api::units::{Bytes, Cpu};
use scheduler::{Group, Held, Node, Request, Resources, Scheduler, SpreadOver};

/// Random values from a seed.
pub struct Dice(pub SeededIds);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(SeededIds(seed))
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.next_u64() % (high - low + 1)
    }
}

pub fn resources(cpu_millis: u64, memory_mib: u64, disk_mib: u64) -> Resources {
    Resources {
        cpu: Cpu::from_millis(cpu_millis),
        memory: Bytes::mib(memory_mib),
        disk: Bytes::mib(disk_mib),
    }
}

/// A placement of a request.
pub fn held(dice: &mut Dice, request: &Request, node: NodeId) -> Held {
    Held {
        placement: PlacementId::fresh(&mut dice.0),
        task: TaskId::fresh(&mut dice.0),
        node,
        resources: request.resources,
        ports: request.ports.clone(),
        group: request.group.clone(),
        priority: request.priority,
    }
}

/// Nodes with 32, 48 or 64 CPUs and 4 GiB for each, each resource used to a random part of 0 to 80 %.
pub fn cluster(dice: &mut Dice, nodes: usize) -> (Scheduler, Vec<NodeId>) {
    let mut scheduler = Scheduler::new();
    let mut ids = Vec::new();
    for number in 0..nodes {
        let cpus = [32, 48, 64][dice.between(0, 2) as usize];
        // real machines of one make differ by a few MiB
        let memory = cpus * 4096 - dice.between(0, 20);
        let id = NodeId::fresh(&mut dice.0);
        let name = format!("node-{number}").parse().expect("a name");
        let mut node = Node::new(id, name, resources(cpus * 1000, memory, cpus * 20_000));
        node.labels.insert("zone".to_owned(), format!("zone-{}", dice.between(0, 7)));
        node.labels.insert("disk".to_owned(), ["ssd", "hdd"][dice.between(0, 1) as usize].to_owned());
        scheduler.set_node(node);
        let mut part = |whole: u64| whole * dice.between(0, 800) / 1000;
        let used = resources(part(cpus * 1000), part(memory), part(cpus * 20_000));
        let request = Request { resources: used, ..Request::default() };
        let filler = held(dice, &request, id);
        scheduler.hold(filler);
        ids.push(id);
    }
    (scheduler, ids)
}

/// A kind of task: 0.05–0.2 CPU, 128–512 MiB, 100–1000 MiB of disk, a label, a host port of 64, spread over zones.
pub fn kind(dice: &mut Dice, number: usize) -> Request {
    let mut request = different(dice);
    request.group = Some(Group::new(&format!("job-{number}")));
    request.spread_over =
        Some(SpreadOver { key: "zone".to_owned(), shares: std::collections::BTreeMap::new() });
    let port = 8000 + dice.between(0, 63);
    request.ports = vec![format!("{port}:80").parse().expect("a port")];
    request
}

/// A task like no other: any amounts, the label for every second one.
pub fn different(dice: &mut Dice) -> Request {
    let constraint = || "disk == ssd".parse().expect("a constraint");
    Request {
        resources: resources(dice.between(50, 200), dice.between(128, 512), dice.between(100, 1000)),
        constraints: if dice.between(0, 1) == 0 { vec![constraint()] } else { Vec::new() },
        ..Request::default()
    }
}
