//! `debug bundle`: what is in the file, and what is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use orca_api::control::Status;
use orca_api::task::{Reason, State};
use serde_json::json;

use crate::run::orcactl;
use crate::server::{Reply, Server};
use crate::views;

/// Every one of them stands somewhere in what is gathered.
const PLANTED: [&str; 8] = [
    "plain-value-of-a-variable",
    "5h0rt",
    "hunter2-of-an-address",
    "hunter2-of-an-argument",
    "hunter2-of-a-log-option",
    "hunter2-of-an-event",
    "hunter2-after-a-flag",
    "orca1-hunter2token",
];

fn daemon() -> Server {
    let mut web = views::detail(&views::web());
    web["spec"]["env"] = json!({"A": PLANTED[0], "PIN": PLANTED[1]});
    web["spec"]["health"] = json!({"exec": [format!("curl http://me:{}@localhost/", PLANTED[2])]});
    web["spec"]["command"] = json!(["serve", format!("--api-key={}", PLANTED[3]), "--password", PLANTED[6]]);
    web["spec"]["log_opt"] = json!({"splunk-token": PLANTED[4]});
    let events = json!({"items": [
        {"message": format!("password={} was refused", PLANTED[5])},
        {"message": format!("joined with {}", PLANTED[7])},
    ], "revision": 418, "next": null});
    let status: Status = serde_json::from_value(json!({
        "cluster": "7ZK3M0000000C1S1", "node": "7ZK3M0000000N0D1", "node_name": "n1", "roles": ["manager", "worker"],
        "version": "0.1.0", "started_at": "2026-11-01T09:00:00Z", "revision": 418, "nodes": {"ready": 1},
        "tasks": {"running": 1}, "attention": [], "node_list": [views::nodes()[0]],
    }))
    .unwrap();
    Server::new()
        .json("GET /v1/status", &status)
        .json("GET /v1/version", &json!({"version": "0.1.0", "api": "v1", "link": 1}))
        .json("GET /v1/events", &events)
        .json("GET /v1/stats", &views::list(Vec::<u8>::new()))
        .json("GET /v1/nodes/n1", &views::node_detail())
        .json(
            "GET /v1/tasks",
            &views::list(vec![views::web(), views::task("big", State::Waiting, Some(Reason::NoFit))]),
        )
        .json("GET /v1/tasks/web", &web)
        .json("GET /v1/tasks/big", &views::detail(&views::big()))
        .json("GET /v1/tasks/big/explain", &views::explanation())
        // A program may print its settings anywhere.
        .reply("GET /metrics", Reply::Body(200, "text/plain", format!("a{{b=\"{}\"}} 1\n", PLANTED[0])))
}

/// Makes a bundle and unpacks it; the folder that is in it, standard output and standard error.
fn bundle(socket: &Path, folder: &Path) -> (PathBuf, String, String) {
    let file = folder.join("x.tar.gz");
    let output = orcactl(socket, &["debug", "bundle", "-o", file.to_str().unwrap()])
        .env("PATH", std::env::var_os("PATH").unwrap())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out.trim(), file.display().to_string());
    // By the program that its receiver will use.
    let unpacked = Command::new("tar").args(["-xzf", "x.tar.gz"]).current_dir(folder).status().unwrap();
    assert!(unpacked.success());
    let mut folders = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_dir());
    (folders.next().unwrap(), out, err)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

#[test]
fn no_secret_is_in_it() {
    let (server, folder) = (daemon(), tempfile::tempdir().unwrap());
    let (inside, _, err) = bundle(server.socket(), folder.path());
    assert!(err.contains("without secrets") && err.contains("MANIFEST.txt"), "{err}");
    let all = files(&inside);
    for file in &all {
        let text = fs::read_to_string(file).unwrap();
        for secret in PLANTED {
            assert!(!text.contains(secret), "{secret} is in {}: {text}", file.display());
        }
    }
    let web = fs::read_to_string(inside.join("daemon/task-web.json")).unwrap();
    assert!(web.contains("\"A\": \"[replaced]\"") && web.contains("nginx:1.27"), "{web}");
    let manifest = fs::read_to_string(inside.join("MANIFEST.txt")).unwrap();
    let listed = |file: &PathBuf| manifest.contains(file.strip_prefix(&inside).unwrap().to_str().unwrap());
    let unlisted: Vec<&PathBuf> =
        all.iter().filter(|file| !file.ends_with("MANIFEST.txt") && !listed(file)).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}\n{manifest}");
    for name in [
        "daemon/status.json",
        "daemon/metrics.txt",
        "daemon/explain-big.json",
        "doctor.json",
        "machine/kernel.txt",
    ] {
        assert!(inside.join(name).is_file(), "{name}\n{manifest}");
    }
}

#[test]
fn it_is_made_without_a_daemon_too_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, _, err) = bundle(Path::new("/nowhere/orca.sock"), folder.path());
    assert!(err.contains("could not be had"), "{err}");
    let manifest = fs::read_to_string(inside.join("MANIFEST.txt")).unwrap();
    assert!(
        manifest.contains("everything that the daemon knows") && manifest.contains("there is no such socket"),
        "{manifest}"
    );
    assert!(inside.join("machine/kernel.txt").is_file() && !inside.join("daemon").exists());
}

#[test]
fn a_file_that_exists_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine");
    fs::write(&file, "mine").unwrap();
    let socket = Path::new("/nowhere/orca.sock");
    let output = orcactl(socket, &["debug", "bundle", "-o", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("exists already"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}
