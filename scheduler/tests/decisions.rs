//! Tables: what one machine needs, each score's habit, each explanation's words.

#[expect(dead_code, reason = "this test uses a part of it")]
mod common;

use std::collections::BTreeMap;

use common::{Dice, Told, held, node, resources};
use orca_api::id::NodeId;
use orca_api::node::{Availability, Condition, NodeState};
use orca_api::spec::Algorithm;
use scheduler::{
    Distinct, Group, KeepAway, Load, Preference, Pressure, Request, Resources, Scheduler, SpreadOver, Target,
};

/// Nodes with these capacities (CPU in thousandths, memory in MiB), named `node-0`, `node-1` …
fn cluster(capacities: &[(u64, u64)]) -> (Dice, Told, Scheduler, Vec<NodeId>) {
    let mut dice = Dice::new(42);
    let (mut told, mut scheduler) = (Told::default(), Scheduler::new());
    let mut nodes: Vec<_> = capacities
        .iter()
        .map(|(cpu, memory)| node(&mut dice, "placeholder", resources(*cpu, *memory, 100_000)))
        .collect();
    // named in the order of their ids, so that ties are easy to read
    nodes.sort_by_key(|node| node.id);
    for (number, (node, (cpu, memory))) in nodes.iter_mut().zip(capacities).enumerate() {
        node.name = format!("node-{number}").parse().expect("a name");
        node.capacity = resources(*cpu, *memory, 100_000);
        told.set_node(&mut scheduler, node.clone());
    }
    let ids = nodes.iter().map(|node| node.id).collect();
    (dice, told, scheduler, ids)
}

fn wants(cpu: u64, memory: u64, algorithm: Algorithm) -> Request {
    Request { resources: resources(cpu, memory, 0), algorithm, ..Request::default() }
}

/// Places and holds so many tasks; tells on which node (by number) each went.
fn fill(
    dice: &mut Dice,
    scheduler: &mut Scheduler,
    ids: &[NodeId],
    request: &Request,
    tasks: usize,
) -> Vec<usize> {
    let place = |_| {
        let choice = scheduler.place(request).expect("it fits");
        scheduler.hold(held(dice, request, choice.node));
        ids.iter().position(|id| *id == choice.node).expect("known")
    };
    (0..tasks).map(place).collect()
}

#[test]
fn one_machine_takes_what_fits_after_the_reserve() {
    let (mut dice, mut told, mut scheduler, ids) = cluster(&[(2000, 2048)]);
    let mut machine = told.nodes[&ids[0]].clone();
    machine.reserve = resources(100, 512, 0);
    told.set_node(&mut scheduler, machine);
    let half = wants(900, 700, Algorithm::Epvm);
    fill(&mut dice, &mut scheduler, &ids, &half, 2);
    let refusal = scheduler.place(&half).expect_err("1.9 CPU less 1.8 is not 0.9");
    assert_eq!(refusal.to_string(), "the only node does not fit: cpu: needs 0.9, 0.1 free (short by 0.8)");
    let memory = wants(0, 512, Algorithm::Epvm);
    let explained = scheduler.explain(&memory);
    let line =
        explained.nodes[0].filters.iter().find(|line| line.name == "memory").expect("it was asked for");
    assert_eq!(line.text, "memory: needs 512 MiB, 136 MiB free (short by 376 MiB)");
    assert_eq!(line.short_by.as_deref(), Some("376 MiB"));
    assert_eq!(
        explained.suggestions,
        ["reserve 376 MiB less memory (at most 136 MiB), or free as much on node-0"]
    );
    assert!(
        scheduler.place(&wants(0, 0, Algorithm::Epvm)).is_ok(),
        "what reserves nothing always finds room"
    );
}

#[test]
fn no_node_at_all() {
    let mut scheduler = Scheduler::new();
    let refusal = scheduler.place(&Request::default()).expect_err("there is none");
    assert_eq!(refusal.to_string(), "no node is known");
    assert_eq!(scheduler.explain(&Request::default()).suggestions, ["add a node"]);
}

