//! The manager's one port: who connects, whether there is room, and what a connection may do by its certificate.
//!
//! ```text
//!   accept ─► room (in all, each address) ─► TLS ─► worker or manager: the link, both directions
//!                                                  admin or view:     the control API
//!                                                  no certificate:    join, and nothing else
//! ```
//!
//! It is opened, moved and closed while the daemon runs. What stands under a certificate can be cut at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use orca_api::error::{Code, Problem};
use orca_api::id::{CertificateId, NodeId};
use orca_api::join::{CaDigest, CertRole, LINK_PORT};
use orca_api::route::{Access, link};
use orca_core::manager::Peer;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ManagerHandle;
use super::link::{Caller, Link, Remote};
use super::members::Members;
use crate::net::h2::{self, Share};
use crate::net::http::{self, Body};
use crate::net::limits::{
    HEAD_BYTES_MAX, HEAD_TIME, HEADERS_MAX, PORT_CONNECTIONS_MAX, PORT_CONNECTIONS_PER_ADDRESS_MAX,
    STRANGER_TIME,
};
use crate::net::memory::Purpose;
use crate::net::room::{Place, Room};
use crate::net::timed::Lift;
use crate::net::tls::{Accepted, Peer as TlsPeer, Server, Standing};
use crate::net::unix::Connection;
use crate::worker::docker::listener_on;

