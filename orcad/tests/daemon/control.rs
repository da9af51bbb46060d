//! The control socket: what it refuses and how, idempotency, waiting, events, stopping.

use std::time::Duration;

use crate::running::{Running, SOON, read, request, task};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

/// Every refusal is a problem with the code's status, and carries the request's id.
#[tokio::test]
async fn refusals_are_problems() {
    let daemon = Running::start().await;
    let cases = [
        ("GET", "/v1/nothing", None, 404, "ORCA-1003"),
        ("PUT", "/v1/tasks", None, 405, "ORCA-1004"),
        ("GET", "/v1/tasks/none", None, 404, "ORCA-2001"),
        ("GET", "/v1/nodes/none", None, 404, "ORCA-2201"),
        ("GET", "/v1/tasks?colour=red", None, 400, "ORCA-1001"),
        ("GET", "/v1/tasks?limit=0", None, 400, "ORCA-1001"),
        ("GET", "/v1/tasks?filter=phase%3Dup", None, 400, "ORCA-1001"),
        ("GET", "/v1/tasks/%ff", None, 400, "ORCA-1001"),
        ("POST", "/v1/tasks", Some(json!({ "spec": { "imagf": "x" } })), 400, "ORCA-1001"),
        (
            "POST",
            "/v1/tasks",
            Some(json!({ "spec": { "image": "busybox", "memory": "1k" } })),
            422,
            "ORCA-1002",
        ),
        ("POST", "/v1/tasks", Some(json!([])), 400, "ORCA-1001"),
        ("POST", "/v1/tasks/none/stop", None, 404, "ORCA-2001"),
        ("POST", "/v1/tasks/none/exec", Some(json!({ "command": ["ls"] })), 400, "ORCA-1001"),
        ("PUT", "/v1/nodes/n1/availability", Some(json!({ "availability": "asleep" })), 400, "ORCA-1001"),
        ("GET", "/v1/events?since=x", None, 400, "ORCA-1001"),
    ];
    for (method, target, body, status, code) in cases {
        let answer = daemon.send(request(method, target, body)).await;
        let headers = answer.headers().clone();
        let (got, problem) = read(answer).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{method} {target}: {problem}");
        assert_eq!(headers["content-type"], "application/problem+json", "{method} {target}");
        assert_eq!(problem["status"], status, "{method} {target}");
        assert_eq!(headers["x-request-id"], problem["request_id"].as_str().unwrap(), "{method} {target}");
    }
    let answer = daemon.send(request("PUT", "/v1/tasks", None)).await;
    assert_eq!(answer.headers()["allow"], "GET, POST");
    daemon.stopped().await;
}

#[tokio::test]
async fn a_clients_request_id_is_kept_and_a_strange_one_is_not() {
    let daemon = Running::start().await;
    let mut with = request("GET", "/v1/version", None);
    with.headers_mut().insert("x-request-id", "abc-1".parse().unwrap());
    assert_eq!(daemon.send(with).await.headers()["x-request-id"], "abc-1");
    let mut with = request("GET", "/v1/version", None);
    with.headers_mut().insert("x-request-id", "a b".parse().unwrap());
    assert_ne!(daemon.send(with).await.headers()["x-request-id"], "a b");
    daemon.stopped().await;
}