#[test]
fn nodes_that_take_no_work_say_why() {
    type Change = fn(&mut scheduler::Node);
    let table: [(Change, &str, &str); 4] = [
        (|n| n.state = NodeState::Down, "state: down (ready takes work)", "bring node-0 back: it is down"),
        (
            |n| n.availability = Availability::Draining,
            "availability: draining (active takes work)",
            "make node-0 active again: it is draining",
        ),
        (
            |n| n.conditions = [Condition::Pressured].into(),
            "condition: pressured",
            "on node-0: orcactl node inspect shows what it is short of; move or stop tasks",
        ),
        (
            |n| n.conditions = [Condition::EngineAway].into(),
            "condition: engine_away",
            "on node-0: start the engine: sudo systemctl start docker",
        ),
    ];
    for (change, text, suggestion) in table {
        let (_, mut told, mut scheduler, ids) = cluster(&[(2000, 2048)]);
        let mut machine = told.nodes[&ids[0]].clone();
        change(&mut machine);
        told.set_node(&mut scheduler, machine.clone());
        let refusal = scheduler.place(&Request::default()).expect_err("it takes no work");
        assert_eq!(refusal.counts[0].example, text);
        assert_eq!(scheduler.explain(&Request::default()).suggestions, [suggestion]);
        machine.state = NodeState::Ready;
        machine.availability = Availability::Active;
        machine.conditions = [Condition::DiskFull, Condition::ClockSkew].into();
        told.set_node(&mut scheduler, machine);
        assert!(scheduler.place(&Request::default()).is_ok(), "these conditions do not keep work away");
    }
}

#[test]
fn a_taken_port_names_who_has_it() {
    let (mut dice, _, mut scheduler, ids) = cluster(&[(2000, 2048)]);
    let web = Request { ports: vec!["8080:80".parse().expect("a port")], ..Request::default() };
    let first = held(&mut dice, &web, ids[0]);
    scheduler.hold(first.clone());
    let refusal = scheduler.place(&web).expect_err("the port is taken");
    assert_eq!(refusal.counts[0].example, format!("port: 8080/tcp is taken by task {}", first.task));
    let udp = Request { ports: vec!["8080:80/udp".parse().expect("a port")], ..Request::default() };
    assert!(scheduler.place(&udp).is_ok());
    let folded = Request { ports: vec!["8144:80".parse().expect("a port")], ..Request::default() };
    assert!(scheduler.place(&folded).is_ok(), "64 more is another port");
    scheduler.release(first.placement);
    assert!(scheduler.place(&web).is_ok());
}

/// The textbook version of the algorithm cancels its CPU terms, so that CPU never counts. Here it does.
#[test]
fn cpu_counts_in_epvm() {
    let (mut dice, _, mut scheduler, ids) = cluster(&[(4000, 8192), (4000, 8192)]);
    let busy = held(&mut dice, &wants(3000, 0, Algorithm::Epvm), ids[0]);
    scheduler.hold(busy);
    let choice = scheduler.place(&wants(100, 0, Algorithm::Epvm)).expect("it fits");
    assert_eq!(choice.node, ids[1], "the node with free CPU");
    let explained = scheduler.explain(&wants(100, 0, Algorithm::Epvm));
    let cpu =
        |number: usize| explained.nodes[number].parts.iter().find(|p| p.name == "cpu").map_or(0, |p| p.value);
    assert!(cpu(0) > 0 && cpu(1) > cpu(0), "{:?}", explained.nodes);
}

/// By hand: a node of 4 CPUs and 8 GiB of which half of the CPU is used. A task of 1 CPU and 2 GiB.
/// CPU: 2^3 × (2^1.5 − 1) = 8 × 1.828427 = 14.627417; memory: 2^0 × (2^1.5 − 1) = 1.828427; together 16.455844.
#[test]
fn epvm_by_hand() {
    let (mut dice, _, mut scheduler, ids) = cluster(&[(4000, 8192)]);
    let used = held(&mut dice, &wants(2000, 0, Algorithm::Epvm), ids[0]);
    scheduler.hold(used);
    let choice = scheduler.place(&wants(1000, 2048, Algorithm::Epvm)).expect("it fits");
    assert!((choice.cost - 16_455_844).abs() < 100, "{}", choice.cost);
}

#[test]
fn busy_machines_share_a_burst_of_tasks() {
    let (mut dice, _, mut scheduler, ids) = cluster(&[(4000, 8192), (4000, 8192), (4000, 8192)]);
    for (id, busy) in ids.iter().zip([1500, 1501, 1502]) {
        scheduler.set_load(*id, Load { cpu: resources(busy, 0, 0).cpu, ..Load::default() });
    }
    let request = wants(0, 0, Algorithm::Epvm);
    for _ in 0..12 {
        let node = scheduler.place(&request).expect("it fits").node;
        let made = held(&mut dice, &request, node);
        scheduler.hold(made);
    }
    let tasks: Vec<u32> = scheduler.summary().iter().map(|node| node.tasks).collect();
    assert_eq!(tasks, [4, 4, 4], "nothing was measured in between");
}

