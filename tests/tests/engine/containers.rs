//! Creating, starting, stopping and removing.

use orca_api::spec::{HealthCheck, TaskSpec};
use orca_api::task::Reason;
use orca_core::worker::io::{ContainerStatus, Done, Effect, Event, FailureKind};
use orca_tests::fake_engine::{Behaviour, Status};

use crate::rig::{kind, labels, rejected, rig, spec};

#[tokio::test]
async fn created_and_started() {
    let rig = rig();
    let mut spec = spec("busybox:local");
    spec.ports = vec!["8080:80".parse().unwrap()];
    let seen = rig.run(spec).await;
    assert_eq!(
        (seen.status, seen.labels, seen.name.as_str()),
        (ContainerStatus::Running, Some(labels(1)), "web-a1-x7f2")
    );
    assert_eq!(seen.ports[0].host, 8080);
    let made = rig.fake.container("web-a1-x7f2").unwrap();
    assert_eq!(made.labels["orca.task"], "web");
    assert_eq!(made.body["Hostname"], "web");
    assert_eq!(made.body["HostConfig"]["RestartPolicy"]["Name"], "no");
    assert_eq!(made.body["HostConfig"]["LogConfig"]["Type"], "local");
}

#[tokio::test]
async fn creating_twice_gives_the_same_container() {
    let rig = rig();
    let first = rig.create(spec("busybox:local")).await.unwrap();
    assert_eq!(rig.create(spec("busybox:local")).await.unwrap(), first);
    assert_eq!(rig.fake.containers().len(), 1);
}

#[tokio::test]
async fn a_taken_name_is_ours_or_left_alone() {
    let rig = rig();
    rig.fake.add_foreign("web-a1-x7f2", &[]);
    let (reason, message) = rejected(rig.create(spec("busybox:local")).await);
    assert_eq!(reason, Reason::StartError);
    assert!(message.contains("leaves it alone"), "{message}");
    assert_eq!(rig.fake.container("web-a1-x7f2").unwrap().status, Status::Running);

    // Debris of another attempt of ours under this name gives way.
    let debris = match rig.create_as("web-a2-x7f2", labels(1), spec("busybox:local")).await.unwrap() {
        Done::Created { container, .. } => container,
        other => panic!("{other:?}"),
    };
    let Done::Created { container, .. } =
        rig.create_as("web-a2-x7f2", labels(2), spec("busybox:local")).await.unwrap()
    else {
        panic!()
    };
    assert_ne!(container, debris);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let rig = rig();
    assert_eq!(kind(rig.create(spec("gone:1")).await), FailureKind::ImageVanished);
    let mut mounted = spec("busybox:local");
    mounted.mounts = vec!["/nonexistent/x:/data".parse().unwrap()];
    assert_eq!(rejected(rig.create(mounted).await).0, Reason::MountError);
}

#[tokio::test]
async fn a_taken_port_names_its_holder() {
    let rig = rig();
    let mut spec = spec("busybox:local");
    spec.ports = vec!["8080:80".parse().unwrap()];
    rig.run(spec.clone()).await;
    let Done::Created { container, .. } = rig.create_as("web-a2-b", labels(2), spec).await.unwrap() else {
        panic!()
    };
    let (reason, message) = rejected(rig.start(&container).await);
    assert_eq!(reason, Reason::PortTaken);
    assert!(message.contains("host port 8080 is taken by task `web`"), "{message}");
    assert!(message.contains("port is already allocated"), "{message}");
    // Debris is ours to remove, and it is not running.
    assert_eq!(rig.remove(&container).await, Ok(Done::Removed));
}

#[tokio::test]
async fn failed_starts() {
    let rig = rig();
    let table = [
        ("a:1", 400, "exec: \"nope\": executable file not found in $PATH: unknown", Reason::StartError),
        (
            "b:1",
            500,
            "error gathering device information while adding custom device \"/dev/x\": no such file or directory",
            Reason::NoDevice,
        ),
        ("c:1", 500, "write /x: no space left on device", Reason::NoSpace),
        ("d:1", 404, "network nope not found", Reason::StartError),
    ];
    for (n, (image, status, text, reason)) in table.into_iter().enumerate() {
        rig.fake.add_image(
            image,
            Behaviour { start_error: Some((status, text.to_owned())), ..Behaviour::default() },
        );
        let Done::Created { container, .. } =
            rig.create_as(&format!("web-a1-{n}"), labels(1), spec(image)).await.unwrap()
        else {
            panic!()
        };
        let (found, message) = rejected(rig.start(&container).await);
        assert_eq!((found, message.as_str()), (reason, text));
    }
    assert_eq!(kind(rig.start("absent").await), FailureKind::NoSuchContainer);
}

