//! `orcad config check` and `orcad config show`.

use std::io::{self, Write};
use std::path::PathBuf;

use super::error::ConfigErrors;
use super::file::Files;
use super::{load_with_origins, origin};
use crate::args::{Args, ShowFormat};

/// Checks the configuration that would be in force, or the given files on their own, and says what was read.
///
/// # Errors
/// That `out` could not be written. Mistakes of the configuration are the inner result.
pub fn check_command(
    args: &Args,
    files: &[PathBuf],
    env: impl Fn(&str) -> Option<String>,
    out: &mut dyn Write,
) -> io::Result<Result<(), ConfigErrors>> {
    let loaded = if files.is_empty() {
        load_with_origins(args, env)
    } else {
        origin::load(&Files::Named(files.to_vec()), &Args::default(), &|_| None)
    };
    match loaded {
        Err(errors) => Ok(Err(errors)),
        Ok(loaded) if loaded.files.is_empty() => {
            writeln!(out, "ok: no file is there, the defaults hold").map(Ok)
        }
        Ok(loaded) => {
            let files: Vec<String> = loaded.files.iter().map(|f| f.display().to_string()).collect();
            writeln!(out, "ok: {}", files.join(", ")).map(Ok)
        }
    }
}

/// Prints what is in force.
///
/// # Errors
/// That `out` could not be written. Mistakes of the configuration are the inner result.
pub fn show_command(
    args: &Args,
    format: ShowFormat,
    origins: bool,
    env: impl Fn(&str) -> Option<String>,
    out: &mut dyn Write,
) -> io::Result<Result<(), ConfigErrors>> {
    let loaded = match load_with_origins(args, env) {
        Ok(loaded) => loaded,
        Err(errors) => return Ok(Err(errors)),
    };
    match format {
        ShowFormat::Toml => write!(out, "{}", loaded.to_toml(origins)),
        ShowFormat::Json => writeln!(out, "{:#}", loaded.to_json(origins)),
    }
    .map(Ok)
}
