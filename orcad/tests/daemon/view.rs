//! The view socket: every route that reads, none that does more, and nothing that may be secret.

use crate::running::{Running, SOON, connect, request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use orca_api::route::{Access, ROUTES};
use serde_json::{Value, json};

/// A request for every route; parts of paths are filled in with what exists.
fn every_route(access: Access) -> impl Iterator<Item = (&'static str, String)> {
    ROUTES.iter().filter(move |entry| entry.access == access).map(|entry| {
        let path = entry.path.replace("{task}", "web").replace("{node}", "n1").replace("{job}", "shop");
        (entry.method.as_str(), path)
    })
}

/// Sends a request on the view socket and reads the answer's text.
async fn view(daemon: &Running, request: Request<Full<Bytes>>) -> (u16, String) {
    let mut send = connect(&daemon.socket().with_file_name("view")).await;
    let answer = send.send_request(request);
    let answer = tokio::time::timeout(SOON, answer).await.expect("an answer in time").expect("an answer");
    let status = answer.status().as_u16();
    let body = tokio::time::timeout(SOON, answer.into_body().collect()).await.expect("a body in time");
    (status, String::from_utf8_lossy(&body.expect("a body").to_bytes()).into_owned())
}

async fn with_a_task() -> Running {
    let daemon = Running::start().await;
    let spec = json!({
        "image": "busybox",
        "env": { "TOKEN": "hunter2", "EMPTY": "" },
        "log_driver": "splunk",
        "log_opt": { "splunk-token": "hunter3" },
    });
    let (status, answer) =
        daemon.json("POST", "/v1/tasks", Some(json!({ "name": "web", "spec": spec }))).await;
    assert_eq!(status, 201, "{answer}");
    for (token, status) in [("hunter4", 201), ("hunter5", 200)] {
        let job =
            json!({ "name": "shop", "group": { "api": { "image": "busybox", "env": { "TOKEN": token } } } });
        let (found, answer) = daemon.json("POST", "/v1/jobs", Some(json!({ "job": job }))).await;
        assert_eq!(found, status, "{answer}");
    }
    daemon
}

#[tokio::test]
async fn what_does_more_than_read_is_refused_and_changes_nothing() {
    let daemon = with_a_task().await;
    let before = daemon.json("GET", "/v1/tasks/web", None).await.1;
    let mut refused = 0;
    for (method, path) in every_route(Access::Admin) {
        for body in [None, Some(json!({}))] {
            let (status, text) = view(&daemon, request(method, &path, body)).await;
            let problem: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (status, problem["code"].as_str()),
                (403, Some("ORCA-3001")),
                "{method} {path}: {text}"
            );
            assert!(
                problem["request_id"].is_string() && !problem["hint"].as_array().unwrap().is_empty(),
                "{text}"
            );
        }
        refused += 1;
    }
    assert!(refused >= 9, "{refused} routes");
    let after = daemon.json("GET", "/v1/tasks/web", None).await.1;
    assert_eq!((&after["wanted"], &after["version"]), (&before["wanted"], &before["version"]));
    daemon.stopped().await;
}

#[tokio::test]
async fn what_reads_is_answered_without_secrets() {
    let daemon = with_a_task().await;
    for (method, path) in every_route(Access::View) {
        let body = (method == "POST").then(|| json!({ "spec": { "image": "busybox" } }));
        let (status, text) = view(&daemon, request(method, &path, body)).await;
        assert_eq!(status, 200, "{method} {path}: {text}");
        assert!(!text.contains("hunter"), "{method} {path}: {text}");
    }
    let (_, text) = view(&daemon, request("GET", "/v1/tasks/web", None)).await;
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["spec"]["env"], json!({ "TOKEN": "…", "EMPTY": "…" }));
    assert_eq!(seen["spec"]["log_opt"], json!({ "splunk-token": "…" }));
    assert_eq!(seen["spec_digest"], "…");
    let own = daemon.json("GET", "/v1/tasks/web", None).await.1;
    assert_eq!(own["spec"]["env"]["TOKEN"], "hunter2");
    daemon.stopped().await;
}

/// What is wrong with a request is told as on the control socket.
#[tokio::test]
async fn other_refusals_are_the_same() {
    let daemon = Running::start().await;
    for (method, path, status) in
        [("GET", "/v1/nothing", 404), ("PUT", "/v1/tasks", 405), ("GET", "/v1/tasks/none", 404)]
    {
        assert_eq!(view(&daemon, request(method, path, None)).await.0, status, "{method} {path}");
    }
    daemon.stopped().await;
}
