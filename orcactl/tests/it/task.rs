//! `orcactl task …`, but for start and exec.

use insta::assert_snapshot;
use orca_api::control::List;
use orca_api::error::{Code, Problem};
use orca_api::task::{Reason, State, Wanted};
use serde_json::json;

use crate::run::run;
use crate::server::{Reply, Server, lines};
use crate::views;

fn tasks() -> Server {
    Server::new().json("GET /v1/tasks", &views::list(vec![views::big(), views::job(), views::web()]))
}

#[test]
fn list() {
    assert_snapshot!("list", run(&tasks(), "task list"));
    assert_snapshot!("list_wide", run(&tasks(), "task list -o wide --filter phase=pending --filter name=b*"));
    assert_snapshot!("list_name", run(&tasks(), "task list -o name"));
    assert_snapshot!("list_quiet", run(&tasks(), "task list -q"));
    assert_snapshot!("list_json", run(&tasks(), "task list -o json"));
}

#[test]
fn list_of_nothing() {
    let server = Server::new().json("GET /v1/tasks", &views::list::<u8>(vec![]));
    assert_snapshot!(run(&server, "task list"));
}

#[test]
fn list_reads_every_page() {
    let first = List { next: Some("page 2".into()), ..views::list(vec![views::big()]) };
    let server =
        Server::new().json("GET /v1/tasks", &first).json("GET /v1/tasks", &views::list(vec![views::web()]));
    assert_snapshot!(run(&server, "task list -o name"));
}

#[test]
fn inspect() {
    let output = lines(&[
        json!({"type": "note", "text": "attempt 3 began"}),
        json!({"type": "line", "time": null, "stream": "stdout", "attempt": 3, "text": "ready\u{1b}[2J"}),
    ]);
    let server = || {
        Server::new()
            .json("GET /v1/tasks/web", &views::detail(&views::web()))
            .reply("GET /v1/tasks/web/logs", Reply::Body(200, "application/x-ndjson", output.clone()))
    };
    assert_snapshot!("inspect", run(&server(), "task inspect web"));
    assert_snapshot!("inspect_json", run(&server(), "task inspect -o json web"));
    assert_snapshot!("inspect_name", run(&server(), "task inspect -o name web"));
    assert_snapshot!("inspect_quiet", run(&server(), "task inspect -q web"));
}

#[test]
fn inspect_of_one_that_waits() {
    let server = Server::new().json("GET /v1/tasks/job", &views::detail(&views::job()));
    assert_snapshot!(run(&server, "task inspect job"));
}

#[test]
fn inspect_goes_on_after_one_that_is_not_there() {
    let problem = Problem::new(Code::NoSuchTask, "no task is called webb").hint("did you mean web?");
    let server = Server::new()
        .problem("GET /v1/tasks/webb", &problem)
        .json("GET /v1/tasks/web", &views::detail(&views::web()));
    assert_snapshot!(run(&server, "task inspect -o name webb web"));
}

#[test]
fn explain() {
    let server = Server::new().json("GET /v1/tasks/big/explain", &views::explanation());
    assert_snapshot!("explain", run(&server, "task explain big"));
    let server = Server::new().json("GET /v1/tasks/web/explain", &views::explanation_of_web());
    assert_snapshot!("explain_wide", run(&server, "task explain -o wide web"));
    assert_snapshot!("explain_name", run(&server, "task explain -o name web"));
    let server = Server::new().json("GET /v1/tasks/web/explain", &views::explanation_of_web());
    assert_snapshot!("explain_json", run(&server, "task explain -o json web"));
    let server = Server::new().json("POST /v1/explain", &views::explanation());
    assert_snapshot!("explain_spec", run(&server, "task explain --image nginx --reserve-memory 64g"));
}

