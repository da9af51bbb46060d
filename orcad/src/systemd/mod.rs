//! The manners of a systemd service: ready, status, watchdog, sockets, signals, and whether the machine goes down.
//!
//! | what | who calls | file |
//! |---|---|---|
//! | `READY=1`, `STATUS=`, `RELOADING=1`, `STOPPING=1`, `EXTEND_TIMEOUT_USEC=` | the run of the daemon | here |
//! | `WATCHDOG=1` | a driver, after a completed turn | here |
//! | the control and the view socket: handed over, or bound | the run, once | `socket.rs` |
//! | why the daemon cannot start, to who waits on them | the run, before it ends | `last_words.rs` |
//! | TERM, INT, HUP | the run | `signal.rs` |
//! | `SystemState` over D-Bus | the run, once it was told to stop | `state.rs` |
//!
//! Without systemd all of it is silent: there is no notify socket, no watchdog, no socket to take over and no bus, and
//! the daemon works just the same. Messages of children do not count: the unit's `NotifyAccess` is `main`.

mod last_words;
mod signal;
mod socket;
mod state;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

pub use self::last_words::LastWords;
pub use self::signal::{Signal, Signals};
pub use self::socket::{Bound, GROUP, Handed, SocketError, control_socket, handed_over, view_socket};
pub use self::state::machine_stops;

fn tell(states: &[NotifyState<'_>]) {
    // A full or broken notify socket must not stop the daemon: systemd's own time-outs notice what it misses.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}

/// Everything is served.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A line for `systemctl status`; control characters are left out, since a line break would begin another message.
pub fn status(line: &str) {
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    tell(&[NotifyState::Status(&line)]);
}

/// A reload begins; [`ready`] ends it, whether or not the new configuration was taken.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic clock"),
    }
}

/// The stop has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// A long start or stop needs this much more time from now on.
pub fn extend(by: Duration) {
    tell(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
}

/// Whether stderr is the journal's: systemd says which stream it connected (`JOURNAL_STREAM`, systemd.exec(5)), and a
/// child of a shell in a service may have another.
pub fn stderr_is_journal(journal_stream: Option<&str>) -> bool {
    let Ok(stat) = rustix::fs::fstat(std::io::stderr()) else { return false };
    journal_stream == Some(format!("{}:{}", stat.st_dev, stat.st_ino).as_str())
}

/// The watchdog of the unit.
#[derive(Debug)]
pub struct Watchdog {
    every: Duration,
    began: Instant,
    /// When it was fed last, in milliseconds since `began`.
    last_ms: AtomicU64,
}

impl Watchdog {
    /// The watchdog that the unit asks for; `None` where it asks for none.
    pub fn from_env() -> Option<Self> {
        sd_notify::watchdog_enabled().map(Self::new)
    }

    fn new(period: Duration) -> Self {
        Self { every: period / 3, began: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    /// How often [`Self::fed`] is to be called at least: a third of the unit's period.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Work was done. Called as often as work is done: systemd is told a few times a period.
    pub fn fed(&self) {
        if self.due(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)) {
            tell(&[NotifyState::Watchdog]);
        }
    }

    fn due(&self, now_ms: u64) -> bool {
        let pause = u64::try_from(self.every.as_millis() / 2).unwrap_or(u64::MAX);
        let next = |last: u64| (last == 0 || now_ms.saturating_sub(last) >= pause).then_some(now_ms.max(1));
        self.last_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_told_a_few_times_a_period() {
        let watchdog = Watchdog::new(Duration::from_mins(1));
        assert_eq!(watchdog.every(), Duration::from_secs(20));
        let told = (0..60_000u64).filter(|ms| watchdog.due(*ms)).count();
        assert_eq!(told, 6);
    }

    #[test]
    fn another_stream_is_not_the_journal() {
        assert!(!stderr_is_journal(None));
        assert!(!stderr_is_journal(Some("1:1")));
    }
}
