//! The layers, one over the other, and where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use toml::{Table, Value};

use super::Config;
use super::error::{ConfigError, ConfigErrors};
use super::file::{self, Files, Text};
use super::keys::{KEYS, Key};
use crate::args::Args;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A configuration, the files it was read from, and the origins of its values.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// The files that were read, in their order.
    pub files: Vec<PathBuf>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Loaded {
    /// Where the value of a key comes from.
    pub fn origin(&self, key: &Key) -> Origin {
        self.origins.get(key.name).cloned().unwrap_or(Origin::Default)
    }

    /// As TOML that reads back to the same; with origins as comments at the end of the lines if wanted.
    pub fn to_toml(&self, with_origins: bool) -> String {
        let mut lines = Vec::new();
        let mut table = "";
        for key in KEYS {
            let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
            if of != table {
                lines.extend([String::new(), format!("[{of}]")]);
                table = of;
            }
            let line = match key.get(&self.config) {
                Some(value) => format!("{name} = {value}"),
                None => format!("# {name} is not set"),
            };
            lines.push(if with_origins { format!("{line:<40}  # {}", self.origin(key)) } else { line });
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// As JSON: the same tree as the file; with origins, each value is `{"value": …, "origin": …}`.
    pub fn to_json(&self, with_origins: bool) -> serde_json::Value {
        let mut tree = serde_json::Map::new();
        for key in KEYS {
            let value = serde_json::to_value(key.get(&self.config)).unwrap_or_default();
            let value = if with_origins {
                serde_json::json!({ "value": value, "origin": self.origin(key).to_string() })
            } else {
                value
            };
            match key.name.split_once('.') {
                None => drop(tree.insert(key.name.to_owned(), value)),
                Some((table, name)) => {
                    let table = tree
                        .entry(table)
                        .or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
                    table[name] = value;
                }
            }
        }
        serde_json::Value::Object(tree)
    }
}

/// Lays files, environment and flags over the defaults.
pub(super) fn load(
    files: &Files,
    args: &Args,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let (texts, errors) = file::read_all(files);
    lay(&texts, errors, args, env)
}

/// As [`load`], with files that are read already and what is wrong with others.
pub(super) fn lay(
    texts: &[Text],
    mut errors: Vec<ConfigError>,
    args: &Args,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    let mut loaded = Loaded {
        config: Config::default(),
        files: texts.iter().map(|t| t.path.clone()).collect(),
        origins: BTreeMap::new(),
    };

    for text in texts {
        let (entries, refused) = file::entries(text);
        errors.extend(refused);
        for mut entry in entries {
            // Tables of several files are laid over each other key by key, as everything else is.
            merge_table(entry.key, &loaded.config, &mut entry.value);
            match entry.key.set(&mut loaded.config, entry.value) {
                Ok(()) => {
                    let (line, _) = orca_api::text::position(&text.text, entry.key_span.start);
                    loaded.origins.insert(entry.key.name, Origin::File { path: text.path.clone(), line });
                }
                Err(message) => errors.push(ConfigError {
                    place: text.path.display().to_string(),
                    excerpt: Some((Arc::clone(&text.text), entry.value_span)),
                    key: Some(entry.key.name.to_owned()),
                    message,
                    hint: file::written_as(entry.key.kind).map(str::to_owned),
                }),
            }
        }
    }

    let mut take = |loaded: &mut Loaded, key: &'static Key, origin: Origin, text: &str| match key
        .set_text(&mut loaded.config, text)
    {
        Ok(()) => drop(loaded.origins.insert(key.name, origin)),
        Err(message) => {
            let place = origin.to_string();
            errors.push(ConfigError {
                place,
                excerpt: None,
                key: Some(key.name.to_owned()),
                message,
                hint: None,
            });
        }
    };
    for key in KEYS {
        let variable = key.variable();
        if let Some(text) = env(&variable).filter(|text| !text.is_empty()) {
            take(&mut loaded, key, Origin::Variable(variable), &text);
        }
    }
    for (flag, name, text) in args.overrides() {
        if let Some(key) = Key::find(name) {
            take(&mut loaded, key, Origin::Flag(flag), &text);
        }
    }

    if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors { errors }) }
}

fn merge_table(key: &Key, config: &Config, value: &mut Value) {
    let Value::Table(new) = value else { return };
    if let Some(Value::Table(old)) = key.get(config) {
        let mut merged: Table = old;
        merged.extend(std::mem::take(new));
        *new = merged;
    }
}
