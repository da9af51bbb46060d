//! What is there: the engine's word about containers becomes the state of attempts.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::id::PlacementId;
use orca_api::link::{ATTEMPTS_KEPT, AttemptStatus};
use orca_api::task::{Reason, State};

use super::containers::{is_alive, is_dead};
use super::engine::boot_time;
use super::io::{AttemptRecord, Container, ContainerStatus, Health, Labels, PlacementRecord};
use super::ops::Target;
use super::outcome::{self, End, signal_of};
use super::restart::{self, After, Ended};
use super::step::Turn;

impl Turn<'_> {
    /// The engine told of all containers. One that it did not tell of may have been made since it was asked: it is
    /// asked about that one by itself.
    pub fn on_swept(&mut self, containers: Vec<Container>) {
        if self.w.live.engine.is_gone() {
            return;
        }
        let told: BTreeSet<String> = containers.iter().map(|c| c.id.clone()).collect();
        for container in containers {
            self.see(container);
        }
        let seen = self.w.live.containers.iter().map(|c| &c.id);
        let attempts = self.w.durable.placements.values().flat_map(|r| &r.attempts);
        let recorded =
            attempts.filter(|a| a.status.container_kept).filter_map(|a| a.status.container.as_ref());
        let missing: BTreeSet<String> =
            seen.chain(recorded).filter(|id| !told.contains(*id)).cloned().collect();
        for id in missing {
            self.inspect(id);
        }
        let sweep = &mut self.w.live.sweep;
        sweep.asked = None;
        sweep.answered = Some(self.now.boot_ms);
        sweep.complete = true;
        self.w.live.swept = true;
    }

    /// A container was made for an attempt. False where that cannot be: it is another's.
    pub fn on_created(&mut self, placement: PlacementId, number: u32, id: &str, warnings: &[String]) -> bool {
        let (Some(record), Some(cluster)) = (self.record(placement), self.w.cluster()) else { return true };
        let Some(attempt) = record.attempt(number) else { return true };
        let labels =
            Labels { cluster, task: record.task, placement, attempt: number, spec: record.spec.clone() };
        // One that was found instead of made may be further: the next look tells.
        if let Some(known) = self.w.live.containers.get(id) {
            return known.labels.as_ref() == Some(&labels);
        }
        let container = Container {
            id: id.to_owned(),
            name: attempt.container_name.clone(),
            labels: Some(labels),
            status: ContainerStatus::Created,
            exit_code: None,
            oom_killed: false,
            error: String::new(),
            created_at: Some(self.now.wall),
            started_at: None,
            finished_at: None,
            health: None,
            image_id: self.w.live.pulled.get(&placement).cloned().unwrap_or_default(),
            ports: Vec::new(),
            pid: 0,
            address: None,
        };
        self.w.live.containers.see(container);
        if self.is_live(placement, number) && !warnings.is_empty() {
            self.warn(placement, Some(warnings.join("; ")));
        }
        true
    }

    /// Applies what is known of a placement's containers to its attempts, and takes up those that it has no record
    /// of: the store was lost, the containers were not.
    pub fn look(&mut self, placement: PlacementId) {
        let cluster = self.w.cluster();
        let mut views: Vec<(u32, Arc<Container>)> = self
            .w
            .live
            .containers
            .of(placement)
            .filter(|c| c.status != ContainerStatus::Removing)
            .filter_map(|c| {
                let labels = c.labels.as_ref().filter(|l| Some(l.cluster) == cluster)?;
                Some((labels.attempt, Arc::clone(c)))
            })
            .collect();
        // Of two containers of one attempt the living one is the attempt's.
        views.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| is_alive(&b.1).cmp(&is_alive(&a.1))));
        let newest = views.last().map(|v| v.0);
        for (number, container) in views {
            let Some(record) = self.record(placement) else { return };
            let unknown = record.attempts.last().is_none_or(|a| a.status.number < number);
            // The manager may know how it ended: one that never ran is made anew, under a number of its own.
            let settled = container.status == ContainerStatus::Created
                && record.assigned.as_ref().is_some_and(|a| number <= a.attempts_before);
            // Of several unknown ones only the newest may be alive: the others are leftovers.
            if unknown
                && !settled
                && record.assigned.is_some()
                && record.live_attempt().is_none()
                && (is_dead(&container) || Some(number) == newest)
            {
                self.rebuild(placement, number, &container);
            }
            let ours = self.record(placement).and_then(|r| r.live_attempt()).is_some_and(|a| {
                a.status.number == number && a.status.container.as_ref().is_none_or(|id| *id == container.id)
            });
            if ours {
                self.look_at(placement, number, &container);
            }
        }
    }

    /// Makes a record of an attempt from its container's labels.
    fn rebuild(&mut self, placement: PlacementId, number: u32, container: &Container) {
        let rebooted = container.started_at.is_some_and(|t| t < boot_time(self.now));
        let boot_id = if rebooted { String::new() } else { self.w.boot_id.clone() };
        let created_at = container.created_at.unwrap_or(self.now.wall);
        self.edit(placement, |record| {
            record.next_attempt_at = None;
            record.finished = false;
            push_attempt(record, new_attempt(number, container.name.clone(), boot_id, created_at));
        });
    }

    /// Moves a live attempt to where its container is.
    fn look_at(&mut self, placement: PlacementId, number: u32, container: &Container) {
        let id = container.id.clone();
        match container.status {
            ContainerStatus::Created => self.edit_attempt(placement, number, |a| {
                a.status.container = Some(id);
                a.status.container_kept = true;
                if !container.image_id.is_empty() {
                    a.status.image_id = Some(container.image_id.clone());
                }
                a.rise(State::Ready);
            }),
            ContainerStatus::Running | ContainerStatus::Paused => {
                self.look_at_running(placement, number, container);
            }
            ContainerStatus::Exited | ContainerStatus::Dead => self.end(placement, number, Some(container)),
            ContainerStatus::Removing => {}
        }
    }

    fn look_at_running(&mut self, placement: PlacementId, number: u32, container: &Container) {
        let known = self.record(placement).and_then(|r| r.attempt(number));
        if known.is_some_and(|a| self.says_nothing_new(placement, a, container)) {
            return;
        }
        let life = self.w.live.engine.life().map(str::to_owned);
        let boot_id = self.w.boot_id.clone();
        let health = self.health_of(placement, container);
        let own = self.w.live.shown.get(&placement).and_then(|s| s.own.ms(self.now.boot_ms));
        let stopped = self.record(placement).is_some_and(|r| r.stop_wanted().is_some());
        let before = known.map(|a| a.status.state);
        let rising = before.is_some_and(|state| state < State::Running);
        self.edit_attempt(placement, number, |a| {
            let s = &mut a.status;
            s.container = Some(container.id.clone());
            s.container_kept = true;
            s.started_at = container.started_at.or(s.started_at);
            if !container.image_id.is_empty() {
                s.image_id = Some(container.image_id.clone());
            }
            if !container.ports.is_empty() {
                s.ports.clone_from(&container.ports);
            }
            a.boot_id = boot_id;
            a.engine_life = life.or_else(|| a.engine_life.take());
            match &health {
                Some(Health::Starting) => a.rise(State::Starting),
                Some(Health::Healthy) | None => a.rise(State::Running),
                Some(Health::Unhealthy(said)) => {
                    a.rise(State::Starting);
                    if !stopped && matches!(a.status.state, State::Starting | State::Running) {
                        a.stop_sent = true;
                        a.status.reason = Some(Reason::Unhealthy);
                        a.status.message.clone_from(said);
                        a.rise(State::Stopping);
                    }
                }
            }
            if rising && a.status.state >= State::Running {
                a.status.own_ms = own;
            }
        });
        let now = self.record(placement).and_then(|r| r.attempt(number)).map(|a| a.status.state);
        if now != before
            && let Some(shown) = self.w.live.shown.get_mut(&placement)
        {
            shown.progress = None;
        }
    }

    /// Whether all that a running container says is recorded: most looks change nothing, and cost nothing.
    fn says_nothing_new(
        &self,
        placement: PlacementId,
        attempt: &AttemptRecord,
        container: &Container,
    ) -> bool {
        let s = &attempt.status;
        let life = self.w.live.engine.life();
        matches!(s.state, State::Running | State::Stopping)
            && !matches!(self.health_of(placement, container), Some(Health::Unhealthy(_)))
            && s.container.as_ref() == Some(&container.id)
            && s.container_kept
            && (container.started_at.is_none() || s.started_at == container.started_at)
            && (container.image_id.is_empty() || s.image_id.as_ref() == Some(&container.image_id))
            && (container.ports.is_empty() || s.ports == container.ports)
            && attempt.boot_id == self.w.boot_id
            && (life.is_none() || attempt.engine_life.as_deref() == life)
    }

    /// A container is not there any more. A live attempt of it has ended.
    pub fn vanish(&mut self, id: &str) {
        self.w.live.containers.forget(id);
        self.w.live.peaks.remove(id);
        self.w.live.checked.remove(id);
        self.w.live.retries.remove(&Target::Leftover(id.to_owned()));
        let of = |a: &AttemptRecord| a.status.container_kept && a.status.container.as_deref() == Some(id);
        let found = self
            .w
            .durable
            .placements
            .values()
            .find_map(|r| r.attempts.iter().find(|a| of(a)).map(|a| (r.id, a.status.number)));
        if let Some((placement, number)) = found {
            if self.is_live(placement, number) {
                self.end(placement, number, None);
            }
            self.edit_attempt(placement, number, |a| a.status.container_kept = false);
        }
    }

    /// An attempt's process has ended, or its container is gone: books what it was.
    pub fn end(&mut self, placement: PlacementId, number: u32, container: Option<&Container>) {
        let Some(record) = self.record(placement) else { return };
        let Some(attempt) = record.attempt(number).filter(|a| !a.status.state.is_terminal()) else { return };
        let id = container.map(|c| &c.id).or(attempt.status.container.as_ref());
        let started = container.and_then(|c| c.started_at).or(attempt.status.started_at);
        let finished = container.and_then(|c| c.finished_at);
        let end = End {
            stop: record.stop_wanted(),
            reboot: self.w.live.going_down || attempt.boot_id != self.w.boot_id,
            engine_restart: self.w.live.engine.ended_it(attempt, finished),
            unhealthy: (attempt.status.reason == Some(Reason::Unhealthy))
                .then(|| attempt.status.message.clone()),
            vanished: container.is_none(),
            exit_code: container.filter(|c| c.status != ContainerStatus::Created).and_then(|c| c.exit_code),
            oom_killed: container.is_some_and(|c| c.oom_killed),
            limit: self.w.durable.specs.get(&record.spec).and_then(|s| s.memory),
            peak: id.and_then(|id| self.w.live.peaks.get(id)).copied(),
            ran: started.map(|s| finished.unwrap_or(self.now.wall).since(s)),
            oom_nearby: finished.is_some_and(|at| self.is_kernel_killing(id, at)),
            error: container.map(|c| c.error.clone()).unwrap_or_default(),
        };
        let mut outcome = outcome::decide(&end);
        // A container that vanished before its process began was never more than made.
        if end.vanished && outcome.state == State::Failed && attempt.status.state < State::Starting {
            outcome.state = State::Rejected;
        }
        if let Some(id) = id.cloned() {
            self.w.live.checked.remove(&id);
        }
        let seen = container.cloned();
        self.edit_attempt(placement, number, |a| {
            if let Some(c) = &seen {
                a.status.container = Some(c.id.clone());
                a.status.container_kept = true;
                if !c.image_id.is_empty() {
                    a.status.image_id = Some(c.image_id.clone());
                }
            }
            a.status.exit_code = end.exit_code;
            a.status.signal = end.exit_code.and_then(signal_of).map(orca_api::spec::Signal::number);
            a.status.started_at = started;
        });
        let at = started.map(|_| finished.unwrap_or(self.now.wall));
        self.edit_attempt(placement, number, |a| a.status.finished_at = at);
        self.finish_attempt(placement, number, outcome.state, outcome.reason, outcome.message);
    }

    /// Ends an attempt, and asks the restart policy what follows.
    pub fn finish_attempt(
        &mut self,
        placement: PlacementId,
        number: u32,
        state: State,
        reason: Option<Reason>,
        message: String,
    ) {
        let now = self.now.wall;
        let jitter =
            self.ids.next_id().bytes().iter().fold(0u64, |bits, byte| (bits << 8) | u64::from(*byte));
        self.drop_op(&Target::Attempt(placement));
        self.w.live.retries.remove(&Target::Attempt(placement));
        self.w.live.pulled.remove(&placement);
        self.w.live.shown.remove(&placement);
        self.edit(placement, |record| {
            let policy = record.assigned.as_ref().map(|a| a.restart);
            let stopped = record.stop_wanted().is_some();
            let Some(attempt) = record.attempt_mut(number) else { return };
            attempt.rise(state);
            attempt.status.reason = reason;
            attempt.status.message = message;
            attempt.status.finished_at = attempt.status.finished_at.or(Some(now));
            let ran =
                attempt.status.started_at.zip(attempt.status.finished_at).map(|(from, to)| to.since(from));
            let ended = Ended { state, reason, ran, at: now, jitter };
            let after = match policy {
                Some(policy) if !stopped => restart::decide(policy, ended, &mut record.counters),
                _ => After::Finished(None),
            };
            match after {
                After::Next(at) => record.next_attempt_at = Some(at),
                After::Finished(note) => {
                    record.next_attempt_at = None;
                    record.finished = true;
                    if let (Some(note), Some(attempt)) = (note, record.attempt_mut(number)) {
                        let said = &mut attempt.status.message;
                        if !said.is_empty() {
                            said.push_str("; ");
                        }
                        said.push_str(&note);
                    }
                }
            }
        });
    }
}

/// A fresh attempt.
pub(super) fn new_attempt(
    number: u32,
    container_name: String,
    boot_id: String,
    created_at: orca_api::units::Time,
) -> AttemptRecord {
    AttemptRecord {
        status: AttemptStatus {
            number,
            state: State::Preparing,
            reason: None,
            message: String::new(),
            exit_code: None,
            signal: None,
            container: None,
            container_kept: false,
            image_id: None,
            created_at,
            started_at: None,
            finished_at: None,
            ports: Vec::new(),
            own_ms: None,
        },
        container_name,
        boot_id,
        engine_life: None,
        pulled_again: false,
        stop_sent: false,
    }
}

/// Adds an attempt; the oldest records are dropped.
pub(super) fn push_attempt(record: &mut PlacementRecord, attempt: AttemptRecord) {
    record.attempts.push(attempt);
    let surplus = record.attempts.len().saturating_sub(ATTEMPTS_KEPT);
    record.attempts.drain(..surplus);
}
