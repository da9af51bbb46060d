//! Several daemons in this process, joined over real TLS: a manager and its workers, each with a fake engine.

mod crowd;
mod joining;
mod node;
mod trust;
