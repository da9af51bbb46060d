//! A singleton runs for as long as its manager is heard, and for a lease after that: then it ends by itself, since its manager
//! may begin it elsewhere.
//!
//! A lease begins when the manager was *asked* that answered, so the manager, which counts from when it *was asked*, is
//! never earlier. It is stored now and then, so that a restart of orcad makes no lease longer; one of another boot is worth
//! nothing, since nothing of a singleton runs after a boot before it is begun.

use orca_api::id::PlacementId;

use super::io::{Heard, PlacementRecord};
use super::state::Worker;
use super::step::Turn;
use crate::lease::LEASE;

/// How much older than the truth a stored instant may be, in milliseconds: after a restart a lease ends so much earlier.
const STORED_EVERY_MS: u64 = LEASE.ms() / 3;

impl Worker {
    fn is_singleton(&self, record: &PlacementRecord) -> bool {
        self.durable.specs.get(&record.spec).is_some_and(|spec| spec.singleton)
    }

    /// When the manager was heard last, as far as a placement's lease is concerned, on the boot clock.
    fn heard_for(&self, record: &PlacementRecord) -> Option<u64> {
        let stored = record.heard.as_ref().filter(|h| h.boot_id == self.boot_id).map(|h| h.at);
        stored.max(self.live.heard)
    }

    /// Milliseconds that a singleton's lease is still good for; `None` for what needs none.
    pub(super) fn lease_left(&self, record: &PlacementRecord) -> Option<u64> {
        let now = self.live.now.map_or(0, |n| n.boot_ms);
        self.is_singleton(record).then(|| {
            let ends = self.heard_for(record).map_or(0, |at| at.saturating_add(LEASE.ms()));
            ends.saturating_sub(now)
        })
    }

    /// When the next lease of something that is alive ends, on the boot clock.
    pub(super) fn leases_end(&self) -> Option<u64> {
        let now = self.live.now.map_or(0, |n| n.boot_ms);
        let alive = self.durable.placements.values().filter(|r| !r.lease_ended && r.live_attempt().is_some());
        alive.filter_map(|r| self.lease_left(r)).min().map(|left| now.saturating_add(left))
    }
}

