//! What the scheduler knows: nodes, what is held on them, groups, and the index that follows.
//!
//! Everything here is derived from what the caller tells and can be rebuilt from it at any time; the order
//! in which it was told leaves no trace in any decision.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use orca_api::id::{NodeId, PlacementId};
use orca_api::node::{Availability, NodeState};
use orca_api::spec::Port;
use orca_api::units::{Bytes, Cpu};

use crate::attributes::Attributes;
use crate::cost;
use crate::index::{Amounts, Index, Row, Shape, Spot, amounts, pieces, port_bit};
use crate::model::{Group, Held, Load, Node, Resources};

/// Looked up only, never iterated: the order of its entries means nothing.
pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Folds a key's bytes with a multiplication (the hash of `FxHasher`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl IdHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
    }
    fn write_u32(&mut self, n: u32) {
        self.add(u64::from(n));
    }
    fn write_usize(&mut self, n: usize) {
        self.add(n as u64);
    }
    fn finish(&self) -> u64 {
        // the table uses the low bits for the bucket and the high ones for the tag
        self.0 ^ (self.0 >> 32)
    }
}

/// One node's facts.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Also in `node`, which is far away.
    id: NodeId,
    pub(crate) node: Box<Node>,
    pub(crate) class: u32,
    pub(crate) shape: u32,
    /// What tasks can have: capacity without reserve.
    allocatable: Amounts,
    /// Sum of reservations.
    pub(crate) used: Amounts,
    pub(crate) busy: Busy,
    /// What is held on it, in no order.
    pub(crate) held: Vec<PlacementId>,
    /// Ports in use with a fixed host port.
    pub(crate) ports: Vec<(PlacementId, Port)>,
    /// The same, folded as in [`Row::ports`].
    folded_ports: u64,
    /// Its row, if it takes work.
    spot: Option<Spot>,
}

impl Slot {
    fn new(node: Node, class: u32, shape: u32) -> Self {
        let mut slot = Self {
            id: node.id,
            node: Box::new(node),
            class,
            shape,
            allocatable: [0; 3],
            used: [0; 3],
            busy: Busy::default(),
            held: Vec::new(),
            ports: Vec::new(),
            folded_ports: 0,
            spot: None,
        };
        slot.measure();
        slot
    }

    /// Takes over what the node says of itself.
    fn measure(&mut self) {
        self.allocatable = amounts(self.node.allocatable());
        self.busy.measure(&self.node);
    }

    /// Whether new tasks may come.
    fn takes_work(&self) -> bool {
        let node = &self.node;
        node.state == NodeState::Ready
            && node.availability == Availability::Active
            && !node.conditions.iter().any(|condition| condition.blocks_work())
    }
}

/// What the prices of a node are made from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Busy {
    /// Sum of the weights of its tasks.
    pub(crate) weight: Amounts,
    /// Measured, without what the reserve covers.
    measured: Amounts,
    /// Time lost waiting, per mille.
    pressure: [u16; 3],
}

impl Busy {
    fn measure(&mut self, node: &Node) {
        let Load { cpu, memory, disk, pressure } = node.load;
        let (all, reserve) = (amounts(Resources { cpu, memory, disk }), amounts(node.reserve));
        self.measured = std::array::from_fn(|r| all[r].saturating_sub(reserve[r]));
        self.pressure = [pressure.cpu, pressure.memory, pressure.io];
    }

    /// The price of each resource of a machine of that shape: by weights and what is measured besides; of the disk by
    /// whichever is more (see [`Load`]).
    pub(crate) fn prices(&self, shape: Shape) -> [u32; 3] {
        let [cpu, memory, disk] = self.weight;
        let busy = pieces([
            cpu.saturating_add(self.measured[0]),
            memory.saturating_add(self.measured[1]),
            disk.max(self.measured[2]),
        ]);
        std::array::from_fn(|r| cost::price(busy[r], shape.0[r], self.pressure[r]))
    }
}

