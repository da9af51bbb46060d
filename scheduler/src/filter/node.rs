//! What is said of a node as a whole: state, availability, conditions, exclusion.

use orca_api::node::{Availability, NodeState};

use super::{Filter, Told};
use crate::ask::{Ask, Candidate};
use crate::model::Request;

/// The node is ready.
pub(super) struct State;

impl Filter for State {
    fn name(&self) -> &'static str {
        "state"
    }
    fn wanted(&self, _: &Request) -> bool {
        true
    }
    fn reads_more(&self, _: &Request) -> bool {
        true
    }
    fn passes(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        candidate.node().state == NodeState::Ready
    }
    fn tell(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        Told::text(format!("state: {} ({} takes work)", candidate.node().state, NodeState::Ready))
    }
    fn remedy(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        format!("bring {} back: it is {}", candidate.node().name, candidate.node().state)
    }
}

/// The operator allows new work.
pub(super) struct Available;

impl Filter for Available {
    fn name(&self) -> &'static str {
        "availability"
    }
    fn wanted(&self, _: &Request) -> bool {
        true
    }
    fn reads_more(&self, _: &Request) -> bool {
        true
    }
    fn passes(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        candidate.node().availability == Availability::Active
    }
    fn tell(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        Told::text(format!(
            "availability: {} ({} takes work)",
            candidate.node().availability,
            Availability::Active
        ))
    }
    fn remedy(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        format!("make {} active again: it is {}", candidate.node().name, candidate.node().availability)
    }
}

/// Nothing is wrong with the node that keeps work away.
pub(super) struct Healthy;

impl Filter for Healthy {
    fn name(&self) -> &'static str {
        "condition"
    }
    fn wanted(&self, _: &Request) -> bool {
        true
    }
    fn reads_more(&self, _: &Request) -> bool {
        true
    }
    fn passes(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        !candidate.node().conditions.iter().any(|condition| condition.blocks_work())
    }
    fn tell(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        let conditions = &candidate.node().conditions;
        if conditions.is_empty() {
            return Told::text("condition: nothing is wrong");
        }
        let words: Vec<&str> = conditions.iter().map(|c| c.as_str()).collect();
        Told::text(format!("condition: {}", words.join(", ")))
    }
    fn remedy(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        let mut blocking = candidate.node().conditions.iter().filter(|c| c.blocks_work());
        let first = blocking.next().map_or("", |condition| condition.hint());
        format!("on {}: {first}", candidate.node().name)
    }
}

/// The node is not one that the task must leave or avoid.
pub(super) struct Excluded;

impl Filter for Excluded {
    fn name(&self) -> &'static str {
        "excluded"
    }
    fn wanted(&self, request: &Request) -> bool {
        !request.exclude.is_empty()
    }
    fn reads_more(&self, _: &Request) -> bool {
        true
    }
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        !ask.request.exclude.contains(&candidate.node().id)
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        Told::text(if self.passes(ask, candidate) {
            "excluded: no"
        } else {
            "excluded: the task must not run here"
        })
    }
    fn remedy(&self, _: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        format!("allow {} again", candidate.node().name)
    }
}
