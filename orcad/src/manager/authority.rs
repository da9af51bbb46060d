//! The cluster's authority, in force: it signs what the core has decided, and this manager shows its own certificate.
//!
//! ```text
//!   open ─► <state>/ca (made at the first start) ─► <state>/identity (signed by it) ─► own, trust ─► TLS
//!   certify: a request's key and the names that the core gave ─► certificate
//!   rotate:  a new authority, signed by the old one as well; own certificate renewed
//!            narrow: the old one is trusted for people alone; settle: it is forgotten
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orca_api::error::{Code, Problem};
use orca_api::id::{CertificateId, ClusterId, IdSource as _, NodeId};
use orca_api::join::{CaDigest, CertRole};
use orca_api::name::Name;
use orca_api::node::Role;
use orca_api::units::{Span, Time};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::OsIds;
use crate::driver::Clock;
use crate::net::tls::{self, Own, TlsError, Trust};
use crate::pki::ca::{Ca, CaError, Issued};
use crate::pki::certificate::{Identity, LIFETIME};
use crate::pki::identity::{self, About, BundleError, IdentityError, NodeIdentity};
use crate::pki::renew::{self, Due};

/// The authority of a manager.
pub struct Authority {
    state_dir: PathBuf,
    clock: Clock,
    inner: Mutex<Inner>,
    own: Arc<Own>,
    trust: Arc<Trust>,
}

struct Inner {
    ca: Ca,
    identity: NodeIdentity,
    /// The former authority is trusted for people alone.
    narrow: bool,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The authority's own files.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// This node's identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The trusted set.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl AuthorityError {
    /// As a problem for who asked for something that needs it.
    pub fn problem(&self) -> Problem {
        let hint = match self {
            Self::Ca(error) => error.hint(),
            Self::Identity(error) => error.hint(),
            Self::Bundle(_) => "put the folder `ca` back from a backup: orcad backup restore FILE",
        };
        Problem::new(Code::Internal, "the cluster's certificate authority cannot be used")
            .because(self.to_string())
            .hint(hint)
    }
}

/// Who this manager is.
#[derive(Clone, Debug)]
pub struct Here {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its node.
    pub node: NodeId,
    /// Its name.
    pub name: Name,
    /// What it does.
    pub roles: Vec<Role>,
}

impl Authority {
    /// Opens the authority of the state folder, and makes what is missing of it. Blocks.
    ///
    /// # Errors
    /// Files that cannot be read, made, or are of another cluster.
    pub fn open(state_dir: &Path, here: Here, clock: Clock) -> Result<Self, AuthorityError> {
        let now = clock().wall;
        let ca = Ca::load_or_create(state_dir, here.cluster, now)?;
        let known = NodeIdentity::load(state_dir)?.filter(|known| {
            (known.about.cluster, known.about.node) == (here.cluster, here.node)
                && known.about.cert_role() == CertRole::Manager
                && identity::bundle_holds(known.cas(), ca.digest()).unwrap_or(false)
        });
        let about = About::new(here.cluster, here.node, manager_roles(here.roles), here.name, Vec::new());
        let identity = match known {
            Some(known) => known,
            None => {
                let made = certified_by(&ca, about, now)?;
                made.save(state_dir, None)?;
                made
            }
        };
        let own = Own::of(&identity)?;
        let trust = Trust::new(here.cluster, &ca.bundle())?;
        let inner = Mutex::new(Inner { ca, identity, narrow: false });
        Ok(Self { state_dir: state_dir.to_owned(), clock, inner, own, trust })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What join tokens pin it by.
    pub fn digest(&self) -> CaDigest {
        self.lock().ca.digest()
    }

    /// What nodes and people are to trust, PEM.
    pub fn bundle(&self) -> String {
        let inner = self.lock();
        if inner.narrow { inner.ca.settled().bundle() } else { inner.ca.bundle() }
    }

    /// Whether a former authority is still trusted.
    pub fn is_rotating(&self) -> bool {
        self.lock().ca.is_rotating()
    }

    /// Signs: the names are given, and of the request counts nothing but its key.
    ///
    /// # Errors
    /// The request is none.
    pub fn certify(
        &self,
        request: &str,
        who: &Identity,
        id: CertificateId,
        lifetime: Span,
    ) -> Result<Issued, Problem> {
        let now = (self.clock)().wall;
        self.lock().ca.issue(request, who, id, now, lifetime).map_err(|error| match error {
            CaError::Request(_) => Problem::new(Code::BadRequest, error.to_string()).hint(error.hint()),
            other => Problem::new(Code::Internal, other.to_string()).hint(other.hint()),
        })
    }

    /// A server that shows this manager's certificate. Who was removed or revoked is let in, and told so on every route.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn server(&self) -> Result<tls::Server, TlsError> {
        let nobody: tls::verify::Deny = Arc::new(|_| false);
        tls::Server::new(Arc::clone(&self.own), Arc::clone(&self.trust), nobody, Arc::clone(&self.clock))
    }

