//! A Docker engine that runs nothing: the routes that orca uses, over a real Unix socket, with containers in memory.
//!
//! ```text
//!   test ──► FakeEngine ─ images, registry, faults, what containers do ─► State ◄─ routes ◄─ HTTP ◄─ orca
//!                       ◄─ containers, calls ────────────────────────────┘
//! ```
//!
//! * What a container does is scripted by its image ([`Behaviour`]) or, through a whole daemon, by its environment
//!   ([`Behaviour::with_env`]).
//! * Faults are switched while it runs ([`Faults`]): hanging, refusing, failing and slow calls, lost events; a restart
//!   with and without live-restore; an API from 1.41 to 1.53.
//! * Every call is recorded with its API version, so a test can say what was not asked.

mod behaviour;
mod container;
mod exec;
mod http;
mod pull;
mod state;
mod streams;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinHandle, JoinSet};

pub use self::behaviour::{Behaviour, HealthStep, RegistryImage};
pub use self::container::{ContainerView, Status};
use self::state::State;
pub use self::state::{Call, Faults};

/// The engine.
pub struct FakeEngine {
    shared: Arc<Shared>,
    folder: tempfile::TempDir,
    server: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Rises with each change of anything: whoever waits looks again.
    changed: watch::Sender<u64>,
    /// Engine events as the engine writes them.
    events: broadcast::Sender<serde_json::Value>,
}

impl Shared {
    /// Looks at or alters the state, and wakes whoever waits.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let result = act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|n| *n += 1);
        result
    }

    /// Looks at the state.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until a look at the state gives something.
    pub(crate) async fn until<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = self.look(&look) {
                return found;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn publish(&self, event: serde_json::Value) {
        let told = self.with(|state| {
            let told = !state.faults.drop_events;
            if told {
                state.remember(event.clone());
            }
            told
        });
        if told {
            // Nobody listening is no error: events are hints.
            let _ = self.events.send(event);
        }
    }
}

