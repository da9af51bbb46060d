//! `orcactl`: the face of orca.
//!
//! ```text
//!   arguments ──► cli ──► settings ──► commands/<noun>/<verb> ──► output ──► stdout: data
//!   environment ─────────────┘   │            ▲                      └────► stderr: everything else
//!   files ───────────────────────┘            ▼
//!                                          client ◄──► orcad's socket
//! ```
//!
//! Four things are kept apart: what may be typed ([`cli`], types only), what it means together with the
//! environment and files ([`settings`]), what is done ([`commands`]) and how it is said ([`output`]).
//! The words come from `orca-api`; this crate knows nothing of how orcad works inside.
//!
//! A command ends with an exit code of [`orca_api::error::exit`]. Whatever goes wrong is one type,
//! [`output::error::Failure`]: what happened, why, what to type next, and the code.

use std::process::ExitCode;

pub mod cli;
pub mod client;
pub mod commands;
pub mod output;
pub mod settings;
pub mod terminal;

/// Runs the command as the process's arguments say.
pub fn main() -> ExitCode {
    commands::completion::answer_shell();
    let parsed = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => return ExitCode::from(output::error::of_arguments(error)),
    };
    parsed.global.color.set();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure =
                output::error::Failure::new("the runtime cannot be started").because(error.to_string());
            return ExitCode::from(output::printer::Printer::plain().failure(&failure));
        }
    };
    let code = runtime.block_on(commands::run(parsed));
    // A read of standard input may be under way in a thread that nothing can interrupt.
    runtime.shutdown_background();
    ExitCode::from(code)
}
