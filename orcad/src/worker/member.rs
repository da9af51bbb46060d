//! This worker as a member of a cluster: who it is, how it reaches its managers, and how that goes.
//!
//! ```text
//!   identity (disk) ─► own certificate, trust, addresses ─► dial: each address in turn, the one that answered last first
//!         ▲                     ▲ replaced at once, connections stand
//!         └──── renewed ────────┘
//! ```

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orca_api::cluster::LinkView;
use orca_api::error::{Code, Problem};
use orca_api::join::Renewed;
use orca_api::units::Time;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::Clock;
use crate::join::unreached;
use crate::net::memory::Purpose;
use crate::net::tls::{Client, Dates, Floor, Own, Standing, Stream, TlsError, Trust};
use crate::pki::certificate::BACK_DATED;
use crate::pki::identity::{BundleError, IdentityError, NodeIdentity, PrivateKey};

/// How the link is, in the words of [`LinkView::state`].
const CONNECTED: &str = "connected";
const CONNECTING: &str = "connecting";
const REFUSED: &str = "refused";

/// A worker of a cluster whose manager is another machine.
pub struct Member {
    state_dir: PathBuf,
    clock: Clock,
    identity: Mutex<NodeIdentity>,
    own: Arc<Own>,
    trust: Arc<Trust>,
    floor: Arc<Floor>,
    client: Client,
    link: watch::Sender<LinkView>,
    renewed_at: Mutex<Option<Instant>>,
    leave: watch::Sender<Leave>,
    left: watch::Sender<bool>,
}

/// Whether somebody wants this node to leave its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Nobody does.
    No,
    /// When the manager has moved its tasks elsewhere.
    Drained,
    /// At once, without asking the manager.
    Forced,
}

/// A membership that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The trusted set.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl MemberError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Identity(error) => error.hint(),
            Self::Bundle(_) => "join again with a new token: orcactl worker start --join TOKEN --force",
        }
    }
}

impl Member {
    /// With the identity of the state folder.
    ///
    /// # Errors
    /// Its parts cannot be used.
    pub fn new(state_dir: PathBuf, identity: NodeIdentity, clock: Clock) -> Result<Arc<Self>, MemberError> {
        let own = Own::of(&identity)?;
        let trust = Trust::new(identity.about.cluster, identity.cas())?;
        // The cluster was there when it signed this.
        let made = Time::from_ms(
            identity.facts.not_before.ms().saturating_add(i64::try_from(BACK_DATED.ms()).unwrap_or(0)),
        );
        let floor = Floor::new(made);
        let dates = Dates::Node(Arc::clone(&floor));
        let client = Client::known(Arc::clone(&own), Arc::clone(&trust), dates, Arc::clone(&clock));
        let link = watch::Sender::new(LinkView {
            managers: identity.about.managers.clone(),
            state: CONNECTING.to_owned(),
            since: clock().wall,
            problem: None,
        });
        let (identity, renewed_at) = (Mutex::new(identity), Mutex::default());
        let (leave, left) = (watch::Sender::new(Leave::No), watch::Sender::new(false));
        Ok(Arc::new(Self {
            state_dir,
            clock,
            identity,
            own,
            trust,
            floor,
            client,
            link,
            renewed_at,
            leave,
            left,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, NodeIdentity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who this node is.
    pub fn identity(&self) -> NodeIdentity {
        self.lock().clone()
    }

    /// How the way to the manager is.
    pub fn link(&self) -> LinkView {
        self.link.borrow().clone()
    }

    /// Dials a manager.
    ///
    /// # Errors
    /// None can be reached, and why.
    pub async fn dial(&self, purpose: Purpose) -> Result<Stream, Problem> {
        let managers = self.lock().about.managers.clone();
        let mut failures: Vec<(String, TlsError)> = Vec::new();
        for address in &managers {
            match self.client.connect(address, purpose).await {
                Ok(connected) => {
                    if connected.manager.standing != Standing::Valid {
                        tracing::warn!(
                            address,
                            "the manager's certificate is not within its dates by this machine's clock: one of the clocks is wrong"
                        );
                    }
                    self.prefer(address);
                    return Ok(connected.stream);
                }
                Err(error) => failures.push((address.clone(), error)),
            }
        }
        Err(unreached(&failures))
    }

    /// The address that answered is asked first the next time.
    fn prefer(&self, address: &str) {
        let managers = &mut self.lock().about.managers;
        if let Some(at) = managers.iter().position(|m| m == address) {
            managers[..=at].rotate_right(1);
        }
    }

    /// The manager's clock was seen: no certificate that ended before is good.
    pub fn saw_clock(&self, at: Time) {
        self.floor.raise(at);
    }

    /// When this process last renewed the certificate.
    pub fn renewed_at(&self) -> Option<Instant> {
        *self.renewed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants this node to leave.
    pub fn leave(&self, how: Leave) {
        self.leave.send_if_modified(|known| {
            *known != how && *known != Leave::Forced && {
                *known = how;
                true
            }
        });
    }

    /// Whether somebody wants it to.
    pub fn wants_to_leave(&self) -> Leave {
        *self.leave.borrow()
    }

    /// Waits until somebody wants it to.
    pub async fn leave_wanted(&self) {
        self.until_leave(|how| how != Leave::No).await;
    }

    /// Waits until somebody wants it to at once.
    pub async fn leave_forced(&self) {
        self.until_leave(|how| how == Leave::Forced).await;
    }

    /// This node does not belong to the cluster any more.
    pub fn has_left(&self) {
        self.left.send_replace(true);
    }

    /// Waits until it does not.
    pub async fn left(&self) {
        let _ = self.left.subscribe().wait_for(|left| *left).await;
    }

    async fn until_leave(&self, is: impl Fn(Leave) -> bool) {
        // The sender is here: it cannot be gone.
        let _ = self.leave.subscribe().wait_for(|how| is(*how)).await;
    }

    /// The link is up.
    pub fn connected(&self) {
        self.tell(CONNECTED, None);
    }

    /// The link is down, and is being made again.
    pub fn connecting(&self, problem: Problem) {
        let state = if is_refusal(&problem) { REFUSED } else { CONNECTING };
        self.tell(state, Some(problem));
    }

    fn tell(&self, state: &str, problem: Option<Problem>) {
        let (managers, now) = (self.lock().about.managers.clone(), (self.clock)().wall);
        self.link.send_modify(|link| {
            if link.state != state {
                link.since = now;
                state.clone_into(&mut link.state);
            }
            link.problem = problem;
            link.managers = managers;
        });
    }

    /// Takes a new certificate: on disk first, then for every handshake from now on. Blocks.
    ///
    /// # Errors
    /// It is not this node's, or cannot be stored: then the old one stays.
    pub fn renewed(&self, key: PrivateKey, renewed: Renewed) -> Result<(), MemberError> {
        let mut identity = self.lock();
        let Renewed { certificate, ca, mut managers } = renewed;
        if managers.is_empty() {
            managers.clone_from(&identity.about.managers);
        }
        let next = identity.renewed(key, certificate, ca, managers)?;
        next.save(&self.state_dir, None)?;
        self.own.replace(next.key(), next.chain())?;
        self.trust.replace(next.cas())?;
        *identity = next;
        *self.renewed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}

/// Whether a manager was reached, and said no.
fn is_refusal(problem: &Problem) -> bool {
    matches!(
        problem.code,
        Code::Removed
            | Code::NoSuchNode
            | Code::NotAllowed
            | Code::VersionApart
            | Code::WrongCluster
            | Code::ClockOff
    )
}
