//! Layers, mistakes, and that the packaged file and the manual page say what the table of keys says.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::file::Files;
use super::*;
use crate::args::ShowFormat;

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn files(&self) -> Files {
        Files::Standard {
            file: self.folder.path().join("orcad.toml"),
            folder: self.folder.path().join("orcad.toml.d"),
        }
    }

    fn load(&self, args: &Args, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        let env = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        origin::load(&self.files(), args, &env)
    }
}

fn refused(text: &str) -> ConfigErrors {
    let folder = Folder::new();
    folder.write("orcad.toml", text);
    folder.load(&Args::default(), &[]).expect_err(text)
}

#[test]
fn nothing_is_needed() {
    let loaded = Folder::new().load(&Args::default(), &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.files.is_empty());
}

#[test]
fn the_last_layer_wins_and_each_value_knows_its_origin() {
    let folder = Folder::new();
    let file = folder.write(
        "orcad.toml",
        "node_name = \"n1\"\nlog_level = \"warn\"\nlabels = { disk = \"hdd\", rack = \"r1\" }\n",
    );
    folder.write("orcad.toml.d/20-b.toml", "[docker]\nparallel_pulls = 8\n[labels]\ndisk = \"ssd\"\n");
    folder.write("orcad.toml.d/10-a.toml", "[docker]\nparallel_pulls = 5\npull_stall = 30\n");
    folder.write("orcad.toml.d/ignored.conf", "nonsense");
    folder.write("orcad.toml.d/.hidden.toml", "nonsense");
    let args = Args { log_level: Some("trace".into()), ..Args::default() };
    let env = [
        ("ORCA_LOG_LEVEL", "debug"),
        ("ORCA_ROLES", "manager"),
        ("ORCA_RESERVE_MEMORY", "10%"),
        ("ORCA_SOCKET", ""),
    ];
    let loaded = folder.load(&args, &env).unwrap();

    let config = &loaded.config;
    assert_eq!(config.docker.parallel_pulls, 8);
    assert_eq!(config.docker.pull_stall, Span::from_secs(30));
    assert_eq!(config.labels["disk"], "ssd");
    assert_eq!(config.labels["rack"], "r1", "tables are laid over each other");
    assert_eq!(config.log_level, LogLevel::Trace);
    assert_eq!(config.roles, [Role::Manager]);
    assert_eq!(config.reserve.memory.of(Bytes::mib(1000)), Bytes::mib(100));
    assert_eq!(config.socket, Path::new("/run/orca/orca.sock"), "an empty variable is none");

    let origin = |name: &str| loaded.origin(Key::find(name).unwrap()).to_string();
    assert_eq!(origin("node_name"), format!("{}:1", file.display()));
    assert!(origin("docker.parallel_pulls").ends_with("20-b.toml:2"));
    assert_eq!(
        (origin("log_level"), origin("roles"), origin("socket")),
        ("--log-level".into(), "ORCA_ROLES".into(), "default".into())
    );
}

