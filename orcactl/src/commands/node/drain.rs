//! `orcactl node drain`: the work moves off a node, and one sees it move.
//!
//! ```text
//!   PUT availability = draining ─► GET drain, again and again ─► nothing is left ─► done
//!   --plan: GET drain alone, and nothing is changed
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use orca_api::cluster::{DrainView, LeavingView};
use orca_api::control::{NodeDetail, NodeView, SetAvailability};
use orca_api::error::exit;
use orca_api::name::Name;
use orca_api::node::Availability;
use orca_api::route::Route;
use orca_api::units::{Span, Time};
use tokio::time::Instant;

use crate::cli::Format;
use crate::cli::node::DrainArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::error::Failure;
use crate::output::printer::{BAD, GOOD, Printer, WARN};
use crate::output::progress::Lines;
use crate::output::table::{Cell, Table};
use crate::output::words;

/// How often is looked: a step of a drain (a start, a stop) takes longer.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long the manager may be away while one looks: a restart takes a few seconds.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// Drains a node, or says what that would do.
pub async fn run(client: &Client, printer: Printer, args: &DrainArgs) -> Outcome {
    if args.plan {
        return plan(client, &printer, &args.node).await;
    }
    let request = SetAvailability { availability: Availability::Draining, deadline: args.deadline };
    let call = client.call(Route::NodeAvailability).part(&args.node).body(&request)?;
    let node = call.answer::<NodeView>().await?.body;
    if args.detach {
        printer.note(format!("{} is being drained: orcactl node drain {} follows it", node.name, node.name));
    } else {
        follow(client, &printer, &node.name, args.timeout).await?;
        printer.note(format!(
            "{} is drained and takes no new work; orcactl node activate {} ends that",
            node.name, node.name
        ));
    }
    match printer.format() {
        Format::Json => {
            let detail = client.call(Route::NodeInspect).part(&args.node).answer::<NodeDetail>().await?;
            printer.json(&detail.body)?;
        }
        _ if printer.is_quiet() => printer.line(node.id)?,
        _ => printer.line(&node.name)?,
    }
    Ok(exit::OK)
}

async fn plan(client: &Client, printer: &Printer, node: &str) -> Outcome {
    let answer = client.call(Route::NodeDrainPlan).part(node).answer::<DrainView>().await?;
    let view = answer.body;
    match printer.format() {
        Format::Json => printer.json(&view)?,
        Format::Name => view.tasks.iter().try_for_each(|task| printer.line(&task.name))?,
        _ if printer.is_quiet() => view.tasks.iter().try_for_each(|task| printer.line(task.task))?,
        _ if view.tasks.is_empty() => {
            printer.note(format!("no task is on {node}: a drain changes nothing there"));
        }
        _ => printer.table(&table(&view))?,
    }
    let blocked = view.tasks.iter().filter(|task| task.blocked.is_some()).count();
    if blocked > 0 {
        printer.warning(format!(
            "{} could not leave before the deadline, if there is one",
            words::count(blocked as u64, "task")
        ));
    }
    Ok(if view.tasks.is_empty() { exit::OK } else { exit::CHANGES })
}

fn table(view: &DrainView) -> Table {
    let mut table = Table::new(&["TASK", "GOES TO", "ORDER", "STEP"]);
    for task in &view.tasks {
        let step = match &task.blocked {
            Some(why) => Cell::styled(format!("blocked: {why}"), BAD),
            None => Cell::from(&task.step),
        };
        table.row(vec![
            Cell::from(&task.name),
            Cell::from(task.to.as_ref().map(ToString::to_string).unwrap_or_default()),
            Cell::from(&task.order),
            step,
        ]);
    }
    table
}

/// Watches until nothing is left on the node.
async fn follow(
    client: &Client,
    printer: &Printer,
    node: &Name,
    timeout: Option<Span>,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut board = Board::new(*printer);
    let mut reached = began;
    loop {
        let asked = client.call(Route::NodeDrainPlan).part(node.as_str()).answer::<DrainView>().await;
        let left = match asked {
            Ok(answer) => {
                reached = Instant::now();
                let view = answer.body;
                if view.tasks.is_empty() {
                    board.show(&view);
                    return Ok(());
                }
                if view.since.is_none() {
                    return Err(Failure::new(format!("{node} is not being drained any more"))
                        .because("somebody has activated or paused it")
                        .hint(format!("orcactl events --node {node} says who")));
                }
                board.show(&view);
                view.tasks.len()
            }
            Err(failure) if failure.is_unreachable() && reached.elapsed() < AWAY_MAX => 0,
            Err(failure) => return Err(failure),
        };
        if timeout.is_some_and(|timeout| began.elapsed() >= timeout.std()) {
            return Err(Failure::new(format!(
                "{} still on {node}",
                if left == 1 { "1 task is".to_owned() } else { format!("{left} tasks are") }
            ))
            .exit(exit::TIMEOUT)
            .because("the time is up; the drain goes on")
            .hint(format!("orcactl node drain {node} goes on watching"))
            .hint(format!("orcactl node activate {node} ends it; orcactl node drain {node} --deadline 1m stops what has not left")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is shown of a drain: all tasks on a terminal, each change on a line elsewhere.
struct Board {
    printer: Printer,
    lines: Lines,
    seen: BTreeMap<Name, String>,
}

impl Board {
    fn new(printer: Printer) -> Self {
        Self { printer, lines: Lines::new(&printer), seen: BTreeMap::new() }
    }

    fn show(&mut self, view: &DrainView) {
        let mut gone: Vec<Name> = Vec::new();
        for name in self.seen.keys() {
            if view.tasks.iter().all(|task| task.name != *name) {
                gone.push(name.clone());
            }
        }
        for name in gone {
            self.seen.remove(&name);
            self.lines.note(&self.printer, &format!("{name}: {GOOD}gone{GOOD:#}"));
        }
        for task in &view.tasks {
            let text = step(task);
            let new = self.seen.get(&task.name) != Some(&text);
            if new && !self.lines.is_live() {
                self.printer.note(format!("{}: {text}", task.name));
            }
            if new {
                self.seen.insert(task.name.clone(), text);
            }
        }
        let mut texts: Vec<String> =
            view.tasks.iter().map(|task| format!("{}: {}", task.name, step(task))).collect();
        if let Some(deadline) = view.deadline {
            let left = deadline.since(Time::from_ms(jiff::Timestamp::now().as_millisecond()));
            texts.push(format!("what is left is stopped in {}", words::short(left)));
        }
        self.lines.show(&texts);
    }
}

fn step(task: &LeavingView) -> String {
    match &task.blocked {
        Some(why) => format!("{WARN}blocked{WARN:#}: {}", words::plain(why)),
        None => words::plain(&task.step),
    }
}
