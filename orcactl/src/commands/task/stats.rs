//! `orcactl task stats`.

use orca_api::control::{List, TaskStats};
use orca_api::load::TaskLoad;
use orca_api::route::Route;

use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::printer::Printer;
use crate::output::table::{Cell, Table};
use crate::output::words;

/// Prints what tasks use.
pub async fn run(client: &Client, printer: Printer, names: &[String]) -> Outcome {
    let mut each = Each::default();
    if names.is_empty() {
        each.done = client.call(Route::Stats).answer::<List<TaskStats>>().await?.body.items;
    }
    for name in names {
        let asked = client.call(Route::TaskStats).part(name).answer::<TaskStats>().await;
        each.take(&printer, asked.map(|answer| answer.body));
    }
    let id = |stats: &TaskStats| {
        stats.load.as_ref().map_or_else(|| stats.name.to_string(), |load| load.task.to_string())
    };
    printer.objects(&each.done, id, |stats| stats.name.to_string(), |wide| table(&each.done, wide))?;
    if each.done.is_empty() && each.code == 0 {
        printer.note("no task runs");
    }
    Ok(each.code)
}

fn table(stats: &[TaskStats], wide: bool) -> Table {
    let mut heads = vec![
        "NAME",
        "NODE",
        ">CPU",
        ">MEMORY",
        ">LIMIT",
        ">NET IN",
        ">NET OUT",
        ">DISK READ",
        ">DISK WRITE",
        ">PIDS",
    ];
    if wide {
        heads.extend([">CPU AVERAGE", ">MEMORY PEAK", ">ATTEMPT"]);
    }
    let mut table = Table::new(&heads);
    for of in stats {
        let load = of.load.as_ref();
        let figure = |from: &dyn Fn(&TaskLoad) -> String| Cell::from(load.map(from).unwrap_or_default());
        let mut row = vec![
            Cell::from(&of.name),
            Cell::from(of.node.as_ref().map(ToString::to_string).unwrap_or_default()),
            figure(&|load| words::cpu(load.cpu_now)),
            figure(&|load| words::bytes(load.memory)),
            figure(&|load| load.memory_limit.map(words::bytes).unwrap_or_default()),
            figure(&|load| words::rate(load.net_rx_bytes_s)),
            figure(&|load| words::rate(load.net_tx_bytes_s)),
            figure(&|load| words::rate(load.io_read_bytes_s)),
            figure(&|load| words::rate(load.io_write_bytes_s)),
            figure(&|load| load.pids.map(|pids| pids.to_string()).unwrap_or_default()),
        ];
        if wide {
            row.extend([
                figure(&|load| words::cpu(load.cpu_average)),
                figure(&|load| words::bytes(load.memory_peak)),
                figure(&|load| load.attempt.to_string()),
            ]);
        }
        table.row(row);
    }
    table
}
