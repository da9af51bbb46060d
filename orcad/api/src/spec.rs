//! What a task is: the document that people write, on the command line, in a TOML file or as JSON.
//!
//! The keys of a file are the names of the flags with `_` for `-`. Unknown keys are refused everywhere,
//! also by a worker that is older than its manager: to run a task without the part that one does not
//! understand would be worse than not to run it.
//!
//! [`TaskSpec::check`] holds what no single field can say; a spec that was read and checked is valid.

mod health;
mod mount;
mod wish;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::health::{HealthCheck, HttpCheck};
pub use self::mount::{Mount, MountSource, Tmpfs};
pub use self::wish::{DATA_CENTER_BYTES_MAX, Preference, SINGLETON_WAIT_MAX, WEIGHT_MAX, WISHES_MAX};
pub use crate::image::ImageRef;
use crate::name::Name;
use crate::units::{Bytes, Cpu, Span};

/// The most environment variables, labels, mounts, ports … of each kind in a spec.
pub const ITEMS_MAX: usize = 1000;
/// The longest value of one environment variable in bytes (the kernel's limit for one string).
pub const ENV_BYTES_MAX: usize = 128 * 1024;
/// The largest spec in bytes, as JSON.
pub const SPEC_BYTES_MAX: usize = 1024 * 1024;
/// The longest stop grace.
pub const STOP_GRACE_MAX: Span = Span::from_secs(300);
/// The stop grace where none is given.
pub const STOP_GRACE_DEFAULT: Span = Span::from_secs(10);

macro_rules! text_serde {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_serde;

/// A task's spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// The image to run, as in `docker run`: `nginx`, `ghcr.io/a/b:1.2`, `x@sha256:…`.
    #[schema(value_type = String, example = "nginx:1.27")]
    pub image: ImageRef,
    /// Arguments for the image's entrypoint (Docker's CMD).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Environment variables. They are shown to whoever may read specs: no place for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Working folder in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// User (and group) in the container, `name`, `uid` or `uid:gid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Host name in the container; the task's name where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Labels of the container; `orca.` is reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Published ports, as in `docker run -p`: `8080:80`, `127.0.0.1:53:53/udp`, `80` (a free host port).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, example = json!(["8080:80"]))]
    pub ports: Vec<Port>,
    /// Bind mounts and volumes, as in `docker run -v`: `/srv/data:/data:ro`, `data:/var/lib/x`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, example = json!(["data:/var/lib/x"]))]
    pub mounts: Vec<Mount>,
    /// tmpfs mounts: `/run`, `/tmp:size=64m`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, example = json!(["/tmp:size=64m"]))]
    pub tmpfs: Vec<Tmpfs>,
    /// CPU limit: what the kernel enforces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, example = 0.5)]
    pub cpus: Option<Cpu>,
    /// Memory limit: what the kernel enforces; swap is not added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "256MiB")]
    pub memory: Option<Bytes>,
    /// CPU reservation: what scheduling counts; the limit where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub reserve_cpus: Option<Cpu>,
    /// Memory reservation: what scheduling counts; the limit where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reserve_memory: Option<Bytes>,
    /// Disk that scheduling counts against the engine's data file system. It is not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub disk: Option<Bytes>,
    /// The most processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// What happens when the task ends by itself.
    #[serde(default)]
    #[schema(value_type = String, example = "on-failure:5")]
    pub restart: Restart,
    /// When the image is pulled.
    #[serde(default)]
    pub pull: Pull,
    /// The signal that asks the task to end; the image's own (or TERM) where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "SIGTERM")]
    pub stop_signal: Option<Signal>,
    /// How long a stop waits before it kills; at most 5 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10s")]
    pub stop_grace: Option<Span>,
    /// Run an init process as PID 1 that reaps children and passes signals on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub init: bool,
    /// The container's own file system is read only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Processes may gain privileges through setuid programs (off: `no-new-privileges` is set).
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_new_privileges: bool,
    /// Every capability and every device: root on the node in all but name.
    #[serde(default, skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// Capabilities to add, `NET_ADMIN` or `ALL`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities to drop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Devices of the host, as in `docker run --device`: `/dev/kvm`, `/dev/x:/dev/y:rw`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Lines of the container's hosts file, as in `docker run --add-host`: `db:10.0.0.5`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Network: `bridge` (the default), `host`, `none`, or the name of a network of the node's engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// How it is found out whether the task is well; the image's own check where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Log driver; orca's own choice where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<String>,
    /// Options of the log driver.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_opt: BTreeMap<String, String>,
    /// How the scheduler picks among the nodes that fit; the cluster's setting where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// What a node must be: `disk == ssd`, `rack in a,b`, `node.arch == amd64`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// Data centres that it may run in; all of them where none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["fra1"]))]
    pub data_centers: Vec<String>,
    /// Towards nodes for which a rule is true, or away from them, with a weight from -100 to 100: `disk == ssd: 50`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["disk == ssd: 50", "node.name == n3: -100"]))]
    pub preferences: Vec<String>,
    /// Never two at once: it ends where its manager cannot be reached, and a silent node is waited for before it is
    /// replaced. That holds while orcad runs on the node.
    #[serde(default, skip_serializing_if = "is_false")]
    pub singleton: bool,
    /// How long a singleton's silent node is waited for before the task is placed elsewhere; for ever where none is
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "2m")]
    pub singleton_wait: Option<Span>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A file that `task start -f` reads: a spec and, maybe, its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFile {
    /// The task's name.
    pub name: Option<Name>,
    /// Its spec.
    pub spec: TaskSpec,
}

