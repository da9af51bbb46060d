//! Who is at the other end: the chain leads to a trusted authority, the names are those of a role, and the dates are
//! judged by whose they are.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use orca_api::id::ClusterId;
use orca_api::join::{CaDigest, CertRole};
use orca_api::units::{Span, Time};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::CHAIN_MAX;
use crate::pki::certificate::{KeyDigest, PeerIdentity, Standing, dns_name};
use crate::pki::identity::BundleError;
use crate::pki::pem;

/// Who is at the other end of a connection. The chain was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What its certificate says.
    pub identity: PeerIdentity,
    /// How that stood to the clock at the handshake.
    pub standing: Standing,
}

/// Why a certificate was refused, where rustls has no word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The chain leads to no authority that is trusted, or not to the pinned one.
    #[error("its authority is not the one of the cluster")]
    WrongCa,
    /// It ended.
    #[error("its certificate expired {by} ago by this machine's clock")]
    Expired {
        /// How long ago.
        by: Span,
    },
    /// It has not begun.
    #[error("its certificate begins in {by} by this machine's clock")]
    NotYetValid {
        /// In what time.
        by: Span,
    },
    /// It is sound, and of somebody who has no business there.
    #[error("it has a certificate of role {is}, and a manager's is needed")]
    NotManager {
        /// Its role.
        is: CertRole,
    },
    /// It is of another cluster, whose authority is trusted here by mistake.
    #[error("it belongs to cluster {0}")]
    OtherCluster(ClusterId),
    /// It is not a certificate as the cluster makes them.
    #[error("its certificate is not one of orca: {0}")]
    Unreadable(crate::pki::certificate::CertificateError),
    /// Too many certificates.
    #[error("it shows more than {CHAIN_MAX} certificates")]
    LongChain,
}

impl Refusal {
    fn into_error(self) -> Error {
        // The words of the alerts that the other side gets; what is not among them travels as "unknown".
        match self {
            Self::WrongCa => CertificateError::UnknownIssuer.into(),
            other => CertificateError::Other(OtherError(Arc::new(other))).into(),
        }
    }
}

/// The authorities that are trusted; can be replaced.
pub struct Trust {
    cluster: ClusterId,
    set: ArcSwap<Set>,
}

struct Set {
    roots: RootCertStore,
    clients: Arc<dyn ClientCertVerifier>,
    /// For people and programs, where those are verified by others than nodes.
    people: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("cluster", &self.cluster)
            .field("authorities", &self.set.load().roots.len())
            .finish()
    }
}

impl Trust {
    /// The authorities (PEM) of a cluster.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(cluster: ClusterId, cas: &str) -> Result<Arc<Self>, BundleError> {
        Ok(Arc::new(Self { cluster, set: ArcSwap::from_pointee(Set::read(cas)?) }))
    }

    /// Trusts others from now on. Connections that stand are not touched.
    ///
    /// # Errors
    /// They cannot be read; the present ones then stay.
    pub fn replace(&self, cas: &str) -> Result<(), BundleError> {
        self.set.store(Arc::new(Set::read(cas)?));
        Ok(())
    }

    /// Trusts `cas` from now on, and `people` for whoever is no node. Connections that stand are not touched.
    ///
    /// # Errors
    /// They cannot be read; the present ones then stay.
    pub fn replace_apart(&self, cas: &str, people: &str) -> Result<(), BundleError> {
        let people = Some(Set::read(people)?.clients);
        self.set.store(Arc::new(Set { people, ..Set::read(cas)? }));
        Ok(())
    }
}

impl Set {
    fn read(cas: &str) -> Result<Self, BundleError> {
        let garbled = BundleError::Pem(pem::PemError::Garbled);
        let mut roots = RootCertStore::empty();
        for certificate in pem::certificates(cas)? {
            roots.add(certificate).map_err(|_| garbled)?;
        }
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), super::provider())
            .build()
            .map_err(|_| garbled)?;
        Ok(Self { roots, clients, people: None })
    }
}

/// An instant that the cluster is known to have passed. It only rises.
#[derive(Debug)]
pub struct Floor(AtomicI64);

impl Floor {
    /// At least then: when the own certificate was made, or what a hello last said.
    pub fn new(at: Time) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(at.ms())))
    }

    /// A later instant that the cluster named.
    pub fn raise(&self, at: Time) {
        self.0.fetch_max(at.ms(), Ordering::Relaxed);
    }

    fn get(&self) -> Time {
        Time::from_ms(self.0.load(Ordering::Relaxed))
    }
}

/// How a client judges the dates of the manager.
#[derive(Clone, Debug)]
pub enum Dates {
    /// By its own clock: a machine that joins (whose clock has to be right), a person.
    Strict,
    /// As a node that must not be locked out by a clock: what is neither valid by its clock, nor could be while the
    /// clock is wrong.
    Node(Arc<Floor>),
}

