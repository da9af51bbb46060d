//! How two specs of a job differ, field by field.

use orca_api::job::JobSpec;
use orca_api::job::view::FieldChange;
use serde_json::Value;

/// The fields that differ, by path, as they are written in a file: `group.api.image`.
pub(super) fn changes(old: Option<&JobSpec>, new: &JobSpec) -> Vec<FieldChange> {
    let tree = |spec: &JobSpec| serde_json::to_value(spec).unwrap_or(Value::Null);
    let mut found = Vec::new();
    compare("", old.map(tree).as_ref(), Some(&tree(new)), &mut found);
    for change in &mut found {
        change.path = written(&change.path);
    }
    found
}

/// A path of the whole spec as a path in the file: the group without a name, and what is a task's, stand at the top.
fn written(path: &str) -> String {
    let Some(rest) = path.strip_prefix("groups.") else { return path.to_owned() };
    let (group, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let rest = rest.strip_prefix("spec.").unwrap_or(rest);
    match (group.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (false, true) => format!("group.{group}"),
        (false, false) => format!("group.{group}.{rest}"),
    }
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<FieldChange>) {
    if old == new {
        return;
    }
    let empty = serde_json::Map::new();
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => each(path, old, new, found),
        // What is new or gone as a whole is told field by field.
        (None, Some(Value::Object(new))) => each(path, &empty, new, found),
        (Some(Value::Object(old)), None) => each(path, old, &empty, found),
        _ => found.push(FieldChange { path: path.to_owned(), old: old.cloned(), new: new.cloned() }),
    }
}

fn each(
    path: &str,
    old: &serde_json::Map<String, Value>,
    new: &serde_json::Map<String, Value>,
    found: &mut Vec<FieldChange>,
) {
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        compare(&path, old.get(key), new.get(key), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> JobSpec {
        orca_api::job::read::read_value(
            serde_json::from_str(text).expect("JSON"),
            &orca_api::job::read::Variables::new(),
        )
        .expect("a job")
        .spec
    }

    #[test]
    fn fields_are_named_as_in_the_file() {
        let old = spec(r#"{"name":"web","image":"a:1","count":2,"env":{"A":"1"}}"#);
        let new = spec(r#"{"name":"web","image":"a:2","count":3,"env":{"A":"1","B":"2"}}"#);
        let found: Vec<(String, Option<Value>, Option<Value>)> =
            changes(Some(&old), &new).into_iter().map(|c| (c.path, c.old, c.new)).collect();
        let text = |t: &str| Some(Value::String(t.to_owned()));
        assert_eq!(
            found,
            [
                ("count".to_owned(), Some(2.into()), Some(3.into())),
                ("env.B".to_owned(), None, text("2")),
                ("image".to_owned(), text("a:1"), text("a:2")),
            ]
        );
        let old = spec(r#"{"name":"s","group":{"api":{"image":"a"}}}"#);
        let new = spec(r#"{"name":"s","group":{"api":{"image":"b"}}}"#);
        assert_eq!(changes(Some(&old), &new)[0].path, "group.api.image");
        assert_eq!(changes(Some(&old), &old), []);
        assert!(changes(None, &new).iter().any(|c| c.path == "group.api.image" && c.old.is_none()));
    }
}
