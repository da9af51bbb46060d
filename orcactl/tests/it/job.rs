//! `orcactl job …`: plans, runs, boards and what failed.

use insta::assert_snapshot;
use orca_api::error::{Code, Problem};
use serde_json::{Value, json};

use crate::run::{orcactl, report, run, run_alone, run_with_input};
use crate::server::{Reply, Server, lines};
use crate::views;

const NOON: &str = "2026-11-01T12:00:00Z";
const ITSELF: &str = "GET /v1/jobs/7ZK3M0000000J0B1";
const FILE: &str = "name = \"web\"\nimage = \"nginx:${tag}\"\ncount = 2\n[variables]\ntag = \"1.27\"\n";

/// A job in a state, with so many of two tasks running.
fn job(state: &str, running: u32) -> Value {
    json!({
        "id": "7ZK3M0000000J0B1", "name": "web", "revision": 418, "type": "service", "wanted": "running", "state": state,
        "reason": null, "message": "", "version": 4, "created_at": "2026-11-01T11:00:00Z",
        "groups": [{"name": "", "wanted": 2, "running": running, "pending": 2 - running, "completed": 0, "failed": 0}],
    })
}

fn rolling(state: &str, done: u32, message: &str) -> Value {
    let mut job = job("rolling", done);
    job["rollout"] = json!({
        "state": state, "to": 4, "from": 3, "done": done, "total": 2, "since": NOON, "message": message,
    });
    job
}

/// A task of it.
fn task(number: u32, state: &str, reason: Value, message: &str) -> Value {
    let ran = state != "waiting" && state != "preparing";
    json!({
        "id": format!("7ZK3M0000000T4S{number}"), "name": format!("web.{number}"), "revision": 418, "wanted": "running",
        "phase": match state { "running" => "running", "failed" => "failed", "waiting" => "pending", _ => "scheduled" },
        "state": state, "reason": reason, "message": message, "hint": "", "node": if reason == "no_fit" { Value::Null } else { json!(format!("n{number}")) },
        "node_id": null, "image": "nginx:1.27", "restarts": 0, "attempts": u32::from(ran), "exit_code": if state == "failed" { json!(1) } else { Value::Null },
        "signal": null, "ports": [], "created_at": NOON, "since": NOON, "started_at": null, "finished_at": null,
        "next_attempt_at": null, "progress": null, "stale_since": null, "warning": null, "version": 4,
    })
}

fn detail(job: &Value, tasks: &[Value]) -> Value {
    let mut detail = job.clone();
    detail["spec"] = json!({
        "type": "service", "priority": 50, "depends_on": {"db": "healthy"},
        "groups": {"": {"count": 2, "spec": {"image": "nginx:1.27"}}},
    });
    detail["spec_digest"] = json!("ab");
    detail["tasks"] = json!(tasks);
    detail
}

fn well() -> Value {
    detail(&job("running", 2), &[task(1, "running", Value::Null, ""), task(2, "running", Value::Null, "")])
}

fn answer(job: &Value) -> Value {
    json!({"job": job, "changed": true})
}

/// Runs it with a file in place of FILE.
fn with_file(server: &Server, line: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    run(server, &line.replace("FILE", &path)).replace(&path, "web.toml")
}

fn plan(changes: bool, fits: bool) -> Value {
    let task = |name: &str, action: &str, from: Value, to: Value, order: Value, why: &str| json!({"name": name, "action": action, "from": from, "to": to, "order": order, "why": why});
    let third = if fits { json!("n3") } else { Value::Null };
    let why = if fits { "" } else { "memory: needs 8 GiB, at most 3 GiB are free" };
    json!({
        "name": "web", "revision": 418, "changes": changes, "fits": fits,
        "fields": if changes { json!([
            {"path": "count", "old": 2, "new": 3},
            {"path": "env.LOG", "old": null, "new": "info"},
            {"path": "image", "old": "nginx:1.26", "new": "nginx:1.27"},
            {"path": "memory", "old": "256MiB", "new": null},
        ]) } else { json!([]) },
        "tasks": if changes { json!([
            task("web.1", "replace", json!("n1"), json!("n1"), json!("start_first"), ""),
            task("web.2", "replace", json!("n2"), json!("n1"), json!("stop_first"), "host port 8080 can be had once only"),
            task("web.3", "start", Value::Null, third, Value::Null, why),
        ]) } else { json!([
            task("web.1", "keep", json!("n1"), json!("n1"), Value::Null, ""),
            task("web.2", "keep", json!("n2"), json!("n2"), Value::Null, ""),
        ]) },
        "notes": if changes { json!(["the tag 1.27 was not resolved: the registry does not answer"]) } else { json!([]) },
    })
}