#[test]
fn measured_load_counts_beside_reservations() {
    let (_, _, mut scheduler, ids) = cluster(&[(4000, 8192), (4000, 8192)]);
    let request = wants(100, 64, Algorithm::Epvm);
    assert_eq!(scheduler.place(&request).map(|c| c.node), Ok(ids[0]), "equal nodes: the lower id");
    scheduler.set_load(ids[0], Load { cpu: resources(2000, 0, 0).cpu, ..Load::default() });
    assert_eq!(scheduler.place(&request).map(|c| c.node), Ok(ids[1]), "the first one is busy");
    let stalls = Pressure { memory: 900, ..Pressure::default() };
    scheduler.set_load(ids[1], Load { pressure: stalls, ..Load::default() });
    assert_eq!(scheduler.place(&request).map(|c| c.node), Ok(ids[0]), "the second one stalls");
    scheduler.set_load(ids[0], Load { cpu: resources(9000, 0, 0).cpu, ..Load::default() });
    scheduler.set_load(ids[1], Load { cpu: resources(9000, 0, 0).cpu, ..Load::default() });
    assert!(scheduler.place(&request).is_ok(), "load makes dear, it does not refuse");
}

#[test]
fn equal_tasks_without_reservations_spread() {
    for algorithm in [Algorithm::Epvm, Algorithm::Spread] {
        let (mut dice, _, mut scheduler, ids) = cluster(&[(4000, 8192); 3]);
        let went = fill(&mut dice, &mut scheduler, &ids, &wants(0, 0, algorithm), 6);
        assert_eq!(went, [0, 1, 2, 0, 1, 2], "{}", algorithm.as_str());
    }
}

#[test]
fn each_algorithm_has_its_habit() {
    let table = [
        (Algorithm::Epvm, vec![1, 0, 1, 1]),
        (Algorithm::Spread, vec![0, 1, 2, 0]),
        (Algorithm::Binpack, vec![2, 0, 0, 0]),
        (Algorithm::Greedy, vec![0, 0, 0, 0]),
        (Algorithm::RoundRobin, vec![0, 1, 2, 0]),
    ];
    for (algorithm, expected) in table {
        // the second node is twice as big, the third just big enough for one
        let (mut dice, _, mut scheduler, ids) = cluster(&[(4000, 8192), (8000, 16_384), (1000, 2048)]);
        let went = fill(&mut dice, &mut scheduler, &ids, &wants(600, 1200, algorithm), 4);
        assert_eq!(went, expected, "{}", algorithm.as_str());
    }
}

#[test]
fn the_round_robin_cursor_is_the_callers() {
    let (_, _, mut scheduler, ids) = cluster(&[(4000, 8192); 3]);
    let request = wants(100, 100, Algorithm::RoundRobin);
    scheduler.set_cursor(Some(ids[1]));
    assert_eq!(scheduler.place(&request).map(|c| c.node), Ok(ids[2]));
    assert_eq!(scheduler.cursor(), Some(ids[2]));
    assert_eq!(scheduler.explain(&request).chosen.map(|c| c.node), Some(ids[0]), "asking does not move it");
    assert_eq!(scheduler.cursor(), Some(ids[2]));
}

#[test]
fn siblings_keep_away_from_each_other() {
    for (keep_away, expected) in [(KeepAway::default(), [1, 0, 1, 0]), (KeepAway(0), [1, 1, 0, 1])] {
        let (mut dice, _, mut scheduler, ids) = cluster(&[(4000, 8192), (16_000, 32_768)]);
        let request =
            Request { group: Some(Group::new("web")), keep_away, ..wants(100, 100, Algorithm::Epvm) };
        assert_eq!(fill(&mut dice, &mut scheduler, &ids, &request, 4), expected);
    }
}

#[test]
fn a_bad_node_is_the_last_resort() {
    let (mut dice, _, mut scheduler, ids) = cluster(&[(4000, 8192), (1000, 1024)]);
    let request = Request { avoid: vec![ids[0]], ..wants(400, 100, Algorithm::Epvm) };
    assert_eq!(fill(&mut dice, &mut scheduler, &ids, &request, 4), [1, 1, 0, 0]);
}

#[test]
fn preferences_pull_and_push() {
    let (_, _, mut scheduler, ids) = cluster(&[(4000, 8192); 2]);
    for (weight, expected) in [(50, 1), (-50, 0), (0, 0)] {
        let preferences = vec![Preference { to: Target::Node(ids[1]), weight }];
        let request = Request { preferences, ..wants(100, 100, Algorithm::Epvm) };
        assert_eq!(scheduler.place(&request).map(|c| c.node), Ok(ids[expected]), "{weight}");
    }
}

