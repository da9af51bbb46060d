//! The worker's hands on the engine, against an engine that can be told to fail.

mod containers;
mod images;
mod ours;
mod rig;
mod streams;
mod watch;
