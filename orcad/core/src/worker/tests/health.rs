//! Single cases of checks over the network.

use orca_api::link::PlacementWanted;
use orca_api::task::{Reason, State};
use orca_api::units::Span;

use super::cases::{exit, last, status};
use super::world::{CHECKED, World};
use crate::worker::Event;
use crate::worker::io::{CheckTarget, EngineState, Health};

/// A world whose one placement has a check, before the first word of it.
fn starting() -> World {
    let mut world = World::new(3);
    world.probes = false;
    world.settle();
    world.want(CHECKED, Some(PlacementWanted::Running), "on-failure:1");
    world.settle();
    assert_eq!(last(&world).state, State::Starting);
    world
}

fn target(world: &World) -> CheckTarget {
    world.worker.checks().pop().expect("something to check")
}

fn unhealthy() -> Health {
    Health::Unhealthy("no answer".to_owned())
}

fn check(world: &mut World, health: Health, failing: Option<&str>) {
    let container = target(world).container;
    world.check(&container, health, failing);
    world.settle();
}

#[test]
fn it_starts_until_it_is_well() {
    let mut world = starting();
    let asked = target(&world);
    assert_eq!((asked.starting, asked.check.tcp), (true, Some(80)));
    assert_eq!(asked.started_at, last(&world).started_at);
    world.run_for(Span::from_secs(600));
    assert_eq!(last(&world).state, State::Starting, "without a word nothing is concluded");
    world.commits = 0;
    check(&mut world, Health::Starting, Some("connection refused"));
    assert_eq!(world.commits, 0, "a word on the way is not stored");
    assert_eq!(
        status(&world).progress.map(|p| p.step).as_deref(),
        Some("its health check fails: connection refused")
    );
    check(&mut world, Health::Healthy, None);
    assert_eq!((last(&world).state, status(&world).progress), (State::Running, None));
    assert!(!target(&world).starting);
}

#[test]
fn one_that_does_not_get_well_is_stopped_and_tried_again() {
    let mut world = starting();
    check(&mut world, unhealthy(), None);
    let attempt = last(&world);
    assert_eq!((attempt.state, attempt.reason), (State::Failed, Some(Reason::Unhealthy)));
    assert_eq!((attempt.message.as_str(), status(&world).budget_used), ("no answer", 1));
    assert!(world.worker.checks().is_empty());
    world.run_for(Span::from_secs(2));
    assert_eq!((last(&world).number, last(&world).state), (2, State::Starting));
    // The budget is one restart.
    check(&mut world, unhealthy(), None);
    assert!(status(&world).finished);
    assert_eq!(last(&world).message, "no answer; restarts used up (on-failure:1)");
}

#[test]
fn failures_that_do_not_end_it_are_shown_until_they_are_over() {
    let mut world = starting();
    check(&mut world, Health::Healthy, None);
    world.commits = 0;
    for (failing, shown) in [(Some("status 503"), Some("its health check fails: status 503")), (None, None)] {
        check(&mut world, Health::Healthy, failing);
        world.run_for(Span::from_secs(1));
        assert_eq!(status(&world).progress.map(|p| p.step).as_deref(), shown);
        assert_eq!(world.reported[&world.placements[CHECKED]].progress, status(&world).progress);
        assert_eq!(last(&world).state, State::Running);
    }
    assert_eq!(world.commits, 0);
}

#[test]
fn a_restart_of_the_daemon_changes_nothing() {
    let mut world = starting();
    world.crash();
    world.settle();
    assert_eq!(last(&world).state, State::Starting);
    check(&mut world, Health::Healthy, None);
    world.calls.clear();
    world.crash();
    world.run_for(Span::from_secs(60));
    assert_eq!((last(&world).state, target(&world).starting), (State::Running, false));
    assert_eq!(world.calls.len(), 0);
    check(&mut world, unhealthy(), None);
    assert_eq!((last(&world).number, last(&world).reason), (1, Some(Reason::Unhealthy)));
}

#[test]
fn nobody_is_checked_whose_container_cannot_be_looked_at() {
    let mut world = starting();
    let asked = target(&world).container;
    world.set_engine(EngineState::Away);
    world.settle();
    assert!(world.worker.checks().is_empty());
    world.set_engine(EngineState::Up { life: "1".to_owned(), live_restore: false });
    world.settle();
    assert_eq!(target(&world).container, asked);
    world.step(Event::GoingDown);
    assert!(world.worker.checks().is_empty());
}

#[test]
fn a_word_about_what_has_ended_or_is_not_ours_is_dropped() {
    let mut world = starting();
    let old = target(&world).container;
    exit(&mut world, 1);
    world.check(&old, unhealthy(), Some("late"));
    world.check("nobody", unhealthy(), None);
    world.settle();
    assert_eq!((last(&world).reason, status(&world).progress), (Some(Reason::Exited), None));
    world.run_for(Span::from_secs(2));
    check(&mut world, Health::Healthy, None);
    assert_eq!((last(&world).number, last(&world).state), (2, State::Running));
}

#[test]
fn a_stop_beats_an_unhealthy_one() {
    let mut world = starting();
    let container = target(&world).container;
    world.want(CHECKED, Some(PlacementWanted::Stopped), "always");
    world.check(&container, unhealthy(), None);
    world.settle();
    assert_eq!((last(&world).state, last(&world).reason), (State::Stopped, Some(Reason::StoppedByUser)));
}
