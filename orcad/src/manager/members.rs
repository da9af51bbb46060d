//! How machines become members: a request to join is bounded, asked of the core, and answered with a certificate.
//!
//! ```text
//!   join (secret, key) ─► pace ─► is the request one? ─► core: token, version, clock, name ─► sign ─► certified
//! ```
//!
//! The core decides before anything is signed, and it hears of what was signed, so that it knows which certificates are
//! out and of which authority.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use orca_api::error::{Code, Problem};
use orca_api::id::{CertificateId, ClusterId, IdSource, NodeId};
use orca_api::join::{CertRole, Join, Joined, Secret};
use orca_api::units::Span;
use orca_core::manager::{Answer, Asked, Event, JoinAsked, Peer, Request as Asking, RotationStage};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::ManagerHandle;
use super::addresses::{self, Reach};
use super::authority::Authority;
use crate::clock;
use crate::net::h2;
use crate::net::http::{self, Body};
use crate::net::limits::{JOINS_IN_ALL, JOINS_PER_ADDRESS, LINK_TIME, STRANGER_BYTES_MAX};
use crate::net::room::Pace;
use crate::pki::certificate::Identity;

/// How often a replacement of the authority is looked after, while there is one.
const SETTLE_LOOK: Duration = Duration::from_secs(10);

/// Who may become a member, and how.
pub struct Members {
    manager: ManagerHandle,
    authority: Arc<Authority>,
    per_address: Pace<IpAddr>,
    in_all: Pace<()>,
    ids: Mutex<Box<dyn IdSource + Send>>,
    settle: Notify,
}

impl Members {
    /// Of a manager with an authority.
    pub fn new(
        manager: ManagerHandle,
        authority: Arc<Authority>,
        ids: Box<dyn IdSource + Send>,
    ) -> Arc<Self> {
        let (per_address, in_all) = (Pace::new(JOINS_PER_ADDRESS), Pace::new(JOINS_IN_ALL));
        Arc::new(Self {
            manager,
            authority,
            per_address,
            in_all,
            ids: Mutex::new(ids),
            settle: Notify::new(),
        })
    }

    /// The authority.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// The cluster's id, and how long certificates of its nodes last.
    pub async fn cluster(&self) -> Result<Option<(ClusterId, Span)>, Problem> {
        self.manager
            .read(|manager, _| manager.cluster_view().map(|view| (view.id, view.certificate_ttl)))
            .await
    }

    /// Where managers listen, for nodes; empty where the port is closed or no address is found.
    pub async fn managers(&self) -> Vec<String> {
        self.reach(&[]).await.map(|reach| reach.addresses).unwrap_or_default()
    }

    /// Where managers can be reached, and why there.
    ///
    /// # Errors
    /// The port is closed, or no address is found.
    pub async fn reach(&self, asked: &[String]) -> Result<Reach, Problem> {
        let known = self
            .manager
            .read(|manager, _| manager.cluster_view().map(|view| (view.addresses, view.listen)))
            .await?;
        let (set, listen) = known.unwrap_or_default();
        let listen: Option<SocketAddr> = listen.and_then(|address| address.parse().ok());
        let Some(listen) = listen else {
            return Err(Problem::new(Code::NotListening, "this manager does not listen for nodes")
                .hint("orcactl manager start opens the port"));
        };
        addresses::choose(asked, &set, listen)
    }

    /// Answers a request to join.
    pub async fn answer(&self, address: IpAddr, request: Request<Incoming>) -> Response<Body> {
        match self.join(address, request).await {
            Ok(joined) => http::json(StatusCode::OK, &joined),
            Err(problem) => {
                tracing::info!(%address, %problem, "a machine may not join");
                http::problem(&problem)
            }
        }
    }

