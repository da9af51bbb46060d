//! `orcactl worker leave`: its tasks go one by one, then this machine is a cluster of one again.

use std::time::Duration;

use orca_api::cluster::StopRole;
use orca_api::control::RolesView;
use orca_api::error::{Code, exit};
use orca_api::node::Role;
use orca_api::route::Route;
use tokio::time::Instant;

use super::say;
use crate::cli::node::LeaveArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::progress::Activity;
use crate::output::words;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Leaves the cluster, and waits until that is done.
pub async fn run(client: &Client, printer: Printer, args: &LeaveArgs) -> Outcome {
    let deadline = Instant::now() + args.timeout.std();
    let activity = Activity::new(&printer);
    let mut said = String::new();
    let mut asked = false;
    let view = loop {
        let call = client.call(Route::Leave).body(&StopRole { force: args.force })?;
        match call.answer::<RolesView>().await {
            // It says how far it is for as long as it is a worker of that cluster.
            Ok(answer) if answer.body.roles.contains(&Role::Manager) => break answer.body,
            Ok(answer) => {
                let text = words::plain(&answer.body.message);
                if text != said {
                    if !printer.is_live() {
                        printer.note(&text);
                    }
                    activity.say(&text);
                    said = text;
                }
                asked = true;
            }
            // It has left between two questions.
            Err(failure) if asked && failure.code == Some(Code::NoSuchRole) => {
                let message = "this machine is a cluster of one again".to_owned();
                break RolesView { roles: vec![Role::Manager, Role::Worker], changed: true, message };
            }
            // orcad begins anew.
            Err(failure) if asked && failure.is_unreachable() => {}
            Err(failure) => return Err(failure),
        }
        if Instant::now() >= deadline {
            return Err(Failure::new("this machine has not left yet")
                .exit(exit::TIMEOUT)
                .because(if said.is_empty() { "the time is up".to_owned() } else { said })
                .hint("orcactl worker leave goes on waiting")
                .hint(
                    "orcactl worker leave --force leaves at once; the manager places its tasks elsewhere",
                ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    drop(activity);
    say(&printer, &view)?;
    Ok(exit::OK)
}
