//! The worker core: it takes up what the manager assigned, one container after the other, and says what came of it.
//!
//! ```text
//!  Assigned ───► assign.rs   the complete set: what is wanted ──┐
//!  Swept, Inspected, Done ─► observe.rs, ops.rs: what is there ─┤
//!  Engine ─────────────────► engine.rs: whom to believe ────────┤
//!  Checked ────────────────► health.rs: who is well ────────────┤
//!  OomKills ───────────────► oom.rs: whom the kernel killed ────┤
//!  Tick ────────────────────────────────────────────────────────┤
//!                                                               ▼
//!           converge.rs  each placement one step nearer to what is wanted ──► Pull, Create, Start, Stop
//!           tidy.rs      containers that nobody needs any more            ──► Stop, Remove
//!           report.rs    what changed, until the manager accepted it      ──► Report
//!
//!  an attempt:  preparing ─Pull─Create─► ready ─Start─► starting ─► running ─► (stopping) ─► an end
//!                                                                          outcome.rs: why it ended
//!                                                                          restart.rs: whether there is a next one
//! ```
//!
//! Every event ends in the same convergence, so a hint, a timer, a restart of the daemon and a repeated message
//! take one path. What the engine tells is the only truth about containers: an effect that was lost, doubled or
//! late changes nothing, since the next look at the containers says what is to be done. A container is known by
//! its labels and never by memory, an attempt only ends when the engine was seen to say so, and the next one
//! begins only after that: **at most one container of a placement is alive**.
//!
//! Durable is what [`Change`] says, altered by [`Worker::apply`] alone; everything else (operations in flight,
//! what the containers look like, what was accepted) is forgotten with the process and found again by the first sweep.

mod assign;
mod check;
mod containers;
mod converge;
mod deadline;
mod defaults;
mod engine;
mod health;
pub mod io;
mod lease;
mod observe;
mod oom;
mod ops;
mod outcome;
mod record;
mod report;
mod restart;
mod state;
mod step;
mod tidy;

pub use io::{Change, Effect, Event, OpId, Step};
pub use state::Worker;

#[cfg(test)]
mod tests;