#[test]
fn spread_over_zones_follows_its_shares() {
    let (mut dice, mut told, mut scheduler, ids) = cluster(&[(64_000, 65_536); 4]);
    for (number, id) in ids.iter().enumerate() {
        let mut machine = told.nodes[id].clone();
        machine.labels.insert("zone".to_owned(), if number == 3 { "b" } else { "a" }.to_owned());
        told.set_node(&mut scheduler, machine);
    }
    let count_in_b = |dice: &mut Dice, scheduler: &Scheduler, shares: BTreeMap<String, u32>| {
        let mut scheduler = scheduler.clone();
        let request = Request {
            group: Some(Group::new("web")),
            spread_over: Some(SpreadOver { key: "zone".to_owned(), shares }),
            ..wants(100, 100, Algorithm::Spread)
        };
        fill(dice, &mut scheduler, &ids, &request, 12).iter().filter(|node| **node == 3).count()
    };
    assert_eq!(
        count_in_b(&mut dice, &scheduler, BTreeMap::new()),
        6,
        "half in each zone, though one has three nodes"
    );
    let shares = [("a".to_owned(), 3), ("b".to_owned(), 1)];
    assert_eq!(count_in_b(&mut dice, &scheduler, shares.into()), 3);
}

#[test]
fn distinct_and_maximum_refuse() {
    let (mut dice, _, mut scheduler, ids) = cluster(&[(4000, 8192); 2]);
    let group = Some(Group::new("web"));
    let per_host = vec![Distinct { key: "node.id".to_owned(), limit: 1 }];
    let request = Request { group: group.clone(), distinct: per_host, ..Request::default() };
    fill(&mut dice, &mut scheduler, &ids, &request, 2);
    assert!(scheduler.place(&request).expect_err("one for each host").to_string().contains("distinct"));
    let request = Request { group, max_per_node: Some(2), ..Request::default() };
    fill(&mut dice, &mut scheduler, &ids, &request, 2);
    let refusal = scheduler.place(&request).expect_err("two on each");
    assert_eq!(refusal.counts[0].example, "max_per_node: has 2 of the group's tasks, at most 2");
}

#[test]
fn an_explanation_survives_json() {
    let (_, _, scheduler, _) = cluster(&[(4000, 8192), (1000, 512)]);
    let explained = scheduler.explain(&wants(2000, 100, Algorithm::Epvm));
    let json = serde_json::to_string(&explained).expect("it is plain data");
    assert_eq!(serde_json::from_str::<scheduler::Explanation>(&json).expect("the same"), explained);
    assert_eq!(explained.text, "1 of 2 nodes fit; node-0 is the best by epvm");
}

#[test]
fn what_is_held_on_an_unknown_node_waits_for_it() {
    let (mut dice, told, mut scheduler, ids) = cluster(&[(1000, 1024)]);
    let request = wants(800, 0, Algorithm::Epvm);
    scheduler.remove_node(ids[0]);
    scheduler.hold(held(&mut dice, &request, ids[0]));
    assert_eq!(scheduler.reserved(ids[0]), None);
    scheduler.set_node(told.nodes[&ids[0]].clone());
    assert_eq!(scheduler.reserved(ids[0]), Some(request.resources));
    assert!(scheduler.place(&request).is_err());
    assert_eq!(Resources::ZERO.plus(request.resources).minus(request.resources), Resources::ZERO);
}

#[test]
fn holding_again_replaces() {
    let (mut dice, _, mut scheduler, ids) = cluster(&[(1000, 1024); 2]);
    let ports = vec!["8080:80".parse().expect("a port")];
    let request = Request { ports, group: Some(Group::new("web")), ..wants(800, 100, Algorithm::Epvm) };
    let before = scheduler.summary();
    let first = held(&mut dice, &request, ids[0]);
    scheduler.hold(first.clone());
    scheduler.hold(first.clone());
    assert_eq!(scheduler.reserved(ids[0]), Some(request.resources));
    scheduler.hold(scheduler::Held { node: ids[1], ..first.clone() });
    assert_eq!(scheduler.reserved(ids[0]), Some(Resources::ZERO));
    assert_eq!(scheduler.place(&request).map(|choice| choice.node), Ok(ids[0]), "the port moved too");
    scheduler.release(first.placement);
    assert_eq!(scheduler.summary(), before);
}
