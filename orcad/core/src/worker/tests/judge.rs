//! What must hold after every step of the model, and what in the end.

use std::collections::{BTreeMap, BTreeSet};

use orca_api::id::{PlacementId, TaskId};
use orca_api::link::{Assignment, DEAD_CONTAINERS_KEPT, Generation, PlacementWanted};
use orca_api::task::State;
use orca_api::units::Span;

use super::world::World;
use crate::invariant::check_worker;
use crate::worker::Event;
use crate::worker::io::ContainerStatus;

impl World {
    /// What must hold whenever something was committed.
    pub(super) fn after_commit(&mut self) {
        assert_eq!(check_worker(&self.worker), Vec::<String>::new());
        assert!(self.worker.same_durable(&self.stored), "memory and disk differ");
        for status in self.worker.inventory() {
            for attempt in &status.attempts {
                let highest = self.highest.entry((status.placement, attempt.number)).or_insert(attempt.state);
                assert!(
                    attempt.state == *highest || (attempt.state > *highest && !highest.is_terminal()),
                    "attempt {} went from {highest} to {}",
                    attempt.number,
                    attempt.state
                );
                *highest = attempt.state;
            }
        }
    }

    /// At most one container of a placement lives.
    pub(super) fn check_engine(&self) {
        let mut alive: BTreeMap<PlacementId, usize> = BTreeMap::new();
        for container in self.containers.values().filter(|c| c.status == ContainerStatus::Running) {
            if let Some(labels) = container.labels.as_ref().filter(|l| l.cluster == self.cluster) {
                *alive.entry(labels.placement).or_default() += 1;
            }
        }
        assert!(
            alive.values().all(|n| *n <= 1),
            "two containers of a placement live: {:#?}",
            self.containers
        );
    }

    /// What is wanted is there, and nothing else.
    pub(super) fn assert_converged(&mut self) {
        let held = self.worker.inventory();
        let known: BTreeSet<PlacementId> = held.iter().map(|s| s.placement).collect();
        let wanted: BTreeSet<PlacementId> = self.assignment.placements.keys().copied().collect();
        assert_eq!(known, wanted, "what is held is not what is assigned");
        assert_eq!(self.worker.generation(), self.assignment.generation);
        let mut needed = BTreeSet::new();
        for status in &held {
            let last = status.attempts.last();
            match self.assignment.placements[&status.placement].wanted {
                PlacementWanted::Stopped => assert!(
                    status.finished && last.is_none_or(|a| a.state.is_terminal()),
                    "not stopped: {status:#?}"
                ),
                _ if status.finished => assert!(
                    last.is_some_and(|a| a.state.is_terminal()),
                    "finished without an end: {status:#?}"
                ),
                PlacementWanted::Running => {
                    assert!(last.is_some_and(|a| a.state == State::Running), "does not run: {status:#?}");
                }
                PlacementWanted::Ready => assert!(
                    last.is_some_and(|a| matches!(a.state, State::Ready | State::Running)),
                    "is not ready: {status:#?}"
                ),
            }
            if let Some(a) = last.filter(|a| !a.state.is_terminal()) {
                needed.insert(a.container.clone().expect("a container"));
            }
            assert_eq!(
                self.reported.get(&status.placement).map(|r| &r.attempts),
                Some(&status.attempts),
                "not reported"
            );
        }
        let mut dead: BTreeMap<TaskId, usize> = BTreeMap::new();
        for container in self.containers.values() {
            let labels = container.labels.as_ref().expect("labels");
            if !needed.contains(&container.id) {
                assert_eq!(container.status, ContainerStatus::Exited, "a leftover: {container:#?}");
                assert!(wanted.contains(&labels.placement), "a container of nobody: {container:#?}");
                *dead.entry(labels.task).or_default() += 1;
            }
        }
        assert!(dead.values().all(|n| *n <= DEAD_CONTAINERS_KEPT), "too many dead containers");
    }

    /// Restarts of the daemon, resent sets and sweeps touch nothing.
    pub(super) fn assert_restart_neutral(&mut self) {
        self.calls.clear();
        self.commits = 0;
        for _ in 0..2 {
            self.inbox.push_back(self.assigned());
            self.run_for(Span::from_secs(60));
            self.crash();
            self.run_for(Span::from_secs(60));
        }
        assert_eq!(self.calls, Vec::<String>::new(), "something was done though nothing had changed");
        assert_eq!(self.commits, 0, "something was stored though nothing had changed");
        // An older set is refused.
        let older =
            Generation { n: self.assignment.generation.n.saturating_sub(1), ..self.assignment.generation };
        if older < self.assignment.generation {
            self.step(Event::Assigned {
                assignment: Assignment { generation: older, ..Assignment::default() },
                specs: BTreeMap::new(),
            });
            assert_eq!((self.calls.len(), self.commits), (0, 0), "an older set was taken in");
        }
    }
}
