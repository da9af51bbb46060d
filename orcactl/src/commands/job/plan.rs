//! `orcactl job plan`: what a run would change, without doing it.

use orca_api::error::exit;
use orca_api::job::Order;
use orca_api::job::view::{FieldChange, JobPlan, PlannedAction, PlannedTask};
use orca_api::route::Route;
use serde_json::Value;

use crate::cli::Format;
use crate::cli::job::PlanArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::{BAD, BOLD, DIM, GOOD, Printer, WARN};
use crate::output::table::{Cell, Table};
use crate::output::words;
use crate::settings::job;

/// The longest value shown of a field, in characters.
const VALUE_CHARS: usize = 60;
/// Tasks named in the table; all of them with `-o wide`.
const ROWS: usize = 50;

/// Prints a plan. Exit code 0: nothing to do, 2: changes, 1: changes of which some have no node.
pub async fn run(client: &Client, printer: Printer, args: &PlanArgs) -> Outcome {
    let (_, request) = job::of_file(&args.file, &args.variables)?;
    let plan = client.call(Route::JobPlan).body(&request)?.answer::<JobPlan>().await?.body;
    match printer.format() {
        Format::Json => printer.json(&plan)?,
        format if format == Format::Name || printer.is_quiet() => {
            let moved = plan.tasks.iter().filter(|task| task.action != PlannedAction::Keep);
            moved.into_iter().try_for_each(|task| printer.line(&task.name))?;
        }
        format => show(&printer, &plan, args, format == Format::Wide)?,
    }
    Ok(match (plan.changes, plan.fits) {
        (false, true) => exit::OK,
        (true, true) => exit::CHANGES,
        (_, false) => exit::FAILED,
    })
}

fn show(printer: &Printer, plan: &JobPlan, args: &PlanArgs, wide: bool) -> Result<(), Failure> {
    let name = &plan.name;
    let what = match (plan.changes, plan.revision) {
        (false, _) => format!("{GOOD}nothing to do{GOOD:#}"),
        (true, 0) => format!("{GOOD}a new job{GOOD:#}"),
        (true, revision) => format!("{WARN}changes{WARN:#} of revision {revision}"),
    };
    printer.line(format!("{BOLD}{name}{BOLD:#}: {what}"))?;
    if !plan.fields.is_empty() {
        printer.line(format!("\n{BOLD}fields{BOLD:#}"))?;
        for field in &plan.fields {
            printer.line(format!("  {}", change(field)))?;
        }
    }
    let (kept, moved): (Vec<_>, Vec<_>) =
        plan.tasks.iter().partition(|task| task.action == PlannedAction::Keep && task.why.is_empty());
    let shown: Vec<&PlannedTask> =
        if wide { plan.tasks.iter().collect() } else { moved.iter().take(ROWS).copied().collect() };
    if !shown.is_empty() {
        printer.line(format!("\n{BOLD}tasks{BOLD:#}: {}", counts(&plan.tasks)))?;
        printer.table(&tasks(&shown))?;
        if !wide && moved.len() > ROWS {
            printer.line(format!("{DIM}… and {} more: -o wide shows them{DIM:#}", moved.len() - ROWS))?;
        }
    } else if !kept.is_empty() {
        printer.line(format!("\n{BOLD}tasks{BOLD:#}: {}", counts(&plan.tasks)))?;
    }
    let nodes = nodes(&plan.tasks);
    if nodes.len() > 1 && !moved.is_empty() {
        printer.line(format!("\n{BOLD}nodes{BOLD:#}"))?;
        printer.table(&by_node(&nodes, &plan.tasks))?;
    }
    if !plan.fits {
        printer.line("")?;
        printer.section("what does not fit", &unplaced(&plan.tasks))?;
    }
    if !plan.notes.is_empty() {
        printer.line("")?;
        printer.section("notes", &plan.notes)?;
    }
    if plan.changes {
        printer.note(format!("\nto do exactly this:\n  {}", command(args, plan.revision)));
    }
    Ok(())
}

/// A field that differs, as one line: `~ group.api.image  "api:1.4" → "api:1.5"`.
pub(super) fn change(change: &FieldChange) -> String {
    let path = words::plain(&change.path);
    match (&change.old, &change.new) {
        (None, Some(new)) => format!("{GOOD}+ {path}{GOOD:#}  {}", value(new)),
        (Some(old), None) => format!("{BAD}- {path}{BAD:#}  {DIM}{}{DIM:#}", value(old)),
        (Some(old), Some(new)) => {
            format!("{WARN}~ {path}{WARN:#}  {DIM}{}{DIM:#} → {}", value(old), value(new))
        }
        (None, None) => format!("  {path}"),
    }
}

