//! Handshakes over the loopback address: who is let in, who is not, and what each side is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use orca_api::id::{CertificateId, ClusterId, NodeId, SeededIds};
use orca_api::join::{CaDigest, CertRole};
use orca_api::units::{Span, Time};
use orca_core::Now;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::pki::ca::Ca;
use crate::pki::certificate::{BACK_DATED, Identity, LIFETIME, PeerIdentity};
use crate::pki::identity::{self, PrivateKey};
use verify::{Deny, Refusal};

const T0: Time = Time::from_ms(1_764_000_000_000);
const HOUR: i64 = 3_600_000;
const YEAR: i64 = 365 * 24 * HOUR;

/// A clock that is set by hand.
#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn at(ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(T0.ms() + ms)))
    }
    fn clock(&self) -> Clock {
        let at = Arc::clone(&self.0);
        Arc::new(move || Now { wall: Time::from_ms(at.load(Ordering::Relaxed)), boot_ms: 1 })
    }
}

/// A cluster's authority, and certificates from it.
struct Cluster {
    ca: Ca,
    ids: SeededIds,
}

struct Certified {
    key: PrivateKey,
    chain: String,
    facts: PeerIdentity,
}

impl Certified {
    fn own(&self) -> Arc<Own> {
        Own::new(&self.key, &self.chain).unwrap()
    }
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let mut ids = SeededIds(seed);
        Self { ca: Ca::create(ClusterId::fresh(&mut ids), T0).unwrap(), ids }
    }

    fn issue(&mut self, role: CertRole) -> Certified {
        self.issue_at(role, T0, LIFETIME)
    }

    fn issue_at(&mut self, role: CertRole, now: Time, lifetime: Span) -> Certified {
        let (key, request) = identity::request().unwrap();
        let who = Identity::of_node(self.ca.cluster(), role, NodeId::fresh(&mut self.ids));
        let id = CertificateId::fresh(&mut self.ids);
        let issued = self.ca.issue(&request, &who, id, now, lifetime).unwrap();
        assert_eq!((issued.facts.who, issued.facts.certificate), (who, id));
        Certified { key, chain: issued.chain, facts: issued.facts }
    }

    fn trust(&self) -> Arc<Trust> {
        Trust::new(self.ca.cluster(), &self.ca.bundle()).unwrap()
    }
}

fn nobody() -> Deny {
    Arc::new(|_| false)
}

/// A server, and where it listens.
struct Port {
    server: Server,
    listener: TcpListener,
    address: String,
}

impl Port {
    async fn new(own: Arc<Own>, trust: Arc<Trust>, deny: Deny, clock: &Hand) -> Self {
        let server = Server::new(own, trust, deny, clock.clock()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { server, listener, address }
    }

    /// Accepts one connection and speaks first, as HTTP/2 does.
    async fn accept(&self) -> Result<Accepted, TlsError> {
        let mut accepted = self.server.accept(self.listener.accept().await.unwrap().0).await?;
        accepted.stream.write_all(b"settings").await.unwrap();
        accepted.stream.flush().await.unwrap();
        Ok(accepted)
    }

    async fn meet(&self, client: &Client) -> (Result<Accepted, TlsError>, Result<Connected, TlsError>) {
        self.meet_for(client, Purpose::WorkerAsks).await
    }

    async fn meet_for(
        &self,
        client: &Client,
        purpose: Purpose,
    ) -> (Result<Accepted, TlsError>, Result<Connected, TlsError>) {
        tokio::join!(self.accept(), client.connect(&self.address, purpose))
    }
}

fn strict(own: Arc<Own>, trust: Arc<Trust>, clock: &Hand) -> Client {
    Client::known(own, trust, Dates::Strict, clock.clock())
}

#[tokio::test]
async fn both_know_each_other_and_speak_both_ways() {
    let mut cluster = Cluster::new(1);
    let (manager, worker) = (cluster.issue(CertRole::Manager), cluster.issue(CertRole::Worker));
    let clock = Hand::at(0);
    let port = Port::new(manager.own(), cluster.trust(), nobody(), &clock).await;
    let client = strict(worker.own(), cluster.trust(), &clock);
    for purpose in [Purpose::WorkerAsks, Purpose::ManagerAsks] {
        let (server, client) = port.meet_for(&client, purpose).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(server.purpose, purpose);
        assert_eq!(server.peer, Some(Peer { identity: worker.facts.clone(), standing: Standing::Valid }));
        assert_eq!(client.manager, Peer { identity: manager.facts.clone(), standing: Standing::Valid });
        let mut read = [0; 8];
        client.stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"settings", "what was read ahead is not lost");
        client.stream.write_all(b"question").await.unwrap();
        client.stream.flush().await.unwrap();
        server.stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"question");
    }
}

