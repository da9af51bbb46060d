//! Random clusters and requests from a seed, and a plain model of what the scheduler was told.

pub mod reference;

use std::collections::BTreeMap;

use orca_api::id::{NodeId, PlacementId, SeededIds, TaskId};
use orca_api::node::{Availability, Condition, NodeState};
use orca_api::spec::Algorithm;
use orca_api::units::{Bytes, Cpu};
use scheduler::{
    Distinct, Group, Held, KeepAway, Load, Node, Platform, Preference, Pressure, Request, Resources,
    Scheduler, SpreadOver, Target,
};

/// Random values from a seed.
pub struct Dice(pub SeededIds);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(SeededIds(seed))
    }
    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n.max(1)
    }
    /// True `percent` of the time.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

pub fn resources(cpu_millis: u64, memory_mib: u64, disk_mib: u64) -> Resources {
    Resources {
        cpu: Cpu::from_millis(cpu_millis),
        memory: Bytes::mib(memory_mib),
        disk: Bytes::mib(disk_mib),
    }
}

/// A node without labels or load.
pub fn node(dice: &mut Dice, name: &str, capacity: Resources) -> Node {
    Node::new(NodeId::fresh(&mut dice.0), name.parse().expect("a name"), capacity)
}

/// A node with something of everything.
pub fn random_node(dice: &mut Dice, number: usize) -> Node {
    let cpus = *dice.pick(&[2, 4, 8, 16, 64]);
    let mut node = node(
        dice,
        &format!("node-{number}"),
        resources(cpus * 1000, cpus * 2048 + dice_odd(number), cpus * 10_000),
    );
    node.reserve = if dice.chance(50) { resources(100, 256, 500) } else { Resources::ZERO };
    for (key, values) in
        [("zone", ["a", "b", "c"]), ("disk", ["ssd", "hdd", "tape"]), ("slots", ["2", "10", "9"])]
    {
        if dice.chance(80) {
            node.labels.insert(key.to_owned(), (*dice.pick(&values)).to_owned());
        }
    }
    node.data_center = String::from(*dice.pick(&["", "east", "west"]));
    node.arch = String::from(*dice.pick(&["x86_64", "amd64", "aarch64"]));
    node.kernel = String::from(*dice.pick(&["6.1.0-28", "6.10.3", "5.15"]));
    if dice.chance(10) {
        node.state = *dice.pick(NodeState::ALL);
    }
    if dice.chance(10) {
        node.availability = *dice.pick(Availability::ALL);
    }
    if dice.chance(10) {
        node.conditions.insert(*dice.pick(Condition::ALL));
    }
    if dice.chance(20) {
        node.images.insert("sha256:1".to_owned());
    }
    node.load = random_load(dice, node.capacity);
    node
}

fn dice_odd(number: usize) -> u64 {
    // capacities that differ a little, as those of real machines do
    number as u64 % 3
}

pub fn random_load(dice: &mut Dice, capacity: Resources) -> Load {
    if dice.chance(40) {
        return Load::default();
    }
    let part = |dice: &mut Dice, whole: u64| whole * dice.below(120) / 100;
    Load {
        cpu: Cpu::from_millis(part(dice, capacity.cpu.millis())),
        memory: Bytes::new(part(dice, capacity.memory.get())),
        disk: Bytes::new(part(dice, capacity.disk.get())),
        pressure: if dice.chance(20) {
            Pressure {
                cpu: dice.below(1000) as u16,
                memory: dice.below(300) as u16,
                io: dice.below(1200) as u16,
            }
        } else {
            Pressure::default()
        },
    }
}

