//! Simulation: a manager and up to fifty workers live through crashes, lost messages, dying engines and a busy client, all
//! from one seed; then everything is repaired, and has to come right.
//!
//! `ORCA_SEEDS=N` runs N seeds instead of 50 (10,000 with `ORCA_LONG`), beginning at `ORCA_SEED` (1). A failure names its
//! seed, and `ORCA_SEED=n ORCA_SEEDS=1` plays it again, step for step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use orca_api::units::Span;
use orca_tests::world::{Plan, World};

/// Seeds of a usual run, and of a long one.
const SEEDS: u64 = 50;
const SEEDS_LONG: u64 = 10_000;
/// How long things break.
const TROUBLE: Span = Span::from_secs(600);

fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => otherwise,
    }
}

/// `all` keeps the whole transcript for a failure, and not only its end.
fn live_through(seed: u64, all: bool) {
    let mut world = World::new(Plan { transcript: all, ..Plan::random(seed) });
    for n in 0..world.workers.len() {
        world.foreign_container(n, "someone-elses", Some("9090:1"));
    }
    world.let_client_act();
    world.let_faults_strike();
    for _ in 0..(TROUBLE.ms() / 1_000) {
        world.run_for(Span::from_secs(1));
        world.assert_sound();
    }
    world.calm_down();
    world.assert_sound();
    world.restart_everything();
    world.assert_sound();
    world.remove_everything();
    world.assert_sound();
}

#[test]
fn everything_comes_right_from_every_seed() {
    let usual = if std::env::var_os("ORCA_LONG").is_some() { SEEDS_LONG } else { SEEDS };
    let (first, seeds) = (number("ORCA_SEED", 1), number("ORCA_SEEDS", usual));
    let next = AtomicU64::new(first);
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= first + seeds {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| live_through(seed, seeds == 1))) {
            eprintln!("seed {seed} failed: play it again with ORCA_SEED={seed} ORCA_SEEDS=1");
            std::panic::resume_unwind(panic);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn a_seed_is_a_run() {
    let run = |seed| {
        let mut world = World::new(Plan { transcript: true, ..Plan::random(seed) });
        world.let_client_act();
        world.let_faults_strike();
        world.run_for(Span::from_secs(120));
        world.take_lines()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
