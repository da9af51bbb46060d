//! What the journal dropped: a container that floods it loses lines, and so may its neighbours, for all of them count as
//! the engine's own unit. Nothing in the output says so, so it is asked for.

use std::process::Stdio;
use std::time::Duration;

use orca_api::units::Time;
use tokio::process::Command;

use crate::worker::docker::NOT_FOR_CHILDREN;

/// The journal's own id for "messages were suppressed" (`SD_MESSAGE_JOURNAL_DROPPED`, sd-messages.h).
const DROPPED: &str = "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e";
/// How long the journal may take.
const LIMIT: Duration = Duration::from_secs(2);
/// Entries that are read; the journal writes one for each 30 s in which it dropped something.
const ENTRIES: &str = "1000";
/// A drop is told with the first message after it: so long after a container's end it may be of that container.
const AFTER: Duration = Duration::from_mins(2);

/// A sentence about what the journal dropped of the engine's unit in a time, if it did.
pub(super) async fn between(since: Time, until: Option<Time>) -> Option<String> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "-o", "json", "-n", ENTRIES, DROPPED]);
    command.arg(format!("--since=@{}", since.ms() / 1000));
    if let Some(until) = until {
        let until = until.ms() / 1000 + i64::try_from(AFTER.as_secs()).unwrap_or(0);
        command.arg(format!("--until=@{until}"));
    }
    for name in NOT_FOR_CHILDREN {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) => said(&String::from_utf8_lossy(&output.stdout)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the journal was not asked what it dropped");
            None
        }
        Err(_) => None,
    }
}

/// From the journal's entries, one a line.
fn said(entries: &str) -> Option<String> {
    let mut lines: u64 = 0;
    let mut unit = None;
    for entry in entries.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        let message = entry["MESSAGE"].as_str().unwrap_or_default();
        // "Suppressed 2532 messages from docker.service"
        let Some(of) =
            message.rsplit(' ').next().filter(|of| of.starts_with("docker") || of.starts_with("containerd"))
        else {
            continue;
        };
        let count = entry["N_DROPPED"].as_str().and_then(|n| n.parse().ok());
        let count = count.or_else(|| message.split(' ').find_map(|word| word.parse().ok()));
        lines = lines.saturating_add(count.unwrap_or(0));
        unit = Some(of.to_owned());
    }
    let unit = unit.filter(|_| lines > 0)?;
    Some(format!(
        "the journal dropped {lines} lines of {unit} in this time, of all its containers together; /usr/share/doc/orcad/examples/docker-log-rate.conf lifts its limit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_of_the_engine_is_counted() {
        let entries = r#"{"MESSAGE":"Suppressed 2532 messages from docker.service","N_DROPPED":"2532"}
{"MESSAGE":"Suppressed 7 messages from sshd.service","N_DROPPED":"7"}
nonsense
{"MESSAGE":"Suppressed 10 messages from docker.service"}
"#;
        let text = said(entries).unwrap();
        assert!(text.starts_with("the journal dropped 2542 lines of docker.service "), "{text}");
        for nothing in ["", r#"{"MESSAGE":"Suppressed 7 messages from sshd.service","N_DROPPED":"7"}"#] {
            assert_eq!(said(nothing), None);
        }
    }
}
