//! Wrong usage (64), help (0), and the commands that need no daemon.

use insta::assert_snapshot;

use crate::run::{orcactl, run_alone};

#[test]
fn unknown_words() {
    assert_snapshot!("unknown_command", run_alone("tasks list"));
    assert_snapshot!("unknown_verb", run_alone("task lst"));
    assert_snapshot!("unknown_flag", run_alone("task start --memroy 1g nginx"));
    assert_snapshot!("unknown_form", run_alone("task list -o yaml"));
    assert_snapshot!("unknown_goal", run_alone("task wait --for runing web"));
}

#[test]
fn missing_words() {
    assert_snapshot!("nothing", run_alone(""));
    assert_snapshot!("noun_only", run_alone("task"));
    assert_snapshot!("start_without_image", run_alone("task start"));
    assert_snapshot!("stop_without_name", run_alone("task stop"));
    assert_snapshot!("explain_without_anything", run_alone("task explain"));
}

#[test]
fn wrong_values() {
    assert_snapshot!("wrong_name", run_alone("task start --name Web_1 nginx"));
    assert_snapshot!("wrong_image", run_alone("task start Nginx"));
    assert_snapshot!("wrong_port", run_alone("task start -p 80-90:80 nginx"));
    assert_snapshot!("wrong_memory", run_alone("task start -m lots nginx"));
    assert_snapshot!("wrong_cpus", run_alone("task start --cpus=-1 nginx"));
    assert_snapshot!("wrong_mount", run_alone("task start -v ./x:/x nginx"));
    assert_snapshot!("wrong_restart", run_alone("task start --restart sometimes nginx"));
    assert_snapshot!("wrong_env", run_alone("task start -e =x nginx"));
    assert_snapshot!("wrong_env_file", run_alone("task start --env-file /nowhere/x.env nginx"));
    assert_snapshot!("wrong_log_opt", run_alone("task start --log-opt max-size nginx"));
    assert_snapshot!("wrong_spec", run_alone("task start -w relative --dns x --memory 1m nginx"));
    assert_snapshot!("wrong_health", run_alone("task start --health-http ready nginx"));
    assert_snapshot!("two_healths", run_alone("task start --health-tcp 80 --health-cmd true nginx"));
    assert_snapshot!("no_health", run_alone("task start --health-retries 2 nginx"));
    assert_snapshot!("wrong_since", run_alone("task logs --since yesterday web"));
    assert_snapshot!("wrong_socket", run_alone("task list --socket="));
    assert_snapshot!("detach_and_timeout", run_alone("task start -d --timeout 5s nginx"));
    assert_snapshot!("explain_name_and_file", run_alone("task explain web -f web.toml"));
}

#[test]
fn help() {
    assert_snapshot!("help", run_alone("--help"));
    assert_snapshot!("help_task_start", run_alone("task start --help"));
    assert_snapshot!("help_task_list", run_alone("task list -h"));
    assert_snapshot!("version_flag", run_alone("--version"));
}

#[test]
fn completion_scripts() {
    for (shell, word) in [("bash", "complete "), ("zsh", "#compdef orcactl"), ("fish", "complete ")] {
        let text = run_alone(&format!("completion {shell}"));
        assert!(text.contains("exit code: 0") && text.contains(word) && text.contains("COMPLETE"), "{text}");
    }
    assert_snapshot!("completion_unknown", run_alone("completion tcsh"));
}

#[test]
fn completion_offers_the_names_that_exist() {
    let server = crate::server::Server::new()
        .json("GET /v1/tasks", &crate::views::list(vec![crate::views::web(), crate::views::job()]));
    let mut command = orcactl(server.socket(), &["--", "orcactl", "task", "logs", "w"]);
    let output = command.env("COMPLETE", "fish").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("web\trunning, nginx:1.27") && !text.contains("job"), "{text}");
}
