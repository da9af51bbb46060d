//! Moves: drains, failures that say elsewhere, singletons, late reports; on three nodes whose workers do what they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orca_api::control::SetAvailability;
use orca_api::link::Generation;
use orca_api::node::Availability;

use super::super::record::{NodeRecord, TaskRecord};
use super::*;

/// What a fake worker makes of a placement that is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Luck {
    Runs,
    Rejects,
}

/// A manager and three nodes of 4 CPUs and 4 GiB: n1 is the manager's own.
struct Fleet {
    b: Bench,
    nodes: Vec<NodeId>,
    lives: Vec<LifeId>,
    luck: BTreeMap<NodeId, Luck>,
    /// Nodes that say nothing.
    silent: BTreeSet<NodeId>,
    sequence: u64,
}

impl Fleet {
    fn new() -> Self {
        let mut b = Bench::new();
        let mut nodes = vec![b.node];
        let mut lives = vec![b.life];
        let own = NodeRecord::clone(&b.m.durable.nodes[&b.node]);
        for n in 2..=3 {
            let id = NodeId::fresh(&mut b.ids);
            let record = NodeRecord {
                id,
                name: format!("n{n}").parse().unwrap(),
                roles: vec![Role::Worker],
                generation: Generation { epoch: 1, n: 0 },
                ..own.clone()
            };
            b.m.apply(&Change::NodePut { record: Arc::new(record) });
            nodes.push(id);
            lives.push(LifeId::fresh(&mut b.ids));
        }
        let mut fleet = Self { b, nodes, lives, luck: BTreeMap::new(), silent: BTreeSet::new(), sequence: 0 };
        for n in 0..3 {
            fleet.hello(n, Vec::new());
        }
        fleet
    }

    fn hello(&mut self, n: usize, inventory: Vec<PlacementStatus>) {
        (self.b.node, self.b.life) = (self.nodes[n], self.lives[n]);
        self.b.hello(inventory);
        (self.b.node, self.b.life) = (self.nodes[0], self.lives[0]);
    }

    fn availability(&mut self, node: &str, availability: Availability, deadline: Option<Span>) {
        let set = SetAvailability { availability, deadline };
        let request = Request::SetAvailability { node: node.to_owned(), set };
        let Ok(Answer::Node(_)) = self.b.ask_keyed(request, None) else { panic!("refused") };
    }

    fn drain(&mut self, node: &str) {
        self.availability(node, Availability::Draining, None);
    }

    fn report(&mut self, node: NodeId, status: PlacementStatus) -> Step {
        let life = self.lives[self.nodes.iter().position(|n| *n == node).unwrap()];
        self.b.step(Event::Reported { token: Token(1), node, life, placements: vec![status] })
    }

    /// One placement that is not yet what is wanted of it becomes it; whether there was one.
    fn obey_one(&mut self) -> bool {
        let live: Vec<_> = self.b.m.durable.placements.values().filter(|p| !p.is_ended()).cloned().collect();
        for p in live {
            if self.silent.contains(&p.node) {
                continue;
            }
            let luck = self.luck.get(&p.node).copied().unwrap_or(Luck::Runs);
            let (state, finished) = match p.wanted {
                PlacementWanted::Stopped => (State::Stopped, true),
                _ if luck == Luck::Rejects => (State::Rejected, false),
                PlacementWanted::Ready => (State::Ready, false),
                PlacementWanted::Running => (State::Running, false),
            };
            let ended = p.state().is_terminal();
            if p.state() == state || (ended && !finished) {
                continue;
            }
            self.tell(&p, state, finished);
            return true;
        }
        false
    }

    fn tell(&mut self, p: &super::super::record::PlacementRecord, state: State, finished: bool) {
        self.sequence += 1;
        let number = match p.status.attempts.last() {
            Some(last) if last.state.is_terminal() && !finished => last.number + 1,
            Some(last) => last.number,
            None => p.attempts_before + 1,
        };
        let mut attempts = p.status.attempts.clone();
        attempts.retain(|a| a.number != number);
        let ended = p.status.attempts.last().is_some_and(|a| a.state.is_terminal());
        if ended && finished {
            attempts.clone_from(&p.status.attempts);
        } else {
            let mut next = attempt(number, state);
            (next.created_at, next.finished_at) = (self.b.now.wall, Some(self.b.now.wall));
            next.reason = match state {
                State::Rejected => Some(Reason::PortTaken),
                State::Failed => Some(Reason::Exited),
                _ => None,
            };
            attempts.push(next);
        }
        let status = PlacementStatus { sequence: self.sequence, attempts, finished, ..status(p.id, p.task) };
        self.report(p.node, status);
    }

    fn obey(&mut self) {
        for _ in 0..200 {
            if !self.obey_one() {
                return;
            }
        }
        panic!("it never settles");
    }

