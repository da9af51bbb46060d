//! Members of the cluster: labels that count, removal, leaving.

use std::collections::BTreeSet;

use orca_api::cluster::{NodeGone, SetLabels};
use orca_api::error::{Code, Problem};
use orca_api::id::{NodeId, TaskId};
use orca_api::name::Name;
use orca_api::node::{Availability, NodeState, check_labels};
use orca_api::task::Reason;
use orca_api::units::Span;

use super::defaults::CERTIFICATE_TTL_MAX;
use super::io::{Answer, Change, Effect, Token};
use super::record::{Capacity, Drain, NodeRecord, TaskRecord};
use super::settings::counted;
use super::state::Manager;
use super::turn::Turn;

impl Manager {
    /// Whether a node belongs to the cluster.
    ///
    /// # Errors
    /// [`Code::Removed`] for one that was removed or has left: it is to stop what it runs for this cluster.
    /// [`Code::NoSuchNode`] for one that is not known at all, though it has a certificate: it joined after the backup
    /// was made that this manager was restored from. It keeps what it runs.
    pub fn is_member(&self, node: NodeId) -> Result<(), Problem> {
        match self.durable.nodes.get(&node).map(|n| n.state) {
            Some(NodeState::Left) => Err(Problem::new(Code::Removed, "this node was removed from the cluster")
                .hint("orcactl worker start --join TOKEN joins again, with a token of: orcactl node token")),
            Some(_) => Ok(()),
            None => Err(Problem::new(Code::NoSuchNode, "this manager does not know this node")
                .because("it joined after the backup was made that the manager was restored from, if its certificate is good")
                .hint("orcactl worker leave --force on this node, then join again")),
        }
    }

    /// The record of a node that an operator named.
    fn named(&self, text: &str) -> Result<NodeRecord, Problem> {
        let id = self.find_node(text)?;
        let record = self.member(id).ok_or_else(|| Problem::new(Code::NoSuchNode, "the node is gone"))?;
        Ok(NodeRecord::clone(record))
    }

    /// Placements on a node that have not ended.
    pub(super) fn live_on(&self, node: NodeId) -> usize {
        let placements = self.durable.by_node.get(&node).into_iter().flatten();
        placements.filter(|p| self.durable.placements.get(p).is_some_and(|p| !p.is_ended())).count()
    }
}

impl NodeRecord {
    /// Where what a node tells of itself differs from what counts.
    pub(super) fn differs(&self) -> Vec<String> {
        if self.is_manager() || self.approved.is_none() {
            return Vec::new();
        }
        let mut differs = Vec::new();
        let told = &self.facts.labels;
        let keys: BTreeSet<&String> = told.keys().chain(self.labels_told.keys()).collect();
        for key in keys {
            let (now, before, counts) = (told.get(key), self.labels_told.get(key), self.labels.get(key));
            if now != before && now != counts {
                differs.push(match (now, counts) {
                    (Some(now), Some(counts)) => format!("label {key}: {now}, not {counts}"),
                    (Some(now), None) => format!("label {key}: {now}, not set"),
                    (None, counts) => format!("label {key}: gone, not {}", counts.map_or("", String::as_str)),
                });
            }
        }
        if self.facts.data_center != self.data_center {
            differs.push(format!(
                "data centre: {}, not {}",
                named_or(&self.facts.data_center),
                named_or(&self.data_center)
            ));
        }
        if let Some(most) = self.approved {
            let told = Capacity::of(&self.facts);
            if told.cpu > most.cpu {
                differs.push(format!("CPUs: {}, not {}", told.cpu, most.cpu));
            }
            if told.memory > most.memory {
                differs.push(format!("memory: {}, not {}", told.memory, most.memory));
            }
            if told.disk > most.disk {
                differs.push(format!("disk: {}, not {}", told.disk, most.disk));
            }
        }
        differs
    }
}