/// How the best node is chosen among those that fit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Smallest rise of the exponential cost of the node's resources (Amir et al., 2000).
    #[default]
    Epvm,
    /// Fewest tasks.
    Spread,
    /// Fullest node that fits.
    Binpack,
    /// First node that fits, in the order of their ids.
    Greedy,
    /// One node after the other.
    RoundRobin,
}

impl Algorithm {
    /// All of them, in the order of the docs.
    pub const ALL: [Self; 5] = [Self::Epvm, Self::Spread, Self::Binpack, Self::Greedy, Self::RoundRobin];

    /// As written in files and flags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Epvm => "epvm",
            Self::Spread => "spread",
            Self::Binpack => "binpack",
            Self::Greedy => "greedy",
            Self::RoundRobin => "round_robin",
        }
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// Only when the node does not have it.
    #[default]
    Missing,
    /// Before every attempt.
    Always,
    /// Never: the node must have it.
    Never,
}

/// A field of a spec that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SpecError {
    /// The field, `env.PATH` or `ports[2]`.
    pub path: String,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// SHA-256 of a value's JSON text, in hexadecimal.
pub(crate) fn digest_of(value: &impl Serialize) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;
    let text = serde_json::to_vec(value).unwrap_or_default();
    sha2::Sha256::digest(&text).iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn wrong(path: impl Into<String>, message: impl Into<String>) -> SpecError {
    SpecError { path: path.into(), message: message.into() }
}

impl TaskSpec {
    /// A spec with an image and nothing else.
    pub fn of_image(image: ImageRef) -> Self {
        Self {
            image,
            command: Vec::new(),
            entrypoint: Vec::new(),
            env: BTreeMap::new(),
            workdir: None,
            user: None,
            hostname: None,
            labels: BTreeMap::new(),
            ports: Vec::new(),
            mounts: Vec::new(),
            tmpfs: Vec::new(),
            cpus: None,
            memory: None,
            reserve_cpus: None,
            reserve_memory: None,
            disk: None,
            pids: None,
            restart: Restart::default(),
            pull: Pull::default(),
            stop_signal: None,
            stop_grace: None,
            init: false,
            read_only: false,
            allow_new_privileges: false,
            privileged: false,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            devices: Vec::new(),
            dns: Vec::new(),
            hosts: Vec::new(),
            network: None,
            health: None,
            log_driver: None,
            log_opt: BTreeMap::new(),
            algorithm: None,
            constraints: Vec::new(),
            data_centers: Vec::new(),
            preferences: Vec::new(),
            singleton: false,
            singleton_wait: None,
        }
    }

    /// CPU that scheduling counts.
    pub fn cpu_reservation(&self) -> Cpu {
        self.reserve_cpus.or(self.cpus).unwrap_or(Cpu::ZERO)
    }

