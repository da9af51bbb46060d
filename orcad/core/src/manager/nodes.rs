//! Who is there: hello, polls, goodbye, measurements; and what an operator allows on a node.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::control::SetAvailability;
use orca_api::error::{Code, Problem};
use orca_api::id::{LifeId, NodeId};
use orca_api::link::{Generation, Goodbye, Hello, LINK_VERSION, Welcome};
use orca_api::load::NodeLoad;
use orca_api::node::{Availability, Condition, NodeState};

use super::defaults::HEARTBEAT;
use super::io::{Answer, Token};
use super::record::{Capacity, NodeRecord};
use super::state::Manager;
use super::tasks::{ambiguous, by_prefix};
use super::turn::Turn;

impl Manager {
    /// Whether a life of a node's worker said hello and was not given up since: its polls and reports count.
    pub fn hears(&self, node: NodeId, life: LifeId) -> bool {
        self.live.nodes.get(&node).is_some_and(|n| n.life == Some(life))
    }

    /// The number of a node's set.
    pub fn generation(&self, node: NodeId) -> Option<Generation> {
        self.durable.nodes.get(&node).map(|n| n.generation)
    }

    /// The node of that name, or of the one id that begins so.
    pub fn find_node(&self, text: &str) -> Result<NodeId, Problem> {
        if let Some(node) = self.members().find(|n| n.name.as_str() == text) {
            return Ok(node.id);
        }
        let found = by_prefix(text, self.members().map(|n| (n.id, n.id.to_string())));
        match found[..] {
            [id] => Ok(id),
            [] => {
                let shown: String = text.chars().take(80).collect();
                let problem = Problem::new(Code::NoSuchNode, format!("there is no node `{shown}`"));
                let names = self.members().map(|n| n.name.as_str());
                Err(match orca_api::text::nearest(text, names) {
                    Some(name) => problem.hint(format!("did you mean `{name}`?")),
                    None => problem.hint("orcactl node list shows the nodes"),
                })
            }
            _ => Err(ambiguous(
                "node",
                text,
                found.iter().filter_map(|id| Some(self.durable.nodes.get(id)?.name.to_string())),
            )),
        }
    }
}

