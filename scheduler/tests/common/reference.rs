//! The reference: every rule as a plain scan over everything, in floating point, without an index.

use std::collections::{BTreeMap, BTreeSet};

use orca_api::id::NodeId;
use orca_api::node::{Availability, NodeState};
use orca_api::spec::{Algorithm, Constraint};
use orca_api::units::{Bytes, Cpu};
use scheduler::{Held, Node, Request, Target, UNRESERVED};

use super::Told;

/// What a resource of a node adds to a task's cost.
#[derive(Clone, Copy)]
struct Priced {
    price: f64,
    growth: f64,
    size: f64,
}

/// A request's siblings and the nodes.
pub struct Reference<'a> {
    pub told: &'a Told,
    pub request: &'a Request,
}

impl Reference<'_> {
    fn on(&self, node: &Node) -> Vec<&Held> {
        self.told.held.values().filter(|held| held.node == node.id).collect()
    }

    fn siblings(&self, node: &Node) -> usize {
        let group = self.request.group.as_ref();
        self.on(node).iter().filter(|held| group.is_some() && held.group.as_ref() == group).count()
    }

    fn value(node: &Node, key: &str) -> Option<String> {
        let arch = match node.arch.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let value = match key {
            "node.id" => node.id.to_string(),
            "node.name" => node.name.to_string(),
            "node.arch" => arch.to_owned(),
            "node.kernel" => node.kernel.clone(),
            label => return node.labels.get(label).cloned(),
        };
        (!value.is_empty()).then_some(value)
    }

    /// Only with what the generator writes: numbers and dotted versions.
    fn holds(constraint: &Constraint, node: &Node) -> bool {
        use orca_api::spec::Comparison as C;
        let value = Self::value(node, &constraint.key);
        let numbers = |t: &str| -> Vec<u64> {
            t.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
        };
        match (constraint.comparison, value) {
            (C::NotEqual | C::NotIn, None) => true,
            (_, None) => false,
            (C::Equal | C::In, Some(value)) => constraint.values.contains(&value),
            (C::NotEqual | C::NotIn, Some(value)) => !constraint.values.contains(&value),
            (C::Less, Some(value)) => numbers(&value) < numbers(&constraint.values[0]),
            (C::Greater, Some(value)) => numbers(&value) > numbers(&constraint.values[0]),
            (C::Exists, Some(_)) => true,
        }
    }

    fn free(&self, node: &Node) -> [i128; 3] {
        let all = node.allocatable();
        let mut free = [all.cpu.millis().into(), all.memory.get().into(), all.disk.get().into()];
        for held in self.on(node) {
            free[0] -= i128::from(held.resources.cpu.millis());
            free[1] -= i128::from(held.resources.memory.get());
            free[2] -= i128::from(held.resources.disk.get());
        }
        free
    }

    fn per_value(&self, key: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in self.told.nodes.values() {
            if let Some(value) = Self::value(node, key) {
                *counts.entry(value).or_default() += self.siblings(node);
            }
        }
        counts
    }

    fn attributes_pass(&self, node: &Node) -> bool {
        let r = self.request;
        let shared = r.constraints.iter().filter(|c| c.key != "node.name" && c.key != "node.id");
        (r.data_centers.is_empty() || r.data_centers.contains(&node.data_center))
            && (r.platforms.is_empty() || node.arch == "aarch64")
            && shared.into_iter().all(|c| Self::holds(c, node))
    }

    fn open(node: &Node) -> bool {
        node.state == NodeState::Ready
            && node.availability == Availability::Active
            && !node.conditions.iter().any(|c| c.blocks_work())
    }

    /// The first filter that the node fails.
    pub fn failed(&self, node: &Node) -> Option<&'static str> {
        let r = self.request;
        let free = self.free(node);
        let ports = |held: &&Held| held.ports.iter().any(|p| r.ports.iter().any(|w| w.clashes(p)));
        let distinct = |rule: &scheduler::Distinct| match Self::value(node, &rule.key) {
            None => false,
            Some(_) if rule.key == "node.id" => self.siblings(node) < rule.limit as usize,
            Some(value) => self.per_value(&rule.key).get(&value).copied().unwrap_or(0) < rule.limit as usize,
        };
        let short = |need: u64, free: i128| need > 0 && i128::from(need) > free;
        let checks = [
            ("state", node.state != NodeState::Ready),
            ("availability", node.availability != Availability::Active),
            ("condition", node.conditions.iter().any(|c| c.blocks_work())),
            ("excluded", r.exclude.contains(&node.id)),
            ("data_center", !r.data_centers.is_empty() && !r.data_centers.contains(&node.data_center)),
            ("platform", !r.platforms.is_empty() && node.arch != "aarch64"),
            ("constraint", !r.constraints.iter().all(|c| Self::holds(c, node))),
            ("image", r.local_image.as_ref().is_some_and(|image| !node.images.contains(image))),
            ("cpu", short(r.resources.cpu.millis(), free[0])),
            ("memory", short(r.resources.memory.get(), free[1])),
            ("disk", short(r.resources.disk.get(), free[2])),
            ("port", self.on(node).iter().any(ports)),
            ("distinct", !r.distinct.iter().all(distinct)),
            ("max_per_node", r.max_per_node.is_some_and(|max| self.siblings(node) >= max as usize)),
        ];
        checks.into_iter().find(|(_, failed)| *failed).map(|(name, _)| name)
    }

    /// Nodes by the first filter that they fail.
    pub fn counts(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for name in self.told.nodes.values().filter_map(|node| self.failed(node)) {
            *counts.entry(name.to_owned()).or_default() += 1;
        }
        counts
    }

    /// Allocatable amounts as prices count them: CPU in thousandths, the others in 64 KiB and six binary digits.
    fn whole(node: &Node) -> [f64; 3] {
        let all = node.allocatable();
        let rounded = |bytes: u64| {
            let n = bytes >> 16;
            let step = 1u64 << (64 - n.leading_zeros()).saturating_sub(6);
            (n / step * step) as f64
        };
        [all.cpu.millis() as f64, rounded(all.memory.get()), rounded(all.disk.get())]
    }

    fn numbers(cpu: Cpu, memory: Bytes, disk: Bytes) -> [f64; 3] {
        [cpu.millis() as f64, memory.get() as f64 / 65536.0, disk.get() as f64 / 65536.0]
    }

    /// Whole pieces of what a price or a growth is made from: a thousandth of a CPU, 64 KiB.
    fn pieces(amounts: [f64; 3]) -> [f64; 3] {
        amounts.map(f64::floor)
    }

    fn weight(resources: scheduler::Resources) -> [f64; 3] {
        let plain = resources.cpu == Cpu::ZERO && resources.memory == Bytes::ZERO;
        let counted = if plain { UNRESERVED } else { resources };
        Self::numbers(counted.cpu, counted.memory, resources.disk)
    }

    /// Of each resource: its price, what the task multiplies it by, less one, and the machine's size; the cost is
    /// Σ price × growth × size.
    fn priced(&self, node: &Node) -> [Priced; 3] {
        let mut used = [0.0; 3];
        for held in self.on(node) {
            for (sum, more) in used.iter_mut().zip(Self::weight(held.resources)) {
                *sum += more;
            }
        }
        let load = node.load;
        let measured = Self::numbers(load.cpu, load.memory, load.disk);
        let reserve = Self::numbers(node.reserve.cpu, node.reserve.memory, node.reserve.disk);
        let stalled = [load.pressure.cpu, load.pressure.memory, load.pressure.io];
        let (whole, weight) = (Self::whole(node), Self::pieces(Self::weight(self.request.resources)));
        let beside: [f64; 3] = std::array::from_fn(|r| (measured[r] - reserve[r]).max(0.0));
        let busy = Self::pieces([used[0] + beside[0], used[1] + beside[1], used[2].max(beside[2])]);
        let taking = || self.told.nodes.values().filter(|n| Self::open(n)).map(Self::whole);
        let term = |r: usize| {
            let share = |part: f64| if part == 0.0 { 0.0 } else { (6.0 * part / whole[r]).min(7.5) };
            let stall = 6.0 * f64::from(stalled[r].min(1000)) / 1000.0;
            let mean = taking().map(|whole| whole[r] as u64).sum::<u64>() / taking().count().max(1) as u64;
            let size =
                ((whole[r] as u64) << 8).checked_div(mean).unwrap_or(256).clamp(4, 64 << 8) as f64 / 256.0;
            Priced {
                price: (share(busy[r]) + stall).min(7.5).exp2(),
                growth: share(weight[r]).exp2() - 1.0,
                size,
            }
        };
        [term(0), term(1), term(2)]
    }

    fn binpack(&self, node: &Node) -> f64 {
        let free = self.free(node);
        let need = [self.request.resources.cpu.millis(), self.request.resources.memory.get()];
        let units = [1.0, 65536.0];
        let term = |r: usize| {
            let left = ((free[r] - i128::from(need[r])).max(0) as f64 / units[r]).floor();
            10f64.powf((left / Self::whole(node)[r]).min(1.0))
        };
        term(0) + term(1)
    }

    fn over(&self, node: &Node) -> usize {
        let Some(rule) = &self.request.spread_over else { return 0 };
        let own = rule.key == "node.id";
        let value = |node: &Node| Self::value(node, &rule.key).unwrap_or_default();
        let taking = |n: &&Node| Self::open(n) && (own || self.attributes_pass(n));
        let values: BTreeSet<String> = self.told.nodes.values().filter(taking).map(value).collect();
        let even = own || rule.shares.is_empty();
        let share = |v: &String| if even { 1 } else { rule.shares.get(v).copied().unwrap_or(0) as usize };
        let count = |v: &String| -> usize {
            self.told.nodes.values().filter(|n| value(n) == *v).map(|n| self.siblings(n)).sum()
        };
        let shares: usize = values.iter().map(share).sum();
        let known = values.iter().map(count).sum::<usize>();
        let lone = || {
            self.request.group.as_ref().map_or(0, |g| {
                self.told
                    .held
                    .values()
                    .filter(|h| h.group.as_ref() == Some(g) && self.told.nodes.contains_key(&h.node))
                    .count()
            })
        };
        let total = 1 + if own { lone() } else { known };
        if shares == 0 {
            return 0;
        }
        let here = value(node);
        let target = (total * share(&here)).div_ceil(shares);
        (count(&here) + 1).saturating_sub(target)
    }

    fn preferred(&self, node: &Node) -> f64 {
        let points = self.request.preferences.iter().map(|preference| {
            let holds = match &preference.to {
                Target::Node(id) => *id == node.id,
                Target::Constraint(c) => Self::holds(c, node),
                Target::Group(group) => self.on(node).iter().any(|held| held.group.as_ref() == Some(group)),
            };
            if holds { -f64::from(preference.weight) } else { 0.0 }
        });
        points.sum()
    }

    /// Whether the node is avoided, how far it is over its share, and its cost.
    pub fn cost(&self, node: &Node) -> (bool, usize, f64) {
        let base = match self.request.algorithm {
            Algorithm::Epvm => self.priced(node).iter().map(|p| p.price * p.growth * p.size).sum(),
            Algorithm::Spread => self.on(node).len() as f64 + 1.0,
            Algorithm::Binpack => self.binpack(node),
            Algorithm::Greedy | Algorithm::RoundRobin => 1.0,
        };
        (self.request.avoid.contains(&node.id), self.over(node), base * self.factor(node, self.keeps_away()))
    }

    /// Whether siblings make a node dearer.
    fn keeps_away(&self) -> bool {
        matches!(self.request.algorithm, Algorithm::Epvm | Algorithm::Spread | Algorithm::Binpack)
    }

    /// What points multiply a node's cost by.
    fn factor(&self, node: &Node, keeps_away: bool) -> f64 {
        let away =
            if keeps_away { self.siblings(node) as f64 * f64::from(self.request.keep_away.0) } else { 0.0 };
        ((self.preferred(node) + away).clamp(-400.0, 400.0) / 50.0).exp2()
    }

    /// How far the cost of a node in whole numbers can be from the cost here. With a unit of 2⁻²⁰:
    ///
    /// * 2^x comes from a table of 256 chords a doubling, which are above the curve by at most
    ///   (ln 2 / 256)² / 8 < 0.97 units of the value, and is cut to a unit; its exponent is cut to 2⁻²⁴, which is
    ///   ln 2 × 2⁻²⁴ < 0.05 units of the value, for the pressure once more. So a price p ≥ 1, a term of `binpack`
    ///   and what points multiply by are off by at most 1.1 units of themselves.
    /// * A growth 2^x − 1 is off by as much of 2^x, not of itself: a small task's growth is a few units. It is
    ///   multiplied by the size of the machine s and cut to a unit again: off by 1.1 s 2^x + 1 units.
    /// * Costs are cut to 2⁻³², before and after points.
    ///
    /// So of Σ p × growth, times the points' factor f: f Σ p (1.1 s 2^x + 1) units from growths, and of the
    /// whole 1.1 units from prices (or from terms, where the exponent is cut twice: 1.3) and 1.1 units from points.
    pub fn slack(&self, node: &Node) -> f64 {
        const UNIT: f64 = 1.0 / (1 << 20) as f64;
        let factor = self.factor(node, self.keeps_away());
        let growths = match self.request.algorithm {
            Algorithm::Epvm => {
                let each = |p: Priced| p.price * (1.1 * p.size * (p.growth + 1.0) + 1.0);
                factor * self.priced(node).map(each).iter().sum::<f64>()
            }
            _ => 0.0,
        };
        let (_, _, cost) = self.cost(node);
        UNIT * (growths + 2.5 * cost) + (1.0 + factor) / (1u64 << 32) as f64
    }

    /// A node that fits and that none is cheaper than, and its cost.
    pub fn best(&self) -> Option<(&Node, (bool, usize, f64))> {
        let fitting = self.told.nodes.values().filter(|node| self.failed(node).is_none());
        fitting
            .map(|node| (node, self.cost(node)))
            .min_by(|(_, a), (_, b)| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)))
    }

    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.told.nodes.get(&id)
    }
}