    /// Memory that scheduling counts.
    pub fn memory_reservation(&self) -> Bytes {
        self.reserve_memory.or(self.memory).unwrap_or(Bytes::ZERO)
    }

    /// Disk that scheduling counts.
    pub fn disk_reservation(&self) -> Bytes {
        self.disk.unwrap_or(Bytes::ZERO)
    }

    /// How long a stop waits before it kills.
    pub fn grace(&self) -> Span {
        self.stop_grace.unwrap_or(STOP_GRACE_DEFAULT)
    }

    /// The digest that tells two specs apart: SHA-256 of the JSON text, in hexadecimal.
    pub fn digest(&self) -> String {
        digest_of(self)
    }

    /// Everything that is wrong with it, in the order of its fields; empty when it is valid.
    pub fn check(&self) -> Vec<SpecError> {
        let mut found = Vec::new();
        check_texts("command", &self.command, &mut found);
        check_texts("entrypoint", &self.entrypoint, &mut found);
        check_env(&self.env, &mut found);
        for (name, value) in [("workdir", &self.workdir), ("user", &self.user), ("hostname", &self.hostname)]
        {
            if let Some(text) = value
                && (text.is_empty() || text.len() > 4096 || text.contains(char::is_control))
            {
                found.push(wrong(name, "must be 1 to 4096 bytes without control characters"));
            }
        }
        if let Some(workdir) = &self.workdir
            && !workdir.starts_with('/')
        {
            found.push(wrong("workdir", format!("must be an absolute path, not `{workdir}`")));
        }
        if self.labels.len() > ITEMS_MAX {
            found.push(wrong("labels", format!("at most {ITEMS_MAX}")));
        }
        for (key, value) in &self.labels {
            if key.is_empty() || key.len() > 256 || key.contains(|c: char| c.is_control() || c == '=') {
                found.push(wrong(
                    format!("labels.{}", short(key)),
                    "a label's name has 1 to 256 bytes, without `=`",
                ));
            } else if key.starts_with("orca.") || key.starts_with("com.docker.") {
                found.push(wrong(
                    format!("labels.{}", short(key)),
                    "names that begin with `orca.` or `com.docker.` are reserved",
                ));
            }
            if value.len() > 4096 || value.contains('\0') {
                found.push(wrong(format!("labels.{}", short(key)), "a label's value has at most 4096 bytes"));
            }
        }
        self.check_ports(&mut found);
        self.check_mounts(&mut found);
        self.check_resources(&mut found);
        if let Some(grace) = self.stop_grace
            && grace > STOP_GRACE_MAX
        {
            found.push(wrong("stop_grace", format!("at most {STOP_GRACE_MAX}, not {grace}")));
        }
        for (field, caps) in [("cap_add", &self.cap_add), ("cap_drop", &self.cap_drop)] {
            for (i, cap) in caps.iter().enumerate() {
                if cap.is_empty()
                    || cap.len() > 64
                    || !cap.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
                {
                    found.push(wrong(
                        format!("{field}[{i}]"),
                        "a capability is written like NET_ADMIN, or ALL",
                    ));
                }
            }
        }
        for (i, device) in self.devices.iter().enumerate() {
            if !device.starts_with("/dev/")
                || device.contains(char::is_control)
                || device.contains("..")
                || device.len() > 4096
            {
                found.push(wrong(
                    format!("devices[{i}]"),
                    "a device is written like /dev/kvm or /dev/a:/dev/b:rw",
                ));
            }
        }
        for (i, server) in self.dns.iter().enumerate() {
            if server.parse::<std::net::IpAddr>().is_err() {
                found.push(wrong(format!("dns[{i}]"), format!("`{}` is not an IP address", short(server))));
            }
        }
        for (i, line) in self.hosts.iter().enumerate() {
            let good = line.split_once(':').is_some_and(|(name, address)| {
                !name.is_empty() && (address == "host-gateway" || address.parse::<std::net::IpAddr>().is_ok())
            });
            if !good {
                found.push(wrong(format!("hosts[{i}]"), "write NAME:ADDRESS, such as db:10.0.0.5"));
            }
        }
        if let Some(network) = &self.network {
            let word = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
            if network.is_empty() || network.len() > 128 || !network.bytes().all(word) {
                found.push(wrong("network", "write bridge, host, none, or the name of a network (containers' networks cannot be joined)"));
            } else if network == "host" && !self.ports.is_empty() {
                found.push(wrong(
                    "ports",
                    "with network `host` the process listens on the node itself: leave `ports` out",
                ));
            }
        }
        if let Some(health) = &self.health {
            health.check(&mut found);
        }
        for (key, value) in &self.log_opt {
            if key.is_empty() || key.len() > 128 || value.len() > 4096 || value.contains('\0') {
                found.push(wrong(
                    format!("log_opt.{}", short(key)),
                    "a name of 1 to 128 and a value of at most 4096 bytes",
                ));
            }
        }
        if let Some(driver) = &self.log_driver
            && (driver.is_empty()
                || driver.len() > 128
                || driver.contains(|c: char| c.is_control() || c == ' '))
        {
            found.push(wrong(
                "log_driver",
                "the name of a log driver of the engine, such as local or journald",
            ));
        }
        for (i, text) in self.constraints.iter().enumerate() {
            if let Err(message) = text.parse::<Constraint>() {
                found.push(wrong(format!("constraints[{i}]"), message.to_string()));
            }
        }
        self.check_wishes(&mut found);
        found
    }

