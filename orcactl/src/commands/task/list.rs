//! `orcactl task list`.

use orca_api::control::{List, TaskView};
use orca_api::error::exit;
use orca_api::route::Route;
use orca_api::units::Time;

use crate::cli::task::ListArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::printer::Printer;
use crate::output::table::{Cell, Table};
use crate::output::words;

/// Prints the tasks, all pages of them.
pub async fn run(client: &Client, printer: Printer, args: &ListArgs) -> Outcome {
    let node = args.node.as_ref().map(|node| format!("node={node}"));
    let filters: Vec<&str> = args.filter.iter().chain(&node).map(String::as_str).collect();
    let filter = (!filters.is_empty()).then(|| filters.join(","));
    let mut tasks: Vec<TaskView> = Vec::new();
    let mut next: Option<String> = None;
    let now = loop {
        let call = client.call(Route::TaskList).query_some("filter", filter.as_ref());
        let answer = call.query_some("continue", next.as_ref()).answer::<List<TaskView>>().await?;
        tasks.extend(answer.body.items);
        next = answer.body.next;
        if next.is_none() {
            break answer.now;
        }
    };
    printer.objects(
        &tasks,
        |task| task.id.to_string(),
        |task| task.name.to_string(),
        |wide| table(&tasks, now, wide),
    )?;
    if tasks.is_empty() {
        printer.note(if filter.is_some() {
            "no such tasks"
        } else {
            "no tasks yet: orcactl task start IMAGE"
        });
    }
    Ok(exit::OK)
}

/// One row for each task.
pub(in crate::commands) fn table(tasks: &[TaskView], now: Time, wide: bool) -> Table {
    let mut heads = vec!["NAME", "STATE", "SINCE", ">RESTARTS", "NODE", "IMAGE", "PORTS"];
    if wide {
        heads.extend(["PHASE", ">ATTEMPTS", "AGE", "ID", "MESSAGE"]);
    }
    let mut table = Table::new(&heads);
    for task in tasks {
        let mut row = vec![
            Cell::from(&task.name),
            Cell::styled(words::state(task), words::state_style(task)),
            Cell::from(words::age(task.since, now)),
            Cell::from(task.restarts),
            Cell::from(task.node.as_ref().map(ToString::to_string).unwrap_or_default()),
            Cell::from(&task.image),
            Cell::from(words::ports(&task.ports)),
        ];
        if wide {
            row.extend([
                Cell::from(task.phase),
                Cell::from(task.attempts),
                Cell::from(words::age(task.created_at, now)),
                Cell::from(task.id),
                Cell::from(&task.message),
            ]);
        }
        table.row(row);
    }
    table
}
