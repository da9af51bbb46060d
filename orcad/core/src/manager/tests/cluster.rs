//! Tables of a cluster: who may join and under which name, whose labels count, who is a member, whose life is heard.

use std::collections::BTreeMap;

use orca_api::cluster::{CreateToken, SetCluster, SetLabels};
use orca_api::id::LifeId;
use orca_api::join::{CertRole, Secret};
use orca_api::link::Welcome;
use orca_api::load::{NodeLoad, Pressure};
use orca_api::name::Name;

use super::super::certificates::RotationStage;
use super::super::io::JoinAsked;
use super::super::record::TokenRecord;
use super::*;

/// What came of a join.
struct Joined {
    node: NodeId,
    name: String,
    warning: Option<String>,
}

fn facts(name: &str) -> NodeFacts {
    NodeFacts {
        name: name.parse().ok(),
        cpu: Cpu::from_millis(2000),
        memory: Bytes::mib(2048),
        disk: Bytes::mib(10_000),
        os: "linux".into(),
        arch: "x86_64".into(),
        labels: BTreeMap::from([("rack".to_owned(), "a".to_owned())]),
        data_center: "fra".into(),
        ..NodeFacts::default()
    }
}

impl Bench {
    fn reply(step: Step) -> Result<Answer, Problem> {
        let mut replies = step.effects.into_iter().filter_map(|e| match e {
            Effect::Reply { answer, .. } => Some(answer),
            _ => None,
        });
        replies.next().expect("an answer")
    }

    fn secret(&mut self, create: CreateToken) -> Secret {
        match self.ask_keyed(Request::CreateToken(create), None).unwrap() {
            Answer::TokenMade { secret, .. } => secret,
            other => panic!("{other:?}"),
        }
    }

    fn join_with(&mut self, join: JoinAsked) -> Result<Joined, Problem> {
        let address = "10.0.0.7".to_owned();
        let step = self.step(Event::JoinAsked { token: Token(3), address, join: Box::new(join) });
        let recorded = step.changes.iter().filter(|c| matches!(c, Change::Audited { .. })).count();
        assert_eq!(recorded, 1, "each join is audited, and each refusal");
        match Self::reply(step)? {
            Answer::Joined { node, name, warning, .. } => {
                Ok(Joined { node, name: name.to_string(), warning })
            }
            other => panic!("{other:?}"),
        }
    }

    fn asked(&self, secret: Secret, facts: NodeFacts) -> JoinAsked {
        JoinAsked { version: LINK_VERSION, secret: secret.digest(), facts, clock: self.now.wall }
    }

    /// A machine of that name joins with a token of its own.
    fn join(&mut self, name: &str) -> Joined {
        let secret = self.secret(CreateToken::default());
        let join = self.asked(secret, facts(name));
        self.join_with(join).unwrap()
    }

    fn hello_of(&mut self, node: NodeId, life: LifeId, facts: NodeFacts) -> Result<Welcome, Problem> {
        let hello = Hello {
            version: LINK_VERSION,
            life,
            facts,
            generation: Generation::default(),
            clock: self.now.wall,
            inventory: Vec::new(),
        };
        let address = Some("10.0.0.7".to_owned());
        match Self::reply(self.step(Event::Hello { token: Token(4), node, address, hello: Box::new(hello) }))?
        {
            Answer::Welcome(welcome) => Ok(welcome),
            other => panic!("{other:?}"),
        }
    }

    /// A machine of that name joins, and is heard.
    fn ready(&mut self, name: &str) -> (NodeId, LifeId) {
        let joined = self.join(name);
        let life = LifeId::fresh(&mut self.ids);
        assert_eq!(self.hello_of(joined.node, life, facts(name)).unwrap().name.as_str(), joined.name);
        (joined.node, life)
    }

    fn poll(&mut self, node: NodeId, life: LifeId) {
        let generation = Generation::default();
        self.step(Event::Polled {
            node,
            life,
            generation,
            conditions: Vec::new(),
            clock: Some(self.now.wall),
        });
    }

    fn state(&self, node: NodeId) -> Option<NodeState> {
        self.m.node_view(node, self.now).map(|n| n.state)
    }