#[test]
fn plans() {
    let server = |changes, fits| Server::new().json("POST /v1/plan", &plan(changes, fits));
    assert_snapshot!("plan", with_file(&server(true, true), "job plan FILE --var tag=1.27", FILE));
    assert_snapshot!("plan_nothing", with_file(&server(false, true), "job plan FILE", FILE));
    assert_snapshot!("plan_no_fit", with_file(&server(true, false), "job plan FILE", FILE));
    assert_snapshot!("plan_wide", with_file(&server(false, true), "job plan -o wide FILE", FILE));
    assert_snapshot!("plan_name", with_file(&server(true, true), "job plan -o name FILE", FILE));
    let text = with_file(&server(true, true), "job plan -o json FILE", FILE);
    assert!(text.contains("\"revision\": 418"), "{text}");
}

#[test]
fn a_file_that_is_wrong_is_shown() {
    let wrong = |text: &str, line: &str| with_file(&Server::new(), line, text);
    assert_snapshot!(
        "file_unknown_key",
        wrong("name = \"web\"\nimage = \"nginx\"\n[group.api]\nmemroy = \"1g\"\n", "job plan FILE")
    );
    assert_snapshot!(
        "file_wrong_value",
        wrong("name = \"web\"\nimage = \"nginx\"\ntype = \"servce\"\n", "job run FILE")
    );
    assert_snapshot!("file_no_toml", wrong("name = \"web\"\nimage = \n", "job run FILE"));
    assert_snapshot!(
        "file_no_variable",
        wrong("name = \"web\"\nimage = \"nginx:${tga}\"\n[variables]\ntag = \"1\"\n", "job run FILE")
    );
    assert_snapshot!("file_undeclared_variable", wrong(FILE, "job run FILE --var tga=1"));
    assert_snapshot!("file_variable_without_value", wrong(FILE, "job run FILE --var tag"));
    assert_snapshot!("file_missing", run_alone("job run nginx"));
}

#[test]
fn json_and_standard_input_mean_the_same() {
    let server = Server::new().json("POST /v1/jobs", &answer(&job("pending", 0)));
    run_with_input(&server, "job run -d -", FILE);
    run_with_input(
        &server,
        "job run -d -",
        "{\"name\":\"web\",\"image\":\"nginx:${tag}\",\"count\":2,\"variables\":{\"tag\":\"1.27\"}}",
    );
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
}

#[test]
fn runs() {
    let pulling = {
        let mut task = task(2, "preparing", Value::Null, "");
        task["progress"] = json!({"step": "pulling", "done": 1_048_576, "total": 4_194_304});
        task
    };
    let server = Server::new()
        .json("POST /v1/jobs", &answer(&rolling("rolling", 0, "")))
        .json(ITSELF, &detail(&rolling("rolling", 0, ""), &[task(1, "starting", Value::Null, ""), pulling]))
        .json(
            ITSELF,
            &detail(
                &rolling("rolling", 1, ""),
                &[task(1, "running", Value::Null, ""), task(2, "starting", Value::Null, "")],
            ),
        )
        .json(ITSELF, &well());
    assert_snapshot!("run", with_file(&server, "job run FILE --var tag=1.28 --if-revision 418", FILE));

    let server = Server::new()
        .json("POST /v1/jobs", &json!({"job": job("running", 2), "changed": false}))
        .json(ITSELF, &well());
    assert_snapshot!("run_unchanged", with_file(&server, "job run FILE", FILE));

    let server =
        Server::new().problem("POST /v1/jobs", &Problem::new(Code::Changed, "web has revision 420, not 418"));
    assert_snapshot!("run_if_revision", with_file(&server, "job run FILE --if-revision 418", FILE));
}

#[test]
fn runs_without_a_file() {
    let server = Server::new().json("POST /v1/jobs", &answer(&job("pending", 0)));
    assert_snapshot!(
        "run_image",
        run(&server, "job run -d --name web --count 3 -p 8080:80 -m 64m nginx:1.27 nginx -g off")
    );
    let server = Server::new().json("POST /v1/jobs", &answer(&job("pending", 0)));
    assert_snapshot!(
        "run_batch",
        run(&server, "job run -d --name sums --type batch --restart on-failure:2 app")
    );
    assert_snapshot!("run_image_wrong", run_alone("job run --name sums --type batch --restart always app"));
    assert_snapshot!("run_file_and_flags", run_alone("job run -p 80:80 web.toml"));
    assert_snapshot!("run_two_files", run_alone("job run web.toml api.toml"));
    assert_snapshot!("run_count_without_name", run_alone("job run --count 3 web.toml"));
}

