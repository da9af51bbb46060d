//! Bad-node memory: where a version of a task fails again and again, it goes elsewhere if it can.
//!
//! Apart from [`Scheduler`](crate::Scheduler), which knows no time: the caller notes failures with the instant at which
//! they were, and asks for the nodes to put into [`Request::avoid`](crate::Request::avoid).

use std::collections::{BTreeMap, VecDeque};

use orca_api::id::NodeId;

/// So many failures of one version on one node within [`FAILURES_WINDOW_MS`] make the node bad for it.
pub const FAILURES_BAD: usize = 5;
/// Five minutes; SwarmKit's rule (`maxFailures` and `monitorFailures` of `manager/scheduler/nodeinfo.go`).
pub const FAILURES_WINDOW_MS: u64 = 300_000;
/// Pairs of a version and a node that are remembered; of more, the one whose last failure is the longest ago is
/// forgotten. A pair takes about a hundred bytes.
pub const FAILURE_PAIRS_MAX: usize = 10_000;

/// Recent failures by version and node. `K` names a version of a task: all copies of a job's group share one.
///
/// Instants are milliseconds on a clock that does not go back, such as the boot clock. It is memory that may be lost:
/// after a restart every node is as good as new.
#[derive(Clone, Debug)]
pub struct Failures<K> {
    /// The last instants, oldest first, at most [`FAILURES_BAD`].
    recent: BTreeMap<(K, NodeId), VecDeque<u64>>,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self { recent: BTreeMap::new() }
    }
}

fn within(now_ms: u64, then_ms: u64) -> bool {
    now_ms.saturating_sub(then_ms) < FAILURES_WINDOW_MS
}

impl<K: Ord + Clone> Failures<K> {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A version failed on a node.
    pub fn note(&mut self, version: K, node: NodeId, now_ms: u64) {
        let pair = (version, node);
        if !self.recent.contains_key(&pair) && self.recent.len() >= FAILURE_PAIRS_MAX {
            self.make_room(now_ms);
        }
        let recent = self.recent.entry(pair).or_default();
        if recent.len() == FAILURES_BAD {
            recent.pop_front();
        }
        recent.push_back(now_ms);
    }

    /// The nodes that are bad for a version now, in the order of their ids.
    pub fn bad_nodes(&self, version: &K, now_ms: u64) -> Vec<NodeId> {
        let lowest = NodeId::from_raw(orca_api::id::RawId::from_bytes([0; 10]));
        let from = self.recent.range((version.clone(), lowest)..);
        let bad = |recent: &VecDeque<u64>| {
            recent.len() == FAILURES_BAD && recent.front().is_some_and(|first| within(now_ms, *first))
        };
        let of_version = from.take_while(|((of, _), _)| of == version);
        of_version.filter(|(_, recent)| bad(recent)).map(|((_, node), _)| *node).collect()
    }

    /// Forgets a version: it was replaced, or its task is gone.
    pub fn forget_version(&mut self, version: &K) {
        self.recent.retain(|(of, _), _| of != version);
    }

    /// Forgets a node: it was removed, or what was wrong with it was mended.
    pub fn forget_node(&mut self, node: NodeId) {
        self.recent.retain(|(_, on), _| *on != node);
    }

    /// How many pairs are remembered.
    pub fn pairs(&self) -> usize {
        self.recent.len()
    }

    fn make_room(&mut self, now_ms: u64) {
        self.recent.retain(|_, recent| recent.back().is_some_and(|last| within(now_ms, *last)));
        if self.recent.len() >= FAILURE_PAIRS_MAX {
            let oldest = self.recent.iter().min_by_key(|(_, recent)| recent.back().copied());
            if let Some(pair) = oldest.map(|(pair, _)| pair.clone()) {
                self.recent.remove(&pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use orca_api::id::SeededIds;

    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn five_in_five_minutes() {
        let mut ids = SeededIds(1);
        let (one, other) = (NodeId::fresh(&mut ids), NodeId::fresh(&mut ids));
        let mut failures = Failures::new();
        for minute in 0..4 {
            failures.note(("web", 1), one, minute * MINUTE);
        }
        assert_eq!(failures.bad_nodes(&("web", 1), 4 * MINUTE), []);
        failures.note(("web", 1), one, 4 * MINUTE);
        failures.note(("web", 1), other, 4 * MINUTE);
        failures.note(("web", 2), other, 4 * MINUTE);
        assert_eq!(failures.bad_nodes(&("web", 1), 5 * MINUTE - 1), [one]);
        assert_eq!(failures.bad_nodes(&("web", 1), 5 * MINUTE), [], "the first is five minutes ago");
        assert_eq!(failures.bad_nodes(&("web", 2), 5 * MINUTE - 1), [], "another version");
        failures.note(("web", 1), one, 5 * MINUTE);
        assert_eq!(failures.bad_nodes(&("web", 1), 5 * MINUTE), [one], "the last five count");
    }

    #[test]
    fn forgetting() {
        let mut ids = SeededIds(1);
        let (one, other) = (NodeId::fresh(&mut ids), NodeId::fresh(&mut ids));
        let mut failures = Failures::new();
        for node in [one, other] {
            (0..5).for_each(|_| failures.note("web", node, 0));
            (0..5).for_each(|_| failures.note("db", node, 0));
        }
        failures.forget_node(one);
        assert_eq!(failures.bad_nodes(&"web", 1), [other]);
        failures.forget_version(&"web");
        assert_eq!(failures.bad_nodes(&"web", 1), []);
        assert_eq!(failures.bad_nodes(&"db", 1), [other]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut ids = SeededIds(1);
        let mut failures = Failures::new();
        let first = NodeId::fresh(&mut ids);
        (0..5).for_each(|_| failures.note(0, first, 1));
        for number in 0..FAILURE_PAIRS_MAX as u64 {
            failures.note(number, NodeId::fresh(&mut ids), 2);
        }
        assert_eq!(failures.pairs(), FAILURE_PAIRS_MAX);
        assert_eq!(failures.bad_nodes(&0, 3), [], "the pair that was quiet for the longest time went");
        failures.note(0, first, 2 + FAILURES_WINDOW_MS);
        assert_eq!(failures.pairs(), 1, "and all that is over when room is short");
    }
}
