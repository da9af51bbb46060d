//! How many tasks of a group may be together.

use super::{Filter, Told};
use crate::ask::{Ask, Candidate};
use crate::attributes;
use crate::model::{Distinct, Request};

/// The value of each `distinct` key has fewer tasks of the group than its limit.
pub(super) struct DistinctValues;

impl DistinctValues {
    /// The first rule that is used up here, and how many tasks its value has; `None` as a count: no value.
    fn used_up<'a>(ask: &Ask<'a>, candidate: &Candidate<'_>) -> Option<(&'a Distinct, Option<u32>)> {
        ask.request.distinct.iter().zip(&ask.distinct).find_map(|(rule, counts)| {
            let tasks = if attributes::is_own(&rule.key) {
                Some(ask.siblings_on(candidate.row.slot))
            } else {
                candidate.class.get(&rule.key).map(|value| counts.get(value).copied().unwrap_or(0))
            };
            let room = tasks.is_some_and(|tasks| tasks < rule.limit.max(1));
            (!room).then_some((rule, tasks))
        })
    }
}

impl Filter for DistinctValues {
    fn name(&self) -> &'static str {
        "distinct"
    }
    fn wanted(&self, request: &Request) -> bool {
        !request.distinct.is_empty()
    }
    fn reads_more(&self, _: &Request) -> bool {
        true
    }
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        Self::used_up(ask, candidate).is_none()
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        Told::text(match Self::used_up(ask, candidate) {
            None => "distinct: below the limit".to_owned(),
            Some((rule, None)) => format!("distinct: has no {}", rule.key),
            Some((rule, Some(tasks))) => format!(
                "distinct: {} {} has {tasks} of the group's tasks, at most {}",
                rule.key,
                candidate.value(&rule.key).as_deref().unwrap_or_default(),
                rule.limit.max(1)
            ),
        })
    }
    fn remedy(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        match Self::used_up(ask, candidate) {
            Some((rule, None)) => format!("give {} the label {}", candidate.node().name, rule.key),
            Some((rule, Some(tasks))) => format!("allow {} tasks of the group per {}", tasks + 1, rule.key),
            None => String::new(),
        }
    }
}

/// The node has fewer tasks of the group than the request allows.
pub(super) struct MaxPerNode;

impl Filter for MaxPerNode {
    fn name(&self) -> &'static str {
        "max_per_node"
    }
    fn wanted(&self, request: &Request) -> bool {
        request.max_per_node.is_some()
    }
    fn reads_more(&self, _: &Request) -> bool {
        true
    }
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        ask.request.max_per_node.is_none_or(|max| ask.siblings_on(candidate.row.slot) < max)
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        Told::text(format!(
            "max_per_node: has {} of the group's tasks, at most {}",
            ask.siblings_on(candidate.row.slot),
            ask.request.max_per_node.unwrap_or(0)
        ))
    }
    fn remedy(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        format!("allow {} tasks of the group on one node", ask.siblings_on(candidate.row.slot) + 1)
    }
}
