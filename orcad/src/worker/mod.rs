//! (being built)
pub mod docker;
pub mod streams;