    /// Replaces the authority: from now on the new one signs, and both are trusted. Blocks.
    ///
    /// # Errors
    /// It is being replaced already, or it cannot be stored: then nothing has changed.
    pub fn rotate(&self) -> Result<CaDigest, AuthorityError> {
        let now = (self.clock)().wall;
        let mut inner = self.lock();
        let next = inner.ca.rotated(now)?;
        next.save(&self.state_dir)?;
        self.take(&mut inner, next, now)
    }

    /// From now on the former authority is trusted for certificates of people alone; who trusts only that one still
    /// accepts this manager.
    ///
    /// # Errors
    /// It cannot be read: then nothing has changed.
    pub fn narrow(&self) -> Result<(), AuthorityError> {
        let mut inner = self.lock();
        if inner.ca.is_rotating() && !inner.narrow {
            self.trust.replace_apart(&inner.ca.settled().bundle(), &inner.ca.bundle())?;
            inner.narrow = true;
        }
        Ok(())
    }

    /// Forgets the former authority. Blocks.
    ///
    /// # Errors
    /// It cannot be stored: then nothing has changed.
    pub fn settle(&self) -> Result<(), AuthorityError> {
        let now = (self.clock)().wall;
        let mut inner = self.lock();
        if !inner.ca.is_rotating() {
            return Ok(());
        }
        let settled = inner.ca.settled();
        settled.save(&self.state_dir)?;
        self.take(&mut inner, settled, now)?;
        Ok(())
    }

    /// Renews this manager's own certificate. Blocks.
    ///
    /// # Errors
    /// It cannot be stored: then the old one stays.
    pub fn renew_own(&self) -> Result<(), AuthorityError> {
        let now = (self.clock)().wall;
        let mut inner = self.lock();
        let Inner { ca, identity, .. } = &mut *inner;
        *identity = certified_by(ca, identity.about.clone(), now)?;
        identity.save(&self.state_dir, None)?;
        self.own.replace(identity.key(), identity.chain())?;
        Ok(())
    }

    /// Keeps this manager's own certificate within its life, until `stop`. Who is connected notices nothing.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let (mut renewed, mut failures): (Option<Instant>, u32) = (None, 0);
        loop {
            let since =
                renewed.map(|at| Span::from_ms(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)));
            let facts = self.lock().identity.facts.clone();
            let mut pause = match renew::due(&facts, (self.clock)().wall, since) {
                Due::In(span) => span,
                Due::Now(why) => {
                    let authority = Arc::clone(&self);
                    match tokio::task::spawn_blocking(move || authority.renew_own()).await {
                        Ok(Ok(())) => {
                            tracing::info!(?why, "this manager's certificate was renewed");
                            (renewed, failures) = (Some(Instant::now()), 0);
                            continue;
                        }
                        Ok(Err(error)) => {
                            tracing::error!(%error, "this manager's certificate is not renewed yet");
                        }
                        Err(error) => {
                            tracing::error!(%error, "this manager's certificate is not renewed yet");
                        }
                    }
                    failures += 1;
                    renew::retry_after(failures, u64::from(OsIds.next_id().bytes()[0]))
                }
            };
            pause = pause.max(Span::from_secs(1));
            tokio::select! {
                () = tokio::time::sleep(pause.std()) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// A stored authority takes the place of the one in force.
    fn take(&self, inner: &mut Inner, ca: Ca, now: Time) -> Result<CaDigest, AuthorityError> {
        self.trust.replace(&ca.bundle())?;
        let identity = certified_by(&ca, inner.identity.about.clone(), now)?;
        (inner.ca, inner.narrow) = (ca, false);
        identity.save(&self.state_dir, None)?;
        self.own.replace(identity.key(), identity.chain())?;
        inner.identity = identity;
        Ok(inner.ca.digest())
    }
}

fn manager_roles(mut roles: Vec<Role>) -> Vec<Role> {
    if !roles.contains(&Role::Manager) {
        roles.insert(0, Role::Manager);
    }
    roles
}

fn certified_by(ca: &Ca, about: About, now: Time) -> Result<NodeIdentity, AuthorityError> {
    let (key, request) = identity::request()?;
    let who = Identity::of_node(about.cluster, CertRole::Manager, about.node);
    let issued = ca.issue(&request, &who, CertificateId::fresh(&mut OsIds), now, LIFETIME)?;
    Ok(NodeIdentity::new(about, key, issued.chain, ca.bundle())?)
}
