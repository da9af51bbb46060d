//! Health: whose word counts, and what orca checks by itself.
//!
//! ```text
//!  the spec's check    who asks                                      an attempt that runs is
//!  none, off           nobody (or the engine: the image's check)     running at once (or as below)
//!  exec                the engine, in the container                  starting ─ healthy ─► running
//!  http, tcp           the shell, for what `checks` names            either ─ unhealthy ─► stopping ─► failed (unhealthy)
//! ```
//!
//! A word about a check over the network is volatile. After a restart of the daemon an attempt that was running is running
//! until it is proven unhealthy, and one that was starting is asked again.

use orca_api::id::PlacementId;
use orca_api::link::Progress;
use orca_api::spec::HealthCheck;
use orca_api::task::State;

use super::io::{CheckTarget, Container, ContainerStatus, Health};
use super::state::Worker;
use super::step::Turn;

/// How a failing check is shown, with what it said.
const FAILING: &str = "its health check fails: ";

impl Worker {
    /// The containers whose health the shell is to check, over the network: those of attempts that start or run, as long
    /// as the engine can be asked. What it finds comes back as [`super::Event::Checked`].
    pub fn checks(&self) -> Vec<CheckTarget> {
        if !self.may_act() {
            return Vec::new();
        }
        let target = |id| {
            let check = self.network_check(id)?;
            let attempt = self.durable.placements.get(id)?.live_attempt()?;
            let starting = match attempt.status.state {
                State::Starting => true,
                State::Running => false,
                _ => return None,
            };
            let container = self.live.containers.get(attempt.status.container.as_ref()?)?;
            (container.status == ContainerStatus::Running).then(|| CheckTarget {
                container: container.id.clone(),
                address: container.address,
                check: check.clone(),
                started_at: attempt.status.started_at,
                starting,
            })
        };
        self.durable.placements.keys().filter_map(target).collect()
    }

    /// A placement's check over the network.
    fn network_check(&self, placement: &PlacementId) -> Option<&HealthCheck> {
        let record = self.durable.placements.get(placement)?;
        self.durable.specs.get(&record.spec)?.health.as_ref().filter(|check| check.is_network())
    }
}

impl Turn<'_> {
    /// Whether a running container is well; `None` where nobody checks.
    pub fn health_of(&self, placement: PlacementId, container: &Container) -> Option<Health> {
        if self.w.network_check(&placement).is_none() {
            return container.health.clone();
        }
        Some(self.w.live.checked.get(&container.id).cloned().unwrap_or(Health::Starting))
    }

    /// A check over the network came to something. A word about what has ended meanwhile is dropped.
    pub fn on_checked(&mut self, container: &str, health: Health, failing: Option<String>) {
        let Some(known) = self.w.live.containers.get(container) else { return };
        let Some(placement) = known.labels.as_ref().map(|labels| labels.placement) else { return };
        let live = self.record(placement).and_then(|r| r.live_attempt());
        let Some(attempt) = live.filter(|a| a.status.container.as_deref() == Some(container)) else { return };
        let state = attempt.status.state;
        if self.w.network_check(&placement).is_none() || !matches!(state, State::Starting | State::Running) {
            return;
        }
        self.w.live.checked.insert(container.to_owned(), health);
        let progress = failing.map(|said| Progress { step: format!("{FAILING}{said}"), done: 0, total: 0 });
        let shown = self.w.live.shown.entry(placement).or_default();
        let over = shown.progress.as_ref().is_some_and(|p| p.step.starts_with(FAILING));
        if shown.progress != progress && (progress.is_some() || over) {
            shown.progress = progress;
            shown.unsaid = true;
        }
    }
}