    fn check_ports(&self, found: &mut Vec<SpecError>) {
        if self.ports.len() > ITEMS_MAX {
            found.push(wrong("ports", format!("at most {ITEMS_MAX}")));
        }
        for (i, port) in self.ports.iter().enumerate() {
            if self.ports[..i].iter().any(|other| other.clashes(port)) {
                found.push(wrong(
                    format!("ports[{i}]"),
                    format!("host port {} is published twice", port.host.unwrap_or(0)),
                ));
            }
        }
    }

    fn check_mounts(&self, found: &mut Vec<SpecError>) {
        if self.mounts.len() > ITEMS_MAX || self.tmpfs.len() > ITEMS_MAX {
            found.push(wrong("mounts", format!("at most {ITEMS_MAX}")));
        }
        let mut targets: Vec<&str> = Vec::new();
        let all = self
            .mounts
            .iter()
            .map(|m| ("mounts", m.target.as_str()))
            .chain(self.tmpfs.iter().map(|t| ("tmpfs", t.target.as_str())));
        for (field, target) in all {
            if targets.contains(&target) {
                found.push(wrong(field, format!("two mounts at `{target}`")));
            }
            targets.push(target);
        }
    }

    fn check_resources(&self, found: &mut Vec<SpecError>) {
        if let Some(memory) = self.memory
            && memory < Bytes::mib(6)
        {
            found.push(wrong("memory", "the engine accepts no limit below 6 MiB"));
        }
        if self.cpus == Some(Cpu::ZERO) {
            found.push(wrong("cpus", "a limit of 0 would mean none: leave it out"));
        }
        if let (Some(reserve), Some(limit)) = (self.reserve_memory, self.memory)
            && reserve > limit
        {
            found.push(wrong(
                "reserve_memory",
                format!("{reserve} is more than the limit `memory` ({limit})"),
            ));
        }
        if let (Some(reserve), Some(limit)) = (self.reserve_cpus, self.cpus)
            && reserve > limit
        {
            found.push(wrong("reserve_cpus", format!("{reserve} is more than the limit `cpus` ({limit})")));
        }
        if self.pids == Some(0) {
            found.push(wrong("pids", "at least 1"));
        }
    }
}

pub(crate) fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

fn check_texts(field: &str, texts: &[String], found: &mut Vec<SpecError>) {
    if texts.len() > ITEMS_MAX {
        found.push(wrong(field, format!("at most {ITEMS_MAX} arguments")));
    }
    for (i, text) in texts.iter().enumerate() {
        if text.contains('\0') || text.len() > ENV_BYTES_MAX {
            found.push(wrong(format!("{field}[{i}]"), "an argument has at most 128 KiB and no NUL"));
        }
    }
}