#[test]
fn logs() {
    let output = lines(&[
        json!({"type": "line", "time": "2026-11-01T12:00:01Z", "stream": "stdout", "attempt": 1, "text": "one"}),
        json!({"type": "line", "time": "2026-11-01T12:00:02Z", "stream": "stderr", "attempt": 1, "text": "two"}),
        json!({"type": "note", "text": "attempt 1 ended: exited 1"}),
        json!({"type": "something newer", "x": 1}),
        json!({"type": "line", "time": null, "stream": "stdout", "attempt": 2, "text": "three"}),
    ]);
    let server = || {
        Server::new()
            .reply("GET /v1/tasks/web/logs", Reply::Body(200, "application/x-ndjson", output.clone()))
    };
    assert_snapshot!("logs", run(&server(), "task logs web"));
    assert_snapshot!(
        "logs_options",
        run(&server(), "task logs -f --tail 5 --since 10m --attempt 1 --timestamps -q web")
    );
    assert_snapshot!("logs_json", run(&server(), "task logs -o json web"));
}

#[test]
fn stop() {
    let mut stopping = views::task("web", State::Stopping, Some(Reason::StoppedByUser));
    stopping.wanted = Wanted::Stopped;
    let mut stopped = views::task("web", State::Stopped, Some(Reason::StoppedByUser));
    stopped.wanted = Wanted::Stopped;
    let server = || {
        Server::new()
            .json("POST /v1/tasks/web/stop", &views::answer(stopping.clone(), true))
            .json("GET /v1/tasks/7ZK3M0000000WEB1", &views::detail(&stopped))
    };
    assert_snapshot!("stop", run(&server(), "task stop --grace 30s web"));
    assert_snapshot!("stop_detach", run(&server(), "task stop -d web"));
    assert_snapshot!("stop_quiet", run(&server(), "task stop -q web"));
    assert_snapshot!("stop_wide", run(&server(), "task stop -o name web"));
    let server = Server::new().json("POST /v1/tasks/web/stop", &views::answer(stopped, false));
    assert_snapshot!("stop_again", run(&server, "task stop web"));
}

#[test]
fn restart() {
    let mut again = views::web();
    again.attempts = 2;
    let server = Server::new()
        .json("GET /v1/tasks/web", &views::detail(&views::web()))
        .json("POST /v1/tasks/web/restart", &views::answer(views::task("web", State::Stopping, None), true))
        .json("GET /v1/tasks/7ZK3M0000000WEB1", &views::detail(&views::task("web", State::Preparing, None)))
        .json("GET /v1/tasks/7ZK3M0000000WEB1", &views::detail(&again));
    assert_snapshot!(run(&server, "task restart web"));
}

#[test]
fn remove() {
    let removed = views::answer(views::task("web", State::Stopped, Some(Reason::StoppedByUser)), true);
    const ITSELF: &str = "GET /v1/tasks/7ZK3M0000000WEB1";
    let gone = Problem::new(Code::NoSuchTask, "no such task");
    let server = Server::new().json("DELETE /v1/tasks/web", &removed).problem(ITSELF, &gone);
    assert_snapshot!("remove", run(&server, "task remove web"));
    let running = Problem::new(Code::StillRunning, "web is running");
    let server = Server::new().problem("DELETE /v1/tasks/web", &running);
    assert_snapshot!("remove_running", run(&server, "task remove web"));
    let server =
        Server::new().problem("DELETE /v1/tasks/web", &running).json("DELETE /v1/tasks/web", &removed);
    assert_snapshot!("remove_yes", run(&server, "task remove --yes --detach web"));
    let stopping = views::detail(&views::task("web", State::Stopping, Some(Reason::StoppedByUser)));
    let server =
        Server::new().json("DELETE /v1/tasks/web", &removed).json(ITSELF, &stopping).problem(ITSELF, &gone);
    assert_snapshot!("remove_force", run(&server, "task remove --force web"));
    let mut away = views::task("web", State::Running, Some(Reason::StoppedByUser));
    away.stale_since = Some(away.since);
    let server = Server::new()
        .json("DELETE /v1/tasks/web", &removed)
        .json(ITSELF, &views::detail(&away))
        .problem(ITSELF, &gone);
    assert_snapshot!("remove_while_the_engine_is_away", run(&server, "task remove --force web"));
}

