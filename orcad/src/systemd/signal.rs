//! The signals that the daemon obeys.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Stop; the name of the signal.
    Stop(&'static str),
    /// Read the configuration anew.
    Reload,
}

/// The signals, caught from now on.
#[derive(Debug)]
pub struct Signals {
    term: unix::Signal,
    int: unix::Signal,
    hup: unix::Signal,
}

impl Signals {
    /// Catches TERM, INT and HUP.
    ///
    /// # Errors
    /// That the kernel refuses.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            term: unix::signal(SignalKind::terminate())?,
            int: unix::signal(SignalKind::interrupt())?,
            hup: unix::signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Several of a kind that come at once are one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::Stop("SIGTERM"),
            _ = self.int.recv() => Signal::Stop("SIGINT"),
            _ = self.hup.recv() => Signal::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Raw, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn hangup_reloads_and_terminate_stops() {
        let mut signals = Signals::catch().unwrap();
        kill_process(getpid(), Raw::HUP).unwrap();
        assert_eq!(signals.next().await, Signal::Reload);
        kill_process(getpid(), Raw::TERM).unwrap();
        assert_eq!(signals.next().await, Signal::Stop("SIGTERM"));
    }
}
