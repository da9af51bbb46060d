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

/// Until a node is the manager of a cluster of its own.
async fn until_alone(node: &Node) {
    node.until("/v1/status", |status| status["roles"] == json!(["manager", "worker"])).await;
}

#[tokio::test]
async fn a_node_leaves_and_joins_again() {
    let (m, a) = tokio::join!(Node::start("m1"), Node::start("a1"));
    let before = a.ok("GET", "/v1/status", None).await["cluster"].clone();
    a.join(&m).await;
    let cluster = m.ok("GET", "/v1/status", None).await["cluster"].clone();
    a.until("/v1/status", |status| status["cluster"] == cluster).await;
    // A restart while it belongs to the cluster: it is what it was.
    let a = a.restarted().await;
    a.until("/v1/status", |status| status["link"]["state"] == "connected").await;
    let left = a.ok("POST", "/v1/roles/leave", None).await;
    assert_eq!(left["roles"], json!(["manager", "worker"]), "{left}");
    until_alone(&a).await;
    let alone = a.ok("GET", "/v1/status", None).await["cluster"].clone();
    assert!(alone != before && alone != cluster, "what was left behind is put aside");
    a.until_node("a1", "ready").await;
    a.join(&m).await;
    m.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn a_removed_node_stops_what_it_ran_and_is_told() {
    let (m, a) = tokio::join!(Node::start("m1"), Node::start("a1"));
    a.join(&m).await;
    m.ok("PUT", "/v1/nodes/m1/availability", Some(json!({ "availability": "paused" }))).await;
    m.run("web", json!({ "image": "busybox" })).await;
    m.until_running("web").await;
    assert_eq!(a.engine.containers().len(), 1);
    m.ok("PUT", "/v1/nodes/m1/availability", Some(json!({ "availability": "active" }))).await;
    let (code, refused) = m.json("DELETE", "/v1/nodes/a1", None).await;
    assert_eq!((code, refused["code"].as_str()), (409, Some("ORCA-2204")), "{refused}");
    m.ok("DELETE", "/v1/nodes/a1?force=true", None).await;
    until_alone(&a).await;
    assert!(a.engine.containers().is_empty(), "that cluster's containers are gone");
    m.until("/v1/tasks/web", |task| task["state"] == "running" && task["node"] == "m1").await;
    m.stopped().await;
    a.stopped().await;
}

#[tokio::test]
async fn tokens_are_refused_with_reason_and_remedy() {
    let (m, a, b) = tokio::join!(Node::start("m1"), Node::start("a1"), Node::start("b1"));
    let token = m.token(json!({})).await;
    let join = |token: &str| Some(json!({ "join": token }));
    let refused = |node: &'static str, (code, problem): (u16, serde_json::Value), wanted: &str| {
        assert!(code >= 400 && problem["code"] == wanted, "{node}: {code} {problem}");
        assert!(problem["hint"].as_array().is_some_and(|hints| !hints.is_empty()), "{problem}");
    };
    let worker = "/v1/roles/worker";
    refused("own", m.json("POST", worker, join(&token)).await, "ORCA-2303");
    refused("damaged", a.json("POST", worker, join(&token[..token.len() - 1])).await, "ORCA-2301");

    // The address of one cluster with the authority of another.
    let mut forged: orca_api::join::JoinToken = token.parse().expect("a token");
    forged.ca = orca_api::join::CaDigest([7; 32]);
    refused("another cluster", a.json("POST", worker, join(&forged.to_string())).await, "ORCA-2303");
    let mut unknown: orca_api::join::JoinToken = token.parse().expect("a token");
    unknown.secret = orca_api::join::Secret([7; 16]);
    refused("unknown", a.json("POST", worker, join(&unknown.to_string())).await, "ORCA-2301");
    let mut nowhere = forged.clone();
    nowhere.addresses = vec!["127.0.0.1:1".to_owned()];
    refused("nobody listens", a.json("POST", worker, join(&nowhere.to_string())).await, "ORCA-2304");

    // Work of its own is not lost by a slip.
    a.run("mine", json!({ "image": "busybox" })).await;
    a.until_running("mine").await;
    let own = a.json("POST", worker, join(&token)).await;
    assert!(own.1["because"].to_string().contains("mine"), "{own:?}");
    refused("own work", own, "ORCA-2308");
    assert_eq!(a.engine.containers().len(), 1, "a refusal touches nothing");
    let forced = a.ok("POST", worker, Some(json!({ "join": token, "force": true }))).await;
    assert_eq!(forced["roles"], json!(["worker"]), "{forced}");
    m.until_node("a1", "ready").await;
    assert!(a.engine.containers().is_empty());
    refused("used up", b.json("POST", worker, join(&token)).await, "ORCA-2302");

    let second = m.token(json!({})).await;
    let id = m.ok("GET", "/v1/tokens", None).await["items"][0]["id"].as_str().map(str::to_owned);
    m.ok("DELETE", &format!("/v1/tokens/{}", id.expect("an id")), None).await;
    refused("revoked", b.json("POST", worker, join(&second)).await, "ORCA-2302");
    b.engine.go_down(true);
    let third = m.token(json!({})).await;
    let b = b.restarted().await;
    refused("no engine", b.json("POST", worker, join(&third)).await, "ORCA-2307");
    for node in [m, a, b] {
        node.stopped().await;
    }
}

#[tokio::test]
async fn a_configured_token_is_used_at_the_first_start() {
    let m = Node::start("m1").await;
    let token = m.token(json!({})).await;
    let engine = orca_tests::fake_engine::FakeEngine::start();
    let folder = tempfile::tempdir().expect("a folder");
    let a = Node::start_with("a1", engine, folder, |config| config.join = Some(token)).await;
    m.until_node("a1", "ready").await;
    a.until("/v1/status", |status| status["link"]["state"] == "connected").await;
    m.stopped().await;
    a.stopped().await;
}
