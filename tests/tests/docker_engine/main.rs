//! The worker's hands on a real engine. Tests are named `docker_…`, so that a run without Docker can leave them out.

mod containers;
mod output;
mod registry;
mod rig;