#[test]
fn every_kind_is_read_from_the_environment() {
    let env = [
        ("ORCA_LABELS", "disk=ssd, rack=r1"),
        ("ORCA_DOCKER_PARALLEL_PULLS", "2"),
        ("ORCA_RESERVE_CPUS", "0.5"),
    ];
    let config = Folder::new().load(&Args::default(), &env).unwrap().config;
    assert_eq!(config.labels.len(), 2);
    assert_eq!((config.docker.parallel_pulls, config.reserve.cpus), (2, Cpu::from_millis(500)));
    for (name, value) in
        [("ORCA_LABELS", "disk"), ("ORCA_DOCKER_PARALLEL_PULLS", "many"), ("ORCA_LOG_FORMAT", "jsn")]
    {
        let errors = Folder::new().load(&Args::default(), &[(name, value)]).unwrap_err();
        assert_eq!(errors.errors[0].place, name);
    }
    let errors = Folder::new().load(&Args::default(), &[("ORCA_LOG_FORMAT", "jsn")]).unwrap_err();
    assert_eq!(errors.errors[0].message, "`jsn` is none of auto, text, json, journal: did you mean `json`?");
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once() {
    let folder = Folder::new();
    folder.write(
        "orcad.toml",
        "node_nam = \"n1\"\nlog_level = \"loud\"\n\n[docker]\npull_stall = \"1ms\"\nlog_level = \"info\"\n",
    );
    folder.write("orcad.toml.d/a.toml", "reserve = 3\n[metrics]\nperiod = [1]\n");
    folder.write("orcad.toml.d/b.toml", "= 1\n");
    let args = Args { state_dir: Some("relative".into()), ..Args::default() };
    let errors = folder.load(&args, &[("ORCA_SOCKET", "here")]).unwrap_err();
    let said: Vec<_> = errors.errors.iter().map(|e| (e.key.as_deref(), e.position())).collect();
    assert_eq!(said.len(), 9, "{errors}");
    for wanted in [
        (Some("node_nam"), Some((1, 1))),
        (Some("log_level"), Some((2, 13))),
        (Some("docker.pull_stall"), Some((5, 14))),
        (Some("docker.log_level"), Some((6, 1))),
        (Some("reserve"), Some((1, 11))),
        (Some("metrics.period"), Some((3, 10))),
        (None, Some((1, 1))),
        (Some("state_dir"), None),
        (Some("socket"), None),
    ] {
        assert!(said.contains(&wanted), "{wanted:?} is not in {said:?}");
    }
}

#[test]
fn a_mistake_shows_its_place_and_the_nearest_name() {
    let mut errors = refused("[docker]\nparalel_pulls = 4\n");
    errors.errors[0].place = "/etc/orcad.toml".to_owned();
    insta::assert_snapshot!(errors, @r"
    error: /etc/orcad.toml: line 2, column 1: `docker.paralel_pulls`: unknown key
     --> /etc/orcad.toml:2:1
      |
    2 | paralel_pulls = 4
      | ^^^^^^^^^^^^^
      |
      = hint: did you mean `parallel_pulls`?
    ");
    assert!(errors.render(true).contains("\u{1b}["));
}

#[test]
fn hints() {
    for (text, hint) in [
        ("log_levl = 1", "did you mean `log_level`?"),
        ("parallel_pulls = 3", "`parallel_pulls` belongs in the table [docker]"),
        ("[docker]\nstate_dir = \"/x\"", "`state_dir` belongs above the first table"),
        ("[dockr]\nsocket = \"/x\"", "did you mean `docker`?"),
        ("[reserve]\nxyz = 1", "known here: cpus, memory, disk"),
        ("docker = 1", "write [docker], and its keys below"),
        ("roles = \"manager\"", "a list is written [\"a\", \"b\"]"),
    ] {
        assert_eq!(refused(text).errors[0].hint.as_deref(), Some(hint), "{text}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    for text in [
        "node_name = \"Not A Name\"",
        "roles = []",
        "roles = [\"worker\"]",
        "data_center = \"\"",
        "labels = { \"a b\" = \"x\" }",
        "state_dir = \"var/lib\"",
        "log_format = \"xml\"",
        "[docker]\nparallel_pulls = 0",
        "[docker]\nparallel_pulls = -1",
        "[docker]\npull_stall = \"2h\"",
        "[reserve]\nmemory = \"200%\"",
        "[metrics]\nperiod = \"10ms\"",
        "log_level = \"info\"\nlog_level = \"warn\"",
    ] {
        assert_eq!(refused(text).errors.len(), 1, "{text}");
    }
}

#[test]
fn files_that_cannot_be_trusted_or_read_are_refused() {
    let folder = Folder::new();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let file = folder.write("orcad.toml", "");
    mode(&file, 0o666);
    let error = folder.load(&Args::default(), &[]).unwrap_err().errors.remove(0);
    assert_eq!(error.hint, Some(format!("chmod o-w {}", file.display())));
    mode(&file, 0o664);
    assert!(folder.load(&Args::default(), &[]).is_ok());

    folder.write("orcad.toml.d/a.toml", "");
    mode(&folder.folder.path().join("orcad.toml.d"), 0o777);
    assert!(folder.load(&Args::default(), &[]).is_err());
    mode(&folder.folder.path().join("orcad.toml.d"), 0o755);

    folder.write("orcad.toml.d/a.toml", &"#".repeat(1024 * 1024 + 1));
    assert!(folder.load(&Args::default(), &[]).is_err());
    fs::write(folder.folder.path().join("orcad.toml.d/a.toml"), [0xff, 0xfe]).unwrap();
    assert!(folder.load(&Args::default(), &[]).is_err());
    fs::remove_file(folder.folder.path().join("orcad.toml.d/a.toml")).unwrap();
    fs::create_dir(folder.folder.path().join("orcad.toml.d/a.toml")).unwrap();
    assert!(folder.load(&Args::default(), &[]).is_err());
}

#[test]
fn a_named_file_must_be_there() {
    let args = Args { config: Some("/nowhere/orcad.toml".into()), ..Args::default() };
    assert!(load(&args, |_| None).unwrap_err().to_string().contains("there is no such file"));
}

#[test]
fn what_is_shown_reads_back_to_the_same() {
    let folder = Folder::new();
    folder.write(
        "orcad.toml",
        "node_name = \"n1\"\nlabels = { disk = \"ssd\" }\n[reserve]\nmemory = \"1GiB+2.5%\"\ncpus = 0.25\n",
    );
    let loaded = folder.load(&Args::default(), &[]).unwrap();
    for origins in [false, true] {
        let again = Folder::new();
        again.write("orcad.toml", &loaded.to_toml(origins));
        assert_eq!(again.load(&Args::default(), &[]).unwrap().config, loaded.config);
    }
    let json = loaded.to_json(true);
    assert_eq!(json["reserve"]["memory"]["value"], "1GiB+2.5%");
    assert_eq!(json["docker"]["socket"]["origin"], "default");
    assert_eq!(loaded.to_json(false)["labels"]["disk"], "ssd");
}

#[test]
fn the_commands() {
    let folder = Folder::new();
    let good = folder.write("good.toml", "log_level = \"debug\"\n");
    let bad = folder.write("bad.toml", "nope = 1\n");
    let mut out = Vec::new();
    assert!(
        check_command(&Args::default(), std::slice::from_ref(&good), |_| None, &mut out).unwrap().is_ok()
    );
    assert_eq!(String::from_utf8(out).unwrap(), format!("ok: {}\n", good.display()));
    assert!(
        check_command(&Args::default(), &[good.clone(), bad], |_| None, &mut Vec::new()).unwrap().is_err()
    );

    let (args, mut out) = (Args { config: Some(good), ..Args::default() }, Vec::new());
    assert!(show_command(&args, ShowFormat::Toml, false, |_| None, &mut out).unwrap().is_ok());
    assert!(String::from_utf8(out).unwrap().contains("\nlog_level = \"debug\"\n"));
}

#[test]
fn a_reload_tells_what_changes_and_what_waits_for_a_restart() {
    let mut new = Config::default();
    assert!(diff(&Config::default(), &new).is_empty());
    new.log_level = LogLevel::Debug;
    new.docker.parallel_pulls = 4;
    assert_eq!(
        diff(&Config::default(), &new),
        [
            Changed { key: "log_level", takes: Takes::Reload },
            Changed { key: "docker.parallel_pulls", takes: Takes::Restart }
        ]
    );
}

fn project(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

#[test]
fn the_packaged_file_names_every_key_with_its_default() {
    let packaged = project("packaging/orcad.toml");
    // A key is commented out without a space, words have one.
    let keys = packaged.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
        _ => line,
    });
    let folder = Folder::new();
    folder.write("orcad.toml", &keys.collect::<Vec<_>>().join("\n"));
    let loaded = folder.load(&Args::default(), &[]).unwrap();
    for key in KEYS {
        assert_ne!(loaded.origin(key), Origin::Default, "{} is not in it", key.name);
        let example = matches!(key.name, "node_name" | "labels" | "join" | "join_file");
        assert!(example || key.get(&loaded.config) == key.get(&Config::default()), "{}", key.name);
    }
    // And as it is packaged, it changes nothing.
    folder.write("orcad.toml", &packaged);
    assert_eq!(folder.load(&Args::default(), &[]).unwrap().config, Config::default());
}

#[test]
fn the_manual_page_names_every_key() {
    let page = project("man/orcad.toml.5");
    let named: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".It Ic "))
        .flat_map(|line| line.split([' ', ',']).filter(|word| !word.is_empty()))
        .collect();
    assert_eq!(named, KEYS.iter().map(|key| key.name).collect());
}