pub fn random_request(dice: &mut Dice, nodes: &[NodeId]) -> Request {
    let mut request = Request {
        resources: match dice.below(5) {
            0 => Resources::ZERO,
            1 => resources(0, 1 + dice.below(4000), 0),
            _ => resources(1 + dice.below(4000), dice.below(8000), dice.below(20_000)),
        },
        algorithm: if dice.chance(50) { Algorithm::Epvm } else { *dice.pick(&Algorithm::ALL) },
        priority: dice.below(4) as u8,
        ..Request::default()
    };
    if dice.chance(30) {
        let ports = ["8080:80", "127.0.0.1:8080:80", "80", "53:53/udp", "8081:80"];
        request.ports = (0..=dice.below(2)).map(|_| dice.pick(&ports).parse().expect("a port")).collect();
    }
    if dice.chance(60) {
        request.group = Some(Group::new(dice.pick::<&str>(&["web", "db", "cache"])));
    }
    let constraints = [
        "disk == ssd",
        "disk != hdd",
        "zone in a,b",
        "zone not in c",
        "slots > 5",
        "slots < 10",
        "zone exists",
        "node.arch == amd64",
        "node.kernel > 6.1",
        "node.name == node-1",
        "node.name != node-2",
    ];
    if dice.chance(30) {
        request.constraints =
            (0..=dice.below(2)).map(|_| dice.pick(&constraints).parse().expect("a constraint")).collect();
    }
    if dice.chance(10) {
        request.data_centers = vec![(*dice.pick(&["east", "west"])).to_owned()];
    }
    if dice.chance(10) {
        request.platforms = vec![Platform { os: "linux".to_owned(), arch: "arm64".to_owned() }];
    }
    if dice.chance(5) {
        request.local_image = Some("sha256:1".to_owned());
    }
    if dice.chance(10) && !nodes.is_empty() {
        request.exclude.push(*dice.pick(nodes));
    }
    if dice.chance(10) && !nodes.is_empty() {
        request.avoid.push(*dice.pick(nodes));
    }
    if dice.chance(20) {
        let weight = (dice.below(201) as i64 - 100) as i8;
        let to = match dice.below(3) {
            0 => Target::Group(Group::new("db")),
            1 if !nodes.is_empty() => Target::Node(*dice.pick(nodes)),
            _ => Target::Constraint(dice.pick(&constraints).parse().expect("a constraint")),
        };
        request.preferences.push(Preference { to, weight });
    }
    if dice.chance(20) {
        let shares = [("a".to_owned(), 2), ("b".to_owned(), 1)];
        request.spread_over = Some(SpreadOver {
            key: (*dice.pick(&["zone", "node.id"])).to_owned(),
            shares: if dice.chance(30) { shares.into() } else { BTreeMap::new() },
        });
    }
    if dice.chance(15) {
        let key = (*dice.pick(&["zone", "node.id", "disk"])).to_owned();
        request.distinct.push(Distinct { key, limit: 1 + dice.below(3) as u32 });
    }
    if dice.chance(10) {
        request.max_per_node = Some(1 + dice.below(2) as u32);
    }
    if dice.chance(10) {
        request.keep_away = KeepAway(dice.below(100) as u8);
    }
    request
}

/// What the scheduler was told, as plain maps.
#[derive(Clone, Default)]
pub struct Told {
    pub nodes: BTreeMap<NodeId, Node>,
    pub held: BTreeMap<PlacementId, Held>,
}

impl Told {
    /// A scheduler that is told all of it at once.
    pub fn rebuilt(&self) -> Scheduler {
        let mut scheduler = Scheduler::new();
        for held in self.held.values() {
            scheduler.hold(held.clone());
        }
        for node in self.nodes.values().rev() {
            scheduler.set_node(node.clone());
        }
        scheduler
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub fn hold(&mut self, scheduler: &mut Scheduler, held: Held) {
        scheduler.hold(held.clone());
        self.held.insert(held.placement, held);
    }

    pub fn release(&mut self, scheduler: &mut Scheduler, placement: PlacementId) {
        scheduler.release(placement);
        self.held.remove(&placement);
    }

    pub fn set_node(&mut self, scheduler: &mut Scheduler, node: Node) {
        scheduler.set_node(node.clone());
        self.nodes.insert(node.id, node);
    }
}

/// The placement of a request on a node.
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

/// Property cases: `few`, or `many` where `ORCA_LONG` is set.
pub fn cases(few: u32, many: u32) -> proptest::test_runner::Config {
    let cases = if std::env::var_os("ORCA_LONG").is_some() { many } else { few };
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}
