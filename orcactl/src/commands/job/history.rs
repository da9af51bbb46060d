//! `orcactl job history`: the versions of a job, newest first.

use orca_api::control::List;
use orca_api::error::exit;
use orca_api::job::view::JobVersion;
use orca_api::route::Route;

use super::plan;
use crate::cli::Format;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::printer::{BOLD, DIM, GOOD, Printer, WARN};
use crate::output::words;

/// Changes shown of one version.
const CHANGES: usize = 20;

/// Prints the versions of a job.
pub async fn run(client: &Client, printer: Printer, name: &str) -> Outcome {
    let answer = client.call(Route::JobHistory).part(name).answer::<List<JobVersion>>().await?;
    let (now, versions) = (answer.now, answer.body.items);
    match printer.format() {
        Format::Json => printer.json(&versions)?,
        format if format == Format::Name || printer.is_quiet() => {
            versions.iter().try_for_each(|version| printer.line(version.version))?;
        }
        format => {
            for version in &versions {
                let mut marks = Vec::new();
                if version.current {
                    marks.push(format!("{GOOD}present{GOOD:#}"));
                }
                if !version.proven {
                    marks.push(format!("{WARN}never healthy as a whole{WARN:#}"));
                }
                let marks = if marks.is_empty() { String::new() } else { format!("  {}", marks.join(", ")) };
                printer.line(format!(
                    "{BOLD}version {}{BOLD:#}  {}  by {}{marks}",
                    version.version,
                    // The daemon's clock is told to the second, and no version is of the future.
                    words::moment(version.at, now.max(version.at)),
                    words::plain(&version.by)
                ))?;
                let most = if format == Format::Wide { usize::MAX } else { CHANGES };
                for change in version.changes.iter().take(most) {
                    printer.line(format!("  {}", plan::change(change)))?;
                }
                if version.changes.len() > most {
                    let more = version.changes.len() - most;
                    printer.line(format!("  {DIM}… and {more} more: -o wide shows them{DIM:#}"))?;
                }
            }
            if let Some(back) = versions.iter().find(|version| version.proven && !version.current) {
                printer.note(format!("\norcactl job rollback --to {} {name} goes back", back.version));
            }
        }
    }
    Ok(exit::OK)
}
