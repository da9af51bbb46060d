//! Canned views. They were true at noon; the daemon's clock shows five minutes later.

use orca_api::control::{Explanation, List, NodeView, TaskAnswer, TaskView};
use orca_api::task::{Reason, State};
use serde_json::{Value, json};

const NOON: &str = "2026-11-01T12:00:00Z";

/// A task in a state.
pub fn task(name: &str, state: State, reason: Option<Reason>) -> TaskView {
    let ran = state >= State::Running;
    let ended = state.is_terminal();
    let value = json!({
        "id": "7ZK3M0000000WEB1", "name": name, "revision": 418, "wanted": "running", "phase": state.phase(), "state": state,
        "reason": reason, "message": "", "hint": "", "node": "n1", "node_id": "7ZK3M0000000N0D1", "image": "nginx:1.27",
        "restarts": 0, "attempts": u32::from(ran), "exit_code": null, "signal": null, "ports": [],
        "created_at": "2026-11-01T11:00:00Z", "since": NOON, "started_at": if ran { json!(NOON) } else { Value::Null },
        "finished_at": if ended { json!(NOON) } else { Value::Null }, "next_attempt_at": null, "progress": null,
        "stale_since": null, "warning": null, "version": 1,
    });
    serde_json::from_value(value).unwrap()
}

/// `web`, as it should be.
pub fn web() -> TaskView {
    let mut web = task("web", State::Running, None);
    web.ports = serde_json::from_value(json!([
        {"address": "0.0.0.0", "host": 8080, "container": 80, "protocol": "tcp"},
        {"address": "::", "host": 8080, "container": 80, "protocol": "tcp"},
    ]))
    .unwrap();
    web
}

/// `job`, between two attempts.
pub fn job() -> TaskView {
    let mut job = task("job", State::Waiting, Some(Reason::Backoff));
    job.attempts = 3;
    job.restarts = 2;
    job.exit_code = Some(1);
    job.message = "exited with 1; waiting before the next attempt".into();
    job.hint = "orcactl task logs job shows its last words".into();
    job.next_attempt_at = "2026-11-01T12:06:00Z".parse().ok();
    job
}

/// `big`, which fits nowhere.
pub fn big() -> TaskView {
    let mut big = task("big", State::Waiting, Some(Reason::NoFit));
    big.node = None;
    big.node_id = None;
    big.message = "big fits on no node".into();
    big.hint = "orcactl task explain big says which node lacks what".into();
    big
}

/// An answer to a mutation.
pub fn answer(task: TaskView, changed: bool) -> TaskAnswer {
    TaskAnswer { task, changed, explanation: None }
}

/// A list.
pub fn list<T>(items: Vec<T>) -> List<T> {
    List { items, revision: 418, next: None }
}

