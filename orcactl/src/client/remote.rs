//! A manager over the network: TLS 1.3 with the certificate of a context, to whoever holds a manager's certificate of
//! that context's cluster.
//!
//! Requests go over HTTP/2, on one connection that is dialled when it is needed. A process in a task needs a connection
//! that becomes a stream of bytes: it gets one of its own, over HTTP/1.1.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use orca_api::error::exit;

use crate::output::error::Failure;
use crate::settings::context::Context;

/// How long one address may take, from the first packet to the end of the handshake.
const DIAL_TIME: Duration = Duration::from_secs(5);
/// The name that every manager's certificate has, whatever its host is called.
pub const MANAGER: &str = "manager.orca";
const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Whoever listens at the addresses of a context.
pub struct Remote {
    by: String,
    addresses: Vec<String>,
    h2: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    connection: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("by", &self.by)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Why a request came to nothing.
#[derive(Debug)]
pub enum Trouble {
    /// No address could be reached, or nobody there is to be trusted.
    NotReached(Failure),
    /// The connection broke.
    Broke(hyper::Error),
}

impl Remote {
    /// With the certificate of a context; nothing is dialled yet.
    ///
    /// # Errors
    /// Something in the context cannot be used.
    pub fn new(by: &str, context: &Context) -> Result<Self, Failure> {
        let bad = |what: &str, why: String| {
            Failure::new(format!("the {what} of {by} cannot be used"))
                .exit(exit::CONFIG)
                .because(why)
                .hint("on a manager: sudo orcactl cluster admin-cert NAME makes a new context")
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&context.ca).map_err(|why| bad("CA", why))? {
            roots.add(certificate).map_err(|error| bad("CA", error.to_string()))?;
        }
        let chain = certificates(&context.certificate).map_err(|why| bad("certificate", why))?;
        let key = PrivateKeyDer::from_pem_slice(context.key.as_bytes())
            .map_err(|error| bad("key", error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| bad("TLS", error.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| bad("certificate", error.to_string()))?;
        // A resumed session would carry an old certificate past every check.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        let mut http1 = config.clone();
        http1.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
        Ok(Self {
            by: by.to_owned(),
            addresses: context.addresses.clone(),
            h2: Arc::new(config),
            http1: Arc::new(http1),
            connection: Mutex::new(None),
        })
    }

    /// How it is named in messages: `10.0.0.1:7443 (context prod)`.
    pub fn name(&self) -> String {
        format!("{} ({})", self.addresses.join(", "), self.by)
    }

    /// Sends a request over the connection that stands, or over a new one.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Trouble> {
        let mut sender = {
            let mut standing = self.connection.lock().await;
            match standing.as_ref().filter(|sender| !sender.is_closed()) {
                Some(sender) => sender.clone(),
                None => {
                    let io = TokioIo::new(self.dial(&self.h2).await.map_err(Trouble::NotReached)?);
                    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                        .handshake(io)
                        .await
                        .map_err(Trouble::Broke)?;
                    tokio::spawn(async move {
                        // Its end is seen by whoever sends on it.
                        let _ = connection.await;
                    });
                    *standing = Some(sender.clone());
                    sender
                }
            }
        };
        sender.send_request(request).await.map_err(Trouble::Broke)
    }

    /// Sends a request on a connection of its own, that the answer may turn into a stream of bytes.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn send_alone(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Trouble> {
        let io = TokioIo::new(self.dial(&self.http1).await.map_err(Trouble::NotReached)?);
        let (mut sender, connection) = http1::handshake(io).await.map_err(Trouble::Broke)?;
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(request).await.map_err(Trouble::Broke)
    }

    /// Tries each address in turn.
    async fn dial(&self, config: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, Failure> {
        let mut failure = Failure::new(format!("no manager can be reached at {}", self.addresses.join(", ")))
            .exit(exit::UNREACHABLE);
        let mut refused = false;
        for address in &self.addresses {
            let dialled = tokio::time::timeout(DIAL_TIME, handshake(config, address)).await;
            let why = match dialled {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    refused |= matches!(
                        tls(&error),
                        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
                    ) && !is_protocol(&error);
                    words(&error)
                }
                Err(_) => format!(
                    "nothing came back within {} s: a firewall, or no machine there",
                    DIAL_TIME.as_secs()
                ),
            };
            failure = failure.because(format!("{address}: {why}"));
        }
        failure = failure.because(format!("{} says to ask there", self.by));
        Err(if refused {
            failure.hint("on a manager: sudo orcactl cluster admin-cert NAME makes a new context")
        } else {
            failure
                .hint("on the manager: sudo orcactl manager start opens the port, orcactl cluster inspect shows it")
                .hint("orcactl --context local … asks the daemon of this machine")
        })
    }
}

/// What a connection that broke means. In TLS 1.3 a refusal of the own certificate comes after the handshake, and so
/// may be the first thing that is read.
pub fn broke(remote: &Remote, error: &hyper::Error) -> Failure {
    let failure = Failure::new(format!("the connection to the manager at {} broke", remote.name()))
        .exit(exit::UNREACHABLE);
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<io::Error>().and_then(tls) {
            return failure
                .because(tls_words(tls))
                .hint("on a manager: sudo orcactl cluster admin-cert NAME makes a new context");
        }
        next = error.source();
    }
    failure.because(error.to_string()).hint("on the manager: journalctl -u orcad -e shows its last words")
}

async fn handshake(config: &Arc<ClientConfig>, address: &str) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(MANAGER).map_err(io::Error::other)?;
    let connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, connection).await?;
    // The handshake ends before the manager has judged the own certificate. In HTTP/2 its first bytes come unasked:
    // whoever sees them has been let in.
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_H2) && stream.fill_buf().await?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(stream)
}

fn tls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// Whether it is about what is spoken, and not about who speaks.
fn is_protocol(error: &io::Error) -> bool {
    use rustls::AlertDescription::NoApplicationProtocol;
    matches!(tls(error), Some(rustls::Error::AlertReceived(NoApplicationProtocol)))
}

fn words(error: &io::Error) -> String {
    if let Some(error) = tls(error) {
        return tls_words(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::UnexpectedEof => "it hung up during the handshake".to_owned(),
        _ => error.to_string(),
    }
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    match error {
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "another cluster answers there: its certificate is of a CA that the context does not know"
                .to_owned()
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired by this machine's clock".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "its certificate is not valid yet by this machine's clock: is the clock right?".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "who answers there is no manager".to_owned()
        }
        Error::AlertReceived(Alert::CertificateExpired) => {
            "it says that the context's certificate has expired".to_owned()
        }
        Error::AlertReceived(Alert::CertificateRevoked | Alert::AccessDenied) => {
            "it says that the context's certificate was revoked".to_owned()
        }
        Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown | Alert::DecryptError,
        ) => "it does not accept the context's certificate".to_owned(),
        Error::AlertReceived(Alert::NoApplicationProtocol) | Error::NoApplicationProtocol => {
            "it does not offer this over the network: its orcad is older, or type it on the manager"
                .to_owned()
        }
        Error::InvalidMessage(_) => "what answers there does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match read {
        Ok(all) if all.is_empty() => Err("there is no certificate in it".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}
