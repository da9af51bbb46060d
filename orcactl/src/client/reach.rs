//! Why a daemon cannot be reached, and what to do about it.

use std::error::Error;
use std::io;
use std::path::Path;

use hyper_util::client::legacy;
use orca_api::error::exit;
use orca_api::units::Span;

use crate::output::error::Failure;

/// Whether the socket may not be opened.
pub fn is_denied(error: &legacy::Error) -> bool {
    error.is_connect() && cause(error).is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}

/// What a request that came to nothing means.
pub fn failure(socket: &Path, error: &legacy::Error) -> Failure {
    if is_denied(error) {
        return not_allowed(socket);
    }
    if !error.is_connect() {
        return Failure::new("the connection to orcad broke")
            .exit(exit::UNREACHABLE)
            .because(cause(error).map_or_else(|| error.to_string(), ToString::to_string))
            .hint("journalctl -u orcad -e shows its last words");
    }
    let because = match cause(error) {
        Some(cause) if cause.kind() == io::ErrorKind::NotFound => {
            "there is no such socket: orcad does not run".to_owned()
        }
        Some(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens there: orcad does not run".to_owned()
        }
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    };
    Failure::new(format!("cannot reach orcad at {}", socket.display()))
        .exit(exit::UNREACHABLE)
        .because(because)
        .hint("sudo systemctl start orcad")
}

/// For whoever may not open the socket.
pub fn not_allowed(socket: &Path) -> Failure {
    Failure::new(format!("no access to {}", socket.display()))
        .exit(exit::NOT_ALLOWED)
        .because("only root and the members of the group orca may ask orcad for this")
        .hint("sudo orcactl …")
        .hint("sudo usermod -aG orca $USER, then log in again; whoever is in orca is root on every node")
}

/// For a daemon that accepts and says nothing.
pub fn no_answer(socket: &Path, timeout: Span) -> Failure {
    Failure::new(format!("orcad does not answer at {}", socket.display()))
        .exit(exit::UNREACHABLE)
        .because(format!(
            "no answer came within {timeout}; systemd may hold the socket of a daemon that does not start"
        ))
        .hint("systemctl status orcad, and journalctl -u orcad -e")
        .hint("--answer-timeout 60s waits longer")
}

/// For a manager that was reached and says nothing.
pub fn no_remote_answer(name: &str, timeout: Span) -> Failure {
    Failure::new(format!("the manager at {name} does not answer"))
        .exit(exit::UNREACHABLE)
        .because(format!("no answer came within {timeout}"))
        .hint("on the manager: systemctl status orcad, and journalctl -u orcad -e")
        .hint("--answer-timeout 60s waits longer")
}

/// The operating system's error behind an error.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
