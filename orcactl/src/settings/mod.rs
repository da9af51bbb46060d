//! What the arguments mean together with the environment and files.

use std::path::PathBuf;

use orca_api::units::Span;

use crate::cli::Global;
use crate::output::error::Failure;

pub mod env;
pub mod spec;

/// What holds for every command.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The control socket.
    pub socket: PathBuf,
    /// How long the first byte of an answer may take.
    pub answer_timeout: Span,
}

impl Settings {
    /// From the global options.
    ///
    /// # Errors
    /// Where they make no sense.
    pub fn new(global: &Global) -> Result<Self, Failure> {
        if global.socket.as_os_str().is_empty() {
            return Err(Failure::usage("the path of the control socket is empty")
                .hint("leave --socket and ORCA_SOCKET out to use the usual one"));
        }
        if global.answer_timeout == Span::ZERO {
            return Err(Failure::usage("--answer-timeout must be longer than nothing")
                .hint("--answer-timeout 10s is the usual one"));
        }
        Ok(Self { socket: global.socket.clone(), answer_timeout: global.answer_timeout })
    }
}