impl Turn<'_> {
    /// Notes that the manager was heard, and ends what has no lease any more.
    pub fn watch_lease(&mut self, placement: PlacementId) {
        let Some(record) = self.record(placement).cloned() else { return };
        if record.finished || record.lease_ended || record.stop_wanted().is_some() {
            return;
        }
        let Some(left) = self.w.lease_left(&record) else { return };
        let stored = record.heard.as_ref().filter(|h| h.boot_id == self.w.boot_id).map(|h| h.at);
        if let Some(at) = self.w.live.heard
            && stored.is_none_or(|stored| stored.saturating_add(STORED_EVERY_MS) <= at)
        {
            let boot_id = self.w.boot_id.clone();
            self.edit(placement, |r| r.heard = Some(Heard { boot_id, at }));
        }
        if left == 0 && record.live_attempt().is_some() {
            self.edit(placement, |r| r.lease_ended = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use orca_api::id::{ClusterId, LifeId, NodeId, SeededIds, TaskId};
    use orca_api::link::{Assigned, Assignment, Generation, PlacementWanted};
    use orca_api::spec::TaskSpec;
    use orca_api::task::{Reason, State};
    use orca_api::units::{Span, Time};
    use proptest::prelude::*;

    use super::super::io::{Container, ContainerStatus, Done, Effect, EngineState, Event, Labels};
    use super::*;
    use crate::Now;

    /// A worker with a singleton, and an engine that does at once what it is told.
    struct Rig {
        w: Worker,
        ids: SeededIds,
        now: Now,
        placement: PlacementId,
        /// When the manager last received a poll, on its own clock, which began with ours.
        manager_seen: u64,
    }

    impl Rig {
        fn new() -> Self {
            let mut ids = SeededIds(7);
            let life = LifeId::fresh(&mut ids);
            let placement = PlacementId::fresh(&mut ids);
            let mut rig = Self {
                w: Worker::load(life, "b1".to_owned(), []),
                ids,
                now: Now { wall: Time::from_ms(1_800_000_000_000), boot_ms: 50_000 },
                placement,
                manager_seen: 50_000,
            };
            rig.up();
            let (cluster, node) = (ClusterId::fresh(&mut rig.ids), NodeId::fresh(&mut rig.ids));
            rig.step(Event::Welcomed { cluster, node, name: "n1".parse().expect("a name") });
            rig.step(Event::Swept { containers: Vec::new() });
            rig.heard();
            let spec: TaskSpec = serde_json::from_str(r#"{"image":"db","singleton":true}"#).expect("a spec");
            let assigned = Assigned {
                task: TaskId::fresh(&mut rig.ids),
                name: "db".parse().expect("a name"),
                spec: spec.digest(),
                wanted: PlacementWanted::Running,
                stop_reason: None,
                stop_grace: None,
                restart: spec.restart,
                attempts_before: 0,
                budget_used: 0,
            };
            let assignment = Assignment {
                generation: Generation { epoch: 1, n: 1 },
                placements: BTreeMap::from([(placement, assigned)]),
            };
            let specs = BTreeMap::from([(spec.digest(), Arc::new(spec))]);
            rig.step(Event::Assigned { assignment, specs });
            rig
        }

        fn up(&mut self) {
            self.step(Event::Started);
            self.step(Event::Engine(EngineState::Up { life: "e1".to_owned(), live_restore: false }));
        }

        fn step(&mut self, event: Event) {
            let mut events = vec![event];
            while let Some(event) = events.pop() {
                for effect in self.w.step(event, self.now, &mut self.ids).effects {
                    let (op, done) = match effect {
                        Effect::Pull { op, .. } => (op, Done::Pulled { image_id: "i".to_owned() }),
                        Effect::Create { op, .. } => {
                            (op, Done::Created { container: "c1".to_owned(), warnings: Vec::new() })
                        }
                        Effect::Start { op, .. } => {
                            (op, Done::Started { seen: self.container(ContainerStatus::Running) })
                        }
                        Effect::Stop { op, .. } => {
                            (op, Done::Stopped { seen: Some(self.container(ContainerStatus::Exited)) })
                        }
                        _ => continue,
                    };
                    events.push(Event::Done { op, result: Ok(done) });
                }
            }
        }

        fn container(&self, status: ContainerStatus) -> Box<Container> {
            let record = &self.w.durable.placements[&self.placement];
            let labels = Labels {
                cluster: self.w.cluster().expect("a cluster"),
                task: record.task,
                placement: record.id,
                attempt: 1,
                spec: record.spec.clone(),
            };
            let running = status == ContainerStatus::Running;
            Box::new(Container {
                id: "c1".to_owned(),
                name: record.attempts[0].container_name.clone(),
                labels: Some(labels),
                status,
                exit_code: (!running).then_some(143),
                oom_killed: false,
                error: String::new(),
                created_at: Some(self.now.wall),
                started_at: Some(self.now.wall),
                finished_at: (!running).then_some(self.now.wall),
                health: None,
                image_id: "i".to_owned(),
                ports: Vec::new(),
                pid: u32::from(running),
                address: None,
            })
        }

        fn heard(&mut self) {
            self.manager_seen = self.now.boot_ms;
            self.step(Event::Heard { asked_at: self.now.boot_ms });
        }

        fn later(&mut self, ms: u64) {
            self.now = self.now.plus(Span::from_ms(ms));
            self.step(Event::Tick);
        }

        /// A new process, with what the store holds.
        fn restart(&mut self) {
            let rows = self.w.durable_rows();
            self.w = Worker::load(LifeId::fresh(&mut self.ids), "b1".to_owned(), rows);
            self.up();
        }

        fn is_over(&self) -> bool {
            let record = &self.w.durable.placements[&self.placement];
            record.finished || record.lease_ended
        }
    }

    #[test]
    fn a_lease_ends_and_says_so() {
        let mut rig = Rig::new();
        assert!(!rig.is_over());
        rig.later(LEASE.ms() - 1);
        assert!(!rig.is_over());
        assert_eq!(rig.w.next_deadline(), Some(rig.now.boot_ms + 1), "the end is a deadline");
        rig.later(1);
        let record = &rig.w.durable.placements[&rig.placement];
        let last = record.attempts.last().expect("an attempt");
        assert!(record.finished);
        assert_eq!((last.status.state, last.status.reason), (State::Stopped, Some(Reason::LeaseEnded)));
    }

    #[test]
    fn another_boot_begins_nothing_before_the_manager_is_heard() {
        let mut rig = Rig::new();
        let record = PlacementRecord::clone(&rig.w.durable.placements[&rig.placement]);
        rig.w.boot_id = "b2".to_owned();
        rig.w.live.heard = None;
        assert_eq!(rig.w.lease_left(&record), Some(0));
        rig.step(Event::Heard { asked_at: rig.now.boot_ms });
        assert_eq!(rig.w.lease_left(&record), Some(LEASE.ms()));
    }

    #[derive(Clone, Debug)]
    enum Deed {
        Later(u64),
        Heard,
        Restart,
    }

    proptest! {
        /// Whatever is heard, and however often orcad is restarted: when the manager's lease for it is over, it is over here,
        /// as soon as orcad runs; and as long as it is heard in time it lives.
        #[test]
        fn it_never_outlives_what_the_manager_waits_for(
            deeds in proptest::collection::vec(
                prop_oneof![
                    3 => (1u64..6000).prop_map(Deed::Later),
                    2 => Just(Deed::Heard),
                    1 => Just(Deed::Restart),
                ],
                1..60,
            )
        ) {
            let mut rig = Rig::new();
            let mut ended = false;
            for deed in deeds {
                match deed {
                    Deed::Later(ms) => rig.later(ms),
                    Deed::Heard => rig.heard(),
                    Deed::Restart => rig.restart(),
                }
                let silent = rig.now.boot_ms - rig.manager_seen;
                if silent >= LEASE.ms() {
                    prop_assert!(rig.is_over(), "silent for {silent} ms");
                }
                ended |= rig.is_over();
                // A stored instant may be a little old: no lease ends much too early for that.
                if !ended && silent + STORED_EVERY_MS < LEASE.ms() {
                    prop_assert!(!rig.is_over());
                }
                prop_assert!(!ended || rig.is_over(), "what has ended stays so");
            }
        }
    }
}
