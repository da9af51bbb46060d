//! `orcactl node list`.

use std::collections::BTreeMap;

use anstyle::Style;
use orca_api::control::{List, NodeView};
use orca_api::error::exit;
use orca_api::node::{Availability, Condition, NodeState};
use orca_api::route::Route;
use orca_api::units::Time;

use crate::cli::Format;
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
    if printer.format() == Format::Table
        && let Some(text) = skew(&nodes)
    {
        printer.note(text);
    }
    Ok(exit::OK)
}

/// One row for each node.
pub(super) fn table(nodes: &[NodeView], now: Time, wide: bool) -> Table {
    let mut heads = vec!["NAME", "ROLES", "STATE", ">TASKS", "CPU RESERVED", "MEMORY RESERVED", "SINCE"];
    if wide {
        heads.extend(["CPU USED", "MEMORY USED", "DISK RESERVED", "VERSION", "ENGINE"]);
        heads.extend(["ADDRESS", "CLOCK", "CERTIFICATE", "ID"]);
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
                Cell::from(node.address.as_deref().unwrap_or_default()),
                clock(node),
                certificate(node, now),
                Cell::from(node.id),
            ]);
        }
        table.row(row);
    }
    table
}

/// How far a node's clock is off, where that can be seen: `+2.1s`.
fn clock(node: &NodeView) -> Cell {
    let skewed = node.conditions.contains(&Condition::ClockSkew);
    Cell::styled(words::clock(node.clock_ahead_ms), if skewed { BAD } else { Style::new() })
}

/// For how long a node's certificate is still good.
fn certificate(node: &NodeView, now: Time) -> Cell {
    match node.certificate_expires_at {
        None => Cell::from(""),
        Some(at) if at <= now => Cell::styled("expired", BAD),
        Some(at) => Cell::from(words::short(at.since(now))),
    }
}

/// Which versions run where, where they differ: `versions differ: 0.1.0 (n1, n2), 0.0.9 (n3)`.
fn skew(nodes: &[NodeView]) -> Option<String> {
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.state != NodeState::Left && !node.version.is_empty()) {
        by.entry(&node.version).or_default().push(node.name.as_str());
    }
    if by.len() < 2 {
        return None;
    }
    let each: Vec<String> = by
        .iter()
        .rev()
        .map(|(version, names)| match names.as_slice() {
            few if few.len() <= 3 => format!("{} ({})", words::plain(version), few.join(", ")),
            many => format!("{} ({})", words::plain(version), words::count(many.len() as u64, "node")),
        })
        .collect();
    Some(format!("versions of orcad differ: {}", each.join(", ")))
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
