//! What this node is: the machine's figures, the engine's, and what the configuration says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use orca_api::link::NodeFacts;
use tokio::sync::watch;

use super::docker::Engine;
use crate::config::Config;
use crate::host;

/// Where the engine keeps its data as long as it has not said so.
const ENGINE_ROOT: &str = "/var/lib/docker";
/// How long a start waits for the engine to say what it is; later it is told when it comes up.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Keeps the facts current: who watches them says hello anew when one changes.
pub struct Keeper {
    facts: watch::Sender<NodeFacts>,
    engine_root: watch::Sender<PathBuf>,
    config: Config,
    engine: Engine,
}

impl Keeper {
    /// A keeper that has looked once, and waited a moment for the engine.
    pub async fn new(config: Config, engine: Engine) -> Self {
        let keeper = Self {
            facts: watch::Sender::new(NodeFacts::default()),
            engine_root: watch::Sender::new(PathBuf::from(ENGINE_ROOT)),
            config,
            engine,
        };
        if tokio::time::timeout(FIRST_LOOK, keeper.look()).await.is_err() {
            keeper.tell(keeper.machine(Path::new(ENGINE_ROOT)).await);
        }
        keeper
    }

    /// The facts, from now on.
    pub fn facts(&self) -> watch::Receiver<NodeFacts> {
        self.facts.subscribe()
    }

    /// The engine's data folder, from now on.
    pub fn engine_root(&self) -> watch::Receiver<PathBuf> {
        self.engine_root.subscribe()
    }

    /// Looks again. What the engine says is empty while it is away.
    pub async fn look(&self) {
        let engine = self.engine.facts().await;
        if !engine.data_root.as_os_str().is_empty() {
            self.engine_root.send_if_modified(|known| {
                *known != engine.data_root && {
                    known.clone_from(&engine.data_root);
                    true
                }
            });
        }
        let root = self.engine_root.borrow().clone();
        let mut facts = self.machine(&root).await;
        facts.engine = engine.version;
        facts.engine_api = engine.api;
        if engine.cgroup != 0 {
            facts.cgroup = engine.cgroup;
        }
        self.tell(facts);
    }

    async fn machine(&self, root: &Path) -> NodeFacts {
        let (config, root) = (self.config.clone(), root.to_owned());
        tokio::task::spawn_blocking(move || host::facts(&config, &root)).await.unwrap_or_default()
    }

    fn tell(&self, now: NodeFacts) {
        self.facts.send_if_modified(|known| {
            let changed = *known != now;
            if changed {
                *known = now;
            }
            changed
        });
    }
}
