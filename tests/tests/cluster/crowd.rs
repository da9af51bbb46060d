//! Many workers, without machines: what the benchmark of the crowd does with five hundred.

use orca_tests::crowd::Crowd;
use serde_json::json;

use crate::node::Node;

const WORKERS: usize = 8;
const TASKS: usize = 24;

#[tokio::test]
async fn a_crowd_joins_works_and_outlives_its_manager() {
    let m = Node::start("m1").await;
    m.until_node("m1", "ready").await;
    m.ok("PUT", "/v1/nodes/m1/availability", Some(json!({ "availability": "paused" }))).await;
    let mut crowd = Crowd::new(&m.token(json!({ "uses": WORKERS })).await).expect("a token");
    crowd.join(WORKERS, WORKERS).await.expect("they join");
    let ready = |list: &serde_json::Value| {
        list["items"].as_array().is_some_and(|nodes| {
            nodes.len() == WORKERS + 1 && nodes.iter().all(|node| node["state"] == "ready")
        })
    };
    m.until("/v1/nodes", ready).await;
    for n in 0..TASKS {
        m.run(&format!("t{n}"), json!({ "image": "busybox" })).await;
    }
    let all_run = |status: &serde_json::Value| status["tasks"]["running"] == TASKS;
    m.until("/v1/status", all_run).await;
    let places = |list: serde_json::Value| -> Vec<_> {
        let tasks = list["items"].as_array().expect("a list");
        tasks.iter().map(|t| (t["name"].clone(), t["node_id"].clone(), t["attempts"].clone())).collect()
    };
    let before = places(m.ok("GET", "/v1/tasks", None).await);

    let m = m.restarted().await;
    // Measurements are volatile: where there are some, the worker is back on both its connections.
    let measured = |list: &serde_json::Value| {
        let nodes = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        nodes.iter().filter(|node| !node["cpu"]["used"].is_null()).count() > WORKERS
    };
    m.until("/v1/nodes", measured).await;
    assert_eq!(places(m.ok("GET", "/v1/tasks", None).await), before, "nothing is moved");
    assert_eq!((crowd.running(), crowd.begun()), (TASKS, TASKS as u64), "nothing is doubled");
    crowd.stopped().await;
    m.stopped().await;
}
