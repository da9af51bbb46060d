//! Reads a job's file: variables are put in, defaults and groups are merged, and everything is read strictly.
//!
//! Both forms, TOML and JSON, become one tree of values first. What is wrong is told with its path in the file
//! (`group.api.memory`), and in TOML with line and column.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Awaited, Group, JobSpec, JobType, PRIORITY_DEFAULT, Schedule};
use crate::name::Name;
use crate::spec::TaskSpec;
use crate::text::{self, TextError};
use crate::units::Span;

/// The keys of a job itself.
pub(super) const JOB_KEYS: [&str; 11] = [
    "name",
    "type",
    "priority",
    "preempt",
    "depends_on",
    "schedule",
    "max_run_duration",
    "pre_deploy",
    "group",
    "variables",
    "update",
];
/// The keys of a group besides those of its tasks.
pub(super) const GROUP_KEYS: [&str; 8] =
    ["count", "completions", "parallelism", "max_per_node", "distinct", "spread", "update", "depends_on"];
/// Tables whose entries a group adds to, rather than replacing the whole.
const ADDED_TO: [&str; 4] = ["env", "labels", "log_opt", "update"];
/// The most variables of a file.
const VARIABLES_MAX: usize = 256;
/// The longest value of a variable in bytes.
const VARIABLE_BYTES_MAX: usize = 64 * 1024;

/// A job's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFile {
    /// The job's name.
    pub name: Name,
    /// Its spec, checked.
    pub spec: JobSpec,
}

/// Values of variables, by name: from `--var` and `--var-file`.
pub type Variables = BTreeMap<String, String>;

/// Reads a job from TOML.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn read_toml(text: &str, variables: &Variables) -> Result<JobFile, TextError> {
    let value: toml::Table = text::read_toml(text)?;
    json(toml::Value::Table(value), "")
        .and_then(|value| read_value(value, variables))
        .map_err(|error| located(text, error))
}

/// Reads a job from JSON that means the same.
///
/// # Errors
/// The first thing that is wrong, with its path.
pub fn read_json(bytes: &[u8], variables: &Variables) -> Result<JobFile, TextError> {
    read_value(text::read_json(bytes)?, variables)
}

/// Reads the variables of a `--var-file`: TOML, `name = value`.
///
/// # Errors
/// Where a value is neither a text, a number nor a truth value.
pub fn read_variables(text: &str) -> Result<Variables, TextError> {
    let table: toml::Table = text::read_toml(text)?;
    let mut variables = Variables::new();
    for (name, value) in table {
        let value = plain(&json(value, &name)?)
            .ok_or_else(|| at(&name, "a variable is a text, a number, true or false"))?;
        variables.insert(name, value);
    }
    Ok(variables)
}

/// Reads a job from the tree that both forms become.
///
/// # Errors
/// The first thing that is wrong, with its path.
pub fn read_value(value: Value, variables: &Variables) -> Result<JobFile, TextError> {
    let Value::Object(mut file) = value else {
        return Err(TextError::plain("a job is a table of keys"));
    };
    put_in(&mut file, variables)?;
    let name: Name = match file.remove("name") {
        Some(name) => read::<Name>(name, "name")?,
        None => return Err(at("name", "is missing: name = \"web\"")),
    };
    if !name.is_plain() {
        return Err(at("name", format!("`{name}` has a dot: names with dots are those of a job's tasks")));
    }
    let mut job = Map::new();
    for key in JOB_KEYS {
        if let Some(value) = file.remove(key) {
            job.insert(key.to_owned(), value);
        }
    }
    // What is left are the defaults of every group; `update` is one as well.
    let mut defaults = file;
    if let Some(update) = job.remove("update") {
        defaults.insert("update".to_owned(), update);
    }
    let kind: JobType = optional(&mut job, "type")?.unwrap_or_default();
    let groups = match job.remove("group") {
        None => BTreeMap::from([(String::new(), read_group("", defaults.clone(), kind, &defaults)?)]),
        Some(Value::Object(named)) => {
            let mut groups = BTreeMap::new();
            for (name, group) in named {
                let path = format!("group.{name}");
                let Value::Object(group) = group else {
                    return Err(at(&path, "a group is a table of keys"));
                };
                let merged = merged(&defaults, group);
                groups.insert(name, read_group(&path, merged, kind, &defaults)?);
            }
            groups
        }
        Some(_) => return Err(at("group", "groups are tables: [group.api]")),
    };
    let pre_deploy = match job.remove("pre_deploy") {
        None => None,
        Some(Value::Object(own)) => {
            let mut own = merged(&spec_part(&defaults), own);
            own.entry("restart").or_insert_with(|| "never".into());
            Some(Box::new(read_spec(own, "pre_deploy")?))
        }
        Some(_) => return Err(at("pre_deploy", "is a table of a task's keys")),
    };
    let spec = JobSpec {
        kind,
        priority: optional(&mut job, "priority")?.unwrap_or(PRIORITY_DEFAULT),
        preempt: optional(&mut job, "preempt")?.unwrap_or(false),
        schedule: optional::<Schedule>(&mut job, "schedule")?,
        depends_on: optional::<BTreeMap<Name, Awaited>>(&mut job, "depends_on")?.unwrap_or_default(),
        max_run_duration: optional::<Span>(&mut job, "max_run_duration")?,
        pre_deploy,
        groups,
    };
    match spec.check().into_iter().next() {
        None => Ok(JobFile { name, spec }),
        Some(error) => Err(at(&error.path, error.message)),
    }
}