/// What the index knows of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The node.
    pub node: NodeId,
    /// Free CPU in thousandths, free memory and disk in bytes.
    pub free: [u64; 3],
    /// Price of each, in units of 2⁻²⁰.
    pub price: [u32; 3],
    /// Tasks on it.
    pub tasks: u32,
    /// Whether it takes work, and so has a row.
    pub listed: bool,
    /// Whether its row says what is computed from its facts anew; always true.
    pub as_listed: bool,
}

/// The tasks of one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Siblings {
    pub(crate) total: u32,
    /// By slot.
    pub(crate) on_node: IdMap<u32, u32>,
    /// By class of attributes.
    pub(crate) in_class: BTreeMap<u32, u32>,
}

/// A set of attributes and the nodes that take work and have it.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) attributes: Attributes,
    pub(crate) open: BTreeSet<NodeId>,
}

/// Nodes, held placements, groups, index.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    by_id: IdMap<NodeId, u32>,
    /// Those of removed nodes are vacant until another node takes them.
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    class_numbers: BTreeMap<Attributes, u32>,
    pub(crate) classes: Vec<Class>,
    pub(crate) index: Index,
    /// Sum of the shapes of nodes that take work.
    total: Amounts,
    /// Nodes that take no work.
    pub(crate) closed: BTreeSet<u32>,
    pub(crate) held: IdMap<PlacementId, Held>,
    /// What is held on nodes that are not known; it counts for nothing until they are.
    homeless: BTreeMap<NodeId, BTreeSet<PlacementId>>,
    pub(crate) groups: IdMap<Group, Siblings>,
}

impl World {
    #[inline]
    pub(crate) fn slot(&self, number: u32) -> &Slot {
        &self.slots[number as usize]
    }

    /// The row of a node that takes work.
    pub(crate) fn listed(&self, number: u32) -> Option<&Row> {
        self.slot(number).spot.map(|spot| self.index.row(spot))
    }

    pub(crate) fn number(&self, id: NodeId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.number(id).map(|number| &*self.slot(number).node)
    }

    /// The mean shape of nodes that take work.
    pub(crate) fn mean(&self) -> Amounts {
        let nodes = self.index.len() as u64;
        self.total.map(|total| total.checked_div(nodes).unwrap_or(0))
    }