/// What is no HTTP, or more of it than is allowed, is answered with an error status and the connection is closed; the
/// daemon goes on.
#[tokio::test]
async fn broken_and_oversized_requests() {
    let daemon = Running::start().await;
    let many_headers = "h: x\r\n".repeat(200);
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("garbage", b"\x00\x01\x02 nonsense\r\n\r\n".to_vec(), &["400"]),
        ("http/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &["none", "400", "505"]),
        ("two lengths", b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_vec(), &["400"]),
        ("bad chunk", b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(), &["400"]),
        ("many headers", format!("GET /v1/version HTTP/1.1\r\n{many_headers}\r\n").into_bytes(), &["431", "400"]),
        ("long head", format!("GET /v1/version HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024)).into_bytes(), &["431"]),
        ("long target", format!("GET /v1/tasks?filter={} HTTP/1.1\r\nconnection: close\r\n\r\n", "x".repeat(9000)).into_bytes(), &["413", "414", "431"]),
        ("announced large body", b"POST /v1/tasks HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 9999999\r\n\r\n".to_vec(), &["413"]),
    ];
    for (name, bytes, statuses) in cases {
        let answer = daemon.raw(&bytes).await;
        let status = answer.split(' ').nth(1).unwrap_or("none");
        assert!(statuses.contains(&status), "{name}: {answer}");
    }
    // Both a length and chunks: whatever is made of it, nothing is smuggled behind it.
    let smuggled = b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(!daemon.raw(smuggled).await.contains("node_list"));
    assert_eq!(daemon.json("GET", "/v1/version", None).await.0, 200);
    daemon.stopped().await;
}

#[tokio::test]
async fn bodies_have_a_type_a_size_and_a_depth() {
    let daemon = Running::start().await;
    let mut untyped = request("POST", "/v1/tasks", Some(task("a")));
    untyped.headers_mut().remove("content-type");
    assert_eq!(daemon.send(untyped).await.status(), 415);
    let large = json!({ "spec": { "image": "x", "command": ["x".repeat(1024 * 1024)] } });
    assert_eq!(daemon.json("POST", "/v1/tasks", Some(large)).await.0, 413);
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let (status, problem) = daemon.json("POST", "/v1/tasks", Some(deep)).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("ORCA-1001")));
    let (_, problem) =
        daemon.json("POST", "/v1/tasks", Some(json!({ "spec": { "image": "x", "memry": "1g" } }))).await;
    assert_eq!(problem["details"]["path"], "spec.memry", "{problem}");
    assert_eq!(problem["hint"][0], "did you mean `memory`?", "{problem}");
    daemon.stopped().await;
}

