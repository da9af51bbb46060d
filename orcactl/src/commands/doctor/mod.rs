//! `orcactl doctor`: one line for each thing that must be right, with what to do where it is not.
//!
//! It looks at this machine (unit, socket, clock, disk, kernel) and asks the daemon about the rest. What cannot
//! be looked at is said, and is no fault.

use orca_api::control::{NodeDetail, Status};
use orca_api::error::{Code, exit};
use orca_api::route::Route;
use serde::Serialize;

use super::Outcome;
use crate::cli::Format;
use crate::client::{Answer, Client};
use crate::output::error::Failure;
use crate::output::printer::{BAD, DIM, GOOD, Printer, WARN};
use crate::output::words;

mod clock;
mod daemon;
mod folder;
mod machine;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Works, and will not for long, or not well.
    Warning,
    /// Does not work.
    Wrong,
    /// Could not be looked at.
    Unknown,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    what: &'static str,
    /// What came of it.
    state: State,
    /// In words, with figures.
    text: String,
    /// What to type; empty where there is nothing to do.
    remedy: String,
}

impl Finding {
    fn new(what: &'static str, state: State, text: impl Into<String>) -> Self {
        Self { what, state, text: text.into(), remedy: String::new() }
    }

    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self::new(what, State::Ok, text)
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

/// Looks at everything; exits with 1 where something is wrong.
pub async fn run(client: &Client, printer: Printer) -> Outcome {
    let findings = look(client).await;
    show(&printer, &findings)?;
    let wrong = findings.iter().any(|f| f.state == State::Wrong);
    Ok(if wrong { exit::FAILED } else { exit::OK })
}

/// Looks at everything.
pub(super) async fn look(client: &Client) -> Vec<Finding> {
    let status = client.call(Route::Status).answer::<Status>().await;
    let told = status.as_ref().is_err_and(|failure| failure.code == Some(Code::CannotStart));
    let mut findings = machine::unit(told);
    findings.push(daemon::reached(client.socket(), &status));
    if let Ok(Answer { body, now }) = &status {
        let path = [body.node_name.as_str()];
        let node = client.call(Route::NodeInspect).part(path[0]).answer::<NodeDetail>().await;
        findings.push(daemon::version(body));
        findings.push(clock::against(*now));
        findings.extend(daemon::node(node.as_ref().map(|a| &a.body).map_err(|f| f.message.clone())));
        findings.extend(daemon::tasks(body));
    }
    let told_space = findings.iter().any(|f| f.what == "disk");
    findings.extend(machine::state_space().filter(|_| !told_space));
    findings.extend(folder::rights());
    findings.extend(folder::newest_backup().filter(|_| told));
    findings.extend(clock::all());
    findings.push(machine::membership());
    findings
}

fn show(printer: &Printer, findings: &[Finding]) -> Result<(), Failure> {
    if printer.format() == Format::Json {
        return printer.json(&findings);
    }
    for finding in findings {
        if printer.is_quiet() && matches!(finding.state, State::Ok | State::Unknown) {
            continue;
        }
        let (style, word) = match finding.state {
            State::Ok => (GOOD, "ok"),
            State::Warning => (WARN, "warning"),
            State::Wrong => (BAD, "WRONG"),
            State::Unknown => (DIM, "unknown"),
        };
        printer.line(format!(
            "{style}{word:<8}{style:#}{:<12}{}",
            finding.what,
            words::plain(&finding.text)
        ))?;
        if !finding.remedy.is_empty() {
            printer.line(format!("{:<20}{DIM}->{DIM:#} {}", "", words::plain(&finding.remedy)))?;
        }
    }
    Ok(())
}
