//! What breaks, and how often.

use orca_api::units::Span;

use super::network::{Cut, Way};
use super::rng::Rng;
use super::{Happening, World};

/// What breaks. Chances are out of a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// A message is lost.
    pub lost: u64,
    /// A message comes twice.
    pub doubled: u64,
    /// How late messages, commits and answers usually are, in milliseconds; now and then it is much more.
    pub late: u64,
    /// A process dies before its commit.
    pub crash_before_commit: u64,
    /// A process dies after its commit, before one of its effects.
    pub crash_amid_effects: u64,
    /// The engine does not do what it is asked, and does not say so.
    pub engine_refuses: u64,
    /// The engine's answer, or its hint, is lost.
    pub answers_lost: u64,
    /// A manager's commit takes seconds.
    pub slow_disk: u64,
    /// How long it is between two large faults, in milliseconds on average; 0 for none.
    pub strikes_every: u64,
    /// Every image runs for ever.
    pub repaired: bool,
}

impl Faults {
    /// Nothing breaks.
    pub const fn none() -> Self {
        Self {
            lost: 0,
            doubled: 0,
            late: 0,
            crash_before_commit: 0,
            crash_amid_effects: 0,
            engine_refuses: 0,
            answers_lost: 0,
            slow_disk: 0,
            strikes_every: 0,
            repaired: false,
        }
    }

    /// A little of everything, or a lot of something: the seed tells.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let some = |rng: &mut Rng, most: u64| if rng.chance(300) { 0 } else { rng.below(most + 1) };
        Self {
            lost: some(rng, 200),
            doubled: some(rng, 200),
            late: rng.between(1, 100),
            crash_before_commit: some(rng, 15),
            crash_amid_effects: some(rng, 15),
            engine_refuses: some(rng, 100),
            answers_lost: some(rng, 100),
            slow_disk: some(rng, 20),
            strikes_every: rng.between(5_000, 60_000),
            repaired: false,
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.strikes_every == 0
    }

    /// How long a process that ended stays away.
    pub(crate) fn restart_ms(&self, rng: &mut Rng) -> u64 {
        if self.is_none() { 200 } else { rng.between(100, 8_000) }
    }
}

impl World {
    /// Begins with large faults.
    pub fn let_faults_strike(&mut self) {
        self.schedule(1_000, Happening::Fault);
    }

    /// Everything is repaired: what is down comes back by itself, and nothing breaks any more.
    pub fn repair(&mut self) {
        self.faults = Faults { repaired: true, late: 1, ..Faults::none() };
        for w in &mut self.workers {
            w.way = Way::default();
            w.engine.free_foreign_ports();
        }
        self.note("everything is repaired");
    }

    pub(crate) fn fault_strikes(&mut self) {
        if self.faults.is_none() {
            return;
        }
        let n = self.rng.below(self.workers.len() as u64) as usize;
        match self.rng.below(16) {
            0 => self.crash_manager(),
            1 => self.crash_worker(n),
            2 => {
                let ms = self.rng.between(1_000, 120_000);
                self.cut(n, Cut::Both, ms);
            }
            3 => {
                self.workers[n].engine.live_restore = self.rng.chance(400);
                let back = self.rng.between(500, 20_000);
                self.engine_stops(n, back);
            }
            4 => {
                let ms = self.rng.between(1_000, 40_000);
                self.engine_hangs(n, ms);
            }
            5 => self.reboot(n),
            6 => self.lose_worker_store(n),
            7 => {
                let ours = self.workers[n].engine.containers.values().filter(|c| c.seen.labels.is_some());
                let ids: Vec<String> = ours.map(|c| c.seen.id.clone()).collect();
                if !ids.is_empty() {
                    let id = self.rng.pick(&ids).clone();
                    self.remove_by_hand(n, &id);
                }
            }
            8 => self.kill_by_hand(n),
            9 => {
                let which = *self.rng.pick(&[Cut::Up, Cut::Down]);
                let ms = self.rng.between(1_000, 60_000);
                self.cut(n, which, ms);
            }
            10 => self.flap(n),
            11 => self.cut_one_after_the_other(),
            12 => {
                let dark = self.rng.between(5_000, 180_000);
                self.note(format!("the power of n{} fails for {}", n + 1, Span::from_ms(dark)));
                self.lose_power(n, dark);
            }
            13 => self.cut_many(),
            _ => self.set_clock(n),
        }
        let next = self.rng.between(self.faults.strikes_every / 2, self.faults.strikes_every * 3 / 2);
        self.schedule(next, Happening::Fault);
    }

    /// A link that comes and goes.
    fn flap(&mut self, n: usize) {
        let mut at = 0;
        for _ in 0..self.rng.between(3, 12) {
            at += self.rng.between(500, 9_000);
            let ms = self.rng.between(300, 9_000);
            self.schedule(at, Happening::Cut(n, Cut::Both, ms));
        }
    }

    /// The links of some nodes are cut one after the other, and heal in another order.
    fn cut_one_after_the_other(&mut self) {
        let mut at = 0;
        for n in 0..self.workers.len() {
            if self.rng.chance(500) {
                at += self.rng.between(100, 5_000);
                let ms = self.rng.between(5_000, 60_000);
                self.schedule(at, Happening::Cut(n, Cut::Both, ms));
            }
        }
    }

    /// A switch fails: most nodes vanish at once.
    fn cut_many(&mut self) {
        let ms = self.rng.between(5_000, 90_000);
        for n in 0..self.workers.len() {
            if self.rng.chance(700) {
                self.cut(n, Cut::Both, ms);
            }
        }
    }

    /// Somebody sets a worker's wall clock.
    fn set_clock(&mut self, n: usize) {
        let most = *self.rng.pick(&[2_000, 60_000, 3_600_000]);
        let skew = self.rng.below(2 * most) as i64 - most as i64;
        self.workers[n].skew_ms = skew;
        self.note(format!("the clock of n{} is {skew} ms off", n + 1));
    }

    /// Somebody kills a process behind orca's back.
    fn kill_by_hand(&mut self, n: usize) {
        let running = self.workers[n].engine.containers.values().filter(|c| c.seen.pid > 1);
        let ids: Vec<String> = running.map(|c| c.seen.id.clone()).collect();
        if !ids.is_empty() {
            let id = self.rng.pick(&ids).clone();
            self.ends(n, &id, 137);
        }
    }
}
