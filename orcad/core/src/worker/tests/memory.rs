//! Single cases of ends for want of memory.

use orca_api::link::PlacementWanted;
use orca_api::task::Reason;
use orca_api::units::Span;

use super::cases::{last, running};
use super::world::World;
use crate::worker::Event;

/// Two placements that run, and a first reading of the machine's count.
fn two() -> World {
    let mut world = running("never");
    world.want(1, Some(PlacementWanted::Running), "never");
    world.step(Event::OomKills { total: 40 });
    world.run_for(Span::from_secs(60));
    world
}

/// The container of a placement is killed; the engine flags what it saw.
fn kill(world: &mut World, index: usize, flagged: bool) {
    let (_, container, _) = world.worker.container_of(world.placements[index], None).expect("a container");
    world.exit(&container, 137);
    if let Some(container) = world.containers.get_mut(&container) {
        container.oom_killed = flagged;
    }
    world.inbox.push_back(Event::Hint { container });
}

fn reason(world: &World, index: usize) -> Option<Reason> {
    let held = world.worker.inventory();
    held.iter().find(|s| s.placement == world.placements[index])?.attempts.last()?.reason
}

#[test]
fn a_kill_without_a_move_of_the_count_was_somebodys() {
    let mut world = two();
    kill(&mut world, 0, false);
    world.settle();
    assert_eq!(reason(&world, 0), Some(Reason::Killed));
}

#[test]
fn a_kill_with_a_move_close_to_it_was_the_kernels() {
    for (before_s, reason) in [(0, Reason::OomHost), (5, Reason::OomHost), (6, Reason::Killed)] {
        let mut world = running("never");
        world.step(Event::OomKills { total: 40 });
        world.step(Event::OomKills { total: 41 });
        world.now = world.now.plus(Span::from_secs(before_s));
        kill(&mut world, 0, false);
        world.settle();
        assert_eq!(last(&world).reason, Some(reason), "{before_s} s");
        let said =
            last(&world).message == "killed by SIGKILL while the kernel was killing for want of memory";
        assert_eq!(said, reason == Reason::OomHost);
    }
}

#[test]
fn kills_at_our_own_limits_account_for_moves() {
    let (limited, killed) = (0, 1);
    for (total, expected) in [(41, Reason::Killed), (42, Reason::OomHost)] {
        for order in [[limited, killed], [killed, limited]] {
            let mut world = two();
            world.step(Event::OomKills { total });
            for index in order {
                kill(&mut world, index, index == limited);
            }
            // Both are first seen in one sweep.
            world.inbox.clear();
            world.run_for(Span::from_secs(20));
            assert_eq!(reason(&world, limited), Some(Reason::OomLimit), "{total} {order:?}");
            assert_eq!(reason(&world, killed), Some(expected), "{total} {order:?}");
        }
    }
}
