//! `orcactl task start`.

use insta::assert_snapshot;
use orca_api::error::{Code, Problem};
use orca_api::task::{Reason, State};
use serde_json::json;

use crate::run::{orcactl, report, run, run_with_input};
use crate::server::{Reply, Server, lines};
use crate::views;

const ITSELF: &str = "GET /v1/tasks/7ZK3M0000000WEB1";

fn assigned() -> Server {
    Server::new().json("POST /v1/tasks", &views::answer(views::task("web", State::Assigned, None), true))
}

#[test]
fn waits_until_it_runs_and_says_each_change_once() {
    let pulling = |done: u64| {
        let mut task = views::task("web", State::Preparing, None);
        task.progress = serde_json::from_value(json!({"step": "pulling", "done": done, "total": 100})).ok();
        views::detail(&task)
    };
    let mut checked = views::task("web", State::Starting, None);
    let step = "its health check fails: GET http://172.17.0.2:80/ready: connection refused";
    checked.progress = serde_json::from_value(json!({"step": step})).ok();
    let server = assigned()
        .json(ITSELF, &pulling(10))
        .json(ITSELF, &pulling(90))
        .json(ITSELF, &views::detail(&views::task("web", State::Starting, None)))
        .json(ITSELF, &views::detail(&checked))
        .json(ITSELF, &views::detail(&views::web()));
    assert_snapshot!(run(
        &server,
        "task start --name web -p 8080:80 -m 256m nginx:1.27 serve --fast -o json"
    ));
}

#[test]
fn forms_of_output() {
    let server = || Server::new().json("POST /v1/tasks", &views::answer(views::web(), true));
    assert_snapshot!("start_json", run(&server(), "task start -o json nginx"));
    assert_snapshot!("start_quiet", run(&server(), "task start -q nginx"));
    assert_snapshot!("start_wide", run(&server(), "task start -o wide nginx"));
    assert_snapshot!("start_detach", run(&assigned(), "task start -d nginx"));
}

#[test]
fn the_same_again() {
    let server = Server::new().json("POST /v1/tasks", &views::answer(views::web(), false));
    assert_snapshot!(run(&server, "task start --name web nginx"));
}

#[test]
fn one_that_ends_at_once_with_0_is_fine() {
    let mut done = views::task("web", State::Completed, Some(Reason::Exited));
    done.exit_code = Some(0);
    assert_snapshot!(run(&assigned().json(ITSELF, &views::detail(&done)), "task start alpine true"));
}

#[test]
fn one_that_crashes() {
    let mut crashed = views::job();
    crashed.name = "web".parse().unwrap();
    let output = lines(&[
        json!({"type": "line", "time": null, "stream": "stderr", "attempt": 1, "text": "no such file: /etc/app.conf"}),
    ]);
    let server = assigned()
        .json(ITSELF, &views::detail(&crashed))
        .reply("GET /v1/tasks/web/logs", Reply::Body(200, "application/x-ndjson", output));
    assert_snapshot!(run(&server, "task start app"));
}

#[test]
fn one_that_fits_nowhere() {
    let mut answer = views::answer(views::big(), true);
    answer.explanation = Some(views::explanation());
    let server = Server::new().json("POST /v1/tasks", &answer);
    assert_snapshot!(run(&server, "task start --name big --reserve-memory 64g nginx"));
}

#[test]
fn one_whose_image_is_not_there() {
    let mut rejected = views::task("web", State::Waiting, Some(Reason::ImageNotFound));
    rejected.attempts = 1;
    rejected.message = "manifest for nginx:nope not found".into();
    rejected.hint = Reason::ImageNotFound.hint().into();
    assert_snapshot!(run(&assigned().json(ITSELF, &views::detail(&rejected)), "task start nginx:nope"));
}

#[test]
fn a_name_that_runs_with_another_spec() {
    let problem = Problem::new(Code::OtherSpec, "web runs with another spec")
        .because("its image is nginx:1.27, not nginx:1.28")
        .hint("--replace stops it and starts this one in its place");
    let server = Server::new().problem("POST /v1/tasks", &problem);
    assert_snapshot!(run(&server, "task start --name web nginx:1.28"));
}

#[test]
fn time_is_up() {
    let server = assigned().reply(ITSELF, Reply::Silence);
    assert_snapshot!(run(&server, "task start --timeout 200ms nginx"));
}

#[test]
fn a_file_with_flags_on_top() {
    let server = assigned().json(ITSELF, &views::detail(&views::web()));
    let file = server.socket().with_file_name("web.toml");
    std::fs::write(
        &file,
        "name = \"web\"\nimage = \"nginx:1.27\"\nports = [\"8080:80\"]\nmemory = \"64m\"\n",
    )
    .unwrap();
    let env = server.socket().with_file_name("web.env");
    std::fs::write(&env, "# for web\nLEVEL=info\nHOME\n").unwrap();
    let line = format!(
        "task start -f {} --env-file {} -m 128m -e LEVEL=debug --restart always",
        file.display(),
        env.display()
    );
    assert_snapshot!(run(&server, &line));
}

#[test]
fn a_file_from_standard_input() {
    let server = Server::new().json("POST /v1/tasks", &views::answer(views::web(), true));
    assert_snapshot!(run_with_input(&server, "task start -f -", "image = \"nginx\"\n"));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_file_with_a_wrong_key_is_shown() {
    let server = Server::new();
    let file = server.socket().with_file_name("web.toml");
    std::fs::write(&file, "image = \"nginx\"\n\n[env]\nA = \"1\"\n").unwrap();
    let line = format!("task start -f {}", file.display());
    std::fs::write(&file, "image = \"nginx\"\nmemroy = \"1g\"\n").unwrap();
    assert_snapshot!("file_unknown_key", run(&server, &line));
    std::fs::write(&file, "image = \"nginx\"\nports = [\"80:80\", \"web\"]\n").unwrap();
    assert_snapshot!("file_wrong_value", run(&server, &line));
    std::fs::write(&file, "image = \"nginx\nports = 3\n").unwrap();
    assert_snapshot!("file_no_toml", run(&server, &line));
    std::fs::write(&file, "memory = \"1g\"\n").unwrap();
    assert_snapshot!("file_without_image", run(&server, &line));
    assert_snapshot!("file_missing", run(&server, &format!("{line}x")));
    assert!(server.asked().is_empty(), "nothing is sent that cannot be right");
}

#[test]
fn a_broken_connection_is_tried_again_with_the_same_key() {
    let server = Server::new()
        .reply("POST /v1/tasks", Reply::Close)
        .json("POST /v1/tasks", &views::answer(views::web(), true));
    let output = orcactl(server.socket(), &["task", "start", "nginx"]).output().unwrap();
    let text = report("task start nginx", &output, server.socket());
    assert!(output.status.success(), "{text}");
    let keys = server.keys();
    assert_eq!(keys.len(), 2, "{text}");
    assert_eq!(keys[0], keys[1], "{text}");
}

#[test]
fn interrupted() {
    let server = assigned().reply(ITSELF, Reply::Silence);
    let mut command = orcactl(server.socket(), &["task", "start", "nginx"]);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while server.asked().len() < 2 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_snapshot!(report("task start nginx", &output, server.socket()));
}