#[tokio::test]
async fn a_running_container_is_started() {
    let rig = rig();
    let seen = rig.run(spec("busybox:local")).await;
    assert_eq!(rig.start(&seen.id).await.unwrap().id, seen.id);
    assert_eq!(rig.fake.container(&seen.id).unwrap().starts, 1);
}

#[tokio::test]
async fn a_stop_asks_then_kills_then_looks() {
    let rig = rig();
    rig.fake.add_image("polite:1", Behaviour { term_code: Some(0), ..Behaviour::default() });
    rig.fake.add_image("stubborn:1", Behaviour { ignores_term: true, ..Behaviour::default() });
    let mut polite = spec("polite:1");
    polite.stop_signal = Some("SIGINT".parse().unwrap());
    let id = rig.run(polite).await.id;
    let seen = rig.stop(&id, 5000).await.unwrap().unwrap();
    assert_eq!((seen.status, seen.exit_code), (ContainerStatus::Exited, Some(0)));
    assert_eq!(rig.fake.container(&id).unwrap().signals, ["SIGINT"]);

    let Done::Created { container, .. } =
        rig.create_as("web-a2-b", labels(2), spec("stubborn:1")).await.unwrap()
    else {
        panic!()
    };
    rig.start(&container).await.unwrap();
    let seen = rig.stop(&container, 100).await.unwrap().unwrap();
    assert_eq!(seen.exit_code, Some(137));
    assert_eq!(rig.fake.container(&container).unwrap().signals, ["SIGTERM", "SIGKILL"]);
}

#[tokio::test]
async fn what_has_ended_or_gone_is_stopped() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    rig.fake.exit(&id, 3);
    assert_eq!(rig.stop(&id, 100).await.unwrap().unwrap().exit_code, Some(3));
    assert_eq!(rig.fake.container(&id).unwrap().signals, Vec::<String>::new());
    assert_eq!(rig.stop("absent", 100).await.unwrap(), None);
}

#[tokio::test]
async fn a_paused_container_is_thawed_first() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    rig.fake.pause(&id);
    assert_eq!(rig.stop(&id, 5000).await.unwrap().unwrap().exit_code, Some(143));
}

#[tokio::test]
async fn what_cannot_be_killed_is_said() {
    let rig = rig();
    rig.fake
        .add_image("undead:1", Behaviour { ignores_term: true, unkillable: true, ..Behaviour::default() });
    let id = rig.run(spec("undead:1")).await.id;
    assert_eq!(kind(rig.stop(&id, 10).await), FailureKind::Unkillable);
    assert_eq!(rig.fake.container(&id).unwrap().status, Status::Running);
}

#[tokio::test]
async fn removal() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    assert_eq!(kind(rig.remove(&id).await), FailureKind::Unknown);
    rig.fake.exit(&id, 0);
    assert_eq!(rig.remove(&id).await, Ok(Done::Removed));
    assert_eq!(rig.remove(&id).await, Ok(Done::Removed));
    assert!(rig.fake.calls().iter().any(|c| c.method == "DELETE" && c.query.contains("v=true")));
}

#[tokio::test]
async fn commands_are_checked_by_the_engine_and_ports_are_not() {
    let rig = rig();
    let made = async |name: &str, health: HealthCheck| {
        let spec = TaskSpec { health: Some(health), ..spec("busybox:local") };
        rig.create_as(name, labels(1), spec).await.unwrap();
        rig.fake.container(name).unwrap().body["Healthcheck"]["Test"].clone()
    };
    let exec =
        HealthCheck { exec: vec!["test".into(), "-e".into(), "/ready".into()], ..HealthCheck::default() };
    assert_eq!(made("web-a1-exec", exec).await, serde_json::json!(["CMD", "test", "-e", "/ready"]));
    let tcp = HealthCheck { tcp: Some(80), ..HealthCheck::default() };
    assert_eq!(made("web-a1-tcpx", tcp).await, serde_json::json!(["NONE"]));
    rig.create_as("web-a1-none", labels(1), spec("busybox:local")).await.unwrap();
    assert!(rig.fake.container("web-a1-none").unwrap().body.get("Healthcheck").is_none());
}

#[tokio::test]
async fn health_is_passed_on() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    rig.fake.health(&id, "unhealthy");
    let Event::Inspected { seen: Some(seen), .. } =
        rig.engine.perform(Effect::Inspect { container: id }).await
    else {
        panic!()
    };
    assert_eq!(seen.health, Some(orca_core::worker::io::Health::Unhealthy("the check says: no".to_owned())));
}