impl FakeEngine {
    /// An engine in a fresh folder, with one image, `busybox:local`, whose containers run until they are stopped.
    pub fn start() -> Self {
        let folder =
            tempfile::Builder::new().prefix("orca-fake-").tempdir().expect("a folder for the socket");
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new()),
            changed: watch::Sender::new(0),
            events: broadcast::Sender::new(1024),
        });
        let engine = Self { shared, folder, server: Mutex::new(None) };
        engine.add_image("busybox:local", Behaviour::default());
        engine.listen();
        engine
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// A folder of its own, for files that a test needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A configuration for it, with deadlines that suit a test.
    pub fn config(&self) -> orcad::worker::docker::EngineConfig {
        orcad::worker::docker::EngineConfig {
            socket: self.socket(),
            pid_file: self.folder.path().join("docker.pid"),
            parallel_pulls: 3,
            parallel_starts: 8,
            pull_stall: Duration::from_millis(400),
            call_timeout: Duration::from_millis(500),
            kill_wait: Duration::from_millis(300),
            probe_period: Duration::from_millis(100),
            probe_timeout: Duration::from_millis(400),
            registry_config: self.folder.path().join("docker-config.json"),
            log: orcad::worker::docker::LogDefault::Local,
            journal: self.folder.path().join("journal"),
        }
    }

    /// Puts an image on the node.
    pub fn add_image(&self, name: &str, behaviour: Behaviour) {
        self.shared.with(|state| state.add_image(name, behaviour));
    }

    /// Removes an image from the node, as `docker image rm` would.
    pub fn remove_image(&self, name: &str) {
        self.shared.with(|state| state.images.remove(&state::full_name(name)));
    }

    /// Puts an image into the registry.
    pub fn add_registry_image(&self, name: &str, image: RegistryImage) {
        self.shared.with(|state| state.registry.insert(state::full_name(name), image));
    }

    /// Switches faults.
    pub fn faults(&self, switch: impl FnOnce(&mut Faults)) {
        self.shared.with(|state| switch(&mut state.faults));
    }

    /// Announces another newest API: 41 is 1.41. The oldest is 1.24.
    pub fn announce_api(&self, minor: u32) {
        self.shared.with(|state| state.api_newest = minor);
    }

    /// The calls so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.look(|state| state.calls.clone())
    }

    /// How many calls had this method and a path that ends so.
    pub fn count(&self, method: &str, path_end: &str) -> usize {
        self.shared.look(|state| {
            state.calls.iter().filter(|c| c.method == method && c.path.ends_with(path_end)).count()
        })
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.shared.with(|state| state.calls.clear());
    }

    /// Forgets what it keeps for tests without end: the calls so far, and the processes in containers that ended.
    pub fn forget(&self) {
        self.shared.with(|state| {
            state.calls = Vec::new();
            state.execs.retain(|_, exec| exec.is_running());
        });
    }

    /// The containers, by the order of their making.
    pub fn containers(&self) -> Vec<ContainerView> {
        self.shared.look(|state| state.containers.iter().map(container::Container::view).collect())
    }

    /// A container by its name or id.
    pub fn container(&self, name: &str) -> Option<ContainerView> {
        self.shared.look(|state| state.find(name).map(container::Container::view))
    }

    /// Makes a container that is not orca's, running.
    pub fn add_foreign(&self, name: &str, labels: &[(&str, &str)]) -> String {
        let body = serde_json::json!({
            "Image": "busybox:local",
            "Labels": labels.iter().map(|(k, v)| ((*k).to_owned(), serde_json::Value::from(*v))).collect::<serde_json::Map<_, _>>(),
        });
        let id = container::create(&self.shared, name, &body).expect("the name is free");
        container::start(&self.shared, &id).expect("busybox:local starts");
        id
    }

    /// Ends a container's process by itself.
    pub fn exit(&self, name: &str, code: i64) {
        container::end(&self.shared, name, code, false);
    }

    /// Ends a container's process as the kernel does when its memory limit is reached.
    pub fn oom(&self, name: &str) {
        container::end(&self.shared, name, 137, true);
    }

    /// Freezes a container.
    pub fn pause(&self, name: &str) {
        self.shared.with(|state| {
            if let Some(container) = state.find_mut(name) {
                container.status = Status::Paused;
            }
        });
    }

    /// Lets a container write a message to its standard output (1) or error (2).
    pub fn say(&self, name: &str, stream: u8, text: &str) {
        self.shared.with(|state| {
            if let Some(container) = state.find_mut(name) {
                container.say(stream, text);
            }
        });
    }

    /// Sets a container's health: `starting`, `healthy` or `unhealthy`.
    pub fn health(&self, name: &str, health: &str) {
        container::set_health(&self.shared, name, health);
    }

    /// Removes a container behind orca's back.
    pub fn destroy(&self, name: &str) {
        container::destroy(&self.shared, name);
    }

    /// The terminal sizes that were asked for, columns and rows.
    pub fn resizes(&self) -> Vec<(u16, u16)> {
        self.shared.look(|state| state.resizes.clone())
    }

    /// Pulls that are under way at present.
    pub fn pulls(&self) -> usize {
        self.shared.look(|state| state.pulls)
    }

    /// Connections that are open at present.
    pub fn connections(&self) -> usize {
        self.shared.look(|state| state.connections)
    }

    /// Goes away: nobody listens, every connection is cut.
    pub fn stop_listening(&self) {
        if let Some(server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            server.abort();
        }
        // Absent already where it was stopped before.
        let _ = std::fs::remove_file(self.socket());
    }

    /// Listens again.
    pub fn listen(&self) {
        self.stop_listening();
        let listener = UnixListener::bind(self.socket()).expect("the socket of a fresh folder");
        let shared = Arc::clone(&self.shared);
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(tokio::spawn(serve(listener, shared)));
    }

    /// Goes down as `kill -9` would: with `live_restore` containers live on, else they end with 137 when it is back.
    pub fn go_down(&self, live_restore: bool) {
        self.stop_listening();
        self.shared.with(|state| state.live_restore = live_restore);
    }

    /// Comes back after [`FakeEngine::go_down`], as another life.
    pub fn come_back(&self) {
        let running: Vec<String> = self.shared.with(|state| {
            state.life += 1;
            // The engine's memory of events does not outlive it.
            state.past_events.clear();
            let kept = state.live_restore;
            state.containers.iter().filter(|c| c.lives() && !kept).map(|c| c.id.clone()).collect()
        });
        for id in running {
            container::end(&self.shared, &id, 137, false);
        }
        self.listen();
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

/// Serves connections; they are cut when this ends.
async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(http::connection(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