/// The connections of one user are bounded only for users other than root; in all there are 512.
#[tokio::test]
async fn too_many_connections_are_turned_away_and_the_rest_go_on() {
    let daemon = Running::start().await;
    let mut held = Vec::new();
    for _ in 0..512 {
        held.push(tokio::net::UnixStream::connect(daemon.socket()).await.unwrap());
    }
    let turned_away = async {
        loop {
            let answer = daemon.raw(b"GET /v1/version HTTP/1.1\r\nconnection: close\r\n\r\n").await;
            if answer.starts_with("HTTP/1.1 503") {
                return answer;
            }
            // The last of those that are held may not be accepted yet.
            held.push(tokio::net::UnixStream::connect(daemon.socket()).await.unwrap());
        }
    };
    let answer = tokio::time::timeout(SOON, turned_away).await.unwrap();
    assert!(answer.contains("application/problem+json") && answer.contains("ORCA-1011"), "{answer}");
    drop(held);
    let again = async {
        while !daemon
            .raw(b"GET /v1/version HTTP/1.1\r\nconnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, again).await.unwrap();
    daemon.stopped().await;
}

#[tokio::test]
async fn a_key_is_answered_once_and_belongs_to_its_request() {
    let daemon = Running::start().await;
    let with_key = |body: Value| {
        let mut request = request("POST", "/v1/tasks", Some(body));
        request.headers_mut().insert("idempotency-key", "k-1".parse().unwrap());
        request
    };
    let (status, first) = read(daemon.send(with_key(task("a"))).await).await;
    assert_eq!(status, 201, "{first}");
    let (status, second) = read(daemon.send(with_key(task("a"))).await).await;
    assert_eq!((status, &second["task"]["id"]), (201, &first["task"]["id"]));
    let (status, other) = read(daemon.send(with_key(task("b"))).await).await;
    assert_eq!((status, other["code"].as_str()), (422, Some("ORCA-1008")));
    let (_, list) = daemon.json("GET", "/v1/tasks", None).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    daemon.stopped().await;
}

#[tokio::test]
async fn revisions_are_tags_and_are_matched() {
    let daemon = Running::start().await;
    daemon.json("POST", "/v1/tasks", Some(task("a"))).await;
    let answer = daemon.send(request("GET", "/v1/tasks/a", None)).await;
    let tag = answer.headers()["etag"].clone();
    let (_, detail) = read(answer).await;
    assert_eq!(tag, format!("\"{}\"", detail["revision"]));
    let stop = |tag: &str| {
        let mut request = request("POST", "/v1/tasks/a/stop", None);
        request.headers_mut().insert("if-match", tag.parse().unwrap());
        request
    };
    assert_eq!(daemon.send(stop("\"1\"")).await.status(), 412);
    assert_eq!(daemon.send(stop(tag.to_str().unwrap())).await.status(), 200);
    daemon.stopped().await;
}

#[tokio::test]
async fn lists_are_cut_continued_and_filtered() {
    let daemon = Running::start().await;
    // On a paused node all of them stay pending.
    let paused = Some(json!({ "availability": "paused" }));
    daemon.json("PUT", "/v1/nodes/n1/availability", paused).await;
    for name in ["a", "b", "c", "db"] {
        assert_eq!(daemon.json("POST", "/v1/tasks", Some(task(name))).await.0, 201);
    }
    let names = |list: &Value| {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (_, first) = daemon.json("GET", "/v1/tasks?limit=2", None).await;
    assert_eq!((names(&first), first["continue"].as_str()), (vec!["a".into(), "b".into()], Some("b")));
    let (_, rest) = daemon.json("GET", "/v1/tasks?limit=2&continue=b", None).await;
    assert_eq!((names(&rest), rest.get("continue")), (vec!["c".into(), "db".into()], None));
    let (_, some) = daemon.json("GET", "/v1/tasks?filter=name%3Dd*,phase%3Dpending", None).await;
    assert_eq!(names(&some), ["db"]);
    daemon.stopped().await;
}

#[tokio::test]
async fn a_parked_request_is_answered_by_a_change_by_time_and_by_the_stop() {
    let daemon = Running::start().await;
    let (_, started) = daemon.json("POST", "/v1/tasks", Some(task("a"))).await;
    let revision = started["task"]["revision"].as_u64().unwrap();
    let parked = format!("/v1/tasks/a?since={revision}&wait=60s");
    let (waited, _) =
        tokio::join!(daemon.json("GET", &parked, None), daemon.json("POST", "/v1/tasks/a/stop", None));
    let revision = waited.1["revision"].as_u64().unwrap();
    assert!(waited.0 == 200 && waited.1["wanted"] == "stopped", "{waited:?}");

    let (status, same) = daemon.json("GET", &format!("/v1/tasks/a?since={revision}&wait=50ms"), None).await;
    assert_eq!((status, same["revision"].as_u64()), (200, Some(revision)));

    let mut send = daemon.connect().await;
    let waiting = send.send_request(request("GET", &format!("/v1/tasks/a?since={revision}&wait=60s"), None));
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        daemon.stop();
    };
    let (answer, ()) = tokio::join!(waiting, stopping);
    assert_eq!(read(answer.unwrap()).await.0, 200);
    daemon.stopped().await;
}

#[tokio::test]
async fn a_removed_task_answers_who_waits_for_it() {
    let daemon = Running::start().await;
    // On a paused node it is never placed, so no engine has to confirm that nothing runs.
    daemon.json("PUT", "/v1/nodes/n1/availability", Some(json!({ "availability": "paused" }))).await;
    let (_, started) = daemon.json("POST", "/v1/tasks", Some(task("a"))).await;
    let gone = async {
        let mut since = started["task"]["revision"].clone();
        loop {
            let (status, task) =
                daemon.json("GET", &format!("/v1/tasks/a?since={since}&wait=60s"), None).await;
            if status != 200 {
                return status;
            }
            since = task["revision"].clone();
        }
    };
    let gone = tokio::time::timeout(SOON, gone);
    let (gone, removed) = tokio::join!(gone, daemon.json("DELETE", "/v1/tasks/a?force=true", None));
    assert_eq!((gone, removed.0), (Ok(404), 200));
    daemon.stopped().await;
}

/// Reads a stream of events until it has so many.
async fn events(body: &mut Incoming, text: &mut String, count: usize) -> Vec<(String, Value)> {
    let enough = async {
        loop {
            let all = text.split("\n\n").filter_map(event).collect::<Vec<_>>();
            if all.len() >= count {
                return all;
            }
            let frame = body.frame().await.expect("the stream goes on").expect("it does not break");
            text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap_or_default()));
        }
    };
    tokio::time::timeout(SOON, enough).await.expect("they come in time")
}

fn event(text: &str) -> Option<(String, Value)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    Some((field("id: ")?, serde_json::from_str(&field("data: ")?).ok()?))
}

