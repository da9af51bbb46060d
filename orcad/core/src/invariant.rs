//! What must hold after every step of a core: asked by every level of tests.

use crate::worker::Worker;

/// Everything about a worker core that must not be, in words; empty when all is well.
pub fn check_worker(worker: &Worker) -> Vec<String> {
    worker.check()
}
