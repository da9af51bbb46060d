//! The index against the plain reference, over random clusters and histories.

mod common;

use common::reference::Reference;
use common::{Dice, Told, cases, held, node, random_load, random_node, random_request, resources};
use orca_api::node::Availability;
use orca_api::spec::Algorithm;
use orca_api::units::{Bytes, Cpu};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use scheduler::{Choice, Load, Node, Preference, Refusal, Request, Scheduler, Target};

/// One random step of a cluster's life.
fn step(dice: &mut Dice, told: &mut Told, scheduler: &mut Scheduler) {
    let ids = told.ids();
    match dice.below(20) {
        0 | 1 => {
            let number = dice.below(12) as usize;
            let node = random_node(dice, number);
            told.set_node(scheduler, node);
        }
        2 if !ids.is_empty() => {
            let id = *dice.pick(&ids);
            scheduler.remove_node(id);
            told.nodes.remove(&id);
        }
        3..=5 if !ids.is_empty() => {
            let id = *dice.pick(&ids);
            let load = random_load(dice, told.nodes[&id].capacity);
            scheduler.set_load(id, load);
            if let Some(node) = told.nodes.get_mut(&id) {
                node.load = load;
            }
        }
        6 if !ids.is_empty() => {
            let mut node = told.nodes[dice.pick(&ids)].clone();
            node.availability = *dice.pick(Availability::ALL);
            node.labels.insert("zone".to_owned(), (*dice.pick(&["a", "b", "d"])).to_owned());
            told.set_node(scheduler, node);
        }
        7..=9 if !told.held.is_empty() => {
            let at = dice.below(told.held.len() as u64) as usize;
            let placement = told.held.keys().nth(at).copied().expect("in range");
            told.release(scheduler, placement);
        }
        _ => {
            let request = random_request(dice, &ids);
            if let Ok(choice) = scheduler.place(&request) {
                let placement = held(dice, &request, choice.node);
                told.hold(scheduler, placement);
            }
        }
    }
}

/// A cluster with a history.
fn history(seed: u64, steps: usize) -> (Dice, Told, Scheduler) {
    let mut dice = Dice::new(seed);
    let (mut told, mut scheduler) = (Told::default(), Scheduler::new());
    for number in 0..dice.below(10) as usize {
        let node = random_node(&mut dice, number);
        told.set_node(&mut scheduler, node);
    }
    for _ in 0..steps {
        step(&mut dice, &mut told, &mut scheduler);
    }
    (dice, told, scheduler)
}

/// Nodes of one or two makes, used about equally, as a cluster is after a while of even placement.
fn crowd(seed: u64, nodes: usize) -> (Dice, Told, Scheduler) {
    let mut dice = Dice::new(seed);
    let (mut told, mut scheduler) = (Told::default(), Scheduler::new());
    let makes = 1 + dice.below(2);
    for number in 0..nodes {
        let cpus = 32 << dice.below(makes);
        let all = resources(cpus * 1000, cpus * 4096, cpus * 20_000);
        let mut node = node(&mut dice, &format!("node-{number}"), all);
        node.labels.insert("zone".to_owned(), (*dice.pick(&["a", "b", "c"])).to_owned());
        node.load = level_load(&mut dice, &node);
        told.set_node(&mut scheduler, node);
    }
    (dice, told, scheduler)
}

/// Within a few hundredths of half used.
fn level_load(dice: &mut Dice, node: &Node) -> Load {
    let mut part = |whole: u64| whole / 1000 * (480 + dice.below(60));
    let all = node.capacity;
    Load {
        cpu: Cpu::from_millis(part(all.cpu.millis())),
        memory: Bytes::new(part(all.memory.get())),
        disk: Bytes::new(part(all.disk.get())),
        ..Load::default()
    }
}

/// A task of up to a tenth of a node.
fn small_request(dice: &mut Dice) -> Request {
    let mut request = Request {
        resources: resources(dice.below(3000), dice.below(12_000), dice.below(60_000)),
        algorithm: if dice.chance(80) { Algorithm::Epvm } else { *dice.pick(&Algorithm::ALL) },
        ..Request::default()
    };
    if dice.chance(20) {
        request.constraints = vec!["zone in a,b".parse().expect("a constraint")];
    }
    if dice.chance(20) {
        let to = Target::Constraint("zone == a".parse().expect("a constraint"));
        request.preferences = vec![Preference { to, weight: (dice.below(201) as i64 - 100) as i8 }];
    }
    request
}

/// The choice costs what the best of the reference costs; a refusal counts the same reasons.
fn agree(told: &Told, request: &Request, placed: Result<Choice, Refusal>) -> Result<(), TestCaseError> {
    let reference = Reference { told, request };
    match (placed, reference.best()) {
        (Ok(choice), Some((best, (avoided, over, cost)))) => {
            let node = reference.node(choice.node).expect("a known node");
            prop_assert_eq!(reference.failed(node), None);
            let chosen = reference.cost(node);
            prop_assert_eq!((chosen.0, chosen.1), (avoided, over));
            // in whole numbers the chosen one is not dearer, so all that may be between them is what these are off
            prop_assert!(
                chosen.2 <= cost + reference.slack(node) + reference.slack(best),
                "{} costs {}, the best {cost}, slack {} and {}",
                choice.node,
                chosen.2,
                reference.slack(node),
                reference.slack(best)
            );
            // stated in millionths
            let stated = choice.cost as f64 / 1e6;
            prop_assert!(
                (stated - chosen.2).abs() <= reference.slack(node) + 1e-6,
                "stated {stated}, is {}",
                chosen.2
            );
        }
        (Err(refusal), None) => {
            let counts = refusal.counts.iter().map(|c| (c.filter.clone(), c.nodes)).collect();
            prop_assert_eq!(reference.counts(), counts);
            prop_assert_eq!(refusal.nodes as usize, told.nodes.len());
        }
        (placed, best) => prop_assert!(false, "{placed:?}, but the reference has {best:?}"),
    }
    Ok(())
}

