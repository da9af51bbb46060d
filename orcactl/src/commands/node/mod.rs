//! `orcactl node …`.

pub mod availability;
pub mod inspect;
pub mod list;
