//! The life of containers, and what is refused.

use std::process::Command;
use std::time::Duration;

use futures_util::stream;
use orca_api::spec::TaskSpec;
use orca_api::task::Reason;
use orca_api::units::{Bytes, Cpu, Span};
use orca_core::worker::io::{ContainerStatus, Done, Effect, EngineState, Event, FailureKind};
use orcad::worker::docker::Engine;
use tokio::sync::mpsc;

use crate::rig::{IMAGE, command, op, rig, sh};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_spec_becomes_a_container() {
    let rig = rig().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "from the node").unwrap();
    let mut spec = sh(
        "echo $GREETING; cat /data/file; pwd; id -u; hostname; touch /x 2>&1; touch /run/y && echo tmpfs; sleep 60",
    );
    spec.env.insert("GREETING".to_owned(), "hello".to_owned());
    spec.mounts = vec![format!("{}:/data:ro", folder.path().display()).parse().unwrap()];
    spec.tmpfs = vec!["/run:size=1m,mode=1777".parse().unwrap()];
    spec.user = Some("65534".to_owned());
    spec.workdir = Some("/tmp".to_owned());
    spec.read_only = true;
    spec.init = true;
    spec.cpus = Some(Cpu::from_millis(500));
    spec.memory = Some(Bytes::mib(64));
    spec.reserve_memory = Some(Bytes::mib(32));
    spec.pids = Some(20);
    spec.ports = vec!["127.0.0.1::80".parse().unwrap()];
    spec.labels.insert("team".to_owned(), "blue".to_owned());
    spec.cap_drop = vec!["ALL".to_owned()];
    spec.hosts = vec!["db:10.0.0.5".to_owned()];
    let id = rig.create(spec.clone()).await.unwrap();
    let seen = rig.start(&id).await.unwrap();
    assert_eq!((seen.status, seen.labels.as_ref()), (ContainerStatus::Running, Some(&rig.labels())));
    assert!(
        seen.pid > 0 && seen.started_at.is_some() && seen.finished_at.is_none() && seen.exit_code.is_none()
    );
    let [port] = seen.ports.as_slice() else { panic!("{:?}", seen.ports) };
    assert_eq!((port.address.as_str(), port.container), ("127.0.0.1", 80));
    assert!(port.host > 0);
    let told = loop {
        let lines = rig.lines(&id, None, false).await;
        if lines.iter().any(|l| l.contains("tmpfs")) {
            break lines;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(told[..2], ["stdout: hello", "stdout: from the node/tmp"]);
    assert!(
        told.contains(&"stdout: 65534".to_owned()) && told.contains(&"stdout: orca-try".to_owned()),
        "{told:?}"
    );
    assert!(told.iter().any(|l| l.contains("Read-only file system")), "{told:?}");
    let (out, _, _) = rig
        .exec(&id, command(&["grep", "-E", "NoNewPrivs|CapEff", "/proc/self/status"]), stream::pending())
        .await;
    assert!(out.contains("NoNewPrivs:\t1") && out.contains("CapEff:\t0000000000000000"), "{out}");
    let (out, _, _) = rig.exec(&id, command(&["grep", "db", "/etc/hosts"]), stream::pending()).await;
    assert!(out.contains("10.0.0.5"), "{out}");

    let Event::Swept { containers } = rig.engine.perform(Effect::Sweep).await else { panic!() };
    assert_eq!(containers.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    let ended = rig.stop(&id, Span::from_secs(5)).await.unwrap().unwrap();
    assert_eq!(ended.status, ContainerStatus::Exited);
    assert!(ended.finished_at >= ended.started_at && ended.exit_code.is_some());
    assert_eq!(rig.act(Effect::Remove { op: op(9), container: id.clone() }).await, Ok(Done::Removed));
    assert_eq!(rig.inspect(&id).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_ends_are_told_truly() {
    let rig = rig().await;
    let id = rig.run(sh("exit 7")).await;
    assert_eq!(rig.ended(&id).await.exit_code, Some(7));
    let mut hungry = sh("tail /dev/zero");
    hungry.memory = Some(Bytes::mib(16));
    let id = rig.run(hungry).await;
    let ended = rig.ended(&id).await;
    assert_eq!((ended.exit_code, ended.oom_killed), (Some(137), true));
    let id = rig.run(sh("kill -9 $$; sleep 60")).await;
    // PID 1 of a container is spared its own signals; the engine's kill is not.
    let killed = Command::new("docker").args(["kill", &id]).output().unwrap();
    assert!(killed.status.success());
    let ended = rig.ended(&id).await;
    assert_eq!((ended.exit_code, ended.oom_killed), (Some(137), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_refusals_have_reasons() {
    let rig = rig().await;
    let mut absent = TaskSpec::of_image(IMAGE.parse().unwrap());
    absent.command = vec!["absent-program".to_owned()];
    let (reason, message) = rig.refused(absent).await;
    assert_eq!(reason, Reason::StartError, "{message}");
    let mut mount = sh("true");
    mount.mounts = vec!["/nonexistent/of/a/test:/data".parse().unwrap()];
    let (reason, message) = rig.refused(mount).await;
    assert_eq!(reason, Reason::MountError, "{message}");
    assert!(!std::path::Path::new("/nonexistent").exists());
    let mut device = sh("true");
    device.devices = vec!["/dev/absent-of-a-test".to_owned()];
    let (reason, message) = rig.refused(device).await;
    assert_eq!(reason, Reason::NoDevice, "{message}");
    let mut network = sh("true");
    network.network = Some("absent-of-a-test".to_owned());
    let (reason, message) = rig.refused(network).await;
    assert_eq!(reason, Reason::StartError, "{message}");

    let mut published = sh("sleep 60");
    let plain = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    published.ports = vec![format!("{port}:80").parse().unwrap()];
    let (reason, message) = rig.refused(published.clone()).await;
    assert_eq!(reason, Reason::PortTaken, "{message}");
    assert!(message.starts_with(&format!("host port {port} is taken by a process of uid")), "{message}");
    drop(plain);
    rig.run(published.clone()).await;
    let (reason, message) = rig.refused(published).await;
    assert_eq!(reason, Reason::PortTaken, "{message}");
    assert!(message.contains("is taken by task `orca-try`"), "{message}");

    let mut gone = sh("true");
    gone.image = "absent-of-a-test:1".parse().unwrap();
    assert_eq!(rig.create(gone).await.unwrap_err().kind, FailureKind::ImageVanished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_stops() {
    let rig = rig().await;
    let polite = rig.run_ready(sh("trap 'exit 3' INT; echo ready; while :; do sleep 0.1; done")).await;
    let stop = Effect::Stop {
        op: op(3),
        container: polite,
        signal: Some("SIGINT".parse().unwrap()),
        grace: Span::from_secs(20),
    };
    let Ok(Done::Stopped { seen: Some(seen) }) = rig.act(stop).await else { panic!() };
    assert_eq!(seen.exit_code, Some(3));
    let began = std::time::Instant::now();
    let stubborn = rig.run_ready(sh("trap '' TERM; echo ready; while :; do sleep 0.1; done")).await;
    let seen = rig.stop(&stubborn, Span::from_ms(700)).await.unwrap().unwrap();
    assert_eq!(seen.exit_code, Some(137));
    assert!(began.elapsed() < Duration::from_secs(15));
    let paused = rig.run_ready(sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done")).await;
    assert!(Command::new("docker").args(["pause", &paused]).output().unwrap().status.success());
    assert_eq!(rig.inspect(&paused).await.unwrap().status, ContainerStatus::Paused);
    assert_eq!(rig.stop(&paused, Span::from_secs(10)).await.unwrap().unwrap().exit_code, Some(0));
    assert_eq!(rig.stop("absent-of-a-test", Span::ZERO).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_foreign_containers_are_left_alone() {
    let rig = rig().await;
    let made = Command::new("docker")
        .args(["run", "-d", "--label", "orca.cluster=0000000000000000", IMAGE, "sleep", "60"])
        .output()
        .unwrap();
    let foreign = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    rig.containers.borrow_mut().push(foreign.clone());
    assert_eq!(rig.stop(&foreign, Span::ZERO).await.unwrap_err().kind, FailureKind::NoSuchContainer);
    assert_eq!(
        rig.act(Effect::Remove { op: op(4), container: foreign.clone() }).await.unwrap_err().kind,
        FailureKind::NoSuchContainer
    );
    assert_eq!(rig.inspect(&foreign).await.unwrap().status, ContainerStatus::Running);

    // A copy of one of ours, labels and all, is not ours.
    let own = rig.run(sh("sleep 60")).await;
    let image = format!("orca-try-committed:{}", std::process::id());
    assert!(Command::new("docker").args(["commit", &own, &image]).output().unwrap().status.success());
    let copy = Command::new("docker").args(["run", "-d", &image]).output().unwrap();
    let copy = String::from_utf8(copy.stdout).unwrap().trim().to_owned();
    rig.containers.borrow_mut().push(copy.clone());
    let Event::Swept { containers } = rig.engine.perform(Effect::Sweep).await else { panic!() };
    let _ = Command::new("docker").args(["rm", "-f", &copy]).output();
    let _ = Command::new("docker").args(["rmi", "-f", &image]).output();
    assert_eq!(containers.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), [own.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_events_are_hints() {
    let mut rig = rig().await;
    let id = rig.run(sh("exit 0")).await;
    let hint = async {
        loop {
            if let Some(Event::Hint { container }) = rig.events.recv().await {
                break container;
            }
        }
    };
    let hinted = tokio::time::timeout(Duration::from_secs(10), hint).await.expect("a hint");
    assert_eq!(hinted, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_the_engine_keeps_its_life() {
    let (one, two) = (rig().await, rig().await);
    let facts = one.engine.facts().await;
    assert!(!facts.version.is_empty() && facts.data_root.is_dir() && facts.cgroup > 0, "{facts:?}");
    let life = |engine: Engine| async move {
        let (out, mut events) = mpsc::channel(16);
        tokio::spawn(engine.watch(|| None, out));
        match events.recv().await {
            Some(Event::Engine(EngineState::Up { life, .. })) => life,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(life(one.engine.clone()).await, life(two.engine.clone()).await);
}
