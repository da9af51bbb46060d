//! Preemption, rebalance and drain against what happens when they are carried out.

#[expect(dead_code, reason = "this test uses a part of it")]
mod common;

use std::collections::BTreeMap;

use common::{Dice, Told, cases, held, node, random_node, random_request, resources};
use orca_api::id::{NodeId, PlacementId};
use proptest::prelude::*;
use scheduler::{Movable, RebalanceLimits, Request, Scheduler};

/// A cluster of up to 6 nodes, filled with random tasks whose requests are kept.
fn filled(seed: u64, tasks: usize) -> (Dice, Told, Scheduler, BTreeMap<PlacementId, Request>) {
    let mut dice = Dice::new(seed);
    let (mut told, mut scheduler, mut requests) = (Told::default(), Scheduler::new(), BTreeMap::new());
    for number in 0..=dice.below(6) as usize {
        let node = random_node(&mut dice, number);
        told.set_node(&mut scheduler, node);
    }
    for _ in 0..tasks {
        let request = random_request(&mut dice, &told.ids());
        if let Ok(choice) = scheduler.place(&request) {
            let held = held(&mut dice, &request, choice.node);
            requests.insert(held.placement, request);
            told.hold(&mut scheduler, held);
        }
    }
    // what happened meanwhile: tasks ended, so the rest is out of balance
    for placement in told.held.keys().copied().collect::<Vec<_>>() {
        if dice.chance(30) {
            told.release(&mut scheduler, placement);
            requests.remove(&placement);
        }
    }
    (dice, told, scheduler, requests)
}

fn movable(requests: &BTreeMap<PlacementId, Request>) -> Vec<Movable> {
    requests
        .iter()
        .map(|(placement, request)| Movable { placement: *placement, request: request.clone() })
        .collect()
}

/// What a set of placements costs to end on a node; the same words as the documentation's.
fn price_of_ending(told: &Told, node: NodeId, set: &[PlacementId]) -> u64 {
    let all = told.nodes[&node].allocatable();
    let each = set.iter().map(|placement| {
        let held = &told.held[placement];
        let share = |part: u64, whole: u64| (part * 1000).checked_div(whole).unwrap_or(0).min(999);
        let cpu = share(held.resources.cpu.millis(), all.cpu.millis());
        let memory = share(held.resources.memory.get(), all.memory.get());
        1000 * (u64::from(held.priority) + 1) + cpu.max(memory)
    });
    each.sum()
}

/// The cheapest set over all nodes, by trying every set of lower tasks.
fn cheapest_by_trying(told: &Told, request: &Request) -> Option<u64> {
    let mut best = None;
    for node in told.nodes.keys() {
        let lower: Vec<PlacementId> = told
            .held
            .values()
            .filter(|held| held.node == *node && held.priority < request.priority)
            .map(|held| held.placement)
            .collect();
        for mask in 1u32..1 << lower.len() {
            let set: Vec<PlacementId> =
                (0..lower.len()).filter(|bit| mask & (1 << bit) != 0).map(|bit| lower[bit]).collect();
            let cost = price_of_ending(told, *node, &set);
            if best.is_some_and(|best| best <= cost) {
                continue;
            }
            let mut rest = told.clone();
            rest.held.retain(|placement, _| !set.contains(placement));
            let reference = common::reference::Reference { told: &rest, request };
            if reference.failed(&told.nodes[node]).is_none() {
                best = Some(cost);
            }
        }
    }
    best
}

