//! The worker core against a small model of an engine, a network and a disk that all do what they like.
//!
//! `world.rs` is the model with its parts `engine.rs` and `moves.rs`, `judge.rs` says what must hold in it; here is
//! the property over random runs; `cases.rs`, `health.rs`, `memory.rs` and `outages.rs` have the single cases that are
//! worth a name.

mod cases;
mod engine;
mod health;
mod judge;
mod memory;
mod moves;
mod outages;
mod world;

use proptest::prelude::*;
use world::World;

/// 2,000 cases, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if config.cases == 256 {
        config.cases = 2000;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    /// Faults on, then calm: never two living containers of a placement, states only rise, what is loaded is what
    /// was folded; and in the calm all that is wanted comes to be, nothing else is left, and restarts of the daemon
    /// touch no container.
    #[test]
    fn whatever_happens_it_converges_and_never_doubles(
        seed: u64,
        moves in proptest::collection::vec((any::<u8>(), any::<u16>()), 0..160),
    ) {
        let mut world = World::new(seed);
        for (what, which) in moves {
            world.move_on(what, usize::from(which));
        }
        world.calm_down();
        world.assert_converged();
        world.assert_restart_neutral();
    }
}
