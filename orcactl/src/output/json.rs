//! JSON for machines. The shapes are the views of the API, documented there.

use serde::Serialize;

use super::error::Failure;

/// Indented, with a newline at the end.
pub fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| failure(&error))
}

/// On one line, with a newline at the end.
pub fn line(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map(|text| text + "\n").map_err(|error| failure(&error))
}

fn failure(error: &serde_json::Error) -> Failure {
    Failure::new("the answer cannot be written as JSON").because(error.to_string())
}