#[tokio::test]
async fn a_machine_joins_with_the_digest_alone_and_no_other_cluster_gets_its_secret() {
    let (mut cluster, mut foreign) = (Cluster::new(1), Cluster::new(2));
    let (manager, clock) = (cluster.issue(CertRole::Manager), Hand::at(0));
    let port = Port::new(manager.own(), cluster.trust(), nobody(), &clock).await;
    let (server, client) = port.meet(&Client::joining(cluster.ca.digest(), clock.clock())).await;
    assert_eq!(server.unwrap().peer, None);
    assert_eq!(client.unwrap().manager.identity, manager.facts);
    let (server, client) = port.meet(&Client::joining(foreign.ca.digest(), clock.clock())).await;
    assert!(matches!(client, Err(TlsError::WrongCa)), "{client:?}");
    assert!(matches!(server, Err(TlsError::Rejected(_))), "{server:?}");
    // One who shows the wanted authority beside a certificate of his own.
    let mut liar = foreign.issue(CertRole::Manager);
    liar.chain.push_str(&cluster.ca.bundle());
    let port = Port::new(liar.own(), foreign.trust(), nobody(), &clock).await;
    let (_, client) = port.meet(&Client::joining(cluster.ca.digest(), clock.clock())).await;
    assert!(matches!(client, Err(TlsError::WrongCa)), "{client:?}");
}

#[tokio::test]
async fn only_a_manager_may_answer() {
    let mut cluster = Cluster::new(1);
    let clock = Hand::at(0);
    for role in [CertRole::Worker, CertRole::Admin, CertRole::View] {
        let port = Port::new(cluster.issue(role).own(), cluster.trust(), nobody(), &clock).await;
        let known = strict(Own::none(), cluster.trust(), &clock);
        for client in [known, Client::joining(cluster.ca.digest(), clock.clock())] {
            let (_, client) = port.meet(&client).await;
            assert!(
                matches!(client, Err(TlsError::Refusal(Refusal::NotManager { is })) if is == role),
                "{client:?}"
            );
        }
    }
}

#[tokio::test]
async fn strangers_are_refused_on_both_sides() {
    let (mut cluster, mut foreign) = (Cluster::new(1), Cluster::new(2));
    let (manager, clock) = (cluster.issue(CertRole::Manager), Hand::at(0));
    let port = Port::new(manager.own(), cluster.trust(), nobody(), &clock).await;
    // A stranger's certificate at our port.
    let stranger = foreign.issue(CertRole::Worker);
    let (server, client) = port.meet(&strict(stranger.own(), cluster.trust(), &clock)).await;
    assert!(matches!(server, Err(TlsError::WrongCa)), "{server:?}");
    assert!(matches!(client, Err(TlsError::Rejected(_) | TlsError::Closed)), "{client:?}");
    // Our worker at a stranger's port.
    let (_, client) = port.meet(&strict(stranger.own(), foreign.trust(), &clock)).await;
    assert!(matches!(client, Err(TlsError::WrongCa)), "{client:?}");
}