proptest! {
    #![proptest_config(cases(500, 20_000))]

    /// The victims make room, all are lower, and no cheaper set would do.
    #[test]
    fn preemption_is_cheapest(seed: u64, tasks in 0usize..30) {
        let (mut dice, told, mut scheduler, _) = filled(seed, tasks);
        let mut request = random_request(&mut dice, &told.ids());
        // rules about siblings are not what preemption can help, but ending siblings would
        (request.max_per_node, request.distinct) = (None, Vec::new());
        request.priority = 3;
        request.resources = resources(dice.below(16_000), dice.below(30_000), dice.below(50_000));
        prop_assume!(told.nodes.keys().all(|n| told.held.values().filter(|h| h.node == *n).count() <= 12));
        let fits = scheduler.place(&request).is_ok();
        let found = scheduler.preempt(&request);
        match (fits, found, cheapest_by_trying(&told, &request)) {
            (true, found, _) => prop_assert_eq!(found, None),
            (false, None, least) => prop_assert_eq!(least, None),
            (false, Some(plan), least) => {
                prop_assert_eq!(Some(plan.cost), least);
                let set: Vec<PlacementId> = plan.victims.iter().map(|victim| victim.placement).collect();
                prop_assert_eq!(price_of_ending(&told, plan.node, &set), plan.cost);
                for victim in &plan.victims {
                    prop_assert!(victim.priority < request.priority);
                    scheduler.release(victim.placement);
                }
                prop_assert_eq!(scheduler.place(&request).map(|choice| choice.node), Ok(plan.node));
            }
        }
    }

    /// Each move gains, goes where the task may run, and the plan changes nothing by itself.
    #[test]
    fn rebalance_only_ever_gains(seed: u64, tasks in 0usize..60) {
        let (_, mut told, mut scheduler, requests) = filled(seed, tasks);
        let before = scheduler.summary();
        let limits = RebalanceLimits { moves_max: 5, gain_percent_min: 20 };
        let moves = scheduler.rebalance(&movable(&requests), limits);
        prop_assert_eq!(before, scheduler.summary());
        prop_assert!(moves.len() <= 5);
        for (number, planned) in moves.iter().enumerate() {
            prop_assert!(planned.gain() > 0 || planned.cost_before < 10);
            prop_assert!(moves[..number].iter().all(|earlier| earlier.placement != planned.placement));
            let request = &requests[&planned.placement];
            let mut held = told.held[&planned.placement].clone();
            prop_assert_eq!(held.node, planned.from);
            told.release(&mut scheduler, planned.placement);
            let here = common::reference::Reference { told: &told, request };
            let (from, to) = (&told.nodes[&planned.from], &told.nodes[&planned.to]);
            prop_assert_eq!(here.failed(to), None);
            let (from, to) = (here.cost(from), here.cost(to));
            // what comes before cost gets no worse
            prop_assert!((to.0, to.1) <= (from.0, from.1) && to.2 <= from.2 * 0.8001 + 1e-5);
            held.node = planned.to;
            told.hold(&mut scheduler, held);
        }
    }

    /// A drain carried out in its order goes where it says; what is blocked is blocked then.
    #[test]
    fn a_drain_goes_as_planned(seed: u64, tasks in 0usize..60) {
        let (mut dice, mut told, mut scheduler, requests) = filled(seed, tasks);
        let node = *dice.pick(&told.ids());
        let before = scheduler.summary();
        let plan = scheduler.drain(node, &movable(&requests));
        prop_assert_eq!(before, scheduler.summary());
        prop_assert_eq!(plan.len(), told.held.values().filter(|held| held.node == node).count());
        let mut priorities: Vec<u8> = plan.iter().map(|leaving| told.held[&leaving.placement].priority).collect();
        priorities.reverse();
        prop_assert!(priorities.is_sorted());
        let cursor = scheduler.cursor();
        for leaving in plan {
            let mut held = told.held[&leaving.placement].clone();
            let mut request = requests[&leaving.placement].clone();
            request.exclude.push(node);
            told.release(&mut scheduler, leaving.placement);
            scheduler.set_cursor(cursor);
            let now = scheduler.place(&request);
            prop_assert_eq!(&now, &leaving.to);
            if let Ok(choice) = now {
                held.node = choice.node;
            }
            told.hold(&mut scheduler, held);
        }
    }
}

#[test]
fn two_small_ones_end_before_a_big_one_of_higher_priority() {
    let mut dice = Dice::new(1);
    let (mut told, mut scheduler) = (Told::default(), Scheduler::new());
    let node = node(&mut dice, "one", resources(4000, 4096, 0));
    told.set_node(&mut scheduler, node);
    for (cpu, priority) in [(2000, 2), (1000, 0), (1000, 0)] {
        let request = Request { resources: resources(cpu, 0, 0), priority, ..Request::default() };
        let choice = scheduler.place(&request).expect("it fits");
        let held = held(&mut dice, &request, choice.node);
        told.hold(&mut scheduler, held);
    }
    let request = Request { resources: resources(2000, 0, 0), priority: 5, ..Request::default() };
    let plan = scheduler.preempt(&request).expect("there is a set");
    assert_eq!(plan.victims.iter().map(|victim| victim.priority).collect::<Vec<_>>(), [0, 0]);
    assert!(
        plan.text.starts_with("priority 5 fits on one when 2 tasks of lower priority end: "),
        "{}",
        plan.text
    );
    let equal = Request { priority: 0, ..request };
    assert_eq!(scheduler.preempt(&equal), None);
}
