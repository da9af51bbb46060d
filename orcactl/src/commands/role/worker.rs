//! `orcactl worker start` and `orcactl worker stop`.

use std::io::Read as _;
use std::path::Path;

use orca_api::cluster::StartWorker;
use orca_api::control::RolesView;
use orca_api::error::exit;
use orca_api::join::JoinToken;
use orca_api::route::Route;

use super::{join, say, unit};
use crate::cli::node::{RoleStopArgs, WorkerStartArgs};
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// The longest text that is read for a token.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// Makes this machine a worker.
pub async fn start(client: &Client, printer: Printer, args: &WorkerStartArgs) -> Outcome {
    let token = match (&args.join, &args.join_file) {
        (Some(text), _) if text == "-" => Some(read("standard input", std::io::stdin())?),
        (Some(text), _) => Some(text.clone()),
        (None, Some(path)) => Some(read_file(path)?),
        (None, None) => None,
    };
    let Some(text) = token else {
        unit::running(client, &printer).await?;
        let request = StartWorker { join: None, force: args.force };
        say(&printer, &client.call(Route::WorkerStart).body(&request)?.answer::<RolesView>().await?.body)?;
        return Ok(exit::OK);
    };
    let text = text.trim().to_owned();
    let token: JoinToken = text.parse().map_err(|error: orca_api::join::TokenError| {
        Failure::usage("this is no join token")
            .because(error.to_string())
            .hint("on the manager: sudo orcactl node token prints the whole line to paste")
    })?;
    unit::running(client, &printer).await?;
    join::run(client, printer, text, &token, args).await
}

/// Takes the worker role from this machine.
pub async fn stop(client: &Client, printer: Printer, args: &RoleStopArgs) -> Outcome {
    let call = client.call(Route::WorkerStop).query_some("force", args.force.then_some(true));
    say(&printer, &call.answer::<RolesView>().await?.body)?;
    Ok(exit::OK)
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let name = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| unread(&name, &error))?;
    read(&name, file)
}

fn read(name: &str, from: impl std::io::Read) -> Result<String, Failure> {
    let mut text = String::new();
    from.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(|error| unread(name, &error))?;
    Ok(text)
}

fn unread(name: &str, error: &std::io::Error) -> Failure {
    Failure::usage(format!("the token cannot be read from {name}")).because(error.to_string())
}
