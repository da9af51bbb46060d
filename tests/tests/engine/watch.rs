//! The connection and its supervision: versions, absence, silence, restarts, hints.

use std::time::Duration;

use orca_api::spec::Pull;
use orca_core::worker::io::{Effect, EngineState, Event, FailureKind};
use orca_tests::fake_engine::Call;
use tokio::sync::mpsc;

use crate::rig::{OTHER, kind, next, rig, spec, state};

#[tokio::test]
async fn every_path_carries_the_agreed_version() {
    for (theirs, agreed) in [(41, 41), (44, 44), (52, 52), (53, 53), (60, 53)] {
        let rig = rig();
        rig.fake.announce_api(theirs);
        assert_eq!(rig.engine.facts().await.api, format!("1.{agreed}"));
        rig.run(spec("busybox:local")).await;
        let calls = rig.fake.calls();
        let unpinned: Vec<_> =
            calls.iter().filter(|c| c.api != Some(agreed) && c.path != "/version").collect();
        assert_eq!(unpinned, Vec::<&Call>::new());
    }
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_refused() {
    let rig = rig();
    rig.fake.announce_api(40);
    let failure = rig.pull("busybox:local", Pull::Missing).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unknown);
    assert!(failure.message.contains("1.41"), "{}", failure.message);
    assert_eq!(rig.engine.facts().await.version, "");
}

#[tokio::test]
async fn facts() {
    let facts = rig().engine.facts().await;
    assert_eq!(
        (facts.version.as_str(), facts.cgroup, facts.cgroup_driver.as_str(), facts.storage_driver.as_str()),
        ("20.10.24", 2, "systemd", "overlay2")
    );
    assert!(facts.log_drivers.contains(&"journald".to_owned()));
}

#[tokio::test]
async fn events_are_hints() {
    let rig = rig();
    let mut events = rig.watch();
    assert!(matches!(next(&mut events, state).await, EngineState::Up { live_restore: false, .. }));
    let id = rig.run(spec("busybox:local")).await.id;
    let hint = |event| match event {
        Event::Hint { container } => Some(container),
        _ => None,
    };
    assert_eq!(next(&mut events, hint).await, id);
    rig.fake.exit(&id, 0);
    assert_eq!(next(&mut events, hint).await, id);
    rig.fake.add_foreign("other", &[("orca.cluster", OTHER)]);
    rig.fake.destroy(&id);
    assert_eq!(next(&mut events, hint).await, id);
}

#[tokio::test]
async fn an_engine_that_goes_and_comes_back_has_another_life() {
    let rig = rig();
    let mut events = rig.watch();
    let EngineState::Up { life: first, .. } = next(&mut events, state).await else { panic!() };
    let id = rig.run(spec("busybox:local")).await.id;
    rig.fake.go_down(false);
    assert_eq!(next(&mut events, state).await, EngineState::Away);
    assert_eq!(kind(rig.start(&id).await), FailureKind::Unknown);
    rig.fake.come_back();
    let EngineState::Up { life: second, .. } = next(&mut events, state).await else { panic!() };
    assert_ne!(first, second);
    let Event::Inspected { seen: Some(seen), .. } =
        rig.engine.perform(Effect::Inspect { container: id }).await
    else {
        panic!()
    };
    assert_eq!(seen.exit_code, Some(137));
}

#[tokio::test]
async fn an_upgraded_engine_is_asked_anew() {
    let rig = rig();
    let mut events = rig.watch();
    next(&mut events, state).await;
    assert_eq!(rig.engine.facts().await.api, "1.41");
    rig.fake.go_down(true);
    assert_eq!(next(&mut events, state).await, EngineState::Away);
    rig.fake.announce_api(52);
    rig.fake.come_back();
    assert!(matches!(next(&mut events, state).await, EngineState::Up { live_restore: true, .. }));
    assert_eq!(rig.engine.facts().await.api, "1.52");
}

#[tokio::test]
async fn an_engine_that_hangs_is_noticed_and_nothing_is_concluded() {
    let rig = rig();
    let mut events = rig.watch();
    let EngineState::Up { life: first, .. } = next(&mut events, state).await else { panic!() };
    let id = rig.run(spec("busybox:local")).await.id;
    rig.fake.faults(|f| f.hang = true);
    assert_eq!(next(&mut events, state).await, EngineState::Unresponsive);
    let began = std::time::Instant::now();
    let (started, stopped, swept) =
        tokio::join!(rig.start(&id), rig.stop(&id, 10), rig.engine.perform(Effect::Sweep));
    assert_eq!((kind(started), kind(stopped)), (FailureKind::Unknown, FailureKind::Unknown));
    assert!(matches!(swept, Event::Tick), "{swept:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "deadlines do not add up");
    rig.fake.faults(|f| f.hang = false);
    let EngineState::Up { life: second, .. } = next(&mut events, state).await else { panic!() };
    assert_eq!(first, second);
    assert_eq!(rig.fake.container(&id).unwrap().starts, 1);
}

#[tokio::test]
async fn a_list_that_hangs_is_a_hanging_engine() {
    let rig = rig();
    let mut events = rig.watch();
    next(&mut events, state).await;
    rig.fake.faults(|f| f.hang_path = Some("/containers/json".to_owned()));
    assert_eq!(next(&mut events, state).await, EngineState::Unresponsive);
}

#[tokio::test]
async fn a_sweep_that_fails_tells_nothing() {
    let rig = rig();
    rig.run(spec("busybox:local")).await;
    rig.fake.faults(|f| f.fail_path = Some(("/json".to_owned(), "broken".to_owned())));
    assert!(matches!(rig.engine.perform(Effect::Sweep).await, Event::Tick));
}

#[tokio::test]
async fn the_watch_ends_with_its_receiver() {
    let rig = rig();
    let (out, events) = mpsc::channel(8);
    let watch = tokio::spawn(rig.engine.clone().watch(|| None, out));
    drop(events);
    tokio::time::timeout(Duration::from_secs(5), watch).await.unwrap().unwrap();
}
