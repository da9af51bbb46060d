//! `orcactl manager …` and `orcactl worker …`: what this machine is. They always ask the daemon of this machine, and
//! start its unit where it does not run.

use orca_api::control::RolesView;

use crate::cli::Format;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::words;

pub mod join;
pub mod leave;
pub mod manager;
pub mod unit;
pub mod worker;

/// Says what the roles are now.
fn say(printer: &Printer, view: &RolesView) -> Result<(), Failure> {
    if printer.format() == Format::Json {
        printer.json(view)?;
    } else {
        let roles: Vec<String> = view.roles.iter().map(ToString::to_string).collect();
        printer.line(roles.join(","))?;
    }
    printer.note(words::plain(&view.message));
    Ok(())
}
