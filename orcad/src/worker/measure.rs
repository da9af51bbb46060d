//! Measuring: the machine and every running container, on a period.
//!
//! The figures wait to be asked for ([`Served::load`]); what decisions depend on (pressure, peaks of memory) goes to the
//! core.

use std::path::PathBuf;
use std::sync::Arc;

use orca_api::load::{NodeLoad, Pressure};
use orca_api::node::Condition;
use orca_api::units::Span;
use orca_core::worker::Event;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::WorkerHandle;
use super::serve::Served;
use crate::clock;
use crate::config::Config;
use crate::host::{Roots, Running, Sampler};
use crate::tasks::TaskResult;

/// A node takes no new work while all its processes wait this much of the time for memory, in per cent of 10 s …
const MEMORY_FULL: f64 = 20.0;
/// … or this much for io …
const IO_FULL: f64 = 40.0;
/// … for so long.
const PRESSED_FOR: Span = Span::from_secs(30);

/// The task that measures.
pub struct Measure {
    config: Config,
    worker: WorkerHandle,
    engine_root: watch::Receiver<PathBuf>,
    served: Arc<Served>,
}

impl Measure {
    /// Measures for a worker; the figures are put where the manager asks for them.
    pub fn new(
        config: &Config,
        worker: WorkerHandle,
        engine_root: watch::Receiver<PathBuf>,
        served: Arc<Served>,
    ) -> Self {
        Self { config: config.clone(), worker, engine_root, served }
    }

    /// Measures until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> TaskResult {
        let metrics = self.config.metrics.clone();
        let roots = Roots { proc: metrics.proc_root, sys: metrics.sys_root };
        let state = self.config.state_dir.clone();
        let fresh = move |root: PathBuf| Sampler::new(roots.clone(), root, state.clone(), clock::now());
        let mut sampler = fresh(self.engine_root.borrow_and_update().clone());
        let mut pressed = Pressed::default();
        let mut period = tokio::time::interval(metrics.period.std());
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = period.tick() => {}
                () = stop.cancelled() => return Ok(()),
            }
            let Ok(running) = self.worker.read(|worker, _| running(worker)).await else { return Ok(()) };
            let now = clock::now();
            if self.engine_root.has_changed().unwrap_or(false) {
                sampler = fresh(self.engine_root.borrow_and_update().clone());
            }
            let sampled = tokio::task::spawn_blocking(move || {
                let load = sampler.sample(now, &running);
                (sampler, load)
            });
            let load: NodeLoad;
            (sampler, load) = sampled.await?;
            let event = Event::Machine {
                conditions: pressed.look(load.machine.pressure.as_ref(), now.boot_ms),
                peaks: sampler.peaks(),
            };
            self.served.set_load(load);
            if self.worker.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn running(worker: &orca_core::worker::Worker) -> Vec<Running> {
    let running = worker.running().map(|(task, placement, attempt, container)| Running {
        task,
        placement,
        attempt,
        container: container.to_owned(),
    });
    running.collect()
}

/// Since when the machine is under pressure.
#[derive(Debug, Default)]
struct Pressed {
    since: Option<u64>,
}

impl Pressed {
    fn look(&mut self, pressure: Option<&Pressure>, now_ms: u64) -> Vec<Condition> {
        let high = pressure.is_some_and(|p| p.memory_full >= MEMORY_FULL || p.io_full >= IO_FULL);
        self.since = if high { self.since.or(Some(now_ms)) } else { None };
        let sustained = self.since.is_some_and(|since| now_ms.saturating_sub(since) >= PRESSED_FOR.ms());
        if sustained { vec![Condition::Pressured] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_counts_when_it_lasts() {
        let high = Pressure { memory_full: 30.0, ..Pressure::default() };
        let mut pressed = Pressed::default();
        assert!(pressed.look(Some(&high), 0).is_empty());
        assert!(pressed.look(Some(&high), 29_999).is_empty());
        assert_eq!(pressed.look(Some(&high), 30_000), [Condition::Pressured]);
        assert!(pressed.look(Some(&Pressure::default()), 31_000).is_empty());
        assert!(pressed.look(Some(&high), 40_000).is_empty(), "it begins anew");
        assert!(pressed.look(None, 80_000).is_empty(), "a kernel that does not measure it has none");
    }
}
