//! The real clock and the real source of ids: the only place that asks the operating system for either.

use std::sync::Arc;

use orca_api::id::{IdSource, RawId};
use orca_api::units::Time;
use orca_core::Now;
use rustix::time::{ClockId, clock_gettime};

use crate::driver::Clock;

/// The instant on both clocks.
pub fn now() -> Now {
    let wall = clock_gettime(ClockId::Realtime);
    let boot = clock_gettime(ClockId::Boottime);
    let ms = |seconds: i64, nanos: i64| seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000);
    Now {
        wall: Time::from_ms(ms(wall.tv_sec, wall.tv_nsec)),
        boot_ms: u64::try_from(ms(boot.tv_sec, boot.tv_nsec)).unwrap_or(0),
    }
}

/// The clock as drivers take it.
pub fn clock() -> Clock {
    Arc::new(now)
}

/// Ids from the kernel's random generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsIds;

impl IdSource for OsIds {
    fn next_id(&mut self) -> RawId {
        let mut bytes = [0; 10];
        // getrandom(2) fails only before the generator is ready or where a sandbox forbids it: then no id is safe
        // to give, and the daemon must not go on.
        getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
        RawId::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_run_and_ids_differ() {
        let (a, b) = (now(), now());
        assert!(a.boot_ms > 0 && a.boot_ms <= b.boot_ms);
        assert!(a.wall.ms() > 1_700_000_000_000);
        assert_ne!(OsIds.next_id(), OsIds.next_id());
    }
}