    /// What needs an eye, a line each.
    fn attention(&self) -> String {
        let status = self.m.status(self.node, "1", self.now.wall, self.now).unwrap();
        let lines = status.attention.iter().map(|a| format!("{} [{}]", a.text, a.hint));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Nobody but these says anything for so long; each probe finds nothing.
    fn silence(&mut self, span: Span, heard: &[(NodeId, LifeId)]) {
        let end = self.now.boot_ms + span.ms();
        let mut probes: Vec<(NodeId, u64)> = Vec::new();
        while self.now.boot_ms < end {
            self.later(Span::from_ms(500));
            for (node, probe) in std::mem::take(&mut probes) {
                let step = self.step(Event::Probed { node, probe, found: super::super::io::Found::Silence });
                probes.extend(probes_in(&step));
            }
            for (node, life) in heard {
                self.poll(*node, *life);
            }
            let step = self.step(Event::Tick);
            probes.extend(probes_in(&step));
            assert!(self.m.next_deadline().is_none_or(|at| at > self.now.boot_ms), "what is due is done");
        }
    }
}

fn probes_in(step: &Step) -> Vec<(NodeId, u64)> {
    let probes = step.effects.iter().filter_map(|e| match e {
        Effect::Probe { node, probe, .. } => Some((*node, *probe)),
        _ => None,
    });
    probes.collect()
}

#[test]
fn a_machine_joins_says_hello_and_takes_work() {
    let mut b = Bench::new();
    assert_eq!(b.m.listen(), None);
    let secret = b.secret(CreateToken::default());
    assert_eq!(b.m.listen(), Some("0.0.0.0:7443"), "the first token opens the port");
    assert_eq!(b.m.token_list(b.now.wall).len(), 1);
    let stored = format!("{:?}", b.m.durable_rows());
    let hex = format!("{:032x}", u128::from_be_bytes(secret.0));
    assert!(stored.contains(&secret.digest()) && !stored.contains(&hex), "only its digest is stored");
    let join = b.asked(secret, facts("w1"));
    let joined = b.join_with(join).unwrap();
    assert_eq!((joined.name.as_str(), joined.warning), ("w1", None));
    assert_eq!(b.state(joined.node), Some(NodeState::Joining));
    assert!(b.attention().contains("node w1 is joining"), "{}", b.attention());
    assert!(b.m.token_list(b.now.wall).is_empty(), "it was used up");
    // It takes no work before its first hello, and then it does.
    let spec = r#"{"image":"nginx","constraints":["node.name == w1"]}"#;
    assert_eq!(b.start("web", spec, false).unwrap().reason, Some(Reason::NoFit));
    let life = LifeId::fresh(&mut b.ids);
    b.hello_of(joined.node, life, facts("w1")).unwrap();
    assert_eq!(b.view("web").unwrap().node.unwrap().as_str(), "w1");
    let view = b.m.node_view(joined.node, b.now).unwrap();
    assert_eq!((view.state, view.address.as_deref()), (NodeState::Ready, Some("10.0.0.7")));
}

#[test]
fn who_may_not_join_hears_why_and_what_to_do() {
    let mut b = Bench::new();
    let good = b.secret(CreateToken { uses: Some(10), ..CreateToken::default() });
    let named = b.secret(CreateToken { node: "w9".parse().ok(), ..CreateToken::default() });
    let short = b.secret(CreateToken { ttl: Some(Span::from_secs(60)), ..CreateToken::default() });
    let revoked = b.secret(CreateToken::default());
    let id = |b: &Bench, s: Secret| {
        let of = |t: &TokenRecord| t.secret == s.digest();
        b.m.durable.tokens.values().find(|t| of(t)).unwrap().id.to_string()
    };
    let token = id(&b, revoked);
    b.ask_keyed(Request::RevokeToken { token: token[..6].to_owned() }, None).unwrap();
    let gone = b.ask_keyed(Request::RevokeToken { token }, None).unwrap_err();
    assert_eq!(gone.code, Code::NoSuchToken, "it is not listed any more");
    let used = b.secret(CreateToken::default());
    let join = b.asked(used, facts("w1"));
    b.join_with(join).unwrap();
    b.later(Span::from_secs(61));

    let table: Vec<(JoinAsked, Code, &str)> = vec![
        (b.asked(Secret([1; 16]), facts("w2")), Code::BadToken, "knows no such join token"),
        (b.asked(used, facts("w2")), Code::TokenSpent, "used up"),
        (b.asked(revoked, facts("w2")), Code::TokenSpent, "revoked"),
        (b.asked(short, facts("w2")), Code::TokenSpent, "expired 1s ago"),
        (b.asked(named, facts("w2")), Code::BadToken, "w9"),
        (JoinAsked { version: 0, ..b.asked(good, facts("w2")) }, Code::VersionApart, "too old"),
        (
            JoinAsked { clock: Time::from_ms(b.now.wall.ms() + 720_000), ..b.asked(good, facts("w2")) },
            Code::ClockOff,
            "12m ahead of",
        ),
        (
            JoinAsked { clock: Time::from_ms(b.now.wall.ms() - 301_000), ..b.asked(good, facts("w2")) },
            Code::ClockOff,
            "5m 1s behind",
        ),
        (
            b.asked(good, NodeFacts { labels: [("a b".to_owned(), String::new())].into(), ..facts("w2") }),
            Code::BadSpec,
            "labels",
        ),
    ];
    for (join, code, words) in table {
        let problem = b.join_with(join).err().unwrap();
        let text = format!("{problem} {:?}", problem.because);
        assert_eq!(problem.code, code, "{text}");
        assert!(text.contains(words), "{words}: {text}");
        assert!(!problem.hint.is_empty(), "{text}");
    }
    assert_eq!(b.m.node_list(b.now).len(), 2, "nobody of them is a node");
    // A clock that is off by less is no reason: certificates are dated back by an hour.
    let clock = Time::from_ms(b.now.wall.ms() - 290_000);
    let late = JoinAsked { clock, ..b.asked(good, facts("w3")) };
    assert_eq!(b.join_with(late).unwrap().name, "w3");
    let join = b.asked(named, facts("w9"));
    assert_eq!(b.join_with(join).unwrap().name, "w9");
    // Spent tokens are remembered for a while, and then they go.
    b.later(Span::from_secs(26 * 3600));
    b.step(Event::Tick);
    assert!(b.m.durable.tokens.is_empty());
}

#[test]
fn wrong_tokens_are_not_made() {
    let mut b = Bench::new();
    for (create, words) in [
        (CreateToken { ttl: Some(Span::from_secs(31 * 86_400)), ..CreateToken::default() }, "ttl"),
        (CreateToken { uses: Some(0), ..CreateToken::default() }, "uses"),
        (CreateToken { uses: Some(2), node: "a".parse().ok(), ..CreateToken::default() }, "uses"),
        (CreateToken { role: Some(Role::Manager), ..CreateToken::default() }, "role"),
        (CreateToken { addresses: vec!["nowhere".into()], ..CreateToken::default() }, "addresses[0]"),
    ] {
        let problem = b.ask_keyed(Request::CreateToken(create), None).unwrap_err();
        assert_eq!(problem.code, Code::BadSpec);
        assert!(problem.detail.starts_with(words), "{problem}");
    }
    assert_eq!(b.m.listen(), None);
}

#[test]
fn refusals_do_not_fill_the_audit() {
    let mut b = Bench::new();
    let mut recorded = 0;
    for _ in 0..200 {
        let join = Box::new(b.asked(Secret([1; 16]), facts("w")));
        let step = b.step(Event::JoinAsked { token: Token(1), address: "10.0.0.9".into(), join });
        recorded += step.changes.iter().filter(|c| matches!(c, Change::Audited { .. })).count();
    }
    assert!((60..=120).contains(&recorded), "{recorded}");
}

#[test]
fn a_name_is_kept_by_who_lives_and_given_up_by_who_does_not() {
    let mut b = Bench::new();
    let (first, life) = b.ready("w1");
    let second = b.join("w1");
    assert_eq!(second.name, "w1-2");
    assert!(second.warning.unwrap().contains("w1 is here already"));
    assert_eq!(b.join("n1").name, "n1-2", "the manager's own node keeps its name");
    // The same machine that lost its state while its orcad is away takes its name back: its kernel's boot tells.
    let boot = |id: &str| NodeFacts { boot_id: id.to_owned(), ..facts("w1") };
    b.hello_of(first, life, boot("boot-1")).unwrap();
    let goodbye = orca_api::link::Goodbye { life, reason: "restart".into(), back_in: None };
    b.step(Event::Goodbye { node: first, goodbye });
    assert_eq!(b.state(first), Some(NodeState::Disconnected));
    let secret = b.secret(CreateToken { uses: Some(2), ..CreateToken::default() });
    let other = b.asked(secret, boot("boot-2"));
    assert_eq!(b.join_with(other).unwrap().name, "w1-3");
    let same = b.asked(secret, boot("boot-1"));
    let again = b.join_with(same).unwrap();
    assert_eq!((again.name.as_str(), again.warning), ("w1", None));
    assert_eq!(b.state(first), None, "it was replaced");
    assert_eq!(b.m.is_member(first).unwrap_err().code, Code::Removed);
    // One that is down gives its name up as well, and what it ran moves.
    let life = LifeId::fresh(&mut b.ids);
    b.hello_of(again.node, life, facts("w1")).unwrap();
    let spec = r#"{"image":"nginx","constraints":["node.name == w1"]}"#;
    b.start("web", spec, false).unwrap();
    b.ask_keyed(Request::ConfirmDown { node: "w1".into() }, None).unwrap_err();
    let own = (b.node, b.life);
    b.silence(Span::from_secs(12), &[own]);
    assert_eq!(b.state(again.node), Some(NodeState::Down));
    let heir = b.join("w1");
    assert_eq!((heir.name.as_str(), b.state(again.node)), ("w1", None));
    let life = LifeId::fresh(&mut b.ids);
    b.hello_of(heir.node, life, facts("w1")).unwrap();
    assert_eq!(b.view("web").unwrap().node_id, Some(heir.node));
}

#[test]
fn who_joins_and_never_says_hello_is_forgotten() {
    let mut b = Bench::new();
    let joined = b.join("w1");
    let own = (b.node, b.life);
    b.silence(Span::from_secs(590), &[own]);
    assert_eq!(b.state(joined.node), Some(NodeState::Joining));
    b.silence(Span::from_secs(15), &[own]);
    assert_eq!(b.state(joined.node), None);
    assert_eq!(b.m.is_member(joined.node).unwrap_err().code, Code::Removed);
}

#[test]
fn what_counted_at_the_join_counts_until_it_is_accepted() {
    let mut b = Bench::new();
    let (node, life) = b.ready("w1");
    let lies = NodeFacts {
        memory: Bytes::mib(900_000),
        cpu: Cpu::from_millis(1000),
        labels: [("rack".to_owned(), "b".to_owned()), ("gpu".to_owned(), "yes".to_owned())].into(),
        data_center: "ber".into(),
        ..facts("w1")
    };
    b.hello_of(node, life, lies).unwrap();
    let view = b.m.node_view(node, b.now).unwrap();
    assert_eq!(view.memory.total, Bytes::mib(2048), "capacity does not rise by itself");
    assert_eq!(view.cpu.total, Cpu::from_millis(1000), "it may fall");
    let detail = b.m.node_detail("w1", b.now).unwrap();
    assert_eq!((detail.labels["rack"].as_str(), detail.data_center.as_str()), ("a", "fra"));
    let differs = detail.differs.join("; ");
    for words in ["label gpu: yes, not set", "label rack: b, not a", "data centre: ber, not fra", "memory: "]
    {
        assert!(differs.contains(words), "{differs}");
    }
    assert!(b.attention().contains("orcactl node label w1 --accept"), "{}", b.attention());
    // What an operator sets is no difference, and stays when the rest is accepted.
    let set =
        |b: &mut Bench, set: SetLabels| b.ask_keyed(Request::SetLabels { node: "w1".into(), set }, None);
    let mine = SetLabels { set: [("owner".to_owned(), "ops".to_owned())].into(), ..SetLabels::default() };
    set(&mut b, mine).unwrap();
    assert_eq!(b.m.node_detail("w1", b.now).unwrap().differs.len(), 4);
    set(&mut b, SetLabels { accept: true, ..SetLabels::default() }).unwrap();
    let detail = b.m.node_detail("w1", b.now).unwrap();
    assert_eq!(detail.differs, Vec::<String>::new());
    let labels: Vec<String> = detail.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["gpu=yes", "owner=ops", "rack=b"]);
    assert_eq!(detail.node.memory.total, Bytes::mib(900_000));
    let bad = SetLabels { set: [("a b".to_owned(), String::new())].into(), ..SetLabels::default() };
    assert_eq!(set(&mut b, bad).unwrap_err().code, Code::BadSpec);
    let own = Request::SetLabels { node: "n1".into(), set: SetLabels::default() };
    assert_eq!(b.ask_keyed(own, None).unwrap_err().code, Code::NotAllowed);
}

