//! The daemon: sockets, SQLite, the engine, `/proc` and systemd around the two cores that decide.
//!
//! ```text
//!   orcactl ──► net ──► manager (control API) ──► driver ──► orca_core::manager ──► store
//!                          │  link: HTTP/2 over a pipe, as between two machines
//!                          ▼
//!                       worker ────────────────► driver ──► orca_core::worker ──► store
//!                          └──► docker, host (/proc, cgroups)
//! ```
//!
//! Nothing in this crate decides what happens to a task: it carries events to the cores and their effects out, commits
//! before it acts, and bounds everything that comes in from outside. [`daemon`] is the table of contents.

pub mod again;
pub mod args;
pub mod backup;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod host;
pub mod join;
pub mod log;
pub mod manager;
pub mod metrics;
pub mod net;
pub mod pki;
pub mod run;
pub mod store;
pub mod systemd;
pub mod tasks;
pub mod worker;
