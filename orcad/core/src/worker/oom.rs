//! The kernel's kills for want of memory: whether an end by SIGKILL was one of them.
//!
//! The engine flags what was killed in a container at its limit. What the kernel killed because the whole machine was short
//! may have no flag; then there is only the machine's count of such kills, in which those at limits count too. So an end
//! is one of them only if the count moved close to it, **and further than our own containers that were killed for want of
//! memory about then account for**. Any other SIGKILL was somebody's.

use std::collections::{BTreeSet, VecDeque};

use orca_api::task::Reason;
use orca_api::units::Time;

use super::defaults::{OOM_KILL_NEAR, OOM_MOVES_KEPT};
use super::step::Turn;

/// The machine's count, and when it moved in this life of the process.
#[derive(Clone, Debug, Default)]
pub(super) struct OomKills {
    total: Option<u64>,
    moves: VecDeque<(Time, u64)>,
}

impl OomKills {
    /// The count was read. The first reading says nothing about when.
    pub fn on_total(&mut self, total: u64, at: Time) {
        if let Some(before) = self.total.replace(total)
            && total > before
        {
            self.moves.push_back((at, total - before));
            if self.moves.len() > OOM_MOVES_KEPT {
                self.moves.pop_front();
            }
        }
    }

    /// Kills close to an instant.
    fn near(&self, at: Time) -> u64 {
        self.moves.iter().filter(|(moved, _)| is_near(*moved, at)).map(|(_, kills)| *kills).sum()
    }
}

fn is_near(a: Time, b: Time) -> bool {
    a.since(b).max(b.since(a)) <= OOM_KILL_NEAR
}

impl Turn<'_> {
    /// Whether the kernel killed more, close to the end of a container, than our other containers account for.
    pub fn is_kernel_killing(&self, container: Option<&String>, at: Time) -> bool {
        let kills = self.w.live.oom_kills.near(at);
        if kills == 0 {
            return false;
        }
        let flagged = self.w.live.containers.iter().filter(|c| c.oom_killed);
        let flagged = flagged.filter(|c| c.finished_at.is_some_and(|end| is_near(end, at))).map(|c| &c.id);
        // Those that are booked may be removed already.
        let attempts = self.w.durable.placements.values().flat_map(|r| &r.attempts).map(|a| &a.status);
        let booked = attempts
            .filter(|s| {
                s.reason == Some(Reason::OomLimit) && s.finished_at.is_some_and(|end| is_near(end, at))
            })
            .filter_map(|s| s.container.as_ref());
        let accounted: BTreeSet<&String> =
            flagged.chain(booked).filter(|id| Some(*id) != container).collect();
        kills > accounted.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_moves_close_to_an_instant_count() {
        let at = |s: i64| Time::from_ms(s * 1000);
        let mut kills = OomKills::default();
        kills.on_total(7, at(100));
        assert_eq!(kills.near(at(100)), 0, "the first reading is no move");
        kills.on_total(7, at(101));
        kills.on_total(8, at(110));
        kills.on_total(10, at(112));
        for (s, near) in [(104, 0), (105, 1), (107, 3), (110, 3), (115, 3), (116, 2), (117, 2), (118, 0)] {
            assert_eq!(kills.near(at(s)), near, "{s}");
        }
        // A machine that was restarted counts anew.
        kills.on_total(0, at(200));
        kills.on_total(1, at(201));
        assert_eq!(kills.near(at(201)), 1);
        for n in 2..100 {
            kills.on_total(n, at(300));
        }
        assert_eq!(kills.near(at(300)), OOM_MOVES_KEPT as u64);
    }
}
