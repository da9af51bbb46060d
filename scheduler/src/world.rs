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
use crate::index::{Amounts, Index, Row, Shape, Spot, amounts, pieces};
use crate::model::{Group, Held, Load, Node, Resources};

/// Looked up only, never iterated: ids are random bits, so mixing them lightly is enough.
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
    pub(crate) id: NodeId,
    /// `None` while placements are held on a node that is not known.
    pub(crate) node: Option<Node>,
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
    /// Its row, if it takes work.
    spot: Option<Spot>,
}

impl Slot {
    fn new(id: NodeId) -> Self {
        Self {
            id,
            node: None,
            class: 0,
            shape: 0,
            allocatable: [0; 3],
            used: [0; 3],
            busy: Busy::default(),
            held: Vec::new(),
            ports: Vec::new(),
            spot: None,
        }
    }

    /// Whether new tasks may come.
    fn takes_work(&self) -> bool {
        self.node.as_ref().is_some_and(|node| {
            node.state == NodeState::Ready
                && node.availability == Availability::Active
                && !node.conditions.iter().any(|condition| condition.blocks_work())
        })
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

    /// The price of each resource of a machine of that shape: by weights or by what is measured, whichever is more.
    pub(crate) fn prices(&self, shape: Shape) -> [u32; 3] {
        let busy = pieces(std::array::from_fn(|r| self.weight[r].max(self.measured[r])));
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

/// A set of attributes and how many nodes that take work have it.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) attributes: Attributes,
    pub(crate) open_nodes: u32,
}

/// Nodes, held placements, groups, index.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) by_id: BTreeMap<NodeId, u32>,
    pub(crate) slots: Vec<Slot>,
    vacant: Vec<u32>,
    class_numbers: BTreeMap<Attributes, u32>,
    pub(crate) classes: Vec<Class>,
    pub(crate) index: Index,
    /// Nodes that take no work.
    pub(crate) closed: BTreeSet<u32>,
    pub(crate) held: IdMap<PlacementId, Held>,
    pub(crate) groups: BTreeMap<Group, Siblings>,
}

impl World {
    pub(crate) fn slot(&self, number: u32) -> &Slot {
        &self.slots[number as usize]
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.by_id.get(&id).and_then(|slot| self.slot(*slot).node.as_ref())
    }

    pub(crate) fn reserved(&self, id: NodeId) -> Option<Resources> {
        let slot = self.slot(*self.by_id.get(&id)?);
        slot.node.as_ref()?;
        let [cpu, memory, disk] = slot.used;
        Some(Resources { cpu: Cpu::from_millis(cpu), memory: Bytes::new(memory), disk: Bytes::new(disk) })
    }

    pub(crate) fn summary(&self) -> Vec<Summary> {
        let known = self.by_id.iter().filter_map(|(id, number)| Some((*id, self.slot(*number).spot, self.row(*number)?)));
        known
            .map(|(node, spot, row)| {
                let listed = spot.map(|spot| self.index.row(spot));
                Summary {
                    node,
                    free: row.free,
                    price: row.price,
                    tasks: row.tasks,
                    listed: listed.is_some(),
                    as_listed: listed.is_none_or(|listed| *listed == row),
                }
            })
            .collect()
    }

    fn slot_of(&mut self, id: NodeId) -> u32 {
        if let Some(number) = self.by_id.get(&id) {
            return *number;
        }
        let number = self.vacant.pop().unwrap_or(self.slots.len() as u32);
        if number as usize == self.slots.len() {
            self.slots.push(Slot::new(id));
        } else {
            self.slots[number as usize] = Slot::new(id);
        }
        self.by_id.insert(id, number);
        number
    }

    pub(crate) fn set_node(&mut self, node: Node) {
        let number = self.slot_of(node.id);
        let attributes = Attributes::of(&node);
        let class = match self.class_numbers.get(&attributes) {
            Some(class) => *class,
            None => {
                let class = self.classes.len() as u32;
                self.class_numbers.insert(attributes.clone(), class);
                self.classes.push(Class { attributes, open_nodes: 0 });
                class
            }
        };
        let shape = self.index.shape(Shape::of(amounts(node.allocatable())));
        let old_class = self.slot(number).class;
        let known = self.slot(number).node.is_some();
        self.unlist(number);
        if !known || old_class != class {
            self.move_groups(number, known.then_some(old_class), Some(class));
        }
        let slot = &mut self.slots[number as usize];
        slot.allocatable = amounts(node.allocatable());
        slot.busy.measure(&node);
        slot.node = Some(node);
        slot.class = class;
        slot.shape = shape;
        self.list(number);
    }

