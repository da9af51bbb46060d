//! Spread of a group over the values of an attribute: each value has a share of the group's tasks, and nodes
//! whose value would be over its share come after those whose value would not, whatever they cost.
//!
//! With t tasks counted (the one to place included) and s of S shares, a value may have ⌈t s / S⌉ tasks.

use std::collections::BTreeMap;

use crate::ask::Ask;
use crate::attributes::{self, Attributes};
use crate::model::SpreadOver;
use crate::world::World;

/// Tasks of the group by value of an attribute.
pub(crate) type Counts<'a> = BTreeMap<&'a str, u32>;

/// The spread of a group as it stands.
#[derive(Clone)]
pub(crate) struct SpreadState<'a> {
    rule: &'a SpreadOver,
    /// The rule is about single nodes.
    pub(crate) own: bool,
    /// In the order of their names.
    values: Vec<Value<'a>>,
    /// The group's tasks that are counted, with the one to place.
    total: u64,
    /// Sum of the shares of all values.
    shares: u64,
}

#[derive(Clone, Copy)]
struct Value<'a> {
    name: &'a str,
    /// Tasks of the group.
    count: u32,
    share: u32,
    /// How many it would be over its share with one more.
    over: u32,
}

impl<'a> SpreadState<'a> {
    /// `None` where no value has a share. Values count if a node takes work that has them and passes the request's
    /// filters on attributes.
    pub(crate) fn new(ask: &Ask<'a>, rule: &'a SpreadOver) -> Option<Self> {
        let own = attributes::is_own(&rule.key);
        let mut spread = Self { rule, own, values: Vec::new(), total: 1, shares: 0 };
        if own {
            spread.total += u64::from(ask.siblings.map_or(0, |siblings| siblings.total));
            spread.shares = ask.world.index.len() as u64;
            return (spread.shares > 0).then_some(spread);
        }
        let world: &'a World = ask.world;
        let mut counts = Counts::new();
        for (number, class) in world.classes.iter().enumerate() {
            if !class.open.is_empty() && ask.class_passes(number as u32) {
                counts.entry(spread.value_of(&class.attributes)).or_default();
            }
        }
        for (class, tasks) in ask.siblings.iter().flat_map(|siblings| &siblings.in_class) {
            if let Some(count) = counts.get_mut(spread.value_of(&world.classes[*class as usize].attributes)) {
                *count += tasks;
                spread.total += u64::from(*tasks);
            }
        }
        let share =
            |name: &str| if rule.shares.is_empty() { 1 } else { rule.shares.get(name).copied().unwrap_or(0) };
        spread.values = counts
            .into_iter()
            .map(|(name, count)| Value { name, count, share: share(name), over: 0 })
            .collect();
        spread.shares = spread.values.iter().map(|value| u64::from(value.share)).sum();
        if spread.shares == 0 {
            return None;
        }
        spread.weigh();
        Some(spread)
    }

    /// The value that attributes have; nodes without the key share the empty one.
    fn value_of<'b>(&self, attributes: &'b Attributes) -> &'b str {
        attributes.get(&self.rule.key).unwrap_or_default()
    }

    /// The number of the value that attributes have; `None` if it does not count.
    pub(crate) fn number_of(&self, attributes: &Attributes) -> Option<usize> {
        self.values.binary_search_by_key(&self.value_of(attributes), |value| value.name).ok()
    }

    /// How many tasks over its share the value of the attributes would be with one more.
    pub(crate) fn over_of(&self, attributes: &Attributes) -> u32 {
        if self.own {
            return 0;
        }
        self.over_of_number(self.number_of(attributes))
    }

    /// The same for a value by its number; for nodes whose value does not count, as if they had a task.
    pub(crate) fn over_of_number(&self, number: Option<usize>) -> u32 {
        number.map_or(1, |number| self.values[number].over)
    }

    /// How many tasks over its share each value would be with one more. Equal shares are divided once.
    fn weigh(&mut self) {
        let (total, shares) = (self.total, self.shares);
        let (mut share, mut target) = (0, 0);
        for value in &mut self.values {
            if value.share != share {
                share = value.share;
                target = (total * u64::from(share)).div_ceil(shares);
            }
            value.over = over(value.count, target);
        }
    }

    /// How many tasks over its share a node with so many would be with one more, where the rule is about nodes.
    pub(crate) fn over_of_node(&self, count: u32) -> u32 {
        over(count, self.total.div_ceil(self.shares))
    }

    /// The least that any value is over its share.
    pub(crate) fn over_least(&self) -> u32 {
        self.values.iter().map(|value| value.over).min().unwrap_or(0)
    }

    /// Counts one more task at a value.
    pub(crate) fn add(&mut self, number: usize) {
        self.values[number].count += 1;
        self.total += 1;
        self.weigh();
    }
}

fn over(count: u32, target: u64) -> u32 {
    u32::try_from((u64::from(count) + 1).saturating_sub(target)).unwrap_or(u32::MAX)
}
