//! The whole daemon in this process over a fake engine: real sockets, real stores, the real link.

mod endurance;
mod health;
mod node;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use node::{Node, SOON, lines_until, request};
use orca_api::stream::{Decoder, Frame};
use orca_api::task::Phase;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_task_runs_is_seen_stopped_and_removed() {
    let node = Node::start().await;
    node.run("web", json!({ "image": "busybox", "env": { "FAKE_OUTPUT": "hello" }, "ports": ["80"] })).await;
    let task = node.until_running("web").await;
    assert_eq!((task["attempts"].as_u64(), task["restarts"].as_u64()), (Some(1), Some(0)), "{task}");
    let name = node.engine.containers()[0].name.clone();
    assert!(name.starts_with("web-a1-"), "{name}");

    let mut logs = node.send(request("GET", "/v1/tasks/web/logs", None)).await.into_body();
    let lines = lines_until(&mut logs, |line| line["text"] == "hello").await;
    assert_eq!(
        (lines[0]["stream"].as_str(), lines[0]["attempt"].as_u64()),
        (Some("stdout"), Some(1)),
        "{lines:?}"
    );

    let (status, explained) = node.json("GET", "/v1/tasks/web/explain", None).await;
    assert!(
        status == 200 && explained["verdict"].as_str().is_some_and(|v| v.contains("runs on")),
        "{explained}"
    );

    assert_eq!(node.json("DELETE", "/v1/tasks/web", None).await.0, 409, "it runs");
    assert_eq!(node.json("POST", "/v1/tasks/web/stop", None).await.0, 200);
    let stopped = node.until_phase("web", Phase::Completed).await;
    assert_eq!(stopped["reason"], "stopped_by_user");
    assert_eq!(node.json("DELETE", "/v1/tasks/web", None).await.0, 200);
    let gone = async {
        while !node.engine.containers().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("its container is removed");
    assert_eq!(node.json("GET", "/v1/tasks/web", None).await.0, 404);
    node.stopped().await;
}

#[tokio::test]
async fn output_is_followed_over_a_restart() {
    let node = Node::start().await;
    node.run("web", json!({ "image": "busybox", "env": { "FAKE_OUTPUT": "up" }, "restart": "always" })).await;
    node.until_running("web").await;
    let mut logs = node.send(request("GET", "/v1/tasks/web/logs?follow=true", None)).await.into_body();
    lines_until(&mut logs, |line| line["text"] == "up").await;
    node.engine.exit(&node.engine.containers()[0].name, 3);
    let lines = lines_until(&mut logs, |line| line["attempt"] == 2).await;
    assert!(
        lines.iter().any(|l| l["type"] == "note" && l["text"] == "attempt 1 failed (exited): exit code 3"),
        "{lines:?}"
    );
    let task = node.until_running("web").await;
    assert_eq!((task["restarts"].as_u64(), task["exit_code"].as_i64()), (Some(1), Some(3)), "{task}");
    node.json("POST", "/v1/tasks/web/stop", None).await;
    let last = lines_until(&mut logs, |_| false).await;
    assert!(
        last.iter().any(|l| l["text"].as_str().is_some_and(|t| t.starts_with("attempt 2 stopped"))),
        "{last:?}"
    );
    node.stopped().await;
}

#[tokio::test]
async fn a_restart_of_the_daemon_touches_no_container() {
    let node = Node::start().await;
    for name in ["a", "b", "c"] {
        node.run(name, json!({ "image": "busybox" })).await;
        node.until_running(name).await;
    }
    let before: Vec<_> = node.engine.containers().into_iter().map(|c| c.id).collect();
    node.engine.forget_calls();
    let node = node.restarted().await;
    // What exits while it is away is booked as what it was.
    for name in ["a", "b", "c"] {
        let task = node.until(name, |task| task["stale_since"].is_null() && task["state"] == "running").await;
        assert_eq!((task["attempts"].as_u64(), task["restarts"].as_u64()), (Some(1), Some(0)), "{task}");
    }
    let ready = async {
        while node.json("GET", "/v1/nodes", None).await.1["items"][0]["state"] != "ready" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, ready).await.expect("the worker says hello");
    let after: Vec<_> = node.engine.containers().into_iter().map(|c| c.id).collect();
    assert_eq!(before, after);
    for end in ["/start", "/stop", "/kill", "/create"] {
        assert_eq!(node.engine.count("POST", end), 0, "{end}");
    }
    node.stopped().await;
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let node = Node::start().await;
    node.run("none", json!({ "image": "nowhere" , "restart": "never" })).await;
    let task = node.until_phase("none", Phase::Failed).await;
    assert_eq!(
        (task["reason"].as_str(), task["state"].as_str()),
        (Some("image_not_found"), Some("rejected")),
        "{task}"
    );
    let clash = "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated";
    node.run("port", json!({ "image": "busybox", "restart": "never", "env": { "FAKE_START_ERROR": clash } }))
        .await;
    let task = node.until_phase("port", Phase::Failed).await;
    assert_eq!(task["reason"], "port_taken", "{task}");
    node.run("big", json!({ "image": "busybox", "reserve_memory": "4096GiB" })).await;
    let task = node.until("big", |task| task["reason"] == "no_fit").await;
    assert!(task["message"].as_str().is_some_and(|m| m.contains("memory")), "{task}");
    node.stopped().await;
}

#[tokio::test]
async fn a_process_runs_in_a_task_over_an_upgraded_connection() {
    let node = Node::start().await;
    node.run("web", json!({ "image": "busybox" })).await;
    node.until_running("web").await;
    let mut exec = request("POST", "/v1/tasks/web/exec", Some(json!({ "command": ["cat"], "stdin": true })));
    exec.headers_mut().insert("connection", "Upgrade".parse().expect("a value"));
    exec.headers_mut().insert("upgrade", orca_api::stream::PROTOCOL.parse().expect("a value"));
    let answer = node.send(exec).await;
    assert_eq!(answer.status(), 101);
    let mut io = TokioIo::new(hyper::upgrade::on(answer).await.expect("an upgrade"));
    for frame in [Frame::Stdin(b"abc\n".to_vec()), Frame::Stdin(Vec::new())] {
        io.write_all(&frame.encode()).await.expect("it takes it");
    }
    let (mut decoder, mut out, mut buffer) = (Decoder::default(), Vec::new(), [0; 4096]);
    let ended = async {
        loop {
            while let Some(frame) = decoder.next_frame().expect("frames") {
                match frame {
                    Frame::Stdout(bytes) => out.extend(bytes),
                    Frame::Exit(code) => return code,
                    other => panic!("{other:?}"),
                }
            }
            let read = io.read(&mut buffer).await.expect("it does not break");
            assert_ne!(read, 0, "it ended without a last frame");
            decoder.push(&Bytes::copy_from_slice(&buffer[..read]));
        }
    };
    let code = tokio::time::timeout(SOON, ended).await.expect("it ends in time");
    assert_eq!((code, String::from_utf8_lossy(&out).as_ref()), (0, "abc\n"));
    node.stopped().await;
}

#[tokio::test]
async fn an_engine_that_goes_and_comes_back_is_seen() {
    let node = Node::start().await;
    node.run("web", json!({ "image": "busybox" })).await;
    node.until_running("web").await;
    node.engine.go_down(true);
    let stale = node.until("web", |task| !task["stale_since"].is_null()).await;
    assert_eq!(stale["state"], "running", "nothing is concluded while it is away");
    let (_, status) = node.json("GET", "/v1/status", None).await;
    assert!(status["attention"].to_string().contains("engine"), "{status}");
    node.engine.come_back();
    let task = node.until("web", |task| task["stale_since"].is_null()).await;
    assert_eq!((task["state"].as_str(), task["attempts"].as_u64()), (Some("running"), Some(1)), "{task}");
    node.stopped().await;
}

#[tokio::test]
async fn measurements_reach_the_manager() {
    let node = Node::start().await;
    let measured = async {
        loop {
            let (_, list) = node.json("GET", "/v1/nodes", None).await;
            if list["items"][0]["memory"]["used"].is_u64() {
                return list["items"][0]["name"].as_str().unwrap_or_default().to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let name = tokio::time::timeout(SOON, measured).await.expect("they are polled");
    let (_, detail) = node.json("GET", &format!("/v1/nodes/{name}"), None).await;
    assert!(detail["load"]["machine"]["memory_total"].as_u64().is_some_and(|b| b > 0), "{detail}");
    node.stopped().await;
}
