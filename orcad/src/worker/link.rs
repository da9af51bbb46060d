//! The worker's end of the link: it dials its manager, says hello, polls and reports, and serves what it is asked.
//!
//! ```text
//!   dial ─► hello (facts, full inventory) ─► welcome ─► second connection, served ─► ┌ poll (parked) ─► specs ─► assigned
//!     ▲                                                                              ├ report ─► accepted
//!     │                                                                              ├ renew, when due or told to
//!     │                                                                              └ leave, when asked to
//!     └───────────── after a pause, when anything breaks, or a fact changed ◄────────
//! ```
//!
//! A poll is heartbeat and wake-up in one. Every session begins with the whole truth of both sides, so what was lost on
//! the way needs no care of its own. The way is a pipe to the manager of this process, or TLS to another machine's: what
//! is said over it is the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::{Method, StatusCode};
use orca_api::error::{Code, Problem};
use orca_api::id::{IdSource as _, LifeId};
use orca_api::join::{Renew, Renewed};
use orca_api::link::{
    Assignment, Goodbye, Hello, LINK_VERSION, NodeFacts, Poll, PollAnswer, Report, ReportAnswer, SpecBody,
    Welcome,
};
use orca_api::route::{encode, link};
use orca_api::units::{Span, Time};
use orca_core::worker::Event;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::WorkerHandle;
use super::driver::Outbox;
use super::member::Member;
use super::serve::Served;
use crate::clock::{self, OsIds};
use crate::driver::Stopped;
use crate::net::h2::{self, AskError, Asker, Io, Share};
use crate::net::limits::LINK_TIME;
use crate::net::memory::{self, NotListening, Purpose};
use crate::pki::identity;
use crate::pki::renew::{self, Due};

/// The pause before the next session: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The same on the way to another machine, of which between the half and the whole is taken: a fleet must not dial in
/// step.
const DIAL_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The pause after a set that could not be taken up.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_secs(2);
/// How often a manager is asked whether this node may go by now.
const LEAVE_AGAIN: Duration = Duration::from_secs(1);
/// The clocks of this node and its manager differ when they are so far apart. Half of it can be the message's way.
const CLOCK_SKEW: Span = Span::from_secs(5);

/// The way to the manager.
#[derive(Clone)]
pub enum Way {
    /// It is in this process.
    Own(memory::Dialer),
    /// It is another machine.
    Member(Arc<Member>),
}

/// The worker's end of the link.
pub struct LinkClient {
    /// The worker core.
    pub worker: WorkerHandle,
    /// The way to the manager.
    pub way: Way,
    /// This life of the process.
    pub life: LifeId,
    /// What this node is; a change begins a new session.
    pub facts: watch::Receiver<NodeFacts>,
    /// What the manager should hear of.
    pub outbox: Arc<Outbox>,
    /// What the manager may ask.
    pub served: Arc<Served>,
}

/// Why there are no sessions any more.
#[derive(Debug)]
pub enum Over {
    /// The daemon stops.
    Stopped,
    /// The node was removed from the cluster.
    Removed(Box<Problem>),
    /// It asked to leave, and may go.
    Left,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Dial(#[from] NotListening),
    #[error("{}", .0.detail)]
    Unreached(Box<Problem>),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("a fact about this node changed")]
    Facts,
    #[error("the connection on which the manager asks was closed")]
    Served,
    #[error("the certificate was renewed")]
    Renewed,
    #[error("the certificate cannot be renewed: {0}")]
    NotRenewed(String),
    #[error("the node may leave")]
    Left,
}

impl Ended {
    /// As what `orcactl status` shows.
    fn problem(&self) -> Problem {
        match self {
            Self::Unreached(problem) => (**problem).clone(),
            Self::Ask(AskError::Refused(problem)) => (**problem).clone(),
            other => Problem::new(Code::NoManager, "the connection to the manager broke")
                .because(other.to_string())
                .hint("it is made again by itself; on the manager: journalctl -u orcad"),
        }
    }
}

/// What a session shares among its parts.
#[derive(Debug, Default)]
struct Session {
    /// The manager says that the certificate is to be renewed now.
    renew: Notify,
    /// The clocks are apart.
    skewed: AtomicBool,
}

