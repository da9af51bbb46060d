//! The daemon begins anew, in the same process: it became a worker of another cluster, or left one.
//!
//! What it is from now on stands in the state folder before this is asked for. Sockets stay; everything else is joined
//! and opened again, as by a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Asks the daemon to begin anew.
#[derive(Clone, Debug)]
pub struct Again {
    asked: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Again {
    /// For a round of the daemon that ends with `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        Self { asked: Arc::default(), stop }
    }

    /// Ends the round, and has another one begin.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.stop.cancel();
    }

    /// Whether another round is wanted.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}
