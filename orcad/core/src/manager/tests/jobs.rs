//! Jobs: how many, how a change rolls, what goes back; on nodes whose workers do what they are told, as well as the image lets
//! them. In every step the invariants are checked, and that a rollout takes no more tasks away than it may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orca_api::cluster::SetLabels;
use orca_api::job::JobSpec;
use orca_api::job::read::{Variables, read_value};
use orca_api::job::view::{JobPlan, JobState, JobView, PlannedAction, RollbackJob, RolloutAct, ScaleJob};
use orca_api::link::Generation;
use orca_api::name::Name;

use super::super::jobs::JobRequest;
use super::super::record::{NodeRecord, PlacementRecord, TaskRecord};
use super::*;

/// A manager and nodes of 4 CPUs and 4 GiB. Images are what their names say: `bad` cannot be pulled, `ill` never gets
/// healthy, `slow` never gets so far, `once` completes; all others run.
struct Yard {
    b: Bench,
    nodes: Vec<NodeId>,
    lives: Vec<LifeId>,
    sequence: u64,
    /// The fewest of a job's tasks that must run at any time.
    floor: BTreeMap<Name, usize>,
}

impl Yard {
    fn new(nodes: usize) -> Self {
        let b = Bench::new();
        let mut yard =
            Self { nodes: vec![b.node], lives: vec![b.life], b, sequence: 0, floor: BTreeMap::new() };
        for _ in 1..nodes {
            yard.add_node();
        }
        yard
    }

    fn add_node(&mut self) -> NodeId {
        let own = NodeRecord::clone(&self.b.m.durable.nodes[&self.nodes[0]]);
        let id = NodeId::fresh(&mut self.b.ids);
        let record = NodeRecord {
            id,
            name: format!("n{}", self.nodes.len() + 1).parse().unwrap(),
            roles: vec![Role::Worker],
            generation: Generation { epoch: 1, n: 0 },
            ..own
        };
        self.b.m.apply(&Change::NodePut { record: Arc::new(record) });
        self.nodes.push(id);
        self.lives.push(LifeId::fresh(&mut self.b.ids));
        self.hello(self.nodes.len() - 1);
        id
    }

    fn hello(&mut self, n: usize) {
        let here = self.b.m.durable.by_node.get(&self.nodes[n]).cloned().unwrap_or_default();
        let inventory = here.iter().map(|p| self.b.m.durable.placements[p].status.clone()).collect();
        let own = (self.b.node, self.b.life);
        (self.b.node, self.b.life) = (self.nodes[n], self.lives[n]);
        self.b.hello(inventory);
        (self.b.node, self.b.life) = own;
    }

    /// The manager is killed, and begins again with what is stored.
    fn restart(&mut self) {
        self.b.m = Manager::load(self.b.m.durable_rows());
        self.b.step(Event::Started);
        for n in 0..self.nodes.len() {
            self.hello(n);
        }
    }

    fn ask(&mut self, request: JobRequest) -> Result<(JobView, bool), Problem> {
        match self.b.ask_keyed(Request::Job(Box::new(request)), None)? {
            Answer::Job { answer, .. } => Ok((answer.job, answer.changed)),
            other => panic!("{other:?}"),
        }
    }

    fn run(&mut self, json: &str) -> Result<JobView, Problem> {
        let (name, spec) = read(json);
        self.ask(JobRequest::Run { name, spec, if_revision: None }).map(|(job, _)| job)
    }

    fn plan(&self, json: &str) -> JobPlan {
        let (name, spec) = read(json);
        self.b.m.plan_job(&name, &spec, None, self.b.now).unwrap()
    }

    fn act(&mut self, job: &str, act: RolloutAct) -> Result<JobView, Problem> {
        self.ask(JobRequest::Rollout { job: job.into(), act }).map(|(job, _)| job)
    }

    fn job(&self, name: &str) -> JobView {
        let id = self.b.m.find_job(name).unwrap();
        self.b.m.job_view(id, self.b.now).unwrap()
    }

    fn tasks(&self, name: &str) -> Vec<Arc<TaskRecord>> {
        self.b.m.tasks_of(self.b.m.find_job(name).unwrap())
    }

    /// The placements that a job's tasks have, and are live, by task.
    fn placements(&self, name: &str) -> BTreeMap<Name, Arc<PlacementRecord>> {
        let tasks = self.tasks(name).into_iter();
        let placed = tasks.filter_map(|t| Some((t.name.clone(), self.b.m.placement(t.placement)?.clone())));
        placed.filter(|(_, p)| !p.is_ended()).collect()
    }