/// Whom a client believes.
#[derive(Clone, Debug)]
pub enum Anchor {
    /// Whoever's chain holds this authority: a machine that joins.
    Pin(CaDigest),
    /// The cluster's authorities.
    Known(Arc<Trust>),
}

/// Verifies managers, for a client.
#[derive(Debug)]
pub(super) struct Managers {
    pub(super) anchor: Anchor,
    pub(super) dates: Dates,
    pub(super) provider: Arc<CryptoProvider>,
}

/// Verifies nodes and people, for a server.
pub(super) struct Clients {
    pub(super) trust: Arc<Trust>,
    pub(super) deny: Deny,
    pub(super) provider: Arc<CryptoProvider>,
}

/// Whom a server turns away at the handshake although the certificate is sound: `true` is away. It is asked at each
/// handshake, and may change its mind.
pub type Deny = Arc<dyn Fn(&PeerIdentity) -> bool + Send + Sync>;

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("trust", &self.trust).finish_non_exhaustive()
    }
}

pub(super) fn time(at: UnixTime) -> Time {
    Time::from_ms(i64::try_from(at.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// The instant at which all but the dates of a certificate is judged: now, or the nearest at which it is valid.
fn within(identity: &PeerIdentity, now: UnixTime) -> UnixTime {
    let at = time(now).max(identity.not_before).min(identity.not_after);
    UnixTime::since_unix_epoch(Duration::from_millis(at.ms().max(0).unsigned_abs()))
}

fn read(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<PeerIdentity, Refusal> {
    if others.len() >= CHAIN_MAX {
        return Err(Refusal::LongChain);
    }
    PeerIdentity::read(leaf).map_err(Refusal::Unreadable)
}

impl Managers {
    fn roots(&self, others: &[CertificateDer<'_>]) -> Result<RootCertStore, Refusal> {
        let pin = match &self.anchor {
            Anchor::Known(trust) => return Ok(trust.set.load().roots.clone()),
            Anchor::Pin(pin) => *pin,
        };
        let pinned =
            |c: &&CertificateDer<'_>| KeyDigest::of_certificate(c).is_ok_and(|d| CaDigest::from(d) == pin);
        let mut roots = RootCertStore::empty();
        let found = others.iter().find(pinned).ok_or(Refusal::WrongCa)?;
        roots.add(found.clone().into_owned()).map_err(|_| Refusal::WrongCa)?;
        Ok(roots)
    }

    /// Whether the dates forbid to go on.
    fn check_dates(&self, identity: &PeerIdentity, now: Time) -> Result<(), Refusal> {
        match (identity.standing(now), &self.dates) {
            (Standing::Valid, _) => Ok(()),
            (_, Dates::Node(floor)) if identity.not_after >= floor.get() => Ok(()),
            (Standing::Expired { by }, _) => Err(Refusal::Expired { by }),
            (Standing::NotYetValid { by }, _) => Err(Refusal::NotYetValid { by }),
        }
    }
}

impl ServerCertVerifier for Managers {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let identity = read(leaf, others);
        let parsed = ParsedCertificate::try_from(leaf)?;
        let roots = self.roots(others).map_err(Refusal::into_error)?;
        // The chain first: what a stranger's certificate says is not worth a word.
        let at = identity.as_ref().map_or(now, |identity| within(identity, now));
        let algorithms = self.provider.signature_verification_algorithms.all;
        let chained = verify_server_cert_signed_by_trust_anchor(&parsed, &roots, others, at, algorithms);
        if let Err(error @ Error::InvalidCertificate(CertificateError::UnknownIssuer)) = chained {
            return Err(error);
        }
        let identity = identity.map_err(Refusal::into_error)?;
        if identity.who.role != CertRole::Manager {
            return Err(Refusal::NotManager { is: identity.who.role }.into_error());
        }
        chained?;
        let name =
            ServerName::try_from(dns_name(CertRole::Manager)).map_err(|e| Error::General(e.to_string()))?;
        verify_server_name(&parsed, &name)?;
        if let Anchor::Known(trust) = &self.anchor
            && trust.cluster != identity.who.cluster
        {
            return Err(Refusal::OtherCluster(identity.who.cluster).into_error());
        }
        self.check_dates(&identity, time(now)).map_err(Refusal::into_error)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Names of authorities are nobody's business before he has shown a certificate.
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let identity = read(leaf, others);
        let at = identity.as_ref().map_or(now, |identity| within(identity, now));
        let set = self.trust.set.load();
        let person = identity.as_ref().is_ok_and(|identity| identity.who.node().is_none());
        let clients = set.people.as_ref().filter(|_| person).unwrap_or(&set.clients);
        let verified = clients.verify_client_cert(leaf, others, at)?;
        let identity = identity.map_err(Refusal::into_error)?;
        if identity.who.cluster != self.trust.cluster {
            return Err(Refusal::OtherCluster(identity.who.cluster).into_error());
        }
        if (self.deny)(&identity) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
