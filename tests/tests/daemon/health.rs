//! Checks over the network: the test is the process that listens, on the node's own network.

use orca_api::task::Phase;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::node::Node;

fn checked(port: u16) -> Value {
    json!({
        "image": "busybox", "network": "host", "restart": "on-failure:1",
        "health": { "tcp": port, "interval": "1s", "retries": 1, "start_period": "60s" },
    })
}

#[tokio::test]
async fn a_task_runs_once_it_answers_and_is_restarted_once_it_does_not() {
    let node = Node::start().await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);

    node.run("web", checked(port)).await;
    let refused = format!("its health check fails: tcp 127.0.0.1:{port}: connection refused");
    let task = node.until("web", |task| task["progress"]["step"] == refused.as_str()).await;
    assert_eq!((task["state"].as_str(), task["phase"].as_str()), (Some("starting"), Some("scheduled")));

    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("it is still free");
    let task = node.until_running("web").await;
    assert_eq!((task["attempts"].as_u64(), &task["progress"]), (Some(1), &Value::Null), "{task}");

    // A restart of the daemon does not make it start again.
    let node = node.restarted().await;
    let task = node.until("web", |task| task["stale_since"].is_null()).await;
    assert_eq!((task["attempts"].as_u64(), task["state"].as_str()), (Some(1), Some("running")), "{task}");

    drop(listener);
    let task = node.until("web", |task| task["attempts"] == 2 && task["state"] == "starting").await;
    let first = &task["history"][0];
    assert_eq!((first["state"].as_str(), first["reason"].as_str()), (Some("failed"), Some("unhealthy")));
    assert_eq!(first["message"].as_str(), Some(&refused["its health check fails: ".len()..]));
    node.stopped().await;
}

#[tokio::test]
async fn without_an_address_there_is_nothing_to_ask() {
    let node = Node::start().await;
    let mut spec = checked(80);
    spec["network"] = json!("none");
    spec["restart"] = json!("never");
    spec["health"]["start_period"] = Value::Null;
    node.run("web", spec).await;
    let task = node.until_phase("web", Phase::Failed).await;
    assert_eq!(task["reason"], "unhealthy");
    let message = task["message"].as_str().unwrap_or_default();
    assert!(message.contains("has no network address"), "{message}");
    node.stopped().await;
}
