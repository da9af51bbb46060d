//! What is ours and what is not.

use orca_core::worker::io::{Done, Effect, Event, FailureKind};
use orca_tests::fake_engine::{Behaviour, Status};

use crate::rig::{OTHER, kind, next, rig, spec, state};

#[tokio::test]
async fn foreign_containers_are_not_seen_and_not_touched() {
    let rig = rig();
    let mut events = rig.watch();
    next(&mut events, state).await;
    let plain = rig.fake.add_foreign("plain", &[]);
    let other = rig.fake.add_foreign(
        "web-a1-zzzz",
        &[
            ("orca.cluster", OTHER),
            ("orca.task", OTHER),
            ("orca.placement", OTHER),
            ("orca.attempt", "1"),
            ("orca.spec", "x"),
            ("orca.name", "web"),
        ],
    );
    let own = rig.run(spec("busybox:local")).await.id;
    let Event::Swept { containers } = rig.engine.perform(Effect::Sweep).await else { panic!() };
    assert_eq!(containers.iter().map(|c| c.id.clone()).collect::<Vec<_>>(), [own]);
    for id in [plain, other] {
        assert_eq!(kind(rig.stop(&id, 100).await), FailureKind::NoSuchContainer);
        assert_eq!(kind(rig.remove(&id).await), FailureKind::NoSuchContainer);
        assert_eq!(rig.fake.container(&id).unwrap().status, Status::Running);
    }
}

#[tokio::test]
async fn labels_of_an_image_make_nobody_ours() {
    let rig = rig();
    let own = rig.run(spec("busybox:local")).await;
    let labels = rig.fake.container(&own.id).unwrap().labels;
    rig.fake.add_image("committed:1", Behaviour { image_labels: labels, ..Behaviour::default() });
    // As `docker run --name quirky_hopper committed:1`, and our own renamed.
    let Done::Created { container: copy, .. } =
        rig.create_as("quirky_hopper", crate::rig::labels(1), spec("committed:1")).await.unwrap()
    else {
        panic!()
    };
    let Event::Inspected { seen: Some(seen), .. } =
        rig.engine.perform(Effect::Inspect { container: copy }).await
    else {
        panic!()
    };
    assert_eq!(seen.labels, None);
    let Event::Swept { containers } = rig.engine.perform(Effect::Sweep).await else { panic!() };
    assert_eq!(containers.len(), 1);
    assert_eq!(containers[0].id, own.id);
}