    async fn join(&self, address: IpAddr, request: Request<Incoming>) -> Result<Joined, Problem> {
        let now = clock::now().boot_ms;
        if !self.per_address.take(&address, now) || !self.in_all.take(&(), now) {
            return Err(Problem::new(Code::TooOften, "too many requests to join")
                .hint("wait a minute, then try again"));
        }
        let bytes = h2::whole_within(request.into_body(), STRANGER_BYTES_MAX, LINK_TIME).await;
        let bytes = bytes.map_err(|error| unreadable(&error))?;
        let Join { version, secret, csr, facts, clock } =
            h2::read(&bytes).map_err(|error| unreadable(&error))?;
        let secret = secret_of(&secret)
            .ok_or_else(|| Problem::new(Code::BadRequest, "`secret` is not 32 hexadecimal digits"))?;
        self.check_request(&csr).await?;
        let join = Box::new(JoinAsked { version, secret: secret.digest(), facts, clock });
        let from = address.to_string();
        let asked = move |token| Event::JoinAsked { token, address: from, join };
        let (node, name, cluster, warning) = match self.manager.ask(asked).await? {
            Answer::Joined { node, name, cluster, warning } => (node, name, cluster, warning),
            other => {
                return Err(Problem::new(
                    Code::Internal,
                    format!("the core answered something else: {other:?}"),
                ));
            }
        };
        let ttl = self.cluster().await?.map_or(crate::pki::certificate::LIFETIME, |(_, ttl)| ttl);
        let who = Identity::of_node(cluster, CertRole::Worker, node);
        let issued = self.authority.certify(&csr, &who, self.fresh(), ttl)?;
        let (expires_at, ca) = (issued.facts.not_after, self.authority.digest().to_string());
        self.manager.tell(Event::Certified { node, expires_at, ca }).await?;
        tracing::info!(%node, %name, %address, "a machine joined");
        Ok(Joined {
            cluster,
            node,
            name,
            certificate: issued.chain,
            ca: self.authority.bundle(),
            managers: self.managers().await,
            clock: clock::now().wall,
            warning,
        })
    }

    /// A token is not to be spent for a request that cannot be signed.
    async fn check_request(&self, csr: &str) -> Result<(), Problem> {
        let Some((cluster, _)) = self.cluster().await? else {
            return Err(Problem::new(Code::Internal, "there is no cluster yet"));
        };
        let nobody = NodeId::from_raw(self.fresh().raw());
        let who = Identity::of_node(cluster, CertRole::Worker, nobody);
        self.authority.certify(csr, &who, self.fresh(), Span::from_secs(0)).map(|_| ())
    }

    fn fresh(&self) -> CertificateId {
        CertificateId::fresh(&mut **self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs a certificate of a person or a program that the core has recorded.
    ///
    /// # Errors
    /// The request is none.
    pub async fn certify_person(
        &self,
        csr: &str,
        role: CertRole,
        id: CertificateId,
        lifetime: Span,
    ) -> Result<String, Problem> {
        let Some((cluster, _)) = self.cluster().await? else {
            return Err(Problem::new(Code::Internal, "there is no cluster yet"));
        };
        let who = Identity { cluster, role, id: id.raw() };
        Ok(self.authority.certify(csr, &who, id, lifetime)?.chain)
    }

    /// The core may have gone on with a replacement of the authority: see to it soon.
    pub fn settle_when_due(&self) {
        self.settle.notify_one();
    }

    /// Follows a replacement of the authority as the core goes on with it, until `stop`: the former one is trusted for
    /// people alone once no node has a certificate of it, and is forgotten once nobody has.
    pub async fn keep_settled(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let rotating = self.authority.is_rotating();
            if rotating && let Err(problem) = self.settle().await {
                tracing::error!(%problem, "the former certificate authority stays trusted");
            }
            tokio::select! {
                () = self.settle.notified() => {}
                // Certificates of people expire without a word.
                () = tokio::time::sleep(SETTLE_LOOK), if rotating => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn settle(&self) -> Result<(), Problem> {
        let ca = self.authority.digest().to_string();
        let known = ca.clone();
        match self.manager.read(move |manager, _| manager.rotation_stage(&known)).await? {
            RotationStage::Unheard => {
                // A crash came between the new authority and the word of it.
                let asked = move |token| {
                    Event::Asked(Box::new(Asked {
                        token,
                        peer: Peer::Local,
                        request_id: String::new(),
                        key: None,
                        if_match: None,
                        request: Asking::RotateCa { ca },
                    }))
                };
                self.manager.ask(asked).await?;
                self.settle_when_due();
            }
            RotationStage::Nodes => {}
            RotationStage::People => self.authority.narrow().map_err(|error| error.problem())?,
            RotationStage::Over => {
                let authority = Arc::clone(&self.authority);
                let settled = tokio::task::spawn_blocking(move || authority.settle()).await;
                settled
                    .map_err(|e| Problem::new(Code::Internal, e.to_string()))?
                    .map_err(|error| error.problem())?;
                tracing::info!("the former certificate authority is forgotten");
            }
        }
        Ok(())
    }
}

fn unreadable(error: &h2::AskError) -> Problem {
    Problem::new(Code::BadRequest, "the request to join cannot be read").because(error.to_string())
}

fn secret_of(text: &str) -> Option<Secret> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Secret(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_32_digits() {
        assert!(secret_of("000102030405060708090a0b0c0d0e0F").is_some_and(|s| s.0[15] == 15 && s.0[1] == 1));
        for bad in ["", "00", "000102030405060708090a0b0c0d0e0g", "+00102030405060708090a0b0c0d0e0f"] {
            assert!(secret_of(bad).is_none(), "{bad}");
        }
    }
}
