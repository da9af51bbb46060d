//! Tables and properties of the manager core, driven as a shell would drive it.

mod cluster;
mod forgetful;
mod jobs;
mod moves;

use orca_api::control::{StartTask, StopTask, TaskView};
use orca_api::error::{Code, Problem};
use orca_api::id::{LifeId, NodeId, PlacementId, SeededIds};
use orca_api::link::{
    AttemptStatus, Generation, Hello, LINK_VERSION, NodeFacts, PlacementStatus, PlacementWanted,
};
use orca_api::node::{Condition, NodeState, Role};
use orca_api::spec::TaskSpec;
use orca_api::task::{Phase, Reason, State, Wanted};
use orca_api::units::{Bytes, Cpu, Span, Time};
use proptest::prelude::*;

use super::check::check_manager;
use super::io::{Answer, Asked, Change, Effect, Event, Peer, Request, Step, Token};
use super::report::merge;
use super::state::Manager;
use crate::Now;

/// A manager with one ready node of 4 CPUs and 4 GiB.
struct Bench {
    m: Manager,
    ids: SeededIds,
    now: Now,
    node: NodeId,
    life: LifeId,
    sequence: u64,
}

impl Bench {
    fn new() -> Self {
        let mut ids = SeededIds(1);
        let now = Now { wall: Time::from_ms(1_800_000_000_000), boot_ms: 1_000_000 };
        let rows =
            Manager::bootstrap(&mut ids, now, "n1".parse().unwrap(), vec![Role::Manager, Role::Worker]);
        let m = Manager::load(rows);
        let node = m.first_node().unwrap();
        let life = LifeId::fresh(&mut ids);
        let mut bench = Self { m, ids, now, node, life, sequence: 0 };
        bench.step(Event::Started);
        bench.hello(Vec::new());
        bench
    }

    fn step(&mut self, event: Event) -> Step {
        let before = self.m.revision();
        let step = self.m.step(event, self.now, &mut self.ids);
        if step.changes.is_empty() {
            assert_eq!(self.m.revision(), before);
        } else {
            assert_eq!(step.revision, before + 1);
        }
        assert_eq!(check_manager(&self.m), Vec::<String>::new());
        step
    }

    fn hello(&mut self, inventory: Vec<PlacementStatus>) -> Step {
        let facts = NodeFacts {
            cpu: Cpu::from_millis(4000),
            memory: Bytes::mib(4096),
            disk: Bytes::mib(10_000),
            os: "linux".into(),
            arch: "x86_64".into(),
            ..NodeFacts::default()
        };
        let hello = Hello {
            version: LINK_VERSION,
            life: self.life,
            facts,
            generation: Generation::default(),
            clock: self.now.wall,
            inventory,
        };
        self.step(Event::Hello { token: Token(0), node: self.node, address: None, hello: Box::new(hello) })
    }

    fn ask_keyed(&mut self, request: Request, key: Option<(String, String)>) -> Result<Answer, Problem> {
        let asked = Asked {
            token: Token(7),
            peer: Peer::Unix { uid: 0, pid: Some(1) },
            request_id: "r".into(),
            key,
            if_match: None,
            request,
        };
        let step = self.step(Event::Asked(Box::new(asked)));
        let mut replies = step.effects.into_iter().filter_map(|e| match e {
            Effect::Reply { answer, .. } => Some(answer),
            _ => None,
        });
        let answer = replies.next().expect("every request is answered");
        assert!(replies.next().is_none(), "once");
        answer
    }

    fn ask(&mut self, request: Request) -> Result<TaskView, Problem> {
        match self.ask_keyed(request, None)? {
            Answer::Created(a) | Answer::Task(a) => Ok(a.task),
            other => panic!("{other:?}"),
        }
    }

    fn start(&mut self, name: &str, json: &str, replace: bool) -> Result<TaskView, Problem> {
        let spec: TaskSpec = serde_json::from_str(json).unwrap();
        self.ask(Request::Start(Box::new(StartTask { name: Some(name.parse().unwrap()), spec, replace })))
    }

    fn view(&self, name: &str) -> Option<TaskView> {
        self.m.find_task(name).ok().and_then(|id| self.m.task_view(id, self.now))
    }

    fn placement(&self, name: &str) -> PlacementId {
        let id = self.m.find_task(name).unwrap();
        self.m.durable.tasks[&id].placement.unwrap()
    }

    /// The worker says that an attempt of the task's placement is in a state.
    fn report(&mut self, name: &str, number: u32, state: State, finished: bool) -> Step {
        let placement = self.placement(name);
        self.report_placement(placement, number, state, finished)
    }

