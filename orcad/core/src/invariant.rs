//! The invariants of both cores.
pub use crate::manager::check::check_manager;
