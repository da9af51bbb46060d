//! What the engine's containers look like, as last told: an index by id and by placement.
//!
//! Views arrive out of order (a sweep that was asked for earlier may be answered later), so a container never
//! goes back to an earlier stage of its life here, unless somebody really started it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orca_api::id::PlacementId;

use super::io::{Container, ContainerStatus};

/// All containers with our label that the engine told of.
#[derive(Clone, Debug, Default)]
pub(super) struct Containers {
    by_id: BTreeMap<String, Arc<Container>>,
    by_placement: BTreeMap<PlacementId, BTreeSet<String>>,
}

impl Containers {
    /// Takes in what the engine told, unless something later is known.
    pub fn see(&mut self, container: Container) {
        let Some(labels) = &container.labels else { return };
        if self.by_id.get(&container.id).is_some_and(|known| is_older(&container, known)) {
            return;
        }
        self.by_placement.entry(labels.placement).or_default().insert(container.id.clone());
        self.by_id.insert(container.id.clone(), Arc::new(container));
    }

    /// It is gone.
    pub fn forget(&mut self, id: &str) -> Option<Arc<Container>> {
        let container = self.by_id.remove(id)?;
        if let Some(labels) = &container.labels
            && let Some(ids) = self.by_placement.get_mut(&labels.placement)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.by_placement.remove(&labels.placement);
            }
        }
        Some(container)
    }

    /// One by its id.
    pub fn get(&self, id: &str) -> Option<&Arc<Container>> {
        self.by_id.get(id)
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.by_id.values()
    }

    /// Those of a placement.
    pub fn of(&self, placement: PlacementId) -> impl Iterator<Item = &Arc<Container>> {
        self.by_placement.get(&placement).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }
}

/// Whether a process of it lives.
pub(super) const fn is_alive(container: &Container) -> bool {
    matches!(container.status, ContainerStatus::Running | ContainerStatus::Paused)
}

/// Whether its process has ended for good.
pub(super) const fn is_dead(container: &Container) -> bool {
    matches!(container.status, ContainerStatus::Exited | ContainerStatus::Dead | ContainerStatus::Removing)
}

/// Whether a view is older than the one that is known.
fn is_older(new: &Container, known: &Container) -> bool {
    let stage = |c: &Container| match c.status {
        ContainerStatus::Created => 0,
        ContainerStatus::Running | ContainerStatus::Paused => 1,
        ContainerStatus::Exited => 2,
        ContainerStatus::Dead | ContainerStatus::Removing => 3,
    };
    match (stage(new), stage(known)) {
        (0, 1..) => true,
        // Started again by hand: its process began later than the one that is known.
        (1, 2..) => new.started_at <= known.started_at,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use orca_api::id::{ClusterId, SeededIds, TaskId};
    use orca_api::units::Time;

    use super::*;
    use crate::worker::io::Labels;

    fn container(status: ContainerStatus, started: Option<i64>) -> Container {
        let mut ids = SeededIds(1);
        let labels = Labels {
            cluster: ClusterId::fresh(&mut ids),
            task: TaskId::fresh(&mut ids),
            placement: PlacementId::fresh(&mut ids),
            attempt: 1,
            spec: "s".to_owned(),
        };
        Container {
            id: "c".to_owned(),
            name: "web-a1-0000".to_owned(),
            labels: Some(labels),
            status,
            exit_code: None,
            oom_killed: false,
            error: String::new(),
            created_at: None,
            started_at: started.map(Time::from_ms),
            finished_at: None,
            health: None,
            image_id: String::new(),
            ports: Vec::new(),
            pid: 0,
            address: None,
        }
    }

    #[test]
    fn late_news_do_not_undo_what_is_known() {
        use ContainerStatus::{Created, Dead, Exited, Paused, Removing, Running};
        for (known, new, taken) in [
            ((Created, None), (Running, Some(1)), true),
            ((Running, Some(1)), (Created, None), false),
            ((Running, Some(1)), (Paused, Some(1)), true),
            ((Paused, Some(1)), (Running, Some(1)), true),
            ((Running, Some(1)), (Exited, Some(1)), true),
            ((Exited, Some(1)), (Running, Some(1)), false),
            ((Exited, Some(1)), (Running, Some(2)), true),
            ((Exited, Some(1)), (Removing, Some(1)), true),
            ((Removing, Some(1)), (Dead, Some(1)), true),
            ((Exited, Some(1)), (Created, None), false),
        ] {
            let mut containers = Containers::default();
            containers.see(container(known.0, known.1));
            containers.see(container(new.0, new.1));
            let now = containers.get("c").map(|c| c.status);
            assert_eq!(now, Some(if taken { new.0 } else { known.0 }), "{known:?}, then {new:?}");
        }
    }

    #[test]
    fn what_is_forgotten_is_in_no_index() {
        let mut containers = Containers::default();
        let seen = container(ContainerStatus::Running, Some(1));
        let placement = seen.labels.as_ref().map(|l| l.placement).expect("labels");
        containers.see(seen);
        assert_eq!(containers.of(placement).count(), 1);
        assert!(containers.forget("c").is_some() && containers.forget("c").is_none());
        assert_eq!((containers.of(placement).count(), containers.iter().count()), (0, 0));
        // Foreign ones are not taken in.
        containers.see(Container { labels: None, ..container(ContainerStatus::Running, None) });
        assert_eq!(containers.iter().count(), 0);
    }
}
