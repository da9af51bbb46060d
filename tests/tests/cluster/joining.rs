//! A machine becomes a node, works, and is one of its own again.

use serde_json::json;

use crate::node::Node;

#[tokio::test]
async fn two_machines_join_and_run_tasks() {
    let (m, a, b) = tokio::join!(Node::start("m1"), Node::start("a1"), Node::start("b1"));
    a.join(&m).await;
    b.join(&m).await;
    let cluster = m.ok("PUT", "/v1/cluster", Some(json!({ "scheduler": "spread" }))).await;
    assert_eq!(cluster["scheduler"], "spread", "{cluster}");
    for n in 0..6 {
        m.run(&format!("t{n}"), json!({ "image": "busybox" })).await;
    }
    for n in 0..6 {
        m.until_running(&format!("t{n}")).await;
    }
    let on = [&m, &a, &b].map(|node| node.engine.containers().len());
    assert_eq!(on, [2, 2, 2], "equal tasks spread");
    let status = a.until("/v1/status", |status| status["link"]["state"] == "connected").await;
    assert_eq!(
        (status["node_name"].as_str(), &status["roles"]),
        (Some("a1"), &json!(["worker"])),
        "{status}"
    );
    let (code, refused) = a.json("GET", "/v1/tasks", None).await;
    assert_eq!((code, refused["code"].as_str()), (421, Some("ORCA-2206")), "{refused}");

    // A restart of any of them changes nothing.
    let (m, a) = (m.restarted().await, a.restarted().await);
    m.until_node("a1", "ready").await;
    m.until_node("b1", "ready").await;
    for n in 0..6 {
        let task = m.until_running(&format!("t{n}")).await;
        assert_eq!(task["attempts"], 1, "{task}");
    }
    let on = [&m, &a, &b].map(|node| node.engine.containers().len());
    assert_eq!(on, [2, 2, 2]);
    for node in [m, a, b] {
        node.stopped().await;
    }
}
