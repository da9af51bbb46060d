//! What the engine holds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::behaviour::{Behaviour, RegistryImage};
use super::container::Container;
use super::exec::Exec;

/// Faults that are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// No call is answered until this is off again.
    pub hang: bool,
    /// Calls whose path ends so are not answered until this is off again.
    pub hang_path: Option<String>,
    /// Events are lost.
    pub drop_events: bool,
    /// Calls whose path ends so fail with 500 and a text.
    pub fail_path: Option<(String, String)>,
    /// Each answer comes so much later.
    pub delay: Duration,
    /// A frame of unknown kind stands in the output of containers.
    pub damaged_logs: bool,
    /// Who follows the output of a container that ends does not get its last message.
    pub lose_last_words: bool,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Method.
    pub method: String,
    /// The minor API version in its path, if any.
    pub api: Option<u32>,
    /// Path without version and query.
    pub path: String,
    /// Query, as sent.
    pub query: String,
}

/// An image of the node.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) id: String,
    pub(crate) behaviour: Behaviour,
}

pub(crate) struct State {
    pub(crate) containers: Vec<Container>,
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) registry: BTreeMap<String, RegistryImage>,
    pub(crate) execs: BTreeMap<String, Exec>,
    pub(crate) resizes: Vec<(u16, u16)>,
    pub(crate) calls: Vec<Call>,
    pub(crate) faults: Faults,
    pub(crate) life: u64,
    pub(crate) live_restore: bool,
    pub(crate) api_newest: u32,
    pub(crate) connections: usize,
    /// Pulls that are under way.
    pub(crate) pulls: usize,
    /// The last events: what the engine replays to who asks for earlier ones.
    pub(crate) past_events: std::collections::VecDeque<Value>,
    counter: u64,
}

/// Events that the engine keeps (moby daemon/events/events.go, `eventsLimit`).
const EVENTS_KEPT: usize = 256;

/// The oldest API that it accepts, as Docker 28 has it.
pub(crate) const API_OLDEST: u32 = 24;

impl State {
    pub(crate) fn new() -> Self {
        Self {
            containers: Vec::new(),
            images: BTreeMap::new(),
            registry: BTreeMap::new(),
            execs: BTreeMap::new(),
            resizes: Vec::new(),
            calls: Vec::new(),
            faults: Faults::default(),
            life: 1,
            live_restore: false,
            api_newest: 41,
            connections: 0,
            pulls: 0,
            past_events: std::collections::VecDeque::new(),
            counter: 0,
        }
    }

    pub(crate) fn remember(&mut self, event: Value) {
        self.past_events.push_back(event);
        if self.past_events.len() > EVENTS_KEPT {
            self.past_events.pop_front();
        }
    }

    /// A fresh number.
    pub(crate) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(crate) fn add_image(&mut self, name: &str, behaviour: Behaviour) {
        let id = format!("sha256:{:064x}", self.next());
        self.images.insert(full_name(name), Image { id, behaviour });
    }

    /// An image by its name or id.
    pub(crate) fn image(&self, name: &str) -> Option<&Image> {
        self.images.get(&full_name(name)).or_else(|| self.images.values().find(|image| image.id == name))
    }

    /// A container by its name or id.
    pub(crate) fn find(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.id == name || c.name == name)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|c| c.id == name || c.name == name)
    }

    pub(crate) fn version(&self) -> Value {
        json!({"Version": "20.10.24", "ApiVersion": format!("1.{}", self.api_newest), "MinAPIVersion": format!("1.{API_OLDEST}"), "Os": "linux", "Arch": "amd64"})
    }

    pub(crate) fn info(&self) -> Value {
        json!({
            "ID": "FAKE", "ServerVersion": "20.10.24", "Driver": "overlay2", "DockerRootDir": "/var/lib/docker",
            "CgroupDriver": "systemd", "CgroupVersion": "2", "SwapLimit": true, "LiveRestoreEnabled": self.live_restore,
            "Plugins": {"Log": ["json-file", "local", "journald"]},
        })
    }

    /// The default network: made anew by each life of the engine.
    pub(crate) fn network(&self) -> Value {
        json!({"Name": "bridge", "Id": "0", "Created": format!("2026-11-24T10:00:{:02}Z", self.life % 60), "Driver": "bridge"})
    }
}

/// `busybox:local` → `docker.io/library/busybox:local`.
pub(crate) fn full_name(name: &str) -> String {
    name.parse::<orca_api::spec::ImageRef>().map_or_else(|_| name.to_owned(), |image| image.full().to_owned())
}

pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