fn check_env(env: &BTreeMap<String, String>, found: &mut Vec<SpecError>) {
    if env.len() > ITEMS_MAX {
        found.push(wrong("env", format!("at most {ITEMS_MAX} variables")));
    }
    let mut all = 0usize;
    for (name, value) in env {
        let path = || format!("env.{}", short(name));
        let mut bytes = name.bytes();
        let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !begins || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.len() > 256 {
            found.push(wrong(
                path(),
                "a variable's name is made of letters, digits and `_` and does not begin with a digit",
            ));
        }
        if value.contains('\0') {
            found.push(wrong(path(), "a value cannot hold NUL"));
        }
        if value.len() > ENV_BYTES_MAX {
            found.push(wrong(
                path(),
                format!("a value has at most 128 KiB, this one has {} bytes", value.len()),
            ));
        }
        all = all.saturating_add(name.len()).saturating_add(value.len());
    }
    if all > SPEC_BYTES_MAX {
        found.push(wrong("env", "all variables together have at most 1 MiB"));
    }
}

/// A text that is not what its field wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(pub String);

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// As written: `tcp`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The address of the node; all of them where none is given.
    pub address: Option<std::net::IpAddr>,
    /// The node's port; `None` is a free one, chosen by the engine.
    pub host: Option<u16>,
    /// The container's port.
    pub container: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl Port {
    /// Whether both cannot be published on one node.
    pub fn clashes(&self, other: &Self) -> bool {
        let overlap = match (self.address, other.address) {
            (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            _ => true,
        };
        self.host.is_some() && self.host == other.host && self.protocol == other.protocol && overlap
    }
}

impl FromStr for Port {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let bad = |why: &str| {
            FieldError(format!(
                "`{}` is not a port: {why}; write HOST:CONTAINER, ADDRESS:HOST:CONTAINER or CONTAINER, with /udp where it is not TCP",
                short(text)
            ))
        };
        let (rest, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((rest, "tcp")) => (rest, Protocol::Tcp),
            Some((rest, "udp")) => (rest, Protocol::Udp),
            Some((rest, "sctp")) => (rest, Protocol::Sctp),
            Some(_) => return Err(bad("the protocol is tcp, udp or sctp")),
        };
        let number = |t: &str| {
            if t.is_empty() || t.len() > 5 || !t.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad("ports are numbers from 1 to 65535 (ranges are not supported)"));
            }
            t.parse::<u16>().ok().filter(|n| *n > 0).ok_or_else(|| bad("ports are numbers from 1 to 65535"))
        };
        let (front, container) = match rest.rsplit_once(':') {
            None => (None, number(rest)?),
            Some((front, container)) => (Some(front), number(container)?),
        };
        let Some(front) = front else {
            return Ok(Self { address: None, host: None, container, protocol });
        };
        let (address, host) = match front.rsplit_once(':') {
            Some((address, host)) => {
                let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
                (Some(bare.parse().map_err(|_| bad("the address is not an IP address"))?), host)
            }
            None => (None, front),
        };
        let host = if host.is_empty() || host == "0" { None } else { Some(number(host)?) };
        Ok(Self { address, host, container, protocol })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(std::net::IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        match self.host {
            Some(host) => write!(f, "{host}:")?,
            None if self.address.is_some() => f.write_str(":")?,
            None => {}
        }
        write!(f, "{}", self.container)?;
        if self.protocol == Protocol::Tcp { Ok(()) } else { write!(f, "/{}", self.protocol.as_str()) }
    }
}
text_serde!(Port);

/// When a task that ended by itself is started again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// Whatever its exit code.
    Always,
    /// Unless it exited with 0.
    #[default]
    OnFailure,
    /// Not at all.
    Never,
}

/// The restart policy, written `always`, `on-failure`, `on-failure:5` or `never`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Restart {
    /// When.
    pub condition: RestartCondition,
    /// How often at most, counted since the last 10 healthy minutes; `None` is without end.
    pub max: Option<u32>,
}

