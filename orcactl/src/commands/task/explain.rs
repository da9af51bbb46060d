//! `orcactl task explain`: of a task, or of a spec that is not started.

use orca_api::control::{ExplainSpec, Explanation};
use orca_api::error::exit;
use orca_api::route::Route;

use crate::cli::Format;
use crate::cli::task::ExplainArgs;
use crate::client::Client;
use crate::commands::Outcome;
use crate::output::explanation;
use crate::output::printer::Printer;
use crate::settings::{env, spec};

/// Prints an explanation. Of a bare spec that fits nowhere the exit code is 1, so that a script can ask.
pub async fn run(client: &Client, printer: Printer, args: &ExplainArgs) -> Outcome {
    let explanation = if let Some(name) = &args.name {
        client.call(Route::TaskExplain).part(name).answer::<Explanation>().await?.body
    } else {
        let image = args.image.as_deref();
        let source = spec::Source { file: args.file.as_deref(), image, command: &[], flags: &args.spec };
        let (_, spec) = spec::resolve(&source, &env::of_process)?;
        client.call(Route::Explain).body(&ExplainSpec { spec })?.answer::<Explanation>().await?.body
    };
    match printer.format() {
        Format::Json => printer.json(&explanation)?,
        format if format == Format::Name || printer.is_quiet() => {
            // The nodes that fit: what a script would ask for.
            for node in explanation.nodes.iter().filter(|node| node.fits) {
                if printer.is_quiet() { printer.line(node.node_id)? } else { printer.line(&node.node)? }
            }
        }
        format => explanation::show(&printer, &explanation, format == Format::Wide)?,
    }
    let failed = args.name.is_none() && !explanation.fits;
    Ok(if failed { exit::FAILED } else { exit::OK })
}
