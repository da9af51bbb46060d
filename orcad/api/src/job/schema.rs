//! The JSON Schema of a job's file: what editors complete and check it with.
//!
//! It is made from the schemas of the types that the reader reads, put together as the reader puts their keys
//! together: those of a job, of a group and of a task at the top, those of a group and of a task in each group.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::{COUNT_MAX, GROUPS_MAX, Group, JobSpec};
use crate::spec::TaskSpec;

/// A file to begin with, with comments.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Where a schema refers to another, in an API's document and in this one.
const REFERENCES: (&str, &str) = ("#/components/schemas/", "#/$defs/");
/// Keys whose value is a text with a unit, or a number: of bytes, of seconds, of tasks.
const NUMBERS_TOO: [&str; 15] = [
    "memory",
    "reserve_memory",
    "disk",
    "stop_grace",
    "singleton_wait",
    "interval",
    "timeout",
    "start_period",
    "parallel",
    "max_unavailable",
    "healthy_for",
    "healthy_deadline",
    "progress_deadline",
    "randomized_delay",
    "max_run_duration",
];

/// The schema of a job's file, of JSON Schema's edition 2020-12.
pub fn of_file() -> Value {
    let mut definitions: Vec<(String, RefOr<Schema>)> = Vec::new();
    JobSpec::schemas(&mut definitions);
    let mut definitions: Map<String, Value> =
        definitions.into_iter().map(|(name, schema)| (name, written(&schema))).collect();
    // They are the parts of stored specs; in a file their keys stand side by side.
    for part in ["Group", "TaskSpec"] {
        definitions.remove(part);
    }
    let task = properties::<TaskSpec>();
    let mut group = properties::<Group>();
    group.remove("spec");
    group.insert(
        "completions".to_owned(),
        json!({"description": "Of a batch: how many must complete; says the same as `count`.", "type": "integer", "minimum": 0}),
    );
    group.extend(task.clone());
    let mut job = properties::<JobSpec>();
    job.remove("groups");
    job.insert(
        "name".to_owned(),
        json!({
            "description": "The job's name: lower case letters, digits and `-`.",
            "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 63,
        }),
    );
    job.insert(
        "pre_deploy".to_owned(),
        object("A task that runs once, to completion, before a rollout begins.", task),
    );
    job.insert(
        "group".to_owned(),
        json!({
            "description": "Its groups by name; without any, the keys at the top are those of its only group.",
            "type": "object", "maxProperties": GROUPS_MAX, "additionalProperties": {"$ref": "#/$defs/group"},
        }),
    );
    job.extend(group.clone());
    definitions.insert(
        "group".to_owned(),
        object("Equal tasks of a job. What stands at the top of the file holds for each.", group),
    );
    let mut file = object("A job of orca.", job);
    let mut definitions = Value::Object(definitions);
    for part in [&mut file, &mut definitions] {
        let_variables_in(part);
    }
    if let Value::Object(file) = &mut file {
        file.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        file.insert("title".to_owned(), "orca job".into());
        file.insert("required".to_owned(), json!(["name"]));
        file.insert("$defs".to_owned(), definitions);
        if let Some(Value::Object(keys)) = file.get_mut("properties") {
            keys.insert(
                "variables".to_owned(),
                json!({
                    "description": "Variables with their defaults, put in where `${NAME}` stands; {} is no default.",
                    "type": "object",
                    "additionalProperties": {"anyOf": [{"type": ["string", "number", "boolean"]}, {"type": "object", "maxProperties": 0}]},
                }),
            );
            keys.insert(
                "count".to_owned(),
                with_variable(json!({
                    "description": "How many tasks; of a batch, how many must complete.",
                    "type": "integer", "minimum": 0, "maximum": COUNT_MAX,
                })),
            );
        }
    }
    file
}

fn object(description: &str, properties: Map<String, Value>) -> Value {
    json!({
        "description": description, "type": "object", "properties": properties, "additionalProperties": false,
    })
}