#[tokio::test]
async fn a_client_past_or_before_its_dates_is_let_in_and_known_as_such() {
    let mut cluster = Cluster::new(1);
    let (manager, worker) = (cluster.issue(CertRole::Manager), cluster.issue(CertRole::Worker));
    let client_clock = Hand::at(0);
    for (server_ms, standing) in [
        (YEAR, Standing::Expired { by: Span::from_ms((YEAR - 90 * 24 * HOUR).unsigned_abs()) }),
        (-YEAR, Standing::NotYetValid { by: Span::from_ms((YEAR - HOUR).unsigned_abs()) }),
        (89 * 24 * HOUR, Standing::Valid),
        (-HOUR / 2, Standing::Valid),
    ] {
        let port = Port::new(manager.own(), cluster.trust(), nobody(), &Hand::at(server_ms)).await;
        let (server, client) = port.meet(&strict(worker.own(), cluster.trust(), &client_clock)).await;
        assert_eq!(server.unwrap().peer.unwrap().standing, standing);
        client.unwrap();
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_by_how_much_and_locks_no_node_out() {
    let mut cluster = Cluster::new(1);
    let manager = cluster.issue(CertRole::Manager);
    let port = Port::new(manager.own(), cluster.trust(), nobody(), &Hand::at(0)).await;
    let client = |dates, ms| Client::known(Own::none(), cluster.trust(), dates, Hand::at(ms).clock());
    let (_, ahead) = port.meet(&client(Dates::Strict, YEAR)).await;
    let by = Span::from_ms((YEAR - 90 * 24 * HOUR).unsigned_abs());
    assert!(matches!(ahead, Err(TlsError::Expired { by: b }) if b == by), "{ahead:?}");
    let (_, behind) = port.meet(&client(Dates::Strict, -YEAR)).await;
    let by = Span::from_ms((YEAR - HOUR).unsigned_abs());
    assert!(matches!(behind, Err(TlsError::NotYetValid { by: b }) if b == by), "{behind:?}");
    let (_, joining) = port.meet(&Client::joining(cluster.ca.digest(), Hand::at(-YEAR).clock())).await;
    assert!(matches!(joining, Err(TlsError::NotYetValid { .. })), "{joining:?}");
    // A node goes on, and sees that something is off.
    let floor = Floor::new(T0);
    for ms in [YEAR, -YEAR] {
        let (_, node) = port.meet(&client(Dates::Node(Arc::clone(&floor)), ms)).await;
        assert_ne!(node.unwrap().manager.standing, Standing::Valid);
    }
    // Once the cluster is known to be past its end, the certificate is refused, unless the own clock says otherwise.
    floor.raise(Time::from_ms(T0.ms() + YEAR));
    let (_, node) = port.meet(&client(Dates::Node(Arc::clone(&floor)), YEAR)).await;
    assert!(matches!(node, Err(TlsError::Expired { .. })), "{node:?}");
    let (_, node) = port.meet(&client(Dates::Node(floor), 0)).await;
    assert_eq!(node.unwrap().manager.standing, Standing::Valid);
}

#[tokio::test]
async fn what_is_denied_is_told_so_and_what_stands_is_cut() {
    let mut cluster = Cluster::new(1);
    let (manager, worker) = (cluster.issue(CertRole::Manager), cluster.issue(CertRole::Worker));
    let other = cluster.issue(CertRole::Worker);
    let (clock, denied) = (Hand::at(0), Arc::new(AtomicBool::new(false)));
    let deny: Deny = {
        let (denied, id) = (Arc::clone(&denied), worker.facts.certificate);
        Arc::new(move |who| denied.load(Ordering::SeqCst) && who.certificate == id)
    };
    let port = Port::new(manager.own(), cluster.trust(), deny, &clock).await;
    let client = strict(worker.own(), cluster.trust(), &clock);
    let (server, connected) = port.meet(&client).await;
    let (mut server, mut connected) = (server.unwrap(), connected.unwrap());
    let (others, _stands) = port.meet(&strict(other.own(), cluster.trust(), &clock)).await;
    let mut others = others.unwrap();
    assert_eq!(port.server.connections(), 2);
    denied.store(true, Ordering::SeqCst);
    // A read that waits is woken.
    let mut byte = [0; 1];
    let (read, cut) = tokio::join!(server.stream.read(&mut byte), async { port.server.cut_denied() });
    assert_eq!((read.unwrap_err().kind(), cut), (std::io::ErrorKind::ConnectionAborted, 1));
    assert!(server.stream.write_all(b"x").await.is_err());
    drop(server);
    let mut rest = Vec::new();
    // Reset or end: either way it is over.
    let _ = connected.stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"settings");
    others.stream.write_all(b"x").await.unwrap();
    assert_eq!(port.server.connections(), 1);
    let (server, client) = port.meet(&client).await;
    assert!(matches!(server, Err(TlsError::Revoked)), "{server:?}");
    assert!(matches!(client, Err(TlsError::Revoked)), "{client:?}");
}

#[tokio::test]
async fn a_new_certificate_is_seen_by_new_handshakes_and_nothing_is_resumed() {
    let mut cluster = Cluster::new(1);
    let (first, second) = (cluster.issue(CertRole::Manager), cluster.issue(CertRole::Manager));
    let (w1, w2) = (cluster.issue(CertRole::Worker), cluster.issue(CertRole::Worker));
    let clock = Hand::at(0);
    let (own, theirs) = (first.own(), w1.own());
    let port = Port::new(Arc::clone(&own), cluster.trust(), nobody(), &clock).await;
    let client = strict(Arc::clone(&theirs), cluster.trust(), &clock);
    let (server, connected) = port.meet(&client).await;
    let (mut server, mut connected) = (server.unwrap(), connected.unwrap());
    assert_eq!(connected.manager.identity, first.facts);
    own.replace(&second.key, &second.chain).unwrap();
    theirs.replace(&w2.key, &w2.chain).unwrap();
    // A key that does not fit changes nothing.
    assert!(own.replace(&first.key, &second.chain).is_err());
    // What stands goes on.
    server.stream.write_all(b"!").await.unwrap();
    server.stream.flush().await.unwrap();
    let mut read = [0; 9];
    connected.stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"settings!");
    let (server, connected) = port.meet(&client).await;
    assert_eq!(server.unwrap().peer.unwrap().identity, w2.facts);
    assert_eq!(connected.unwrap().manager.identity, second.facts);
}

