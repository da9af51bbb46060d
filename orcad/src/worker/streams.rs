//! Output of containers, and processes in them: bytes that flow between the engine and whoever asked.
//!
//! ```text
//!   logs   engine ──frames──► demux ──► LogLine, LogLine, …            ends with the container, or with the reader
//!   exec   engine ◄──stdin── Frame      engine ──frames──► Frame …     ends with Exit or Error
//! ```
//!
//! Each stream has one owner: the returned value. Dropping it closes the connection to the engine, and nothing is left
//! behind: no task, no descriptor. A process that `exec` began is not killed by that: it sees its standard streams close.
//!
//! The engine's connection is used raw here, not through the client library: its demultiplexer waits for ever on
//! terminal output that looks like a frame, and panics on a frame of unknown kind.

pub mod demux;
mod dropped;
mod exec;
mod logs;
mod raw;

pub use self::exec::exec;
pub use self::logs::logs;
