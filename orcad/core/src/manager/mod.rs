//! The manager core (being built).
pub mod io;
pub mod record;
