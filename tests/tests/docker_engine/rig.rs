//! The worker's hands on the real engine. Each test has a cluster of its own, and its containers are removed.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use orca_api::control::{ExecTask, LogLine};
use orca_api::id::ClusterId;
use orca_api::link::AttemptRef;
use orca_api::route::worker::LogQuery;
use orca_api::spec::TaskSpec;
use orca_api::stream::Frame;
use orca_api::task::Reason;
use orca_api::units::Span;
use orca_core::worker::io::{
    Container, ContainerStatus, Done, Effect, EngineState, Event, Failure, FailureKind, Labels, OpId,
};
use orcad::worker::docker::{Engine, EngineConfig, LogDefault};
use orcad::worker::streams;
use tokio::sync::mpsc;

pub(crate) const IMAGE: &str = "busybox:local";

pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) cluster: ClusterId,
    /// Keeps the watch, and with it the engine's knowledge of the cluster, alive.
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) containers: std::cell::RefCell<Vec<String>>,
}

/// What this process and test share with no other.
pub(crate) fn unique() -> [u8; 10] {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mut bytes = [0u8; 10];
    bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
    bytes[4..8].copy_from_slice(&COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes());
    bytes
}

pub(crate) fn task_image() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/lib/image.sh");
    let made = Command::new("bash")
        .args(["-c", &format!(". '{script}' && task_image {IMAGE}")])
        .status()
        .expect("bash");
    assert!(made.success(), "the task image cannot be made");
}

pub(crate) async fn rig() -> Rig {
    rig_with(|_| ()).await
}

pub(crate) async fn rig_with(edit: impl FnOnce(&mut EngineConfig)) -> Rig {
    task_image();
    let (tell, _) = mpsc::channel(16);
    let mut config = EngineConfig {
        log: LogDefault::Local,
        call_timeout: Duration::from_secs(30),
        ..EngineConfig::default()
    };
    edit(&mut config);
    let engine = Engine::new(config, tell);
    let cluster = ClusterId::from_raw(orca_api::id::RawId::from_bytes(unique()));
    let (out, mut events) = mpsc::channel(256);
    tokio::spawn(engine.clone().watch(move || Some(cluster), out));
    let first = tokio::time::timeout(Duration::from_secs(30), events.recv())
        .await
        .expect("an engine")
        .expect("a watch");
    assert!(matches!(first, Event::Engine(EngineState::Up { .. })), "{first:?}");
    Rig { engine, cluster, events, containers: std::cell::RefCell::default() }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for id in self.containers.borrow().iter() {
            // Most are gone already.
            let _ = Command::new("docker").args(["rm", "-fv", id]).output();
        }
    }
}

pub(crate) fn op(n: u64) -> OpId {
    OpId { life: "0000000000000001".parse().unwrap(), n }
}

pub(crate) fn sh(script: &str) -> TaskSpec {
    let mut spec = TaskSpec::of_image(IMAGE.parse().unwrap());
    spec.command = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    spec
}

impl Rig {
    pub(crate) async fn act(&self, effect: Effect) -> Result<Done, Failure> {
        match self.engine.perform(effect).await {
            Event::Done { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn labels(&self) -> Labels {
        let raw = self.cluster.raw();
        Labels {
            cluster: self.cluster,
            task: raw.to_string().parse().unwrap(),
            placement: raw.to_string().parse().unwrap(),
            attempt: 1,
            spec: "digest".to_owned(),
        }
    }

    pub(crate) async fn create(&self, spec: TaskSpec) -> Result<String, Failure> {
        let name = format!(
            "orca-try-a1-{:x}",
            u128::from_be_bytes([&[0u8; 6][..], &unique()].concat().try_into().unwrap())
        );
        let effect = Effect::Create {
            op: op(1),
            name,
            hostname: "orca-try".to_owned(),
            labels: self.labels(),
            task_name: "orca-try".parse().unwrap(),
            spec: Arc::new(spec),
        };
        match self.act(effect).await? {
            Done::Created { container, .. } => {
                self.containers.borrow_mut().push(container.clone());
                Ok(container)
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn start(&self, container: &str) -> Result<Container, Failure> {
        match self.act(Effect::Start { op: op(2), container: container.to_owned() }).await? {
            Done::Started { seen } => Ok(*seen),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn run(&self, spec: TaskSpec) -> String {
        let id = self.create(spec).await.unwrap();
        self.start(&id).await.unwrap();
        id
    }

    /// A running container that has said a word: before that, a signal would meet the runtime and not the program.
    pub(crate) async fn run_ready(&self, spec: TaskSpec) -> String {
        let id = self.run(spec).await;
        for _ in 0..300 {
            if !self.lines(&id, None, false).await.is_empty() {
                return id;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it says nothing");
    }

    pub(crate) async fn refused(&self, spec: TaskSpec) -> (Reason, String) {
        let failure = match self.create(spec).await {
            Ok(id) => self.start(&id).await.unwrap_err(),
            Err(failure) => failure,
        };
        match failure {
            Failure { kind: FailureKind::Rejected(reason), message } => (reason, message),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn inspect(&self, id: &str) -> Option<Container> {
        match self.engine.perform(Effect::Inspect { container: id.to_owned() }).await {
            Event::Inspected { seen, .. } => seen.map(|seen| *seen),
            other => panic!("{other:?}"),
        }
    }

    /// The container once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Container {
        for _ in 0..300 {
            let seen = self.inspect(id).await.expect("it is kept");
            if seen.status == ContainerStatus::Exited {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it does not end");
    }

    pub(crate) async fn stop(&self, id: &str, grace: Span) -> Result<Option<Container>, Failure> {
        match self.act(Effect::Stop { op: op(3), container: id.to_owned(), signal: None, grace }).await? {
            Done::Stopped { seen } => Ok(seen.map(|seen| *seen)),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn lines(&self, id: &str, tail: Option<u32>, follow: bool) -> Vec<String> {
        let query = LogQuery {
            of: AttemptRef { placement: self.labels().placement, attempt: None },
            follow,
            tail,
            since: None,
        };
        let text = |line| match line {
            LogLine::Line { stream, text, .. } => format!("{stream}: {text}"),
            LogLine::Note { text } => format!("note: {text}"),
        };
        let lines = streams::logs(&self.engine, id, 1, &query).await.map(text).collect();
        tokio::time::timeout(Duration::from_secs(30), lines).await.expect("the output ends")
    }

    pub(crate) async fn exec(
        &self,
        id: &str,
        task: ExecTask,
        input: impl Stream<Item = Frame> + Send + 'static,
    ) -> (String, String, Option<Frame>) {
        let frames: Vec<Frame> = tokio::time::timeout(
            Duration::from_secs(30),
            streams::exec(&self.engine, id, task, input).await.collect(),
        )
        .await
        .expect("it ends");
        let (mut out, mut err, mut last) = (String::new(), String::new(), None);
        for frame in frames {
            match frame {
                Frame::Stdout(bytes) => out.push_str(&String::from_utf8_lossy(&bytes)),
                Frame::Stderr(bytes) => err.push_str(&String::from_utf8_lossy(&bytes)),
                other => last = Some(other),
            }
        }
        (out, err, last)
    }
}

pub(crate) fn command(words: &[&str]) -> ExecTask {
    ExecTask {
        command: words.iter().map(|w| (*w).to_owned()).collect(),
        tty: false,
        stdin: false,
        user: None,
        workdir: None,
        env: BTreeMap::new(),
        size: None,
    }
}
