//! The table of all keys: name, kind, words, and how each is read into and out of a [`Config`].

use orca_api::name::Name;
use orca_api::text::nearest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;

use super::check;
use super::{Config, Share};

/// How a value is written outside of TOML, in the environment and as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// As it is; a number in TOML.
    Number,
    /// `a,b,c`.
    List,
    /// `key=value,key=value`.
    Table,
}

/// When a changed value is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// At a reload.
    Reload,
    /// At the next start.
    Restart,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its name with its table, `docker.socket`.
    pub name: &'static str,
    /// How it is written outside of TOML.
    pub kind: Kind,
    /// When a changed value is taken.
    pub takes: Takes,
    /// What it is, in one line.
    pub doc: &'static str,
    set: fn(&mut Config, Value) -> Result<(), String>,
    get: fn(&Config) -> Option<Value>,
}

impl Key {
    /// By its whole name.
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The variable that sets it, `ORCA_DOCKER_SOCKET`.
    pub fn variable(&self) -> String {
        format!("ORCA_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Its value in a configuration; `None` where it is not set.
    pub fn get(&self, config: &Config) -> Option<Value> {
        (self.get)(config)
    }

    /// Reads and checks a value.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn set(&self, config: &mut Config, value: Value) -> Result<(), String> {
        (self.set)(config, value)
    }

    /// Reads and checks a value as it is written in the environment or as a flag.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn set_text(&self, config: &mut Config, text: &str) -> Result<(), String> {
        let value = match self.kind {
            Kind::Text => Value::String(text.to_owned()),
            Kind::Number => {
                text.trim().parse().map(Value::Integer).map_err(|_| format!("`{text}` is not a number"))?
            }
            Kind::List => words(text).map(|word| Value::String(word.to_owned())).collect::<Vec<_>>().into(),
            Kind::Table => Value::Table(
                words(text)
                    .map(|pair| match pair.split_once('=') {
                        Some((key, value)) => {
                            Ok((key.trim().to_owned(), Value::String(value.trim().to_owned())))
                        }
                        None => Err(format!("`{pair}` is not of the form key=value")),
                    })
                    .collect::<Result<_, _>>()?,
            ),
        };
        self.set(config, value)
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    value.try_into().map_err(|e: toml::de::Error| in_words(e.message()))
}

/// serde says ``unknown variant `a`, expected one of `b`, `c` ``.
fn in_words(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown variant `"), quoted.next()) {
        (true, Some(word)) => {
            let known: Vec<&str> = quoted.collect();
            match nearest(word, known.iter().copied()) {
                Some(near) => format!("`{word}` is none of {}: did you mean `{near}`?", known.join(", ")),
                None => format!("`{word}` is none of {}", known.join(", ")),
            }
        }
        _ => message.to_owned(),
    }
}

fn write<T: Serialize>(value: T) -> Option<Value> {
    Value::try_from(value).ok()
}

fn share(share: Share) -> Value {
    // 0 and plain amounts of bytes are as good a way to write them, but the text says the unit.
    Value::String(share.to_string())
}

/// Every key, in the order in which they are shown and documented.
pub static KEYS: &[Key] = &[
    Key {
        name: "node_name",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "The name of this node in the cluster; unset: the machine's host name.",
        set: |c, v| read(v).map(|v| c.node_name = Some(v)),
        get: |c| c.node_name.as_ref().and_then(write),
    },
    Key {
        name: "roles",
        kind: Kind::List,
        takes: Takes::Restart,
        doc: "What this node does: a manager decides what runs where, a worker runs tasks.",
        set: |c, v| check::roles(read(v)?).map(|v| c.roles = v),
        get: |c| write(&c.roles),
    },
    Key {
        name: "data_center",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "The data centre that this node stands in.",
        set: |c, v| read(v).map(|v: Name| c.data_center = v.to_string()),
        get: |c| write(&c.data_center),
    },
    Key {
        name: "labels",
        kind: Kind::Table,
        takes: Takes::Restart,
        doc: "Words about this node that a task's constraints may ask for.",
        set: |c, v| check::labels(read(v)?).map(|v| c.labels = v),
        get: |c| write(&c.labels),
    },
    Key {
        name: "join",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "The token of the cluster that this machine joins at its first start.",
        set: |c, v| check::token(read(v)?).map(|v| c.join = Some(v)),
        get: |c| c.join.as_ref().and_then(write),
    },
    Key {
        name: "join_file",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "A file that holds such a token.",
        set: |c, v| check::path(read(v)?).map(|v| c.join_file = Some(v)),
        get: |c| c.join_file.as_ref().and_then(write),
    },
    Key {
        name: "state_dir",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "Where the identity and the state are kept.",
        set: |c, v| check::path(read(v)?).map(|v| c.state_dir = v),
        get: |c| write(&c.state_dir),
    },
    Key {
        name: "socket",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "The control socket, where systemd does not hand one over.",
        set: |c, v| check::socket(read(v)?).map(|v| c.socket = v),
        get: |c| write(&c.socket),
    },
    Key {
        name: "log_level",
        kind: Kind::Text,
        takes: Takes::Reload,
        doc: "error, warn, info, debug or trace.",
        set: |c, v| read(v).map(|v| c.log_level = v),
        get: |c| write(c.log_level),
    },
    Key {
        name: "log_format",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "auto, text, json or journal; auto is journal under systemd and text elsewhere.",
        set: |c, v| read(v).map(|v| c.log_format = v),
        get: |c| write(c.log_format),
    },
    Key {
        name: "docker.socket",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "The engine's socket.",
        set: |c, v| check::socket(read(v)?).map(|v| c.docker.socket = v),
        get: |c| write(&c.docker.socket),
    },
    Key {
        name: "docker.parallel_pulls",
        kind: Kind::Number,
        takes: Takes::Restart,
        doc: "How many images are pulled at once.",
        set: |c, v| check::within(read(v)?, 1..=32).map(|v| c.docker.parallel_pulls = v),
        get: |c| write(c.docker.parallel_pulls),
    },
    Key {
        name: "docker.parallel_starts",
        kind: Kind::Number,
        takes: Takes::Restart,
        doc: "How many containers are created, started or removed at once.",
        set: |c, v| check::within(read(v)?, 1..=64).map(|v| c.docker.parallel_starts = v),
        get: |c| write(c.docker.parallel_starts),
    },
    Key {
        name: "docker.pull_stall",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "A pull that makes no progress for this long is given up and tried again.",
        set: |c, v| check::span(read(v)?, 1, 3600).map(|v| c.docker.pull_stall = v),
        get: |c| write(c.docker.pull_stall),
    },
    Key {
        name: "docker.registry_config",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "Registry credentials, as `docker login` writes them.",
        set: |c, v| check::path(read(v)?).map(|v| c.docker.registry_config = v),
        get: |c| write(&c.docker.registry_config),
    },
    Key {
        name: "docker.log_driver",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "Where tasks' output goes: auto, local or journald; auto is journald where the journal is kept on disk.",
        set: |c, v| read(v).map(|v| c.docker.log_driver = v),
        get: |c| write(c.docker.log_driver),
    },
    Key {
        name: "reserve.cpus",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "CPUs kept for the system.",
        set: |c, v| read(v).map(|v| c.reserve.cpus = v),
        get: |c| write(c.reserve.cpus),
    },
    Key {
        name: "reserve.memory",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "Memory kept for the system: a size, a share of the machine's, or the sum of both.",
        set: |c, v| read(v).map(|v| c.reserve.memory = v),
        get: |c| Some(share(c.reserve.memory)),
    },
    Key {
        name: "reserve.disk",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "Disk kept for the system, on the file system of the engine's data.",
        set: |c, v| read(v).map(|v| c.reserve.disk = v),
        get: |c| Some(share(c.reserve.disk)),
    },
    Key {
        name: "metrics.period",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "How often the machine and its tasks are measured.",
        set: |c, v| check::span(read(v)?, 1, 60).map(|v| c.metrics.period = v),
        get: |c| write(c.metrics.period),
    },
    Key {
        name: "metrics.proc_root",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "Where /proc is, for a daemon that runs in a container.",
        set: |c, v| check::path(read(v)?).map(|v| c.metrics.proc_root = v),
        get: |c| write(&c.metrics.proc_root),
    },
    Key {
        name: "metrics.sys_root",
        kind: Kind::Text,
        takes: Takes::Restart,
        doc: "Where /sys is, for a daemon that runs in a container.",
        set: |c, v| check::path(read(v)?).map(|v| c.metrics.sys_root = v),
        get: |c| write(&c.metrics.sys_root),
    },
];