#[test]
fn what_fails_is_shown_with_its_last_words() {
    let failed = task(1, "failed", json!("exited"), "exited with 1");
    let words = lines(&[
        json!({"type": "line", "stream": "stdout", "time": NOON, "attempt": 1, "text": "cannot read /etc/app.conf"}),
    ]);
    let mut back = rolling("failed", 2, "version 4 failed: web.1 exited with 1; back to version 3");
    back["state"] = json!("running");
    back["version"] = json!(5);
    let server = Server::new()
        .json("POST /v1/jobs", &answer(&rolling("rolling", 0, "")))
        .json(ITSELF, &detail(&rolling("rolling", 0, ""), &[failed, task(2, "running", Value::Null, "")]))
        .json(
            ITSELF,
            &detail(
                &rolling("rolling_back", 0, "version 4 failed: web.1 exited with 1; back to version 3"),
                &[task(1, "starting", Value::Null, "")],
            ),
        )
        .json(
            ITSELF,
            &detail(&back, &[task(1, "running", Value::Null, ""), task(2, "running", Value::Null, "")]),
        )
        .reply("GET /v1/tasks/web.1/logs", Reply::Body(200, "application/x-ndjson", words));
    assert_snapshot!("run_failed", with_file(&server, "job run FILE", FILE));

    let server = Server::new()
        .json("POST /v1/jobs", &answer(&rolling("rolling", 0, "")))
        .json(ITSELF, &detail(&rolling("paused", 1, "web.2 is not healthy"), &[]));
    assert_snapshot!("run_paused", with_file(&server, "job run FILE", FILE));
    let server = Server::new()
        .json("POST /v1/jobs", &answer(&rolling("rolling", 0, "")))
        .json(ITSELF, &detail(&rolling("canary", 1, ""), &[task(1, "running", Value::Null, "")]));
    assert_snapshot!("run_canary", with_file(&server, "job run FILE", FILE));
    let mut new = rolling("rolling", 1, "");
    new["rollout"]["from"] = json!(0);
    let server = Server::new()
        .json("POST /v1/jobs", &answer(&new))
        .json(
            ITSELF,
            &detail(
                &new,
                &[
                    task(1, "running", Value::Null, ""),
                    task(2, "waiting", json!("no_fit"), "web.2 fits on no node"),
                ],
            ),
        )
        .reply("GET /v1/tasks/web.2/explain", Reply::Body(500, "text/plain", String::new()));
    assert_snapshot!("run_no_fit", with_file(&server, "job run FILE", FILE));
    let server = Server::new()
        .json("POST /v1/jobs", &answer(&rolling("rolling", 0, "")))
        .json(ITSELF, &detail(&rolling("rolling", 0, ""), &[]))
        .reply(ITSELF, Reply::Silence);
    assert_snapshot!("run_timeout", with_file(&server, "job run --timeout 200ms FILE", FILE));
}

#[test]
fn lists() {
    let mut nightly = job("pending", 0);
    nightly["name"] = json!("nightly");
    nightly["type"] = json!("batch");
    nightly["groups"] = json!([]);
    nightly["schedule"] = json!({"words": "at 03:00, every day (UTC)", "next": "2026-11-02T03:00:00Z", "last": null, "last_success": NOON});
    let list = json!({"items": [nightly, rolling("rolling", 1, "")], "revision": 418});
    let server = || Server::new().json("GET /v1/jobs", &list);
    assert_snapshot!("job_list", run(&server(), "job list"));
    assert_snapshot!("job_list_wide", run(&server(), "job ls -o wide"));
    assert_snapshot!("job_list_name", run(&server(), "job list -o name"));
    let server = Server::new().json("GET /v1/jobs", &views::list(Vec::<Value>::new()));
    assert_snapshot!("job_list_none", run(&server, "job list"));
}

#[test]
fn inspects() {
    let mut seen = detail(
        &rolling("rolling", 1, "waiting until web.2 is healthy for 5s"),
        &[task(1, "running", Value::Null, ""), task(2, "starting", Value::Null, "")],
    );
    seen["launches"] = json!([{"number": 7, "due": NOON, "began": NOON, "ended": "2026-11-01T12:01:30Z", "outcome": "succeeded", "message": ""}]);
    let server = || Server::new().json("GET /v1/jobs/web", &seen);
    assert_snapshot!("job_inspect", run(&server(), "job inspect web"));
    assert_snapshot!("rollout_status", run(&server(), "job rollout status web"));
    let server = Server::new().json("GET /v1/jobs/web", &well());
    assert_snapshot!("rollout_status_none", run(&server, "job rollout status web"));
    let server =
        Server::new().problem("GET /v1/jobs/nope", &Problem::new(Code::NoSuchJob, "there is no job nope"));
    assert_snapshot!("job_inspect_none", run(&server, "job inspect nope"));
}

