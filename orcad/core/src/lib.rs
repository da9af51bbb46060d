//! The rules of orca: the manager core, the worker core, and the invariants of both.
//!
//! A core is a state and a synchronous `step`: an event and an instant go in, changes and effects come out.
//! It reads no clock, no random source, no file, no socket and no environment, and it does not log.
//!
//! ```text
//!            event, now                        changes ──► store (one transaction)
//!  shell ───────────────►  core.step ─────────┤
//!    ▲                        │ apply          effects ──► released after the commit
//!    └────── results ◄────────┴──────────────────────────────┘
//! ```
//!
//! `apply` is the only thing that alters durable state: a core that is loaded from the store is equal to the
//! one that wrote it. `next_deadline` says when time alone makes something due; there are no timers.

pub mod invariant;
pub mod lease;
pub mod manager;
pub mod now;
pub mod worker;

pub use now::Now;
