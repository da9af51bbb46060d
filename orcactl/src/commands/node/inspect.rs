//! `orcactl node inspect`.

use orca_api::cluster::DrainView;
use orca_api::control::{NodeDetail, Status, TaskView};
use orca_api::load::NodeLoad;
use orca_api::route::Route;
use orca_api::units::Time;

use super::list;
use crate::cli::Format;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::{BOLD, Printer};
use crate::output::table::{Cell, Table};
use crate::output::words;

/// Prints everything about nodes; about this one where none is named.
pub async fn run(client: &Client, printer: Printer, names: &[String]) -> Outcome {
    let here = match names {
        [] => vec![client.call(Route::Status).answer::<Status>().await?.body.node_name.to_string()],
        _ => Vec::new(),
    };
    let names = if names.is_empty() { &here } else { names };
    let mut each = Each::default();
    let mut now = Time::default();
    for name in names {
        let asked = client.call(Route::NodeInspect).part(name).answer::<NodeDetail>().await;
        each.take(
            &printer,
            asked.map(|answer| {
                now = answer.now;
                answer.body
            }),
        );
    }
    match printer.format() {
        Format::Json => printer.json_named(&each.done, names.len())?,
        _ => {
            for (i, node) in each.done.iter().enumerate() {
                match printer.format() {
                    _ if printer.is_quiet() => printer.line(node.node.id)?,
                    Format::Name => printer.line(&node.node.name)?,
                    _ => {
                        if i > 0 {
                            printer.line("")?;
                        }
                        show(&printer, node, now)?;
                    }
                }
            }
        }
    }
    Ok(each.code)
}

fn show(printer: &Printer, detail: &NodeDetail, now: Time) -> Result<(), Failure> {
    let node = &detail.node;
    let style = words::node_style(node.state, node.availability);
    printer.line(format!("{BOLD}{}{BOLD:#}  {style}{}{style:#}", node.name, list::state(node)))?;
    let row = |head: &str, text: String| printer.line(format!("  {head:<10}{text}"));
    for condition in &node.conditions {
        row("attention", format!("{condition}: {}", condition.hint()))?;
    }
    if let Some(drain) = &detail.drain {
        show_drain(printer, drain, now)?;
    }
    for difference in &detail.differs {
        row("differs", format!("{}: orcactl node label {} --accept", words::plain(difference), node.name))?;
    }
    row("id", node.id.to_string())?;
    row("roles", list::roles(node))?;
    row("since", words::moment(node.since, now))?;
    row(
        "system",
        words::plain(&format!(
            "{}, {} {}, kernel {}",
            detail.distribution, detail.os, detail.arch, detail.kernel
        )),
    )?;
    row(
        "versions",
        words::plain(&format!(
            "orcad {}, engine {} (API {}), cgroup v{}",
            node.version, node.engine, detail.engine_api, detail.cgroup
        )),
    )?;
    let used = node.cpu.used.map(|used| format!(", {} used", words::cpu(used.cpus()))).unwrap_or_default();
    if let Some(address) = &node.address {
        row("address", words::plain(address))?;
        row(
            "clock",
            match words::clock(node.clock_ahead_ms).as_str() {
                "ok" => "as the manager's".to_owned(),
                off => format!("{off} against the manager's"),
            },
        )?;
    }
    if let Some(expires) = node.certificate_expires_at {
        row("cert", format!("good until {}; it is renewed by itself", words::moment(expires, now)))?;
    }
    row(
        "cpu",
        format!(
            "{} of {} reserved, {} kept for the system{used}",
            node.cpu.reserved, node.cpu.total, node.cpu.reserve
        ),
    )?;
    for (head, view) in [("memory", &node.memory), ("disk", &node.disk)] {
        let used = view.used.map(|used| format!(", {used} used")).unwrap_or_default();
        row(
            head,
            format!(
                "{} of {} reserved, {} kept for the system{used}",
                view.reserved, view.total, view.reserve
            ),
        )?;
    }
    if let Some(load) = &detail.load {
        show_load(printer, load, now)?;
    }
    if !detail.labels.is_empty() {
        let labels: Vec<String> = detail.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        row("labels", words::plain(&labels.join(" ")))?;
    }
    if !detail.data_center.is_empty() && detail.data_center != "default" {
        row("place", format!("data center {}", words::plain(&detail.data_center)))?;
    }
    if !detail.tasks_on_node.is_empty() {
        printer.line(format!("\n{BOLD}tasks{BOLD:#}"))?;
        printer.table(&tasks(&detail.tasks_on_node, now))?;
    }
    Ok(())
}