    /// The numbers of all known nodes, in no order that matters.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.index.rows().map(|row| row.slot).chain(self.closed.iter().copied())
    }

    pub(crate) fn reserved(&self, id: NodeId) -> Option<Resources> {
        let [cpu, memory, disk] = self.slot(self.number(id)?).used;
        Some(Resources { cpu: Cpu::from_millis(cpu), memory: Bytes::new(memory), disk: Bytes::new(disk) })
    }

    pub(crate) fn summary(&self) -> Vec<Summary> {
        let mut summary: Vec<Summary> = self
            .numbers()
            .map(|number| {
                let row = self.row(number);
                let listed = self.slot(number).spot.map(|spot| self.index.row(spot));
                Summary {
                    node: row.id,
                    free: row.free,
                    price: row.price,
                    tasks: row.tasks,
                    listed: listed.is_some(),
                    as_listed: listed.is_none_or(|listed| *listed == row),
                }
            })
            .collect();
        summary.sort_unstable_by_key(|summary| summary.node);
        summary
    }

    fn class(&mut self, attributes: Attributes) -> u32 {
        if let Some(class) = self.class_numbers.get(&attributes) {
            return *class;
        }
        let class = self.classes.len() as u32;
        self.class_numbers.insert(attributes.clone(), class);
        self.classes.push(Class { attributes, open: BTreeSet::new() });
        class
    }

    pub(crate) fn set_node(&mut self, node: Node) {
        let class = self.class(Attributes::of(&node));
        let shape = self.index.shape(Shape::of(amounts(node.allocatable())));
        let id = node.id;
        if let Some(number) = self.number(id) {
            self.unlist(number);
            self.move_groups(number, class);
            let slot = &mut self.slots[number as usize];
            (*slot.node, slot.class, slot.shape) = (node, class, shape);
            slot.measure();
            self.list(number);
            return;
        }
        let slot = Slot::new(node, class, shape);
        let number = self.vacant.pop().unwrap_or(self.slots.len() as u32);
        if number as usize == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[number as usize] = slot;
        }
        self.by_id.insert(id, number);
        self.list(number);
        for placement in self.homeless.remove(&id).unwrap_or_default() {
            if let Some(held) = self.held.get(&placement).cloned() {
                self.occupy(number, placement, held.resources, &held.ports, held.group.as_ref());
            }
        }
    }

    pub(crate) fn set_load(&mut self, id: NodeId, load: Load) {
        if let Some(number) = self.number(id) {
            let slot = &mut self.slots[number as usize];
            slot.node.load = load;
            slot.busy.measure(&slot.node);
            self.refresh(number);
        }
    }

    pub(crate) fn remove_node(&mut self, id: NodeId) {
        let Some(number) = self.by_id.remove(&id) else { return };
        let placements = self.slot(number).held.clone();
        for placement in &placements {
            if let Some(held) = self.held.get(placement).cloned() {
                self.vacate(number, *placement, held.resources, held.group.as_ref());
            }
        }
        if !placements.is_empty() {
            self.homeless.insert(id, placements.into_iter().collect());
        }
        self.unlist(number);
        self.vacant.push(number);
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.settle(&held);
        let placement = held.placement;
        if let Some(old) = self.held.insert(placement, held) {
            // two of one id were settled: out with both, and in with the one that stays
            let new = self.release(placement);
            self.unsettle(&old);
            if let Some(new) = new {
                self.settle(&new);
                self.held.insert(placement, new);
            }
        }
    }

    pub(crate) fn release(&mut self, placement: PlacementId) -> Option<Held> {
        let held = self.held.remove(&placement)?;
        self.unsettle(&held);
        Some(held)
    }

    /// Makes a placement count where it is.
    fn settle(&mut self, held: &Held) {
        match self.number(held.node) {
            Some(number) => {
                self.occupy(number, held.placement, held.resources, &held.ports, held.group.as_ref());
            }
            None => {
                self.homeless.entry(held.node).or_default().insert(held.placement);
            }
        }
    }

    fn unsettle(&mut self, held: &Held) {
        if let Some(number) = self.number(held.node) {
            self.vacate(number, held.placement, held.resources, held.group.as_ref());
        } else if let Some(placements) = self.homeless.get_mut(&held.node) {
            placements.remove(&held.placement);
            if placements.is_empty() {
                self.homeless.remove(&held.node);
            }
        }
    }

    /// Takes room on a node.
    pub(crate) fn occupy(
        &mut self,
        number: u32,
        placement: PlacementId,
        resources: Resources,
        ports: &[Port],
        group: Option<&Group>,
    ) {
        let slot = &mut self.slots[number as usize];
        slot.held.push(placement);
        for (port, number) in ports.iter().filter_map(|port| Some((port, port.host?))) {
            slot.ports.push((placement, port.clone()));
            slot.folded_ports |= port_bit(number);
        }
        let (used, weight) = (amounts(resources), amounts(resources.weight()));
        for r in 0..3 {
            slot.used[r] = slot.used[r].saturating_add(used[r]);
            slot.busy.weight[r] = slot.busy.weight[r].saturating_add(weight[r]);
        }
        if let Some(group) = group {
            let siblings = match self.groups.get_mut(group) {
                Some(siblings) => siblings,
                None => self.groups.entry(group.clone()).or_default(),
            };
            siblings.total += 1;
            *siblings.on_node.entry(number).or_default() += 1;
            *siblings.in_class.entry(slot.class).or_default() += 1;
        }
        self.refresh(number);
    }

    /// Gives room on a node back.
    pub(crate) fn vacate(
        &mut self,
        number: u32,
        placement: PlacementId,
        resources: Resources,
        group: Option<&Group>,
    ) {
        let slot = &mut self.slots[number as usize];
        if let Some(at) = slot.held.iter().rposition(|p| *p == placement) {
            slot.held.swap_remove(at);
        }
        slot.ports.retain(|(holder, _)| *holder != placement);
        let numbers = slot.ports.iter().filter_map(|(_, port)| port.host);
        slot.folded_ports = numbers.fold(0, |folded, number| folded | port_bit(number));
        let (used, weight) = (amounts(resources), amounts(resources.weight()));
        for r in 0..3 {
            slot.used[r] = slot.used[r].saturating_sub(used[r]);
            slot.busy.weight[r] = slot.busy.weight[r].saturating_sub(weight[r]);
        }
        if let Some((group, siblings)) = group.and_then(|group| Some((group, self.groups.get_mut(group)?))) {
            siblings.total -= 1;
            lower(siblings.on_node.get_mut(&number)).then(|| siblings.on_node.remove(&number));
            lower(siblings.in_class.get_mut(&slot.class)).then(|| siblings.in_class.remove(&slot.class));
            if siblings.total == 0 {
                self.groups.remove(group);
            }
        }
        self.refresh(number);
    }

    /// Counts the groups' tasks on a node under another class.
    fn move_groups(&mut self, number: u32, to: u32) {
        let slot = &self.slots[number as usize];
        if slot.class == to {
            return;
        }
        for placement in &slot.held {
            let group = self.held.get(placement).and_then(|held| held.group.as_ref());
            let Some(siblings) = group.and_then(|group| self.groups.get_mut(group)) else { continue };
            lower(siblings.in_class.get_mut(&slot.class)).then(|| siblings.in_class.remove(&slot.class));
            *siblings.in_class.entry(to).or_default() += 1;
        }
    }

    /// A node's row as its facts say.
    pub(crate) fn row(&self, number: u32) -> Row {
        let slot = self.slot(number);
        Row {
            free: std::array::from_fn(|r| slot.allocatable[r].saturating_sub(slot.used[r])),
            price: slot.busy.prices(self.index.shapes()[slot.shape as usize]),
            slot: number,
            class: slot.class,
            shape: slot.shape,
            tasks: slot.held.len() as u32,
            id: slot.id,
            ports: slot.folded_ports,
        }
    }

    /// Puts the node's row into the index, if it takes work.
    fn list(&mut self, number: u32) {
        if !self.slot(number).takes_work() {
            self.closed.insert(number);
            return;
        }
        let row = self.row(number);
        self.classes[row.class as usize].open.insert(row.id);
        let shape = self.index.shapes()[row.shape as usize].0;
        (0..3).for_each(|r| self.total[r] += shape[r]);
        let slots = &mut self.slots;
        self.index.insert(row, |slot, spot| slots[slot as usize].spot = Some(spot));
    }

    /// Takes the node's row out of the index, if it is there.
    fn unlist(&mut self, number: u32) {
        self.closed.remove(&number);
        if let Some(spot) = self.slots[number as usize].spot.take() {
            let slot = &self.slots[number as usize];
            self.classes[slot.class as usize].open.remove(&slot.id);
            let shape = self.index.shapes()[slot.shape as usize].0;
            (0..3).for_each(|r| self.total[r] -= shape[r]);
            let slots = &mut self.slots;
            self.index.remove(spot, |slot, spot| slots[slot as usize].spot = Some(spot));
        }
    }

    /// Rewrites the node's row, if it has one.
    fn refresh(&mut self, number: u32) {
        if let Some(spot) = self.slot(number).spot {
            let row = self.row(number);
            let slots = &mut self.slots;
            self.index.rewrite(spot, row, |slot, spot| slots[slot as usize].spot = Some(spot));
        }
    }
}

/// Takes one off a count; true when it is then zero.
fn lower(count: Option<&mut u32>) -> bool {
    count.is_some_and(|count| {
        *count = count.saturating_sub(1);
        *count == 0
    })
}
