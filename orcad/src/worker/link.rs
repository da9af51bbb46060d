//! The worker's end of the link: it dials its manager, says hello, polls and reports, and serves what it is asked.
//!
//! ```text
//!   dial ─► hello (facts, full inventory) ─► welcome ─► second connection, served ─► ┌ poll (parked) ─► specs ─► assigned
//!     ▲                                                                              └ report ─► accepted
//!     └───────────── after a pause, when anything breaks, or a fact changed ◄────────
//! ```
//!
//! A poll is heartbeat and wake-up in one. Every session begins with the whole truth of both sides, so what was lost on
//! the way needs no care of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orca_api::id::LifeId;
use orca_api::link::{
    Assignment, Goodbye, Hello, LINK_VERSION, NodeFacts, Poll, PollAnswer, Report, ReportAnswer, SpecBody,
    Welcome,
};
use orca_api::route::{encode, link};
use orca_core::worker::Event;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::WorkerHandle;
use super::driver::Outbox;
use super::serve::Served;
use crate::driver::Stopped;
use crate::net::h2::{self, AskError, Asker};
use crate::net::memory::{Dialer, NotListening, Purpose};

/// The pause before the next session: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The pause after a set that could not be taken up.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// The worker's end of the link.
pub struct LinkClient {
    /// The worker core.
    pub worker: WorkerHandle,
    /// The way to the manager.
    pub dialer: Dialer,
    /// This life of the process.
    pub life: LifeId,
    /// What this node is; a change begins a new session.
    pub facts: watch::Receiver<NodeFacts>,
    /// What the manager should hear of.
    pub outbox: Arc<Outbox>,
    /// What the manager may ask.
    pub served: Arc<Served>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Dial(#[from] NotListening),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("a fact about this node changed")]
    Facts,
    #[error("the connection on which the manager asks was closed")]
    Served,
}

impl LinkClient {
    /// Keeps a session up until `stop`; then says goodbye.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = PAUSE.0;
        loop {
            let mut asker = None;
            let session = self.session(&mut asker);
            let ended = tokio::select! {
                ended = session => ended,
                () = stop.cancelled() => {
                    if let Some(asker) = asker {
                        self.goodbye(&asker).await;
                    }
                    return;
                }
            };
            // A session that was welcomed has proven the way: the next one may begin soon.
            pause = if asker.is_some() { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            match ended {
                Ok(()) => {}
                Err(Ended::Facts) => continue,
                Err(Ended::Stopped(_)) => return,
                Err(error) => tracing::info!(%error, "the link to the manager ended; it is made again"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One session. `welcomed` is set once the manager knows us.
    async fn session(&mut self, welcomed: &mut Option<Asker>) -> Result<(), Ended> {
        let asker = Asker::new(self.dialer.dial(Purpose::WorkerAsks).await?).await?;
        let facts = self.facts.borrow_and_update().clone();
        let (generation, inventory, clock) =
            self.worker.read(|worker, now| (worker.generation(), worker.inventory(), now.wall)).await?;
        let hello = Hello { version: LINK_VERSION, life: self.life, facts, generation, clock, inventory };
        let welcome: Welcome = asker.ask(link::HELLO, &hello, Duration::ZERO).await?;
        tracing::info!(node = %welcome.node, name = %welcome.name, "welcomed by the manager");
        *welcomed = Some(asker.clone());
        self.worker
            .send(Event::Welcomed { cluster: welcome.cluster, node: welcome.node, name: welcome.name })
            .await?;
        let io = self.dialer.dial(Purpose::ManagerAsks).await?;
        let served = Arc::clone(&self.served);
        let serving = h2::serve(io, move |request| Arc::clone(&served).answer(request));
        tokio::select! {
            ended = self.polls(&asker, welcome.period.std()) => ended,
            ended = self.reports(&asker) => ended,
            () = serving => Err(Ended::Served),
            changed = changed(self.facts.clone()) => changed,
        }
    }

    async fn polls(&self, asker: &Asker, mut period: Duration) -> Result<(), Ended> {
        loop {
            let (generation, conditions, clock) = self
                .worker
                .read(|worker, now| (worker.generation(), worker.conditions(), Some(now.wall)))
                .await?;
            let poll = Poll { life: self.life, generation, conditions, clock };
            let answer: PollAnswer = asker.ask(link::POLL, &poll, period).await?;
            period = answer.period.std();
            if let Some(assignment) = answer.assignment {
                let given = assignment.generation;
                self.take_up(asker, assignment).await?;
                if self.worker.read(|worker, _| worker.generation()).await? < given {
                    tokio::time::sleep(AGAIN).await;
                }
            }
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

async fn changed(mut facts: watch::Receiver<NodeFacts>) -> Result<(), Ended> {
    match facts.changed().await {
        Ok(()) => Err(Ended::Facts),
        // Nobody tells facts any more: those that were told stay.
        Err(_) => std::future::pending().await,
    }
}