#[test]
fn wait() {
    let mut done = views::task("job", State::Completed, Some(Reason::Exited));
    done.exit_code = Some(0);
    let mut failed = views::task("job", State::Failed, Some(Reason::RestartsUsedUp));
    failed.exit_code = Some(3);
    failed.message = "exited with 3, and its restart policy allows no more attempts".into();
    failed.hint = "orcactl task restart job begins anew".into();
    let server = Server::new()
        .json("GET /v1/tasks/job", &views::detail(&views::job()))
        .json("GET /v1/tasks/7ZK3M0000000WEB1", &views::detail(&done));
    assert_snapshot!("wait", run(&server, "task wait job"));
    let server = Server::new().json("GET /v1/tasks/job", &views::detail(&failed));
    assert_snapshot!("wait_failed", run(&server, "task wait job"));
    let server = Server::new().json("GET /v1/tasks/job", &views::detail(&failed));
    assert_snapshot!("wait_stopped", run(&server, "task wait --for stopped job"));
    let server = Server::new().json("GET /v1/tasks/job", &views::detail(&done));
    assert_snapshot!("wait_running_of_one_that_ended", run(&server, "task wait --for running job"));
    let server = Server::new()
        .json("GET /v1/tasks/job", &views::detail(&views::job()))
        .problem("GET /v1/tasks/7ZK3M0000000WEB1", &Problem::new(Code::NoSuchTask, "no such task"));
    assert_snapshot!("wait_gone", run(&server, "task wait --for gone job"));
    let server = Server::new()
        .json("GET /v1/tasks/web", &views::detail(&views::web()))
        .reply("GET /v1/tasks/7ZK3M0000000WEB1", Reply::Silence);
    assert_snapshot!("wait_timeout", run(&server, "task wait --timeout 200ms web"));
}

#[test]
fn stats() {
    let measured = json!({
        "name": "web", "node": "n1", "at": "2026-11-01T12:04:58Z", "load": {
            "task": "7ZK3M0000000WEB1", "placement": "7ZK3M0000000PAC1", "attempt": 3, "cpu_now": 0.125, "cpu_average": 0.1,
            "memory": 10_485_760, "memory_peak": 20_971_520, "memory_limit": 268_435_456, "pids": 3, "net_rx_bytes_s": 1024.0,
            "net_tx_bytes_s": 0.0, "io_read_bytes_s": null, "io_write_bytes_s": 4096.0,
        },
    });
    let new = json!({"name": "job", "node": null, "at": null, "load": null});
    let server = Server::new().json("GET /v1/stats", &json!({"items": [measured, new], "revision": 418}));
    assert_snapshot!("stats", run(&server, "task stats"));
    let server = Server::new().json("GET /v1/tasks/web/stats", &measured);
    assert_snapshot!("stats_of_one", run(&server, "task stats -o wide web"));
}

#[test]
fn logs_of_several_are_merged_by_time() {
    let line = |second: u32, text: &str| json!({"type": "line", "time": format!("2026-11-01T12:00:{second:02}Z"), "stream": "stdout", "attempt": 1, "text": text});
    let body = |lines: &[serde_json::Value]| Reply::Body(200, "application/x-ndjson", self::lines(lines));
    let note = json!({"type": "note", "text": "attempt 1 ended"});
    let away = Problem::new(Code::NodeAway, "n3 does not answer");
    let server = || {
        Server::new()
            .reply("GET /v1/tasks/web/logs", body(&[line(1, "one"), line(4, "four"), note.clone()]))
            .reply("GET /v1/tasks/api-2/logs", body(&[line(2, "two"), line(3, "three"), line(5, "five")]))
            .problem("GET /v1/tasks/db/logs", &away)
    };
    assert_snapshot!("logs_merged", run(&server(), "task logs web api-2 db"));
    assert_snapshot!("logs_merged_json", run(&server(), "task logs -q -o json web api-2"));
    let followed = run(&server(), "task logs --follow -t web api-2");
    assert!(followed.contains("api-2 | 2026-11-01T12:00:05.000Z five"), "{followed}");
    let missing = Problem::new(Code::NoSuchTask, "there is no task gone");
    let server = server().problem("GET /v1/tasks/gone/logs", &missing);
    assert_snapshot!("logs_merged_missing", run(&server, "task logs web gone"));
}
