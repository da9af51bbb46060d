//! What is wanted: the manager's welcome, its sets, and what it says to reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orca_api::id::{ClusterId, NodeId, PlacementId};
use orca_api::link::{Assigned, Assignment, Generation};
use orca_api::name::Name;
use orca_api::spec::TaskSpec;

use super::io::{Change, Counters, PlacementRecord};
use super::state::{Identity, Sweep};
use super::step::Turn;

impl Turn<'_> {
    /// The manager knows us. Another cluster's sets begin anew.
    pub fn on_welcomed(&mut self, cluster: ClusterId, node: NodeId, name: Name) {
        let known = self.w.durable.identity.as_ref();
        if known.is_some_and(|i| i.cluster != cluster) && self.w.durable.generation != Generation::default() {
            self.put(Change::GenerationPut { generation: Generation::default() });
            self.w.live.assigned = false;
        }
        let identity = Identity { cluster, node, name };
        if self.w.cluster() != Some(cluster) {
            self.w.live.sweep = Sweep { wanted: true, ..Sweep::default() };
        }
        if self.w.durable.identity.as_ref() != Some(&identity) {
            self.put(Change::IdentityPut { cluster, node, name: identity.name });
        }
        let all: BTreeSet<PlacementId> = self.w.live.outbox.unaccepted.clone();
        self.news.extend(all);
    }

    /// A complete set. An older one is refused, and so is one whose specs are not all here: it is sent again, since
    /// our generation did not rise.
    pub fn on_assigned(&mut self, assignment: Assignment, specs: BTreeMap<String, Arc<TaskSpec>>) {
        if assignment.generation < self.w.durable.generation {
            return;
        }
        if self.w.missing_specs(&assignment).iter().any(|digest| !specs.contains_key(digest)) {
            return;
        }
        self.w.live.assigned = true;
        if assignment.generation > self.w.durable.generation {
            self.put(Change::GenerationPut { generation: assignment.generation });
        }
        let needed: BTreeSet<&String> = assignment.placements.values().map(|a| &a.spec).collect();
        for (digest, spec) in specs {
            if needed.contains(&digest) && !self.w.durable.specs.contains_key(&digest) {
                self.put(Change::SpecPut { digest, spec });
            }
        }
        let gone: Vec<PlacementId> = self
            .w
            .durable
            .placements
            .keys()
            .filter(|id| !assignment.placements.contains_key(id))
            .copied()
            .collect();
        for placement in gone {
            self.unassign(placement);
        }
        for (placement, assigned) in assignment.placements {
            self.assign(placement, assigned);
        }
    }

    fn assign(&mut self, placement: PlacementId, assigned: Assigned) {
        let record = match self.record(placement) {
            Some(record) => PlacementRecord { assigned: Some(assigned), ..PlacementRecord::clone(record) },
            None => PlacementRecord {
                id: placement,
                task: assigned.task,
                name: assigned.name.clone(),
                spec: assigned.spec.clone(),
                counters: Counters { budget_used: assigned.budget_used, ..Counters::default() },
                assigned: Some(assigned),
                attempts: Vec::new(),
                next_attempt_at: None,
                finished: false,
                sequence: 0,
                heard: None,
                lease_ended: false,
            },
        };
        self.put_placement(record);
    }

    /// A placement is not wanted here any more: it is stopped, removed, forgotten.
    fn unassign(&mut self, placement: PlacementId) {
        self.edit(placement, |record| record.assigned = None);
    }

    /// The manager took reports in, and said which placements it does not know.
    pub fn on_report_accepted(&mut self, accepted: Vec<(PlacementId, u64)>, unknown: Vec<PlacementId>) {
        for (placement, sequence) in accepted {
            if self.record(placement).is_none_or(|r| r.sequence <= sequence) {
                self.w.live.outbox.unaccepted.remove(&placement);
            }
        }
        for placement in unknown {
            self.w.live.outbox.unaccepted.remove(&placement);
            self.unassign(placement);
        }
    }
}
