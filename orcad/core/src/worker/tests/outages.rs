//! Single cases in which the daemon, the engine, the machine or the store was away.

use orca_api::link::{PlacementStatus, PlacementWanted};
use orca_api::node::Condition;
use orca_api::task::{Reason, State};
use orca_api::units::Span;

use super::cases::{exit, last, running, status};
use super::world::World;
use crate::worker::io::{ContainerStatus, Done, EngineState};
use crate::worker::{Effect, Event};

const SECOND: Span = Span::from_secs(1);

#[test]
fn what_exited_while_the_daemon_was_dead_is_booked_as_it_was() {
    let mut world = running("on-failure");
    let container = last(&world).container.expect("a container");
    let at = world.now.wall;
    world.exit(&container, 7);
    world.now = world.now.plus(Span::from_secs(60));
    world.crash();
    world.settle();
    let attempt = last(&world);
    assert_eq!((attempt.state, attempt.exit_code, attempt.finished_at), (State::Failed, Some(7), Some(at)));
}

#[test]
fn a_daemon_that_restarts_touches_nothing() {
    let mut world = running("always");
    world.run_for(Span::from_secs(60));
    world.crash();
    world.run_for(Span::from_secs(60));
    assert_eq!((world.calls.len(), world.commits), (0, 0));
}

#[test]
fn an_engine_that_restarts_is_not_the_tasks_fault() {
    let mut world = running("on-failure:1");
    for number in 2..6 {
        world.restart_engine();
        world.settle();
        let now = status(&world);
        assert_eq!((last(&world).number, last(&world).state), (number, State::Running));
        assert_eq!(now.attempts[now.attempts.len() - 2].reason, Some(Reason::EngineRestart));
        assert_eq!((now.restarts, now.budget_used), (0, 0));
    }

    // A polite program exits with 0 when the engine asks it to.
    let container = last(&world).container.expect("a container");
    world.set_engine(EngineState::Away);
    world.settle();
    world.exit(&container, 0);
    world.now = world.now.plus(SECOND);
    world.set_engine(EngineState::Up { life: "99".to_owned(), live_restore: false });
    world.settle();
    let now = status(&world);
    assert_eq!(now.attempts[now.attempts.len() - 2].reason, Some(Reason::EngineRestart));
    assert_eq!(last(&world).state, State::Running);

    let mut world = running("never");
    world.restart_engine();
    world.settle();
    assert!(status(&world).finished);
    assert_eq!(
        last(&world).message,
        "its engine was restarted, and with the restart policy never it does not come back"
    );
}

#[test]
fn an_engine_that_restarted_while_the_daemon_was_dead_is_not_the_tasks_fault() {
    let mut world = running("on-failure");
    let container = last(&world).container.expect("a container");
    world.exit(&container, 0);
    world.now = world.now.plus(Span::from_secs(60));
    world.engine_life += 1;
    world.crash();
    world.settle();
    let now = status(&world);
    assert_eq!(now.attempts[0].reason, Some(Reason::EngineRestart));
    assert_eq!((last(&world).number, last(&world).state, now.restarts), (2, State::Running, 0));
}

#[test]
fn nothing_is_asked_before_it_is_known_whose_containers_are_ours() {
    let mut world = World::new(1);
    world.inbox.clear();
    let up = world.engine.clone().expect("an engine");
    world.step(Event::Engine(up));
    world.step(Event::Tick);
    assert!(world.pending.is_empty(), "{:?}", world.pending);
    assert_eq!(world.worker.next_deadline(), None);
}

#[test]
fn an_end_of_its_own_is_its_own_though_the_engine_was_away() {
    // Containers live on, and this one exited meanwhile.
    let mut world = World::new(3);
    world.live_restore = true;
    world.restart_engine();
    world.settle();
    world.want(0, Some(PlacementWanted::Running), "on-failure");
    world.settle();
    world.set_engine(EngineState::Away);
    world.settle();
    let container = last(&world).container.expect("a container");
    world.exit(&container, 7);
    world.set_engine(EngineState::Up { life: "99".to_owned(), live_restore: true });
    world.settle();
    assert_eq!((last(&world).reason, last(&world).exit_code), (Some(Reason::Exited), Some(7)));

    // The engine only hung.
    let mut world = running("on-failure");
    let up = world.engine.clone().expect("an engine");
    world.set_engine(EngineState::Unresponsive);
    world.settle();
    let container = last(&world).container.expect("a container");
    world.exit(&container, 7);
    world.set_engine(up);
    world.settle();
    assert_eq!(last(&world).reason, Some(Reason::Exited));
}