    fn start(&mut self, name: &str, json: &str) {
        self.b.start(name, json, false).unwrap();
        self.obey();
    }

    fn task(&self, name: &str) -> Arc<TaskRecord> {
        Arc::clone(&self.b.m.durable.tasks[&self.b.m.find_task(name).unwrap()])
    }

    fn node_of(&self, name: &str) -> String {
        self.b.view(name).unwrap().node.map_or_else(|| "-".to_owned(), |n| n.to_string())
    }

    /// Placements of a task whose process runs.
    fn running(&self, name: &str) -> usize {
        let task = self.task(name).id;
        let all = self.b.m.durable.placements.values();
        all.filter(|p| p.task == task && p.lost.is_none() && p.state() == State::Running).count()
    }

    fn on(&self, node: usize) -> usize {
        self.b.m.live_on(self.nodes[node])
    }

    fn reload(&mut self) {
        self.b.m = Manager::load(self.b.m.durable_rows());
        self.b.step(Event::Started);
        for n in 0..3 {
            self.hello(n, Vec::new());
        }
    }
}

const ON_N2: &str = r#"{"image":"nginx","preferences":["node.name == n2: 100"]}"#;

#[test]
fn a_drain_moves_one_at_a_time_and_the_new_one_runs_before_the_old_one_stops() {
    let mut f = Fleet::new();
    for name in ["a", "b", "c"] {
        f.start(name, ON_N2);
        assert_eq!(f.node_of(name), "n2");
    }
    f.drain("n2");
    let mut steps = 0;
    while f.obey_one() {
        steps += 1;
        let moving = ["a", "b", "c"].iter().filter(|t| f.task(t).next.is_some()).count();
        assert!(moving <= 1, "one at a time");
        for name in ["a", "b", "c"] {
            assert!(f.running(name) >= 1, "{name}: never fewer than wanted");
        }
    }
    assert!(steps >= 6, "{steps}");
    assert_eq!(f.on(1), 0);
    let node = &f.b.m.durable.nodes[&f.nodes[1]];
    assert_eq!(node.availability, Availability::Draining, "until it is activated");
    assert!(node.drain.as_ref().unwrap().drained);
    let moved = f.task("a").moved.clone().unwrap();
    assert_eq!((moved.from, moved.why.as_str()), (f.nodes[1], "n2 is drained"));
    let view = f.b.view("a").unwrap();
    assert_eq!((view.restarts, view.attempts), (0, 2), "a move is no restart");
    let told = f.b.m.explain_task("a", f.b.now).unwrap().story.join("\n");
    assert!(told.contains("moved from n2 to n") && told.contains("n2 is drained"), "{told}");
}