#[test]
fn explains() {
    let explanation = json!({
        "verdict": "web.2 fits on no node", "fits": false, "algorithm": "epvm", "nodes": [], "refused": [],
        "suggestions": ["lower reserve_memory to 3 GiB"], "story": ["waiting (no_fit) since 12:00"],
    });
    let seen = detail(
        &job("degraded", 1),
        &[task(1, "running", Value::Null, ""), task(2, "waiting", json!("no_fit"), "")],
    );
    let server =
        || Server::new().json("GET /v1/jobs/web", &seen).json("GET /v1/tasks/web.2/explain", &explanation);
    assert_snapshot!("job_explain", run(&server(), "job explain web"));
    assert_snapshot!("job_explain_name", run(&server(), "job explain -o name web"));
}

#[test]
fn acts() {
    let stopped = {
        let mut stopped = job("stopped", 0);
        stopped["wanted"] = json!("stopped");
        detail(&stopped, &[])
    };
    let server = Server::new()
        .json("POST /v1/jobs/web/stop", &answer(&job("running", 2)))
        .json(ITSELF, &well())
        .json(ITSELF, &stopped);
    assert_snapshot!("job_stop", run(&server, "job stop web"));
    let server =
        Server::new().json("POST /v1/jobs/web/start", &answer(&job("pending", 0))).json(ITSELF, &well());
    assert_snapshot!("job_start", run(&server, "job start web"));
    let server = Server::new()
        .json("POST /v1/jobs/web/restart", &answer(&rolling("rolling", 0, "")))
        .json(ITSELF, &detail(&rolling("rolling", 0, ""), &[]))
        .json(ITSELF, &well());
    assert_snapshot!("job_restart", run(&server, "job restart -o name web"));
    let server =
        Server::new().json("POST /v1/jobs/web/scale", &answer(&job("running", 2))).json(ITSELF, &well());
    assert_snapshot!("job_scale", run(&server, "job scale web 2"));
    let server = Server::new().problem(
        "POST /v1/jobs/web/scale",
        &Problem::new(Code::NoSuchGroup, "web has no group api")
            .hint("its only group has no name: leave --group out"),
    );
    assert_snapshot!("job_scale_no_group", run(&server, "job scale --group api web 2"));
    let server = Server::new().json("POST /v1/jobs/web/rollback", &answer(&job("running", 2)));
    assert_snapshot!("job_rollback", run(&server, "job rollback -d --to 3 web"));
    let server = Server::new().json("POST /v1/jobs/web/rollout", &answer(&rolling("paused", 1, "")));
    assert_snapshot!("rollout_pause", run(&server, "job rollout pause web"));
    let server = Server::new()
        .json("POST /v1/jobs/web/rollout", &answer(&rolling("rolling", 1, "")))
        .json(ITSELF, &well());
    assert_snapshot!("rollout_resume", run(&server, "job rollout resume web"));
    let mut back = well();
    back["rollout"] = rolling("failed", 2, "it was asked to go back")["rollout"].clone();
    let server = Server::new()
        .json("POST /v1/jobs/web/rollout", &answer(&rolling("rolling_back", 0, "")))
        .json(ITSELF, &detail(&rolling("rolling_back", 0, ""), &[]))
        .json(ITSELF, &back);
    assert_snapshot!("rollout_abort", run(&server, "job rollout abort web"));
    let server = Server::new().problem(
        "POST /v1/jobs/web/rollout",
        &Problem::new(Code::NoRollout, "no change of web is under way"),
    );
    assert_snapshot!("rollout_none", run(&server, "job rollout abort web"));
}

#[test]
fn removes() {
    let gone = Problem::new(Code::NoSuchJob, "no such job");
    let server = Server::new()
        .json("DELETE /v1/jobs/web", &answer(&job("stopped", 0)))
        .json(ITSELF, &well())
        .problem(ITSELF, &gone);
    assert_snapshot!("job_remove", run(&server, "job remove web"));
    let running = Problem::new(Code::StillRunning, "web is not stopped");
    let server = Server::new().problem("DELETE /v1/jobs/web", &running);
    assert_snapshot!("job_remove_running", run(&server, "job remove web"));
    let server = Server::new()
        .problem("DELETE /v1/jobs/web", &running)
        .json("DELETE /v1/jobs/web", &answer(&job("running", 2)));
    assert_snapshot!("job_remove_yes", run(&server, "job remove --yes --detach web"));
}

