//! `orcactl manager start` and `orcactl worker start`, with a `systemctl` of our own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::json;

use crate::run::{orcactl, report, run};
use crate::server::Server;

fn with_systemctl(script: &str, line: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("systemctl");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("orca.sock");
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = orcactl(&socket, &words).env("PATH", folder.path()).output().unwrap();
    report(line, &output, &socket)
}

#[test]
fn where_orcad_runs() {
    let server = || {
        let roles =
            json!({"roles": ["manager", "worker"], "changed": false, "message": "n1 is a worker already"});
        Server::new()
            .json("GET /v1/version", &json!({"version": "0.1.0", "api": "v1", "link": 1}))
            .json("POST /v1/roles/worker", &roles)
    };
    assert_snapshot!("worker_start", run(&server(), "worker start"));
    assert_snapshot!("worker_start_json", run(&server(), "worker start -o json"));
}

#[test]
fn where_it_does_not_the_unit_is_started() {
    // The unit's start is what makes the socket appear: the canned daemon's socket takes its place.
    let roles = json!({"roles": ["manager", "worker"], "changed": true, "message": "n1 is a manager now"});
    let server = Server::new()
        .json("GET /v1/version", &json!({"version": "0.1.0", "api": "v1", "link": 1}))
        .json("POST /v1/roles/manager", &roles);
    let hidden = server.socket().with_file_name("hidden.sock");
    std::fs::rename(server.socket(), &hidden).unwrap();
    let script = format!(
        "[ \"$*\" = \"--no-ask-password start orcad.service\" ] && /bin/mv {} {}",
        hidden.display(),
        server.socket().display()
    );
    let bin = Path::new(server.socket()).with_file_name("systemctl");
    std::fs::write(&bin, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&bin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output =
        orcactl(server.socket(), &["manager", "start"]).env("PATH", bin.parent().unwrap()).output().unwrap();
    assert_snapshot!(report("manager start", &output, server.socket()));
}

#[test]
fn where_the_unit_cannot_be_started() {
    let script = "echo 'Failed to start orcad.service: Access denied' >&2; exit 4";
    assert_snapshot!(with_systemctl(script, "worker start"));
}

#[test]
fn where_there_is_no_systemd() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("orca.sock");
    let output = orcactl(&socket, &["worker", "start"]).env("PATH", folder.path()).output().unwrap();
    assert_snapshot!(report("worker start", &output, &socket));
}
