//! `orcactl node remove`.

use orca_api::cluster::NodeGone;
use orca_api::route::Route;

use crate::cli::Format;
use crate::cli::node::NodeRemoveArgs;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::Printer;

/// Removes nodes.
pub async fn run(client: &Client, printer: Printer, args: &NodeRemoveArgs) -> Outcome {
    let question = format!("Remove {}, whatever runs there? It is placed elsewhere.", args.nodes.join(", "));
    if args.force && !args.yes && printer.ask(&question) == Some(false) {
        return Err(Failure::new("nothing was removed").hint("--yes answers the question beforehand"));
    }
    let mut each = Each::default();
    for name in &args.nodes {
        let call = client.call(Route::NodeRemove).part(name);
        let asked = call.query_some("force", args.force.then_some(true)).answer::<NodeGone>().await;
        each.take(&printer, asked.map(|answer| answer.body));
    }
    if printer.format() == Format::Json {
        printer.json_named(&each.done, args.nodes.len())?;
        return Ok(each.code);
    }
    for gone in &each.done {
        if printer.is_quiet() {
            printer.line(gone.id)?;
            continue;
        }
        printer.line(&gone.name)?;
        if !gone.moved.is_empty() {
            let moved = gone.moved.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            printer.note(format!("placed elsewhere: {moved}"));
        }
        printer.note(format!(
            "{} was removed; where its orcad runs still, it stops its tasks and is a cluster of one again",
            gone.name
        ));
    }
    Ok(each.code)
}
