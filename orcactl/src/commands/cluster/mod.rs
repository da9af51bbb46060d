//! `orcactl cluster …`: what holds for the whole.

pub mod ca;
pub mod certificate;
pub mod inspect;
pub mod set;
