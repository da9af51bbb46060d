//! Pulls and registries.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use orca_api::spec::Pull;
use orca_api::task::Reason;
use orca_core::worker::io::{Done, Event};
use orca_tests::fake_engine::RegistryImage;

use crate::rig::{eventually, rejected, rig};

#[tokio::test]
async fn an_image_that_is_there_needs_no_registry() {
    let rig = rig();
    for pull in [Pull::Missing, Pull::Never] {
        assert!(
            matches!(rig.pull("busybox:local", pull).await, Ok(Done::Pulled { image_id }) if image_id.starts_with("sha256:"))
        );
    }
    assert_eq!(rig.fake.count("POST", "/images/create"), 0);
}

#[tokio::test]
async fn a_missing_image_is_pulled_or_named() {
    let mut rig = rig();
    rig.fake.add_registry_image(
        "app:1",
        RegistryImage {
            layers: vec![1000, 500],
            step: Duration::from_millis(30),
            ..RegistryImage::default()
        },
    );
    assert!(rig.pull("app:1", Pull::Missing).await.is_ok());
    let mut last = None;
    while let Ok(Event::Progressed { progress, .. }) = rig.progress.try_recv() {
        last = Some(progress);
    }
    assert_eq!(last.map(|p| p.total), Some(1500));

    let (reason, message) = rejected(rig.pull("absent:1", Pull::Never).await);
    assert_eq!(reason, Reason::ImageNotFound);
    assert!(message.contains("pull = never"), "{message}");
    let (reason, message) = rejected(rig.pull("absent:1", Pull::Missing).await);
    assert_eq!(reason, Reason::ImageNotFound);
    assert!(message.contains("repository does not exist"), "{message}");
}

#[tokio::test]
async fn always_asks_the_registry() {
    let rig = rig();
    assert_eq!(rejected(rig.pull("busybox:local", Pull::Always).await).0, Reason::ImageNotFound);
    rig.fake.add_registry_image("busybox:local", RegistryImage::default());
    assert!(rig.pull("busybox:local", Pull::Always).await.is_ok());
}

#[tokio::test]
async fn a_stalled_pull_is_given_up_and_others_go_on() {
    let rig = rig();
    rig.fake.add_registry_image(
        "stuck:1",
        RegistryImage { layers: vec![1000], stall_after: Some(4), ..RegistryImage::default() },
    );
    let slow =
        RegistryImage { layers: vec![1000], step: Duration::from_millis(60), ..RegistryImage::default() };
    rig.fake.add_registry_image("slow:1", slow);
    let (stuck, slow) = tokio::join!(rig.pull("stuck:1", Pull::Missing), rig.pull("slow:1", Pull::Missing));
    let (reason, message) = rejected(stuck);
    assert_eq!(reason, Reason::PullError);
    assert!(message.contains("no progress for 0.4 s"), "{message}");
    // Twice the limit in all, and never without progress.
    assert!(slow.is_ok());
    eventually("the engine gives the pull up", || rig.fake.pulls() == 0).await;
}

#[tokio::test]
async fn one_pull_serves_all_who_wait_and_three_run_at_once() {
    let rig = rig();
    let image =
        || RegistryImage { layers: vec![100], step: Duration::from_millis(20), ..RegistryImage::default() };
    for n in 0..5 {
        rig.fake.add_registry_image(&format!("app{n}:1"), image());
    }
    let pulls = stream::iter(0..10)
        .map(|n| {
            let rig = &rig;
            async move { rig.pull(&format!("app{}:1", n % 5), Pull::Missing).await }
        })
        .buffer_unordered(10);
    let most = std::cell::Cell::new(0);
    let results: Vec<_> = tokio::select! {
        results = pulls.collect::<Vec<_>>() => results,
        () = async { loop { most.set(most.get().max(rig.fake.pulls())); tokio::time::sleep(Duration::from_millis(2)).await; } } => unreachable!(),
    };
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(rig.fake.count("POST", "/images/create"), 5);
    assert_eq!(most.get(), 3);
}

#[tokio::test]
async fn refusals_of_registries_are_told_apart() {
    let rig = rig();
    let refuse = |status, text: &str| RegistryImage {
        refuse: Some((status, text.to_owned())),
        ..RegistryImage::default()
    };
    let table = [
        ("a:1", refuse(500, "Get https://r/v2/: dial tcp: lookup r: no such host"), Reason::PullError),
        ("b:1", refuse(404, "manifest for b:1 not found: manifest unknown"), Reason::ImageNotFound),
        (
            "c:1",
            RegistryImage {
                fail: Some("failed to register layer: no space left on device".to_owned()),
                ..RegistryImage::default()
            },
            Reason::NoSpace,
        ),
        (
            "d:1",
            RegistryImage { wants: Some(("ann".into(), "secret".into())), ..RegistryImage::default() },
            Reason::RegistryAuth,
        ),
    ];
    for (name, image, reason) in table {
        rig.fake.add_registry_image(name, image);
        assert_eq!(rejected(rig.pull(name, Pull::Missing).await).0, reason, "{name}");
    }
}

#[tokio::test]
async fn credentials_are_read_at_each_pull() {
    let rig = rig();
    let private = RegistryImage { wants: Some(("ann".into(), "secret".into())), ..RegistryImage::default() };
    rig.fake.add_registry_image("r.example/app:1", private);
    let file = rig.fake.folder().join("docker-config.json");
    std::fs::write(&file, "{").unwrap();
    let (reason, message) = rejected(rig.pull("r.example/app:1", Pull::Missing).await);
    assert_eq!(reason, Reason::RegistryAuth);
    assert!(message.contains("docker-config.json"), "{message}");
    std::fs::write(&file, r#"{"auths": {"r.example": {"auth": "YW5uOnNlY3JldA=="}}}"#).unwrap();
    assert!(rig.pull("r.example/app:1", Pull::Missing).await.is_ok());
}
