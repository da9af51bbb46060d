//! Watching the engine: is it there, does it answer, and what happens to our containers.
//!
//! ```text
//!            ┌────────────── no socket, refused ──────────────► Away ──────────┐
//!   connect ─┼────────────── no answer in time ───────────────► Unresponsive ──┤ try again
//!            └─ answers ─► Up(life) ─► event stream ─┬ event ─► Hint           │
//!                             ▲                      ├ probe without answer ───┤
//!                             └──────────────────────┴ stream ended ───────────┘
//! ```
//!
//! * Events are hints; the core asks about each, and its sweeps are the truth. A lost event costs a delay.
//! * The probe asks for a list: an engine can answer a ping while everything that matters hangs.
//! * [`EngineState::Up`] is sent after each (re)connection, also of the same life: whatever happened meanwhile was not
//!   seen, and the core sweeps. `Away` and `Unresponsive` are sent when they begin.
//! * An engine that is shut down stops answering first, then stops its containers, and closes the event stream last (seen
//!   with 20.10). So the end of a container is a reason to probe at once.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, pin_mut};
use orca_api::id::ClusterId;
use orca_core::worker::io::{EngineState, Event};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::failure::EngineError;
use super::{Engine, labels};

/// How soon a missing engine is looked for again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How soon the engine is probed after a container ended: at once, as far as a crash loop allows.
const PROBE_AFTER_END: Duration = Duration::from_millis(300);

/// Nobody takes events any more.
struct Closed;

/// What an engine is that does not answer as it should.
fn without(error: &EngineError) -> EngineState {
    if matches!(error, EngineError::Silent { .. }) { EngineState::Unresponsive } else { EngineState::Away }
}

/// Tells the engine's state: each time that it is up, and once that it is not.
struct Teller {
    out: mpsc::Sender<Event>,
    told: Option<EngineState>,
}

impl Teller {
    async fn state(&mut self, state: EngineState, why: &str) -> Result<(), Closed> {
        match &state {
            EngineState::Up { life, live_restore } => {
                tracing::info!(life, live_restore, "the engine answers");
            }
            EngineState::Unresponsive | EngineState::Away if self.told.as_ref() == Some(&state) => {
                return if self.out.is_closed() { Err(Closed) } else { Ok(()) };
            }
            EngineState::Unresponsive | EngineState::Away => tracing::warn!(why, "the engine cannot be used"),
        }
        self.told = Some(state.clone());
        self.out.send(Event::Engine(state)).await.map_err(|_| Closed)
    }
}

impl Engine {
    /// Watches the engine until nobody takes the events. `cluster` tells whose containers are ours, once that is known.
    ///
    /// To be called once for each engine: a second call takes the first one's cluster.
    pub async fn watch(
        self,
        cluster: impl Fn() -> Option<ClusterId> + Send + Sync + 'static,
        out: mpsc::Sender<Event>,
    ) {
        let _ = self.inner.cluster.set(Box::new(cluster));
        // It ends when nobody listens any more, which is no error.
        let _ = self.supervise(Teller { out, told: None }).await;
    }

