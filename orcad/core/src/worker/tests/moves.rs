//! The model's random moves: getting on, wishes, ends, faults, crashes.

use orca_api::link::PlacementWanted;
use orca_api::task::Reason;
use orca_api::units::Span;

use super::world::{PLACEMENTS, World};
use crate::worker::io::{EngineState, Health};
use crate::worker::{Effect, Event};

impl World {
    /// One random move; the most frequent ones are those that get on.
    pub(super) fn move_on(&mut self, what: u8, which: usize) {
        self.lossy = true;
        const WANTED: [PlacementWanted; 4] = [
            PlacementWanted::Running,
            PlacementWanted::Running,
            PlacementWanted::Ready,
            PlacementWanted::Stopped,
        ];
        const POLICIES: [&str; 4] = ["always", "on-failure", "on-failure:2", "never"];
        let pick = |n: usize| if n == 0 { None } else { Some(which % n) };
        match what {
            0..=99 => self.deliver(which),
            100..=169 => {
                if self.is_up()
                    && let Some(effect) = pick(self.pending.len()).and_then(|i| self.pending.remove(i))
                {
                    self.carry_out(effect);
                }
            }
            170..=184 => self.advance(Span::from_ms(which as u64)),
            185..=204 => {
                let index = which % PLACEMENTS;
                let known = self.assignment.placements.get(&self.placements[index]).map(|a| a.wanted);
                // The manager never takes a stop back.
                let wanted = match (which / 8) % 5 {
                    4 => None,
                    _ if known == Some(PlacementWanted::Stopped) => None,
                    n => Some(WANTED[n]),
                };
                self.want(index, wanted, POLICIES[(which / 64) % 4]);
            }
            205..=212 => {
                if let Some(id) =
                    pick(self.containers.len()).and_then(|i| self.containers.keys().nth(i).cloned())
                {
                    self.exit(&id, [0, 1, 137][which / 256 % 3]);
                    self.inbox.push_back(Event::Hint { container: id });
                }
            }
            213..=214 => {
                if let Some(id) =
                    pick(self.containers.len()).and_then(|i| self.containers.keys().nth(i).cloned())
                {
                    self.containers.remove(&id);
                }
            }
            215..=219 => {
                if let Some(event) = pick(self.inbox.len()).and_then(|i| self.inbox.get(i).cloned()) {
                    self.inbox.push_back(event);
                }
            }
            220..=223 => {
                if let Some(i) = pick(self.inbox.len())
                    .filter(|i| !matches!(self.inbox[*i], Event::Engine(_) | Event::Welcomed { .. }))
                {
                    self.inbox.remove(i);
                }
            }
            224..=227 => {
                if let Some(effect) = pick(self.pending.len()).and_then(|i| self.pending.remove(i)) {
                    if (which / 256).is_multiple_of(2) && self.is_up() {
                        self.carry_out(effect.clone());
                        self.inbox.pop_back();
                    }
                    self.answer_unknown(&effect);
                }
            }
            228..=230 => {
                let refusable = |e: &Effect| {
                    matches!(e, Effect::Pull { .. } | Effect::Create { .. } | Effect::Start { .. })
                };
                if let Some(i) = pick(self.pending.len()).filter(|i| refusable(&self.pending[*i]))
                    && let Some(effect) = self.pending.remove(i)
                {
                    self.answer_rejected(&effect, [Reason::PullError, Reason::PortTaken][which / 256 % 2]);
                }
            }
            231..=234 => self.crash(),
            235..=237 => {
                // Before the commit: the step never was.
                if let Some(event) = self.inbox.pop_front() {
                    let _ = self.worker.step(event, self.now, &mut self.ids);
                }
                self.crash();
            }
            238..=239 => self.lose_store(),
            240..=242 => self.restart_engine(),
            243..=244 => {
                self.live_restore = which.is_multiple_of(2);
                self.restart_engine();
            }
            245..=247 => self.set_engine([EngineState::Away, EngineState::Unresponsive][which % 2].clone()),
            248..=251 => self.set_engine(EngineState::Up {
                life: self.engine_life.to_string(),
                live_restore: self.live_restore,
            }),
            252..=253 => {
                let health = [Health::Starting, Health::Healthy, Health::Unhealthy("no answer".to_owned())]
                    [which / 256 % 3]
                    .clone();
                let id = pick(self.containers.len()).and_then(|i| self.containers.keys().nth(i).cloned());
                let Some(id) = id else { return };
                if what == 252 {
                    self.check(&id, health, (which / 1024).is_multiple_of(2).then_some("no answer yet"));
                } else if let Some(container) = self.containers.get_mut(&id) {
                    container.health = Some(health);
                    self.inbox.push_back(Event::Hint { container: id });
                }
            }
            254 => self.advance(Span::from_secs(which as u64)),
            255 => {
                // The machine is restarted.
                self.boot_id = format!("boot-{which}-{}", self.ids.next_u64());
                self.pending.clear();
                let running: Vec<String> = self.containers.keys().cloned().collect();
                for id in running {
                    self.exit(&id, 255);
                }
                self.engine_life += 1;
                self.crash();
            }
        }
    }

    /// An event reaches the core; not always the oldest.
    pub(super) fn deliver(&mut self, which: usize) {
        let index = if which.is_multiple_of(4) { which / 4 % self.inbox.len().max(1) } else { 0 };
        // The engine's conditions come in order.
        let index =
            if matches!(self.inbox.get(index), Some(Event::Engine(_))) { self.first_engine() } else { index };
        if let Some(event) = self.inbox.remove(index) {
            self.step(event);
        }
    }

    pub(super) fn first_engine(&self) -> usize {
        self.inbox.iter().position(|e| matches!(e, Event::Engine(_))).unwrap_or(0)
    }

    pub(super) fn advance(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.step(Event::Tick);
    }
}