/// A client as careless as rustls makes them: it keeps sessions, and would resume one.
#[tokio::test]
async fn a_client_that_would_resume_gets_no_ticket() {
    let mut cluster = Cluster::new(1);
    let (manager, worker) = (cluster.issue(CertRole::Manager), cluster.issue(CertRole::Worker));
    let clock = Hand::at(0);
    let port = Port::new(manager.own(), cluster.trust(), nobody(), &clock).await;
    let managers = verify::Managers {
        anchor: verify::Anchor::Known(cluster.trust()),
        dates: Dates::Strict,
        provider: provider(),
    };
    let mut config =
        rustls::ClientConfig::builder_with_details(provider(), Arc::new(WallClock(clock.clock())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(managers))
            .with_client_cert_resolver(worker.own());
    config.alpn_protocols = vec![ALPN_CLIENT_ASKS.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let client = async {
            let tcp = TcpStream::connect(&port.address).await.unwrap();
            let name = rustls::pki_types::ServerName::try_from("manager.orca").unwrap();
            let mut stream = connector.connect(name, tcp).await.unwrap();
            let mut read = [0; 8];
            stream.read_exact(&mut read).await.unwrap();
            stream.get_ref().1.handshake_kind()
        };
        let (server, kind) = tokio::join!(port.accept(), client);
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
        assert_eq!(server.unwrap().peer.unwrap().identity, worker.facts);
    }
}

/// A ClientHello of TLS 1.2: two cipher suites, a signature algorithm and a group that both sides know, and nothing that
/// offers 1.3.
fn hello_12() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xC0, 0x2B, 0xC0, 0x2F, 1, 0]);
    body.extend([0, 16, 0, 0x0D, 0, 4, 0, 2, 4, 3, 0, 0x0A, 0, 4, 0, 2, 0, 0x1D]);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}

