//! Who is there: silence, probes, graces, the brake on mass failures, and what becomes of the tasks of a node that is down.

use orca_api::error::{Code, Problem};
use orca_api::id::{LifeId, NodeId};
use orca_api::name::Name;
use orca_api::task::{Reason, State};
use std::collections::BTreeSet;

use super::io::{Answer, Found};
use super::record::PlacementRecord;
use super::turn::{SetChange, Turn};

impl Turn<'_> {
    pub(super) fn on_dropped(&mut self, _node: NodeId, _life: LifeId) {}

    pub(super) fn on_probed(&mut self, _node: NodeId, _probe: u64, _found: Found) {}

    pub(super) fn confirm_down(&mut self, _text: &str) -> Result<Answer, Problem> {
        Err(Problem::new(Code::Internal, "not written yet"))
    }

    /// The manager gives up on a node: what it had there is lost, and placed elsewhere. Gives the names of those tasks.
    pub(super) fn give_up(&mut self, node: NodeId, reason: Reason) -> Vec<Name> {
        let here = self.m.durable.by_node.get(&node).into_iter().flatten();
        let live: Vec<PlacementRecord> = here
            .filter_map(|p| self.m.durable.placements.get(p))
            .filter(|p| !p.is_ended())
            .map(|p| PlacementRecord::clone(p))
            .collect();
        let mut tasks = BTreeSet::new();
        for mut placement in live {
            tasks.insert(placement.task);
            placement.lost = Some(reason);
            placement.since = self.now.wall;
            if let Some(task) = self.m.durable.tasks.get(&placement.task).cloned() {
                let words = String::new();
                self.task_event(
                    "task.state",
                    &task,
                    Some(node),
                    Some(State::Lost.as_str()),
                    Some(reason),
                    words,
                );
            }
            self.put_placement(placement, SetChange::Yes);
        }
        for task in &tasks {
            self.reconcile(*task);
        }
        self.names_of(&tasks)
    }
}
