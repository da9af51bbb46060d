//! Every command against a canned daemon: exit code, standard output, standard error, and what was asked.
//!
//! The snapshots are the specification of the face. Review reads their diff.

mod cluster;
mod context;
mod debug;
mod errors;
mod exec;
mod job;
mod join;
mod network;
mod node;
mod role;
mod run;
mod server;
mod start;
mod task;
mod usage;
mod views;