fn named_or(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

impl Turn<'_> {
    fn node_answer(&self, id: NodeId) -> Result<Answer, Problem> {
        let view = self.m.node_view(id, self.now);
        let view = view.ok_or_else(|| Problem::new(Code::Internal, "the node is gone"))?;
        Ok(Answer::Node(Box::new(view)))
    }

    pub(super) fn set_labels(
        &mut self,
        text: &str,
        set: &SetLabels,
        if_match: Option<u64>,
    ) -> Result<Answer, Problem> {
        let old = self.m.named(text)?;
        check_match(&old, if_match)?;
        if old.is_manager() {
            return Err(Problem::new(Code::NotAllowed, format!("{} is the manager's own node", old.name))
                .because("its labels are those of its configuration")
                .hint("change labels in /etc/orcad.toml there, then systemctl reload orcad"));
        }
        if let Some(key) = set.remove.iter().find(|key| set.set.contains_key(*key)) {
            return Err(Problem::new(Code::BadSpec, format!("remove: `{key:.80}` is set as well")));
        }
        let mut record = old.clone();
        if set.accept {
            let told = record.facts.labels.clone();
            if let Err(why) = check_labels(&told) {
                return Err(Problem::new(Code::BadSpec, format!("labels that {} tells: {why}", record.name)));
            }
            record.labels.retain(|key, _| told.contains_key(key) || !old.labels_told.contains_key(key));
            record.labels.extend(told.clone());
            record.labels_told = told;
            record.data_center.clone_from(&record.facts.data_center);
            record.approved = Some(Capacity::of(&record.facts));
        }
        record.labels.retain(|key, _| !set.remove.contains(key));
        record.labels.extend(set.set.clone());
        check_labels(&record.labels).map_err(|why| Problem::new(Code::BadSpec, format!("labels: {why}")))?;
        if record != old {
            let labels: Vec<String> = record.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let words = if labels.is_empty() { "none".to_owned() } else { labels.join(" ") };
            self.node_event("node.labels", &record, if set.accept { "accepted" } else { "set" }, words);
            self.put_node(record);
            self.room = true;
        }
        self.node_answer(old.id)
    }

    pub(super) fn remove_node(&mut self, text: &str, force: bool) -> Result<Answer, Problem> {
        let record = self.m.named(text)?;
        let name = record.name.clone();
        if record.is_manager() {
            return Err(Problem::new(Code::NotAllowed, format!("{name} is the manager of this cluster"))
                .hint(format!("orcactl node pause {name} keeps new work off it")));
        }
        let tasks = self.m.live_on(record.id);
        if tasks > 0 && record.state != NodeState::Down && !force {
            let problem = Problem::new(
                Code::WouldStrand,
                format!("{} on {name}, which is {}", counted(tasks, "task"), record.state),
            );
            return Err(if record.state == NodeState::Ready {
                problem
                    .hint(format!("orcactl node drain {name} moves them off, one at a time; then remove it"))
            } else {
                problem.hint(format!(
                    "orcactl node confirm-down {name} if the machine is dead: they are placed elsewhere"
                ))
            }
            .hint("--force places them elsewhere at once"));
        }
        let moved = self.dismiss(record.id, Reason::NodeRemoved, "");
        Ok(Answer::NodeGone(NodeGone { id: record.id, name, moved }))
    }

    /// A node does not belong to the cluster any more: what it had is placed elsewhere, and it is told so wherever it
    /// asks. Gives the names of the tasks that had to move.
    pub(super) fn dismiss(&mut self, node: NodeId, reason: Reason, why: &str) -> Vec<Name> {
        let Some(record) = self.m.member(node) else { return Vec::new() };
        let mut record = NodeRecord::clone(record);
        record.state = NodeState::Left;
        record.since = self.now.wall;
        record.drain = None;
        record.leaving = false;
        self.node_event("node.state", &record, NodeState::Left.as_str(), why.to_owned());
        self.put_node(record);
        let moved = self.give_up(node, reason);
        self.forget_outputs(node);
        self.m.live.nodes.remove(&node);
        self.effect(Effect::CutNode { node });
        self.end_rotation();
        moved
    }

    /// Logs of former placements on a node that is gone cannot be read any more.
    fn forget_outputs(&mut self, node: NodeId) {
        let here = self.m.durable.by_node.get(&node).into_iter().flatten();
        let owners: Vec<TaskId> =
            here.filter_map(|p| self.m.durable.placements.get(p)).map(|p| p.task).collect();
        for owner in owners {
            let Some(task) = self.m.durable.tasks.get(&owner).cloned() else { continue };
            let Some(retired) = task.retired else { continue };
            if self.m.durable.placements.get(&retired).is_some_and(|p| p.node == node) {
                self.drop_placement(retired);
                self.put_task(TaskRecord { retired: None, ..TaskRecord::clone(&task) });
            }
        }
    }

    /// The node itself wants to leave: it is drained, and once nothing is left on it, it has left. It asks again until
    /// then.
    pub(super) fn on_leave_asked(&mut self, token: Token, node: NodeId) {
        let answer = self.leave(node);
        self.reply(token, answer);
    }

    fn leave(&mut self, node: NodeId) -> Result<Answer, Problem> {
        self.m.is_member(node)?;
        let Some(record) = self.m.member(node).cloned() else {
            return Err(Problem::new(Code::NoSuchNode, "the node is gone"));
        };
        if record.is_manager() {
            return Err(Problem::new(Code::NotAllowed, "the manager cannot leave its own cluster"));
        }
        if !record.leaving {
            let mut record = NodeRecord::clone(&record);
            record.leaving = true;
            record.availability = Availability::Draining;
            record.drain =
                Some(record.drain.unwrap_or(Drain { since: self.now.wall, deadline: None, drained: false }));
            self.node_event("node.leaving", &record, "draining", "it asked to leave the cluster".to_owned());
            self.put_node(record);
        }
        let tasks = self.m.live_on(node);
        if tasks == 0 {
            let mut record = NodeRecord::clone(&record);
            record.state = NodeState::Left;
            record.since = self.now.wall;
            record.drain = None;
            record.leaving = false;
            self.node_event(
                "node.state",
                &record,
                NodeState::Left.as_str(),
                "it left the cluster".to_owned(),
            );
            self.put_node(record);
            self.forget_outputs(node);
            self.m.live.nodes.remove(&node);
            self.end_rotation();
        }
        Ok(Answer::Leaving { tasks: u32::try_from(tasks).unwrap_or(u32::MAX) })
    }

    /// Forgets nodes that left, once no certificate of theirs can be good any more and nothing refers to them.
    pub(super) fn forget_left(&mut self) {
        let wall = self.now.wall;
        let over = |n: &NodeRecord| match &n.certificate {
            Some(certificate) => wall > certificate.expires_at.plus(Span::from_secs(24 * 3600)),
            None => wall.since(n.since) > CERTIFICATE_TTL_MAX,
        };
        let gone = self.m.durable.nodes.values().filter(|n| n.state == NodeState::Left && over(n));
        let gone: Vec<NodeId> =
            gone.filter(|n| !self.m.durable.by_node.contains_key(&n.id)).map(|n| n.id).collect();
        for node in gone {
            self.nodes.insert(node);
            self.put(Change::NodeGone { node });
        }
    }

    /// Names of tasks, for an answer.
    pub(super) fn names_of(&self, tasks: &BTreeSet<TaskId>) -> Vec<Name> {
        tasks.iter().filter_map(|id| self.m.durable.tasks.get(id)).map(|t| t.name.clone()).collect()
    }
}

/// Refuses a change of a node that has changed since it was read.
pub(super) fn check_match(record: &NodeRecord, if_match: Option<u64>) -> Result<(), Problem> {
    match if_match {
        Some(wanted) if wanted != record.revision => Err(Problem::new(
            Code::Changed,
            format!("the node {} is at revision {}, not {wanted}", record.name, record.revision),
        )
        .hint("read it again and repeat")),
        _ => Ok(()),
    }
}