    pub(crate) fn set_load(&mut self, id: NodeId, load: Load) {
        if let Some(number) = self.by_id.get(&id).copied() {
            let slot = &mut self.slots[number as usize];
            if let Some(node) = &mut slot.node {
                node.load = load;
                slot.busy.measure(node);
                self.refresh(number);
            }
        }
    }

    pub(crate) fn remove_node(&mut self, id: NodeId) {
        let Some(number) = self.by_id.get(&id).copied() else { return };
        self.unlist(number);
        if self.slot(number).node.is_some() {
            let class = self.slot(number).class;
            self.move_groups(number, Some(class), None);
        }
        self.slots[number as usize].node = None;
        self.forget_if_empty(number);
    }

    fn forget_if_empty(&mut self, number: u32) {
        let slot = self.slot(number);
        if slot.node.is_none() && slot.held.is_empty() {
            self.by_id.remove(&slot.id.clone());
            self.vacant.push(number);
        }
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.release(held.placement);
        let number = self.slot_of(held.node);
        self.occupy(number, held.placement, held.resources, &held.ports, held.group.as_ref());
        self.held.insert(held.placement, held);
    }

    pub(crate) fn release(&mut self, placement: PlacementId) -> Option<Held> {
        let held = self.held.remove(&placement)?;
        let number = *self.by_id.get(&held.node)?;
        self.vacate(number, placement, held.resources, held.group.as_ref());
        self.forget_if_empty(number);
        Some(held)
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
        slot.ports.extend(ports.iter().filter(|p| p.host.is_some()).map(|p| (placement, p.clone())));
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
            if slot.node.is_some() {
                *siblings.in_class.entry(slot.class).or_default() += 1;
            }
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
        let (used, weight) = (amounts(resources), amounts(resources.weight()));
        for r in 0..3 {
            slot.used[r] = slot.used[r].saturating_sub(used[r]);
            slot.busy.weight[r] = slot.busy.weight[r].saturating_sub(weight[r]);
        }
        if let Some((group, siblings)) = group.and_then(|group| Some((group, self.groups.get_mut(group)?))) {
            siblings.total -= 1;
            lower(siblings.on_node.get_mut(&number)).then(|| siblings.on_node.remove(&number));
            if slot.node.is_some() {
                lower(siblings.in_class.get_mut(&slot.class)).then(|| siblings.in_class.remove(&slot.class));
            }
            if siblings.total == 0 {
                self.groups.remove(group);
            }
        }
        self.refresh(number);
    }

    /// Counts the groups' tasks on a node under another class.
    fn move_groups(&mut self, number: u32, from: Option<u32>, to: Option<u32>) {
        for placement in &self.slots[number as usize].held {
            let group = self.held.get(placement).and_then(|held| held.group.as_ref());
            let Some(siblings) = group.and_then(|group| self.groups.get_mut(group)) else { continue };
            if let Some(from) = from {
                lower(siblings.in_class.get_mut(&from)).then(|| siblings.in_class.remove(&from));
            }
            if let Some(to) = to {
                *siblings.in_class.entry(to).or_default() += 1;
            }
        }
    }

    /// A node's row as its facts say.
    pub(crate) fn row(&self, number: u32) -> Option<Row> {
        let slot = self.slot(number);
        slot.node.is_some().then(|| Row {
            free: std::array::from_fn(|r| slot.allocatable[r].saturating_sub(slot.used[r])),
            price: slot.busy.prices(self.index.shapes()[slot.shape as usize]),
            slot: number,
            class: slot.class,
            shape: slot.shape,
            tasks: slot.held.len() as u32,
            id: slot.id,
        })
    }

    /// Puts the node's row into the index, if it takes work.
    fn list(&mut self, number: u32) {
        if !self.slot(number).takes_work() {
            self.closed.insert(number);
            return;
        }
        if let Some(row) = self.row(number) {
            self.classes[row.class as usize].open_nodes += 1;
            let slots = &mut self.slots;
            self.index.insert(row, |slot, spot| slots[slot as usize].spot = Some(spot));
        }
    }

    /// Takes the node's row out of the index, if it is there.
    fn unlist(&mut self, number: u32) {
        self.closed.remove(&number);
        if let Some(spot) = self.slots[number as usize].spot.take() {
            self.classes[self.slots[number as usize].class as usize].open_nodes -= 1;
            let slots = &mut self.slots;
            self.index.remove(spot, |slot, spot| slots[slot as usize].spot = Some(spot));
        }
    }

    /// Rewrites the node's row, if it has one.
    fn refresh(&mut self, number: u32) {
        if let (Some(spot), Some(row)) = (self.slot(number).spot, self.row(number)) {
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
