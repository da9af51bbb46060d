//! The own certificate, which can be replaced: handshakes that begin later show the new one.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::pki::identity::{IdentityError, NodeIdentity, PrivateKey, certified};

/// The certificate that is shown, or none.
#[derive(Default)]
pub struct Own(ArcSwapOption<CertifiedKey>);

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("certified", &self.0.load().is_some()).finish()
    }
}

impl Own {
    /// None: how a machine joins.
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// A node's.
    ///
    /// # Errors
    /// Key and certificate do not fit.
    pub fn of(identity: &NodeIdentity) -> Result<Arc<Self>, IdentityError> {
        Self::new(identity.key(), identity.chain())
    }

    /// From a key and a chain (PEM).
    ///
    /// # Errors
    /// They do not fit.
    pub fn new(key: &PrivateKey, chain: &str) -> Result<Arc<Self>, IdentityError> {
        let own = Self::none();
        own.replace(key, chain)?;
        Ok(own)
    }

    /// Shows another from now on. Connections that stand are not touched.
    ///
    /// # Errors
    /// Key and certificate do not fit; the present one then stays.
    pub fn replace(&self, key: &PrivateKey, chain: &str) -> Result<(), IdentityError> {
        self.0.store(Some(Arc::new(certified(key, chain)?)));
        Ok(())
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }

    fn has_certs(&self) -> bool {
        self.0.load().is_some()
    }
}