#[test]
fn nothing_is_concluded_while_the_engine_cannot_be_asked() {
    let mut world = running("on-failure");
    let container = last(&world).container.expect("a container");
    world.set_engine(EngineState::Unresponsive);
    world.settle();
    assert_eq!(world.worker.conditions(), []);
    world.containers.remove(&container);
    world.step(Event::Swept { containers: Vec::new() });
    world.step(Event::Inspected { container, seen: None });
    world.now = world.now.plus(Span::from_secs(15));
    world.step(Event::Tick);
    assert_eq!(last(&world).state, State::Running);
    assert_eq!(world.worker.conditions(), [Condition::EngineUnresponsive]);
    assert_eq!(world.calls.len(), 0);
    world.set_engine(EngineState::Up { life: "1".to_owned(), live_restore: false });
    world.settle();
    assert_eq!(last(&world).reason, Some(Reason::ContainerRemoved));
    assert_eq!(world.worker.conditions(), []);
}

#[test]
fn a_reboot_brings_everything_back() {
    let mut world = running("on-failure:1");
    let container = last(&world).container.expect("a container");
    world.step(Event::GoingDown);
    world.exit(&container, 0);
    world.step(Event::Hint { container });
    world.settle();
    assert_eq!((last(&world).state, last(&world).reason), (State::Failed, Some(Reason::NodeReboot)));
    assert_eq!(world.calls.len(), 0, "something was begun while the machine went down");
    world.boot_id = "boot-2".to_owned();
    world.crash();
    world.settle();
    assert_eq!((last(&world).number, last(&world).state, status(&world).restarts), (2, State::Running, 0));

    // The power went: what is found ended in another boot.
    let container = last(&world).container.expect("a container");
    world.exit(&container, 255);
    world.boot_id = "boot-3".to_owned();
    world.crash();
    world.settle();
    let now = status(&world);
    assert_eq!(now.attempts[1].reason, Some(Reason::NodeReboot));
    assert_eq!((last(&world).number, last(&world).state), (3, State::Running));
}

#[test]
fn what_is_never_restarted_says_that_its_machine_was() {
    // Politely, with an exit code of 0 on TERM; and without a word.
    for (polite, code) in [(true, 0), (false, 255)] {
        let mut world = running("never");
        let container = last(&world).container.expect("a container");
        if polite {
            world.step(Event::GoingDown);
        }
        world.exit(&container, code);
        if polite {
            world.step(Event::Hint { container });
            world.settle();
        }
        world.boot_id = "boot-2".to_owned();
        world.crash();
        world.settle();
        let now = last(&world);
        assert_eq!((now.number, now.state, now.reason), (1, State::Failed, Some(Reason::NodeReboot)));
        assert_eq!(
            now.message,
            "its machine was restarted, and with the restart policy never it does not come back"
        );
        assert!(status(&world).finished);
    }
}