#[tokio::test]
async fn events_are_followed_and_resumed_without_loss_or_doubles() {
    let daemon = Running::start().await;
    daemon.json("POST", "/v1/tasks", Some(task("a"))).await;
    let (_, list) = daemon.json("GET", "/v1/events?task=a", None).await;
    let created = &list["items"][0];
    assert_eq!(
        (created["kind"].as_str(), created["by"].as_str().map(|b| b.starts_with("uid "))),
        (Some("task.created"), Some(true)),
        "{list}"
    );

    let mut follow = request("GET", "/v1/events?since=0&task=a", None);
    follow.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    let answer = daemon.send(follow).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let (mut body, mut text) = (answer.into_body(), String::new());
    let before = events(&mut body, &mut text, list["items"].as_array().unwrap().len()).await;
    daemon.json("POST", "/v1/tasks/a/stop", None).await;
    let live = events(&mut body, &mut text, before.len() + 1).await;
    let last_seen = &before.last().unwrap().0;
    drop(body);

    let mut resumed = request("GET", "/v1/events?follow=true&since=0&task=a", None);
    resumed.headers_mut().insert("last-event-id", last_seen.parse().unwrap());
    let mut body = daemon.send(resumed).await.into_body();
    let again = events(&mut body, &mut String::new(), 1).await;
    assert_eq!(again[0].0, live[before.len()].0, "it goes on after the last one that was seen");

    let stream = tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
    daemon.stopped().await;
    tokio::time::timeout(SOON, stream).await.expect("streams end with the daemon").unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let daemon = Running::start().await;
    let (_, before) = daemon.json("POST", "/v1/tasks", Some(task("a"))).await;
    let (_, status) = daemon.json("GET", "/v1/status", None).await;
    let folder = daemon.stopped().await;
    let daemon = Running::start_in(folder).await;
    let (_, after) = daemon.json("GET", "/v1/tasks/a", None).await;
    assert_eq!(after["id"], before["task"]["id"]);
    let (_, again) = daemon.json("GET", "/v1/status", None).await;
    assert_eq!((&again["cluster"], &again["node"]), (&status["cluster"], &status["node"]));
    daemon.stopped().await;
}

#[tokio::test]
async fn the_other_routes_answer() {
    let daemon = Running::start().await;
    daemon.json("POST", "/v1/tasks", Some(task("a"))).await;
    for target in
        ["/v1/status", "/v1/tasks/a/explain", "/v1/tasks/a/stats", "/v1/stats", "/v1/nodes", "/v1/nodes/n1"]
    {
        let (status, body) = daemon.json("GET", target, None).await;
        assert_eq!(status, 200, "{target}: {body}");
    }
    let (_, document) = daemon.json("GET", "/v1/openapi.json", None).await;
    assert!(document["paths"]["/v1/tasks/{task}"]["get"].is_object());
    let listen = json!({ "listen": "127.0.0.1:0" });
    for (route, body, changed) in [
        ("/v1/roles/worker", None, false),
        ("/v1/roles/manager", Some(listen), true),
        ("/v1/roles/manager", None, false),
    ] {
        let (status, roles) = daemon.json("POST", route, body).await;
        assert_eq!((status, roles["changed"].as_bool()), (200, Some(changed)), "{roles}");
    }
    let (status, fits) =
        daemon.json("POST", "/v1/explain", Some(json!({ "spec": { "image": "busybox" } }))).await;
    assert_eq!((status, fits["nodes"].as_array().map(Vec::len)), (200, Some(1)), "{fits}");
    let set = json!({ "availability": "paused" });
    let (status, node) = daemon.json("PUT", "/v1/nodes/n1/availability", Some(set)).await;
    assert_eq!((status, node["availability"].as_str()), (200, Some("paused")));
    let metrics =
        daemon.send(request("GET", "/metrics", None)).await.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&metrics).contains("\norca_tasks{phase=\""));
    daemon.stopped().await;
}

/// Where curl is installed, it works as the manual says.
#[tokio::test]
async fn curl_works() {
    let daemon = Running::start().await;
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "--unix-socket"]).arg(daemon.socket()).arg("http://orca/v1/version");
    match curl.output().await {
        Ok(out) => {
            let version: Value =
                serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
            assert_eq!(version["api"], "v1");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
    daemon.stopped().await;
}

/// A client that sends its head or body drop by drop is not waited for.
#[tokio::test]
async fn a_silent_client_is_closed() {
    let daemon = Running::start().await;
    let began = tokio::time::Instant::now();
    let answer = daemon.raw(b"GET /v1/version HTTP/1.1\r\nhost:").await;
    assert!(began.elapsed() < SOON && !answer.contains("200 OK"), "{answer}");
    daemon.stopped().await;
}