/// A task with its spec and history.
pub fn detail(task: &TaskView) -> Value {
    let attempt = |number: u32, state: &str, reason: Value, code: Value, message: &str| {
        json!({
            "number": number, "state": state, "reason": reason, "message": message, "exit_code": code, "signal": null,
            "created_at": "2026-11-01T11:58:00Z", "started_at": "2026-11-01T11:58:10Z",
            "finished_at": if state == "running" { Value::Null } else { json!("2026-11-01T11:59:40Z") },
        })
    };
    let mut value = serde_json::to_value(task).unwrap();
    let more = json!({
        "spec": {"image": "nginx:1.27", "ports": ["8080:80"], "memory": 268_435_456, "cpus": 0.5, "reserve_memory": 134_217_728,
            "command": ["nginx", "-g", "daemon off;"], "mounts": ["data:/srv:ro"], "restart": "always", "env": {"A": "1"},
            "health": {"http": "80/ready", "start_period": "30s"}},
        "spec_digest": "ab", "placement": "7ZK3M0000000PAC1",
        "history": [
            attempt(1, "failed", json!("exited"), json!(1), "exited with 1"),
            attempt(2, "rejected", json!("image_not_found"), Value::Null, "manifest unknown"),
            attempt(3, "running", Value::Null, Value::Null, ""),
        ],
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// Two nodes, one of them unwell.
pub fn nodes() -> Vec<NodeView> {
    let node = |name: &str, state: &str, availability: &str, conditions: Value| {
        json!({
            "id": format!("7ZK3M0000000{}D1", name.to_uppercase()), "name": name, "revision": 400, "roles": ["manager", "worker"],
            "state": state, "since": "2026-11-01T09:00:00Z", "availability": availability, "conditions": conditions,
            "cpu": {"total": 4.0, "reserve": 0.2, "reserved": 1.5, "used": 0.42},
            "memory": {"total": 8_589_934_592_u64, "reserve": 697_932_185, "reserved": 1_073_741_824, "used": 2_147_483_648_u64},
            "disk": {"total": 107_374_182_400_u64, "reserve": 0, "reserved": 0, "used": null},
            "tasks": 2, "version": "0.1.0", "engine": "20.10.24",
        })
    };
    serde_json::from_value(json!([
        node("n1", "ready", "active", json!([])),
        node("n2", "ready", "paused", json!(["engine_away"])),
    ]))
    .unwrap()
}

/// A node of another machine, with all that is known of one.
pub fn far_node() -> Value {
    let mut value = serde_json::to_value(&nodes()[1]).unwrap();
    let more = json!({
        "name": "n3", "id": "7ZK3M0000000N3D1", "roles": ["worker"], "state": "ready", "availability": "draining",
        "conditions": ["clock_skew"], "version": "0.0.9", "address": "10.0.0.3", "clock_ahead_ms": -2150,
        "certificate_expires_at": "2027-01-20T12:00:00Z",
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// A node with everything.
pub fn node_detail() -> Value {
    let mut value = serde_json::to_value(&nodes()[0]).unwrap();
    let more = json!({
        "os": "linux", "arch": "x86_64", "kernel": "6.1.0-18", "distribution": "Debian GNU/Linux 12", "engine_api": "1.41", "cgroup": 2,
        "labels": {"disk": "ssd"}, "data_center": "default", "tasks_on_node": [web(), job()],
        "load": {
            "at": "2026-11-01T12:04:58Z",
            "machine": {
                "cpus": 4, "cpu_now": 0.5, "cpu_average": 0.42, "cpu_steal": 0.0, "load_average": [0.5, 0.4, 0.3],
                "memory_total": 8_589_934_592_u64, "memory_used": 2_147_483_648_u64, "swap_total": 1_073_741_824, "swap_used": 0,
                "disks": [{"role": "engine", "path": "/var/lib/docker", "total": 107_374_182_400_u64, "free": 53_687_091_200_u64,
                    "read_bytes_s": 0.0, "write_bytes_s": 10240.0}],
                "networks": [{"device": "eth0", "rx_bytes_s": 2048.0, "tx_bytes_s": 512.0}],
                "pressure": {"cpu_some": 1.25, "memory_some": 0.0, "memory_full": 0.0, "io_some": 3.0, "io_full": 0.5},
                "oom_kills": 2, "uptime_s": 100,
            },
            "tasks": [],
        },
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// Why `big` fits nowhere.
pub fn explanation() -> Explanation {
    let filter = |name: &str, passes: bool, text: &str| json!({"filter": name, "passes": passes, "text": text, "needed": null, "free": null, "short_by": null});
    serde_json::from_value(json!({
        "verdict": "big fits on no node", "fits": false, "algorithm": "epvm",
        "nodes": [
            {"node": "n1", "node_id": "7ZK3M0000000N1D1", "fits": false, "chosen": false, "score": null, "parts": [], "filters": [
                filter("state", true, "ready"), filter("memory", false, "needs 64 GiB, 6.4 GiB are free: 57.6 GiB short"),
                filter("ports", true, "free")]},
            {"node": "n2", "node_id": "7ZK3M0000000N2D1", "fits": false, "chosen": false, "score": null, "parts": [], "filters": [
                filter("state", false, "paused")]},
        ],
        "refused": [{"filter": "memory", "nodes": 1, "example": "n1"}, {"filter": "state", "nodes": 1, "example": "n2"}],
        "suggestions": ["with --reserve-memory 6g it fits on n1"],
        "story": ["waiting since 12:00:00: no_fit", "it is tried again whenever a node changes"],
    }))
    .unwrap()
}

/// Why `web` runs where it runs.
pub fn explanation_of_web() -> Explanation {
    let filter = |name: &str| json!({"filter": name, "passes": true, "text": "ok", "needed": null, "free": null, "short_by": null});
    serde_json::from_value(json!({
        "verdict": "web runs on n1", "fits": true, "algorithm": "spread",
        "nodes": [
            {"node": "n1", "node_id": "7ZK3M0000000N1D1", "fits": true, "chosen": true, "score": 1204,
                "parts": [{"name": "cpu", "value": 1000, "text": "1.5 of 4"}, {"name": "memory", "value": 204, "text": ""}],
                "filters": [filter("state"), filter("memory")]},
            {"node": "n3", "node_id": "7ZK3M0000000N3D1", "fits": true, "chosen": false, "score": 2000, "parts": [],
                "filters": [filter("state"), filter("memory")]},
        ],
        "refused": [], "suggestions": [], "story": ["running since 12:00:00"],
    }))
    .unwrap()
}