fn show_drain(printer: &Printer, drain: &DrainView, now: Time) -> Result<(), Failure> {
    let row = |head: &str, text: String| printer.line(format!("  {head:<10}{text}"));
    let since = drain.since.map(|since| format!("since {}, ", words::age(since, now))).unwrap_or_default();
    let deadline = drain.deadline.map(|at| format!(", what is left is stopped at {}", words::local(at)));
    row(
        "drain",
        format!(
            "{since}{} left{}",
            words::count(drain.tasks.len() as u64, "task"),
            deadline.unwrap_or_default()
        ),
    )?;
    for task in &drain.tasks {
        match &task.blocked {
            Some(why) => row("", format!("{}: blocked: {}", task.name, words::plain(why)))?,
            None => row("", format!("{}: {}", task.name, words::plain(&task.step)))?,
        }
    }
    Ok(())
}

fn show_load(printer: &Printer, load: &NodeLoad, now: Time) -> Result<(), Failure> {
    let row = |head: &str, text: String| printer.line(format!("  {head:<10}{text}"));
    let machine = &load.machine;
    let [one, five, fifteen] = machine.load_average;
    let at = load.at.map(|at| format!(" ({} ago)", words::age(at, now))).unwrap_or_default();
    row(
        "load",
        format!(
            "{one:.2} {five:.2} {fifteen:.2}, {} of {} CPUs busy{at}",
            words::cpu(machine.cpu_average),
            machine.cpus
        ),
    )?;
    if machine.swap_total > 0 {
        row(
            "swap",
            format!("{} of {} used", words::bytes(machine.swap_used), words::bytes(machine.swap_total)),
        )?;
    }
    for disk in &machine.disks {
        let path = words::plain(&disk.path);
        let rates =
            format!("read {}, write {}", words::rate(disk.read_bytes_s), words::rate(disk.write_bytes_s));
        row(
            "disk",
            format!(
                "{path}: {} of {} free ({}), {rates}",
                words::bytes(disk.free),
                words::bytes(disk.total),
                words::plain(&disk.role)
            ),
        )?;
    }
    for network in &machine.networks {
        let (received, sent) = (words::rate(Some(network.rx_bytes_s)), words::rate(Some(network.tx_bytes_s)));
        row("network", format!("{}: in {received}, out {sent}", words::plain(&network.device)))?;
    }
    match &machine.pressure {
        Some(p) => row(
            "pressure",
            format!(
                "cpu {:.1} %, memory {:.1} % (full {:.1}), io {:.1} % (full {:.1})",
                p.cpu_some, p.memory_some, p.memory_full, p.io_some, p.io_full
            ),
        )?,
        None => row("pressure", "not measured: the kernel has no PSI".to_owned())?,
    }
    if let Some(kills) = machine.oom_kills.filter(|kills| *kills > 0) {
        row("oom kills", format!("{kills} since boot"))?;
    }
    Ok(())
}

fn tasks(tasks: &[TaskView], now: Time) -> Table {
    let mut table = Table::new(&["NAME", "STATE", "SINCE", ">RESTARTS", "IMAGE", "PORTS"]);
    for task in tasks {
        table.row(vec![
            Cell::from(&task.name),
            Cell::styled(words::state(task), words::state_style(task)),
            Cell::from(words::age(task.since, now)),
            Cell::from(task.restarts),
            Cell::from(&task.image),
            Cell::from(words::ports(&task.ports)),
        ]);
    }
    table
}