    fn ids(&self, name: &str) -> Vec<PlacementId> {
        self.placements(name).values().map(|p| p.id).collect()
    }

    fn images(&self, name: &str) -> Vec<String> {
        self.placements(name).values().map(|p| p.spec.image.to_string()).collect()
    }

    fn on(&self, name: &str) -> BTreeSet<NodeId> {
        self.placements(name).values().map(|p| p.node).collect()
    }

    /// Tasks of a job of which something runs.
    fn running(&self, name: &Name) -> usize {
        let runs = |t: &Arc<TaskRecord>| {
            let next = t.next.as_ref().map(|n| n.placement);
            [t.placement, next]
                .into_iter()
                .filter_map(|p| self.b.m.placement(p))
                .any(|p| p.state() == State::Running && p.stop.is_none())
        };
        self.tasks(name.as_str()).iter().filter(|t| runs(t)).count()
    }

    /// One placement comes nearer to what is wanted of it: the `n`th of those that can. Whether there was one.
    fn obey(&mut self, n: usize) -> bool {
        let live = self.b.m.durable.placements.values().filter(|p| !p.is_ended());
        let mut news: Vec<(NodeId, PlacementStatus)> =
            live.filter_map(|p| Some((p.node, next_status(p)?))).collect();
        if news.is_empty() {
            return false;
        }
        let at = n % news.len();
        let (node, mut status) = news.swap_remove(at);
        self.sequence += 1;
        status.sequence = self.sequence;
        let life = self.lives[self.nodes.iter().position(|n| *n == node).unwrap()];
        self.b.step(Event::Reported { token: Token(1), node, life, placements: vec![status] });
        for (job, floor) in &self.floor {
            assert!(self.running(job) >= *floor, "{job}: only {} of {floor} run", self.running(job));
        }
        true
    }

    /// Time passes, with every node heard.
    fn wait(&mut self, span: Span) {
        self.b.later(span);
        for n in 0..self.nodes.len() {
            let (node, life) = (self.nodes[n], self.lives[n]);
            let generation = self.b.m.generation(node).unwrap();
            self.b.step(Event::Polled { node, life, generation, conditions: Vec::new(), clock: None });
        }
        self.b.step(Event::Tick);
    }

    /// Everything happens that can within a few seconds of each other.
    fn settle(&mut self) {
        self.settle_for(Span::from_secs(20));
    }

    fn settle_for(&mut self, patience: Span) {
        for _ in 0..10_000 {
            if self.obey(0) {
                continue;
            }
            let due = self.b.m.jobs_due().map(|at| at.saturating_sub(self.b.now.boot_ms));
            match due.filter(|ms| *ms <= patience.ms()) {
                Some(ms) => self.wait(Span::from_ms(ms.max(1))),
                None => return,
            }
        }
        panic!("it never settles");
    }
}

/// What a worker reports next of a placement; `None` where nothing more comes of it by itself.
fn next_status(p: &PlacementRecord) -> Option<PlacementStatus> {
    let image = p.spec.image.to_string();
    let last = p.status.attempts.last();
    let idle = last.is_some_and(|a| a.state.is_terminal());
    let mut status = p.status.clone();
    let number = last.map_or(p.attempts_before + 1, |a| a.number);
    let mut to = |state: State, reason: Option<Reason>| {
        status.attempts.retain(|a| a.number != number);
        let mut attempt = attempt(number, state);
        attempt.reason = reason;
        status.attempts.push(attempt);
    };
    match p.wanted {
        PlacementWanted::Stopped => {
            if !idle {
                to(State::Stopped, None);
            }
            status.finished = true;
        }
        _ if idle => return None,
        _ if image.contains("bad") => to(State::Rejected, Some(Reason::ImageNotFound)),
        PlacementWanted::Ready if p.state() == State::Ready => return None,
        PlacementWanted::Ready => to(State::Ready, None),
        PlacementWanted::Running if p.state() == State::Running => return None,
        PlacementWanted::Running if image.contains("ill") => to(State::Failed, Some(Reason::Unhealthy)),
        PlacementWanted::Running if image.contains("slow") => {
            if p.state() == State::Starting {
                return None;
            }
            to(State::Starting, None);
        }
        PlacementWanted::Running if image.contains("once") => {
            to(State::Completed, None);
            status.finished = true;
        }
        PlacementWanted::Running => to(State::Running, None),
    }
    Some(status)
}