/// The keys of a type, with the schema of each.
fn properties<T: PartialSchema>() -> Map<String, Value> {
    match written(&T::schema()) {
        Value::Object(mut schema) => match schema.remove("properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

fn written(schema: &RefOr<Schema>) -> Value {
    let mut value = serde_json::to_value(schema).unwrap_or_default();
    refer(&mut value);
    value
}

/// Points references to the definitions of this document.
fn refer(value: &mut Value) {
    match value {
        Value::Object(table) => {
            if let Some(Value::String(target)) = table.get_mut("$ref") {
                *target = target.replacen(REFERENCES.0, REFERENCES.1, 1);
            }
            table.values_mut().for_each(refer);
        }
        Value::Array(items) => items.iter_mut().for_each(refer),
        _ => {}
    }
}

/// In the place of anything that is no text, a text with a variable may stand; and in that of some texts a number.
fn let_variables_in(value: &mut Value) {
    match value {
        Value::Object(table) => {
            if let Some(Value::Object(keys)) = table.get_mut("properties") {
                for (_, schema) in keys.iter_mut().filter(|(key, _)| NUMBERS_TOO.contains(&key.as_str())) {
                    let texts = is_of(schema, &["string"]);
                    if let (true, Value::Object(schema)) = (texts, schema) {
                        schema.insert("type".to_owned(), json!(["string", "number"]));
                    }
                }
            }
            let is_text = table.get("type").is_some_and(|kind| *kind == json!(["string", "number"]));
            table.values_mut().for_each(let_variables_in);
            let schema = Value::Object(table.clone());
            // An amount of CPU is a number, or a text such as 250m.
            if !is_text && is_of(&schema, &["number"]) {
                table.insert("type".to_owned(), json!(["number", "string"]));
            } else if is_of(&schema, &["integer", "boolean"]) || table.contains_key("enum") {
                *value = with_variable(Value::Object(std::mem::take(table)));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(let_variables_in),
        _ => {}
    }
}

/// Whether a schema is of one of these types.
fn is_of(schema: &Value, types: &[&str]) -> bool {
    let one = |kind: &Value| kind.as_str().is_some_and(|kind| types.contains(&kind));
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(one),
        Some(kind) => one(kind),
        None => false,
    }
}

fn with_variable(schema: Value) -> Value {
    let mut schema = schema;
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut either = json!({"anyOf": [schema, {"type": "string", "pattern": r"\$\{[A-Za-z0-9_]+\}"}]});
    if let (Some(description), Value::Object(either)) = (description, &mut either) {
        either.insert("description".to_owned(), description);
    }
    either
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;

    use super::super::read::{GROUP_KEYS, JOB_KEYS, read_toml};
    use super::super::{Schedule, SpreadRule, Update};
    use super::*;
    use crate::spec::HealthCheck;

    /// The keys that a type reads: serde names them where it refuses another.
    fn read_keys<T: DeserializeOwned>() -> BTreeSet<String> {
        let Err(error) = serde_json::from_value::<T>(json!({"no_such_key": 1})) else {
            panic!("it is lenient")
        };
        let text = error.to_string();
        let names: BTreeSet<String> = text.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        assert!(names.len() > 1, "{text}");
        names
    }

    fn keys(schema: &Value) -> BTreeSet<String> {
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn every_key_that_is_read_is_in_it_and_none_else() {
        let schema = of_file();
        let task = read_keys::<TaskSpec>();
        let of_group = GROUP_KEYS.map(str::to_owned).into_iter().filter(|key| key != "depends_on");
        let group: BTreeSet<String> = task.iter().cloned().chain(of_group).collect();
        let job: BTreeSet<String> = group.iter().cloned().chain(JOB_KEYS.map(str::to_owned)).collect();
        assert_eq!(keys(&schema), job);
        assert_eq!(keys(&schema["$defs"]["group"]), group);
        assert_eq!(keys(&schema["properties"]["pre_deploy"]), task);
        assert_eq!(keys(&schema["$defs"]["Update"]), read_keys::<Update>());
        assert_eq!(keys(&schema["$defs"]["Schedule"]), read_keys::<Schedule>());
        assert_eq!(keys(&schema["$defs"]["SpreadRule"]), read_keys::<SpreadRule>());
        assert_eq!(keys(&schema["$defs"]["HealthCheck"]), read_keys::<HealthCheck>());
    }

    #[test]
    fn each_reference_leads_somewhere() {
        fn each(value: &Value, root: &Value) {
            match value {
                Value::Object(table) => {
                    if let Some(Value::String(target)) = table.get("$ref") {
                        let path = target.strip_prefix('#').unwrap();
                        assert!(root.pointer(path).is_some(), "{target}");
                    }
                    table.values().for_each(|value| each(value, root));
                }
                Value::Array(items) => items.iter().for_each(|item| each(item, root)),
                _ => {}
            }
        }
        let schema = of_file();
        each(&schema, &schema);
    }

    /// What of the schema's words is used here, and no more.
    fn fits(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
        if let Some(Value::String(target)) = schema.get("$ref") {
            return fits(value, root.pointer(&target[1..]).unwrap(), root);
        }
        for choice in ["anyOf", "oneOf"] {
            if let Some(Value::Array(schemas)) = schema.get(choice) {
                let tried: Vec<_> =
                    schemas.iter().filter_map(|schema| fits(value, schema, root).err()).collect();
                return if tried.len() < schemas.len() { Ok(()) } else { Err(tried.join(" and ")) };
            }
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if schema.get("type").is_some()
            && !is_of(schema, &[kind])
            && !(kind == "number" && is_of(schema, &["integer"]))
        {
            return Err(format!("{value} is a {kind}"));
        }
        if let (Some(_), Value::String(text)) = (schema.get("pattern"), value)
            && schema["pattern"].as_str().unwrap().contains("$\\{")
            && !text.contains("${")
        {
            return Err(format!("{text} has no variable"));
        }
        if let Some(Value::Array(values)) = schema.get("enum")
            && !values.contains(value)
        {
            return Err(format!("{value} is none of {values:?}"));
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| fits(item, &schema["items"], root)),
            Value::Object(table) => table.iter().try_for_each(|(key, value)| {
                let other = &schema["additionalProperties"];
                match schema.get("properties").and_then(|keys| keys.get(key)) {
                    Some(schema) => fits(value, schema, root).map_err(|why| format!("{key}: {why}")),
                    None if other.is_object() => fits(value, other, root),
                    None if *other == json!(false) => Err(format!("there is no {key}")),
                    None => Ok(()),
                }
            }),
            _ => Ok(()),
        }
    }

    #[test]
    fn files_that_are_read_fit_it() {
        let root = of_file();
        for text in [
            EXAMPLE,
            "name = \"web\"\nimage = \"nginx\"\n",
            "name = \"web\"\nimage = \"nginx\"\ncount = 3\nmemory = 10485760\ncpus = \"250m\"\n[update]\nparallel = 2\nhealthy_for = 5\n",
            "name = \"web\"\nimage = \"nginx\"\ncount = \"${n}\"\npull = \"${pull}\"\n[variables]\nn = 2\npull = \"always\"\n",
            "name = \"sums\"\ntype = \"batch\"\nimage = \"app\"\ncompletions = 8\nparallelism = 2\nschedule = { cron = \"@daily\", keep = 3 }\n",
            "name = \"shop\"\ndepends_on = { db = \"healthy\" }\nimage = \"a\"\n[group.api]\nhealth = { http = \"80/\", timeout = 2 }\nspread = { over = \"zone\" }\n[pre_deploy]\ncommand = [\"migrate\"]\n",
        ] {
            read_toml(text, &std::collections::BTreeMap::new())
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            let value: Value = crate::text::read_toml(text).unwrap();
            fits(&value, &root, &root).unwrap_or_else(|why| panic!("{text}: {why}"));
        }
        for (text, why) in [
            ("name = \"web\"\nmemroy = 1\n", "there is no memroy"),
            ("name = \"web\"\ntype = \"servce\"\n", "none of"),
            ("name = \"web\"\ncount = \"three\"\n", "no variable"),
            ("name = \"web\"\n[group.api]\nname = \"x\"\n", "there is no name"),
            ("name = \"web\"\n[update]\nparalel = 1\n", "there is no paralel"),
        ] {
            let value: Value = crate::text::read_toml(text).unwrap();
            let error = fits(&value, &root, &root).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