impl Turn<'_> {
    /// The state was loaded. Nobody counts as gone before a full grace has passed since now.
    pub fn on_started(&mut self) {
        let nodes: Vec<NodeId> = self.m.members().map(|n| n.id).collect();
        for node in nodes {
            self.seen(node);
            self.notify(node);
        }
        let tasks: Vec<_> = self.m.durable.tasks.keys().copied().collect();
        for task in tasks {
            self.reconcile(task);
        }
    }

    /// A sign of life.
    pub fn seen(&mut self, node: NodeId) {
        self.m.live.nodes.entry(node).or_default().seen = self.now.boot_ms;
    }

    /// A worker introduces itself: its inventory is merged before it gets work.
    pub fn on_hello(&mut self, token: Token, node: NodeId, address: Option<String>, hello: Hello) {
        if let Err(problem) = self.m.is_member(node) {
            self.reply(token, Err(problem));
            return;
        }
        let Some(record) = self.m.member(node) else { return };
        let Some(cluster) = self.m.cluster() else {
            self.reply(token, Err(Problem::new(Code::Internal, "there is no cluster yet")));
            return;
        };
        let mut record = NodeRecord::clone(record);
        let live = self.m.live.nodes.entry(node).or_default();
        live.life = Some(hello.life);
        live.seen = self.now.boot_ms;
        let old = record.clone();
        if record.state != NodeState::Ready {
            record.since = self.now.wall;
            record.state = NodeState::Ready;
            self.node_event("node.state", &record, "ready", String::new());
        }
        record.facts = hello.facts;
        record.address = address.or(record.address);
        if record.is_manager() {
            // Of the node that is its own manager the configuration counts; of others what counted at their join.
            record.labels.clone_from(&record.facts.labels);
            record.data_center.clone_from(&record.facts.data_center);
        } else if record.approved.is_none() {
            record.labels.clone_from(&record.facts.labels);
            record.labels_told.clone_from(&record.facts.labels);
            record.data_center.clone_from(&record.facts.data_center);
            record.approved = Some(Capacity::of(&record.facts));
        }
        if record != old {
            self.put_node(record.clone());
            self.touch_tasks_of(node);
            self.room = true;
        }
        self.forget_sequences(node, &hello.inventory);
        self.take_statuses(node, hello.inventory, true);
        self.notify(node);
        let welcome = Welcome {
            version: LINK_VERSION.min(hello.version),
            cluster,
            node,
            name: record.name,
            period: HEARTBEAT,
            clock: self.now.wall,
        };
        self.reply(token, Ok(Answer::Welcome(welcome)));
    }

    /// A worker polls: it lives, and says what is wrong with its node.
    pub fn on_polled(&mut self, node: NodeId, life: LifeId, conditions: Vec<Condition>) {
        let wall = self.now.wall;
        let Some(live) = self.m.live.nodes.get_mut(&node) else { return };
        if live.life != Some(life) {
            return;
        }
        live.seen = self.now.boot_ms;
        let conditions: BTreeSet<Condition> = conditions.into_iter().collect();
        let changed = live.conditions != conditions;
        let before = std::mem::replace(&mut live.conditions, conditions.clone());
        let away =
            conditions.iter().any(|c| matches!(c, Condition::EngineAway | Condition::EngineUnresponsive));
        live.engine_away_since = if away { live.engine_away_since.or(Some(wall)) } else { None };
        let Some(record) = self.m.durable.nodes.get(&node).map(Arc::clone) else { return };
        if record.state == NodeState::Disconnected {
            let mut record = NodeRecord::clone(&record);
            record.state = NodeState::Ready;
            record.since = wall;
            self.node_event("node.state", &record, "ready", "its orcad answers again".to_owned());
            self.put_node(record);
            self.touch_tasks_of(node);
            self.room = true;
        }
        if changed {
            for condition in conditions.difference(&before) {
                self.node_event("node.condition", &record, condition.as_str(), condition.hint().to_owned());
            }
            for condition in before.difference(&conditions) {
                self.node_event("node.condition", &record, "ok", format!("{condition} is over"));
            }
            self.m.index_node(node);
            self.nodes.insert(node);
            self.touch_tasks_of(node);
            self.room = true;
        }
    }

    /// Views of a node's tasks change with it, though nothing stored of them does.
    pub fn touch_tasks_of(&mut self, node: NodeId) {
        let placements = self.m.durable.by_node.get(&node).into_iter().flatten();
        let tasks = placements.filter_map(|p| self.m.durable.placements.get(p)).map(|p| p.task);
        self.tasks.extend(tasks);
    }

    /// A worker stops: it is not heard any more until its next life says hello. Its tasks run on.
    pub fn on_goodbye(&mut self, node: NodeId, goodbye: &Goodbye) {
        let Some(live) = self.m.live.nodes.get_mut(&node) else { return };
        if live.life != Some(goodbye.life) {
            return;
        }
        live.life = None;
        self.disconnect(node, &format!("its orcad said goodbye ({})", goodbye.reason));
    }

    /// The node's orcad does not answer: its tasks are kept.
    pub fn disconnect(&mut self, node: NodeId, why: &str) {
        let Some(record) = self.m.durable.nodes.get(&node) else { return };
        if record.state != NodeState::Ready {
            return;
        }
        let mut record = NodeRecord::clone(record);
        record.state = NodeState::Disconnected;
        record.since = self.now.wall;
        self.node_event("node.state", &record, "disconnected", why.to_owned());
        self.put_node(record);
        self.touch_tasks_of(node);
    }

    /// Measurements were polled: kept in memory, and given to the scheduler.
    pub fn on_measured(&mut self, node: NodeId, load: Box<NodeLoad>) {
        if !self.m.durable.nodes.contains_key(&node) {
            return;
        }
        self.m.scheduler.set_load(node, super::place::load(&load));
        self.m.live.nodes.entry(node).or_default().load = Some(Arc::new(*load));
    }

    pub(super) fn set_availability(
        &mut self,
        text: &str,
        set: &SetAvailability,
        if_match: Option<u64>,
    ) -> Result<Answer, Problem> {
        let id = self.m.find_node(text)?;
        let Some(record) = self.m.durable.nodes.get(&id) else {
            return Err(Problem::new(Code::NoSuchNode, "the node is gone"));
        };
        if let Some(wanted) = if_match
            && wanted != record.revision
        {
            return Err(Problem::new(
                Code::Changed,
                format!("the node is at revision {}, not {wanted}", record.revision),
            ));
        }
        if set.availability == Availability::Draining {
            return Err(Problem::new(
                Code::BadSpec,
                "a node cannot be drained yet: there is no other node to move its tasks to",
            )
            .hint(format!("orcactl node pause {} keeps new work off it", record.name)));
        }
        if record.availability != set.availability {
            let mut record = NodeRecord::clone(record);
            record.availability = set.availability;
            self.node_event("node.availability", &record, set.availability.as_str(), String::new());
            self.put_node(record);
            self.room = true;
        }
        let view =
            self.m.node_view(id, self.now).ok_or_else(|| Problem::new(Code::Internal, "the node is gone"))?;
        Ok(Answer::Node(Box::new(view)))
    }
}
