//! Containers and records that nobody needs any more.
//!
//! Kept are the containers of live attempts, and of each task the last dead ones, for their logs. Everything else
//! of our cluster is stopped where it lives, and removed. Containers of placements that we do not know are only
//! touched once the manager has said which ones there are, in this life or in one whose word is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orca_api::id::{PlacementId, TaskId};
use orca_api::link::DEAD_CONTAINERS_KEPT;
use orca_api::spec::STOP_GRACE_DEFAULT;
use orca_api::units::Span;

use super::containers::{is_alive, is_dead};
use super::io::{Change, Container, ContainerStatus, Effect, Labels};
use super::ops::{OpKind, Target};
use super::step::Turn;

impl Turn<'_> {
    /// Removes leftovers, then forgets what has left the set.
    pub fn tidy(&mut self) {
        let leftovers = self.leftovers();
        for container in leftovers {
            self.remove_leftover(&container);
        }
        self.forget_gone();
    }

    fn leftovers(&self) -> Vec<Arc<Container>> {
        let Some(cluster) = self.w.cluster() else { return Vec::new() };
        let mut found = Vec::new();
        let mut dead: BTreeMap<TaskId, Vec<(u32, Arc<Container>)>> = BTreeMap::new();
        for container in self.w.live.containers.iter() {
            let Some(labels) = container.labels.as_ref().filter(|l| l.cluster == cluster) else { continue };
            match self.use_of(labels, container) {
                Use::Needed => {}
                Use::Logs => {
                    dead.entry(labels.task).or_default().push((labels.attempt, Arc::clone(container)));
                }
                Use::None => found.push(Arc::clone(container)),
            }
        }
        for (_, mut containers) in dead {
            containers.sort_by_key(|c| std::cmp::Reverse(c.0));
            found.extend(containers.into_iter().skip(DEAD_CONTAINERS_KEPT).map(|(_, c)| c));
        }
        found
    }

    fn use_of(&self, labels: &Labels, container: &Container) -> Use {
        let Some(record) = self.record(labels.placement) else {
            return if self.w.live.assigned { Use::None } else { Use::Needed };
        };
        if let Some(live) = record.live_attempt().filter(|a| a.status.number == labels.attempt) {
            let ours = live.status.container.as_ref().is_none_or(|id| *id == container.id);
            return if ours { Use::Needed } else { Use::None };
        }
        let ran = container.started_at.is_some()
            || record.attempt(labels.attempt).is_some_and(|a| a.status.started_at.is_some());
        if record.assigned.is_some() && ran && is_dead(container) { Use::Logs } else { Use::None }
    }

    fn remove_leftover(&mut self, container: &Container) {
        let target = Target::Leftover(container.id.clone());
        if !self.is_free(&target) || container.status == ContainerStatus::Removing {
            return;
        }
        let id = container.id.clone();
        if is_alive(container) {
            let spec = container.labels.as_ref().and_then(|l| self.w.durable.specs.get(&l.spec));
            let grace = spec.map_or(STOP_GRACE_DEFAULT, |s| s.grace());
            let signal = spec.and_then(|s| s.stop_signal);
            let op = self.begin(OpKind::Stop, target, 0, Some(id.clone()), grace);
            self.effects.push(Effect::Stop { op, container: id, signal, grace });
        } else {
            let op = self.begin(OpKind::Remove, target, 0, Some(id.clone()), Span::ZERO);
            self.effects.push(Effect::Remove { op, container: id });
        }
    }

    /// Placements that left the set are forgotten with their last container, specs with their last placement.
    fn forget_gone(&mut self) {
        let gone: Vec<PlacementId> = self
            .w
            .durable
            .placements
            .values()
            .filter(|r| {
                r.assigned.is_none()
                    && r.live_attempt().is_none()
                    && self.w.live.containers.of(r.id).next().is_none()
            })
            .map(|r| r.id)
            .collect();
        if gone.is_empty() {
            return;
        }
        for placement in gone {
            self.put(Change::PlacementGone { placement });
            self.drop_op(&Target::Attempt(placement));
            let live = &mut self.w.live;
            live.retries.remove(&Target::Attempt(placement));
            live.pulled.remove(&placement);
            live.shown.remove(&placement);
            live.outbox.unaccepted.remove(&placement);
            self.news.remove(&placement);
        }
        let needed: BTreeSet<&String> = self.w.durable.placements.values().map(|r| &r.spec).collect();
        let unneeded: Vec<String> =
            self.w.durable.specs.keys().filter(|digest| !needed.contains(digest)).cloned().collect();
        for digest in unneeded {
            self.put(Change::SpecGone { digest });
        }
    }
}

/// What a container is still good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It is a live attempt's, or not for us to judge.
    Needed,
    /// Its logs may be read.
    Logs,
    /// Nothing.
    None,
}
