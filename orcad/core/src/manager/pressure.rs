//! Whether a node has been under pressure for so long that it is to take no new work.

use std::collections::VecDeque;

use orca_api::load::Pressure;

use super::defaults::{PRESSURE_IO, PRESSURE_LASTS, PRESSURE_MEMORY, PRESSURE_OVER};

/// Samples further apart than this tell nothing of the time between them, in milliseconds: three that did not come.
const GAP_MS: u64 = 20_000;

/// The last samples, and what was concluded from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Window {
    /// When (on the boot clock), and the larger of memory's and io's share of its limit.
    samples: VecDeque<(u64, f64)>,
    /// Whether the node is pressured.
    pub pressured: bool,
}

impl Window {
    /// Takes a sample; whether the conclusion is another now.
    ///
    /// Pressure begins when every sample of [`PRESSURE_LASTS`] was above a limit, and is over when every one was below
    /// a part of both. What lies between changes nothing, so that a node does not flap.
    pub fn add(&mut self, now: u64, pressure: &Pressure) -> bool {
        let share = (pressure.memory_full / PRESSURE_MEMORY).max(pressure.io_full / PRESSURE_IO);
        if self.samples.back().is_some_and(|(at, _)| now.saturating_sub(*at) > GAP_MS) {
            self.samples.clear();
        }
        self.samples.push_back((now, share));
        // One sample that is old enough is kept: the window reaches back to it.
        while self.samples.get(1).is_some_and(|(at, _)| at + PRESSURE_LASTS.ms() <= now) {
            self.samples.pop_front();
        }
        let whole = self.samples.front().is_some_and(|(at, _)| at + PRESSURE_LASTS.ms() <= now);
        let all = |test: fn(f64) -> bool| whole && self.samples.iter().all(|(_, share)| test(*share));
        let before = self.pressured;
        self.pressured = if before { !all(|s| s < PRESSURE_OVER) } else { all(|s| s >= 1.0) };
        self.pressured != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: [u64; 0] = [];

    /// Adds a sample each five seconds; gives the seconds at which the conclusion changed.
    fn changes(memory: &[f64]) -> Vec<u64> {
        let mut window = Window::default();
        let samples = memory.iter().zip(0u64..);
        samples
            .filter_map(|(full, n)| {
                let pressure = Pressure { memory_full: *full, ..Pressure::default() };
                window.add(n * 5000, &pressure).then_some(n * 5)
            })
            .collect()
    }

    #[test]
    fn only_what_lasts_counts_and_only_what_is_really_over_is_over() {
        assert_eq!(changes(&[40.0; 7]), [30]);
        assert_eq!(changes(&[40.0; 6]), NEVER);
        let peak = [40.0, 40.0, 40.0, 29.0, 40.0, 40.0, 40.0, 40.0, 40.0];
        assert_eq!(changes(&peak), NEVER, "one sample below the limit begins anew");
        let between = [[40.0; 7].as_slice(), &[20.0; 20]].concat();
        assert_eq!(changes(&between), [30], "between the limits nothing changes");
        let over = [[40.0; 7].as_slice(), &[10.0; 7]].concat();
        assert_eq!(changes(&over), [30, 65]);
    }

    #[test]
    fn samples_that_are_far_apart_tell_nothing() {
        let mut window = Window::default();
        let pressure = Pressure { io_full: 90.0, ..Pressure::default() };
        assert!((0..10).all(|n| !window.add(n * 30_000, &pressure)));
        assert!((0..7).any(|n| window.add(300_000 + n * 5000, &pressure)));
    }
}
