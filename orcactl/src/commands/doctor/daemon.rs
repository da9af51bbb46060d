//! What the daemon says of itself, its engine and its node.

use std::path::Path;

use orca_api::VERSION;
use orca_api::control::{NodeDetail, Status};
use orca_api::error::exit;
use orca_api::node::{Condition, NodeState};
use orca_api::units::Bytes;

use super::{Finding, State};
use crate::client::Answer;
use crate::output::error::Failure;

/// Less free space than this part of a file system is worth a warning.
const FREE_MIN: f64 = 0.10;

/// Whether it answers, and why not.
pub(super) fn reached(socket: &Path, status: &Result<Answer<Status>, Failure>) -> Finding {
    match status {
        Ok(answer) => Finding::ok(
            "daemon",
            format!("answers at {}, up since {}", socket.display(), answer.body.started_at),
        ),
        Err(failure) => {
            let why = failure.because.first().map_or_else(String::new, |why| format!(": {why}"));
            let state = if failure.exit == exit::NOT_ALLOWED { State::Unknown } else { State::Wrong };
            Finding::new("daemon", state, format!("{}{why}", failure.message))
                .remedy(failure.hint.first().cloned().unwrap_or_default())
        }
    }
}

/// Whether command and daemon are of one version.
pub(super) fn version(status: &Status) -> Finding {
    if status.version == VERSION {
        return Finding::ok("version", format!("orcad and orcactl {VERSION}"));
    }
    Finding::new("version", State::Warning, format!("orcad is {}, orcactl is {VERSION}", status.version))
        .remedy("sudo systemctl restart orcad (no container is touched)")
}

/// The node: its state, engine, pressure and disks.
pub(super) fn node(node: Result<&NodeDetail, String>) -> Vec<Finding> {
    let node = match node {
        Ok(node) => node,
        Err(why) => return vec![Finding::new("node", State::Unknown, why)],
    };
    let mut findings = vec![match node.node.state {
        NodeState::Ready => {
            Finding::ok("node", format!("{} is ready, {}", node.node.name, node.node.availability))
        }
        state => Finding::new("node", State::Wrong, format!("{} is {state}", node.node.name))
            .remedy("journalctl -u orcad -e shows why its worker does not report"),
    }];
    findings.push(engine(node));
    for condition in &node.node.conditions {
        if !matches!(condition, Condition::EngineAway | Condition::EngineUnresponsive) {
            findings
                .push(Finding::new("condition", State::Warning, condition.as_str()).remedy(condition.hint()));
        }
    }
    if let Some(load) = &node.load {
        for disk in &load.machine.disks {
            findings.push(space(&format!("{} ({})", disk.path, disk.role), disk.total, disk.free));
        }
        if load.machine.pressure.is_none() {
            findings.push(
                Finding::new(
                    "pressure",
                    State::Unknown,
                    "this kernel measures no pressure (PSI): `pressured` is never set",
                )
                .remedy("boot with psi=1"),
            );
        }
    }
    findings
}

fn engine(node: &NodeDetail) -> Finding {
    let away = node
        .node
        .conditions
        .iter()
        .find(|c| matches!(c, Condition::EngineAway | Condition::EngineUnresponsive));
    match away {
        Some(condition) => {
            let words = match condition {
                Condition::EngineAway => "it is not there",
                _ => "it does not answer; what runs goes on, and nothing new begins",
            };
            Finding::new("engine", State::Wrong, format!("{words} ({condition})")).remedy(condition.hint())
        }
        None if node.node.engine.is_empty() => {
            Finding::new("engine", State::Unknown, "it has not answered yet")
        }
        None => Finding::ok(
            "engine",
            format!("Docker {}, API {}, cgroup v{}", node.node.engine, node.engine_api, node.cgroup),
        ),
    }
}

/// Space of a file system.
pub(super) fn space(of: &str, total: u64, free: u64) -> Finding {
    let text = format!("{} of {} free on {of}", Bytes::new(free), Bytes::new(total));
    if total > 0 && (free as f64) < total as f64 * FREE_MIN {
        return Finding::new("disk", State::Warning, text)
            .remedy("docker system df shows what the engine holds; df -h the rest");
    }
    Finding::ok("disk", text)
}

/// What else needs a person's eye.
pub(super) fn tasks(status: &Status) -> Vec<Finding> {
    let (of_tasks, others): (Vec<_>, Vec<_>) =
        status.attention.iter().partition(|a| a.text.starts_with("task "));
    // What is wrong with nodes is told by the node itself.
    let others = others.into_iter().filter(|a| !a.text.starts_with("node "));
    let mut findings: Vec<_> = others
        .map(|a| Finding::new("cluster", State::Wrong, a.text.clone()).remedy(a.hint.clone()))
        .collect();
    if of_tasks.is_empty() {
        findings.push(Finding::ok("tasks", "none needs attention"));
    }
    findings.extend(
        of_tasks.iter().map(|a| Finding::new("tasks", State::Warning, a.text.clone()).remedy(a.hint.clone())),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_a_warning() {
        assert_eq!(space("/", 1000, 99).state, State::Warning);
        assert_eq!(space("/", 1000, 100).state, State::Ok);
        assert_eq!(space("/", 0, 0).state, State::Ok);
    }

    #[test]
    fn a_daemon_that_may_not_be_asked_is_not_wrong() {
        let denied = Err(crate::client::reach::not_allowed(Path::new("/run/x")));
        assert_eq!(reached(Path::new("/run/x"), &denied).state, State::Unknown);
        let gone =
            Err(Failure::new("cannot reach").exit(exit::UNREACHABLE).hint("sudo systemctl start orcad"));
        let finding = reached(Path::new("/run/x"), &gone);
        assert_eq!((finding.state, finding.remedy.as_str()), (State::Wrong, "sudo systemctl start orcad"));
    }
}
