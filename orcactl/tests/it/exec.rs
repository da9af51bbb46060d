//! `orcactl task exec`.

use insta::assert_snapshot;
use orca_api::error::{Code, Problem};

use crate::run::{run, run_with_input};
use crate::server::{Reply, Server};

const EXEC: &str = "POST /v1/tasks/web/exec";

#[test]
fn input_goes_in_output_comes_out_and_the_exit_code_is_the_childs() {
    let server = Server::new().reply(EXEC, Reply::Echo(7));
    let text = run_with_input(&server, "task exec -i -u 1000 -w /srv -e A=1 web -- cat -n", "hello\n");
    assert_snapshot!(format!("{text}----- asked -----\n{}\n", server.asked().join("\n")));
}

#[test]
fn a_large_input_does_not_block() {
    let server = Server::new().reply(EXEC, Reply::Echo(0));
    let input = "0123456789abcdef\n".repeat(200_000);
    let text = run_with_input(&server, "task exec -i web cat", &input);
    assert!(text.starts_with("$ orcactl task exec -i web cat\nexit code: 0\n"), "{}", &text[..200]);
    assert!(text.contains(&input));
}

#[test]
fn a_process_that_cannot_be_run() {
    let problem =
        Problem::new(Code::NotRunning, "web is not running").hint("orcactl task restart web starts it again");
    let server = Server::new().problem(EXEC, &problem);
    assert_snapshot!("exec_not_running", run(&server, "task exec web ls"));
    let problem = Problem::new(Code::EngineError, "the engine refused")
        .because("exec failed: \"nope\": not found in $PATH");
    let server = Server::new().reply(EXEC, Reply::Refuse(problem));
    assert_snapshot!("exec_refused", run(&server, "task exec web nope"));
}

#[test]
fn wrong_usage() {
    let server = Server::new();
    assert_snapshot!("exec_no_command", run(&server, "task exec web"));
    assert_snapshot!("exec_no_terminal", run(&server, "task exec -it web sh"));
}
