//! The manager's shell: its driver's role, the control API, and its end of the link.
//!
//! ```text
//!   control.rs ── tasks.rs nodes.rs events.rs logs.rs exec.rs ──┐            ┌── waiters.rs: parked requests, followers
//!   (control socket)                                            ├─► driver ──┤
//!   link.rs (workers ask) ──────────────────────────────────────┘  (role.rs) └── store
//!   link.rs (workers are asked: load, logs, exec)
//! ```
//!
//! It decides nothing: it turns HTTP into events and reads, and answers into HTTP. What it knows of a task it has
//! from the core, at the moment it is asked.

pub mod addresses;
pub mod authority;
mod cluster;
pub mod control;
mod events;
mod exec;
pub mod hands;
mod jobs;
pub mod link;
mod logs;
pub mod members;
mod nodes;
pub mod port;
pub mod role;
mod roles;
mod tasks;
pub mod unattended;
pub mod waiters;

pub use role::{ManagerHandle, ManagerRole};
