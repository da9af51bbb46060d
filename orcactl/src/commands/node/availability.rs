//! `orcactl node pause`, `orcactl node activate` and `orcactl node confirm-down`.

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

/// Says that nodes are down for certain.
pub async fn confirm_down(client: &Client, printer: Printer, names: &[String]) -> Outcome {
    let mut each = Each::default();
    for name in names {
        let asked = client.call(Route::NodeConfirmDown).part(name).answer::<NodeView>().await;
        each.take(&printer, asked.map(|answer| answer.body));
    }
    say(&printer, &each, |node| format!("{} counts as down: its tasks are placed elsewhere", node.name))
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
    say(&printer, &each, |node| match availability {
        Availability::Active => format!("{} takes new work", node.name),
        _ => format!("{} takes no new work; what runs there stays", node.name),
    })
}

/// Names the nodes that a command has acted on, and says of each what is so now.
pub(super) fn say(printer: &Printer, each: &Each<NodeView>, note: impl Fn(&NodeView) -> String) -> Outcome {
    if printer.format() == Format::Table && !printer.is_quiet() {
        for node in &each.done {
            printer.line(&node.name)?;
            printer.note(note(node));
        }
        return Ok(each.code);
    }
    let (nodes, now) = (&each.done, Time::from_ms(jiff::Timestamp::now().as_millisecond()));
    printer.objects(
        nodes,
        |node| node.id.to_string(),
        |node| node.name.to_string(),
        |wide| list::table(nodes, now, wide),
    )?;
    Ok(each.code)
}
