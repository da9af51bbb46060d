//! The machine: what it is, and what it and its tasks use, from `/proc`, pressure files and cgroups.
//!
//! ```text
//!   /proc/{stat,meminfo,loadavg,vmstat,uptime,diskstats,pressure,net}  ─► machine.rs ─┐
//!   /sys/fs/cgroup (v1 or v2)  ─► cgroup.rs: find a container's, read its counters ───┼─► sampler.rs ─► NodeLoad
//!   the clock that is passed in ──────────────────────────────────────────────────────┘   rates, averages, history
//! ```
//!
//! Both roots are injectable, so that a daemon in a container can look at its host, and tests at recorded trees.
//! What a kernel does not offer is absent, never zero. Reading is synchronous and takes well under a millisecond for the
//! machine and about as long for each task; callers move it off the runtime's threads.
//!
//! Nothing in here knows tasks beyond their ids, or decides anything.

mod average;
mod cgroup;
mod facts;
mod machine;
mod rate;
mod sampler;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

pub use self::facts::{boot_id, facts, node_name};
pub use self::sampler::{Running, Sampler};

/// Where the kernel's views are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into() }
    }
}

/// Processes that the kernel killed for want of memory since boot; `None` where it does not count them.
pub fn oom_kills(roots: &Roots) -> Option<u64> {
    machine::oom_kills(roots)
}

/// The text of a small file; `None` where it is not there or may not be read.
fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// A file that holds one number. `max` and other words are `None`.
fn number(path: impl AsRef<Path>) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// The number behind a word of a flat `key value` file.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