proptest! {
    // each is worth many of the others
    #![proptest_config(cases(150, 100_000))]

    /// The index is exact where nodes are many and alike, so that they share chunks, and tasks differ.
    #[test]
    fn a_crowd_is_searched_exactly(seed: u64, nodes in 30usize..150, rounds in 0usize..60) {
        let (mut dice, mut told, mut scheduler) = crowd(seed, nodes);
        for _ in 0..rounds {
            let ids = told.ids();
            let request = small_request(&mut dice);
            let placed = scheduler.place(&request);
            if let Ok(choice) = placed {
                let placement = held(&mut dice, &request, choice.node);
                told.hold(&mut scheduler, placement);
            }
            let id = *dice.pick(&ids);
            let load = level_load(&mut dice, &told.nodes[&id]);
            scheduler.set_load(id, load);
            told.nodes.get_mut(&id).expect("known").load = load;
        }
        let request = small_request(&mut dice);
        let placed = scheduler.place(&request);
        agree(&told, &request, placed)?;
    }
}

proptest! {
    #![proptest_config(cases(2_000, 100_000))]

    /// The choice costs what the best of the reference costs; refusals count the same reasons.
    #[test]
    fn the_index_is_exact(seed: u64, steps in 0usize..60) {
        let (mut dice, told, mut scheduler) = history(seed, steps);
        let request = random_request(&mut dice, &told.ids());
        let explained = scheduler.explain(&request);
        let placed = scheduler.place(&request);
        prop_assert_eq!(explained.chosen, placed.as_ref().ok().copied(), "explained is not what is chosen");
        if placed.is_err() {
            prop_assert!(!explained.suggestions.is_empty());
        }
        agree(&told, &request, placed)?;
    }

    /// Nothing is ever given out twice, whatever happens in between.
    #[test]
    fn nothing_is_oversubscribed(seed: u64, steps in 0usize..80) {
        let (mut dice, mut told, mut scheduler) = history(seed, steps);
        for _ in 0..20 {
            let request = random_request(&mut dice, &told.ids());
            let Ok(choice) = scheduler.place(&request) else { continue };
            let placement = held(&mut dice, &request, choice.node);
            told.hold(&mut scheduler, placement.clone());
            let need = request.resources;
            let (reserved, all) =
                (scheduler.reserved(choice.node).expect("known"), told.nodes[&choice.node].allocatable());
            prop_assert!(need.cpu.millis() == 0 || reserved.cpu <= all.cpu);
            prop_assert!(need.memory.get() == 0 || reserved.memory <= all.memory);
            prop_assert!(need.disk.get() == 0 || reserved.disk <= all.disk);
            let others = told.held.values().filter(|h| h.node == choice.node && h.placement != placement.placement);
            prop_assert!(!others.flat_map(|h| &h.ports).any(|p| placement.ports.iter().any(|w| w.clashes(p))));
        }
    }

    /// What was kept through a history decides as what is built anew from its end.
    #[test]
    fn kept_and_rebuilt_are_equal(seed: u64, steps in 0usize..80) {
        let (mut dice, told, mut kept) = history(seed, steps);
        let mut rebuilt = told.rebuilt();
        rebuilt.set_cursor(kept.cursor());
        prop_assert_eq!(kept.summary(), rebuilt.summary());
        for _ in 0..5 {
            let request = random_request(&mut dice, &told.ids());
            prop_assert_eq!(kept.explain(&request), rebuilt.explain(&request));
            prop_assert_eq!(kept.place(&request), rebuilt.place(&request));
        }
    }

    /// A plan of many equal tasks is what placing and holding them one by one does, and changes nothing by itself.
    #[test]
    fn a_plan_applied_equals_the_plan(seed: u64, steps in 0usize..60, count in 0usize..40) {
        let (mut dice, told, mut scheduler) = history(seed, steps);
        let request = random_request(&mut dice, &told.ids());
        let (before, cursor) = (scheduler.summary(), scheduler.cursor());
        let batch = scheduler.place_many(&request, count);
        prop_assert_eq!(&before, &scheduler.summary());
        scheduler.set_cursor(cursor);
        let mut refusal = None;
        let mut choices = Vec::new();
        while choices.len() < count && refusal.is_none() {
            match scheduler.place(&request) {
                Ok(choice) => {
                    choices.push(choice);
                    scheduler.hold(held(&mut dice, &request, choice.node));
                }
                Err(why) => refusal = Some(why),
            }
        }
        prop_assert_eq!(&choices, &batch.choices);
        // the task that a port is taken by is made up in the plan
        let counts = |refusal: Option<Refusal>| {
            refusal.map(|refusal| refusal.counts.into_iter().map(|c| (c.filter, c.nodes)).collect::<Vec<_>>())
        };
        prop_assert_eq!(counts(refusal), counts(batch.refusal));
    }
}