impl FromStr for Restart {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let bad = || {
            FieldError(format!(
                "`{}` is not a restart policy: write always, on-failure, on-failure:5 or never",
                short(text)
            ))
        };
        let (word, max) = match text.split_once(':') {
            None => (text, None),
            Some((word, n)) => {
                (word, Some(n.parse::<u32>().ok().filter(|n| (1..=100_000).contains(n)).ok_or_else(bad)?))
            }
        };
        let condition = match word {
            "always" | "unless-stopped" if max.is_none() => RestartCondition::Always,
            "on-failure" => RestartCondition::OnFailure,
            "never" | "no" if max.is_none() => RestartCondition::Never,
            _ => return Err(bad()),
        };
        Ok(Self { condition, max })
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.condition {
            RestartCondition::Always => "always",
            RestartCondition::OnFailure => "on-failure",
            RestartCondition::Never => "never",
        };
        match self.max {
            None => f.write_str(word),
            Some(max) => write!(f, "{word}:{max}"),
        }
    }
}
text_serde!(Restart);

/// A signal by name: `SIGTERM`, also read from `TERM` and `15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// Linux's signals on x86-64 and arm64, by number − 1 (signal(7)).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl Signal {
    /// TERM.
    pub const TERM: Self = Self(15);
    /// KILL.
    pub const KILL: Self = Self(9);
    /// By its number, 1 to 31.
    pub fn from_number(number: u8) -> Option<Self> {
        (1..=31).contains(&number).then_some(Self(number))
    }
    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let word = text.strip_prefix("SIG").unwrap_or(text);
        let by_name = SIGNALS.iter().position(|s| *s == word).and_then(|i| u8::try_from(i + 1).ok());
        by_name.or_else(|| text.parse().ok()).and_then(Self::from_number).ok_or_else(|| {
            FieldError(format!("`{}` is not a signal: write SIGTERM, TERM or 15", short(text)))
        })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{}", SIGNALS[usize::from(self.0) - 1])
    }
}
text_serde!(Signal);

/// How a constraint compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`; true where the label is missing.
    NotEqual,
    /// `in a,b`
    In,
    /// `not in a,b`
    NotIn,
    /// `<`, as numbers where both are, else as versions.
    Less,
    /// `>`, likewise.
    Greater,
    /// `exists`
    Exists,
}

/// What a node must be: a label or built-in attribute (`node.name`, `node.arch`, …), a comparison, values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constraint {
    /// The label or attribute.
    pub key: String,
    /// How it compares.
    pub comparison: Comparison,
    /// With what; one for `==`, `!=`, `<`, `>`, none for `exists`.
    pub values: Vec<String>,
}

impl FromStr for Constraint {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let bad = || {
            FieldError(format!(
                "`{}` is not a constraint: write `disk == ssd`, `rack in a,b`, `kernel > 6.1` or `gpu exists`",
                short(text)
            ))
        };
        if text.len() > 1024 || text.contains(char::is_control) {
            return Err(bad());
        }
        let make = |key: &str, comparison, values: Vec<&str>| {
            let key = key.trim();
            let word = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
            let values: Vec<String> = values.into_iter().map(|v| v.trim().to_owned()).collect();
            if key.is_empty() || !key.bytes().all(word) || values.iter().any(String::is_empty) {
                return Err(bad());
            }
            Ok(Self { key: key.to_owned(), comparison, values })
        };
        for (sign, comparison) in [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ] {
            if let Some((key, value)) = text.split_once(sign) {
                return make(key, comparison, vec![value]);
            }
        }
        if let Some((key, values)) = text.split_once(" not in ") {
            return make(key, Comparison::NotIn, values.split(',').collect());
        }
        if let Some((key, values)) = text.split_once(" in ") {
            return make(key, Comparison::In, values.split(',').collect());
        }
        if let Some(key) = text.strip_suffix(" exists") {
            return make(key, Comparison::Exists, Vec::new());
        }
        Err(bad())
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        let key = &self.key;
        match self.comparison {
            Comparison::Equal => write!(f, "{key} == {values}"),
            Comparison::NotEqual => write!(f, "{key} != {values}"),
            Comparison::In => write!(f, "{key} in {values}"),
            Comparison::NotIn => write!(f, "{key} not in {values}"),
            Comparison::Less => write!(f, "{key} < {values}"),
            Comparison::Greater => write!(f, "{key} > {values}"),
            Comparison::Exists => write!(f, "{key} exists"),
        }
    }
}

#[cfg(test)]
mod tests;
