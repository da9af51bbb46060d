//! What goes on for long: tasks that fail at once, processes that cannot be ended, and what is left after many
//! transitions and streams. `ORCA_ENDURANCE` (20) says how many of each.

use std::time::{Duration, Instant};

use orca_api::stream::{Decoder, Frame};
use orca_api::task::Phase;
use orca_tests::fake_engine::Behaviour;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::node::{Node, SOON, lines_until, request};

fn count() -> usize {
    std::env::var("ORCA_ENDURANCE").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// Descriptors, threads and KiB of this process: the daemon, the engine and the test. Memory is what is resident and
/// in no file: pages of the program that are read for the first time are no growth.
fn held() -> (usize, usize, usize) {
    let of = |folder| std::fs::read_dir(folder).map_or(0, Iterator::count);
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = anonymous.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
    (of("/proc/self/fd"), of("/proc/self/task"), kib.expect("the kernel tells it"))
}

/// Cycles from which on memory is weighed. A cycle books about ten transitions: a record that is kept of each, or one of the
/// whole cycle with its strings, is 1 KiB or more, twice what is let pass.
const FEWEST_TO_WEIGH: usize = 200;
/// Growth that is the allocator's, KiB.
const GRAIN_KIB: usize = 64;

/// Waits until descriptors and threads are back within a twentieth.
async fn given_back(before: (usize, usize, usize)) {
    let back = async {
        while held().0 > before.0 + before.0 / 20 + 1 || held().1 > before.1 + before.1 / 20 + 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let back = tokio::time::timeout(SOON, back).await;
    assert!(back.is_ok(), "descriptors, threads, KiB: {before:?} before, {:?} after", held());
}

#[tokio::test]
async fn tasks_that_fail_at_once_back_off_and_disturb_nobody() {
    let node = Node::start().await;
    let failing = count();
    node.run("healthy", json!({ "image": "busybox" })).await;
    node.until_running("healthy").await;
    let began = Instant::now();
    for n in 0..failing {
        node.run(&format!("fails-{n}"), json!({ "image": "busybox", "env": { "FAKE_EXIT": "1" } })).await;
    }
    let asked = Instant::now();
    node.run("quick", json!({ "image": "busybox" })).await;
    node.until_running("quick").await;
    let quick = asked.elapsed();
    for n in 0..failing {
        node.until(&format!("fails-{n}"), |task| task["attempts"].as_u64() >= Some(3)).await;
    }
    // Attempts begin after at least 0, 0.75, 1.5, 3, 6, … s: each doubles what must have passed.
    let most = 2 + (began.elapsed().as_secs_f64() / 0.75).max(1.0).log2().ceil() as u64;
    let (_, list) = node.json("GET", "/v1/tasks", None).await;
    for task in list["items"]
        .as_array()
        .expect("tasks")
        .iter()
        .filter(|t| t["name"] != "healthy" && t["name"] != "quick")
    {
        assert!(task["attempts"].as_u64() <= Some(most), "at most {most}: {task}");
    }
    let kept = node.engine.containers().len();
    assert!(kept <= 2 + 3 * failing, "{kept} containers of {failing} tasks");
    let healthy = node.until_running("healthy").await;
    assert_eq!((healthy["attempts"].as_u64(), healthy["restarts"].as_u64()), (Some(1), Some(0)));
    println!(
        "{failing} tasks fail: {kept} containers, at most {most} attempts each; another ran after {quick:?}"
    );
    node.stopped().await;
}

#[tokio::test]
async fn a_process_that_cannot_be_ended_holds_its_place_and_says_so() {
    let node = Node::start().await;
    node.engine
        .add_image("stuck", Behaviour { ignores_term: true, unkillable: true, ..Behaviour::default() });
    node.run("web", json!({ "image": "stuck", "stop_grace": "1s", "ports": ["8080:80"] })).await;
    node.until_running("web").await;
    node.json("POST", "/v1/tasks/web/stop", None).await;
    let words = "it was killed and is still there";
    let stuck = node.until("web", |task| task.to_string().contains(words)).await;
    assert_eq!(stuck["phase"], "running", "{stuck}");
    // Its port is not free: nothing else is put there.
    node.run("other", json!({ "image": "busybox", "ports": ["8080:80"] })).await;
    node.until("other", |task| task["reason"] == "no_fit").await;
    let (_, status) = node.json("GET", "/v1/status", None).await;
    assert!(status["attention"].to_string().contains(words), "{status}");

    node.engine.exit(&node.engine.containers()[0].name, 137);
    node.until_phase("web", Phase::Completed).await;
    node.until_running("other").await;
    node.stopped().await;
}

#[tokio::test]
async fn nothing_is_left_of_transitions_and_streams() {
    let node = Node::start().await;
    node.run("web", json!({ "image": "busybox", "env": { "FAKE_OUTPUT": "up" } })).await;
    node.until_running("web").await;
    // What is made once and kept is made before it is counted.
    round(&node).await;
    cycle(&node).await;
    let before = held();
    for _ in 0..count() {
        round(&node).await;
    }
    node.engine.forget();
    given_back(before).await;
    println!("{} log and exec streams: {before:?} before, {:?} after", 2 * count(), held());
    // Histories that are bounded, such as the stores' pages, fill up in the first two rounds. What a third one leaves
    // behind would be left behind for ever.
    let mut kib = Vec::new();
    for _ in 0..3 {
        let before = held();
        for _ in 0..count() {
            cycle(&node).await;
        }
        node.engine.forget();
        given_back(before).await;
        kib.push(held().2);
        println!("{} stops and starts: {before:?} before, {:?} after", count(), held());
    }
    // Fewer cycles tell nothing: the allocator's own grain is larger than what they could leave behind.
    if count() >= FEWEST_TO_WEIGH {
        let grown = kib[2].saturating_sub(kib[1]);
        assert!(grown <= GRAIN_KIB + count() / 2, "each round leaves memory behind, KiB after each: {kib:?}");
        assert!(grown * 20 <= kib[1], "more than a twentieth in one round, KiB after each: {kib:?}");
    }
    node.stopped().await;
}

/// A followed log whose reader goes, and a process whose client goes before its end.
async fn round(node: &Node) {
    let mut logs = node.send(request("GET", "/v1/tasks/web/logs?follow=true", None)).await.into_body();
    lines_until(&mut logs, |line| line["text"] == "up").await;
    drop(logs);
    let mut exec = request("POST", "/v1/tasks/web/exec", Some(json!({ "command": ["cat"], "stdin": true })));
    exec.headers_mut().insert("connection", "Upgrade".parse().expect("a value"));
    exec.headers_mut().insert("upgrade", orca_api::stream::PROTOCOL.parse().expect("a value"));
    let answer = node.send(exec).await;
    assert_eq!(answer.status(), 101);
    let mut io = hyper_util::rt::TokioIo::new(hyper::upgrade::on(answer).await.expect("an upgrade"));
    io.write_all(&Frame::Stdin(b"a".to_vec()).encode()).await.expect("it takes it");
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 256]);
    while !matches!(decoder.next_frame().expect("frames"), Some(Frame::Stdout(_))) {
        let n = io.read(&mut buffer).await.expect("it does not break");
        assert_ne!(n, 0, "it ended early");
        decoder.push(&bytes::Bytes::copy_from_slice(&buffer[..n]));
    }
}

/// A stop and a start: about ten transitions.
async fn cycle(node: &Node) {
    assert_eq!(node.json("POST", "/v1/tasks/web/stop", None).await.0, 200);
    node.until_phase("web", Phase::Completed).await;
    assert_eq!(node.json("POST", "/v1/tasks/web/restart", None).await.0, 200);
    node.until_running("web").await;
}
