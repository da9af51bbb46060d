//! Output, and processes in containers.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use orca_api::control::{ExecTask, LogLine};
use orca_api::link::AttemptRef;
use orca_api::route::worker::LogQuery;
use orca_api::stream::Frame;
use orca_core::worker::io::Done;
use orca_tests::fake_engine::Behaviour;
use orcad::worker::streams;
use tokio::sync::mpsc;

use crate::rig::{CLUSTER, Rig, eventually, labels, rig, spec};

fn query(follow: bool, tail: Option<u32>) -> LogQuery {
    LogQuery {
        of: AttemptRef { placement: CLUSTER.parse().unwrap(), attempt: None },
        follow,
        tail,
        since: None,
    }
}

fn text(line: &LogLine) -> String {
    match line {
        LogLine::Line { stream, text, .. } => format!("{stream}: {text}"),
        LogLine::Note { text } => format!("note: {text}"),
    }
}

async fn read(rig: &Rig, id: &str, query: &LogQuery) -> Vec<String> {
    streams::logs(&rig.engine, id, 1, query).await.map(|line| text(&line)).collect().await
}

#[tokio::test]
async fn output_is_told_line_by_line() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    rig.fake.say(&id, 1, "one\n");
    rig.fake.say(&id, 2, "two\n");
    rig.fake.say(&id, 1, "no newline");
    assert_eq!(
        read(&rig, &id, &query(false, None)).await,
        ["stdout: one", "stderr: two", "stdout: no newline"]
    );
    assert_eq!(read(&rig, &id, &query(false, Some(1))).await, ["stdout: no newline"]);
    rig.fake.say(&id, 1, &"x".repeat(40_000));
    let lengths: Vec<usize> =
        read(&rig, &id, &query(false, Some(3))).await.iter().map(|l| l.len() - "stdout: ".len()).collect();
    assert_eq!(lengths, [16_384, 16_384, 7_232]);
}

#[tokio::test]
async fn following_ends_with_the_container() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    let mut lines = Box::pin(streams::logs(&rig.engine, &id, 7, &query(true, None)).await);
    rig.fake.say(&id, 1, "late\n");
    let first = tokio::time::timeout(Duration::from_secs(5), lines.next()).await.unwrap().unwrap();
    assert!(matches!(first, LogLine::Line { attempt: 7, time: Some(_), .. }), "{first:?}");
    rig.fake.exit(&id, 0);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), lines.next()).await.unwrap(), None);
}

