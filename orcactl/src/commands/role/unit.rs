//! The unit of orcad: where it does not run it is started, and it is said so.

use std::process::Stdio;
use std::time::Duration;

use orca_api::control::VersionView;
use orca_api::error::exit;
use orca_api::route::Route;
use tokio::process::Command;
use tokio::time::Instant;

use crate::client::Client;
use crate::output::error::Failure;
use crate::output::printer::Printer;
use crate::terminal;

const UNIT: &str = "orcad.service";
/// How long a started unit may take until its socket answers; systemd's own limit for a start is 90 s.
const READY_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Sees to it that orcad runs and answers.
///
/// # Errors
/// It cannot be started, does not come up, or may not be asked.
pub async fn running(client: &Client, printer: &Printer) -> Result<(), Failure> {
    match client.call(Route::Version).answer::<VersionView>().await {
        Err(failure) if failure.is_unreachable() => start_unit(client, printer, failure).await,
        Err(failure) => Err(failure),
        Ok(_) => Ok(()),
    }
}

/// Starts orcad's unit, and waits until the socket answers.
async fn start_unit(client: &Client, printer: &Printer, unreachable: Failure) -> Result<(), Failure> {
    printer.note("orcad does not run: systemctl start orcad");
    let mut systemctl = Command::new("systemctl");
    if !terminal::stdin_is_terminal() {
        systemctl.arg("--no-ask-password");
    }
    let started = systemctl
        .args(["start", UNIT])
        .stdin(Stdio::inherit())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .await;
    let output = match started {
        Ok(output) => output,
        Err(error) => {
            return Err(unreachable
                .because(format!("systemctl cannot be run: {error}"))
                .hint("start orcad by hand: sudo orcad"));
        }
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new("orcad could not be started")
            .exit(exit::UNREACHABLE)
            .because(text.trim())
            .hint("systemctl status orcad, and journalctl -u orcad -e")
            .hint("with sudo, if that was refused"));
    }
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        match client.call(Route::Version).answer::<VersionView>().await {
            Ok(_) => break,
            Err(failure) if failure.is_unreachable() && Instant::now() < deadline => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(failure) => return Err(failure),
        }
    }
    printer.note("orcad was started; systemctl enable orcad starts it at boot");
    Ok(())
}
