//! Machines that join while the world runs.

use orca_api::error::Problem;
use orca_api::link::{LINK_VERSION, NodeFacts};
use orca_api::units::Time;
use orca_core::manager::{Answer, Event, JoinAsked};

use super::manager::Waiter;
use super::worker::WorkerBox;
use super::{Happening, World};

impl World {
    /// A machine asks to join, with the token that was made last; its clock is ahead by so much. Where it may, it starts
    /// its worker, and says hello.
    pub fn join(&mut self, name: &str, ahead_ms: i64) {
        let facts = NodeFacts { name: name.parse().ok(), ..self.workers[0].facts.clone() };
        let clock = Time::from_ms(self.clock().wall.ms() + ahead_ms);
        let secret = self.client.secret.map_or_else(String::new, |secret| secret.digest());
        self.note(format!("a machine asks to join as {name}"));
        let join = JoinAsked { version: LINK_VERSION, secret, facts: facts.clone(), clock };
        let token = self.token(Waiter::Machine(self.machines.len()));
        self.machines.push(facts);
        let address = format!("10.0.0.{}", self.workers.len() + 1);
        self.manager_event(Event::JoinAsked { token, address, join: Box::new(join) });
    }

    pub(crate) fn machine_hears(&mut self, machine: usize, answer: Result<Answer, Problem>) {
        match answer {
            Ok(Answer::Joined { node, name, warning, .. }) => {
                let warning = warning.map_or_else(String::new, |w| format!(" ({w})"));
                self.note(format!("  it is {name}{warning}"));
                let n = self.workers.len();
                let worker = WorkerBox::new(n, node, self.machines[machine].clone(), &mut self.rng);
                self.workers.push(worker);
                self.schedule(500, Happening::WorkerStarts(n));
            }
            Ok(_) => self.checker.find("a join was answered with something else".to_owned()),
            Err(problem) => {
                self.note(format!("  {} {}", problem.code, problem.detail));
                for line in problem.because.iter().chain(&problem.hint) {
                    self.note(format!("      {line}"));
                }
            }
        }
    }
}
