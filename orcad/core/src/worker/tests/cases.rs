//! Single cases that are worth a name.

use orca_api::link::{AttemptStatus, PlacementStatus, PlacementWanted, Progress};
use orca_api::task::{Reason, State};
use orca_api::units::{Span, Time};

use super::world::World;
use crate::worker::io::{ContainerStatus, Failure, FailureKind, Health};
use crate::worker::{Effect, Event};

const SECOND: Span = Span::from_secs(1);

/// A world with one placement that runs, and no calls counted yet.
pub(super) fn running(restart: &str) -> World {
    let mut world = World::new(7);
    world.settle();
    world.want(0, Some(PlacementWanted::Running), restart);
    world.settle();
    assert_eq!(last(&world).state, State::Running);
    world.calls.clear();
    world.commits = 0;
    world
}

pub(super) fn status(world: &World) -> PlacementStatus {
    world.worker.inventory().first().cloned().expect("a placement")
}

pub(super) fn last(world: &World) -> AttemptStatus {
    status(world).attempts.last().cloned().expect("an attempt")
}

/// The process of the last attempt ends, and the core gets to know by the next sweep.
pub(super) fn exit(world: &mut World, code: i32) {
    let container = last(world).container.expect("a container");
    world.exit(&container, code);
    world.inbox.push_back(Event::Hint { container });
    world.settle();
}

pub(super) fn fail_next(world: &mut World, kind: FailureKind) {
    let Some(effect) = world.pending.pop_front() else { panic!("nothing is pending") };
    let (Effect::Pull { op, .. }
    | Effect::Create { op, .. }
    | Effect::Start { op, .. }
    | Effect::Stop { op, .. }
    | Effect::Remove { op, .. }) = effect
    else {
        panic!("{effect:?} cannot fail")
    };
    world.step(Event::Done { op, result: Err(Failure { kind, message: "no".to_owned() }) });
}

#[test]
fn a_first_start_pulls_creates_starts() {
    let mut world = World::new(1);
    world.settle();
    world.want(0, Some(PlacementWanted::Running), "on-failure");
    world.commits = 0;
    world.settle();
    assert_eq!(world.calls.len(), 3, "{:?}", world.calls);
    assert!(world.calls[1].starts_with("create t0-a1-"), "{:?}", world.calls);
    let attempt = last(&world);
    assert_eq!(
        (attempt.number, attempt.state, attempt.started_at),
        (1, State::Running, Some(world.now.wall))
    );
    assert_eq!(attempt.image_id.as_deref(), Some("sha256:1"));
    // The generation; the spec; the attempt; its container; that it runs.
    assert_eq!(world.commits, 5);
    let (number, container, alive) =
        world.worker.container_of(world.placements[0], None).expect("a container");
    assert_eq!((number, alive), (1, true));
    assert_eq!(world.worker.running().map(|r| r.3.to_owned()).collect::<Vec<_>>(), [container]);
}

#[test]
fn a_failure_waits_and_counts() {
    let mut world = running("on-failure");
    exit(&mut world, 3);
    let now = status(&world);
    assert_eq!(
        (last(&world).state, last(&world).reason, last(&world).exit_code),
        (State::Failed, Some(Reason::Exited), Some(3))
    );
    let wait = now.next_attempt_at.expect("a wait").since(world.now.wall);
    assert!(wait >= Span::from_ms(750) && wait <= Span::from_ms(1250), "{wait}");
    assert_eq!((now.restarts, now.budget_used, now.finished), (0, 1, false));
    world.run_for(Span::from_secs(2));
    let now = status(&world);
    assert_eq!((last(&world).number, last(&world).state, now.restarts), (2, State::Running, 1));
}

#[test]
fn policies_end_what_they_should() {
    let mut world = running("on-failure");
    exit(&mut world, 0);
    assert_eq!((last(&world).state, status(&world).finished), (State::Completed, true));

    let mut world = running("always");
    exit(&mut world, 0);
    assert_eq!((last(&world).state, status(&world).finished), (State::Completed, false));

    let mut world = running("never");
    exit(&mut world, 1);
    assert_eq!((last(&world).state, status(&world).finished), (State::Failed, true));

    let mut world = running("on-failure:1");
    exit(&mut world, 1);
    world.run_for(Span::from_secs(2));
    exit(&mut world, 1);
    assert!(status(&world).finished);
    assert_eq!(last(&world).message, "restarts used up (on-failure:1)");
}

