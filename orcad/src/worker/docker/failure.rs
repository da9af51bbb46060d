//! How a call to the engine fails, and what that means for whoever asked.

use std::time::Duration;

use orca_api::task::Reason;
use orca_core::worker::io::{Failure, FailureKind};

/// A call that did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nobody listens on the socket.
    #[error("the engine is not there: {0}")]
    Away(String),
    /// Somebody listens and does not answer.
    #[error("the engine did not answer `{call}` within {after:?}")]
    Silent {
        /// What was asked.
        call: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke before the answer was complete, or the answer cannot be read.
    #[error("the engine's answer to `{call}` broke off: {message}")]
    Broken {
        /// What was asked.
        call: &'static str,
        /// What the connection said.
        message: String,
    },
    /// The engine answered that it will not or cannot.
    #[error("{message}")]
    Refused {
        /// HTTP status, 400 to 599.
        status: u16,
        /// The engine's own words.
        message: String,
    },
    /// The engine is too old, or too new, to be understood.
    #[error("{0}")]
    Unsupported(String),
}

impl EngineError {
    /// From the client's error.
    pub(super) fn of(call: &'static str, after: Duration, error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Refused { status: status_code, message }
            }
            // What the engine writes into a stream that began well is its own refusal, too.
            Error::DockerStreamError { error } => Self::Refused { status: 500, message: error },
            Error::RequestTimeoutError => Self::Silent { call, after },
            Error::SocketNotFoundError(path) => Self::Away(format!("no socket at {path}")),
            Error::HyperLegacyError { err } if err.is_connect() => Self::Away(with_sources(&err)),
            other => Self::Broken { call, message: with_sources(&other) },
        }
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether there was no answer, so that nothing is known.
    pub fn is_silence(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }

    /// As the failure of an operation: silence is unknown; a refusal means what `classify` says.
    pub(super) fn failure(self, classify: impl FnOnce(u16, &str) -> FailureKind) -> Failure {
        match self {
            Self::Refused { status, message } => Failure { kind: classify(status, &message), message },
            silence => Failure { kind: FailureKind::Unknown, message: silence.to_string() },
        }
    }
}

/// An error with its causes, none of them twice.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The attempt is rejected.
pub(super) fn rejected(reason: Reason, message: impl Into<String>) -> Failure {
    Failure { kind: FailureKind::Rejected(reason), message: message.into() }
}
