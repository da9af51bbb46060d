//! What a certificate of the cluster says. Two names are in it: the URI `orca://<cluster>/<role>/<id>`, which says whose
//! it is, and the DNS name `<role>.orca`, by which TLS verifies the role. The serial number is the certificate's id.
//!
//! Reading is strict: a certificate that says anything more, or anything twice, is no identity.

use std::fmt;

use orca_api::id::{CertificateId, ClusterId, NodeId, RawId};
use orca_api::join::{CaDigest, CertRole};
use orca_api::units::{Span, Time};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

/// The largest certificate that is looked at, in bytes; ours have about 600.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// How far a certificate's beginning lies before its making, for clocks that are behind: 1 h.
pub const BACK_DATED: Span = Span::from_ms(3_600_000);
/// How long a node's certificate lives: 90 days.
pub const LIFETIME: Span = Span::from_ms(90 * 86_400_000);

/// The DNS name of a role.
pub fn dns_name(role: CertRole) -> String {
    format!("{role}.orca")
}

/// Whose a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The role.
    pub role: CertRole,
    /// The node's id, or for `admin` and `view` the id under which the certificate was made.
    pub id: RawId,
}

impl Identity {
    /// Of a node. `role` is `manager` or `worker`.
    pub const fn of_node(cluster: ClusterId, role: CertRole, node: NodeId) -> Self {
        Self { cluster, role, id: node.raw() }
    }

    /// The node, where it is one's.
    pub const fn node(&self) -> Option<NodeId> {
        match self.role {
            CertRole::Manager | CertRole::Worker => Some(NodeId::from_raw(self.id)),
            CertRole::Admin | CertRole::View => None,
        }
    }

    /// `orca://<cluster>/<role>/<id>`.
    pub fn uri(&self) -> String {
        format!("orca://{}/{}/{}", self.cluster, self.role, self.id)
    }

    /// Reads a URI; only the form that [`Identity::uri`] writes is one.
    pub fn from_uri(text: &str) -> Result<Self, CertificateError> {
        let mut parts = text.strip_prefix("orca://").ok_or(CertificateError::Uri)?.split('/');
        let mut next = || parts.next().ok_or(CertificateError::Uri);
        let (cluster, role, id) = (next()?, next()?, next()?);
        let read = Self {
            cluster: cluster.parse().map_err(|_| CertificateError::Uri)?,
            role: role.parse().map_err(|()| CertificateError::Uri)?,
            id: id.parse().map_err(|_| CertificateError::Uri)?,
        };
        // Lower case, a fourth part and the like read, and are not what was written.
        if read.uri() == text { Ok(read) } else { Err(CertificateError::Uri) }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.id)
    }
}

/// SHA-256 of a public key (of the whole SubjectPublicKeyInfo): what a join token pins an authority by, and what tells
/// that a node has the key that it had.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Of the key in a certificate.
    pub fn of_certificate(der: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self::of(&parse(der)?))
    }

    fn of(certificate: &X509Certificate<'_>) -> Self {
        Self(Sha256::digest(certificate.public_key().raw).into())
    }
}

impl From<KeyDigest> for CaDigest {
    fn from(digest: KeyDigest) -> Self {
        Self(digest.0)
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands in a certificate. That it stands there proves nothing: the chain does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Whose it is.
    pub who: Identity,
    /// Its id.
    pub certificate: CertificateId,
    /// Its key.
    pub key: KeyDigest,
    /// When it begins; [`BACK_DATED`] before it was made.
    pub not_before: Time,
    /// When it ends.
    pub not_after: Time,
}

/// How a certificate stands to a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Between its dates.
    Valid,
    /// Past its end.
    Expired {
        /// For how long.
        by: Span,
    },
    /// Before its beginning: one of two clocks is wrong, at least by so much.
    NotYetValid {
        /// For how long to come.
        by: Span,
    },
}

impl PeerIdentity {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is not one that this cluster's authority makes, and why.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let (mut uri, mut dns) = (None, None);
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    for name in &names.general_names {
                        let (place, text) = match name {
                            GeneralName::URI(text) => (&mut uri, *text),
                            GeneralName::DNSName(text) => (&mut dns, *text),
                            _ => return Err(CertificateError::Names),
                        };
                        if place.replace(text).is_some() {
                            return Err(CertificateError::Names);
                        }
                    }
                }
                ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                    return Err(CertificateError::Authority);
                }
                _ => {}
            }
        }
        let who = Identity::from_uri(uri.ok_or(CertificateError::Names)?)?;
        if dns != Some(dns_name(who.role).as_str()) {
            return Err(CertificateError::Names);
        }
        Ok(Self {
            who,
            certificate: CertificateId::from_raw(serial(certificate.raw_serial())?),
            key: KeyDigest::of(&certificate),
            not_before: time(certificate.validity().not_before.timestamp()),
            not_after: time(certificate.validity().not_after.timestamp()),
        })
    }

    /// How it stands to a clock. The instants of beginning and end are within, as in RFC 5280.
    pub fn standing(&self, now: Time) -> Standing {
        if now < self.not_before {
            Standing::NotYetValid { by: self.not_before.since(now) }
        } else if now > self.not_after {
            Standing::Expired { by: now.since(self.not_after) }
        } else {
            Standing::Valid
        }
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(CertificateError::TooLarge(der.len()));
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Garbled),
    }
}

/// DER writes a number with a leading zero where the top bit is set, and without the zeros that it begins with.
fn serial(raw: &[u8]) -> Result<RawId, CertificateError> {
    let from = raw.iter().position(|byte| *byte != 0).unwrap_or(raw.len());
    let digits = &raw[from..];
    let mut bytes = [0; 10];
    let start = bytes.len().checked_sub(digits.len()).ok_or(CertificateError::Serial)?;
    bytes[start..].copy_from_slice(digits);
    Ok(RawId::from_bytes(bytes))
}

fn time(seconds: i64) -> Time {
    Time::from_ms(seconds.saturating_mul(1000))
}

/// A certificate that is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not DER, not X.509, or something follows it.
    #[error("it is no certificate")]
    Garbled,
    /// Larger than any of ours.
    #[error("it has {0} bytes, more than the {CERTIFICATE_BYTES_MAX} that are read")]
    TooLarge(usize),
    /// Not exactly the two names.
    #[error("its names are not those of a certificate of orca")]
    Names,
    /// The name is not `orca://<cluster>/<role>/<id>`.
    #[error("its name is not of the form orca://CLUSTER/ROLE/ID")]
    Uri,
    /// It may sign others.
    #[error("it is the certificate of an authority")]
    Authority,
    /// A serial number that is none of ours.
    #[error("its serial number has more than 80 bits")]
    Serial,
}
