//! `orcactl job schema`: what editors check a job's file with.

use orca_api::error::exit;
use orca_api::job::schema;

use crate::commands::Outcome;
use crate::output::printer::Printer;

/// Prints the JSON Schema of a job's file.
pub fn run() -> Outcome {
    Printer::plain().json(&schema::of_file())?;
    Ok(exit::OK)
}