#[tokio::test]
async fn older_tls_garbage_and_silence_are_turned_away() {
    let mut cluster = Cluster::new(1);
    let (manager, clock) = (cluster.issue(CertRole::Manager), Hand::at(0));
    let port = Port::new(manager.own(), cluster.trust(), nobody(), &clock).await;
    let hello = hello_12();
    let cases: [&[u8]; 4] = [&hello, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", &[0xff; 4096], &[0; 64]];
    for (n, bytes) in cases.into_iter().enumerate() {
        let client = async {
            let mut tcp = TcpStream::connect(&port.address).await.unwrap();
            tcp.write_all(bytes).await.unwrap();
            let mut said = Vec::new();
            let _ = tcp.read_to_end(&mut said).await;
            said
        };
        let (server, said) = tokio::join!(port.accept(), client);
        assert!(matches!(server, Err(TlsError::NotTls)), "{n}: {server:?}");
        assert!(said.len() <= 7, "{n}: an alert at most: {said:?}");
        if n == 0 {
            assert_eq!(said, [0x15, 3, 3, 0, 2, 2, 70], "protocol_version");
        }
    }
    // Somebody who hangs up at once.
    let hang_up = async { drop(TcpStream::connect(&port.address).await.unwrap()) };
    let (server, ()) = tokio::join!(port.accept(), hang_up);
    assert!(matches!(server, Err(TlsError::Closed)), "{server:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_given_up_on_both_sides() {
    let mut cluster = Cluster::new(1);
    let (manager, clock) = (cluster.issue(CertRole::Manager), Hand::at(0));
    let mut port = Port::new(manager.own(), cluster.trust(), nobody(), &clock).await;
    let limit = Duration::from_millis(30);
    port.server = port.server.with_limit(limit);
    let silent = TcpStream::connect(&port.address).await.unwrap();
    let server = port.accept().await;
    assert!(matches!(server, Err(TlsError::SlowHandshake)), "{server:?}");
    drop(silent);
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let client = Client::joining(cluster.ca.digest(), clock.clock()).with_limit(limit);
    let client = client.connect(&address, Purpose::WorkerAsks).await;
    assert!(matches!(client, Err(TlsError::SlowHandshake)), "{client:?}");
}

#[tokio::test]
async fn what_is_no_orca_is_told_apart() {
    let clock = Hand::at(0);
    let client = Client::joining(CaDigest([0; 32]), clock.clock());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let web = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        tcp
    };
    let (_web, told) = tokio::join!(web, client.connect(&address, Purpose::WorkerAsks));
    assert!(matches!(told, Err(TlsError::NotTls)), "{told:?}");
    let hang_up = async { drop(listener.accept().await.unwrap()) };
    let ((), told) = tokio::join!(hang_up, client.connect(&address, Purpose::WorkerAsks));
    assert!(matches!(told, Err(TlsError::Closed)), "{told:?}");
    drop(listener);
    let told = client.connect(&address, Purpose::WorkerAsks).await;
    assert!(matches!(&told, Err(TlsError::Refused { address: a }) if *a == address), "{told:?}");
    let told = client.connect("10.0.0.1", Purpose::WorkerAsks).await;
    assert!(matches!(told, Err(TlsError::NoName { .. })), "{told:?}");
}

#[tokio::test]
async fn a_rotation_locks_nobody_out_until_it_is_settled() {
    let mut cluster = Cluster::new(1);
    let (manager, worker) = (cluster.issue(CertRole::Manager), cluster.issue(CertRole::Worker));
    let clock = Hand::at(0);
    let (old_trust, old_digest) = (cluster.trust(), cluster.ca.digest());
    cluster.ca = cluster.ca.rotated(T0).unwrap();
    let (renewed_manager, renewed) = (cluster.issue(CertRole::Manager), cluster.issue(CertRole::Worker));
    let (own, trust) = (manager.own(), cluster.trust());
    let port = Port::new(Arc::clone(&own), Arc::clone(&trust), nobody(), &clock).await;
    own.replace(&renewed_manager.key, &renewed_manager.chain).unwrap();
    // Who has not renewed trusts the old authority alone, and is trusted; who has, trusts both.
    for (certified, trust) in [(&worker, &old_trust), (&renewed, &trust)] {
        let (server, client) = port.meet(&strict(certified.own(), Arc::clone(trust), &clock)).await;
        assert_eq!(server.unwrap().peer.unwrap().identity, certified.facts);
        assert_eq!(client.unwrap().manager.identity, renewed_manager.facts);
    }
    // Tokens of before and of now are good.
    for digest in [old_digest, cluster.ca.digest()] {
        port.meet(&Client::joining(digest, clock.clock())).await.1.unwrap();
    }
    cluster.ca = cluster.ca.settled();
    trust.replace(&cluster.ca.bundle()).unwrap();
    let last = cluster.issue(CertRole::Manager);
    own.replace(&last.key, &last.chain).unwrap();
    let (_, client) = port.meet(&strict(worker.own(), Arc::clone(&old_trust), &clock)).await;
    assert!(matches!(client, Err(TlsError::WrongCa)), "{client:?}");
    let (server, _) = port.meet(&strict(worker.own(), cluster.trust(), &clock)).await;
    assert!(matches!(server, Err(TlsError::WrongCa)), "{server:?}");
    port.meet(&strict(renewed.own(), cluster.trust(), &clock)).await.1.unwrap();
    let (_, client) = port.meet(&Client::joining(old_digest, clock.clock())).await;
    assert!(matches!(client, Err(TlsError::WrongCa)), "{client:?}");
    assert_eq!(BACK_DATED.ms(), HOUR.unsigned_abs());
}

#[tokio::test]
async fn a_bundle_that_cannot_be_read_changes_nothing() {
    let cluster = Cluster::new(1);
    let trust = cluster.trust();
    for bad in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(trust.replace(bad).is_err(), "{bad}");
    }
    assert!(format!("{trust:?}").contains("authorities: 1"));
}

