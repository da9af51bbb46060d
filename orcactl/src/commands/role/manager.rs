//! `orcactl manager start` and `orcactl manager stop`.

use orca_api::cluster::StartManager;
use orca_api::control::RolesView;
use orca_api::error::exit;
use orca_api::route::Route;

use super::{say, unit};
use crate::cli::node::{ManagerStartArgs, RoleStopArgs};
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::printer::Printer;

/// Makes this machine a manager that others can join.
pub async fn start(client: &Client, printer: Printer, args: &ManagerStartArgs) -> Outcome {
    unit::running(client, &printer).await?;
    let request = StartManager { listen: args.listen.clone(), no_worker: args.no_worker };
    let view = client.call(Route::ManagerStart).body(&request)?.answer::<RolesView>().await?.body;
    say(&printer, &view)?;
    printer.note("orcactl node token prints what to type on the machines that are to join");
    Ok(exit::OK)
}

/// Closes the port of this manager.
pub async fn stop(client: &Client, printer: Printer, args: &RoleStopArgs) -> Outcome {
    let call = client.call(Route::ManagerStop).query_some("force", args.force.then_some(true));
    say(&printer, &call.answer::<RolesView>().await?.body)?;
    Ok(exit::OK)
}
