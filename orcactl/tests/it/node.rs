//! `orcactl node …`, and the commands that concern the whole.

use insta::assert_snapshot;
use serde_json::json;

use crate::cluster;
use crate::run::run;
use crate::server::{Reply, Server};
use crate::views;

#[test]
fn list() {
    let server = || Server::new().json("GET /v1/nodes", &views::list(views::nodes()));
    assert_snapshot!("node_list", run(&server(), "node list"));
    assert_snapshot!("node_list_wide", run(&server(), "node list -o wide"));
    assert_snapshot!("node_list_name", run(&server(), "node list -o name"));
    assert_snapshot!("node_list_quiet", run(&server(), "node list -q"));
    assert_snapshot!("node_list_json", run(&server(), "node list -o json"));
}

#[test]
fn inspect() {
    let server = || Server::new().json("GET /v1/nodes/n1", &views::node_detail());
    assert_snapshot!("node_inspect", run(&server(), "node inspect n1"));
    assert_snapshot!("node_inspect_name", run(&server(), "node inspect -o name n1"));
}

#[test]
fn of_many_machines() {
    let mut nodes: Vec<serde_json::Value> =
        views::nodes().iter().map(|node| serde_json::to_value(node).unwrap()).collect();
    nodes.push(views::far_node());
    let server = || Server::new().json("GET /v1/nodes", &views::list(nodes.clone()));
    assert_snapshot!("node_list_skew", run(&server(), "node list"));
    assert_snapshot!("node_list_skew_wide", run(&server(), "node list -o wide"));
    let mut detail = views::node_detail();
    detail.as_object_mut().unwrap().extend(views::far_node().as_object().unwrap().clone());
    detail["data_center"] = json!("north");
    detail["differs"] = json!(["label rack: b, not a"]);
    detail["drain"] = cluster::drain(&[
        ("web", Some("n1"), "starting on n1", None),
        ("db", None, "", Some("its volume is here")),
    ]);
    let server = Server::new().json("GET /v1/nodes/n3", &detail);
    assert_snapshot!("node_inspect_far", run(&server, "node inspect n3"));
}

#[test]
fn availability() {
    let server = Server::new().json("PUT /v1/nodes/n1/availability", &views::nodes()[0]);
    assert_snapshot!("node_pause", run(&server, "node pause n1"));
    let server = Server::new().json("PUT /v1/nodes/n1/availability", &views::nodes()[0]);
    assert_snapshot!("node_activate", run(&server, "node activate -o name n1"));
    let server = Server::new().json("POST /v1/nodes/n2/confirm-down", &views::nodes()[1]);
    assert_snapshot!("node_confirm_down", run(&server, "node confirm-down n2"));
}

fn status(attention: serde_json::Value) -> serde_json::Value {
    json!({
        "cluster": "7ZK3M000000CRAB1", "node": "7ZK3M0000000N1D1", "node_name": "n1", "roles": ["manager", "worker"],
        "version": "0.1.0", "started_at": "2026-11-01T09:00:00Z", "revision": 418, "nodes": {"ready": 2, "down": 0},
        "tasks": {"running": 1, "pending": 2}, "attention": attention, "node_list": views::nodes(),
    })
}

#[test]
fn the_status() {
    let server = Server::new().json("GET /v1/status", &status(json!([])));
    assert_snapshot!("status", run(&server, "status"));
    let items: Vec<_> =
        (1..=5).map(|i| json!({"text": format!("thing {i}"), "hint": format!("orcactl do {i}")})).collect();
    let server = Server::new().json("GET /v1/status", &status(json!(items)));
    let text = run(&server, "status");
    let lines = text
        .split("----- stdout -----\n")
        .nth(1)
        .and_then(|t| t.split("----- stderr").next())
        .map(str::lines)
        .unwrap()
        .count();
    assert!(lines <= 10, "{lines} lines");
    assert_snapshot!("status_attention", text);
    let server = Server::new().json("GET /v1/status", &status(json!([])));
    assert_snapshot!("status_json", run(&server, "status -o json"));
}

#[test]
fn the_status_of_a_worker() {
    let with = |link: serde_json::Value| {
        let mut value = status(json!([]));
        value["roles"] = json!(["worker"]);
        value["link"] = link;
        Server::new().json("GET /v1/status", &value)
    };
    let link = json!({"managers": ["10.0.0.1:7443"], "state": "connected", "since": "2026-11-01T12:00:00Z"});
    assert_snapshot!("status_worker", run(&with(link), "status"));
    let link = json!({"managers": ["10.0.0.1:7443"], "state": "connecting", "since": "2026-11-01T12:00:00Z"});
    assert_snapshot!("status_worker_alone", run(&with(link), "status"));
}

fn event(revision: u64, kind: &str, message: &str) -> serde_json::Value {
    json!({
        "revision": revision, "index": 0, "at": "2026-11-01T12:00:00Z", "kind": kind, "task": "7ZK3M0000000WEB1", "task_name": "web",
        "node": "7ZK3M0000000N1D1", "node_name": "n1", "state": "failed", "reason": "exited", "message": message,
        "by": "uid 1000 (pid 4242)", "request_id": "7ZK3M0000000REQ1",
    })
}

#[test]
fn events() {
    let list = json!({"items": [event(417, "task.state", "exited with 1")], "revision": 418});
    let server = || Server::new().json("GET /v1/events", &list);
    assert_snapshot!("events", run(&server(), "events --task web --since 400 -n 5"));
    assert_snapshot!("events_wide", run(&server(), "events -o wide --node n1"));
    assert_snapshot!("events_json", run(&server(), "events -o json"));
    let server = Server::new().json("GET /v1/events", &json!({"items": [], "revision": 418}));
    assert_snapshot!("events_none", run(&server, "events"));
}

#[test]
fn events_resume_where_the_stream_broke() {
    let sse = |event: serde_json::Value| {
        format!(": hello\n\nid: {}.0\nevent: task.state\ndata: {event}\n\n", event["revision"])
    };
    let gone = orca_api::error::Problem::new(orca_api::error::Code::NotAllowed, "the end of the test");
    let server = Server::new()
        .reply("GET /v1/events", Reply::Body(200, "text/event-stream", sse(event(1, "task.state", "first"))))
        .reply("GET /v1/events", Reply::Body(200, "text/event-stream", sse(event(2, "task.state", "second"))))
        .problem("GET /v1/events", &gone);
    assert_snapshot!(run(&server, "events -f -q"));
}

#[test]
fn version() {
    let server = Server::new().json("GET /v1/version", &json!({"version": "0.0.9", "api": "v1", "link": 1}));
    assert_snapshot!("version", run(&server, "version"));
    assert_snapshot!("version_json", run(&server, "version -o json"));
}