/// What connects has heard the other side: HTTP/2 speaks first from the accepting side, whoever asks.
#[tokio::test]
async fn http2_runs_over_it_whoever_asks() {
    use crate::net::h2;
    use crate::net::http::{Body, full};

    async fn answer(request: hyper::Request<hyper::body::Incoming>) -> hyper::Response<Body> {
        hyper::Response::new(full(format!("{:?}", request.uri().path())))
    }

    let mut cluster = Cluster::new(1);
    let (manager, worker) = (cluster.issue(CertRole::Manager), cluster.issue(CertRole::Worker));
    let clock = Hand::at(0);
    let port = Port::new(manager.own(), cluster.trust(), nobody(), &clock).await;
    let client = strict(worker.own(), cluster.trust(), &clock);
    for purpose in [Purpose::WorkerAsks, Purpose::ManagerAsks] {
        let accept = async {
            let accepted = port.server.accept(port.listener.accept().await.unwrap().0).await.unwrap();
            if accepted.purpose == Purpose::WorkerAsks {
                tokio::spawn(h2::serve(accepted.stream, h2::Share::MEMBER, answer));
                return None;
            }
            Some(h2::Asker::new(accepted.stream).await.unwrap())
        };
        let connect = async {
            let connected = client.connect(&port.address, purpose).await.unwrap();
            if purpose == Purpose::ManagerAsks {
                tokio::spawn(h2::serve(connected.stream, h2::Share::MEMBER, answer));
                return None;
            }
            Some(h2::Asker::new(connected.stream).await.unwrap())
        };
        let (manager, worker) = tokio::join!(accept, connect);
        let asker = manager.or(worker).unwrap();
        assert_eq!(asker.get::<String>("/hello").await.unwrap(), "/hello");
    }
    // Cutting ends HTTP/2 itself: a question that waits for its answer is told.
    async fn never(_: hyper::Request<hyper::body::Incoming>) -> hyper::Response<Body> {
        std::future::pending().await
    }
    let accept = async {
        let accepted = port.server.accept(port.listener.accept().await.unwrap().0).await.unwrap();
        tokio::spawn(h2::serve(accepted.stream, h2::Share::MEMBER, never));
    };
    let ((), connected) = tokio::join!(accept, client.connect(&port.address, Purpose::WorkerAsks));
    let asker = h2::Asker::new(connected.unwrap().stream).await.unwrap();
    let who = worker.facts.certificate;
    let (asked, cut) = tokio::join!(asker.get::<String>("/hello"), async {
        port.server.cut(|peer| peer.certificate == who)
    });
    assert!(matches!(asked, Err(h2::AskError::Broken(_))), "{asked:?}");
    assert!(cut >= 1);
}
