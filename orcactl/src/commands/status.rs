//! `orcactl status`: how everything is, in at most ten lines, and what needs attention.

use std::collections::BTreeMap;

use orca_api::cluster::LinkView;
use orca_api::control::{NodeView, Status};
use orca_api::error::exit;
use orca_api::route::Route;
use orca_api::units::{Bytes, Cpu, Time};

use super::Outcome;
use crate::cli::Format;
use crate::client::Client;
use crate::output::error::Failure;
use crate::output::printer::{BOLD, GOOD, Printer, WARN};
use crate::output::words;

/// Attention items shown; the rest is counted.
const ITEMS_SHOWN: usize = 3;

/// Prints the status.
pub async fn run(client: &Client, printer: Printer) -> Outcome {
    let answer = client.call(Route::Status).answer::<Status>().await?;
    let status = answer.body;
    match printer.format() {
        Format::Json => printer.json(&status)?,
        _ if printer.is_quiet() => printer.line(status.cluster)?,
        Format::Name => printer.line(&status.node_name)?,
        Format::Table => show(&printer, &status, answer.now, ITEMS_SHOWN)?,
        Format::Wide => show(&printer, &status, answer.now, usize::MAX)?,
    }
    Ok(exit::OK)
}

fn show(printer: &Printer, status: &Status, now: Time, items: usize) -> Result<(), Failure> {
    let health = if status.attention.is_empty() {
        format!("{GOOD}all is well{GOOD:#}")
    } else {
        let text = words::count(status.attention.len() as u64, "thing");
        format!("{WARN}{text} to look at{WARN:#}")
    };
    let roles = status.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let row = |head: &str, text: String| printer.line(format!("{BOLD}{head:<8}{BOLD:#}{text}"));
    row("cluster", format!("{}  {health}", status.cluster))?;
    row(
        "here",
        format!(
            "{} ({roles}), orcad {}, up {}",
            status.node_name,
            status.version,
            words::age(status.started_at, now)
        ),
    )?;
    match &status.link {
        Some(link) => row("manager", way(link, now))?,
        None => row("nodes", counts(&status.nodes))?,
    }
    row("tasks", counts(&status.tasks))?;
    row("cpu", cpu(&status.node_list))?;
    row("memory", memory(&status.node_list))?;
    for item in status.attention.iter().take(items) {
        let hint =
            if item.hint.is_empty() { String::new() } else { format!("  ->  {}", words::plain(&item.hint)) };
        printer.line(format!("{WARN}!{WARN:#} {}{hint}", words::plain(&item.text)))?;
    }
    let more = status.attention.len().saturating_sub(items);
    if more > 0 {
        printer.line(format!("! {more} more: orcactl status -o wide"))?;
    }
    Ok(())
}

/// How a worker reaches its manager.
fn way(link: &LinkView, now: Time) -> String {
    let managers = words::plain(&link.managers.join(", "));
    let since = words::age(link.since, now);
    match link.state.as_str() {
        "connected" => format!("{GOOD}connected{GOOD:#} to {managers} for {since}; type the rest there"),
        state => format!("{WARN}{}{WARN:#} for {since}: {managers}", words::plain(state)),
    }
}

fn counts<K: ToString>(by: &BTreeMap<K, u32>) -> String {
    let texts: Vec<String> =
        by.iter().filter(|(_, n)| **n > 0).map(|(word, n)| format!("{n} {}", word.to_string())).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

fn cpu(nodes: &[NodeView]) -> String {
    let sum = |of: &dyn Fn(&NodeView) -> Cpu| {
        nodes.iter().fold(Cpu::ZERO, |sum, node| sum.saturating_add(of(node)))
    };
    let used = if nodes.iter().any(|node| node.cpu.used.is_some()) {
        format!("{} used, ", words::cpu(sum(&|node| node.cpu.used.unwrap_or_default()).cpus()))
    } else {
        String::new()
    };
    format!("{used}{} reserved of {}", sum(&|node| node.cpu.reserved), sum(&|node| node.cpu.total))
}

fn memory(nodes: &[NodeView]) -> String {
    let sum = |of: &dyn Fn(&NodeView) -> Bytes| {
        nodes.iter().fold(Bytes::ZERO, |sum, node| sum.saturating_add(of(node)))
    };
    let used = if nodes.iter().any(|node| node.memory.used.is_some()) {
        format!("{} used, ", sum(&|node| node.memory.used.unwrap_or_default()))
    } else {
        String::new()
    };
    format!("{used}{} reserved of {}", sum(&|node| node.memory.reserved), sum(&|node| node.memory.total))
}
