//! `orcactl task …`.

pub mod exec;
pub mod explain;
pub mod follow;
pub mod inspect;
pub mod list;
pub mod logs;
pub mod remove;
pub mod restart;
pub mod start;
pub mod stats;
pub mod stop;
pub mod wait;
