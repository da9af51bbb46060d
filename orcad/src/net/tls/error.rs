//! Why there is no connection: what `worker start` tells.

use std::io::{Error as IoError, ErrorKind};

use orca_api::units::Span;
use rustls::{AlertDescription, CertificateError, Error as RustlsError};

use super::HANDSHAKE_TIME;
use super::verify::Refusal;
use crate::pki::certificate;

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The name cannot be resolved.
    #[error("{address} cannot be resolved")]
    NoName {
        /// What was dialled.
        address: String,
        /// The system's word.
        #[source]
        source: IoError,
    },
    /// The machine answers, and nothing listens there.
    #[error("{address} refuses connections")]
    Refused {
        /// What was dialled.
        address: String,
    },
    /// There is no way there.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// What was dialled.
        address: String,
        /// The system's word.
        #[source]
        source: IoError,
    },
    /// Nothing answers: a firewall that drops, or a machine that is off.
    #[error("{address} does not answer within {}s", HANDSHAKE_TIME.as_secs())]
    Silent {
        /// What was dialled.
        address: String,
    },
    /// It is connected, and does not come to an end with the handshake.
    #[error("the other side does not finish the handshake within {}s", HANDSHAKE_TIME.as_secs())]
    SlowHandshake,
    /// The connection broke in the handshake.
    #[error("the other side closed the connection")]
    Closed,
    /// What answers does not speak TLS 1.3.
    #[error("what answers there is not orca: it does not speak TLS 1.3")]
    NotTls,
    /// It speaks TLS, and not our protocol.
    #[error("what answers there is not orca: it does not speak the protocol of the link")]
    NoProtocol,
    /// The other side's authority is not ours.
    #[error("what answers there belongs to another cluster")]
    WrongCa,
    /// The other side's certificate ended.
    #[error("the other side's certificate expired {by} ago by this machine's clock")]
    Expired {
        /// How long ago.
        by: Span,
    },
    /// The other side's certificate has not begun.
    #[error(
        "the other side's certificate begins in {by} by this machine's clock: the clocks differ by more than that"
    )]
    NotYetValid {
        /// In what time. Certificates are back-dated by an hour, so the clocks differ by so much and an hour.
        by: Span,
    },
    /// The other side's certificate is sound, and not for this.
    #[error("the other side cannot be believed: {0}")]
    Refusal(Refusal),
    /// The certificate was revoked: ours where we dial, the other side's where we accept.
    #[error("the certificate was revoked")]
    Revoked,
    /// The other side does not accept our certificate.
    #[error("the other side does not accept this machine's certificate ({0})")]
    Rejected(String),
    /// TLS, otherwise.
    #[error("the handshake failed: {0}")]
    Tls(RustlsError),
    /// The connection, otherwise.
    #[error("the connection broke in the handshake")]
    Io(#[source] IoError),
    /// TLS cannot be set up here.
    #[error("TLS cannot be set up: {0}")]
    Setup(RustlsError),
}

impl TlsError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoName { .. } => "check the name, or use an address: getent hosts NAME",
            Self::Refused { .. } => "on the manager: is orcad running, and does it listen? (orcactl status)",
            Self::Unreachable { .. } => "check the network between the machines: ip route get ADDRESS",
            Self::Silent { .. } => {
                "a firewall drops it, or the machine is off: let 7443/tcp in on the manager, and try ping"
            }
            Self::SlowHandshake | Self::Closed | Self::Io(_) => {
                "check the network between the machines, and on the manager: journalctl -u orcad"
            }
            Self::NotTls | Self::NoProtocol => "check address and port: another program listens there",
            Self::WrongCa => {
                "check the address; after a rotation of the authority a new token is needed: orcactl node token"
            }
            Self::Expired { .. } | Self::NotYetValid { .. } => {
                "compare the clocks of both machines (date -u), and set the wrong one: timedatectl set-ntp true"
            }
            Self::Refusal(_) => "dial a manager, not another node, and run the same version of orca on both",
            Self::Revoked => "join again with a new token: orcactl node token, on a manager",
            Self::Rejected(_) => "on the manager: journalctl -u orcad; or join again with a new token",
            Self::Tls(_) | Self::Setup(_) => "run the same version of orca on both machines",
        }
    }

    pub(super) fn of_dial(address: &str, source: IoError) -> Self {
        let address = address.to_owned();
        match source.kind() {
            ErrorKind::ConnectionRefused => Self::Refused { address },
            ErrorKind::TimedOut => Self::Silent { address },
            _ => Self::Unreachable { address, source },
        }
    }

    pub(super) const fn unreadable(error: certificate::CertificateError) -> Self {
        Self::Refusal(Refusal::Unreadable(error))
    }

    /// From an error of a handshake, or of a read or write after it: the refusal of a client's certificate may come that
    /// late.
    pub fn of_io(error: IoError) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>()) {
            Some(inner) => Self::of_tls(inner.clone()),
            None => match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Io(error),
            },
        }
    }

    fn of_tls(error: RustlsError) -> Self {
        match error {
            RustlsError::InvalidCertificate(inner) => Self::of_certificate(inner),
            RustlsError::AlertReceived(AlertDescription::CertificateRevoked) => Self::Revoked,
            RustlsError::AlertReceived(AlertDescription::UnknownCA) => {
                Self::Rejected("its authority is not known there".to_owned())
            }
            RustlsError::AlertReceived(AlertDescription::NoApplicationProtocol)
            | RustlsError::NoApplicationProtocol => Self::NoProtocol,
            RustlsError::AlertReceived(AlertDescription::ProtocolVersion)
            | RustlsError::InvalidMessage(_)
            | RustlsError::PeerIncompatible(_)
            | RustlsError::InappropriateMessage { .. }
            | RustlsError::InappropriateHandshakeMessage { .. }
            | RustlsError::PeerSentOversizedRecord => Self::NotTls,
            RustlsError::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError
                | AlertDescription::CertificateRequired),
            ) => Self::Rejected(format!("{alert:?}")),
            other => Self::Tls(other),
        }
    }

    fn of_certificate(error: CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::WrongCa,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::Other(ref inner) => match inner.0.downcast_ref::<Refusal>() {
                Some(Refusal::Expired { by }) => Self::Expired { by: *by },
                Some(Refusal::NotYetValid { by }) => Self::NotYetValid { by: *by },
                Some(Refusal::WrongCa) => Self::WrongCa,
                Some(other) => Self::Refusal(*other),
                None => Self::Tls(error.into()),
            },
            other => Self::Tls(other.into()),
        }
    }
}