fn at(path: &str, message: impl Into<String>) -> TextError {
    TextError { path: path.to_owned(), ..TextError::plain(message) }
}

/// Reads one value strictly; what is wrong is told with its path in the file.
fn read<T: DeserializeOwned>(value: Value, path: &str) -> Result<T, TextError> {
    let bytes = serde_json::to_vec(&value).unwrap_or_default();
    text::read_json(&bytes).map_err(|error| TextError {
        path: joined(path, &error.path),
        position: None,
        ..error
    })
}

fn optional<T: DeserializeOwned>(table: &mut Map<String, Value>, key: &str) -> Result<Option<T>, TextError> {
    table.remove(key).map(|value| read(value, key)).transpose()
}

fn joined(path: &str, rest: &str) -> String {
    match (path.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => path.to_owned(),
        _ => format!("{path}.{rest}"),
    }
}

/// Reads the keys of a task, and says of an unknown one what is near among all keys of the file.
fn read_spec(spec: Map<String, Value>, path: &str) -> Result<TaskSpec, TextError> {
    read(Value::Object(spec), path).map_err(|mut error| {
        if error.message.starts_with("unknown key") {
            let word = error.path.rsplit('.').next().unwrap_or_default();
            let of_task = error.nearest.take();
            error.nearest =
                text::nearest(word, JOB_KEYS.into_iter().chain(GROUP_KEYS).chain(of_task.as_deref()));
        }
        error
    })
}

/// The defaults without the keys that only groups have.
fn spec_part(defaults: &Map<String, Value>) -> Map<String, Value> {
    let group = |key: &String| GROUP_KEYS.contains(&key.as_str());
    defaults.iter().filter(|(key, _)| !group(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// A group's keys over the defaults.
fn merged(defaults: &Map<String, Value>, own: Map<String, Value>) -> Map<String, Value> {
    let mut all = defaults.clone();
    for (key, value) in own {
        match (all.get_mut(&key), value) {
            (Some(Value::Object(base)), Value::Object(more)) if ADDED_TO.contains(&key.as_str()) => {
                base.extend(more);
            }
            (_, value) => {
                all.insert(key, value);
            }
        }
    }
    all
}

/// A group from its keys and the defaults, already merged.
fn read_group(
    path: &str,
    mut keys: Map<String, Value>,
    kind: JobType,
    defaults: &Map<String, Value>,
) -> Result<Group, TextError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        count: Option<u32>,
        completions: Option<u32>,
        parallelism: Option<u32>,
        max_per_node: Option<u32>,
        #[serde(default)]
        distinct: Vec<super::DistinctRule>,
        spread: Option<super::SpreadRule>,
        #[serde(default)]
        update: super::Update,
        depends_on: Option<Value>,
    }
    let mut own = Map::new();
    for key in GROUP_KEYS {
        if let Some(value) = keys.remove(key) {
            own.insert(key.to_owned(), value);
        }
    }
    let restart = if kind.lasts() { "always" } else { "on-failure" };
    keys.entry("restart").or_insert_with(|| restart.into());
    let spec = read_spec(keys, path).map_err(|error| of_defaults(error, path, defaults))?;
    let own: Own = read(Value::Object(own), path).map_err(|error| of_defaults(error, path, defaults))?;
    if own.depends_on.is_some() {
        return Err(at(&joined(path, "depends_on"), "belongs to the job as a whole, not to a group"));
    }
    let count = match (own.count, own.completions) {
        (Some(_), Some(_)) => {
            return Err(at(&joined(path, "completions"), "says the same as `count`: write one of them"));
        }
        (None, Some(_)) if kind != JobType::Batch => {
            return Err(at(&joined(path, "completions"), format!("belongs to a batch, not to a {kind}")));
        }
        (count, completions) => count.or(completions).unwrap_or(1),
    };
    Ok(Group {
        count,
        parallelism: own.parallelism,
        max_per_node: own.max_per_node,
        distinct: own.distinct,
        spread: own.spread,
        update: own.update,
        spec,
    })
}

/// What is wrong in a group's defaults is told where it was written: at the top.
fn of_defaults(error: TextError, path: &str, defaults: &Map<String, Value>) -> TextError {
    let Some(rest) = error.path.strip_prefix(path).map(|rest| rest.trim_start_matches('.')) else {
        return error;
    };
    let first = rest.split(['.', '[']).next().unwrap_or_default();
    if path.is_empty() || !defaults.contains_key(first) {
        return error;
    }
    TextError { path: rest.to_owned(), ..error }
}

// --------------------------------------------------------------------------------------------- variables

/// Puts variables in: `${name}` in any text. A text that is nothing but one becomes a number or a truth value where
/// it reads like one; `$${` stands for `${`.
fn put_in(file: &mut Map<String, Value>, given: &Variables) -> Result<(), TextError> {
    let declared = match file.remove("variables") {
        None => Map::new(),
        Some(Value::Object(declared)) => declared,
        Some(_) => return Err(at("variables", "is a table of names and default values")),
    };
    if declared.len() > VARIABLES_MAX {
        return Err(at("variables", format!("at most {VARIABLES_MAX}, not {}", declared.len())));
    }
    let mut values = Variables::new();
    for (name, default) in &declared {
        let path = format!("variables.{name}");
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(at(&path, "a variable's name is made of letters, digits and `_`"));
        }
        let value = match (given.get(name), default) {
            (Some(value), _) => value.clone(),
            // An empty table declares a variable without a default.
            (None, Value::Object(empty)) if empty.is_empty() => {
                return Err(at(&path, format!("has no default value: give one with --var {name}=…")));
            }
            (None, default) => plain(default).ok_or_else(|| {
                at(&path, "a default value is a text, a number, true or false; {} for none")
            })?,
        };
        if value.len() > VARIABLE_BYTES_MAX {
            return Err(at(
                &path,
                format!("its value has {} bytes, at most {VARIABLE_BYTES_MAX}", value.len()),
            ));
        }
        values.insert(name.clone(), value);
    }
    if let Some(unknown) = given.keys().find(|name| !values.contains_key(*name)) {
        let mut error = at("variables", format!("the file declares no variable `{unknown}`"));
        error.nearest = text::nearest(unknown, values.keys().map(String::as_str));
        return Err(error);
    }
    for (key, value) in file.iter_mut() {
        put_into(value, &values, key)?;
    }
    Ok(())
}