#[test]
fn what_writes_to_a_volume_is_made_ready_elsewhere_before_it_stops() {
    let mut f = Fleet::new();
    f.start("db", r#"{"image":"db","mounts":["data:/data"],"preferences":["node.name == n2: 100"]}"#);
    let plan = f.b.m.drain_plan("n2", f.b.now).unwrap();
    assert_eq!((plan.since, plan.tasks.len()), (None, 1));
    assert_eq!(plan.tasks[0].order, "stop-first");
    assert!(plan.tasks[0].step.contains("volume data stays behind"), "{}", plan.tasks[0].step);
    assert_eq!(f.node_of("db"), "n2", "a plan moves nothing");
    f.drain("n2");
    let old = f.task("db").placement.unwrap();
    let next = f.task("db").next.clone().unwrap().placement;
    assert_eq!(f.b.m.durable.placements[&next].wanted, PlacementWanted::Ready);
    assert_eq!(f.b.m.durable.placements[&old].wanted, PlacementWanted::Running, "not before all is ready");
    while f.obey_one() {
        assert!(f.running("db") <= 1, "one writer");
    }
    assert_eq!((f.task("db").placement, f.on(1), f.running("db")), (Some(next), 0, 1));
}

#[test]
fn what_fits_nowhere_blocks_is_told_and_leaves_when_there_is_room() {
    let mut f = Fleet::new();
    f.start("big", r#"{"image":"x","memory":"3g","preferences":["node.name == n2: 100"]}"#);
    for name in ["f1", "f2"] {
        f.start(name, r#"{"image":"x","memory":"3g"}"#);
    }
    f.drain("n2");
    f.obey();
    assert_eq!(f.node_of("big"), "n2");
    let view = f.b.m.drain_plan("n2", f.b.now).unwrap();
    assert!(view.since.is_some());
    assert!(view.tasks[0].blocked.as_ref().unwrap().contains("memory"), "{view:?}");
    let status = f.b.m.status(f.nodes[0], "v", f.b.now.wall, f.b.now).unwrap();
    assert!(status.attention.iter().any(|a| a.text.contains("drain of node n2 waits")), "{status:?}");
    f.b.ask(Request::Stop { task: "f1".into(), how: StopTask::default() }).unwrap();
    f.obey();
    assert_eq!((f.on(1), f.running("big")), (0, 1));
}

#[test]
fn at_the_deadline_what_is_left_is_stopped() {
    let mut f = Fleet::new();
    f.start("pinned", r#"{"image":"x","constraints":["node.name == n2"]}"#);
    f.availability("n2", Availability::Draining, Some(Span::from_secs(60)));
    f.obey();
    assert_eq!(f.running("pinned"), 1);
    assert!(f.b.m.next_deadline().unwrap() <= f.b.now.boot_ms + 60_000);
    for _ in 0..3 {
        f.b.later(Span::from_secs(20));
        for n in 0..3 {
            f.hello(n, Vec::new());
        }
        f.b.step(Event::Tick);
    }
    f.obey();
    assert_eq!((f.on(1), f.running("pinned")), (0, 0));
    assert_eq!(f.b.view("pinned").unwrap().reason, Some(Reason::NoFit));
    f.availability("n2", Availability::Active, None);
    f.obey();
    assert_eq!((f.node_of("pinned"), f.running("pinned")), ("n2".to_owned(), 1));
}

#[test]
fn a_drain_that_is_undone_leaves_what_has_not_left() {
    let mut f = Fleet::new();
    f.start("a", ON_N2);
    let old = f.task("a").placement;
    f.drain("n2");
    assert!(f.task("a").next.is_some());
    f.availability("n2", Availability::Active, None);
    f.obey();
    assert_eq!((f.task("a").placement, f.task("a").next.clone(), f.running("a")), (old, None, 1));
}

#[test]
fn paused_keeps_what_runs_and_takes_nothing_new() {
    let mut f = Fleet::new();
    f.start("a", ON_N2);
    f.availability("n2", Availability::Paused, None);
    f.start("b", ON_N2);
    assert_eq!(f.node_of("a"), "n2");
    assert_ne!(f.node_of("b"), "n2");
}

#[test]
fn a_new_placement_that_does_not_come_up_leaves_the_old_one_alone() {
    let mut f = Fleet::new();
    f.start("a", ON_N2);
    let old = f.task("a").placement;
    for n in [0, 2] {
        f.luck.insert(f.nodes[n], Luck::Rejects);
    }
    f.drain("n2");
    while f.obey_one() {
        assert_eq!(f.running("a"), 1);
    }
    assert_eq!(f.task("a").placement, old);
    assert_eq!(f.task("a").avoid.len(), 2, "each node was tried once");
    assert!(f.b.m.drain_plan("n2", f.b.now).unwrap().tasks[0].blocked.is_some());
}

#[test]
fn a_reason_of_the_node_and_five_failures_place_a_task_elsewhere() {
    let mut f = Fleet::new();
    f.luck.insert(f.nodes[1], Luck::Rejects);
    f.start("a", ON_N2);
    assert_ne!(f.node_of("a"), "n2");
    assert_eq!(f.running("a"), 1);
    assert_eq!(f.task("a").avoid[0].node, f.nodes[1]);
    let told = f.b.m.explain_task("a", f.b.now).unwrap().story.join("\n");
    assert!(told.contains("n2 comes last") && told.contains("port_taken"), "{told}");

    f.luck.clear();
    f.start("b", ON_N2);
    for n in 1..=5 {
        assert_eq!(f.node_of("b"), "n2", "failure {n}");
        let p = f.b.m.durable.placements[&f.b.placement("b")].clone();
        f.tell(&p, State::Failed, false);
        f.b.later(Span::from_secs(1));
        if n < 5 {
            let p = f.b.m.durable.placements[&f.b.placement("b")].clone();
            f.tell(&p, State::Running, false);
        }
    }
    f.obey();
    assert_ne!(f.node_of("b"), "n2");
    // Asked for anew, nothing is held against the node.
    f.b.ask(Request::Restart { task: "b".into() }).unwrap();
    assert!(f.task("b").avoid.is_empty());
}

#[test]
fn where_no_other_node_fits_the_worker_goes_on() {
    let mut f = Fleet::new();
    f.luck.insert(f.nodes[1], Luck::Rejects);
    f.start("a", r#"{"image":"x","constraints":["node.name == n2"]}"#);
    assert_eq!(f.task("a").next, None);
    assert_eq!(f.b.view("a").unwrap().reason, Some(Reason::Backoff));
}

#[test]
fn a_late_outcome_of_what_was_given_up_is_recorded_and_told_to_stop() {
    let mut f = Fleet::new();
    f.start("a", ON_N2);
    let old = f.b.m.durable.placements[&f.b.placement("a")].clone();
    for _ in 0..20 {
        f.b.later(Span::from_secs(2));
        f.hello(0, Vec::new());
        f.hello(2, Vec::new());
        f.b.step(Event::Tick);
    }
    f.b.ask_keyed(Request::ConfirmDown { node: "n2".into() }, None).unwrap();
    assert_ne!(f.node_of("a"), "n2");
    assert_eq!(f.b.m.durable.placements[&old.id].state(), State::Lost);
    // It was not dead after all: it tells how it ended.
    let mut gone = attempt(1, State::Completed);
    gone.reason = Some(Reason::Exited);
    let told =
        PlacementStatus { sequence: 99, attempts: vec![gone], finished: true, ..status(old.id, old.task) };
    f.hello(1, vec![told]);
    assert_eq!(f.b.m.durable.placements[&old.id].state(), State::Lost, "never a resurrection");
    f.obey();
    assert_eq!(f.running("a"), 1);
}

#[test]
fn nobody_reports_for_another_node() {
    let mut f = Fleet::new();
    f.start("a", ON_N2);
    let p = f.b.m.durable.placements[&f.b.placement("a")].clone();
    let lie = PlacementStatus {
        sequence: 99,
        attempts: vec![attempt(1, State::Completed)],
        finished: true,
        ..status(p.id, p.task)
    };
    let step = f.report(f.nodes[2], lie.clone());
    let audited = |step: &Step| step.changes.iter().any(|c| matches!(c, Change::Audited { .. }));
    assert!(audited(&step));
    assert!(step.effects.iter().any(|e| matches!(
        e,
        Effect::Reply { answer: Ok(Answer::Report(r)), .. } if r.unknown == [p.id]
    )));
    assert_eq!(f.b.m.durable.placements[&p.id].state(), State::Running);
    // Nor for another task, nor of what nobody knows.
    let other = PlacementStatus { task: orca_api::id::TaskId::fresh(&mut f.b.ids), ..lie.clone() };
    assert!(audited(&f.report(f.nodes[1], other)));
    let unknown = PlacementStatus { placement: PlacementId::fresh(&mut f.b.ids), ..lie };
    let step = f.report(f.nodes[1], unknown);
    assert!(!audited(&step), "what is forgotten is ordinary");
    assert_eq!(f.running("a"), 1);
}

#[test]
fn data_centres_and_preferences_count() {
    let mut f = Fleet::new();
    let mut node = NodeRecord::clone(&f.b.m.durable.nodes[&f.nodes[2]]);
    node.data_center = "fra1".to_owned();
    f.b.m.apply(&Change::NodePut { record: Arc::new(node) });
    f.start("a", r#"{"image":"x","data_centers":["fra1"]}"#);
    assert_eq!(f.node_of("a"), "n3");
    f.b.start("b", r#"{"image":"x","data_centers":["ams1"]}"#, false).unwrap();
    assert_eq!(f.b.view("b").unwrap().reason, Some(Reason::NoFit));
    f.start("c", r#"{"image":"x","preferences":["node.name == n3: -100", "node.name == n1: -100"]}"#);
    assert_eq!(f.node_of("c"), "n2");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever is asked, in whatever order reports come, and wherever the manager dies: never more than two live placements,
    /// one of a singleton or of what writes; never none of what may run beside itself, unless somebody asked for that;
    /// `load == fold` (`check_manager`, after each step); and in the end all is where it may be.
    #[test]
    fn moves_keep_what_is_wanted_running(
        deeds in proptest::collection::vec((0u8..9, 0usize..3), 1..80)
    ) {
        let mut f = Fleet::new();
        f.start("web", r#"{"image":"x"}"#);
        f.start("db", r#"{"image":"x","mounts":["data:/data"]}"#);
        f.start("one", r#"{"image":"x","singleton":true}"#);
        for (deed, n) in deeds {
            let node = format!("n{}", n + 1);
            match deed {
                0 => f.drain(&node),
                1 | 2 => f.availability(&node, Availability::Active, None),
                3 => f.availability(&node, Availability::Paused, None),
                4 => f.reload(),
                _ => drop(f.obey_one()),
            }
            prop_assert!(f.running("web") >= 1);
            for name in ["db", "one"] {
                prop_assert!(f.running(name) <= 1, "{name}");
            }
            for task in f.b.m.durable.tasks.values() {
                let live = f.b.m.durable.placements.values().filter(|p| p.task == task.id && !p.is_ended());
                prop_assert!(live.count() <= 2);
            }
        }
        for n in 1..=3 {
            f.availability(&format!("n{n}"), Availability::Active, None);
        }
        f.obey();
        for name in ["web", "db", "one"] {
            prop_assert_eq!((f.running(name), f.task(name).next.clone()), (1, None));
        }
    }
}