#[tokio::test]
async fn last_words_are_told_once() {
    for lost in [false, true] {
        let rig = rig();
        rig.fake.faults(|f| f.lose_last_words = lost);
        rig.fake.add_image(
            "chatty:1",
            Behaviour { output: vec![(1, "one\n".into()), (1, "two\n".into())], ..Behaviour::default() },
        );
        let id = rig.run(spec("chatty:1")).await.id;
        rig.fake.say(&id, 2, "three\n");
        let follow = query(true, None);
        let (lines, ()) = tokio::join!(read(&rig, &id, &follow), async {
            eventually("somebody follows", || rig.fake.count("GET", "/logs") == 1).await;
            rig.fake.say(&id, 1, "last words");
            rig.fake.exit(&id, 0);
        });
        assert_eq!(lines, ["stdout: one", "stdout: two", "stderr: three", "stdout: last words"]);
        // A tail holds for the second reading, too.
        assert_eq!(read(&rig, &id, &query(true, Some(1))).await, ["stdout: last words"]);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_noted() {
    let rig = rig();
    assert!(read(&rig, "absent", &query(false, None)).await[0].contains("No such container"));
    let mut mute = spec("busybox:local");
    mute.log_driver = Some("none".to_owned());
    let id = rig.run(mute).await.id;
    assert!(read(&rig, &id, &query(false, None)).await[0].contains("does not support reading"));
    let Done::Created { container, .. } =
        rig.create_as("web-a2-b", labels(2), spec("busybox:local")).await.unwrap()
    else {
        panic!()
    };
    rig.fake.say(&container, 1, "x\n");
    rig.fake.faults(|f| f.damaged_logs = true);
    assert!(read(&rig, &container, &query(false, None)).await[0].contains("damaged"));
}

#[tokio::test]
async fn streams_that_nobody_reads_leave_nothing_behind() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    eventually("calls end", || rig.fake.connections() == 0).await;
    let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    for _ in 0..50 {
        let mut lines = Box::pin(streams::logs(&rig.engine, &id, 1, &query(true, None)).await);
        assert!(futures_util::poll!(lines.next()).is_pending());
        let frames = exec(&rig, &id, task(&["sleep"], true), stream::pending()).await;
        drop((lines, frames));
    }
    eventually("connections close", || rig.fake.connections() == 0).await;
    eventually("descriptors close", || std::fs::read_dir("/proc/self/fd").unwrap().count() <= before + 5)
        .await;
}

fn task(command: &[&str], stdin: bool) -> ExecTask {
    ExecTask {
        command: command.iter().map(|w| (*w).to_owned()).collect(),
        tty: false,
        stdin,
        user: None,
        workdir: None,
        env: std::collections::BTreeMap::new(),
        size: None,
    }
}

async fn exec<I>(
    rig: &Rig,
    id: &str,
    task: ExecTask,
    input: I,
) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = Frame> + Send>>
where
    I: futures_util::Stream<Item = Frame> + Send + 'static,
{
    Box::pin(streams::exec(&rig.engine, id, task, input).await)
}

#[tokio::test]
async fn a_process_in_a_container() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    let all = |command: &'static [&'static str]| {
        let rig = &rig;
        let id = id.clone();
        async move { exec(rig, &id, task(command, false), stream::pending()).await.collect::<Vec<_>>().await }
    };
    assert_eq!(all(&["echo", "a", "b"]).await, [Frame::Stdout(b"a b".to_vec()), Frame::Exit(0)]);
    assert_eq!(all(&["warn", "oh"]).await, [Frame::Stderr(b"oh".to_vec()), Frame::Exit(0)]);
    assert_eq!(all(&["exit", "7"]).await, [Frame::Exit(7)]);
    assert!(matches!(all(&["nope"]).await.as_slice(), [Frame::Stdout(_), Frame::Exit(127)]));
}

#[tokio::test]
async fn input_flows_until_it_is_closed() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    let input =
        stream::iter([Frame::Stdin(b"hello".to_vec()), Frame::Stdin(Vec::new())]).chain(stream::pending());
    let frames: Vec<Frame> = exec(&rig, &id, task(&["cat"], true), input).await.collect().await;
    assert_eq!(frames, [Frame::Stdout(b"hello".to_vec()), Frame::Exit(0)]);
    // A client that goes away closes it, too.
    let frames: Vec<Frame> = exec(&rig, &id, task(&["cat"], true), stream::empty()).await.collect().await;
    assert_eq!(frames, [Frame::Exit(0)]);
}

#[tokio::test]
async fn a_terminal_is_raw_and_has_a_size() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    let terminal = ExecTask { tty: true, size: Some((80, 24)), ..task(&["cat"], true) };
    let (keys, typed) = mpsc::channel::<Frame>(8);
    let input =
        stream::unfold(typed, |mut typed| async move { typed.recv().await.map(|frame| (frame, typed)) });
    let mut frames = exec(&rig, &id, terminal, input).await;
    // Bytes that look like the head of a frame are only bytes on a terminal.
    keys.send(Frame::Stdin(vec![1, 0, 0, 0, 0])).await.unwrap();
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(5), frames.next()).await.unwrap(),
        Some(Frame::Stdout(vec![1, 0, 0, 0, 0]))
    );
    keys.send(Frame::Resize { columns: 100, rows: 30 }).await.unwrap();
    keys.send(Frame::Stdin(Vec::new())).await.unwrap();
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(5), frames.next()).await.unwrap(),
        Some(Frame::Exit(0))
    );
    assert_eq!(rig.fake.resizes(), [(80, 24), (100, 30)]);
}

#[tokio::test]
async fn no_process_without_a_running_container() {
    let rig = rig();
    let id = rig.run(spec("busybox:local")).await.id;
    rig.fake.exit(&id, 0);
    for id in [id.as_str(), "absent"] {
        let frames: Vec<Frame> =
            exec(&rig, id, task(&["echo"], false), stream::pending()).await.collect().await;
        let [Frame::Error(problem)] = frames.as_slice() else { panic!("{frames:?}") };
        let problem: orca_api::error::Problem = serde_json::from_slice(problem).unwrap();
        assert_eq!(problem.code, orca_api::error::Code::NotRunning);
    }
}
