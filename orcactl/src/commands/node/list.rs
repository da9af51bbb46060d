//! `orcactl node list`.

use orca_api::control::{List, NodeView};
use orca_api::error::exit;
use orca_api::node::Availability;
use orca_api::route::Route;
use orca_api::units::Time;

use crate::client::Client;
use crate::commands::Outcome;
use crate::output::printer::{BAD, Printer};
use crate::output::table::{Cell, Table};
use crate::output::words;

/// Prints the nodes.
pub async fn run(client: &Client, printer: Printer) -> Outcome {
    let answer = client.call(Route::NodeList).answer::<List<NodeView>>().await?;
    let nodes = answer.body.items;
    printer.objects(
        &nodes,
        |node| node.id.to_string(),
        |node| node.name.to_string(),
        |wide| table(&nodes, answer.now, wide),
    )?;
    Ok(exit::OK)
}

/// One row for each node.
pub(super) fn table(nodes: &[NodeView], now: Time, wide: bool) -> Table {
    let mut heads = vec!["NAME", "ROLES", "STATE", ">TASKS", "CPU RESERVED", "MEMORY RESERVED", "SINCE"];
    if wide {
        heads.extend(["CPU USED", "MEMORY USED", "DISK RESERVED", "VERSION", "ENGINE", "ID"]);
    }
    let mut table = Table::new(&heads);
    for node in nodes {
        let mut row = vec![
            Cell::from(&node.name),
            Cell::from(roles(node)),
            Cell::styled(
                state(node),
                if node.conditions.is_empty() {
                    words::node_style(node.state, node.availability)
                } else {
                    BAD
                },
            ),
            Cell::from(node.tasks),
            Cell::from(format!("{} of {}", node.cpu.reserved, node.cpu.total)),
            Cell::from(format!("{} of {}", node.memory.reserved, node.memory.total)),
            Cell::from(words::age(node.since, now)),
        ];
        if wide {
            row.extend([
                Cell::from(node.cpu.used.map(|used| words::cpu(used.cpus())).unwrap_or_default()),
                Cell::from(node.memory.used.map(|used| used.to_string()).unwrap_or_default()),
                Cell::from(format!("{} of {}", node.disk.reserved, node.disk.total)),
                Cell::from(&node.version),
                Cell::from(&node.engine),
                Cell::from(node.id),
            ]);
        }
        table.row(row);
    }
    table
}

/// `manager,worker`.
pub(super) fn roles(node: &NodeView) -> String {
    node.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// `ready`, `ready, paused`, `ready (engine_away)`.
pub(in crate::commands) fn state(node: &NodeView) -> String {
    let mut text = node.state.to_string();
    if node.availability != Availability::Active {
        text = format!("{text}, {}", node.availability);
    }
    if !node.conditions.is_empty() {
        let conditions: Vec<&str> = node.conditions.iter().map(|condition| condition.as_str()).collect();
        text = format!("{text} ({})", conditions.join(", "));
    }
    text
}
