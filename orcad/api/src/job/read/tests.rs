//! A job's file, read in both forms.

use proptest::prelude::*;

use super::*;
use crate::job::{Order, Share};
use crate::spec::RestartCondition;

fn toml(text: &str) -> Result<JobFile, TextError> {
    read_toml(text, &Variables::new())
}

fn shop() -> &'static str {
    r#"
name = "shop"
constraints = ["disk == ssd"]
memory = "256MiB"
env = { LOG = "info" }

[update]
parallel = 2

[group.api]
image = "shop/api:1.4"
count = 3
ports = ["8080"]
env = { ROLE = "api" }

[group.proxy]
image = "shop/proxy:2"
memory = "64MiB"
update = { order = "stop_first" }
"#
}

#[test]
fn groups_override_and_add_to_the_defaults() {
    let JobFile { name, spec } = toml(shop()).unwrap();
    assert_eq!(name.as_str(), "shop");
    assert_eq!(spec.groups.keys().collect::<Vec<_>>(), ["api", "proxy"]);
    let (api, proxy) = (&spec.groups["api"], &spec.groups["proxy"]);
    assert_eq!((api.count, proxy.count), (3, 1));
    assert_eq!(api.spec.env.len(), 2, "{:?}", api.spec.env);
    assert_eq!(proxy.spec.memory, Some(crate::units::Bytes::mib(64)));
    assert_eq!((api.update.parallel, proxy.update.parallel), (Share::Tasks(2), Share::Tasks(2)));
    assert_eq!((api.update.order, proxy.update.order), (Order::StartFirst, Order::StopFirst));
    assert_eq!(api.spec.restart.condition, RestartCondition::Always, "a service's tasks always restart");
}

#[test]
fn a_tasks_file_is_a_jobs_file() {
    let JobFile { spec, .. } = toml("name = \"web\"\nimage = \"nginx\"\ntype = \"batch\"\n").unwrap();
    assert_eq!(spec.groups.keys().collect::<Vec<_>>(), [""]);
    assert_eq!(spec.groups[""].count, 1);
    assert_eq!(spec.groups[""].spec.restart.condition, RestartCondition::OnFailure);
}

#[test]
fn json_means_the_same() {
    let tree = json(toml::Value::Table(text::read_toml(shop()).unwrap()), "").unwrap();
    let bytes = serde_json::to_vec(&tree).unwrap();
    assert_eq!(read_json(&bytes, &Variables::new()).unwrap(), toml(shop()).unwrap());
}

#[test]
fn what_is_wrong_has_path_line_and_nearest_name() {
    let head = "name = \"web\"\nimage = \"nginx\"\n";
    for (text, path, line, words) in [
        (format!("{head}memroy = \"1g\"\n"), "memroy", 3, "did you mean `memory`?"),
        (format!("{head}cuont = 2\n"), "cuont", 3, "did you mean `count`?"),
        (format!("{head}ports = [\"80:80\", \"x\"]\n"), "ports[1]", 3, "not a port"),
        (format!("{head}[group.api]\nmemory = \"lots\"\n"), "group.api.memory", 4, "lots"),
        (format!("{head}memory = \"lots\"\n[group.api]\n"), "memory", 3, "lots"),
        (format!("{head}[update]\nparallel = \"200%\"\n"), "update.parallel", 4, "percentage"),
        (format!("{head}type = \"servce\"\n"), "type", 3, "did you mean `service`?"),
        (format!("{head}type = \"system\"\ncount = 2\n"), "count", 4, "one task on every node"),
        (format!("{head}schedule = {{ cron = \"* * * * *\" }}\n"), "schedule", 3, "only a batch"),
        (format!("{head}[group.api]\n[group.Bad]\n"), "group.Bad", 4, "not a name"),
        (format!("{head}priority = 0\n"), "priority", 3, "from 1 to 100"),
        (format!("{head}[group.api]\ncompletions = 2\n"), "group.api.completions", 4, "belongs to a batch"),
        (format!("{head}started = 2026-01-01\n"), "started", 3, "date"),
        ("image = \"nginx\"\n".to_owned(), "name", 0, "is missing"),
    ] {
        let error = toml(&text).unwrap_err();
        assert_eq!(error.path, path, "{text}: {error}");
        assert_eq!(error.position.map_or(0, |p| p.0), line, "{text}: {error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn variables_are_put_in() {
    let text = r#"
name = "web"
image = "nginx:${tag}"
count = "${n}"
env = { A = "$${x} ${tag}", N = "a${n}" }
[variables]
tag = "1.27"
n = {}
"#;
    let given = |pairs: &[(&str, &str)]| -> Variables {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    let group = read_toml(text, &given(&[("n", "3")])).unwrap().spec.groups[""].clone();
    assert_eq!((group.count, group.spec.image.to_string().as_str()), (3, "nginx:1.27"));
    assert_eq!((group.spec.env["A"].as_str(), group.spec.env["N"].as_str()), ("${x} 1.27", "a3"));
    let error = read_toml(text, &Variables::new()).unwrap_err();
    assert!(error.to_string().contains("--var n="), "{error}");
    let error = read_toml(text, &given(&[("n", "3"), ("tga", "1")])).unwrap_err();
    assert_eq!(error.nearest.as_deref(), Some("tag"));
    let error = toml("name = \"web\"\nimage = \"nginx:${nope}\"\n").unwrap_err();
    assert_eq!((error.path.as_str(), error.position), ("image", Some((2, 1))));
}

#[test]
fn a_variable_cannot_grow_a_file_without_end() {
    let long = "x".repeat(VARIABLE_BYTES_MAX);
    let text = format!(
        "name = \"web\"\nimage = \"nginx\"\nenv = {{ A = \"{}\" }}\n[variables]\na = {{}}\n",
        "${a}".repeat(40)
    );
    let error = read_toml(&text, &Variables::from([("a".to_owned(), long)])).unwrap_err();
    assert!(error.message.contains("longer than a whole file"), "{error}");
}

#[test]
fn a_spec_survives_being_stored() {
    let spec = toml(shop()).unwrap().spec;
    let stored = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<JobSpec>(&stored).unwrap(), spec);
    assert_eq!(spec.digest().len(), 64);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(name = \"a\"\nimage = \"b\"\n)?[ -~\n]{0,200}") {
        let _ = toml(&text);
        let _ = read_json(text.as_bytes(), &Variables::new());
    }

    #[test]
    fn shares_survive_their_text(percent in 0u8..=100, tasks in 0u32..=10_000, count in 0u32..=10_000) {
        for share in [Share::Percent(percent), Share::Tasks(tasks)] {
            prop_assert_eq!(share.to_string().parse::<Share>().unwrap(), share);
            prop_assert!(share.of(count) <= count);
        }
    }
}