#[test]
fn a_stop_beats_everything() {
    let mut world = running("always");
    world.want(0, Some(PlacementWanted::Stopped), "always");
    world.settle();
    assert_eq!(
        (last(&world).state, last(&world).reason, last(&world).exit_code),
        (State::Stopped, Some(Reason::StoppedByUser), Some(143))
    );
    assert!(status(&world).finished && last(&world).container_kept);

    // While it waits.
    let mut world = running("always");
    exit(&mut world, 1);
    world.want(0, Some(PlacementWanted::Stopped), "always");
    world.settle();
    assert!(status(&world).finished && status(&world).next_attempt_at.is_none());
    assert_eq!(last(&world).state, State::Failed);

    // While it is pulled.
    let mut world = World::new(1);
    world.settle();
    world.want(0, Some(PlacementWanted::Running), "always");
    while let Some(event) = world.inbox.pop_front() {
        world.step(event);
    }
    world.want(0, Some(PlacementWanted::Stopped), "always");
    while let Some(event) = world.inbox.pop_front() {
        world.step(event);
    }
    assert_eq!((last(&world).state, status(&world).finished), (State::Stopped, true));
    world.settle();
    assert_eq!(world.calls.len(), 1, "only the pull: {:?}", world.calls);
}

#[test]
fn what_leaves_the_set_is_stopped_removed_forgotten() {
    let mut world = running("always");
    world.want(0, None, "always");
    world.settle();
    assert_eq!(
        world.calls.iter().map(|c| c.split(' ').next().unwrap_or("")).collect::<Vec<_>>(),
        ["stop", "remove"]
    );
    assert!(world.worker.inventory().is_empty() && world.containers.is_empty());
}

#[test]
fn what_the_manager_does_not_know_is_removed() {
    let mut world = running("always");
    world.step(Event::ReportAccepted { accepted: Vec::new(), unknown: vec![world.placements[0]] });
    world.settle();
    assert!(world.worker.inventory().is_empty() && world.containers.is_empty());
}

#[test]
fn an_image_that_vanishes_is_pulled_again_once() {
    let mut world = World::new(1);
    world.settle();
    world.want(0, Some(PlacementWanted::Running), "never");
    while let Some(event) = world.inbox.pop_front() {
        world.step(event);
    }
    for _ in 0..2 {
        let pull = world.pending.pop_front().expect("a pull");
        world.carry_out(pull);
        while let Some(event) = world.inbox.pop_front() {
            world.step(event);
        }
        fail_next(&mut world, FailureKind::ImageVanished);
    }
    assert_eq!((last(&world).state, last(&world).reason), (State::Rejected, Some(Reason::ImageNotFound)));
    assert_eq!(world.calls.iter().filter(|c| c.starts_with("pull")).count(), 2);
}

#[test]
fn what_cannot_be_killed_keeps_its_place() {
    let mut world = running("always");
    world.want(0, Some(PlacementWanted::Stopped), "always");
    while let Some(event) = world.inbox.pop_front() {
        world.step(event);
    }
    fail_next(&mut world, FailureKind::Unkillable);
    assert_eq!(last(&world).state, State::Stopping);
    assert!(status(&world).warning.is_some_and(|w| w.contains("cannot be killed")));
    world.calls.clear();
    world.now = world.now.plus(Span::from_secs(9));
    world.step(Event::Tick);
    assert_eq!(world.calls.len(), 0);
    world.now = world.now.plus(SECOND);
    world.step(Event::Tick);
    assert_eq!(world.calls.len(), 1);
    world.settle();
    assert_eq!((last(&world).state, status(&world).warning), (State::Stopped, None));
}

#[test]
fn an_unhealthy_one_is_replaced() {
    let mut world = running("always");
    let container = last(&world).container.expect("a container");
    if let Some(c) = world.containers.get_mut(&container) {
        c.health = Some(Health::Unhealthy("no answer".to_owned()));
    }
    world.inbox.push_back(Event::Hint { container });
    world.settle();
    let attempt = last(&world);
    assert_eq!(
        (attempt.state, attempt.reason, attempt.message.as_str()),
        (State::Failed, Some(Reason::Unhealthy), "no answer")
    );
    world.run_for(Span::from_secs(2));
    assert_eq!((last(&world).number, last(&world).state), (2, State::Running));
}