fn value(value: &Value) -> String {
    crate::output::table::cut(&words::plain(&value.to_string()), VALUE_CHARS).into_owned()
}

/// `2 to start, 1 to replace, 3 to keep`.
fn counts(tasks: &[PlannedTask]) -> String {
    let count = |action: PlannedAction| tasks.iter().filter(|task| task.action == action).count();
    let parts = [
        (count(PlannedAction::Start), "to start"),
        (count(PlannedAction::Replace), "to replace"),
        (count(PlannedAction::Stop), "to stop"),
        (count(PlannedAction::Keep), "to keep as they run"),
    ];
    let said: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    said.join(", ")
}

fn tasks(tasks: &[&PlannedTask]) -> Table {
    let mut table = Table::new(&["TASK", "ACTION", "FROM", "TO", "WHY"]);
    for task in tasks {
        let (word, style) = match task.action {
            PlannedAction::Start => ("start", GOOD),
            PlannedAction::Replace => ("replace", WARN),
            PlannedAction::Keep => ("keep", DIM),
            PlannedAction::Stop => ("stop", BAD),
        };
        let action = match task.order {
            Some(Order::StartFirst) => format!("{word}, start first"),
            Some(Order::StopFirst) => format!("{word}, stop first"),
            None => word.to_owned(),
        };
        let name =
            |node: &Option<orca_api::name::Name>| node.as_ref().map(ToString::to_string).unwrap_or_default();
        let to = if is_unplaced(task) { Cell::styled("no node", BAD) } else { Cell::from(name(&task.to)) };
        table.row(vec![
            Cell::from(&task.name),
            Cell::styled(action, style),
            Cell::from(name(&task.from)),
            to,
            Cell::from(&task.why),
        ]);
    }
    table
}

fn is_unplaced(task: &PlannedTask) -> bool {
    task.to.is_none() && matches!(task.action, PlannedAction::Start | PlannedAction::Replace)
}

/// Each reason once, with the tasks that it is of.
fn unplaced(tasks: &[PlannedTask]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for task in tasks.iter().filter(|task| is_unplaced(task)) {
        match reasons.iter_mut().find(|(why, _)| *why == task.why) {
            Some((_, names)) => names.push(task.name.as_str()),
            None => reasons.push((&task.why, vec![task.name.as_str()])),
        }
    }
    let line = |(why, names): (&str, Vec<&str>)| match names.as_slice() {
        [name] => format!("{name}: {why}"),
        [first, .., last] => format!("{first} … {last} ({} tasks): {why}", names.len()),
        [] => why.to_owned(),
    };
    reasons.into_iter().map(line).collect()
}

/// The nodes that the plan touches, by name.
fn nodes(tasks: &[PlannedTask]) -> Vec<&orca_api::name::Name> {
    let mut nodes: Vec<_> = tasks.iter().flat_map(|task| [&task.from, &task.to]).flatten().collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

fn by_node(nodes: &[&orca_api::name::Name], tasks: &[PlannedTask]) -> Table {
    let mut table = Table::new(&["NODE", ">NOW", ">THEN", "COMES", "GOES"]);
    for node in nodes {
        let was = |task: &&PlannedTask| task.from.as_ref() == Some(*node);
        let will =
            |task: &&PlannedTask| task.to.as_ref() == Some(*node) && task.action != PlannedAction::Stop;
        let names = |tasks: Vec<&PlannedTask>| {
            let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
            match names.as_slice() {
                [first, second, third, rest @ ..] if rest.len() > 1 => {
                    format!("{first}, {second}, {third} and {} more", rest.len())
                }
                names => names.join(", "),
            }
        };
        table.row(vec![
            Cell::from(node),
            Cell::from(tasks.iter().filter(was).count()),
            Cell::from(tasks.iter().filter(will).count()),
            Cell::styled(names(tasks.iter().filter(will).filter(|task| !was(task)).collect()), GOOD),
            Cell::styled(names(tasks.iter().filter(was).filter(|task| !will(task)).collect()), BAD),
        ]);
    }
    table
}

/// The command that does exactly what was planned.
fn command(args: &PlanArgs, revision: u64) -> String {
    let mut words = vec!["orcactl job run".to_owned(), quoted(&args.file.display().to_string())];
    for file in &args.variables.var_file {
        words.push(format!("--var-file {}", quoted(&file.display().to_string())));
    }
    for variable in &args.variables.var {
        words.push(format!("--var {}", quoted(variable)));
    }
    words.push(format!("--if-revision {revision}"));
    words.join(" ")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("tag=1.5"), "tag=1.5");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
