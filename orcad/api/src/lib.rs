//! The words of orca: ids, units, specs, states, reasons, requests, views, routes and error codes.
//!
//! Everything that crosses a boundary (a file a person wrote, the control socket, the link between
//! nodes, a row of the store) is made of these types, and **parsing is the only way in**: a value of a
//! type in here is valid.
//!
//! ```text
//!   units  id  name  image ──► spec ──► task (states, owners, reasons) ──► control (requests, views)
//!                                                                     └──► link    (manager <-> worker)
//!   error (codes, HTTP status, exit code)     route (method, path, who may)     text (strict TOML, JSON)
//! ```
//!
//! This crate knows nothing of sockets, clocks, files, threads, SQL or Docker, and must never learn.

pub mod cluster;
pub mod control;
pub mod error;
pub mod id;
pub mod image;
pub mod job;
pub mod join;
pub mod link;
pub mod load;
pub mod name;
pub mod node;
pub mod openapi;
pub mod route;
pub mod spec;
pub mod stream;
pub mod task;
pub mod text;
pub mod units;

/// The version of orca, as printed by `orcactl version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
