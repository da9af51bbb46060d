//! `orcactl manager …` and `orcactl worker …`: the roles of this node.

pub mod start;
