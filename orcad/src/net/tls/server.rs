//! The accepting side: a manager's port.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use orca_api::join::CaDigest;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};
use tokio_util::sync::CancellationToken;

use super::verify::{Clients, Deny, Peer, Trust};
use super::{
    ALPN_CLIENT_ASKS, ALPN_HTTP1, ALPN_SERVER_ASKS, HANDSHAKE_TIME, Own, Purpose, Stream, TlsError,
    WallClock, provider,
};
use crate::driver::Clock;
use crate::pki::certificate::{KeyDigest, PeerIdentity};

/// Accepts connections.
#[derive(Clone)]
pub struct Server {
    acceptor: TlsAcceptor,
    clock: Clock,
    deny: Deny,
    standing: Arc<Standing>,
    limit: Duration,
}

/// The connections that stand, by number, as far as they have a certificate.
#[derive(Default)]
struct Standing {
    next: AtomicU64,
    all: Mutex<BTreeMap<u64, (PeerIdentity, CancellationToken, CancellationToken)>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// It.
    pub stream: Stream,
    /// Who is there; nobody knows where there was no certificate.
    pub peer: Option<Peer>,
    /// Who asks on it.
    pub purpose: Purpose,
    /// HTTP/1.1 is spoken on it, not HTTP/2.
    pub http1: bool,
    /// The authority that signed the peer's certificate, as the peer shows it: word of the peer, about itself.
    pub issuer: Option<CaDigest>,
}

impl Server {
    /// A server that shows `own`, lets in whom `trust` vouches for and `deny` does not name, and judges by `clock`.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn new(own: Arc<Own>, trust: Arc<Trust>, deny: Deny, clock: Clock) -> Result<Self, TlsError> {
        let provider = provider();
        let clients = Clients { trust, deny: Arc::clone(&deny), provider: Arc::clone(&provider) };
        let time = Arc::new(WallClock(Arc::clone(&clock)));
        let mut config = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Setup)?
            .with_client_cert_verifier(Arc::new(clients))
            .with_cert_resolver(own);
        config.alpn_protocols =
            vec![ALPN_CLIENT_ASKS.to_vec(), ALPN_SERVER_ASKS.to_vec(), ALPN_HTTP1.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            clock,
            deny,
            standing: Arc::default(),
            limit: HANDSHAKE_TIME,
        })
    }

    /// With another limit for a handshake than [`HANDSHAKE_TIME`].
    #[must_use]
    pub const fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes the handshake, which may take [`HANDSHAKE_TIME`].
    ///
    /// # Errors
    /// Why the other side was not let in; it got an alert.
    pub async fn accept(&self, connection: TcpStream) -> Result<Accepted, TlsError> {
        // A connection that breaks here breaks in the handshake too, where it is told.
        let _ = connection.set_nodelay(true);
        let handshake = self.acceptor.accept(connection);
        let stream = match tokio::time::timeout(self.limit, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(TlsError::of_io(error)),
            Err(_) => return Err(TlsError::SlowHandshake),
        };
        let session = stream.get_ref().1;
        let purpose = match session.alpn_protocol() {
            Some(ALPN_CLIENT_ASKS | ALPN_HTTP1) => Purpose::WorkerAsks,
            Some(ALPN_SERVER_ASKS) => Purpose::ManagerAsks,
            _ => return Err(TlsError::NoProtocol),
        };
        let http1 = session.alpn_protocol() == Some(ALPN_HTTP1);
        let issuer = session.peer_certificates().and_then(|shown| shown.get(1));
        let issuer = issuer.and_then(|ca| KeyDigest::of_certificate(ca).ok()).map(CaDigest::from);
        let peer = match session.peer_certificates().and_then(<[_]>::first) {
            None => None,
            Some(certificate) => {
                let identity = PeerIdentity::read(certificate).map_err(TlsError::unreadable)?;
                let standing = identity.standing((self.clock)().wall);
                Some(Peer { identity, standing })
            }
        };
        let (cut, gone) = (CancellationToken::new(), CancellationToken::new());
        if let Some(peer) = &peer {
            self.standing.add(peer.identity.clone(), cut.clone(), gone.clone());
            // It may have been revoked since the handshake looked, and before it was on the list.
            if (self.deny)(&peer.identity) {
                return Err(TlsError::Revoked);
            }
        }
        let stream = Stream::new(TlsStream::Server(stream), Bytes::new(), &cut, Some(gone.drop_guard()));
        Ok(Accepted { stream, peer, purpose, http1, issuer })
    }

    /// Cuts the connections that stand under certificates of which `which` is true; how many.
    pub fn cut(&self, which: impl Fn(&PeerIdentity) -> bool) -> usize {
        let all = self.standing.lock();
        let hit = all.values().filter(|(who, _, gone)| !gone.is_cancelled() && which(who));
        hit.map(|(_, cut, _)| cut.cancel()).count()
    }

    /// Cuts what `deny` names by now; how many. To be called whenever it changes its mind.
    pub fn cut_denied(&self) -> usize {
        self.cut(|who| (self.deny)(who))
    }

    /// How many connections with a certificate stand.
    pub fn connections(&self) -> usize {
        self.standing.lock().values().filter(|(_, _, gone)| !gone.is_cancelled()).count()
    }
}

impl Standing {
    fn lock(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<u64, (PeerIdentity, CancellationToken, CancellationToken)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, who: PeerIdentity, cut: CancellationToken, gone: CancellationToken) {
        let mut all = self.lock();
        all.retain(|_, (_, _, gone)| !gone.is_cancelled());
        all.insert(self.next.fetch_add(1, Ordering::Relaxed), (who, cut, gone));
    }
}
