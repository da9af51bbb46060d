//! `orcactl version`: of both sides.

use orca_api::VERSION;
use orca_api::control::VersionView;
use orca_api::error::exit;
use orca_api::route::Route;
use serde::Serialize;

use super::Outcome;
use crate::cli::Format;
use crate::client::Client;
use crate::output::printer::Printer;

/// What `-o json` shows.
#[derive(Debug, Serialize)]
struct Versions {
    orcactl: &'static str,
    /// Absent where the daemon cannot be asked.
    orcad: Option<VersionView>,
}

/// Prints both versions. Without a daemon it prints its own, and fails with the reason.
pub async fn run(client: &Client, printer: Printer) -> Outcome {
    let asked = client.call(Route::Version).answer::<VersionView>().await;
    let (orcad, failure) = match asked {
        Ok(answer) => (Some(answer.body), None),
        Err(failure) => (None, Some(failure)),
    };
    if printer.format() == Format::Json {
        printer.json(&Versions { orcactl: VERSION, orcad: orcad.clone() })?;
    } else {
        printer.line(format!("orcactl {VERSION}"))?;
        if let Some(orcad) = &orcad {
            printer.line(format!("orcad   {} (API {}, link {})", orcad.version, orcad.api, orcad.link))?;
        }
    }
    match (failure, orcad) {
        (Some(failure), _) => Err(failure),
        (None, Some(orcad)) if orcad.version != VERSION => {
            printer.warning(
                "orcactl and orcad differ: restart orcad after an upgrade (systemctl restart orcad)",
            );
            Ok(exit::OK)
        }
        _ => Ok(exit::OK),
    }
}