impl LinkClient {
    /// Keeps a session up until `stop`, and then says goodbye; or until this node does not belong to the cluster any more.
    pub async fn run(mut self, stop: CancellationToken) -> Over {
        let (first, most) = match self.way {
            Way::Own(_) => PAUSE,
            Way::Member(_) => DIAL_PAUSE,
        };
        let mut pause = first;
        // The connection of a session that makes room for the next one: it stands until that is welcomed, so that the
        // manager never sees none.
        let mut former = None;
        loop {
            let mut asker = None;
            let session = self.session(&mut asker, &mut former);
            let ended = tokio::select! {
                ended = session => ended,
                () = stop.cancelled() => {
                    if let Some(asker) = asker {
                        self.goodbye(&asker).await;
                    }
                    return Over::Stopped;
                }
            };
            // A session that was welcomed has proven the way: the next one may begin soon.
            pause = if asker.is_some() { first } else { (pause * 2).min(most) };
            match ended {
                Ok(()) => {}
                Err(Ended::Facts | Ended::Renewed) => {
                    former = asker;
                    continue;
                }
                Err(Ended::Stopped(_)) => return Over::Stopped,
                Err(Ended::Left) => return Over::Left,
                Err(Ended::Ask(AskError::Refused(problem))) if problem.code == Code::Removed => {
                    return Over::Removed(problem);
                }
                Err(error) => {
                    if let Way::Member(member) = &self.way {
                        member.connecting(error.problem());
                    }
                    tracing::info!(%error, "the link to the manager ended; it is made again");
                }
            }
            former = None;
            tokio::select! {
                () = tokio::time::sleep(self.jittered(pause)) => {}
                () = stop.cancelled() => return Over::Stopped,
            }
        }
    }

    fn jittered(&self, pause: Duration) -> Duration {
        match self.way {
            Way::Own(_) => pause,
            Way::Member(_) => pause / 2 + pause / 2 * u32::from(OsIds.next_id().bytes()[0]) / 255,
        }
    }

