//! `orcactl node pause` and `orcactl node activate`.

use orca_api::control::{NodeView, SetAvailability};
use orca_api::node::Availability;
use orca_api::route::Route;
use orca_api::units::Time;

use super::list;
use crate::cli::Format;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::printer::Printer;

/// Forbids new work on nodes.
pub async fn pause(client: &Client, printer: Printer, names: &[String]) -> Outcome {
    set(client, printer, names, Availability::Paused).await
}

/// Allows new work on nodes.
pub async fn activate(client: &Client, printer: Printer, names: &[String]) -> Outcome {
    set(client, printer, names, Availability::Active).await
}

async fn set(client: &Client, printer: Printer, names: &[String], availability: Availability) -> Outcome {
    let mut each = Each::default();
    for name in names {
        let call = client
            .call(Route::NodeAvailability)
            .part(name)
            .body(&SetAvailability { availability, deadline: None })?;
        let asked = call.answer::<NodeView>().await;
        each.take(&printer, asked.map(|answer| answer.body));
    }
    if printer.format() == Format::Table && !printer.is_quiet() {
        for node in &each.done {
            printer.line(&node.name)?;
            match availability {
                Availability::Active => printer.note(format!("{} takes new work", node.name)),
                _ => printer.note(format!("{} takes no new work; what runs there stays", node.name)),
            }
        }
        return Ok(each.code);
    }
    let nodes = &each.done;
    printer.objects(
        nodes,
        |node| node.id.to_string(),
        |node| node.name.to_string(),
        |wide| list::table(nodes, Time::default(), wide),
    )?;
    Ok(each.code)
}
