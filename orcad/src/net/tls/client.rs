//! The dialling side: a worker, a machine that joins, a person.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use orca_api::join::CaDigest;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use tokio_util::sync::CancellationToken;

use super::verify::{Anchor, Dates, Managers, Peer, Trust};
use super::{HANDSHAKE_TIME, Own, Purpose, Stream, TlsError, WallClock, alpn, provider};
use crate::driver::Clock;
use crate::pki::certificate::{PeerIdentity, dns_name};

/// The most of the server's first bytes that are read ahead: its settings have less than 100.
const FIRST_BYTES: usize = 1024;

/// Dials managers.
#[derive(Clone)]
pub struct Client {
    own: Arc<Own>,
    anchor: Anchor,
    dates: Dates,
    clock: Clock,
    limit: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("anchor", &self.anchor)
            .field("dates", &self.dates)
            .finish_non_exhaustive()
    }
}

/// A connection that was made.
#[derive(Debug)]
pub struct Connected {
    /// It. The server has let us in and has begun to speak.
    pub stream: Stream,
    /// The manager. A standing that is not valid says that a clock is wrong, this machine's or the manager's: worth a
    /// warning.
    pub manager: Peer,
}

impl Client {
    /// A machine that joins: without a certificate, and knowing of the cluster no more than its authority's digest.
    pub fn joining(pin: CaDigest, clock: Clock) -> Self {
        Self {
            own: Own::none(),
            anchor: Anchor::Pin(pin),
            dates: Dates::Strict,
            clock,
            limit: HANDSHAKE_TIME,
        }
    }

    /// A node or a person of the cluster.
    pub fn known(own: Arc<Own>, trust: Arc<Trust>, dates: Dates, clock: Clock) -> Self {
        Self { own, anchor: Anchor::Known(trust), dates, clock, limit: HANDSHAKE_TIME }
    }

    /// With another limit for a handshake, and for the first bytes, than [`HANDSHAKE_TIME`].
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Dials `HOST:PORT`, each address of the name in turn, makes the handshake and waits for the server's first bytes.
    /// Each of the three may take [`HANDSHAKE_TIME`].
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect(&self, address: &str, purpose: Purpose) -> Result<Connected, TlsError> {
        self.over(dial(address).await?, purpose).await
    }

    /// As [`Client::connect`], over a connection that is there.
    ///
    /// # Errors
    /// Why there is no TLS over it.
    pub async fn over(&self, connection: TcpStream, purpose: Purpose) -> Result<Connected, TlsError> {
        // A connection that breaks here breaks in the handshake too, where it is told.
        let _ = connection.set_nodelay(true);
        let name = ServerName::try_from(dns_name(orca_api::join::CertRole::Manager))
            .map_err(|e| TlsError::Setup(rustls::Error::General(e.to_string())))?;
        let connector = TlsConnector::from(Arc::new(self.config(purpose)?));
        let handshake = connector.connect(name, connection);
        let mut stream = match tokio::time::timeout(self.limit, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(TlsError::of_io(error)),
            Err(_) => return Err(TlsError::SlowHandshake),
        };
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(alpn(purpose)) {
            return Err(TlsError::NoProtocol);
        }
        let certificate = session.peer_certificates().and_then(<[_]>::first).ok_or(TlsError::NoProtocol)?;
        let identity = PeerIdentity::read(certificate).map_err(TlsError::unreadable)?;
        let standing = identity.standing((self.clock)().wall);
        let mut first = BytesMut::with_capacity(FIRST_BYTES);
        match tokio::time::timeout(self.limit, stream.read_buf(&mut first)).await {
            Ok(Ok(0)) => return Err(TlsError::Closed),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(TlsError::of_io(error)),
            Err(_) => return Err(TlsError::SlowHandshake),
        }
        let never_cut = CancellationToken::new();
        let stream = Stream::new(TlsStream::Client(stream), first.freeze(), &never_cut, None);
        Ok(Connected { stream, manager: Peer { identity, standing } })
    }

    fn config(&self, purpose: Purpose) -> Result<ClientConfig, TlsError> {
        let provider = provider();
        let managers = Managers {
            anchor: self.anchor.clone(),
            dates: self.dates.clone(),
            provider: Arc::clone(&provider),
        };
        let time = Arc::new(WallClock(Arc::clone(&self.clock)));
        let mut config = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(managers))
            .with_client_cert_resolver(Arc::clone(&self.own) as Arc<_>);
        config.alpn_protocols = vec![alpn(purpose).to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        // The name is always the role's, so it says nothing.
        config.enable_sni = false;
        Ok(config)
    }
}

async fn dial(address: &str) -> Result<TcpStream, TlsError> {
    let named = || address.to_owned();
    let found = match tokio::time::timeout(HANDSHAKE_TIME, tokio::net::lookup_host(address)).await {
        Ok(Ok(found)) => found,
        Ok(Err(source)) => return Err(TlsError::NoName { address: named(), source }),
        Err(_) => return Err(TlsError::Silent { address: named() }),
    };
    let mut last = None;
    for one in found {
        last = Some(match tokio::time::timeout(HANDSHAKE_TIME, TcpStream::connect(one)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(source)) => TlsError::of_dial(address, source),
            Err(_) => TlsError::Silent { address: named() },
        });
    }
    Err(last.unwrap_or_else(|| TlsError::NoName {
        address: named(),
        source: std::io::Error::other("the name has no address"),
    }))
}
