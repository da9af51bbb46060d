//! `orcactl job inspect`: state, why, what rolls, groups, tasks, launches, and what to type.

use orca_api::job::view::{GroupView, JobDetail, LaunchView, ScheduleView};
use orca_api::units::Time;

use super::{ask, list, rollout};
use crate::cli::Format;
use crate::client::Client;
use crate::commands::task::list as tasks;
use crate::commands::{Each, Outcome};
use crate::output::error::Failure;
use crate::output::printer::{BAD, BOLD, DIM, GOOD, Printer, WARN};
use crate::output::table::{Cell, Table};
use crate::output::words;

/// Prints everything about jobs.
pub async fn run(client: &Client, printer: Printer, names: &[String]) -> Outcome {
    let mut each = Each::default();
    let mut now = Time::default();
    for name in names {
        let asked = ask(client, name).await;
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
        _ if printer.is_quiet() => each.done.iter().try_for_each(|job| printer.line(job.job.id))?,
        Format::Name => each.done.iter().try_for_each(|job| printer.line(&job.job.name))?,
        format => {
            for (i, job) in each.done.iter().enumerate() {
                if i > 0 {
                    printer.line("")?;
                }
                show(&printer, job, now, format == Format::Wide)?;
            }
        }
    }
    Ok(each.code)
}

fn show(printer: &Printer, detail: &JobDetail, now: Time, wide: bool) -> Result<(), Failure> {
    let job = &detail.job;
    printer.line(format!("{BOLD}{}{BOLD:#}: {}", job.name, list::summary(job)))?;
    if !job.message.is_empty() {
        printer.line(format!("  {}", words::plain(&job.message)))?;
    }
    if let Some(change) = &job.rollout {
        let style = rollout::style(change);
        printer.line(format!(
            "  {style}{}{style:#}, since {}",
            rollout::words(change),
            words::moment(change.since, now)
        ))?;
        if !change.message.is_empty() {
            printer.line(format!("  {}", words::plain(&change.message)))?;
        }
    }
    let spec = &detail.spec;
    let mut facts = vec![
        ("type", format!("{}, priority {}", job.kind, spec.priority)),
        ("version", format!("{}, revision {}", job.version, job.revision)),
        ("made", words::moment(job.created_at, now)),
        ("id", job.id.to_string()),
    ];
    if !spec.depends_on.is_empty() {
        let on = spec.depends_on.iter().map(|(name, what)| {
            format!(
                "{name} {}",
                serde_json::to_value(what)
                    .ok()
                    .and_then(|v| v.as_str().map(str::to_owned))
                    .unwrap_or_default()
            )
        });
        facts.push(("depends on", on.collect::<Vec<_>>().join(", ")));
    }
    if let Some(most) = spec.max_run_duration {
        facts.push(("runs at most", most.to_string()));
    }
    if let Some(schedule) = &job.schedule {
        facts.extend(of_schedule(schedule, now));
    }
    printer.line("")?;
    let width = facts.iter().map(|(head, _)| head.len()).max().unwrap_or(0);
    for (head, text) in &facts {
        printer.line(format!("  {DIM}{head:width$}{DIM:#}  {}", words::plain(text)))?;
    }
    printer.line(format!("\n{BOLD}groups{BOLD:#}"))?;
    printer.table(&groups(detail))?;
    if !detail.tasks.is_empty() {
        printer.line(format!("\n{BOLD}tasks{BOLD:#}"))?;
        printer.table(&tasks::table(&detail.tasks, now, wide))?;
    }
    if !detail.launches.is_empty() {
        printer.line(format!("\n{BOLD}launches{BOLD:#}"))?;
        printer.table(&launches(&detail.launches, now))?;
    }
    Ok(())
}

fn of_schedule(schedule: &ScheduleView, now: Time) -> Vec<(&'static str, String)> {
    let at = |time: Option<Time>| time.map_or_else(|| "none".to_owned(), |time| words::moment(time, now));
    vec![
        ("schedule", schedule.words.clone()),
        ("next launch", at(schedule.next)),
        ("last success", at(schedule.last_success)),
    ]
}

fn groups(detail: &JobDetail) -> Table {
    let mut table =
        Table::new(&["GROUP", ">WANTED", ">RUNNING", ">PENDING", ">COMPLETED", ">FAILED", "IMAGE"]);
    for GroupView { name, wanted, running, pending, completed, failed } in &detail.job.groups {
        let image =
            detail.spec.groups.get(name).map(|group| group.spec.image.to_string()).unwrap_or_default();
        let bad = |count: u32| if count > 0 { Cell::styled(count, BAD) } else { Cell::from(count) };
        table.row(vec![
            Cell::from(name),
            Cell::from(wanted),
            Cell::styled(running, if running >= wanted { GOOD } else { WARN }),
            Cell::from(pending),
            Cell::from(completed),
            bad(*failed),
            Cell::from(image),
        ]);
    }
    table
}

fn launches(launches: &[LaunchView], now: Time) -> Table {
    let mut table = Table::new(&[">NUMBER", "DUE", "OUTCOME", "TOOK", "NOTE"]);
    for launch in launches {
        let style = match launch.outcome.as_str() {
            "succeeded" => GOOD,
            "failed" => BAD,
            _ => WARN,
        };
        let took = match (launch.began, launch.ended) {
            (Some(began), Some(ended)) => words::short(ended.since(began)),
            (Some(began), None) => words::age(began, now),
            _ => String::new(),
        };
        table.row(vec![
            Cell::from(launch.number),
            Cell::from(words::moment(launch.due, now)),
            Cell::styled(&launch.outcome, style),
            Cell::from(took),
            Cell::from(&launch.message),
        ]);
    }
    table
}
