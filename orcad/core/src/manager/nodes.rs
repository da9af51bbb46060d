//! Who is there: hello, polls, goodbye, measurements; and what an operator allows on a node.

use std::sync::Arc;

use orca_api::error::{Code, Problem};
use orca_api::id::{LifeId, NodeId};
use orca_api::link::{Generation, Goodbye, Hello, LINK_VERSION, Welcome};
use orca_api::load::NodeLoad;
use orca_api::node::{Condition, NodeState};
use orca_api::units::Time;

use super::defaults::{CLOCK_SKEW, COPY_AFTER, HEARTBEAT};
use super::io::{Answer, Token};
use super::record::{Capacity, NodeRecord};
use super::state::Manager;
use super::tasks::{ambiguous, by_prefix};
use super::turn::Turn;

/// How long an unknown node is shown after it last came, in milliseconds.
pub(super) const STRANGER_SHOWN_MS: u64 = 600_000;
/// The most unknown nodes that are remembered.
const STRANGERS_MAX: usize = 100;

/// A life of a node that says hello while another one is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Knock {
    pub life: LifeId,
    /// When it first came, on the boot clock.
    pub since: u64,
    /// When it last came.
    pub last: u64,
    /// It was told of.
    pub told: bool,
}

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
            self.notify(node);
        }
        self.watch_anew();
        self.manager_is_ready();
        let tasks: Vec<_> = self.m.durable.tasks.keys().copied().collect();
        for task in tasks {
            self.reconcile(task);
        }
        self.watch_drains();
        self.advance_drains();
        self.unsettled.extend(self.m.durable.jobs.keys().copied());
    }

    /// A manager without a worker says hello to nobody: it is ready when it runs.
    fn manager_is_ready(&mut self) {
        let alone = |n: &NodeRecord| n.is_manager() && !n.is_worker() && n.state != NodeState::Ready;
        let Some(record) = self.m.members().find(|n| alone(n)) else { return };
        let mut record = NodeRecord::clone(record);
        record.state = NodeState::Ready;
        record.since = self.now.wall;
        self.node_event("node.state", &record, "ready", String::new());
        self.put_node(record);
    }

    /// A worker introduces itself: its inventory is merged before it gets work.
    pub fn on_hello(&mut self, token: Token, node: NodeId, address: Option<String>, hello: Hello) {
        if let Err(problem) = self.admit_hello(node, hello.life) {
            self.reply(token, Err(problem));
            return;
        }
        let Some(record) = self.m.member(node) else { return };
        let Some(cluster) = self.m.cluster() else {
            self.reply(token, Err(Problem::new(Code::Internal, "there is no cluster yet")));
            return;
        };
        let mut record = NodeRecord::clone(record);
        self.m.live.nodes.entry(node).or_default().life = Some(hello.life);
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
        // Only now: a node that is ready is no reason for the brake any more.
        self.seen(node);
        self.take_clock(node, hello.clock);
        self.refresh_conditions(node);
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

    /// Whether a life of a node may be the one that is heard. The first one stays: a second one is a copy of the
    /// node's state on another machine, or the first one's end has not been noticed yet, which is a matter of seconds.
    fn admit_hello(&mut self, node: NodeId, life: LifeId) -> Result<(), Problem> {
        let now = self.now.boot_ms;
        if let Err(problem) = self.m.is_member(node) {
            if problem.code == Code::NoSuchNode {
                self.meet_stranger(node);
            }
            return Err(problem);
        }
        let Some(record) = self.m.member(node).cloned() else { return Ok(()) };
        let live = self.m.live.nodes.entry(node).or_default();
        if live.life.is_none_or(|l| l == life) || !live.is_heard(now) {
            live.knock = None;
            return Ok(());
        }
        let knock = live.knock.filter(|k| k.life == life).unwrap_or(Knock {
            life,
            since: now,
            last: now,
            told: false,
        });
        let tell = !knock.told && now.saturating_sub(knock.since) >= COPY_AFTER.ms();
        live.knock = Some(Knock { last: now, told: knock.told || tell, ..knock });
        if tell {
            let words =
                "another machine uses its identity: it is not let in while this one is heard".to_owned();
            self.node_event("node.copied", &record, record.state.as_str(), words);
            self.nodes.insert(node);
        }
        Err(Problem::new(Code::Changed, format!("another life of the node {} is heard", record.name))
            .because("the first one has not been silent for long enough, or this machine's state is a copy of another's")
            .hint("where it is a copy: orcactl worker leave --force on one of them, then join again with a token"))
    }

    /// A machine with a certificate of this cluster, of which nothing is known.
    fn meet_stranger(&mut self, node: NodeId) {
        let now = self.now.boot_ms;
        let strangers = &mut self.m.live.strangers;
        strangers.retain(|_, last| now.saturating_sub(*last) < STRANGER_SHOWN_MS);
        if strangers.len() >= STRANGERS_MAX && !strangers.contains_key(&node) {
            return;
        }
        if strangers.insert(node, now).is_none() {
            self.cluster_event(
                "node.unknown",
                format!("{node} has a certificate of this cluster, and is not known"),
            );
        }
    }

    /// A worker polls: it lives, and says what is wrong with its node.
    pub fn on_polled(&mut self, node: NodeId, life: LifeId, conditions: Vec<Condition>, clock: Option<Time>) {
        let Some(live) = self.m.live.nodes.get_mut(&node) else { return };
        if live.life != Some(life) {
            return;
        }
        live.told = conditions.into_iter().collect();
        self.seen(node);
        if let Some(clock) = clock {
            self.take_clock(node, clock);
        }
        self.refresh_conditions(node);
    }

    /// How far a node's clock is ahead. (What a message needs on its way makes it look behind by as much.)
    fn take_clock(&mut self, node: NodeId, clock: Time) {
        let ahead = clock.ms().saturating_sub(self.now.wall.ms());
        self.m.live.nodes.entry(node).or_default().clock_ahead_ms = ahead;
    }

    /// What is wrong with a node: what it tells, and what the manager found. Says what is new and what is over.
    fn refresh_conditions(&mut self, node: NodeId) {
        let wall = self.now.wall;
        let Some(record) = self.m.member(node).cloned() else { return };
        let Some(live) = self.m.live.nodes.get_mut(&node) else { return };
        let mut conditions = live.told.clone();
        if live.pressure.pressured {
            conditions.insert(Condition::Pressured);
        }
        let skewed = live.conditions.contains(&Condition::ClockSkew);
        let most = if skewed { CLOCK_SKEW.ms() / 2 } else { CLOCK_SKEW.ms() };
        if live.clock_ahead_ms.unsigned_abs() > most {
            conditions.insert(Condition::ClockSkew);
        }
        let away =
            conditions.iter().any(|c| matches!(c, Condition::EngineAway | Condition::EngineUnresponsive));
        live.engine_away_since = if away { live.engine_away_since.or(Some(wall)) } else { None };
        if live.conditions == conditions {
            return;
        }
        let before = std::mem::replace(&mut live.conditions, conditions.clone());
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
        let why = format!("its orcad said goodbye ({:.40})", goodbye.reason);
        self.on_farewell(node, why, goodbye.back_in);
    }

    /// Measurements were polled: kept in memory, and given to the scheduler.
    pub fn on_measured(&mut self, node: NodeId, load: Box<NodeLoad>) {
        if self.m.member(node).is_none() {
            return;
        }
        let scheduler = &self.m.scheduler;
        let besides = super::place::load(&load, |p| scheduler.held(p).map(|h| h.resources.weight()));
        self.m.scheduler.set_load(node, besides);
        let now = self.now.boot_ms;
        let live = self.m.live.nodes.entry(node).or_default();
        let changed = load.machine.pressure.as_ref().is_some_and(|p| live.pressure.add(now, p));
        live.load = Some(Arc::new(*load));
        if changed {
            self.refresh_conditions(node);
        }
    }
}