    fn report_placement(
        &mut self,
        placement: PlacementId,
        number: u32,
        state: State,
        finished: bool,
    ) -> Step {
        self.sequence += 1;
        let task = self.m.durable.placements[&placement].task;
        let mut attempt = attempt(number, state);
        if state == State::Failed {
            attempt.reason = Some(Reason::Exited);
            attempt.exit_code = Some(1);
        }
        let status = PlacementStatus {
            sequence: self.sequence,
            attempts: vec![attempt],
            finished,
            ..status(placement, task)
        };
        let (node, life) = (self.node, self.life);
        self.step(Event::Reported { token: Token(1), node, life, placements: vec![status] })
    }

    fn later(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }
}

fn status(placement: PlacementId, task: orca_api::id::TaskId) -> PlacementStatus {
    PlacementStatus {
        placement,
        task,
        sequence: 1,
        attempts: Vec::new(),
        restarts: 0,
        budget_used: 0,
        next_attempt_at: None,
        finished: false,
        progress: None,
        warning: None,
    }
}

fn attempt(number: u32, state: State) -> AttemptStatus {
    AttemptStatus {
        number,
        state,
        reason: None,
        message: String::new(),
        exit_code: None,
        signal: None,
        container: Some(format!("c{number}")),
        container_kept: true,
        image_id: None,
        created_at: Time::from_ms(0),
        started_at: None,
        finished_at: None,
        ports: Vec::new(),
        own_ms: None,
    }
}

#[test]
fn a_task_that_fits_is_never_seen_pending() {
    let mut b = Bench::new();
    let view = b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    assert_eq!((view.phase, view.state), (Phase::Scheduled, State::Assigned));
    assert_eq!(view.node.unwrap().as_str(), "n1");
    let set = b.m.assignment(b.node).unwrap();
    assert_eq!(set.placements.len(), 1);
    b.report("web", 1, State::Running, false);
    assert_eq!(b.view("web").unwrap().phase, Phase::Running);
}