fn read(json: &str) -> (Name, JobSpec) {
    let file = read_value(serde_json::from_str(json).unwrap(), &Variables::new()).unwrap();
    (file.name, file.spec)
}

fn web(image: &str, count: u32, more: &str) -> String {
    format!(r#"{{"name":"web","image":"{image}","count":{count}{more}}}"#)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn a_new_job_is_placed_at_once_and_is_good_when_its_tasks_are() {
    let mut y = Yard::new(3);
    let view = y.run(&web("a:1", 3, "")).unwrap();
    assert_eq!((view.state, view.version, view.groups[0].pending), (JobState::Pending, 1, 3));
    assert_eq!(y.on("web").len(), 3, "equal tasks spread");
    assert!(y.b.m.find_task("web.2").is_ok());
    y.settle();
    let view = y.job("web");
    assert_eq!((view.state, view.groups[0].running), (JobState::Running, 3));
    assert_eq!(view.rollout, None);
    assert!(y.b.m.job_history("web").unwrap()[0].proven);
    let again = read(&web("a:1", 3, ""));
    let request = JobRequest::Run { name: again.0, spec: again.1, if_revision: None };
    assert!(!y.ask(request).unwrap().1, "the same again changes nothing");
}

#[test]
fn a_change_rolls_one_after_another_beside_the_old_ones() {
    let mut y = Yard::new(3);
    y.run(&web("a:1", 4, "")).unwrap();
    y.settle();
    y.floor.insert(name("web"), 4);
    y.run(&web("a:2", 4, "")).unwrap();
    assert_eq!(y.job("web").state, JobState::Rolling);
    let live = |y: &Yard| y.b.m.durable.placements.values().filter(|p| !p.is_ended()).count();
    assert_eq!(live(&y), 5, "a quarter of four at a time");
    y.settle();
    assert_eq!(y.images("web"), vec!["a:2"; 4]);
    assert_eq!((y.job("web").state, live(&y)), (JobState::Running, 4), "every old one is gone");
    let history = y.b.m.job_history("web").unwrap();
    assert_eq!(history[0].changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["image"]);
}

#[test]
fn a_bad_image_changes_nothing() {
    // Beside the old ones, and in their place: the only node's port is taken.
    for (nodes, count, more) in [(3, 3, ""), (1, 1, r#","ports":["80:80"]"#), (2, 2, r#","singleton":true"#)]
    {
        let mut y = Yard::new(nodes);
        y.run(&web("a:1", count, more)).unwrap();
        y.settle();
        let before = y.ids("web");
        y.floor.insert(name("web"), count as usize);
        y.run(&web("bad:2", count, more)).unwrap();
        y.settle();
        assert_eq!(y.ids("web"), before, "{more}");
        let view = y.job("web");
        assert_eq!((view.state, view.version), (JobState::Running, 3));
        let rollout = view.rollout.unwrap();
        assert_eq!(rollout.state, "failed");
        assert!(
            rollout.message.contains("version 2 failed: web.1 rejected (image_not_found)"),
            "{rollout:?}"
        );
        assert!(rollout.message.ends_with("back to version 1"), "{rollout:?}");
        assert!(!y.plan(&web("a:1", count, more)).changes);
    }
}

#[test]
fn what_cannot_stand_beside_the_old_one_is_ready_before_that_one_ends() {
    let mut y = Yard::new(1);
    let more = r#","ports":["80:80"],"memory":"3GiB""#;
    y.run(&web("a:1", 1, more)).unwrap();
    y.settle();
    let old = y.ids("web")[0];
    y.run(&web("a:2", 1, more)).unwrap();
    let task = y.tasks("web")[0].clone();
    let next = task.next.as_ref().unwrap().placement;
    assert_eq!(y.b.m.durable.placements[&next].wanted, PlacementWanted::Ready);
    assert!(y.b.m.durable.placements[&old].stop.is_none(), "it is not touched yet");
    y.obey(0);
    assert!(y.b.m.durable.placements[&old].stop.is_some(), "the next one is ready");
    y.settle();
    assert_eq!(y.ids("web"), [next]);
    assert_eq!(y.job("web").state, JobState::Running);
    // Its room is its own now.
    let refused = y.b.start("big", r#"{"image":"x","memory":"2g"}"#, false).unwrap();
    assert_eq!(refused.reason, Some(Reason::NoFit));
}

#[test]
fn what_does_not_get_healthy_goes_back_by_itself() {
    for (nodes, more) in [(3, ""), (1, r#","ports":["80:80"]"#)] {
        let count = if nodes == 1 { 1 } else { 3 };
        for image in ["ill:2", "slow:2"] {
            let mut y = Yard::new(nodes);
            y.run(&web("a:1", count, more)).unwrap();
            y.settle();
            y.run(&web(image, count, more)).unwrap();
            y.settle_for(Span::from_secs(301));
            assert_eq!(y.images("web"), vec!["a:1"; count as usize], "{image}{more}");
            let view = y.job("web");
            assert_eq!((view.state, view.rollout.unwrap().state.as_str()), (JobState::Running, "failed"));
        }
    }
}

#[test]
fn on_failure_says_what_else_may_happen() {
    let mut y = Yard::new(3);
    let how = |how: &str| format!(r#","update":{{"on_failure":"{how}"}}"#);
    y.run(&web("a:1", 3, &how("pause"))).unwrap();
    y.settle();
    y.run(&web("bad:2", 3, &how("pause"))).unwrap();
    y.settle();
    let view = y.job("web");
    assert_eq!((view.state, view.rollout.unwrap().state.as_str()), (JobState::Rolling, "paused"));
    assert_eq!(y.images("web"), vec!["a:1"; 3]);
    y.act("web", RolloutAct::Abort).unwrap();
    y.settle();
    assert_eq!((y.job("web").state, y.images("web")), (JobState::Running, vec!["a:1".to_owned(); 3]));
    // Going on: what failed is left as it is, the others are tried.
    y.run(&web("bad:3", 3, &how("continue"))).unwrap();
    y.settle();
    let rollout = y.job("web").rollout.unwrap();
    assert_eq!(rollout.state, "failed");
    assert!(rollout.message.starts_with("3 tasks failed"), "{}", rollout.message);
    assert_eq!(y.images("web"), vec!["a:1"; 3]);
}

#[test]
fn a_rollout_is_paused_resumed_and_given_up() {
    let mut y = Yard::new(3);
    y.run(&web("a:1", 3, "")).unwrap();
    y.settle();
    assert_eq!(y.act("web", RolloutAct::Pause).unwrap_err().code, Code::NoRollout);
    y.run(&web("a:2", 3, "")).unwrap();
    y.act("web", RolloutAct::Pause).unwrap();
    y.settle();
    let new = |y: &Yard| y.images("web").iter().filter(|i| *i == "a:2").count();
    assert_eq!(new(&y), 1, "what was begun goes on, nothing else begins");
    y.wait(Span::from_secs(2000));
    y.settle();
    assert_eq!((new(&y), y.job("web").rollout.unwrap().state.as_str()), (1, "paused"), "and is not late");
    y.act("web", RolloutAct::Resume).unwrap();
    y.obey(0);
    y.act("web", RolloutAct::Abort).unwrap();
    y.settle();
    assert_eq!(y.images("web"), vec!["a:1"; 3]);
    assert_eq!(y.act("web", RolloutAct::Abort).unwrap_err().code, Code::NoRollout);
}

#[test]
fn canaries_stand_beside_the_old_ones_until_they_are_promoted() {
    let mut y = Yard::new(3);
    let more = r#","update":{"canary":1}"#;
    y.run(&web("a:1", 3, more)).unwrap();
    y.settle();
    y.floor.insert(name("web"), 3);
    y.run(&web("a:2", 3, more)).unwrap();
    y.settle();
    assert_eq!(y.job("web").rollout.unwrap().state, "canary");
    assert_eq!(y.images("web"), vec!["a:1"; 3], "all old ones are there");
    assert_eq!(y.b.m.durable.placements.values().filter(|p| p.state() == State::Running).count(), 4);
    y.restart();
    y.settle();
    assert_eq!(y.job("web").rollout.unwrap().state, "canary");
    y.act("web", RolloutAct::Resume).unwrap();
    y.settle();
    assert_eq!((y.images("web"), y.job("web").rollout), (vec!["a:2".to_owned(); 3], None));
    // One that fails takes the change with it.
    y.run(&web("ill:3", 3, more)).unwrap();
    y.settle();
    assert_eq!((y.images("web"), y.job("web").version), (vec!["a:2".to_owned(); 3], 4));
}

#[test]
fn nothing_is_replaced_that_need_not_be() {
    let mut y = Yard::new(3);
    y.run(&web("a:1", 2, "")).unwrap();
    y.settle();
    let before = y.ids("web");
    for (json, kept) in [
        (web("a:1", 3, ""), 2),
        (web("a:1", 3, r#","labels":{"team":"x"}"#), 3),
        (web("a:1", 3, r#","constraints":["gpu != true"]"#), 3),
        (web("a:1", 2, r#","algorithm":"binpack""#), 2),
    ] {
        y.run(&json).unwrap();
        y.settle();
        assert!(before.iter().all(|id| y.ids("web").contains(id)), "{json}: {kept}");
        assert_eq!(y.job("web").state, JobState::Running, "{json}");
        assert!(y.b.m.job_history("web").unwrap()[0].proven, "{json}");
    }
    // But what may not stay where it is moves.
    let n1 = y.b.m.durable.nodes[&y.nodes[0]].name.clone();
    y.run(&web("a:1", 2, &format!(r#","constraints":["node.name == {n1}"]"#))).unwrap();
    y.settle();
    assert_eq!(y.on("web"), BTreeSet::from([y.nodes[0]]));
}

#[test]
fn scale_stop_start_restart_and_remove() {
    let mut y = Yard::new(3);
    y.run(&web("a:1", 2, "")).unwrap();
    y.settle();
    let scale =
        |count| JobRequest::Scale { job: "web".into(), scale: ScaleJob { group: String::new(), count } };
    y.ask(scale(4)).unwrap();
    y.settle();
    assert_eq!(y.ids("web").len(), 4);
    y.ask(scale(1)).unwrap();
    y.settle();
    assert_eq!(y.tasks("web").iter().map(|t| t.name.to_string()).collect::<Vec<_>>(), ["web.1"]);
    let other = ScaleJob { group: "api".into(), count: 1 };
    let refused = y.ask(JobRequest::Scale { job: "web".into(), scale: other }).unwrap_err();
    assert_eq!(refused.code, Code::NoSuchGroup);

    let old = y.ids("web");
    y.floor.insert(name("web"), 1);
    y.ask(JobRequest::Restart { job: "web".into() }).unwrap();
    y.settle();
    assert_ne!(y.ids("web"), old);
    y.floor.clear();

    let refused = y.ask(JobRequest::Remove { job: "web".into(), force: false }).unwrap_err();
    assert_eq!(refused.code, Code::StillRunning);
    y.ask(JobRequest::Stop { job: "web".into() }).unwrap();
    y.settle();
    assert_eq!((y.job("web").state, y.ids("web").len()), (JobState::Stopped, 0));
    assert_eq!(y.b.view("web.1").unwrap().reason, Some(Reason::StoppedByJob));
    y.restart();
    y.wait(Span::from_secs(60));
    assert_eq!(y.ids("web").len(), 0, "a stopped job places nothing");
    y.ask(JobRequest::Start { job: "web".into() }).unwrap();
    y.settle();
    assert_eq!(y.job("web").state, JobState::Running);
    y.ask(JobRequest::Remove { job: "web".into(), force: true }).unwrap();
    y.settle();
    assert_eq!(y.b.m.find_job("web").unwrap_err().code, Code::NoSuchJob);
    assert_eq!((y.b.m.durable.tasks.len(), y.b.m.durable.placements.len()), (0, 0));
}

#[test]
fn tasks_and_jobs_share_their_names_and_a_jobs_task_is_the_jobs() {
    let mut y = Yard::new(1);
    y.run(&web("a:1", 1, "")).unwrap();
    let taken = y.b.start("web", r#"{"image":"a"}"#, false).unwrap_err();
    assert_eq!(taken.code, Code::NameTaken);
    y.b.start("db", r#"{"image":"a"}"#, false).unwrap();
    assert_eq!(y.run(r#"{"name":"db","image":"a"}"#).unwrap_err().code, Code::NameTaken);
    y.settle();
    for request in [
        Request::Stop { task: "web.1".into(), how: StopTask::default() },
        Request::Remove { task: "web.1".into(), force: true },
    ] {
        assert_eq!(y.b.ask(request).unwrap_err().code, Code::OfAJob);
    }
    y.b.ask(Request::Restart { task: "web.1".into() }).unwrap();
    y.settle();
    assert_eq!(y.job("web").state, JobState::Running);
}

#[test]
fn a_rollback_goes_to_what_was_healthy_or_to_what_is_named() {
    let mut y = Yard::new(2);
    for image in ["a:1", "a:2", "a:3"] {
        y.run(&web(image, 2, "")).unwrap();
        y.settle();
    }
    let back = |to| JobRequest::Rollback { job: "web".into(), how: RollbackJob { to } };
    y.ask(back(None)).unwrap();
    y.settle();
    assert_eq!(y.images("web"), vec!["a:2"; 2]);
    y.ask(back(Some(1))).unwrap();
    y.settle();
    assert_eq!((y.images("web"), y.job("web").version), (vec!["a:1".to_owned(); 2], 5));
    assert_eq!(y.ask(back(Some(9))).unwrap_err().code, Code::NoSuchVersion);
    assert!(!y.ask(back(Some(1))).unwrap().1, "it is there already");
    for n in 0..20 {
        y.run(&web(&format!("b:{n}"), 2, "")).unwrap();
    }
    y.settle();
    let history = y.b.m.job_history("web").unwrap();
    assert_eq!(history.len(), 10, "of many versions the last are kept");
    assert!(history.iter().any(|v| v.version == 5 && v.proven), "and the last one that was healthy");
}

#[test]
fn a_batch_runs_so_many_at_once_to_the_end() {
    let mut y = Yard::new(2);
    let json = r#"{"name":"crunch","type":"batch","image":"once:1","completions":5,"parallelism":2}"#;
    y.run(json).unwrap();
    assert_eq!(y.tasks("crunch").len(), 2);
    let mut most = 0;
    while y.obey(0) {
        most = most.max(y.ids("crunch").len());
    }
    assert_eq!(most, 2);
    let view = y.job("crunch");
    assert_eq!((view.state, view.groups[0].completed), (JobState::Completed, 5));
    y.restart();
    assert!(!y.obey(0), "what is complete is not begun again");
    // Another version is begun from its beginning.
    y.run(&json.replace("once:1", "once:2")).unwrap();
    while y.obey(0) {}
    assert_eq!(y.job("crunch").state, JobState::Completed);
    assert!(y.tasks("crunch").iter().all(|t| t.version == 2));
}

#[test]
fn a_system_job_is_on_every_node_that_fits_also_on_new_ones() {
    let mut y = Yard::new(2);
    let json = r#"{"name":"agent","type":"system","image":"a:1","constraints":["gpu != true"]}"#;
    y.run(json).unwrap();
    y.settle();
    assert_eq!(y.on("agent"), y.nodes.iter().copied().collect());
    let third = y.add_node();
    y.settle();
    assert!(y.on("agent").contains(&third));
    assert_eq!(y.job("agent").state, JobState::Running);
    y.run(&json.replace("a:1", "a:2")).unwrap();
    y.settle();
    assert_eq!((y.images("agent"), y.on("agent").len()), (vec!["a:2".to_owned(); 3], 3));
    // A node that does not fit any more loses it.
    let set =
        SetLabels { set: BTreeMap::from([("gpu".to_owned(), "true".to_owned())]), ..SetLabels::default() };
    y.b.ask_keyed(Request::SetLabels { node: "n3".into(), set }, None).unwrap();
    y.settle();
    assert!(!y.on("agent").contains(&third));
    let json = r#"{"name":"sweep","type":"sysbatch","image":"once:1"}"#;
    y.run(json).unwrap();
    y.settle();
    assert_eq!((y.job("sweep").state, y.tasks("sweep").len()), (JobState::Completed, 3));
}

#[test]
fn groups_are_kept_apart_as_they_say() {
    let mut y = Yard::new(2);
    y.run(&web("a:1", 3, r#","max_per_node":1"#)).unwrap();
    let view = y.job("web");
    assert_eq!((y.on("web").len(), view.groups[0].pending, view.reason), (2, 3, Some(Reason::NoFit)));
    y.add_node();
    y.settle();
    assert_eq!((y.on("web").len(), y.job("web").state), (3, JobState::Running));
    y.run(&web("a:2", 3, r#","max_per_node":1"#)).unwrap();
    y.settle();
    assert_eq!((y.images("web"), y.on("web").len()), (vec!["a:2".to_owned(); 3], 3));
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    let mut y = Yard::new(1);
    for (more, path) in [
        (r#","depends_on":{"db":"healthy"}"#, "depends_on"),
        (r#","preempt":true"#, "preempt"),
        (r#","pre_deploy":{"command":["true"]}"#, "pre_deploy"),
        (r#","update":{"canary":1,"order":"stop_first"}"#, "update.canary"),
    ] {
        let refused = y.run(&web("a:1", 2, more)).unwrap_err();
        assert_eq!(refused.code, Code::BadSpec);
        assert!(refused.detail.contains(path), "{}", refused.detail);
    }
    for more in [r#""schedule":{"cron":"@daily"}"#, r#""max_run_duration":"1h""#] {
        let json = format!(r#"{{"name":"b","type":"batch","image":"once",{more}}}"#);
        assert_eq!(y.run(&json).unwrap_err().code, Code::BadSpec, "{more}");
    }
    let (name, spec) = read(&web("a:1", 1, ""));
    let at = |if_revision| JobRequest::Run { name: name.clone(), spec: spec.clone(), if_revision };
    assert_eq!(y.ask(at(Some(7))).unwrap_err().code, Code::Changed);
    y.ask(at(Some(0))).unwrap();
    assert_eq!(y.ask(at(Some(0))).unwrap_err().code, Code::Changed);
}

#[test]
fn a_plan_says_what_would_be_done_and_does_nothing() {
    use PlannedAction::{Keep, Replace, Start, Stop};
    let mut y = Yard::new(2);
    let plan = y.plan(&web("a:1", 2, ""));
    assert!(plan.changes && plan.fits && plan.revision == 0);
    assert!(plan.tasks.iter().all(|t| t.action == Start && t.to.is_some()));
    assert_eq!(y.b.m.durable.tasks.len(), 0);
    y.run(&web("a:1", 2, "")).unwrap();
    y.settle();
    assert_eq!(y.plan(&web("a:1", 2, "")).tasks, []);
    let actions = |plan: &JobPlan| plan.tasks.iter().map(|t| t.action).collect::<Vec<_>>();
    assert_eq!(actions(&y.plan(&web("a:1", 3, ""))), [Keep, Keep, Start]);
    assert_eq!(actions(&y.plan(&web("a:1", 1, ""))), [Keep, Stop]);
    let plan = y.plan(&web("a:2", 2, ""));
    assert_eq!((actions(&plan), plan.fields[0].path.as_str()), (vec![Replace, Replace], "image"));
    let plan = y.plan(&web("a:1", 3, r#","memory":"3GiB""#));
    assert!(!plan.fits, "{plan:?}");
    assert!(plan.tasks.iter().any(|t| t.to.is_none() && t.why.contains("memory")), "{plan:?}");
}

#[derive(Clone, Debug)]
enum Move {
    Run(String),
    Stop,
    Start,
    Restart,
    Rollback,
    Pause,
    Resume,
    Abort,
    Obey(usize),
    Wait(u64),
    Kill,
}

fn moves() -> impl Strategy<Value = Move> {
    let images = prop::sample::select(vec!["a:1", "a:2", "bad:1", "ill:1", "slow:1"]);
    let extras = prop::sample::select(vec![
        "",
        r#","ports":["80:80"]"#,
        r#","memory":"1500MiB""#,
        r#","update":{"parallel":"100%","max_unavailable":1}"#,
        r#","update":{"order":"stop_first"}"#,
        r#","update":{"canary":1}"#,
        r#","singleton":true"#,
        r#","labels":{"a":"b"}"#,
        r#","max_per_node":1"#,
    ]);
    prop_oneof![
        3 => (images, 1u32..5, extras).prop_map(|(image, count, more)| {
            let more = if count == 1 && more.contains("canary") { "" } else { more };
            Move::Run(web(image, count, more))
        }),
        1 => Just(Move::Stop),
        1 => Just(Move::Start),
        1 => Just(Move::Restart),
        1 => Just(Move::Rollback),
        1 => Just(Move::Pause),
        1 => Just(Move::Resume),
        1 => Just(Move::Abort),
        20 => (0usize..8).prop_map(Move::Obey),
        4 => (1u64..8000).prop_map(Move::Wait),
        1 => Just(Move::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever is asked for, and whenever the manager dies: no more tasks than wanted, none of a stopped job placed, and in
    /// the end what was asked for last, or the version before it.
    #[test]
    fn whatever_happens_it_comes_to_an_end(moves in prop::collection::vec(moves(), 1..60)) {
        let mut y = Yard::new(3);
        let job = || "web".to_owned();
        for m in moves {
            let stopped = y.b.m.find_job("web").is_ok() && y.job("web").wanted == Wanted::Stopped;
            let before = y.b.m.durable.placements.len();
            match m {
                Move::Run(json) => { let _ = y.run(&json); }
                Move::Stop => { let _ = y.ask(JobRequest::Stop { job: job() }); }
                Move::Start => { let _ = y.ask(JobRequest::Start { job: job() }); }
                Move::Restart => { let _ = y.ask(JobRequest::Restart { job: job() }); }
                Move::Rollback => { let _ = y.ask(JobRequest::Rollback { job: job(), how: RollbackJob::default() }); }
                Move::Pause => { let _ = y.act("web", RolloutAct::Pause); }
                Move::Resume => { let _ = y.act("web", RolloutAct::Resume); }
                Move::Abort => { let _ = y.act("web", RolloutAct::Abort); }
                Move::Obey(n) => {
                    y.obey(n);
                    prop_assert!(!stopped || y.b.m.durable.placements.len() <= before, "a stopped job places nothing");
                }
                Move::Wait(ms) => y.wait(Span::from_ms(ms)),
                Move::Kill => y.restart(),
            }
            if let Ok(id) = y.b.m.find_job("web") {
                let most = y.b.m.durable.jobs[&id].spec.count() as usize;
                let kept = y.tasks("web").iter().filter(|t| !t.removing).count();
                prop_assert!(kept <= most, "{kept} of {most}");
            }
        }
        let (Ok(id), false) = (y.b.m.find_job("web"), false) else { return Ok(()) };
        y.settle_for(Span::from_secs(601));
        let record = y.b.m.durable.jobs[&id].clone();
        if record.wanted == Wanted::Running && !record.rollout.is_active() && record.rollout.from != 0 {
            let skipped = !record.rollout.skipped.is_empty();
            let mixed = y.placements("web").values().any(|p| p.version != record.version);
            prop_assert!(!mixed || skipped || record.rollout.back || record.last_proven().is_none(), "{record:?}");
        }
    }

    /// In whatever order workers do what they are told, and whenever the manager dies: no rollout takes more tasks away than
    /// it may, and what was healthy is there in the end where the new version is not.
    #[test]
    fn no_rollout_takes_more_away_than_it_may(
        image in prop::sample::select(vec!["a:2", "bad:2", "ill:2"]),
        (more, missing) in prop::sample::select(vec![
            ("", 0),
            (r#","update":{"parallel":"100%"}"#, 0),
            (r#","update":{"order":"stop_first","parallel":"100%"}"#, 1),
            (r#","update":{"order":"stop_first","parallel":"100%","max_unavailable":2}"#, 2),
            (r#","ports":["80:80"]"#, 1),
            (r#","singleton":true,"update":{"parallel":3}"#, 1),
        ]),
        steps in prop::collection::vec((0usize..8, 0u8..12), 0..80),
    ) {
        let mut y = Yard::new(3);
        y.run(&web("a:1", 3, more)).unwrap();
        y.settle();
        y.floor.insert(name("web"), 3 - missing);
        y.run(&web(image, 3, more)).unwrap();
        for (n, step) in steps {
            match step {
                0 => y.restart(),
                1 | 2 => y.wait(Span::from_ms(2500)),
                _ => { y.obey(n); }
            }
        }
        y.settle();
        let good = if image == "a:2" { "a:2" } else { "a:1" };
        prop_assert_eq!(y.images("web"), vec![good; 3]);
        prop_assert_eq!(y.job("web").state, JobState::Running);
    }

    /// A plan is what the run then does, and after the run there is nothing to plan.
    #[test]
    fn a_plan_is_what_the_run_does(
        first in (1u32..4, prop::sample::select(vec!["", r#","ports":["80:80"]"#, r#","memory":"1GiB""#])),
        second in (1u32..5, prop::sample::select(vec!["", r#","ports":["80:80"]"#, r#","memory":"1500MiB""#, r#","max_per_node":1"#])),
        image in prop::sample::select(vec!["a:1", "a:2"]),
    ) {
        let mut y = Yard::new(3);
        y.run(&web("a:1", first.0, first.1)).unwrap();
        y.settle();
        let json = web(image, second.0, second.1);
        let plan = y.plan(&json);
        let before = y.placements("web");
        y.run(&json).unwrap();
        y.settle();
        let after = y.placements("web");
        for task in &plan.tasks {
            let now = after.get(&task.name);
            let node = now.and_then(|p| y.b.m.durable.nodes.get(&p.node)).map(|n| n.name.clone());
            let kept = before.get(&task.name).map(|p| p.id) == now.map(|p| p.id);
            match task.action {
                PlannedAction::Stop => prop_assert!(now.is_none(), "{task:?}"),
                PlannedAction::Keep => prop_assert!(kept, "{task:?}"),
                PlannedAction::Start => prop_assert!(node == task.to, "{task:?} is on {node:?}"),
                PlannedAction::Replace => {
                    prop_assert!(task.to.is_none() || (!kept && node == task.to), "{task:?} is on {node:?}");
                }
            }
        }
        prop_assert!(!y.plan(&json).changes);
    }
}