#[test]
fn only_containers_of_ours_are_touched_and_only_once_a_set_is_known() {
    let mut world = running("always");
    let own = world.containers.values().next().cloned().expect("a container");
    let (mut foreign, mut unknown) = (own.clone(), own.clone());
    foreign.id = "foreign".to_owned();
    if let Some(labels) = &mut foreign.labels {
        labels.cluster = orca_api::id::ClusterId::fresh(&mut world.ids);
    }
    unknown.id = "unknown".to_owned();
    if let Some(labels) = &mut unknown.labels {
        labels.placement = orca_api::id::PlacementId::fresh(&mut world.ids);
    }
    let again = unknown.clone();
    world.containers.insert(foreign.id.clone(), foreign);
    world.containers.insert(unknown.id.clone(), unknown);
    world.lose_store();
    world.inbox.pop_back();
    world.run_for(Span::from_secs(60));
    assert_eq!(world.calls.len(), 0);
    world.inbox.push_back(world.assigned());
    world.settle();
    assert_eq!(world.calls, ["stop unknown", "remove unknown"]);
    // A set that was stored is the set: the manager does not send it again.
    world.calls.clear();
    world.containers.insert(again.id.clone(), again);
    world.crash();
    world.inbox.pop_back();
    world.run_for(Span::from_secs(60));
    assert_eq!(world.calls, ["stop unknown", "remove unknown"]);
    assert!(world.containers.contains_key("foreign") && world.containers.contains_key(&own.id));
}

#[test]
fn a_lost_store_is_rebuilt_from_labels() {
    let mut world = running("always");
    exit(&mut world, 5);
    world.run_for(Span::from_secs(2));
    let before = status(&world);
    world.calls.clear();
    world.lose_store();
    // The set arrives before the engine has told of its containers.
    while let Some(event) = world.inbox.pop_front() {
        world.step(event);
    }
    assert_eq!((world.calls.len(), status(&world).attempts.len()), (0, 0));
    world.settle();
    assert_eq!(world.calls.len(), 0);
    let after = status(&world);
    let seen = |s: &PlacementStatus| {
        s.attempts
            .iter()
            .map(|a| (a.number, a.state, a.exit_code, a.started_at, a.container.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&after), seen(&before));
    assert!(after.sequence > before.sequence);
    assert_eq!(after.restarts, 0);

    // Nor is a stop taken for done before it is known what there is to stop.
    world.want(0, Some(PlacementWanted::Stopped), "always");
    world.lose_store();
    while let Some(event) = world.inbox.pop_front() {
        world.step(event);
    }
    assert!(!status(&world).finished);
    world.settle();
    assert_eq!((last(&world).number, last(&world).state), (2, State::Stopped));
}

#[test]
fn a_stop_that_comes_in_while_the_engine_hangs_is_not_taken_for_done() {
    let mut world = running("always");
    world.want(0, Some(PlacementWanted::Stopped), "always");
    world.lose_store();
    world.inbox.pop_back();
    world.settle();
    world.step(Event::Engine(EngineState::Unresponsive));
    world.step(world.assigned());
    assert!(!status(&world).finished, "its container lives: the sweep said so");
}

#[test]
fn what_never_ran_is_made_anew_after_a_lost_store() {
    let mut world = running("always");
    // Made, refused by the engine, reported as rejected, and not removed before the store was lost.
    for container in world.containers.values_mut() {
        container.status = ContainerStatus::Created;
        container.started_at = None;
        container.pid = 0;
    }
    for assigned in world.assignment.placements.values_mut() {
        assigned.attempts_before = 1;
    }
    world.calls.clear();
    world.lose_store();
    world.settle();
    assert_eq!((last(&world).number, last(&world).state), (2, State::Running));
}

#[test]
fn results_of_an_older_life_are_dropped() {
    let mut world = World::new(1);
    world.settle();
    world.want(0, Some(PlacementWanted::Running), "always");
    let pull = |world: &mut World| loop {
        if let Some(event) = world.inbox.pop_front() {
            world.step(event);
        } else {
            match world.pending.pop_front().expect("a pull") {
                Effect::Pull { op, .. } => break op,
                other => world.carry_out(other),
            }
        }
    };
    let old = pull(&mut world);
    world.crash();
    let new = pull(&mut world);
    assert_eq!(old.n, new.n, "the numbers begin anew");
    world.calls.clear();
    let pulled = Done::Pulled { image_id: "sha256:1".to_owned() };
    world.step(Event::Done { op: old, result: Ok(pulled.clone()) });
    assert_eq!(world.calls.len(), 0);
    world.step(Event::Done { op: new, result: Ok(pulled) });
    world.settle();
    assert_eq!(last(&world).state, State::Running);
}