#[test]
fn the_last_two_dead_containers_and_five_records_are_kept() {
    let mut world = running("always");
    for _ in 0..7 {
        exit(&mut world, 1);
        world.run_for(Span::from_secs(400));
    }
    let numbers: Vec<(u32, bool)> =
        status(&world).attempts.iter().map(|a| (a.number, a.container_kept)).collect();
    assert_eq!(numbers, [(4, false), (5, false), (6, true), (7, true), (8, true)]);
    assert_eq!(world.containers.values().filter(|c| c.status == ContainerStatus::Exited).count(), 2);
}

#[test]
fn a_clock_that_is_set_back_makes_nobody_wait() {
    let mut world = running("always");
    exit(&mut world, 1);
    world.now.wall = Time::from_ms(world.now.wall.ms() - 86_400_000);
    world.run_for(Span::from_secs(400));
    assert_eq!((last(&world).number, last(&world).state), (2, State::Running));
}

#[test]
fn what_is_to_be_ready_is_held_and_then_started() {
    let mut world = World::new(1);
    world.settle();
    world.want(0, Some(PlacementWanted::Ready), "always");
    world.run_for(Span::from_secs(60));
    assert_eq!((last(&world).state, world.calls.len()), (State::Ready, 2));
    world.want(0, Some(PlacementWanted::Running), "always");
    world.settle();
    assert_eq!((last(&world).number, last(&world).state, world.calls.len()), (1, State::Running, 3));
}

#[test]
fn progress_is_told_now_and_then_and_never_stored() {
    let mut world = World::new(1);
    world.settle();
    world.want(0, Some(PlacementWanted::Running), "always");
    while let Some(event) = world.inbox.pop_front() {
        world.step(event);
    }
    let Some(Effect::Pull { op, .. }) = world.pending.front().cloned() else { panic!("no pull") };
    world.commits = 0;
    let mut told = 0;
    for n in 0..99 {
        world.now = world.now.plus(Span::from_ms(10));
        let progress = Progress { step: "pulling".to_owned(), done: n, total: 100 };
        world.step(Event::Progressed { op, progress });
        told += world.inbox.drain(..).filter(|e| matches!(e, Event::ReportAccepted { .. })).count();
    }
    assert!((3..=5).contains(&told), "{told}");
    assert_eq!(world.commits, 0);
    assert_eq!(status(&world).progress.map(|p| p.done), Some(98));
    let due = world.worker.next_deadline().expect("a deadline");
    assert!(due <= world.now.boot_ms + 250);
}

#[test]
fn a_set_whose_specs_are_not_all_here_is_refused() {
    let mut world = World::new(1);
    world.settle();
    world.want(0, Some(PlacementWanted::Running), "always");
    world.inbox.clear();
    assert_eq!(world.worker.missing_specs(&world.assignment).len(), 1);
    world.step(Event::Assigned {
        assignment: world.assignment.clone(),
        specs: std::collections::BTreeMap::new(),
    });
    assert!(world.worker.generation() < world.assignment.generation && world.worker.inventory().is_empty());
    world.inbox.push_back(world.assigned());
    world.settle();
    assert_eq!(last(&world).state, State::Running);
    assert!(world.worker.missing_specs(&world.assignment).is_empty());
}

#[test]
fn the_next_attempt_waits_until_nothing_of_the_last_can_come_alive() {
    let mut world = World::new(1);
    world.settle();
    world.want(0, Some(PlacementWanted::Running), "always");
    while let Some(event) = world.inbox.pop_front() {
        world.step(event);
    }
    for _ in 0..2 {
        let effect = world.pending.pop_front().expect("an effect");
        world.carry_out(effect);
        while let Some(event) = world.inbox.pop_front() {
            world.step(event);
        }
    }
    fail_next(&mut world, FailureKind::Rejected(Reason::PortTaken));
    assert_eq!(
        (last(&world).state, last(&world).reason, status(&world).budget_used),
        (State::Rejected, Some(Reason::PortTaken), 0)
    );
    // What was made for it is removed; the engine does not answer to that at first.
    assert!(world.calls.last().is_some_and(|c| c.starts_with("remove ")), "{:?}", world.calls);
    fail_next(&mut world, FailureKind::Unknown);
    world.calls.clear();
    world.pending.clear();
    world.now = world.now.plus(Span::from_secs(5));
    world.step(Event::Tick);
    assert_eq!(world.calls.iter().map(|c| c.split(' ').next().unwrap_or("")).collect::<Vec<_>>(), ["remove"]);
    world.settle();
    assert_eq!((last(&world).number, last(&world).state), (2, State::Running));
}
