//! `orcactl job exec`: a process in one of a job's running tasks.

use orca_api::error::exit;
use orca_api::task::State;

use super::{ask, list, tasks_of};
use crate::cli::job::ExecArgs;
use crate::cli::task;
use crate::client::Client;
use crate::commands::Outcome;
use crate::commands::task::exec;
use crate::output::error::Failure;

/// Runs a command in the first task that is healthy; in one that is still starting where none is.
pub async fn run(client: &Client, args: &ExecArgs) -> Outcome {
    let [name, command @ ..] = args.name_and_command.as_slice() else {
        return Err(missing());
    };
    if command.iter().all(|word| word == "--") {
        return Err(missing());
    }
    let detail = ask(client, name).await?.body;
    let tasks = tasks_of(&detail, args.group.as_deref())?;
    let in_state = |state: State| tasks.iter().find(|task| task.state == state);
    let Some(chosen) = in_state(State::Running).or_else(|| in_state(State::Starting)) else {
        let job = &detail.job;
        return Err(Failure::new(format!("no task of {} is running: it is {}", job.name, list::state(job)))
            .exit(exit::NOT_RUNNING)
            .because(job.message.clone())
            .hint(format!("orcactl job inspect {}", job.name)));
    };
    let args = task::ExecArgs {
        interactive: args.interactive,
        tty: args.tty,
        user: args.user.clone(),
        workdir: args.workdir.clone(),
        env: args.env.clone(),
        name_and_command: std::iter::once(chosen.name.to_string()).chain(command.iter().cloned()).collect(),
    };
    exec::run(client, &args).await
}

fn missing() -> Failure {
    Failure::usage("a command is missing").hint("orcactl job exec -it web -- sh")
}
