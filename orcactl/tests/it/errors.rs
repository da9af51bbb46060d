//! A daemon that is not there, may not be asked, does not answer, or answers nonsense.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use insta::assert_snapshot;
use orca_api::error::{Code, Problem};

use crate::run::{orcactl, report, run};
use crate::server::{Reply, Server};
use crate::views;

#[test]
fn no_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("orca.sock");
    let output = orcactl(&socket, &["task", "list"]).output().unwrap();
    assert_snapshot!("no_socket", report("task list", &output, &socket));
    let output = orcactl(&socket, &["version"]).output().unwrap();
    assert_snapshot!("no_socket_version", report("version", &output, &socket));
}

#[test]
fn nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("orca.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let output = orcactl(&socket, &["status"]).output().unwrap();
    assert_snapshot!(report("status", &output, &socket));
}

/// As another user; only root can become one, so elsewhere there is nothing to see.
#[test]
fn not_allowed() {
    use std::os::unix::process::CommandExt as _;
    let server = Server::new().json("GET /v1/tasks", &views::list(vec![views::web()]));
    let folder = server.socket().parent().unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(server.socket(), std::fs::Permissions::from_mode(0o600)).unwrap();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let other = |words: &[&str]| {
        // The binary may lie where the other user cannot look.
        let copy = folder.join("orcactl");
        std::fs::copy(env!("CARGO_BIN_EXE_orcactl"), &copy).unwrap();
        let mut command = std::process::Command::new(&copy);
        command
            .args(words)
            .env_clear()
            .env("ORCA_SOCKET", server.socket())
            .uid(65534)
            .gid(65534)
            .stdin(Stdio::null());
        report(&words.join(" "), &command.output().unwrap(), server.socket())
    };
    assert_snapshot!("not_allowed", other(&["task", "list", "-o", "name"]));
    // Beside it stands the socket that answers reads only.
    let view = folder.join("view.sock");
    std::os::unix::fs::symlink(server.socket(), &view).unwrap();
    assert_snapshot!("not_allowed_view_denied", other(&["task", "list", "-o", "name"]));
    std::fs::remove_file(&view).unwrap();
    let readable = Server::new().json("GET /v1/tasks", &views::list(vec![views::web()]));
    std::fs::set_permissions(readable.socket().parent().unwrap(), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    std::fs::set_permissions(readable.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    std::os::unix::fs::symlink(readable.socket(), &view).unwrap();
    assert_snapshot!("view_socket_reads", other(&["task", "list", "-o", "name"]));
    assert_snapshot!("view_socket_does_not_act", other(&["task", "stop", "web"]));
}

#[test]
fn no_answer() {
    let server = Server::new().reply("GET /v1/tasks", Reply::Silence);
    assert_snapshot!(run(&server, "task list --answer-timeout 200ms"));
}

#[test]
fn a_connection_that_breaks_twice() {
    let server = Server::new().reply("GET /v1/tasks", Reply::Close);
    let output = orcactl(server.socket(), &["task", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn nonsense() {
    let server = Server::new().reply("GET /v1/tasks", Reply::Body(200, "application/json", "{}".into()));
    assert_snapshot!("nonsense_json", run(&server, "task list"));
    let server =
        Server::new().reply("GET /v1/tasks", Reply::Body(502, "text/html", "<h1>Bad gateway</h1>".into()));
    assert_snapshot!("nonsense_html", run(&server, "task list"));
}

#[test]
fn a_defect_names_the_request() {
    let mut problem =
        Problem::new(Code::Internal, "the store said something unexpected").because("no such table: tasks");
    problem.request_id = Some("7ZK3M0000000REQ1".into());
    assert_snapshot!(run(&Server::new().problem("GET /v1/tasks", &problem), "task list"));
}

#[test]
fn codes_become_exit_codes() {
    for (code, exit) in [
        (Code::NoSuchTask, 4),
        (Code::NotRunning, 3),
        (Code::NotAllowed, 77),
        (Code::Stopping, 69),
        (Code::BadSpec, 64),
    ] {
        let server = Server::new().problem("GET /v1/tasks", &Problem::new(code, "no"));
        let output = orcactl(server.socket(), &["task", "list"]).output().unwrap();
        assert_eq!(output.status.code(), Some(exit), "{code}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_gets_no_complaint() {
    let tasks: Vec<_> = std::iter::repeat_with(views::web).take(2000).collect();
    let server = Server::new().json("GET /v1/tasks", &views::list(tasks));
    let mut child = orcactl(server.socket(), &["task", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.len()),
        (Some(0), 0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn messages_cannot_move_the_cursor() {
    let problem = Problem::new(Code::NoSuchTask, "\u{1b}[2Jgone\rx").hint("a\nb");
    assert_snapshot!(run(&Server::new().problem("GET /v1/tasks", &problem), "task list"));
}
