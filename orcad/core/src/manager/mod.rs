//! The manager core: it accepts what clients want, places tasks, and keeps track of what workers report.
//!
//! ```text
//!   Asked ──────► tasks.rs   admit, change what is wanted ─┐
//!   Reported ───► report.rs  merge what was observed ──────┼─► reconcile a task ─► place.rs (scheduler)
//!   Hello, Polled ► nodes.rs who is there ─────────────────┘        │
//!   jobs/        what follows for a job when a task of it, or what is wanted, has changed
//!   Tick ───────► deadline.rs what time alone makes due             ▼
//!                                              changes (applied in state.rs), effects
//!   view.rs, explain.rs: what clients see, made from the state and never stored
//! ```
//!
//! One rule moves every task (`Turn::reconcile`): *no live placement of the current run, though one is
//! wanted → place; a live one that is not wanted, or of an earlier run → stop it; nothing live and to be
//! removed → forget it*. Requests only change what is wanted and then apply that rule, so a request, a
//! restart of the daemon and a repeated report all end in the same state.
//!
//! It never sees clocks, files, sockets or SQL, and it never talks to the engine.

mod attention;
mod audit;
mod brake;
mod certificates;
pub mod check;
mod deadline;
mod defaults;
mod drain;
mod explain;
pub mod io;
pub mod jobs;
mod join;
mod liveness;
mod members;
mod moves;
mod nodes;
mod place;
mod pressure;
pub mod record;
mod report;
mod restore;
mod settings;
mod singleton;
mod state;
mod tasks;
mod turn;
mod view;

pub use certificates::RotationStage;
pub use defaults::HEARTBEAT;
pub use io::{Answer, Asked, Change, Effect, Event, Found, JoinAsked, Peer, Request, Step, Token};
pub use restore::{Admits, Replaced};
pub use state::Manager;
pub use view::LogSource;

#[cfg(test)]
mod tests;
