//! Making sure that an image is there.
//!
//! ```text
//!   missing ─ inspect ─ there ──────────────────────────────────────► Pulled
//!   never   ─ inspect ─ absent ─────────────────────────────────────► Rejected(image_not_found)
//!   missing, absent · always ─► join the pull of that image, or begin one:
//!                               wait for a slot ─► credentials ─► pull ─► inspect ─► Pulled
//!                                                                  └─ no progress for a minute ─► Rejected(pull_error)
//! ```
//!
//! A pull belongs to whoever waits for it: the engine gives a pull up when its connection closes, so one that nobody
//! waits for any more ends by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use futures_util::{StreamExt as _, pin_mut};
use orca_api::link::Progress;
use orca_api::spec::{ImageRef, Pull};
use orca_api::task::Reason;
use orca_core::worker::io::{Done, Event, Failure, FailureKind, OpId};
use tokio::sync::watch;

use super::credentials::{self, Found};
use super::failure::{EngineError, rejected};
use super::progress::PullProgress;
use super::{Engine, refusal};

/// Progress is told at most this often.
const PROGRESS_PERIOD: Duration = Duration::from_millis(250);

type Outcome = Result<String, Failure>;
type Flight = Shared<BoxFuture<'static, Outcome>>;
type Boarding = (WeakShared<BoxFuture<'static, Outcome>>, watch::Receiver<Progress>);

/// The pulls that are under way, by full image reference.
#[derive(Default)]
pub(super) struct Pulls {
    by_image: Mutex<HashMap<String, Boarding>>,
}

impl Engine {
    /// Makes sure that the image is there.
    pub(super) async fn pull(&self, op: OpId, image: &str, pull: Pull) -> Result<Done, Failure> {
        let reference: ImageRef =
            image.parse().map_err(|e| rejected(Reason::ImageNotFound, format!("{e}")))?;
        if pull != Pull::Always {
            match self
                .image_id(reference.as_str())
                .await
                .map_err(|e| e.failure(|_, _| FailureKind::Rejected(Reason::PullError)))?
            {
                Some(image_id) => return Ok(Done::Pulled { image_id }),
                None if pull == Pull::Never => {
                    return Err(rejected(
                        Reason::ImageNotFound,
                        format!("this node has no image `{reference}`, and the task says `pull = never`"),
                    ));
                }
                None => {}
            }
        }
        let (flight, mut progress) = self.join(&reference);
        let mut told = tokio::time::interval(PROGRESS_PERIOD);
        told.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        progress.mark_changed();
        pin_mut!(flight);
        loop {
            tokio::select! {
                biased;
                outcome = &mut flight => return outcome.map(|image_id| Done::Pulled { image_id }),
                _ = told.tick() => {
                    if progress.has_changed().unwrap_or(false) {
                        let progress = progress.borrow_and_update().clone();
                        // Progress may be lost: the next one tells the same and more.
                        let _ = self.inner.events.try_send(Event::Progressed { op, progress });
                    }
                }
            }
        }
    }

    /// The id of an image of this node.
    async fn image_id(&self, name: &str) -> Result<Option<String>, EngineError> {
        match self.call("image", |docker| async move { docker.inspect_image(name).await }).await {
            Ok(image) => Ok(image.id),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The pull of an image: the one that is under way, or a new one.
    fn join(&self, reference: &ImageRef) -> (Flight, watch::Receiver<Progress>) {
        let mut pulls = self.inner.pulls.by_image.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.retain(|_, (flight, _)| flight.upgrade().is_some_and(|flight| flight.peek().is_none()));
        if let Some((flight, progress)) = pulls.get(reference.full())
            && let Some(flight) = flight.upgrade()
        {
            return (flight, progress.clone());
        }
        let (tell, progress) =
            watch::channel(Progress { step: "waiting for a pull slot".to_owned(), done: 0, total: 0 });
        let engine = self.clone();
        let wanted = reference.clone();
        let flight = async move { engine.fly(&wanted, &tell).await }.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            pulls.insert(reference.full().to_owned(), (weak, progress.clone()));
        }
        (flight, progress)
    }

    async fn fly(&self, reference: &ImageRef, tell: &watch::Sender<Progress>) -> Outcome {
        // The semaphore is never closed; without a permit the engine would only be asked earlier.
        let _slot = Arc::clone(&self.inner.pull_slots).acquire_owned().await.ok();
        let _ = tell.send(Progress { step: "pulling".to_owned(), done: 0, total: 0 });
        let (given, trouble) = match credentials::look_up(&self.inner.config.registry_config, reference).await
        {
            Found::Some(given) => (Some(*given), None),
            Found::None => (None, None),
            Found::Unreadable(why) => {
                tracing::warn!(
                    registry = reference.registry(),
                    why,
                    "registry credentials could not be read"
                );
                (None, Some(why))
            }
        };
        let with_credentials = given.is_some();
        let refused = |error: EngineError| {
            let mut failure = error.failure(|status, message| {
                FailureKind::Rejected(refusal::of_pull(status, message, with_credentials))
            });
            if let (FailureKind::Rejected(Reason::RegistryAuth | Reason::ImageNotFound), Some(why)) =
                (failure.kind, &trouble)
            {
                failure.message = format!("{} (asked without credentials: {why})", failure.message);
            }
            failure
        };
        self.stream_pull(reference, given, tell).await?.map_err(refused)?;
        let gone =
            || rejected(Reason::PullError, format!("the engine pulled `{reference}` and does not have it"));
        self.image_id(reference.full())
            .await
            .map_err(|e| e.failure(|_, _| FailureKind::Rejected(Reason::PullError)))?
            .ok_or_else(gone)
    }

    /// The pull itself: the outer error is a stall, the inner one the engine's.
    async fn stream_pull(
        &self,
        reference: &ImageRef,
        given: Option<bollard::auth::DockerCredentials>,
        tell: &watch::Sender<Progress>,
    ) -> Result<Result<(), EngineError>, Failure> {
        let stall = self.inner.config.pull_stall;
        let client = match self.connected().await {
            Ok(client) => client,
            Err(error) => {
                self.note(&error).await;
                return Ok(Err(error));
            }
        };
        let (name, tag) = name_and_tag(reference.full());
        let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
        let lines = client.docker.create_image(Some(options), None, given);
        pin_mut!(lines);
        let mut progress = PullProgress::default();
        let mut deadline = tokio::time::Instant::now() + stall;
        loop {
            match tokio::time::timeout_at(deadline, lines.next()).await {
                Err(_) => {
                    return Err(rejected(
                        Reason::PullError,
                        format!("pulling `{reference}`: no progress for {} s", stall.as_secs_f32()),
                    ));
                }
                Ok(None) => return Ok(Ok(())),
                Ok(Some(Err(error))) => {
                    let error = EngineError::of("pull", stall, error);
                    self.note(&error).await;
                    return Ok(Err(error));
                }
                Ok(Some(Ok(line))) => {
                    if progress.take(&line) {
                        deadline = tokio::time::Instant::now() + stall;
                        let _ = tell.send(progress.summary());
                    }
                }
            }
        }
    }
}

/// `docker.io/library/nginx:1.27` → name and tag; a digest stands in the tag's place, as the engine has it.
fn name_and_tag(full: &str) -> (&str, &str) {
    if let Some((name, digest)) = full.split_once('@') {
        let last = name.rfind('/').map_or(0, |at| at + 1);
        let name = name[last..].find(':').map_or(name, |colon| &name[..last + colon]);
        return (name, digest);
    }
    let last = full.rfind('/').map_or(0, |at| at + 1);
    match full[last..].find(':') {
        Some(colon) => (&full[..last + colon], &full[last + colon + 1..]),
        None => (full, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags() {
        assert_eq!(name_and_tag("docker.io/library/nginx:1.27"), ("docker.io/library/nginx", "1.27"));
        assert_eq!(name_and_tag("127.0.0.1:5000/a/b"), ("127.0.0.1:5000/a/b", "latest"));
        assert_eq!(name_and_tag("127.0.0.1:5000/a/b:2"), ("127.0.0.1:5000/a/b", "2"));
        assert_eq!(name_and_tag("r.example/a@sha256:12"), ("r.example/a", "sha256:12"));
        assert_eq!(name_and_tag("r.example:5/a:1@sha256:12"), ("r.example:5/a", "sha256:12"));
    }
}
