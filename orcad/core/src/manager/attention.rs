//! What needs a person's eye: the cluster first, then nodes, then tasks that fail. Each line says what to type.

use orca_api::control::{Attention, TaskView};
use orca_api::node::{Condition, NodeState};
use orca_api::task::{Phase, Reason};
use orca_api::units::Span;

use super::defaults::COPY_AFTER;
use super::nodes::STRANGER_SHOWN_MS;
use super::record::NodeRecord;
use super::settings::{counted, listed};
use super::state::Manager;
use crate::Now;

/// The most tasks that are named.
const TASKS_NAMED: usize = 20;
/// How long after it last came a copy of a node is shown, in milliseconds.
const COPY_SHOWN_MS: u64 = 60_000;

fn line(text: String, hint: String) -> Attention {
    Attention { text, hint }
}

impl Manager {
    /// What needs a person's eye.
    pub(super) fn attention(&self, tasks: &[TaskView], now: Now) -> Vec<Attention> {
        let mut list = Vec::new();
        if self.live.scarce {
            list.push(line(
                "the disk of the state folder is nearly full: nothing new is accepted".to_owned(),
                "df -h /var/lib/orca, then free space on it".to_owned(),
            ));
        }
        let held = self.held_nodes();
        if !held.is_empty() {
            let names: Vec<&str> = held.iter().map(|n| n.name.as_str()).collect();
            list.push(line(
                format!(
                    "most nodes vanished at once: what runs on {} stays there ({})",
                    counted(held.len(), "node"),
                    listed(&names)
                ),
                "look at the network between them and this machine; orcactl node confirm-down NAME where one is dead"
                    .to_owned(),
            ));
        }
        let mut nodes: Vec<&NodeRecord> = self.members().map(AsRef::as_ref).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        for node in nodes {
            self.attend_node(node, now, &mut list);
        }
        for (node, last) in &self.live.strangers {
            if now.boot_ms.saturating_sub(*last) < STRANGER_SHOWN_MS {
                list.push(line(
                    format!("a machine ({node}) has a certificate of this cluster, and is not known here"),
                    "it joined after the backup that was restored: on it, orcactl worker leave --force, then join again"
                        .to_owned(),
                ));
            }
        }
        self.attend_drains(now, &mut list);
        self.attend_singletons(&mut list);
        attend_tasks(tasks, &mut list);
        list
    }

    fn attend_node(&self, node: &NodeRecord, now: Now, list: &mut Vec<Attention>) {
        let name = &node.name;
        let (text, hint) = match node.state {
            NodeState::Ready | NodeState::Left => (String::new(), String::new()),
            NodeState::Joining => (
                "is joining: its orcad has not been heard yet".to_owned(),
                format!("journalctl -u orcad on {name}"),
            ),
            NodeState::Disconnected => (
                "is disconnected: its orcad does not answer".to_owned(),
                format!("systemctl status orcad on {name}"),
            ),
            NodeState::Down => (
                "is down: its machine does not answer".to_owned(),
                format!("look at the machine; orcactl node remove {name} if it will not come back"),
            ),
        };
        if !text.is_empty() {
            list.push(line(format!("node {name} {text}"), hint));
        }
        let live = self.live.nodes.get(&node.id);
        for condition in live.iter().flat_map(|l| &l.conditions) {
            let words = match condition {
                Condition::Pressured => "is under pressure and takes no new work".to_owned(),
                Condition::EngineUnresponsive => "has an engine that does not answer".to_owned(),
                Condition::EngineAway => "has no engine".to_owned(),
                Condition::DiskFull => "has a full disk".to_owned(),
                Condition::ClockSkew => skew_words(live.map_or(0, |l| l.clock_ahead_ms)),
            };
            list.push(line(format!("node {name} {words}"), condition.hint().to_owned()));
        }
        let copied = live.and_then(|l| l.knock).is_some_and(|k| {
            k.told && now.boot_ms.saturating_sub(k.last) < COPY_SHOWN_MS.max(COPY_AFTER.ms())
        });
        if copied {
            list.push(line(
                format!("another machine uses the identity of node {name}"),
                "a copied disk? orcactl worker leave --force on one of them, then join it again".to_owned(),
            ));
        }
        let differs = node.differs();
        if !differs.is_empty() {
            list.push(line(
                format!("node {name} tells other things of itself than count: {}", differs.join("; ")),
                format!("orcactl node label {name} --accept, if that is right"),
            ));
        }
        if let Some(certificate) = &node.certificate {
            let left = certificate.expires_at.since(now.wall);
            if left.ms() < self.certificate_ttl().ms() / 10 {
                let words = if left == Span::ZERO {
                    "has expired".to_owned()
                } else {
                    format!("expires in {}", Span::from_secs(left.secs_up()))
                };
                list.push(line(
                    format!("the certificate of node {name} {words}, and was not renewed"),
                    format!("journalctl -u orcad on {name}"),
                ));
            }
        }
    }
}

fn skew_words(ahead_ms: i64) -> String {
    let by = Span::from_secs(ahead_ms.unsigned_abs() / 1000);
    if by == Span::ZERO {
        return "has a wrong clock".to_owned();
    }
    format!("has a clock that is {by} {} this one", if ahead_ms > 0 { "ahead of" } else { "behind" })
}

fn attend_tasks(tasks: &[TaskView], list: &mut Vec<Attention>) {
    let failing = tasks.iter().filter(|t| {
        t.phase == Phase::Failed
            || matches!(t.reason, Some(Reason::NoFit | Reason::Backoff))
            || t.warning.is_some()
    });
    for task in failing.take(TASKS_NAMED) {
        let reason = task.reason.map_or_else(String::new, |r| format!(" ({r})"));
        let message = task.warning.as_ref().unwrap_or(&task.message);
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        list.push(line(
            format!("task {} is {}{reason}{message}", task.name, task.phase),
            format!("orcactl task explain {}", task.name),
        ));
    }
}
