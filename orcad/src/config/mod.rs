//! The configuration: where it comes from, what it may say, and what is in force.
//!
//! ```text
//!   defaults ◄─ /etc/orcad.toml ◄─ /etc/orcad.toml.d/*.toml ◄─ ORCA_* ◄─ flags        the last value wins
//!       │              │ file.rs: read, refuse what anybody may write, walk                │
//!       └──────────────┴──► keys.rs: one table of all keys ──► check.rs: ranges ──► Config ┘
//! ```
//!
//! [`KEYS`] is the only list of keys: reading, `orcad config show`, the environment and the tests of the packaged file
//! and the manual page all go through it. Everything is checked before anything is opened, and **all** mistakes of all
//! files are told at once ([`ConfigErrors`]), each with its line, column and the nearest name that would be right.
//!
//! Nothing in here opens a socket, a store or a log.

mod check;
mod command;
mod error;
mod file;
mod keys;
mod origin;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use orca_api::name::Name;
use orca_api::node::Role;
use orca_api::units::{Bytes, Cpu, Span};
use serde::{Deserialize, Serialize};

pub use self::check::Share;
pub use self::command::{check_command, show_command};
pub use self::error::{ConfigError, ConfigErrors};
pub use self::keys::{KEYS, Key, Kind, Takes};
pub use self::origin::{Loaded, Origin};

use crate::args::Args;

/// The first file that is read; it need not exist.
pub const FILE: &str = "/etc/orcad.toml";
/// The folder whose `*.toml` are read after [`FILE`], in the order of their names; it need not exist.
pub const FOLDER: &str = "/etc/orcad.toml.d";

/// What is in force. A value of this type has passed every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The node's name; `None`: the host name.
    pub node_name: Option<Name>,
    /// What this node does; never empty.
    pub roles: Vec<Role>,
    /// The data centre it stands in; a valid name.
    pub data_center: String,
    /// Words about it that constraints may ask for; at most 64.
    pub labels: BTreeMap<String, String>,
    /// The token of the cluster to join at the first start.
    pub join: Option<String>,
    /// A file that holds it.
    pub join_file: Option<PathBuf>,
    /// Where identity and state are kept; absolute.
    pub state_dir: PathBuf,
    /// The control socket where none is handed over; absolute, at most 107 bytes.
    pub socket: PathBuf,
    /// What is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
    /// The engine.
    pub docker: DockerConfig,
    /// What is kept for the system.
    pub reserve: Reserve,
    /// The measurements.
    pub metrics: MetricsConfig,
}

/// The engine and what is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DockerConfig {
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Pulls at once, 1 to 32.
    pub parallel_pulls: u32,
    /// Containers created, started or removed at once, 1 to 64. The default is from `tests/bench/twenty.sh`, seen on one machine
    /// with two cores that had other work: eight were quicker than four, and twenty no quicker than eight, for orca and for a
    /// bare client alike. More cores were not measured.
    pub parallel_starts: u32,
    /// A pull without progress for this long is given up; 1 s to 1 h.
    pub pull_stall: Span,
    /// Registry credentials in Docker's own format; the file need not exist.
    pub registry_config: PathBuf,
    /// Where tasks' output goes.
    pub log_driver: LogDriver,
}

/// What is kept for the system and not given to tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Reserve {
    /// CPUs.
    pub cpus: Cpu,
    /// Memory, of the machine's.
    pub memory: Share,
    /// Disk, of the file system of the engine's data.
    pub disk: Share,
}

/// The measurements of the machine and its tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsConfig {
    /// How often, 1 s to 1 min.
    pub period: Span,
    /// Where `/proc` is.
    pub proc_root: PathBuf,
    /// Where `/sys` is.
    pub sys_root: PathBuf,
}

/// What is logged: this and everything more serious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// What an operator wants to read.
    Info,
    /// What a developer wants to read.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As written, and as `tracing` reads it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// The journal under systemd, text elsewhere.
    Auto,
    /// Lines for people, on stderr.
    Text,
    /// One JSON object a line, on stderr.
    Json,
    /// The journal, with fields.
    Journal,
}

/// Where the output of tasks goes that say nothing themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogDriver {
    /// The journal where it is kept on disk, `local` elsewhere.
    Auto,
    /// Files of the engine, 3 of 10 MiB each.
    Local,
    /// The journal.
    Journald,
}

impl Default for Config {
    /// What holds where nobody says otherwise.
    fn default() -> Self {
        Self {
            node_name: None,
            roles: vec![Role::Manager, Role::Worker],
            data_center: "default".to_owned(),
            labels: BTreeMap::new(),
            join: None,
            join_file: None,
            state_dir: "/var/lib/orca".into(),
            socket: "/run/orca/orca.sock".into(),
            log_level: LogLevel::Info,
            log_format: LogFormat::Auto,
            docker: DockerConfig {
                socket: "/run/docker.sock".into(),
                parallel_pulls: 3,
                parallel_starts: 8,
                pull_stall: Span::from_secs(60),
                registry_config: "/etc/orca/docker-config.json".into(),
                log_driver: LogDriver::Auto,
            },
            reserve: Reserve {
                cpus: Cpu::ZERO,
                memory: Share::new(Bytes::mib(256), 50),
                disk: Share::new(Bytes::ZERO, 0),
            },
            metrics: MetricsConfig {
                period: Span::from_secs(5),
                proc_root: "/proc".into(),
                sys_root: "/sys".into(),
            },
        }
    }
}

/// Reads and checks everything: files, environment, flags.
///
/// # Errors
/// All mistakes at once. The daemon exits with 78; a reload keeps what is in force.
pub fn load(args: &Args, env: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    load_with_origins(args, env).map(|loaded| loaded.config)
}

/// As [`load`], and says where each value comes from.
///
/// # Errors
/// All mistakes at once.
pub fn load_with_origins(args: &Args, env: impl Fn(&str) -> Option<String>) -> Result<Loaded, ConfigErrors> {
    let files = match &args.config {
        Some(file) => file::Files::Named(vec![file.clone()]),
        None => file::Files::Standard { file: FILE.into(), folder: FOLDER.into() },
    };
    origin::load(&files, args, &env)
}

/// Reads and checks the text of one file over the defaults; messages call it `place`.
///
/// # Errors
/// All mistakes at once.
pub fn load_text(place: &str, text: &str) -> Result<Config, ConfigErrors> {
    let text = file::Text { path: place.into(), text: text.into() };
    origin::lay(&[text], Vec::new(), &Args::default(), &|_| None).map(|loaded| loaded.config)
}

/// A key whose value differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key, `docker.socket`.
    pub key: &'static str,
    /// Whether the new value is taken at once or with the next start.
    pub takes: Takes,
}

/// What a reload would change.
pub fn diff(old: &Config, new: &Config) -> Vec<Changed> {
    KEYS.iter()
        .filter(|key| key.get(old) != key.get(new))
        .map(|key| Changed { key: key.name, takes: key.takes })
        .collect()
}