    async fn supervise(&self, mut teller: Teller) -> Result<(), Closed> {
        let mut retry = RETRY.0;
        let mut since = None;
        loop {
            // Events from here on are asked for, so that none falls between the greeting and the stream.
            since.get_or_insert(jiff::Timestamp::now().as_second());
            match self.greet().await {
                Ok(up) => {
                    teller.state(up, "").await?;
                    retry = RETRY.0;
                    let error = self.follow(&teller.out, &mut since).await?;
                    // Said at once, although it may be back in a moment: what ends from here on ends with the engine.
                    teller.state(without(&error), &error.to_string()).await?;
                }
                Err(error) => {
                    teller.state(without(&error), &error.to_string()).await?;
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY.1);
                }
            }
            self.forget().await;
        }
    }

    /// Connects and asks who answers.
    async fn greet(&self) -> Result<EngineState, EngineError> {
        self.probe().await?;
        let client = self.connected().await?;
        Ok(EngineState::Up { life: self.life().await, live_restore: client.facts.live_restore })
    }

    /// Asks for what needs the engine's inner locks.
    async fn probe(&self) -> Result<(), EngineError> {
        let client = self.connected().await?;
        let limit = self.inner.config.probe_timeout;
        let options = ListContainersOptionsBuilder::default().limit(1).build();
        match tokio::time::timeout(limit, client.docker.list_containers(Some(options))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(EngineError::of("list", limit, error)),
            Err(_) => Err(EngineError::Silent { call: "list", after: limit }),
        }
    }

    /// Passes hints on until the stream or the engine fails; says why it ended.
    async fn follow(
        &self,
        out: &mpsc::Sender<Event>,
        since: &mut Option<i64>,
    ) -> Result<EngineError, Closed> {
        let client = match self.connected().await {
            Ok(client) => client,
            Err(error) => return Ok(error),
        };
        let filters = HashMap::from([("type", vec!["container"]), ("label", vec![labels::CLUSTER])]);
        // What the engine has buffered since the last one; a second too much does no harm.
        let from = (since.unwrap_or(0) - 1).max(0).to_string();
        let events = client
            .docker
            .events(Some(EventsOptionsBuilder::default().filters(&filters).since(&from).build()));
        pin_mut!(events);
        let period = self.inner.config.probe_period;
        let mut next_probe = Instant::now() + period;
        let mut probing: Option<BoxFuture<'_, Result<(), EngineError>>> = None;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        *since = event.time.or(*since);
                        if event.action.as_deref() == Some("die") {
                            next_probe = next_probe.min(Instant::now() + PROBE_AFTER_END);
                        }
                        if let Some(container) = self.hint(&event) && out.send(Event::Hint { container }).await.is_err() {
                            return Err(Closed);
                        }
                    }
                    Some(Err(error)) => return Ok(EngineError::of("events", self.inner.config.call_timeout, error)),
                    None => return Ok(EngineError::Broken { call: "events", message: "the engine closed the connection".to_owned() }),
                },
                () = out.closed() => return Err(Closed),
                () = self.inner.trouble.notified() => next_probe = Instant::now(),
                () = tokio::time::sleep_until(next_probe), if probing.is_none() => probing = Some(self.probe().boxed()),
                Some(result) = finished(&mut probing), if probing.is_some() => {
                    probing = None;
                    next_probe = Instant::now() + period;
                    match result {
                        Ok(()) => {}
                        // It answers, if only to refuse.
                        Err(EngineError::Refused { status, message }) => tracing::warn!(status, message, "the engine refused a list"),
                        Err(error) => return Ok(error),
                    }
                }
            }
        }
    }

    /// The container that an event is about, if the core should look at it.
    fn hint(&self, event: &EventMessage) -> Option<String> {
        let action = event.action.as_deref().unwrap_or_default();
        let actor = event.actor.as_ref()?;
        let cluster = actor.attributes.as_ref().and_then(|all| all.get(labels::CLUSTER));
        let foreign =
            self.cluster().is_some_and(|own| cluster.is_some_and(|theirs| *theirs != own.to_string()));
        if foreign || !is_hint(action) { None } else { actor.id.clone() }
    }
}

/// What a future that may be there comes to.
async fn finished<T>(future: &mut Option<BoxFuture<'_, T>>) -> Option<T> {
    Some(future.as_mut()?.await)
}

/// Actions after which a container is another. Some carry details after their name, so the name is a prefix.
fn is_hint(action: &str) -> bool {
    let name = action.split(':').next().unwrap_or_default().trim_end();
    matches!(name, "die" | "start" | "oom" | "destroy" | "pause" | "unpause" | "health_status" | "rename")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_container_is_a_hint() {
        for action in ["die", "start", "oom", "destroy", "health_status: unhealthy"] {
            assert!(is_hint(action), "{action}");
        }
        for action in ["exec_start: sh -c 'die'", "exec_die", "kill", "create", "attach", "top", ""] {
            assert!(!is_hint(action), "{action}");
        }
    }
}