    async fn dial(&self, purpose: Purpose) -> Result<Box<dyn Io>, Ended> {
        match &self.way {
            Way::Own(dialer) => Ok(Box::new(dialer.dial(purpose).await?)),
            Way::Member(member) => match member.dial(purpose).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(problem) => Err(Ended::Unreached(Box::new(problem))),
            },
        }
    }

    /// One session. `welcomed` is set once the manager knows us.
    async fn session(
        &mut self,
        welcomed: &mut Option<Asker>,
        former: &mut Option<Asker>,
    ) -> Result<(), Ended> {
        let asker = Asker::new(self.dial(Purpose::WorkerAsks).await?).await?;
        let facts = self.facts.borrow_and_update().clone();
        let (generation, inventory, clock) =
            self.worker.read(|worker, now| (worker.generation(), worker.inventory(), now.wall)).await?;
        let hello = Hello { version: LINK_VERSION, life: self.life, facts, generation, clock, inventory };
        let welcome: Welcome = match (asker.ask(link::HELLO, &hello, Duration::ZERO).await, &self.way) {
            (Ok(welcome), _) => welcome,
            // What a certificate that is out of its dates by the manager's clock is answered with, and is good for.
            (Err(AskError::Refused(problem)), Way::Member(member)) if problem.code == Code::NotAllowed => {
                tracing::warn!(%problem, "the certificate is renewed");
                self.renew(&asker, member).await?;
                return Err(Ended::Renewed);
            }
            (Err(error), _) => return Err(error.into()),
        };
        tracing::info!(node = %welcome.node, name = %welcome.name, "welcomed by the manager");
        *welcomed = Some(asker.clone());
        *former = None;
        let session = Session::default();
        self.saw_clock(&session, welcome.clock);
        self.worker
            .send(Event::Welcomed { cluster: welcome.cluster, node: welcome.node, name: welcome.name })
            .await?;
        let io = self.dial(Purpose::ManagerAsks).await?;
        if let Way::Member(member) = &self.way {
            member.connected();
        }
        let served = Arc::clone(&self.served);
        let serving = h2::serve(io, Share::MEMBER, move |request| Arc::clone(&served).answer(request));
        tokio::select! {
            ended = self.polls(&asker, &session, welcome.period.std()) => ended,
            ended = self.reports(&asker) => ended,
            ended = self.renewals(&asker, &session) => ended,
            ended = self.leaving(&asker) => ended,
            () = serving => Err(Ended::Served),
            changed = changed(self.facts.clone()) => changed,
        }
    }

    async fn polls(&self, asker: &Asker, session: &Session, mut period: Duration) -> Result<(), Ended> {
        loop {
            let (generation, conditions, sent) =
                self.worker.read(|worker, now| (worker.generation(), worker.conditions(), now)).await?;
            let poll = Poll { life: self.life, generation, conditions, clock: Some(sent.wall) };
            let answer: PollAnswer = asker.ask(link::POLL, &poll, period).await?;
            period = answer.period.std();
            self.worker.send(Event::Heard { asked_at: sent.boot_ms }).await?;
            if let Some(clock) = answer.clock {
                self.saw_clock(session, clock);
            }
            if answer.renew {
                session.renew.notify_one();
            }
            if let Some(assignment) = answer.assignment {
                let given = assignment.generation;
                self.take_up(asker, assignment).await?;
                if self.worker.read(|worker, _| worker.generation()).await? < given {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn saw_clock(&self, session: &Session, manager: Time) {
        let Way::Member(member) = &self.way else { return };
        member.saw_clock(manager);
        let here = clock::now().wall;
        let apart = here.since(manager).ms().max(manager.since(here).ms());
        let skewed = apart >= CLOCK_SKEW.ms();
        if skewed != session.skewed.swap(skewed, Ordering::Relaxed) && skewed {
            tracing::warn!(apart = %Span::from_ms(apart), "the clock differs from the manager's: timedatectl set-ntp true");
        }
    }

    /// Fetches the specs that are missing and passes the set on. A spec that is gone by now belongs to a set that is
    /// older than the manager's: the next poll brings a newer one.
    async fn take_up(&self, asker: &Asker, assignment: Assignment) -> Result<(), Ended> {
        let (assignment, missing) = self
            .worker
            .read(move |worker, _| {
                let missing = worker.missing_specs(&assignment);
                (assignment, missing)
            })
            .await?;
        let mut specs = BTreeMap::new();
        for digest in missing {
            match asker.get::<SpecBody>(&format!("{}{}", link::SPEC, encode(&digest))).await {
                Ok(body) => specs.insert(digest, Arc::new(body.spec)),
                Err(AskError::Refused(problem)) => {
                    tracing::debug!(%problem, digest, "a spec is gone; the next set is awaited");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
        }
        self.worker.send(Event::Assigned { assignment, specs }).await?;
        Ok(())
    }

    async fn reports(&self, asker: &Asker) -> Result<(), Ended> {
        loop {
            let placements = self.outbox.take().await;
            let accepted = placements.iter().map(|p| (p.placement, p.sequence)).collect();
            let report = Report { life: self.life, placements };
            let ReportAnswer { unknown } = asker.ask(link::REPORT, &report, Duration::ZERO).await?;
            self.worker.send(Event::ReportAccepted { accepted, unknown }).await?;
        }
    }

    /// Renews the certificate when it is due, and whenever the manager says so. The next session shows it.
    async fn renewals(&self, asker: &Asker, session: &Session) -> Result<(), Ended> {
        let Way::Member(member) = &self.way else { return std::future::pending().await };
        let mut failures = 0;
        loop {
            let since = member.renewed_at().map(|at| Span::from_ms(ms(at.elapsed())));
            let pause = match renew::due(&member.identity().facts, clock::now().wall, since) {
                Due::Now(why) => {
                    tracing::info!(?why, "the certificate is due to be renewed");
                    None
                }
                Due::In(span) => Some(span),
            };
            if let Some(pause) = pause {
                tokio::select! {
                    () = tokio::time::sleep(pause.std()) => continue,
                    () = session.renew.notified() => {}
                }
            }
            match self.renew(asker, member).await {
                Ok(()) => return Err(Ended::Renewed),
                Err(Ended::Ask(AskError::Broken(why))) => return Err(Ended::Ask(AskError::Broken(why))),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the certificate is not renewed yet");
                    let dice = u64::from(OsIds.next_id().bytes()[0]) << 8;
                    tokio::time::sleep(renew::retry_after(failures, dice).std()).await;
                }
            }
        }
    }

    async fn renew(&self, asker: &Asker, member: &Arc<Member>) -> Result<(), Ended> {
        let (key, csr) = identity::request().map_err(|e| Ended::NotRenewed(e.to_string()))?;
        let renewed: Renewed = asker.ask(link::RENEW, &Renew { csr }, Duration::ZERO).await?;
        let member = Arc::clone(member);
        let taken = tokio::task::spawn_blocking(move || member.renewed(key, renewed)).await;
        match taken {
            Ok(Ok(())) => {
                tracing::info!("the certificate was renewed");
                Ok(())
            }
            Ok(Err(error)) => Err(Ended::NotRenewed(error.to_string())),
            Err(error) => Err(Ended::NotRenewed(error.to_string())),
        }
    }

    /// Once somebody wants this node to leave: asks again and again until nothing is left on it.
    async fn leaving(&self, asker: &Asker) -> Result<(), Ended> {
        let Way::Member(member) = &self.way else { return std::future::pending().await };
        member.leave_wanted().await;
        loop {
            let body = h2::json_body(&())?;
            let answer = asker.open(Method::POST, link::LEAVE, body, LINK_TIME).await?;
            if answer.status() != StatusCode::ACCEPTED {
                return Err(Ended::Left);
            }
            tokio::time::sleep(LEAVE_AGAIN).await;
        }
    }

    async fn goodbye(&self, asker: &Asker) {
        let goodbye = Goodbye { life: self.life, reason: "stop".to_owned(), back_in: None };
        match tokio::time::timeout(GOODBYE_TIME, asker.ask::<()>(link::GOODBYE, &goodbye, Duration::ZERO))
            .await
        {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the goodbye was not heard"),
            Err(_) => tracing::debug!("the goodbye was not answered"),
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn changed(mut facts: watch::Receiver<NodeFacts>) -> Result<(), Ended> {
    match facts.changed().await {
        Ok(()) => Err(Ended::Facts),
        // Nobody tells facts any more: those that were told stay.
        Err(_) => std::future::pending().await,
    }
}
