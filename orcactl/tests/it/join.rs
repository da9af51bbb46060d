//! `orcactl worker start --join`, `worker leave`, `manager start|stop`.

use insta::assert_snapshot;
use orca_api::error::{Code, Problem};
use orca_api::join::{CaDigest, JoinToken, Secret};
use orca_api::node::Role;
use orca_api::units::Time;
use serde_json::{Value, json};

use crate::run::{run, run_with_input};
use crate::server::{Reply, Server};
use crate::views;

fn token() -> String {
    let token = JoinToken {
        addresses: vec!["10.0.0.1:7443".to_owned()],
        ca: CaDigest([7; 32]),
        role: Role::Worker,
        expires: Time::from_ms(1_800_000_000_000),
        secret: Secret([9; 16]),
    };
    token.to_string()
}

/// Runs it; the token's text is left out of what is compared.
fn join(server: &Server, more: &str) -> String {
    run(server, &format!("worker start --join {} {more}", token())).replace(&token(), "[TOKEN]")
}

fn running() -> Server {
    Server::new().json("GET /v1/version", &json!({"version": "0.1.0", "api": "v1", "link": 1}))
}

fn roles(roles: &[&str], message: &str) -> Value {
    json!({"roles": roles, "changed": true, "message": message})
}

fn status(state: &str, problem: Option<&Problem>) -> Value {
    json!({
        "cluster": "7ZK3M000000CRAB1", "node": "7ZK3M0000000N2D1", "node_name": "n2", "roles": ["worker"],
        "version": "0.1.0", "started_at": "2026-11-01T12:00:00Z", "revision": 0, "nodes": {"ready": 1},
        "tasks": {}, "attention": [], "node_list": [views::nodes()[1]],
        "link": {"managers": ["10.0.0.1:7443"], "state": state, "since": "2026-11-01T12:00:00Z", "problem": problem},
    })
}

#[test]
fn it_ends_when_the_node_is_ready() {
    let away = Problem::new(Code::NoManager, "no manager answers at 10.0.0.1:7443");
    let server = running()
        .json(
            "POST /v1/roles/worker",
            &roles(&["worker"], "this machine is node n2 of cluster 7ZK3M000000CRAB1"),
        )
        .reply("GET /v1/status", Reply::Close)
        .reply("GET /v1/status", Reply::Close)
        .json("GET /v1/status", &status("connecting", Some(&away)))
        .json("GET /v1/status", &status("connected", None));
    let text = join(&server, "");
    // How often it is asked while orcad begins anew is a matter of timing.
    assert_snapshot!("join", text.replace("\nGET /v1/status", ""));
}

#[test]
fn it_ends_with_the_reason_and_what_to_do() {
    let spent = Problem::new(Code::TokenSpent, "the join token was used already")
        .because("n3 joined with it at 2026-11-01 12:00:00")
        .hint("on the manager: sudo orcactl node token");
    assert_snapshot!("join_spent", join(&running().problem("POST /v1/roles/worker", &spent), ""));
    let blocked = Problem::new(Code::NoManager, "no manager can be reached at 10.0.0.1:7443")
        .because("10.0.0.1:7443: nothing came back within 5 s");
    assert_snapshot!("join_blocked", join(&running().problem("POST /v1/roles/worker", &blocked), ""));
    let removed = Problem::new(Code::Removed, "this node was removed from the cluster");
    let server = running()
        .json("POST /v1/roles/worker", &roles(&["worker"], "this machine is node n2"))
        .json("GET /v1/status", &status("refused", Some(&removed)));
    assert_snapshot!("join_refused", join(&server, ""));
}

#[test]
fn what_is_no_token_is_told_before_anything_is_done() {
    assert_snapshot!("join_no_token", run(&Server::new(), "worker start --join SWMTKN-1-abc"));
    assert_snapshot!("join_no_file", run(&Server::new(), "worker start --join-file /nowhere/token"));
}

#[test]
fn a_token_comes_from_standard_input() {
    let server = running()
        .json("POST /v1/roles/worker", &roles(&["worker"], "this machine is node n2"))
        .json("GET /v1/status", &status("connected", None));
    let text = run_with_input(&server, "worker start --join - -q", &format!("{}\n", token()));
    assert_snapshot!("join_stdin", text);
    assert!(server.asked()[1].contains(&token()), "{:?}", server.asked());
}

#[test]
fn a_machine_leaves() {
    let server = Server::new()
        .json("POST /v1/roles/leave", &roles(&["worker"], "this node leaves; tasks that are still here: 2"))
        .json("POST /v1/roles/leave", &roles(&["worker"], "this node leaves; tasks that are still here: 1"))
        .json(
            "POST /v1/roles/leave",
            &roles(&["manager", "worker"], "this node left: it is a cluster of one again"),
        );
    assert_snapshot!("leave", run(&server, "worker leave"));
    let strand =
        Problem::new(Code::WouldStrand, "1 task would be stranded").hint("orcactl worker leave --force");
    assert_snapshot!(
        "worker_stop_refused",
        run(&Server::new().problem("DELETE /v1/roles/worker", &strand), "worker stop")
    );
}

#[test]
fn the_port_is_opened_and_closed() {
    let server =
        running().json("POST /v1/roles/manager", &roles(&["manager", "worker"], "it listens on [::]:7443"));
    assert_snapshot!("manager_start", run(&server, "manager start --listen [::]:7443"));
    let server =
        Server::new().json("DELETE /v1/roles/manager", &roles(&["manager", "worker"], "the port is closed"));
    assert_snapshot!("manager_stop", run(&server, "manager stop --force"));
}

#[test]
fn it_concerns_the_machine_it_is_typed_on() {
    let server = running();
    let context = crate::context::folder_with("prod");
    let mut command = crate::run::orcactl(server.socket(), &["worker", "leave", "--context", "prod"]);
    let output = command.env("XDG_CONFIG_HOME", context.path()).output().unwrap();
    assert_snapshot!(
        "leave_elsewhere",
        crate::run::report("worker leave --context prod", &output, server.socket())
    );
    assert!(server.asked().is_empty());
}
