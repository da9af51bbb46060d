//! Who may do what over the network, and what a worker's certificate is not good for.

use std::time::Duration;

use orca_api::link::{Hello, LINK_VERSION, NodeFacts, PlacementStatus, Poll, Report};
use orca_api::route::link;
use orcad::net::h2::{AskError, Asker};
use orcad::net::memory::Purpose;
use orcad::net::tls::{Client, Dates, Own, Trust};
use orcad::pki::identity::{self, NodeIdentity, PrivateKey};
use serde_json::{Value, json};

use crate::node::{Node, SOON};

/// A client with a key and a certificate.
fn client(key: &PrivateKey, chain: &str, cas: &str, cluster: &Value) -> Client {
    let cluster = cluster.as_str().and_then(|id| id.parse().ok()).expect("an id");
    let own = Own::new(key, chain).expect("key and certificate fit");
    let trust = Trust::new(cluster, cas).expect("authorities");
    Client::known(own, trust, Dates::Strict, orcad::clock::clock())
}

async fn asker(client: &Client, address: &str) -> Asker {
    let connected = client.connect(address, Purpose::WorkerAsks).await.expect("it is let in");
    Asker::new(connected.stream).await.expect("HTTP/2")
}

/// A client with a new certificate of a person, and the certificate's id.
async fn person(manager: &Node, name: &str, role: &str) -> (Client, String) {
    let cluster = manager.ok("GET", "/v1/cluster", None).await;
    let (key, csr) = identity::request().expect("a key");
    let body = json!({ "name": name, "role": role, "csr": csr });
    let issued = manager.ok("POST", "/v1/cluster/certificates", Some(body)).await;
    let text = |field: &str| issued[field].as_str().expect("a text").to_owned();
    (client(&key, &text("certificate"), &text("ca"), &cluster["id"]), text("id"))
}

