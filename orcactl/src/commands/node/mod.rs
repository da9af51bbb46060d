//! `orcactl node …`.

pub mod availability;
pub mod drain;
pub mod inspect;
pub mod label;
pub mod list;
pub mod remove;
pub mod token;
