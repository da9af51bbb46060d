//! An engine that can be told to fail, the worker's hands on it, and short words for what they do.

use std::sync::Arc;
use std::time::Duration;

use orca_api::id::ClusterId;
use orca_api::spec::{Pull, TaskSpec};
use orca_api::task::Reason;
use orca_api::units::Span;
use orca_core::worker::io::{
    Container, Done, Effect, EngineState, Event, Failure, FailureKind, Labels, OpId,
};
use orca_tests::fake_engine::FakeEngine;
use orcad::worker::docker::{Engine, EngineConfig};
use tokio::sync::mpsc;

pub(crate) const CLUSTER: &str = "0123456789ABCDEF";
pub(crate) const OTHER: &str = "FEDCBA9876543210";

pub(crate) struct Rig {
    pub(crate) fake: FakeEngine,
    pub(crate) engine: Engine,
    pub(crate) progress: mpsc::Receiver<Event>,
}

pub(crate) fn rig() -> Rig {
    rig_with(|_| ())
}

pub(crate) fn rig_with(edit: impl FnOnce(&mut EngineConfig)) -> Rig {
    let fake = FakeEngine::start();
    let mut config = fake.config();
    edit(&mut config);
    let (tell, progress) = mpsc::channel(256);
    Rig { engine: Engine::new(config, tell), fake, progress }
}

pub(crate) fn op(n: u64) -> OpId {
    OpId { life: "0000000000000001".parse().unwrap(), n }
}

pub(crate) fn labels(attempt: u32) -> Labels {
    let id = CLUSTER;
    Labels {
        cluster: id.parse().unwrap(),
        task: id.parse().unwrap(),
        placement: id.parse().unwrap(),
        attempt,
        spec: "digest".to_owned(),
    }
}

pub(crate) fn spec(image: &str) -> TaskSpec {
    TaskSpec::of_image(image.parse().unwrap())
}

impl Rig {
    pub(crate) async fn act(&self, effect: Effect) -> Result<Done, Failure> {
        match self.engine.perform(effect).await {
            Event::Done { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn pull(&self, image: &str, pull: Pull) -> Result<Done, Failure> {
        self.act(Effect::Pull { op: op(1), image: image.to_owned(), pull }).await
    }

    pub(crate) async fn create_as(
        &self,
        name: &str,
        labels: Labels,
        spec: TaskSpec,
    ) -> Result<Done, Failure> {
        let effect = Effect::Create {
            op: op(2),
            name: name.to_owned(),
            hostname: "web".to_owned(),
            labels,
            task_name: "web".parse().unwrap(),
            spec: Arc::new(spec),
        };
        self.act(effect).await
    }

    pub(crate) async fn create(&self, spec: TaskSpec) -> Result<String, Failure> {
        match self.create_as("web-a1-x7f2", labels(1), spec).await? {
            Done::Created { container, .. } => Ok(container),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn start(&self, container: &str) -> Result<Container, Failure> {
        match self.act(Effect::Start { op: op(3), container: container.to_owned() }).await? {
            Done::Started { seen } => Ok(*seen),
            other => panic!("{other:?}"),
        }
    }

    /// A running container of a spec.
    pub(crate) async fn run(&self, spec: TaskSpec) -> Container {
        let id = self.create(spec).await.unwrap();
        self.start(&id).await.unwrap()
    }

    pub(crate) async fn stop(&self, container: &str, grace_ms: u64) -> Result<Option<Container>, Failure> {
        let effect = Effect::Stop {
            op: op(4),
            container: container.to_owned(),
            signal: None,
            grace: Span::from_ms(grace_ms),
        };
        match self.act(effect).await? {
            Done::Stopped { seen } => Ok(seen.map(|seen| *seen)),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn remove(&self, container: &str) -> Result<Done, Failure> {
        self.act(Effect::Remove { op: op(5), container: container.to_owned() }).await
    }

    /// Begins to watch; the watch ends with the receiver.
    pub(crate) fn watch(&self) -> mpsc::Receiver<Event> {
        let (out, events) = mpsc::channel(256);
        tokio::spawn(self.engine.clone().watch(|| Some(CLUSTER.parse::<ClusterId>().unwrap()), out));
        events
    }
}

/// Waits for an event that fits; everything else is passed over.
pub(crate) async fn next<T>(events: &mut mpsc::Receiver<Event>, fits: impl Fn(Event) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = fits(events.recv().await.expect("the watch goes on")) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), search).await.expect("an event that fits")
}

pub(crate) fn state(event: Event) -> Option<EngineState> {
    match event {
        Event::Engine(state) => Some(state),
        _ => None,
    }
}

/// Polls until something is so.
pub(crate) async fn eventually(what: &str, is: impl Fn() -> bool) {
    for _ in 0..500 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

pub(crate) fn rejected(result: Result<impl std::fmt::Debug, Failure>) -> (Reason, String) {
    match result {
        Err(Failure { kind: FailureKind::Rejected(reason), message }) => (reason, message),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn kind(result: Result<impl std::fmt::Debug, Failure>) -> FailureKind {
    result.expect_err("a failure").kind
}
