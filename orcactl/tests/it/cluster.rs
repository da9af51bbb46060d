//! Tokens, drains, labels, settings, certificates: what concerns a cluster of several machines.

use insta::assert_snapshot;
use orca_api::error::{Code, Problem};
use serde_json::{Value, json};

use crate::run::{orcactl, report, run};
use crate::server::Server;
use crate::views;

/// What a drain does: name, where to, step, what blocks.
pub fn drain(tasks: &[(&str, Option<&str>, &str, Option<&str>)]) -> Value {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|(name, to, step, blocked)| {
            json!({"task": "7ZK3M0000000WEB1", "name": name, "to": to, "order": "start-first", "step": step, "blocked": blocked})
        })
        .collect();
    json!({"since": "2026-11-01T12:00:00Z", "deadline": null, "tasks": tasks})
}

fn token() -> Value {
    json!({
        "id": "7ZK3M00000000TK1", "role": "worker", "node": null, "created_at": "2026-11-01T12:00:00Z",
        "expires_at": "2026-11-01T13:05:00Z", "uses_left": 1, "by": "uid 0 (pid 4242)",
    })
}

fn made() -> Value {
    let mut value = token();
    let more = json!({
        "text": "orca1-0123abcd", "addresses": ["10.0.0.1:7443", "[fd00::1]:7443"],
        "why": "addresses of eth0, the way to the rest of the network", "opened": true,
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

#[test]
fn a_token_is_one_line_to_paste() {
    let server = || Server::new().json("POST /v1/tokens", &made());
    assert_snapshot!("token", run(&server(), "node token"));
    assert_snapshot!(
        "token_options",
        run(&server(), "node token --uses 3 --ttl 2d --node n4 --address m1:7443,m2:7443 -q")
    );
    assert_snapshot!("token_name", run(&server(), "node token -o name"));
    assert_snapshot!("token_json", run(&server(), "node token -o json"));
    assert_snapshot!("token_bad_address", run(&Server::new(), "node token --address m1"));
    assert_snapshot!("token_bad_role", run(&Server::new(), "node token --role boss"));
}

#[test]
fn the_firewalls_of_this_machine_are_named() {
    let server = Server::new().json("POST /v1/tokens", &made());
    let bin = tempfile::tempdir().unwrap();
    for name in ["ufw", "nft"] {
        std::fs::write(bin.path().join(name), "").unwrap();
    }
    let output = orcactl(server.socket(), &["node", "token"]).env("PATH", bin.path()).output().unwrap();
    assert_snapshot!("token_firewall", report("node token", &output, server.socket()));
}

#[test]
fn tokens_are_listed_and_revoked() {
    let mut bound = token();
    bound["node"] = json!("n4");
    bound["id"] = json!("7ZK3M00000000TK2");
    let server = || Server::new().json("GET /v1/tokens", &views::list(vec![token(), bound.clone()]));
    assert_snapshot!("token_list", run(&server(), "node token list"));
    assert_snapshot!("token_list_name", run(&server(), "node token ls -o name"));
    let none = Server::new().json("GET /v1/tokens", &views::list(Vec::<Value>::new()));
    assert_snapshot!("token_list_none", run(&none, "node token list"));
    let server = Server::new().json("DELETE /v1/tokens/7ZK3", &token()).problem(
        "DELETE /v1/tokens/NONE",
        &Problem::new(Code::NoSuchToken, "there is no token NONE").hint("orcactl node token list shows them"),
    );
    assert_snapshot!("token_revoke", run(&server, "node token revoke 7ZK3 NONE"));
}

#[test]
fn a_drain_is_planned() {
    let mut plan = drain(&[
        ("web", Some("n1"), "waits its turn", None),
        ("db", None, "waits its turn", Some("its volume data is on this node alone")),
    ]);
    plan["since"] = Value::Null;
    let server = || Server::new().json("GET /v1/nodes/n2/drain", &plan);
    assert_snapshot!("drain_plan", run(&server(), "node drain n2 --plan"));
    assert_snapshot!("drain_plan_json", run(&server(), "node drain n2 --plan -o json"));
    let empty = Server::new().json("GET /v1/nodes/n2/drain", &drain(&[]));
    assert_snapshot!("drain_plan_empty", run(&empty, "node drain n2 --plan"));
}

#[test]
fn a_drain_is_followed_until_nothing_is_left() {
    let server = Server::new()
        .json("PUT /v1/nodes/n2/availability", &views::nodes()[1])
        .json(
            "GET /v1/nodes/n2/drain",
            &drain(&[
                ("web", Some("n1"), "starting on n1", None),
                ("api", Some("n3"), "waits its turn", None),
            ]),
        )
        .json(
            "GET /v1/nodes/n2/drain",
            &drain(&[("web", Some("n1"), "stopping", None), ("api", Some("n3"), "waits its turn", None)]),
        )
        .json(
            "GET /v1/nodes/n2/drain",
            &drain(&[("api", None, "", Some("no other node has label disk=ssd"))]),
        )
        .json("GET /v1/nodes/n2/drain", &drain(&[]));
    assert_snapshot!("drain", run(&server, "node drain n2 --deadline 5m"));
    let server = Server::new().json("PUT /v1/nodes/n2/availability", &views::nodes()[1]);
    assert_snapshot!("drain_detach", run(&server, "node drain n2 --detach"));
    let server = Server::new()
        .json("PUT /v1/nodes/n2/availability", &views::nodes()[1])
        .json("GET /v1/nodes/n2/drain", &drain(&[("api", None, "", Some("nothing else fits"))]));
    assert_snapshot!(
        "drain_timeout",
        run(&server, "node drain n2 --timeout 1ms").replace("\nGET /v1/nodes/n2/drain", "")
    );
    let mut ended = drain(&[("api", None, "", None)]);
    ended["since"] = Value::Null;
    let server = Server::new()
        .json("PUT /v1/nodes/n2/availability", &views::nodes()[1])
        .json("GET /v1/nodes/n2/drain", &ended);
    assert_snapshot!("drain_undone", run(&server, "node drain n2"));
}

#[test]
fn labels() {
    let server = || Server::new().json("PUT /v1/nodes/n1/labels", &views::nodes()[0]);
    assert_snapshot!("label", run(&server(), "node label n1 disk=ssd rack-"));
    assert_snapshot!("label_accept", run(&server(), "node label n1 --accept"));
    assert_snapshot!("label_nothing", run(&Server::new(), "node label n1"));
    assert_snapshot!("label_wrong", run(&Server::new(), "node label n1 disk"));
}

#[test]
fn a_node_is_removed() {
    let gone = json!({"id": "7ZK3M0000000N2D1", "name": "n2", "moved": ["web", "api"]});
    let server = Server::new().json("DELETE /v1/nodes/n2", &gone);
    assert_snapshot!("node_remove", run(&server, "node remove --force n2"));
    let problem =
        Problem::new(Code::WouldStrand, "n2 has 2 tasks").hint("orcactl node drain n2 moves them off first");
    let server = Server::new().problem("DELETE /v1/nodes/n2", &problem);
    assert_snapshot!("node_remove_refused", run(&server, "node remove n2"));
}

pub fn cluster() -> Value {
    json!({
        "id": "7ZK3M000000CRAB1", "revision": 418, "epoch": 1, "created_at": "2026-10-01T12:00:00Z", "scheduler": "epvm",
        "node_grace": "0s", "agent_grace": "1m", "certificate_ttl": "90d", "listen": "[::]:7443",
        "addresses": ["10.0.0.1:7443"],
        "ca": {"digest": "ab".repeat(32), "expires_at": "2036-10-01T12:00:00Z"},
    })
}

#[test]
fn the_cluster() {
    let server = || Server::new().json("GET /v1/cluster", &cluster());
    assert_snapshot!("cluster_inspect", run(&server(), "cluster inspect"));
    assert_snapshot!("cluster_inspect_json", run(&server(), "cluster inspect -o json"));
    let mut closed = cluster();
    closed["listen"] = Value::Null;
    closed["addresses"] = json!([]);
    let server = Server::new().json("GET /v1/cluster", &closed);
    assert_snapshot!("cluster_inspect_closed", run(&server, "cluster inspect"));
    let server = Server::new().json("PUT /v1/cluster", &cluster());
    assert_snapshot!("cluster_set", run(&server, "cluster set scheduler=spread node_grace=10s -q"));
    assert_snapshot!("cluster_set_wrong", run(&Server::new(), "cluster set schedular=spread"));
}

#[test]
fn the_ca_is_rotated() {
    let with = |waiting: &[&str]| {
        let mut value = cluster();
        value["ca"]["rotation"] =
            json!({"since": "2026-11-01T12:00:00Z", "renewed": 3 - waiting.len(), "waiting": waiting});
        value
    };
    let server = Server::new()
        .json("POST /v1/cluster/ca/rotate", &with(&["n2", "n3"]))
        .json("GET /v1/cluster", &with(&["n3"]))
        .json("GET /v1/cluster", &cluster());
    assert_snapshot!("ca_rotate", run(&server, "cluster ca rotate -q"));
    let server = Server::new().json("POST /v1/cluster/ca/rotate", &with(&["n2", "n3"]));
    assert_snapshot!("ca_rotate_detach", run(&server, "cluster ca rotate --detach"));
}

#[test]
fn certificates_of_people_are_listed_and_revoked() {
    let certificate = json!({
        "id": "7ZK3M000000CERT1", "name": "alice", "role": "admin", "created_at": "2026-11-01T12:00:00Z",
        "expires_at": "2027-01-30T12:00:00Z", "by": "uid 0 (pid 4242)",
    });
    let list = views::list(vec![certificate.clone()]);
    let server = Server::new().json("GET /v1/cluster/certificates", &list);
    assert_snapshot!("admin_cert_list", run(&server, "cluster admin-cert list"));
    let server = Server::new().json("DELETE /v1/cluster/certificates/7ZK3", &certificate);
    assert_snapshot!("admin_cert_revoke", run(&server, "cluster admin-cert revoke 7ZK3"));
    assert_snapshot!("admin_cert_no_name", run(&Server::new(), "cluster admin-cert"));
}
