//! The worker's shell: its driver's role, its end of the link, and the hands on engine and machine.
//!
//! ```text
//!   link.rs ── welcomed, assigned, accepted ──►           ──► docker (pull, create, start, stop, remove, sweep) ──► dockerd
//!   docker  ── done, swept, hints, engine ────► driver.rs ──► outbox ──► link.rs (reports)
//!   measure.rs ── pressure, peaks ────────────►           ──► store
//!   health.rs  ── checked ────────────────────►           ──► health.rs (what is to be checked)
//!   serve.rs  ◄── the manager asks: load, logs, exec
//! ```
//!
//! It decides nothing. It goes on without a manager, and its containers go on without it.

pub mod control;
pub mod docker;
pub mod driver;
pub mod facts;
pub mod health;
pub mod link;
pub mod measure;
pub mod member;
pub mod serve;
pub mod streams;

pub use driver::{WorkerHandle, WorkerRole};