#[test]
fn one_that_does_not_fit_answers_with_the_reason_and_is_placed_when_there_is_room() {
    let mut b = Bench::new();
    b.start("big", r#"{"image":"nginx","memory":"3g"}"#, false).unwrap();
    let view = b.start("more", r#"{"image":"nginx","memory":"2g"}"#, false).unwrap();
    assert_eq!((view.phase, view.reason), (Phase::Pending, Some(Reason::NoFit)));
    assert!(view.message.contains("memory"), "{}", view.message);
    b.report("big", 1, State::Running, false);
    b.ask(Request::Stop { task: "big".into(), how: StopTask::default() }).unwrap();
    assert_eq!(
        b.view("more").unwrap().reason,
        Some(Reason::NoFit),
        "the room is held until the end was seen"
    );
    b.report("big", 1, State::Stopped, true);
    assert_eq!(b.view("more").unwrap().phase, Phase::Scheduled);
    assert_eq!(b.view("big").unwrap().state, State::Stopped);
}

#[test]
fn two_tasks_cannot_have_one_port() {
    let mut b = Bench::new();
    b.start("a", r#"{"image":"nginx","ports":["80:80"]}"#, false).unwrap();
    let view = b.start("b", r#"{"image":"nginx","ports":["80:81"]}"#, false).unwrap();
    assert_eq!(view.reason, Some(Reason::NoFit));
    assert!(view.message.contains("taken by task a"), "its holder is named: {}", view.message);
    assert!(view.message.contains("80"), "{}", view.message);
}

#[test]
fn start_on_a_taken_name() {
    let mut b = Bench::new();
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.report("web", 1, State::Running, false);
    let again = b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    assert_eq!(again.version, 1);
    let refused = b.start("web", r#"{"image":"nginx","cpus":1}"#, false).unwrap_err();
    assert_eq!(refused.code, Code::OtherSpec);
    assert!(refused.because[0].contains("cpus"), "{refused:?}");
    // With --replace the old one is stopped first, and the new one takes its place.
    let old = b.placement("web");
    let view = b.start("web", r#"{"image":"nginx","cpus":1}"#, true).unwrap();
    assert_eq!(view.version, 2);
    assert_eq!(b.m.durable.placements[&old].wanted, PlacementWanted::Stopped);
    b.report_placement(old, 1, State::Stopped, true);
    let new = b.placement("web");
    assert_ne!(new, old);
    assert_eq!(b.m.durable.placements[&new].attempts_before, 1);
    b.report("web", 2, State::Running, false);
    let view = b.view("web").unwrap();
    assert_eq!((view.attempts, view.restarts, view.phase), (2, 0, Phase::Running));
}

#[test]
fn between_attempts_a_task_is_pending_for_backoff_and_a_stop_then_is_a_stop() {
    let mut b = Bench::new();
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.report("web", 1, State::Failed, false);
    let view = b.view("web").unwrap();
    assert_eq!((view.phase, view.reason), (Phase::Pending, Some(Reason::Backoff)));
    assert!(view.message.contains("exit code 1"), "{}", view.message);
    b.ask(Request::Stop { task: "web".into(), how: StopTask::default() }).unwrap();
    b.report("web", 1, State::Failed, true);
    let view = b.view("web").unwrap();
    assert_eq!((view.state, view.reason), (State::Stopped, Some(Reason::StoppedByUser)));
}

#[test]
fn a_task_that_ended_stays_ended_until_somebody_asks() {
    let mut b = Bench::new();
    b.start("job", r#"{"image":"nginx","restart":"never"}"#, false).unwrap();
    b.report("job", 1, State::Failed, true);
    b.step(Event::Started);
    assert_eq!(b.view("job").unwrap().phase, Phase::Failed);
    let stopped = b.ask(Request::Stop { task: "job".into(), how: StopTask::default() }).unwrap();
    assert_eq!(stopped.state, State::Failed, "what ended by itself stays as it ended");
    let view = b.ask(Request::Restart { task: "job".into() }).unwrap();
    assert_eq!((view.phase, view.wanted), (Phase::Scheduled, Wanted::Running));
    b.report("job", 2, State::Completed, true);
    assert_eq!(b.view("job").unwrap().phase, Phase::Completed);
}

#[test]
fn remove_frees_the_name_after_the_end() {
    let mut b = Bench::new();
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.report("web", 1, State::Running, false);
    let refused = b.ask(Request::Remove { task: "web".into(), force: false }).unwrap_err();
    assert_eq!(refused.code, Code::StillRunning);
    b.ask(Request::Remove { task: "web".into(), force: true }).unwrap();
    assert!(b.view("web").is_some());
    assert_eq!(b.start("web", r#"{"image":"nginx"}"#, false).unwrap_err().code, Code::NameTaken);
    b.report("web", 1, State::Stopped, true);
    assert!(b.view("web").is_none());
    assert!(b.m.assignment(b.node).unwrap().placements.is_empty());
}

#[test]
fn a_key_that_was_used_gets_the_same_answer_and_no_second_effect() {
    let mut b = Bench::new();
    let spec: TaskSpec = serde_json::from_str(r#"{"image":"nginx"}"#).unwrap();
    let request = Request::Start(Box::new(StartTask { name: None, spec, replace: false }));
    let key = |digest: &str| Some(("k".to_owned(), digest.to_owned()));
    let Answer::Created(first) = b.ask_keyed(request.clone(), key("d")).unwrap() else { panic!() };
    let Answer::Created(second) = b.ask_keyed(request.clone(), key("d")).unwrap() else { panic!() };
    assert_eq!(first.task.id, second.task.id);
    assert_eq!(b.m.task_list(b.now).len(), 1);
    assert_eq!(b.ask_keyed(request.clone(), key("other")).unwrap_err().code, Code::KeyReused);
    b.later(Span::from_secs(25 * 3600));
    b.step(Event::Tick);
    assert!(matches!(b.ask_keyed(request, key("other")), Ok(Answer::Created(_))));
}

#[test]
fn a_silent_node_is_disconnected_and_its_tasks_are_kept() {
    let mut b = Bench::new();
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.report("web", 1, State::Running, false);
    b.later(Span::from_secs(7));
    b.step(Event::Tick);
    let view = b.view("web").unwrap();
    assert_eq!(view.phase, Phase::Running);
    assert!(view.stale_since.is_some());
    // The old life is not heard any more; a new hello makes it ready again, and nothing was moved.
    let set = b.m.assignment(b.node).unwrap();
    b.hello(Vec::new());
    assert_eq!(b.view("web").unwrap().stale_since, None);
    assert_eq!(b.m.assignment(b.node).unwrap(), set);
}

#[test]
fn conditions_cost_no_commit_and_close_the_node() {
    let mut b = Bench::new();
    let polled = |b: &Bench, conditions| Event::Polled {
        node: b.node,
        life: b.life,
        generation: Generation::default(),
        conditions,
        clock: None,
    };
    let step = b.step(polled(&b, Vec::new()));
    assert!(step.changes.is_empty());
    b.step(polled(&b, vec![Condition::EngineAway]));
    let view = b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    assert_eq!(view.reason, Some(Reason::NoFit));
    assert!(
        b.m.status(b.node, "1", b.now.wall, b.now)
            .unwrap()
            .attention
            .iter()
            .any(|a| a.hint.contains("systemctl start docker"))
    );
    b.step(polled(&b, Vec::new()));
    assert_eq!(b.view("web").unwrap().phase, Phase::Scheduled);
}

#[test]
fn with_a_full_disk_stops_and_removes_work_and_creates_do_not() {
    let mut b = Bench::new();
    b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    b.step(Event::Space { scarce: true });
    assert_eq!(b.start("more", r#"{"image":"nginx"}"#, false).unwrap_err().code, Code::StoreFull);
    b.ask(Request::Stop { task: "web".into(), how: StopTask::default() }).unwrap();
    b.ask(Request::Remove { task: "web".into(), force: true }).unwrap();
    b.step(Event::Space { scarce: false });
    b.start("more", r#"{"image":"nginx"}"#, false).unwrap();
}

#[test]
fn events_are_trimmed_by_age() {
    let mut b = Bench::new();
    let mut trimmed = 0;
    for _ in 0..40 {
        b.later(Span::from_secs(24 * 3600));
        b.hello(Vec::new());
        for change in b.step(Event::Tick).changes {
            if let Change::EventsTrimmed { before, .. } = change {
                trimmed = before;
            }
        }
    }
    assert!(trimmed > 1);
    assert_eq!(b.m.events_from(), trimmed);
}

#[test]
fn ids_and_names_look_a_task_up() {
    let mut b = Bench::new();
    let view = b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    let id = view.id.to_string();
    assert_eq!(b.m.find_task(&id[..4].to_lowercase()).unwrap(), view.id);
    let error = b.m.find_task("wbe").unwrap_err();
    assert_eq!(error.code, Code::NoSuchTask);
    assert!(error.hint[0].contains("web"));
}

fn any_state() -> impl Strategy<Value = State> {
    prop::sample::select(
        State::ALL.iter().copied().filter(|s| (30..90).contains(&s.rank())).collect::<Vec<_>>(),
    )
}

fn any_status() -> impl Strategy<Value = PlacementStatus> {
    (prop::collection::btree_map(1u32..8, any_state(), 0..6), any::<bool>(), 1u64..50).prop_map(
        |(attempts, finished, sequence)| {
            let mut ids = SeededIds(3);
            let (placement, task) = (PlacementId::fresh(&mut ids), orca_api::id::TaskId::fresh(&mut ids));
            PlacementStatus {
                sequence,
                finished,
                attempts: attempts.into_iter().map(|(n, s)| attempt(n, s)).collect(),
                ..status(placement, task)
            }
        },
    )
}

proptest! {
    #[test]
    fn merging_is_idempotent_and_states_only_rise(reports in prop::collection::vec(any_status(), 1..8)) {
        let mut known = reports[0].clone();
        known.attempts.clear();
        known.finished = false;
        for report in &reports {
            let next = merge(&known, report).status;
            for old in &known.attempts {
                if let Some(new) = next.attempts.iter().find(|a| a.number == old.number) {
                    prop_assert!(new.state >= old.state);
                    prop_assert!(!old.state.is_terminal() || new.state == old.state, "the first end stands");
                }
            }
            prop_assert_eq!(&merge(&next, report).status, &next);
            known = next;
        }
    }

    /// Whatever clients and workers do, in whatever order: the invariants hold after each step (`Bench::step`
    /// checks them, load == fold among them), and a manager that is loaded anew answers the same.
    #[test]
    fn random_days(moves in prop::collection::vec((0u8..9, 0u8..4, any_state(), any::<bool>()), 1..40)) {
        let mut b = Bench::new();
        for (kind, which, state, flag) in moves {
            let name = format!("t{which}");
            let known = b.m.find_task(&name).is_ok();
            match kind {
                0 | 1 => {
                    let spec = format!(r#"{{"image":"nginx","memory":"{}m","ports":["{}:80"]}}"#, 600 * (1 + u32::from(which)), 80 + u32::from(which) / 2);
                    let _ = b.start(&name, &spec, flag);
                }
                2 => { let _ = b.ask(Request::Stop { task: name, how: StopTask::default() }); }
                3 => { let _ = b.ask(Request::Restart { task: name }); }
                4 => { let _ = b.ask(Request::Remove { task: name, force: flag }); }
                5 | 6 if known && b.m.durable.tasks[&b.m.find_task(&name).unwrap()].placement.is_some() => {
                    let placement = b.m.durable.placements[&b.placement(&name)].clone();
                    let last = placement.status.attempts.last().map_or(placement.attempts_before, |a| a.number);
                    let number = if flag || last == placement.attempts_before { last + 1 } else { last };
                    b.report(&name, number, state, state.is_terminal() && (flag || placement.wanted == PlacementWanted::Stopped));
                }
                7 => { b.later(Span::from_secs(4)); b.step(Event::Tick); }
                _ => {
                    let rows = b.m.durable_rows();
                    b.m = Manager::load(rows);
                    b.step(Event::Started);
                    b.hello(Vec::new());
                }
            }
        }
        prop_assert_eq!(b.m.node_list(b.now)[0].state == NodeState::Ready || b.m.node_list(b.now)[0].state == NodeState::Disconnected, true);
    }
}
