//! `orcactl debug`: what helps those who look for a fault.

pub mod bundle;

mod archive;
mod daemon;
mod machine;
mod manifest;
mod redact;