#[test]
fn versions() {
    let version = |version: u32, current: bool, proven: bool, changes: Value| {
        json!({
            "version": version, "at": NOON, "by": "root", "current": current, "proven": proven, "changes": changes,
        })
    };
    let list = json!({"items": [
        version(4, true, false, json!([{"path": "image", "old": "nginx:1.26", "new": "nginx:1.27"}])),
        version(3, false, true, json!([{"path": "count", "old": 1, "new": 2}])),
        version(2, false, true, json!([])),
    ], "revision": 418});
    let server = || Server::new().json("GET /v1/jobs/web/history", &list);
    assert_snapshot!("job_history", run(&server(), "job history web"));
    assert_snapshot!("job_history_name", run(&server(), "job history -o name web"));
}

#[test]
fn waits() {
    let first = "GET /v1/jobs/web";
    let pending = detail(&job("pending", 0), &[task(1, "starting", Value::Null, "")]);
    let server = Server::new().json(first, &pending).json(ITSELF, &pending).json(ITSELF, &well());
    assert_snapshot!("job_wait", run(&server, "job wait web"));
    let server = Server::new().json(first, &well()).json(ITSELF, &well());
    assert_snapshot!("job_wait_complete_of_a_service", run(&server, "job wait --for complete web"));
    let server = Server::new()
        .json(first, &well())
        .json(ITSELF, &well())
        .problem(ITSELF, &Problem::new(Code::NoSuchJob, "no such job"));
    assert_snapshot!("job_wait_gone", run(&server, "job wait --for gone web"));
    let mut stopped = job("stopped", 0);
    stopped["message"] = json!("stopped by root");
    let server = Server::new().json(first, &detail(&stopped, &[])).json(ITSELF, &detail(&stopped, &[]));
    assert_snapshot!("job_wait_stopped", run(&server, "job wait web"));
    let server = Server::new().json(first, &pending).json(ITSELF, &pending).reply(ITSELF, Reply::Silence);
    assert_snapshot!("job_wait_timeout", run(&server, "job wait --timeout 200ms web"));
}

#[test]
fn logs_and_exec() {
    let said = |text: &str, time: &str| {
        lines(&[json!({"type": "line", "stream": "stdout", "time": time, "attempt": 1, "text": text})])
    };
    let server = || {
        Server::new()
            .json("GET /v1/jobs/web", &well())
            .reply(
                "GET /v1/tasks/web.1/logs",
                Reply::Body(200, "application/x-ndjson", said("second", "2026-11-01T12:00:02Z")),
            )
            .reply(
                "GET /v1/tasks/web.2/logs",
                Reply::Body(200, "application/x-ndjson", said("first", "2026-11-01T12:00:01Z")),
            )
    };
    assert_snapshot!("job_logs", run(&server(), "job logs --tail 5 web"));
    assert_snapshot!("job_logs_no_group", run(&server(), "job logs --group api web"));
    let pending = detail(&job("pending", 0), &[task(1, "waiting", json!("new"), "")]);
    assert_snapshot!("job_logs_none", run(&Server::new().json("GET /v1/jobs/web", &pending), "job logs web"));
    assert_snapshot!(
        "job_exec_none",
        run(&Server::new().json("GET /v1/jobs/web", &pending), "job exec web ls")
    );
    let server =
        Server::new().json("GET /v1/jobs/web", &well()).reply("POST /v1/tasks/web.1/exec", Reply::Echo(7));
    let output = run_with_input(&server, "job exec -i web -- cat", "hello\n");
    assert_snapshot!("job_exec", output);
    assert_snapshot!("job_exec_no_command", run_alone("job exec web --"));
}

#[test]
fn an_example_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.toml").display().to_string();
    let socket = std::path::Path::new("/nowhere/orca.sock");
    let init = || {
        let output = orcactl(socket, &["job", "init", &path]).output().unwrap();
        report("job init shop.toml", &output, socket).replace(&path, "shop.toml")
    };
    assert_snapshot!("job_init", init());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), orca_api::job::schema::EXAMPLE);
    assert_snapshot!("job_init_again", init());
    let output = orcactl(socket, &["job", "schema"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["title"], "orca job");
}
