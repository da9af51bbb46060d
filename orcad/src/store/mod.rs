//! The store: what a restart must find again, in SQLite.
//!
//! ```text
//!   driver ── commit(changes) ──► bounded queue ──► writer thread ──► one transaction ──► answer
//!                                                   (the one connection that writes)
//!   driver ── load() ───────────► reading connection: live rows, as the changes that make them
//!   API ───── events(), audit() ► reading connection: history
//!   orcad backup ─────────────────► copy.rs: copies, made beside the daemon and put in its place without it
//! ```
//!
//! | file | holds | when it cannot be read |
//! |---|---|---|
//! | [`ManagerStore`] | the cluster: nodes, tasks, placements, keys, events, audit | orcad refuses to start and says what to do |
//! | [`WorkerStore`] | this node's placements and their specs | moved aside, begun empty: containers and the manager rebuild it |
//!
//! Both wait for the disk (`synchronous=FULL`). A worker that reported an end and then forgot it in a power cut would
//! begin the attempt again, under a number that the manager knows as ended.
//!
//! Invariants: what [`ManagerStore::load`] gives is what folding every committed change gives. A commit is wholly
//! there or wholly absent. A store that is damaged, foreign or of a newer orcad is refused before one byte of it
//! changes. Two processes never share a store. A full disk is a known rollback, never a half-written store.
//!
//! It knows the cores' changes and records, and nothing of how they come about: no rule is decided here. The drivers
//! call it.

mod copy;
mod error;
mod history;
mod lock;
mod manager;
mod manager_rows;
mod migrate;
mod reserve;
mod sqlite;
mod worker;
mod worker_rows;
mod writer;

pub(crate) use copy::own;
pub use copy::{Backup, Replacement, Restored, Summary, attach, copy_to};
pub use error::{CommitError, StoreError};
pub use history::{EventFilter, EventPlace};
pub use manager::ManagerStore;
pub use reserve::Space;
pub use worker::WorkerStore;
pub use writer::CommitInfo;

#[cfg(test)]
mod tests;
