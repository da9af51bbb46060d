//! What befalls an engine and its containers from outside: hands that meddle, restarts, hangs, power cuts.

use orca_core::worker::io::{Container, ContainerStatus};

use super::engine::{Do, Made, Power, alive, behaviour};
use super::{Happening, World};

impl World {
    /// Somebody removes a container behind orca's back.
    pub fn remove_by_hand(&mut self, n: usize, id: &str) {
        if self.engine(n).containers.get(id).is_some_and(|c| alive(&c.seen)) {
            self.ends(n, id, 137);
        }
        if let Some(made) = self.engine(n).containers.remove(id) {
            self.note_call(n, "somebody removes", &made.seen);
            self.hint(n, id);
        }
    }

    /// A container that is none of ours, with a published port if one is given.
    pub fn foreign_container(&mut self, n: usize, name: &str, port: Option<&str>) {
        let now = self.clock_of(n).wall;
        let engine = self.engine(n);
        let seen = Container {
            id: format!("foreign-{}-{name}", engine.n + 1),
            name: name.to_owned(),
            labels: None,
            status: ContainerStatus::Running,
            exit_code: None,
            oom_killed: false,
            error: String::new(),
            created_at: Some(now),
            started_at: Some(now),
            finished_at: None,
            health: None,
            image_id: String::new(),
            ports: Vec::new(),
            pid: 1,
            address: None,
        };
        let publishes = port.and_then(|p| p.parse().ok()).into_iter().collect();
        engine.containers.insert(
            seen.id.clone(),
            Made { seen, image: "forever".to_owned(), publishes, starts: 1, run: 1 },
        );
    }

    /// The engine goes; without live-restore its containers end with it, whatever their exit code.
    pub fn engine_stops(&mut self, n: usize, back_ms: u64) {
        if self.engine(n).power == Power::Down {
            return;
        }
        let repaired = self.faults.repaired;
        self.note(format!("engine of n{} stops", n + 1));
        self.engine(n).power = Power::Down;
        self.checker.counts_lost();
        if !self.engine(n).live_restore {
            let running: Vec<(String, String)> = (self.engine(n).containers.values())
                .filter(|c| alive(&c.seen) && c.seen.labels.is_some())
                .map(|c| (c.seen.id.clone(), c.image.clone()))
                .collect();
            for (id, image) in running {
                self.ends(n, &id, if behaviour(&image, repaired).stubborn { 137 } else { 0 });
            }
        }
        let seen_after = self.rng.between(1, 1 + self.faults.late * 5);
        self.tell_engine_state(n, seen_after);
        self.schedule(back_ms.max(seen_after + 1), Happening::Engine(n, Do::ComesUp));
    }

    /// The engine says nothing for a while.
    pub fn engine_hangs(&mut self, n: usize, ms: u64) {
        if self.engine(n).power == Power::Up {
            self.note(format!("engine of n{} hangs", n + 1));
            self.engine(n).power = Power::Hung;
            self.tell_engine_state(n, 5_000.min(ms));
            self.schedule(ms, Happening::Engine(n, Do::ComesUp));
        }
    }

    pub(crate) fn engine_loses_power(&mut self, n: usize) {
        self.engine(n).power = Power::Down;
        self.ends_all(n);
    }

    /// Every process of ours on a node ends.
    pub(crate) fn ends_all(&mut self, n: usize) {
        let running: Vec<String> = (self.engine(n).containers.values())
            .filter(|c| alive(&c.seen) && c.seen.labels.is_some())
            .map(|c| c.seen.id.clone())
            .collect();
        for id in running {
            self.ends(n, &id, 255);
        }
    }

    pub(crate) fn engine_comes_up(&mut self, n: usize) {
        let engine = self.engine(n);
        if engine.power == Power::Down {
            engine.life += 1;
        }
        if engine.power != Power::Up {
            engine.power = Power::Up;
            self.note(format!("engine of n{} answers", n + 1));
            self.tell_engine_state(n, 10);
        }
    }
}