fn put_into(value: &mut Value, values: &Variables, path: &str) -> Result<(), TextError> {
    match value {
        Value::String(text) if text.contains("${") => {
            let lone =
                text.strip_prefix("${").and_then(|t| t.strip_suffix('}')).is_some_and(|t| !t.contains('}'));
            let put = filled(text, values, path)?;
            *value = if lone { typed(put) } else { Value::String(put) };
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                put_into(item, values, &format!("{path}[{i}]"))?;
            }
        }
        Value::Object(table) => {
            for (key, item) in table.iter_mut() {
                put_into(item, values, &format!("{path}.{key}"))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn filled(text: &str, values: &Variables, path: &str) -> Result<String, TextError> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(begin) = rest.find("${") {
        if rest[..begin].ends_with('$') {
            out.push_str(&rest[..begin]);
            out.push('{');
            rest = &rest[begin + 2..];
            continue;
        }
        out.push_str(&rest[..begin]);
        let (name, after) = rest[begin + 2..].split_once('}').ok_or_else(|| {
            at(path, "`${` is not closed with `}` (write `$${` for the two characters themselves)")
        })?;
        let value = values.get(name).ok_or_else(|| {
            let mut error = at(path, format!("there is no variable `{}`", crate::spec::short(name)));
            error.nearest = text::nearest(name, values.keys().map(String::as_str));
            error
        })?;
        out.push_str(value);
        if out.len() > text::TEXT_BYTES_MAX {
            return Err(at(path, "with its variables put in it is longer than a whole file may be"));
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// A number or a truth value where the text reads like one.
fn typed(text: String) -> Value {
    match text.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => number.into(),
            _ => Value::String(text),
        },
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

// ------------------------------------------------------------------------------------------- TOML's places

fn json(value: toml::Value, path: &str) -> Result<Value, TextError> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| at(path, "is not a finite number"))?,
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(_) => return Err(at(path, "no key takes a date: write it in quotes")),
        toml::Value::Array(items) => {
            let items = items.into_iter().enumerate().map(|(i, item)| json(item, &format!("{path}[{i}]")));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let mut object = Map::new();
            for (key, item) in table {
                let item = json(item, &joined(path, &key))?;
                object.insert(key, item);
            }
            Value::Object(object)
        }
    })
}

/// Adds line and column to an error that has a path.
fn located(text: &str, mut error: TextError) -> TextError {
    if let Ok(table) = DeTable::parse(text)
        && let Some(span) = place(table.get_ref(), &error.path)
    {
        error.position = Some(text::position(text, span.start));
        error.span = Some(span);
    }
    error
}

/// Where the longest part of a path that is there is written: a key, or an element.
fn place(table: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut here: Option<&DeTable<'_>> = Some(table);
    for part in path.split('.') {
        let (name, index) =
            part.split_once('[').map_or((part, None), |(name, i)| (name, i.strip_suffix(']')));
        let entry = here.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name));
        let Some((key, value)) = entry else { break };
        found = Some(key.span());
        if let (Some(index), DeValue::Array(items)) =
            (index.and_then(|i| i.parse::<usize>().ok()), value.get_ref())
        {
            found = items.get(index).map(Spanned::span).or(found);
        }
        here = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    found
}

#[cfg(test)]
mod tests;