#[test]
fn a_node_that_was_removed_is_told_so_and_one_that_is_not_known_is_not() {
    let mut b = Bench::new();
    let (node, life) = b.ready("w1");
    let spec = r#"{"image":"nginx","constraints":["node.name == w1"]}"#;
    b.start("web", spec, false).unwrap();
    let remove = |force| Request::RemoveNode { node: "w1".into(), force };
    let refused = b.ask_keyed(remove(false), None).unwrap_err();
    assert_eq!(refused.code, Code::WouldStrand);
    assert!(refused.hint[0].contains("orcactl node drain w1"), "{refused:?}");
    let gone = match b.ask_keyed(remove(true), None).unwrap() {
        Answer::NodeGone(gone) => gone,
        other => panic!("{other:?}"),
    };
    assert_eq!(gone.moved, ["web".parse::<Name>().unwrap()]);
    assert_eq!(b.view("web").unwrap().reason, Some(Reason::NoFit), "there is no w1 any more");
    assert!(b.m.find_node("w1").is_err() && b.m.node_list(b.now).len() == 1);
    assert!(!b.m.hears(node, life));
    assert_eq!(b.hello_of(node, life, facts("w1")).unwrap_err().code, Code::Removed);
    let stranger = NodeId::fresh(&mut b.ids);
    assert_eq!(b.hello_of(stranger, life, facts("w2")).unwrap_err().code, Code::NoSuchNode);
    assert!(b.attention().contains(&stranger.to_string()), "{}", b.attention());
    assert_eq!(
        b.ask_keyed(Request::RemoveNode { node: "n1".into(), force: true }, None).unwrap_err().code,
        Code::NotAllowed
    );
    // It is forgotten once no certificate of it can be good, and nothing tells of it any more.
    b.ask(Request::Remove { task: "web".into(), force: true }).unwrap();
    b.later(Span::from_secs(367 * 86_400));
    b.step(Event::Tick);
    assert!(!b.m.durable.nodes.contains_key(&node));
}

