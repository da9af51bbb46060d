//! `orcactl task inspect`: state, why, since when, what comes next, and what to type.

use orca_api::control::TaskDetail;
use orca_api::link::AttemptStatus;
use orca_api::route::Route;
use orca_api::spec::{HealthCheck, TaskSpec};
use orca_api::task::{State, Wanted};
use orca_api::units::Time;

use super::follow;
use crate::cli::Format;
use crate::client::Client;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::{BOLD, Printer, WARN};
use crate::output::table::{Cell, Table};
use crate::output::words;

/// Lines of output shown.
const LINES: u32 = 10;

/// Prints everything about tasks.
pub async fn run(client: &Client, printer: Printer, names: &[String]) -> Outcome {
    let mut each = Each::default();
    let mut now = Time::default();
    for name in names {
        let asked = client.call(Route::TaskInspect).part(name).answer::<TaskDetail>().await;
        each.take(
            &printer,
            asked.map(|answer| {
                now = answer.now;
                answer.body
            }),
        );
    }
    if printer.format() == Format::Json {
        printer.json_named(&each.done, names.len())?;
        return Ok(each.code);
    }
    for (i, detail) in each.done.iter().enumerate() {
        if printer.is_quiet() {
            printer.line(detail.task.id)?;
        } else if printer.format() == Format::Name {
            printer.line(&detail.task.name)?;
        } else {
            if i > 0 {
                printer.line("")?;
            }
            let output = follow::last_output(client, detail.task.name.as_str(), LINES).await;
            show(&printer, detail, &output, now)?;
        }
    }
    Ok(each.code)
}

fn show(printer: &Printer, detail: &TaskDetail, output: &[String], now: Time) -> Result<(), Failure> {
    let task = &detail.task;
    let style = words::state_style(task);
    printer.line(format!("{BOLD}{}{BOLD:#}  {style}{}{style:#}", task.name, words::state(task)))?;
    let row = |head: &str, text: String| {
        if text.is_empty() { Ok(()) } else { printer.line(format!("  {head:<10}{}", words::plain(&text))) }
    };
    row("since", words::moment(task.since, now))?;
    row("why", task.message.clone())?;
    if let Some(progress) = &task.progress {
        row("step", words::progress(progress))?;
    }
    if let Some(next) = task.next_attempt_at {
        row("next", format!("attempt {} {}", task.attempts + 1, words::moment(next, now)))?;
    }
    if let Some(stale) = task.stale_since {
        row("unknown", format!("the node cannot be asked since {}", words::moment(stale, now)))?;
    }
    if let Some(warning) = &task.warning {
        printer.line(format!("  {WARN}{:<10}{}{WARN:#}", "warning", words::plain(warning)))?;
    }
    row("node", task.node.as_ref().map(ToString::to_string).unwrap_or_default())?;
    row("image", task.image.clone())?;
    row("command", command(&detail.spec))?;
    row("ports", words::ports(&task.ports))?;
    row(
        "cpu",
        resources(detail.spec.cpus.map(|c| c.to_string()), detail.spec.cpu_reservation().to_string()),
    )?;
    row(
        "memory",
        resources(detail.spec.memory.map(|m| m.to_string()), detail.spec.memory_reservation().to_string()),
    )?;
    row("health", detail.spec.health.as_ref().map(health).unwrap_or_default())?;
    row("mounts", detail.spec.mounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))?;
    row(
        "restart",
        format!("{}; {} so far", detail.spec.restart, words::count(u64::from(task.restarts), "restart")),
    )?;
    row(
        "id",
        format!(
            "{} (version {} of its spec, made {})",
            task.id,
            task.version,
            words::moment(task.created_at, now)
        ),
    )?;
    if !detail.history.is_empty() {
        printer.line(format!("\n{BOLD}attempts{BOLD:#}"))?;
        printer.table(&attempts(&detail.history, now))?;
    }
    if !output.is_empty() {
        printer.line("")?;
        printer.section("output", output)?;
    }
    let next = next_command(detail);
    if !next.is_empty() {
        printer.note(format!("\nhint: {}", words::plain(&next)));
    }
    Ok(())
}

fn command(spec: &TaskSpec) -> String {
    spec.entrypoint.iter().chain(&spec.command).map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn resources(limit: Option<String>, reserved: String) -> String {
    format!(
        "{} reserved, {}",
        reserved,
        limit.map_or_else(|| "no limit".to_owned(), |limit| format!("at most {limit}"))
    )
}

/// `http 8080/ready every 10s, 2s each; unhealthy after 3 failures`
fn health(check: &HealthCheck) -> String {
    let what = match (&check.http, check.tcp) {
        (Some(http), _) => format!("http {http}"),
        (None, Some(port)) => format!("tcp {port}"),
        (None, None) if check.off => return "the image's check is off".to_owned(),
        (None, None) => format!("exec {}", check.exec.join(" ")),
    };
    let grace = check.start_period.map(|span| format!(", not counted for {span} after its start"));
    format!(
        "{what} every {}, {} each; unhealthy after {}{}",
        check.every(),
        check.patience(),
        words::count(u64::from(check.failures()), "failure"),
        grace.unwrap_or_default()
    )
}

fn attempts(history: &[AttemptStatus], now: Time) -> Table {
    let mut table = Table::new(&[">NO", "STATE", "STARTED", "RAN", "MESSAGE"]);
    for attempt in history.iter().rev() {
        let why = attempt
            .reason
            .map(|reason| format!(" ({})", words::why(reason, attempt.exit_code, attempt.signal)));
        let ran =
            attempt.started_at.map(|started| words::short(attempt.finished_at.unwrap_or(now).since(started)));
        table.row(vec![
            Cell::from(attempt.number),
            Cell::from(format!("{}{}", attempt.state, why.unwrap_or_default())),
            Cell::from(
                attempt.started_at.map(|at| format!("{} ago", words::age(at, now))).unwrap_or_default(),
            ),
            Cell::from(ran.unwrap_or_default()),
            Cell::from(&attempt.message),
        ]);
    }
    table
}

/// What to type next: what the daemon says, or what usually follows.
fn next_command(detail: &TaskDetail) -> String {
    let task = &detail.task;
    match (task.state, task.wanted) {
        _ if !task.hint.is_empty() => task.hint.clone(),
        (State::Running, _) => format!("orcactl task logs -f {}", task.name),
        (state, Wanted::Stopped) if state.is_terminal() => format!("orcactl task restart {}", task.name),
        _ => format!("orcactl task explain {}", task.name),
    }
}
