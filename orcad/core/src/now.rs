//! The instant that the shell passes in.

use orca_api::units::{Span, Time};

/// One instant on both clocks: the wall clock for people, cron and stored retries, the boot clock for leases and
/// time-outs, since it neither jumps nor stops in suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock.
    pub wall: Time,
    /// Milliseconds since the machine was started.
    pub boot_ms: u64,
}

impl Now {
    /// The same instant, later.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self { wall: self.wall.plus(span), boot_ms: self.boot_ms.saturating_add(span.ms()) }
    }
}