/// Waits until a client is not let in any more.
async fn until_locked_out(client: &Client, address: &str) {
    let refused = async {
        while client.connect(address, Purpose::WorkerAsks).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, refused).await.expect("it is locked out");
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, AskError>) -> (u16, String) {
    match answer {
        Err(AskError::Refused(problem)) => (problem.status, problem.code.to_string()),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn people_with_certificates_are_served_and_revoked_at_once() {
    let m = Node::start("m1").await;
    m.token(json!({})).await;
    let cluster = m.ok("GET", "/v1/cluster", None).await;
    let address = cluster["listen"].as_str().expect("it listens").to_owned();
    let (admin, admin_id) = person(&m, "anna", "admin").await;
    let (view, _) = person(&m, "vera", "view").await;
    let (admin, view) = (asker(&admin, &address).await, asker(&view, &address).await);

    let start = json!({ "name": "web", "spec": { "image": "busybox" } });
    let started: Value = admin.ask("/v1/tasks", &start, Duration::ZERO).await.expect("an admin may");
    assert_eq!(started["task"]["name"], "web", "{started}");
    let list: Value = view.get("/v1/tasks").await.expect("a viewer may look");
    assert_eq!(list["items"][0]["name"], "web", "{list}");
    let another = json!({ "name": "two", "spec": { "image": "busybox" } });
    assert_eq!(refusal(view.ask::<Value>("/v1/tasks", &another, Duration::ZERO).await).0, 403);
    assert_eq!(refusal(view.get::<Value>("/v1/tasks/web/logs").await).0, 403);
    // A person is no node.
    let poll = json!({});
    assert!(refusal(admin.ask::<Value>(link::POLL, &poll, Duration::ZERO).await).0 >= 400);

    m.ok("DELETE", &format!("/v1/cluster/certificates/{admin_id}"), None).await;
    let cut = async {
        while !admin.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, cut).await.expect("what stands is closed");
    assert!(view.get::<Value>("/v1/tasks").await.is_ok(), "others are not touched");
    m.stopped().await;
}

#[tokio::test]
async fn a_workers_certificate_is_good_for_its_own_link_alone() {
    let (m, a) = tokio::join!(Node::start("m1"), Node::start("a1"));
    a.join(&m).await;
    m.run("web", json!({ "image": "busybox" })).await;
    m.until_running("web").await;
    let cluster = m.ok("GET", "/v1/cluster", None).await;
    let address = cluster["listen"].as_str().expect("it listens").to_owned();
    let mine = NodeIdentity::load(&a.state()).expect("it can be read").expect("it is there");
    let (engine, folder) = a.stopped().await;
    let thief = client(mine.key(), mine.chain(), mine.cas(), &cluster["id"]);
    let asker = asker(&thief, &address).await;

    // The control API: neither reads nor writes, whoever is named.
    for path in ["/v1/tasks", "/v1/nodes", "/v1/tokens", "/v1/cluster", "/metrics"] {
        assert!(refusal(asker.get::<Value>(path).await).0 >= 400, "{path}");
    }
    let start = json!({ "name": "evil", "spec": { "image": "busybox" } });
    assert!(refusal(asker.ask::<Value>("/v1/tasks", &start, Duration::ZERO).await).0 >= 400);
    // Specs of tasks that are not placed on it.
    let spec = format!("{}{}", link::SPEC, "0".repeat(64));
    assert_eq!(refusal(asker.get::<Value>(&spec).await).0, 404);

    // As itself it may say hello; of another node's placement it may say nothing that counts.
    let life = "0123456789ABCDEF".parse().expect("an id");
    let hello = Hello {
        version: LINK_VERSION,
        life,
        facts: NodeFacts::default(),
        generation: orca_api::link::Generation::default(),
        clock: orcad::clock::now().wall,
        inventory: Vec::new(),
    };
    let welcome: Value = asker.ask(link::HELLO, &hello, Duration::ZERO).await.expect("it is a member");
    assert_eq!(welcome["name"], "a1", "{welcome}");
    let task = m.ok("GET", "/v1/tasks/web", None).await;
    let foreign = PlacementStatus {
        placement: "ZZZZZZZZZZZZZZZZ".parse().expect("an id"),
        task: task["id"].as_str().and_then(|id| id.parse().ok()).expect("an id"),
        sequence: 1_000_000,
        attempts: Vec::new(),
        restarts: 0,
        budget_used: 0,
        next_attempt_at: None,
        finished: true,
        progress: None,
        warning: None,
    };
    let report = Report { life, placements: vec![foreign] };
    let answer: Value = asker.ask(link::REPORT, &report, Duration::ZERO).await.expect("it is heard");
    assert_eq!(answer["unknown"], json!(["ZZZZZZZZZZZZZZZZ"]), "{answer}");
    assert_eq!(m.ok("GET", "/v1/tasks/web", None).await["state"], "running");

    // A certificate for another node or role cannot be had: the request's names do not count.
    let (key, csr) = identity::request().expect("a key");
    let renewed: orca_api::join::Renewed =
        asker.ask(link::RENEW, &orca_api::join::Renew { csr }, Duration::ZERO).await.expect("it may renew");
    let after = mine.renewed(key, renewed.certificate, renewed.ca, renewed.managers).expect("it is its own");
    assert_eq!(after.facts.who, mine.facts.who);

    // After its removal: one answer, everywhere.
    m.ok("DELETE", "/v1/nodes/a1?force=true", None).await;
    let late = crate::trust::asker(&thief, &address).await;
    let poll = Poll { life, generation: hello.generation, conditions: Vec::new(), clock: None };
    for path in [link::HELLO, link::POLL, link::REPORT, link::RENEW, link::LEAVE] {
        let (status, code) = refusal(late.ask::<Value>(path, &poll, Duration::ZERO).await);
        assert_eq!((status, code.as_str()), (410, "ORCA-2207"), "{path}");
    }
    drop((engine, folder));
    m.stopped().await;
}

#[tokio::test]
async fn without_a_certificate_there_is_nothing_but_joining() {
    let m = Node::start("m1").await;
    let token: orca_api::join::JoinToken = m.token(json!({})).await.parse().expect("a token");
    let stranger = Client::joining(token.ca, orcad::clock::clock());
    let asker = asker(&stranger, &token.addresses[0]).await;
    for path in ["/v1/status", "/metrics", "/v1/openapi.json"] {
        assert_eq!(refusal(asker.get::<Value>(path).await).0, 403, "{path}");
    }
    for path in [link::HELLO, link::POLL, link::REPORT, link::RENEW, link::LEAVE, link::GOODBYE] {
        assert_eq!(refusal(asker.ask::<Value>(path, &json!({}), Duration::ZERO).await).0, 403, "{path}");
    }
    let large = json!({ "secret": "0".repeat(100_000) });
    assert!(refusal(asker.ask::<Value>(link::JOIN, &large, Duration::ZERO).await).0 >= 400);
    // Nor does anybody get a connection on which the manager asks.
    let connected = stranger.connect(&token.addresses[0], Purpose::ManagerAsks).await;
    assert!(connected.is_err(), "{connected:?}");
    m.stopped().await;
}

#[tokio::test]
async fn a_new_authority_touches_no_task() {
    let (m, a) = tokio::join!(Node::start("m1"), Node::start("a1"));
    a.join(&m).await;
    m.ok("PUT", "/v1/nodes/m1/availability", Some(json!({ "availability": "paused" }))).await;
    m.run("web", json!({ "image": "busybox" })).await;
    m.until_running("web").await;
    let before = NodeIdentity::load(&a.state()).expect("it can be read").expect("it is there");
    let old = m.ok("GET", "/v1/cluster", None).await["ca"]["digest"].clone();
    a.engine.forget_calls();
    m.ok("POST", "/v1/cluster/ca/rotate", None).await;
    let cluster = m.until("/v1/cluster", |cluster| cluster["ca"]["rotation"].is_null()).await;
    assert_ne!(cluster["ca"]["digest"], old, "{cluster}");
    let after = NodeIdentity::load(&a.state()).expect("it can be read").expect("it is there");
    assert_ne!(after.facts.certificate, before.facts.certificate);
    // Over connections that are new, too.
    let (m, a) = (m.restarted().await, a.restarted().await);
    m.until_node("a1", "ready").await;
    let task = m.until_running("web").await;
    assert_eq!(task["attempts"], 1, "{task}");
    for end in ["/start", "/stop", "/kill", "/create"] {
        assert_eq!(a.engine.count("POST", end), 0, "{end}");
    }
    let b = Node::start("b1").await;
    b.join(&m).await;
    for node in [m, a, b] {
        node.stopped().await;
    }
}

#[tokio::test]
async fn a_new_authority_locks_no_person_out_and_the_former_one_is_good_for_people_alone() {
    let (m, a) = tokio::join!(Node::start("m1"), Node::start("a1"));
    a.join(&m).await;
    let (anna, anna_id) = person(&m, "anna", "admin").await;
    let cluster = m.ok("GET", "/v1/cluster", None).await;
    let address = cluster["listen"].as_str().expect("it listens").to_owned();
    let before = NodeIdentity::load(&a.state()).expect("it can be read").expect("it is there");
    let former = client(before.key(), before.chain(), before.cas(), &cluster["id"]);

    m.ok("POST", "/v1/cluster/ca/rotate", None).await;
    let rotation = |cluster: &Value| cluster["ca"]["rotation"].clone();
    let done = m.until("/v1/cluster", |cluster| rotation(cluster)["waiting"] == json!([])).await;
    assert_eq!(rotation(&done)["people"], json!(["anna"]), "{done}");
    // The node has gone on; whoever has its former certificate, or has made one with a stolen key, is not let in.
    until_locked_out(&former, &address).await;
    // Her program still trusts the former authority alone, and asks over a new connection.
    let list: Value = asker(&anna, &address).await.get("/v1/nodes").await.expect("she is let in");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "{list}");
    // One replacement at a time.
    let (status, refused) = m.json("POST", "/v1/cluster/ca/rotate", None).await;
    assert_eq!((status, &refused["code"]), (409, &json!("ORCA-2312")), "{refused}");

    // All of it after a restart as well.
    let m = m.restarted().await;
    m.until_node("a1", "ready").await;
    until_locked_out(&former, &address).await;
    let vera = person(&m, "vera", "view").await.0;
    for client in [&anna, &vera] {
        let list: Value = asker(client, &address).await.get("/v1/nodes").await.expect("they are let in");
        assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "{list}");
    }
    // With her certificate the former authority goes.
    m.ok("DELETE", &format!("/v1/cluster/certificates/{anna_id}"), None).await;
    let over = m.ok("GET", "/v1/cluster", None).await;
    assert_eq!(rotation(&over), Value::Null, "{over}");
    until_locked_out(&anna, &address).await;
    assert!(asker(&vera, &address).await.get::<Value>("/v1/nodes").await.is_ok());
    m.until_node("a1", "ready").await;
    for node in [m, a] {
        node.stopped().await;
    }
}
