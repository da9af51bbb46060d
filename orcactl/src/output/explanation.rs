//! Why a task runs where it runs: the verdict, the story, nodes against filters, what would make it fit.

use std::fmt::Write as _;

use orca_api::control::{Explanation, NodeVerdict};

use super::error::Failure;
use super::printer::{BAD, BOLD, GOOD, Printer};
use super::table::{Cell, Table};
use super::words;

/// Says all of it.
pub fn show(printer: &Printer, explanation: &Explanation, wide: bool) -> Result<(), Failure> {
    let style = if explanation.fits { GOOD } else { BAD };
    printer.line(format!("{style}{}{style:#}", words::plain(&explanation.verdict)))?;
    for line in &explanation.story {
        printer.line(format!("  {}", words::plain(line)))?;
    }
    if !explanation.nodes.is_empty() {
        printer.line(format!(
            "\n{BOLD}nodes{BOLD:#} (algorithm {}; the smaller score is better)",
            explanation.algorithm.as_str()
        ))?;
        printer.table(&nodes(&explanation.nodes))?;
    }
    let refusals = refusals(&explanation.nodes);
    if !refusals.is_empty() {
        printer.line("")?;
        printer.section("refused", &refusals)?;
    }
    if wide {
        let parts = parts(&explanation.nodes);
        if !parts.is_empty() {
            printer.line("")?;
            printer.section("scores", &parts)?;
        }
    }
    // The counts say more than the nodes only where not every node is listed.
    let listed = explanation.nodes.iter().filter(|node| !node.fits).count() as u64;
    let refused: Vec<String> = explanation
        .refused
        .iter()
        .filter(|refused| u64::from(refused.nodes) > listed)
        .map(|refused| {
            format!(
                "{} refused {}: {}",
                refused.filter,
                words::count(u64::from(refused.nodes), "node"),
                refused.example
            )
        })
        .collect();
    if !refused.is_empty() {
        printer.line("")?;
        printer.section("in all", &refused)?;
    }
    if !explanation.suggestions.is_empty() {
        printer.line("")?;
        printer.section("what would help", &explanation.suggestions)?;
    }
    Ok(())
}

/// A row for each node, a column for each filter that any of them met.
fn nodes(verdicts: &[NodeVerdict]) -> Table {
    let mut filters: Vec<&str> = Vec::new();
    for filter in verdicts.iter().flat_map(|node| &node.filters) {
        if !filters.contains(&filter.filter.as_str()) {
            filters.push(&filter.filter);
        }
    }
    let mut table = Table::with_columns(
        std::iter::once("NODE".to_owned())
            .chain(filters.iter().map(|filter| filter.to_uppercase()))
            .chain([">SCORE".to_owned(), "VERDICT".to_owned()]),
    );
    for node in verdicts {
        let mut row = vec![Cell::from(&node.node)];
        for filter in &filters {
            row.push(match node.filters.iter().find(|f| f.filter == **filter) {
                Some(found) if found.passes => Cell::styled("ok", GOOD),
                Some(_) => Cell::styled("no", BAD),
                None => Cell::from(""),
            });
        }
        row.push(node.score.map_or_else(|| Cell::from(""), Cell::from));
        row.push(match (node.chosen, node.fits) {
            (true, _) => Cell::styled("chosen", GOOD),
            (false, true) => Cell::from("fits"),
            (false, false) => Cell::styled("does not fit", BAD),
        });
        table.row(row);
    }
    table
}

fn refusals(verdicts: &[NodeVerdict]) -> Vec<String> {
    let mut lines = Vec::new();
    for node in verdicts {
        for filter in node.filters.iter().filter(|filter| !filter.passes) {
            // A filter's own words may begin with its name.
            if filter.text.starts_with(&filter.filter) {
                lines.push(format!("{}: {}", node.node, filter.text));
            } else {
                lines.push(format!("{}: {}: {}", node.node, filter.filter, filter.text));
            }
        }
    }
    lines
}

fn parts(verdicts: &[NodeVerdict]) -> Vec<String> {
    let of_node = |node: &NodeVerdict| {
        let mut text = format!("{}:", node.node);
        for part in &node.parts {
            let _ = write!(text, " {}={}", part.name, part.value);
            if !part.text.is_empty() {
                let _ = write!(text, " ({})", part.text);
            }
        }
        text
    };
    verdicts.iter().filter(|node| !node.parts.is_empty()).map(of_node).collect()
}
