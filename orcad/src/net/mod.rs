//! How bytes come in and go out: the control socket, the link between machines, HTTP's limits, room and pace.
//!
//! ```text
//!   control socket ──► unix.rs (who is it, is there room) ──► timed.rs (no stuck writes) ──► http.rs (heads, bodies) ──► control API
//!   link           ──► tls (who is it, by its certificate), or memory.rs (a pipe in its place) ────────────► h2.rs ──► link API
//! ```
//!
//! Nothing in here knows a task. Every limit has a name and stands in [`limits`].

pub mod api;
pub mod h2;
pub mod http;
pub mod limits;
pub mod memory;
pub mod room;
pub mod timed;
pub mod tls;
pub mod unix;
