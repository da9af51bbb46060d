//! Output, and processes in containers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use orca_api::control::ExecTask;
use orca_api::stream::Frame;
use orca_api::units::Span;

use crate::rig::{command, rig, sh};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_output() {
    let rig = rig().await;
    let journal = std::path::Path::new("/run/systemd/journal/socket").exists().then_some(Some("journald"));
    for driver in [None, Some("json-file")].into_iter().chain(journal) {
        let mut spec =
            sh("echo one; echo two >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; sleep 0.5; printf end");
        spec.log_driver = driver.map(str::to_owned);
        let id = rig.run(spec).await;
        let told = rig.lines(&id, None, true).await;
        let (errors, out): (Vec<_>, Vec<_>) = told.iter().partition(|l| l.starts_with("stderr"));
        assert_eq!(errors, ["stderr: two"]);
        assert_eq!(out[0], "stdout: one");
        let long: usize = out[1..out.len() - 1].iter().map(|l| l.len() - "stdout: ".len()).sum();
        assert_eq!((long, out.len()), (40_000, 5), "{driver:?}");
        assert_eq!(out[4], "stdout: end");
        assert_eq!(rig.lines(&id, Some(1), false).await, ["stdout: end"]);
    }
    let mut mute = sh("echo x; sleep 60");
    mute.log_driver = Some("none".to_owned());
    let id = rig.run(mute).await;
    assert!(rig.lines(&id, None, false).await[0].starts_with("note: the output of attempt 1 cannot be read"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_processes_in_a_container() {
    let rig = rig().await;
    let id = rig.run_ready(sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done")).await;
    let (out, err, last) =
        rig.exec(&id, command(&["sh", "-c", "echo out; echo err >&2; exit 9"]), stream::pending()).await;
    assert_eq!((out.as_str(), err.as_str(), last), ("out\n", "err\n", Some(Frame::Exit(9))));
    let input =
        stream::iter([Frame::Stdin(b"typed\n".to_vec()), Frame::Stdin(Vec::new())]).chain(stream::pending());
    let (out, _, last) = rig.exec(&id, ExecTask { stdin: true, ..command(&["cat"]) }, input).await;
    assert_eq!((out.as_str(), last), ("typed\n", Some(Frame::Exit(0))));
    let (out, _, last) = rig.exec(&id, command(&["absent-program"]), stream::pending()).await;
    assert!(matches!(last, Some(Frame::Exit(126 | 127))), "{out} {last:?}");
    let other = ExecTask {
        user: Some("65534".to_owned()),
        workdir: Some("/tmp".to_owned()),
        env: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
        ..command(&["sh", "-c", "id -u; pwd; echo $A"])
    };
    assert_eq!(rig.exec(&id, other, stream::pending()).await.0, "65534\n/tmp\nb\n");

    // A terminal has a size, from the beginning and after a change.
    let terminal = ExecTask {
        tty: true,
        stdin: true,
        size: Some((90, 33)),
        ..command(&["sh", "-c", "sleep 1; stty size; read x; stty size; echo $TERM"])
    };
    let input = stream::unfold(0, |step| async move {
        match step {
            0 => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                Some((Frame::Resize { columns: 70, rows: 20 }, 1))
            }
            1 => Some((Frame::Stdin(b"\n".to_vec()), 2)),
            _ => std::future::pending().await,
        }
    });
    let (out, _, last) = rig.exec(&id, terminal, input).await;
    assert!(out.contains("33 90") && out.contains("20 70") && out.contains("xterm"), "{out}");
    assert_eq!(last, Some(Frame::Exit(0)));

    rig.stop(&id, Span::from_secs(5)).await.unwrap();
    let (_, _, last) = rig.exec(&id, command(&["true"]), stream::pending()).await;
    assert!(matches!(last, Some(Frame::Error(_))), "{last:?}");
}
