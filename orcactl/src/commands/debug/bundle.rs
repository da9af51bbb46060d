//! `orcactl debug bundle`: one file for a bug report.
//!
//! ```text
//!   the daemon ──┐
//!   this machine ┼──► Collection ──► secrets out, manifest ──► .tar.gz
//!   doctor ──────┘
//! ```
//!
//! It works without a daemon, and without being root: what could not be had is named in the manifest, with the reason.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use orca_api::VERSION;
use orca_api::error::exit;
use orca_api::units::Bytes;

use super::manifest::{Collection, NAME};
use super::{archive, daemon, machine};
use crate::cli::debug::BundleArgs;
use crate::client::Client;
use crate::commands::{Outcome, doctor};
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::output::progress::Activity;
use crate::output::words;

/// What is being done, for a terminal.
pub(super) type Progress = Activity;

/// Gathers, takes secrets out, writes the file and says its name.
pub async fn run(client: &Client, args: &BundleArgs) -> Outcome {
    let printer = Printer::plain().quiet(args.quiet);
    let now = Timestamp::now();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let folder = format!("orca-debug-{}-{}", file_word(&host), now.strftime("%Y%m%dT%H%M%SZ"));
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{folder}.tar.gz")));
    if path.symlink_metadata().is_ok() {
        return Err(exists(&path));
    }

    let progress = Activity::new(&printer);
    let mut all = Collection::default();
    daemon::collect(client, &mut all, &progress).await;
    progress.say("checking this machine");
    match serde_json::to_value(doctor::look(client).await) {
        Ok(findings) => all.document("doctor.json", "what orcactl doctor finds", findings),
        Err(error) => all.left_out("doctor.json", error.to_string()),
    }
    machine::collect(&mut all, &progress).await;
    progress.say("writing the file");
    let missing = all.missing();
    let about = format!(
        "Debug bundle of {host}, made at {} by orcactl {VERSION}.",
        now.strftime("%Y-%m-%dT%H:%M:%SZ")
    );
    let files = all.finish(&about);
    let time = u64::try_from(now.as_second()).unwrap_or_default();
    let size = archive::write(&path, &folder, time, &files).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(&path),
        _ => Failure::new(format!("{} cannot be written", path.display()))
            .because(error.to_string())
            .hint("-o FILE puts it elsewhere"),
    })?;
    progress.close();

    printer.line(words::plain(&path.display().to_string()))?;
    let left = match missing {
        0 => String::new(),
        n => format!("; {} could not be had", words::count(n as u64, "thing")),
    };
    printer.note(format!(
        "{}, {}, without secrets{left}. {NAME} in it says what is there; look before you hand it on.",
        Bytes::new(size),
        words::count(files.len() as u64, "file"),
    ));
    Ok(exit::OK)
}

fn exists(path: &Path) -> Failure {
    Failure::new(format!("{} exists already", path.display()))
        .hint("name another one with -o, or remove it first")
}

/// A host's name as a part of a file's name.
fn file_word(text: &str) -> String {
    let word: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    if word.is_empty() { "host".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_does_not_lead_elsewhere() {
        assert_eq!(file_word("n1.example"), "n1example");
        assert_eq!(file_word("../../x"), "x");
        assert_eq!(file_word("/"), "host");
    }
}
