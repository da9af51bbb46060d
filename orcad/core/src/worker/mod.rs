//! The worker core (being built).
pub mod io;
