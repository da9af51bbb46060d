//! What must be true once nothing breaks any more: everything converges, restarts of orca's processes change
//! nothing, and what is removed leaves nothing behind.

use orca_api::control::TaskView;
use orca_api::task::{Phase, Reason, Wanted};
use orca_api::units::Span;
use orca_core::manager::Request;

use super::World;

/// The longest that anything may take once nothing breaks: the longest back-off with its jitter, a pull, and the time
/// after which a lost operation is given up.
const CALM: Span = Span::from_secs(700);

impl World {
    /// Repairs everything, waits, and looks whether every task is where it is wanted.
    pub fn calm_down(&mut self) {
        self.let_client_rest();
        self.repair();
        self.run_for(CALM);
        for task in self.tasks() {
            if let Err(why) = self.is_settled(&task) {
                self.checker.find(format!(
                    "not converged: {} (wanted {:?}): {why}: {task:?}",
                    task.name, task.wanted
                ));
            }
        }
        self.look_for_leftovers();
    }

    /// Restarts every process of orca again and again: no container may be touched for it.
    pub fn restart_everything(&mut self) {
        let before: Vec<u64> = self.workers.iter().map(|w| w.engine.calls).collect();
        for round in 0..4u64 {
            self.crash_manager();
            for n in 0..self.workers.len() {
                if (round + n as u64).is_multiple_of(2) {
                    self.crash_worker(n);
                }
            }
            self.run_for(Span::from_secs(10 + round));
        }
        self.run_for(Span::from_secs(60));
        let after: Vec<u64> = self.workers.iter().map(|w| w.engine.calls).collect();
        if before != after {
            self.checker
                .find(format!("restarts of orca made the engines do something: {before:?}, {after:?} calls"));
        }
    }

    /// Removes every task: nothing of ours may be left on any node.
    pub fn remove_everything(&mut self) {
        for task in self.tasks() {
            self.ask_manager(Request::Remove { task: task.name.to_string(), force: true });
        }
        self.run_for(Span::from_secs(120));
        let left: Vec<String> = self.tasks().iter().map(|t| t.name.to_string()).collect();
        if !left.is_empty() {
            self.checker.find(format!("removed, and still there: {}", left.join(", ")));
        }
        for (n, w) in self.workers.iter().enumerate() {
            for made in w.engine.containers.values().filter(|c| c.seen.labels.is_some()) {
                self.checker.found.push(format!("n{}: {} is left over", n + 1, made.seen.name));
            }
            if w.core.as_ref().is_none_or(|c| !c.inventory().is_empty()) {
                self.checker.found.push(format!("n{}: placements are left over", n + 1));
            }
        }
    }

    /// The tasks as a client sees them.
    pub fn tasks(&self) -> Vec<TaskView> {
        self.manager.core.as_ref().map_or_else(Vec::new, |core| core.task_list(self.clock()))
    }

    fn is_settled(&self, task: &TaskView) -> Result<(), &'static str> {
        let running =
            self.workers.iter().flat_map(|w| w.engine.running()).filter(|l| l.task == task.id).count();
        if task.stale_since.is_some() {
            return Err("its node is not heard");
        }
        match (task.wanted, task.phase) {
            (_, Phase::Running) if running != 1 => Err("it is said to run, and does not"),
            (_, Phase::Pending | Phase::Completed | Phase::Failed) if running > 0 => {
                Err("it runs, and is said not to")
            }
            (Wanted::Running, Phase::Running) => Ok(()),
            (Wanted::Running, Phase::Pending) if task.reason == Some(Reason::NoFit) => {
                self.fits_nowhere(task)
            }
            (Wanted::Running, Phase::Completed | Phase::Failed) if task.next_attempt_at.is_none() => Ok(()),
            (Wanted::Stopped, Phase::Completed | Phase::Failed) => Ok(()),
            _ => Err("it is neither where it is wanted nor on its way"),
        }
    }

    fn fits_nowhere(&self, task: &TaskView) -> Result<(), &'static str> {
        let Some(core) = &self.manager.core else { return Err("there is no manager") };
        match core.explain_task(task.name.as_str(), self.clock()) {
            Ok(explanation) if !explanation.fits => Ok(()),
            _ => Err("it waits for room that is there"),
        }
    }

    /// Each container of ours belongs to a placement that the manager has on that node.
    fn look_for_leftovers(&mut self) {
        let Some(core) = &self.manager.core else {
            self.checker.found.push("there is no manager".to_owned());
            return;
        };
        for (n, w) in self.workers.iter().enumerate() {
            let assigned = core.assignment(w.node).unwrap_or_default();
            for made in w.engine.containers.values() {
                let Some(labels) = &made.seen.labels else { continue };
                if !assigned.placements.contains_key(&labels.placement) {
                    self.checker.found.push(format!(
                        "n{}: {} belongs to no placement",
                        n + 1,
                        made.seen.name
                    ));
                }
            }
            if w.core.as_ref().is_none_or(|c| c.generation() != assigned.generation) {
                self.checker.found.push(format!("n{}: it does not hold its set", n + 1));
            }
        }
    }
}