/// How long to wait after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers people with certificates: the control API, which opens and closes this port in its turn.
pub type People =
    Box<dyn Fn(Connection, Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// The port of the link.
pub struct Port {
    server: Server,
    manager: ManagerHandle,
    link: Arc<Link>,
    members: Arc<Members>,
    people: OnceLock<People>,
    room: Arc<Room>,
    connections: TaskTracker,
    stop: CancellationToken,
    bound: Mutex<Option<Bound>>,
    /// One opening or closing at a time.
    turn: tokio::sync::Mutex<()>,
}

struct Bound {
    address: SocketAddr,
    close: CancellationToken,
}

impl Port {
    /// A port that is closed.
    pub fn new(
        server: Server,
        manager: ManagerHandle,
        link: Arc<Link>,
        members: Arc<Members>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            server,
            manager,
            link,
            members,
            people: OnceLock::new(),
            room: Room::new(PORT_CONNECTIONS_MAX, PORT_CONNECTIONS_PER_ADDRESS_MAX),
            connections: TaskTracker::new(),
            stop,
            bound: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// From now on people with certificates are answered so.
    pub fn answers_with(&self, people: People) {
        // The daemon calls it once.
        let _ = self.people.set(people);
    }

    /// Where it listens.
    pub fn bound(&self) -> Option<SocketAddr> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|bound| bound.address)
    }

    /// Listens there from now on, and nowhere else; where, with the port that the kernel chose for port 0. Connections
    /// that stand are not touched.
    ///
    /// # Errors
    /// The address cannot be used; what was open stays open.
    pub async fn open(self: &Arc<Self>, at: SocketAddr) -> Result<SocketAddr, Problem> {
        let _turn = self.turn.lock().await;
        if let Some(address) = self.bound().filter(|bound| *bound == at) {
            return Ok(address);
        }
        let listener = TcpListener::bind(at).await.map_err(|error| not_bound(at, &error))?;
        let address = listener.local_addr().map_err(|error| not_bound(at, &error))?;
        let close = self.stop.child_token();
        let former = self
            .bound
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(Bound { address, close: close.clone() });
        if let Some(former) = former {
            former.close.cancel();
        }
        tracing::info!(%address, "listening for nodes");
        let port = Arc::clone(self);
        self.connections.spawn(async move { port.accept(listener, close).await });
        Ok(address)
    }

    /// Closes it. Connections that stand are not touched.
    pub async fn close(&self) {
        let _turn = self.turn.lock().await;
        let former = self.bound.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(former) = former {
            former.close.cancel();
            tracing::info!(address = %former.address, "not listening for nodes any more");
        }
    }

    /// Waits until every connection has ended; after `stop` they do.
    pub async fn ended(&self) {
        self.connections.close();
        self.connections.wait().await;
    }

    /// Cuts what stands under a node's certificates.
    pub fn cut_node(&self, node: NodeId) {
        let cut = self.server.cut(|who| who.who.node() == Some(node));
        tracing::info!(%node, cut, "connections of a node were closed");
    }

    /// Cuts what stands under a certificate of a person.
    pub fn cut_certificate(&self, id: CertificateId) {
        let cut = self.server.cut(|who| who.who.node().is_none() && who.who.id == id.raw());
        tracing::info!(certificate = %id, cut, "connections of a certificate were closed");
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, close: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = close.cancelled() => return,
            };
            match accepted {
                Ok((stream, from)) => {
                    let address = from.ip().to_canonical();
                    match self.room.take(address) {
                        Some(place) => {
                            let port = Arc::clone(&self);
                            self.connections.spawn(port.connection(stream, address, place));
                        }
                        None => tracing::debug!(%address, "too many connections: one is closed"),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, address: IpAddr, place: Place) {
        let stop = self.stop.clone();
        let served = async {
            match self.server.accept(stream).await {
                Ok(accepted) => Arc::clone(&self).serve(accepted, address).await,
                Err(error) => tracing::debug!(%error, %address, "a connection was not let in"),
            }
        };
        tokio::select! {
            () = served => {}
            () = stop.cancelled() => {}
        }
        drop(place);
    }

    async fn serve(self: Arc<Self>, accepted: Accepted, address: IpAddr) {
        // Who does not read is found by the pings of HTTP/2, which then are not answered.
        let Accepted { stream, peer, purpose, http1, issuer } = accepted;
        match (peer, purpose) {
            (Some(peer), _) if http1 && peer.identity.who.node().is_none() => {
                self.person_http1(peer, address, stream).await;
            }
            _ if http1 => tracing::debug!(%address, "HTTP/1.1 by somebody who is no person is closed"),
            (None, Purpose::WorkerAsks) => {
                let answer = move |request| Arc::clone(&self).stranger(address, request);
                // It has joined by then, or has no business here.
                let _ = tokio::time::timeout(STRANGER_TIME, h2::serve(stream, Share::STRANGER, answer)).await;
            }
            (Some(peer), purpose) => match peer.identity.who.node() {
                Some(node) => self.node(node, (&peer, issuer), purpose, address, stream).await,
                None if purpose == Purpose::WorkerAsks => {
                    let answer = move |request| Arc::clone(&self).person(peer.clone(), address, request);
                    h2::serve(stream, Share::MEMBER, answer).await;
                }
                None => {
                    tracing::debug!(%address, "a connection to be asked on, and not of a node, is closed");
                }
            },
            (None, Purpose::ManagerAsks) => {
                tracing::debug!(%address, "a connection to be asked on, without a certificate, is closed");
            }
        }
    }

    async fn node(
        self: Arc<Self>,
        node: NodeId,
        (peer, issuer): (&TlsPeer, Option<CaDigest>),
        purpose: Purpose,
        address: IpAddr,
        io: impl h2::Io,
    ) {
        let valid = peer.standing == Standing::Valid;
        let (role, expires_at) = (peer.identity.who.role, peer.identity.not_after);
        let remote = Remote { address, role, valid, expires_at, issuer };
        if purpose == Purpose::ManagerAsks {
            let member = self.manager.read(move |manager, _| manager.is_member(node)).await;
            if !valid || !matches!(member, Ok(Ok(()))) {
                tracing::debug!(%node, %address, "a connection to be asked on, and not of a member, is closed");
                return;
            }
        }
        let caller = Caller::new(node, Some(remote));
        Arc::clone(&self.link).connection(caller, purpose, io).await;
    }

    /// Somebody without a certificate.
    async fn stranger(self: Arc<Self>, address: IpAddr, request: Request<Incoming>) -> Response<Body> {
        if (request.method(), request.uri().path()) == (&Method::POST, link::JOIN) {
            return self.members.answer(address, request).await;
        }
        let problem = Problem::new(Code::NotAllowed, "this needs a certificate of the cluster").hint(
            "for people: orcactl cluster admin-cert NAME on a manager; for machines: orcactl node token",
        );
        http::problem(&problem)
    }

    /// A person whose program speaks HTTP/1.1, so that a connection can be upgraded.
    async fn person_http1(self: Arc<Self>, peer: TlsPeer, address: IpAddr, io: impl h2::Io) {
        let answer = service_fn(move |request| {
            let answer = Arc::clone(&self).person(peer.clone(), address, request);
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(io), answer)
            .with_upgrades();
        if let Err(error) = served.await {
            tracing::debug!(%error, %address, "a connection of a person ended");
        }
    }

    /// Somebody with a certificate of a person. It is asked for at each request: a revocation holds at once.
    async fn person(
        self: Arc<Self>,
        peer: TlsPeer,
        address: IpAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let id = CertificateId::from_raw(peer.identity.who.id);
        let role = self.manager.read(move |manager, now| manager.certificate_ok(id, now.wall)).await;
        let role = match role {
            // What the certificate says, and the record says too.
            Ok(role) => role.filter(|role| *role == peer.identity.who.role),
            Err(problem) => return http::problem(&problem),
        };
        let access = match role {
            Some(CertRole::Admin) => Access::Admin,
            Some(CertRole::View) => Access::View,
            _ => {
                tracing::warn!(certificate = %id, %address, "a certificate that is not good any more was shown");
                return http::problem(
                    &Problem::new(Code::NotAllowed, "this certificate was revoked, or has expired")
                        .hint("on a manager: orcactl cluster admin-cert NAME makes a new one"),
                );
            }
        };
        let Some(people) = self.people.get() else {
            return http::problem(&super::role::stopping());
        };
        let peer =
            Peer::Cert { role: peer.identity.who.role, id: id.to_string(), address: address.to_string() };
        let connection = Connection { peer, access, writes: Lift::default() };
        people(connection, request).await
    }
}

/// Where to listen: what was asked for, `ADDRESS:PORT`, `ADDRESS` or `PORT`; every address where nothing was.
///
/// # Errors
/// The text is none of these.
pub fn listen_address(text: Option<&str>) -> Result<SocketAddr, Problem> {
    let any: IpAddr = if has_v6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let Some(text) = text else { return Ok((any, LINK_PORT).into()) };
    let text = text.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok((ip, LINK_PORT).into());
    }
    match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => Ok((any, port).into()),
        Err(_) => {
            let shown: String = text.chars().take(80).collect();
            Err(Problem::new(Code::BadRequest, format!("`listen`: `{shown}` is not an address to listen on"))
                .hint("write ADDRESS:PORT with an address of this machine, as 10.0.0.1:7443 or [::]:7443"))
        }
    }
}

fn has_v6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

fn not_bound(at: SocketAddr, error: &std::io::Error) -> Problem {
    let problem = Problem::new(Code::NotListening, format!("orcad cannot listen on {at}"));
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            let holder = listener_on(at.port()).map_or_else(
                || "another process listens there".to_owned(),
                |uid| format!("a process of uid {uid} listens on port {}", at.port()),
            );
            problem
                .because(holder)
                .hint(format!("sudo ss -ltnp 'sport = :{}' shows which", at.port()))
                .hint("orcactl manager start --listen ADDRESS:PORT takes another port")
        }
        std::io::ErrorKind::AddrNotAvailable => problem
            .because(format!("{} is no address of this machine", at.ip()))
            .hint("ip address shows its addresses"),
        std::io::ErrorKind::PermissionDenied => problem
            .because("ports below 1024 are for root, and orcad is not root")
            .hint("take a port above 1023"),
        _ => problem.because(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        assert_eq!(listen_address(None).unwrap().port(), LINK_PORT);
        assert_eq!(listen_address(Some("10.0.0.1:99")).unwrap().to_string(), "10.0.0.1:99");
        assert_eq!(listen_address(Some("10.0.0.1")).unwrap().to_string(), "10.0.0.1:7443");
        assert_eq!(listen_address(Some("[::1]")).unwrap().to_string(), "[::1]:7443");
        assert_eq!(listen_address(Some("8443")).unwrap().port(), 8443);
        for bad in ["m1:7443", "10.0.0.1:99999", "x", ""] {
            assert!(listen_address(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_that_is_taken_says_by_whom() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let problem =
            not_bound(taken.local_addr().unwrap(), &std::io::Error::from(std::io::ErrorKind::AddrInUse));
        let uid = rustix::process::getuid().as_raw();
        assert!(problem.because[0].contains(&format!("uid {uid}")), "{problem:?}");
    }
}