#[test]
fn a_node_that_leaves_has_left_once_nothing_is_left_on_it() {
    let mut b = Bench::new();
    let (node, life) = b.ready("w1");
    b.start("web", r#"{"image":"nginx","constraints":["node.name == w1"]}"#, false).unwrap();
    let leave = |b: &mut Bench| Bench::reply(b.step(Event::LeaveAsked { token: Token(5), node }));
    assert_eq!(leave(&mut b), Ok(Answer::Leaving { tasks: 1 }));
    let view = b.m.node_view(node, b.now).unwrap();
    assert_eq!(view.availability, orca_api::node::Availability::Draining);
    b.ask(Request::Remove { task: "web".into(), force: true }).unwrap();
    let placement = b.placement("web");
    let task = b.m.durable.placements[&placement].task;
    let done = PlacementStatus {
        sequence: 5,
        finished: true,
        attempts: vec![attempt(1, State::Stopped)],
        ..status(placement, task)
    };
    b.step(Event::Reported { token: Token(1), node, life, placements: vec![done] });
    assert_eq!(leave(&mut b), Ok(Answer::Leaving { tasks: 0 }));
    assert_eq!(b.m.is_member(node).unwrap_err().code, Code::Removed);
    assert_eq!(leave(&mut b).unwrap_err().code, Code::Removed);
}

#[test]
fn one_node_has_one_life() {
    let mut b = Bench::new();
    let (node, first) = b.ready("w1");
    let second = LifeId::fresh(&mut b.ids);
    let own = (b.node, b.life);
    // A copy knocks while the first is heard, for as long as it likes.
    for _ in 0..12 {
        b.later(Span::from_secs(1));
        b.poll(own.0, own.1);
        b.poll(node, first);
        assert_eq!(b.hello_of(node, second, facts("w1")).unwrap_err().code, Code::Changed);
        assert!(b.m.hears(node, first));
    }
    assert!(b.attention().contains("another machine uses the identity of node w1"), "{}", b.attention());
    // The end of a connection that was refused says nothing; that of the first one does.
    b.step(Event::Dropped { node, life: second });
    assert!(b.hello_of(node, second, facts("w1")).is_err());
    b.step(Event::Dropped { node, life: first });
    b.hello_of(node, second, facts("w1")).unwrap();
    assert!(b.m.hears(node, second) && !b.m.hears(node, first));
    // A restart that nobody noticed takes a few seconds.
    let third = LifeId::fresh(&mut b.ids);
    assert!(b.hello_of(node, third, facts("w1")).is_err());
    b.later(Span::from_secs(6));
    b.hello_of(node, third, facts("w1")).unwrap();
}

#[test]
fn a_sign_of_life_in_time_ends_every_suspicion() {
    let mut b = Bench::new();
    let (node, life) = b.ready("w1");
    let own = (b.node, b.life);
    let first = probes_in(&b.step(Event::Dropped { node, life }));
    assert_eq!(first.len(), 1, "a broken connection is looked after at once");
    b.later(Span::from_secs(1));
    b.poll(node, life);
    // What the probe finds is old news then.
    b.step(Event::Probed { node, probe: first[0].1, found: super::super::io::Found::Silence });
    b.silence(Span::from_secs(60), &[own, (node, life)]);
    assert_eq!(b.state(node), Some(NodeState::Ready));
    // An answer that comes too late does not count twice.
    b.silence(Span::from_secs(6), &[own]);
    assert_eq!(b.state(node), Some(NodeState::Ready), "silent, and probed less than three times");
    b.poll(node, life);
    b.silence(Span::from_secs(4), &[own]);
    assert_eq!(b.state(node), Some(NodeState::Ready));
}

#[test]
fn the_managers_own_node_is_never_probed_and_keeps_its_tasks() {
    let mut b = Bench::new();
    let (other, life) = b.ready("w1");
    b.start("web", r#"{"image":"nginx","constraints":["node.name == n1"]}"#, false).unwrap();
    b.silence(Span::from_secs(200), &[(other, life)]);
    assert_eq!(b.state(b.node), Some(NodeState::Disconnected));
    assert_eq!(b.view("web").unwrap().node_id, Some(b.node));
    let refused = b.ask_keyed(Request::ConfirmDown { node: "n1".into() }, None).unwrap_err();
    assert_eq!(refused.code, Code::NodeAlive);
}

#[test]
fn a_manager_without_a_worker_is_ready_and_takes_no_tasks() {
    let mut ids = SeededIds(1);
    let now = Now { wall: Time::from_ms(1_800_000_000_000), boot_ms: 1_000_000 };
    let rows = Manager::bootstrap(&mut ids, now, "m1".parse().unwrap(), vec![Role::Manager]);
    let m = Manager::load(rows);
    let node = m.first_node().unwrap();
    let life = LifeId::fresh(&mut ids);
    let mut b = Bench { m, ids, now, node, life, sequence: 0 };
    b.step(Event::Started);
    assert_eq!(b.state(node), Some(NodeState::Ready));
    let view = b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    assert_eq!(view.reason, Some(Reason::NoFit));
    let (worker, worker_life) = b.ready("w1");
    assert_eq!(b.view("web").unwrap().node_id, Some(worker));
    b.silence(Span::from_secs(100), &[(worker, worker_life)]);
    assert_eq!(b.state(node), Some(NodeState::Ready));
}

#[test]
fn lasting_pressure_keeps_new_work_away() {
    let mut b = Bench::new();
    let measured = |memory_full| {
        let mut load = NodeLoad::default();
        load.machine.pressure = Some(Pressure { memory_full, ..Pressure::default() });
        Box::new(load)
    };
    for _ in 0..7 {
        b.step(Event::Measured { node: b.node, load: measured(45.0) });
        b.later(Span::from_secs(5));
    }
    let view = b.start("web", r#"{"image":"nginx"}"#, false).unwrap();
    assert_eq!(view.reason, Some(Reason::NoFit));
    assert!(b.attention().contains("n1 is under pressure"), "{}", b.attention());
    for _ in 0..8 {
        b.step(Event::Measured { node: b.node, load: measured(1.0) });
        b.later(Span::from_secs(5));
    }
    assert_eq!(b.view("web").unwrap().phase, Phase::Scheduled);
}

#[test]
fn a_clock_that_is_off_shows_until_it_is_right() {
    let mut b = Bench::new();
    let (node, life) = b.ready("w1");
    for (ahead, shown) in [(9_000, false), (-11_000, true), (-6_000, true), (4_000, false)] {
        let clock = Some(Time::from_ms(b.now.wall.ms() + ahead));
        let generation = Generation::default();
        b.step(Event::Polled { node, life, generation, conditions: Vec::new(), clock });
        let view = b.m.node_view(node, b.now).unwrap();
        assert_eq!(view.clock_ahead_ms, ahead);
        assert_eq!(view.conditions.contains(&Condition::ClockSkew), shown, "{ahead}");
    }
}

#[test]
fn the_ca_is_replaced_when_every_member_has_a_certificate_of_it() {
    let mut b = Bench::new();
    let (w1, _) = b.ready("w1");
    let (w2, _) = b.ready("w2");
    let (old, new) = ("0".repeat(64), "a".repeat(64));
    let expires_at = b.now.wall.plus(Span::from_secs(86_400));
    let certified =
        |b: &mut Bench, node, ca: &str| b.step(Event::Certified { node, expires_at, ca: ca.to_owned() });
    for node in [w1, w2] {
        certified(&mut b, node, &old);
    }
    assert!(b.attention().contains("the certificate of node w1 expires in 1d"), "{}", b.attention());
    b.ask_keyed(Request::RotateCa { ca: new.clone() }, None).unwrap();
    assert!(b.m.node_must_renew(w1) && b.m.node_must_renew(w2) && !b.m.node_must_renew(b.node));
    certified(&mut b, w1, &new);
    let view = b.m.cluster_view().unwrap().ca.rotation.unwrap();
    assert_eq!((view.renewed, view.waiting), (1, vec!["w2".parse::<Name>().unwrap()]));
    assert!(!b.m.node_must_renew(w1) && b.m.node_must_renew(w2));
    // One that is removed is not waited for.
    b.ask_keyed(Request::RemoveNode { node: "w2".into(), force: true }, None).unwrap();
    assert_eq!(b.m.cluster_view().unwrap().ca.rotation, None);
}

#[test]
fn the_former_ca_stays_for_people_until_their_last_certificate_is_gone() {
    let mut b = Bench::new();
    let (w1, _) = b.ready("w1");
    let (old, new) = ("0".repeat(64), "a".repeat(64));
    let expires_at = b.now.wall.plus(Span::from_secs(86_400));
    b.step(Event::Certified { node: w1, expires_at, ca: old });
    let issue = |name: &str, secs| Request::IssueCertificate {
        name: name.parse().unwrap(),
        role: CertRole::Admin,
        ttl: Some(Span::from_secs(secs)),
    };
    b.ask_keyed(issue("anna", 3600), None).unwrap();
    b.ask_keyed(issue("bert", 3 * 3600), None).unwrap();
    assert_eq!(b.m.rotation_stage(&new), RotationStage::Unheard);
    b.ask_keyed(Request::RotateCa { ca: new.clone() }, None).unwrap();
    assert_eq!(b.m.rotation_stage(&new), RotationStage::Nodes);
    b.ask_keyed(issue("carl", 3600), None).unwrap();
    b.step(Event::Certified { node: w1, expires_at, ca: new.clone() });
    assert_eq!(b.m.rotation_stage(&new), RotationStage::People);
    let people = |b: &Bench| {
        let rotation = b.m.cluster_view().unwrap().ca.rotation;
        rotation.map(|r| r.people.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(people(&b), Some(vec!["anna".to_owned(), "bert".to_owned()]));
    // One is revoked, the other expires: nobody has to say that it is over.
    b.ask_keyed(Request::RevokeCertificate { certificate: "bert".to_owned() }, None).unwrap();
    assert_eq!(people(&b), Some(vec!["anna".to_owned()]));
    b.later(Span::from_secs(2 * 3600));
    b.step(Event::Tick);
    assert_eq!(people(&b), None);
    assert_eq!(b.m.rotation_stage(&new), RotationStage::Over);
    assert_eq!(b.m.rotation_stage(&"b".repeat(64)), RotationStage::Unheard);
}

#[test]
fn certificates_of_people_are_issued_listed_revoked_and_expire() {
    let mut b = Bench::new();
    let issue = |b: &mut Bench, name: &str, role, secs| {
        let ttl = Some(Span::from_secs(secs));
        match b.ask_keyed(Request::IssueCertificate { name: name.parse().unwrap(), role, ttl }, None)? {
            Answer::Certificate(view) => Ok::<_, Problem>(view),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(issue(&mut b, "anna", CertRole::Worker, 3600).unwrap_err().code, Code::BadSpec);
    assert_eq!(issue(&mut b, "anna", CertRole::Admin, 400 * 86_400).unwrap_err().code, Code::BadSpec);
    let anna = issue(&mut b, "anna", CertRole::Admin, 3600).unwrap();
    let second = issue(&mut b, "anna", CertRole::View, 7200).unwrap();
    assert_eq!(b.m.certificate_ok(anna.id, b.now.wall), Some(CertRole::Admin));
    assert_eq!(b.m.certificate_ok(second.id, b.now.wall), Some(CertRole::View));
    let revoke = |certificate: &str| Request::RevokeCertificate { certificate: certificate.to_owned() };
    assert_eq!(b.ask_keyed(revoke("anna"), None).unwrap_err().code, Code::Ambiguous);
    let step_revoke = b.ask_keyed(revoke(&anna.id.to_string()), None);
    assert!(step_revoke.is_ok());
    assert_eq!(b.m.certificate_ok(anna.id, b.now.wall), None);
    assert_eq!(b.m.certificate_list(b.now.wall).len(), 1);
    b.later(Span::from_secs(7200));
    assert_eq!(b.m.certificate_ok(second.id, b.now.wall), None, "it has expired");
    assert_eq!(b.ask_keyed(revoke("bert"), None).unwrap_err().code, Code::NoSuchCertificate);
}

#[test]
fn settings_are_checked_and_the_port_is_not_closed_on_members() {
    let mut b = Bench::new();
    let bad = SetCluster { node_grace: Some(Span::from_secs(90_000)), ..SetCluster::default() };
    assert_eq!(b.ask_keyed(Request::SetCluster(bad), None).unwrap_err().code, Code::BadSpec);
    let bad = SetCluster { addresses: Some(vec!["x".into()]), ..SetCluster::default() };
    assert_eq!(b.ask_keyed(Request::SetCluster(bad), None).unwrap_err().code, Code::BadSpec);
    let good = SetCluster { agent_grace: Some(Span::from_secs(5)), ..SetCluster::default() };
    let set = |b: &mut Bench| b.ask_keyed(Request::SetCluster(good.clone()), None);
    assert_eq!(set(&mut b), Ok(Answer::Done { changed: true }));
    assert_eq!(set(&mut b), Ok(Answer::Done { changed: false }));
    assert_eq!(b.m.cluster_view().unwrap().agent_grace, Span::from_secs(5));
    let listen =
        |address: Option<&str>, force| Request::Listen { address: address.map(str::to_owned), force };
    assert_eq!(b.ask_keyed(listen(Some("everywhere"), false), None).unwrap_err().code, Code::BadSpec);
    b.ask_keyed(listen(Some("[::]:7443"), false), None).unwrap();
    b.ready("w1");
    assert_eq!(b.m.listen(), Some("[::]:7443"), "a token leaves it as it is");
    assert_eq!(b.ask_keyed(listen(None, false), None).unwrap_err().code, Code::WouldStrand);
    b.ask_keyed(listen(None, true), None).unwrap();
    assert_eq!(b.m.listen(), None);
}
