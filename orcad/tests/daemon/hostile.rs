//! Broken, slow and greedy clients: only refusals or a closed connection, good traffic beside them undisturbed, and
//! everything given back afterwards. `ORCA_HOSTILE` (200) says how many broken requests.

use std::fmt::Write as _;
use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::running::{Running, SOON, request, task};

fn count() -> usize {
    std::env::var("ORCA_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// Descriptors and threads of this process, which is the daemon's, too.
fn held() -> (usize, usize) {
    let of = |folder| std::fs::read_dir(folder).map_or(0, Iterator::count);
    (of("/proc/self/fd"), of("/proc/self/task"))
}

/// Resident memory of this process in MiB: pages of 4 KiB.
fn resident_mib() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) / 256
}

/// A small generator of our own: a seed replays a run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The `n`-th broken request.
fn broken(n: usize, dice: &mut Dice) -> Vec<u8> {
    let deep = 1 + dice.roll(100_000);
    let long = "x".repeat(1 + dice.roll(200_000));
    let value = [
        "null",
        "-1",
        "1e999",
        "\"\"",
        "[]",
        "{}",
        "true",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\u{202e}gnp\"",
        "18446744073709551616",
        "\"../../etc/passwd\"",
        "[[[[]]]]",
        "{\"a\":{}}",
        "\"1kk\"",
        "NaN",
    ][dice.roll(16)];
    let field = [
        "image", "name", "memory", "cpus", "ports", "env", "mounts", "restart", "command", "labels",
        "health", "user", "pids", "nope",
    ][dice.roll(14)];
    match n % 20 {
        0 => (0..=dice.roll(300)).map(|_| u8::try_from(dice.roll(256)).unwrap_or(0)).chain(*b"\r\n\r\n").collect(),
        1 => post("/v1/tasks", "[".repeat(deep).as_bytes()),
        2 => post("/v1/tasks", format!("{{\"spec\":{}1{}}}", "{\"a\":".repeat(deep), "}".repeat(deep)).as_bytes()),
        // A name begins with a letter or digit: whatever the field's value, nothing is started.
        3 | 4 => post("/v1/tasks", format!("{{\"name\":\"-x\",\"spec\":{{\"{field}\":{value}}}}}").as_bytes()),
        5 => post("/v1/tasks", format!("{{\"spec\":{{\"image\":\"{long}\\u0007\"}}}}").as_bytes()),
        6 => post("/v1/tasks", b"{\"name\":\"a\",\"name\":\"b\",\"spec\":{\"image\":\"x\"}}"),
        7 => post("/v1/tasks", &[0xff, 0xfe, b'{', 0xc0, 0x80]),
        8 => {
            let headers = (0..200).fold(String::new(), |mut all, i| {
                let _ = write!(all, "h{i}: x\r\n");
                all
            });
            format!("GET /v1/status HTTP/1.1\r\n{headers}\r\n").into_bytes()
        }
        9 => format!("GET /v1/status HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000 + dice.roll(50_000))).into_bytes(),
        10 => b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 7\r\n\r\n{}".to_vec(),
        11 => b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: -4\r\n\r\n{}".to_vec(),
        12 => format!(
            "POST /v1/tasks HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{}\r\n{{",
            ["zz", "-1", "fffffffffffffffff", "1;a=b", ""][dice.roll(5)]
        )
        .into_bytes(),
        13 => format!("GET /v1/tasks/{}%zz%00 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", &long[..long.len().min(500)]).into_bytes(),
        14 => format!("GET /v1/tasks?{field}={} HTTP/1.1\r\nconnection: close\r\n\r\n", "%ff".repeat(1 + dice.roll(50))).into_bytes(),
        15 => b"GET  /v1/status  HTTP/9.9\r\n\r\n".to_vec(),
        16 => b"GET /v1/status HTTP/1.1\nhost: x\n folded\r\n\r\n".to_vec(),
        17 => post(&format!("/v1/tasks/{}/exec", "none"), format!("{{\"command\":{value}}}").as_bytes()),
        18 => b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: text/yaml\r\ncontent-length: 3\r\n\r\na: ".to_vec(),
        _ => b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n".to_vec(),
    }
}

/// Sends bytes and reads what comes; a daemon that closes before all is written has refused as well.
async fn throw(daemon: &Running, bytes: &[u8]) -> String {
    let mut io = UnixStream::connect(daemon.socket()).await.expect("it accepts");
    let _ = io.write_all(bytes).await;
    // Nothing more comes: what is cut off is known to be.
    let _ = io.shutdown().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, io.read_to_end(&mut answer)).await.expect("it closes in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks something right, again and again; how often, and the longest wait.
async fn good_traffic(socket: std::path::PathBuf, stop: CancellationToken) -> (u32, Duration) {
    let (mut asked, mut longest) = (0, Duration::ZERO);
    let mut send = crate::running::connect(&socket).await;
    while !stop.is_cancelled() {
        let began = tokio::time::Instant::now();
        let answer = tokio::time::timeout(SOON, send.send_request(request("GET", "/v1/status", None)));
        let answer = answer.await.expect("an answer in time").expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.expect("a whole answer");
        (asked, longest) = (asked + 1, longest.max(began.elapsed()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (asked, longest)
}

async fn given_back(before: (usize, usize)) {
    let back = async {
        // The test's own connections go with their tasks.
        while held().0 > before.0 + 5 || held().1 > before.1 + 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let back = tokio::time::timeout(SOON, back).await;
    assert!(back.is_ok(), "descriptors and threads: {before:?} before, {:?} after", held());
}

#[tokio::test]
async fn broken_requests_are_refused_and_good_ones_are_not_disturbed() {
    let daemon = Running::start().await;
    daemon.json("GET", "/v1/status", None).await;
    let (before, memory) = (held(), resident_mib());
    let stop = CancellationToken::new();
    let good = tokio::spawn(good_traffic(daemon.socket(), stop.clone()));
    let mut dice = Dice(7);
    let mut closed = 0;
    for n in 0..count() {
        let bytes = broken(n, &mut dice);
        let answer = throw(&daemon, &bytes).await;
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let Some(status) = answer.split(' ').nth(1) else {
            closed += 1;
            continue;
        };
        assert!(status.len() == 3 && status.starts_with('4'), "request {n} ({}): {answer}", shown());
        assert!(
            answer.contains("ORCA-1") || answer.contains("ORCA-2"),
            "no code for {n} ({}): {answer}",
            shown()
        );
    }
    stop.cancel();
    let (asked, longest) = good.await.expect("good traffic is answered");
    assert!(asked > 0 && closed < count() / 2, "{asked} asked, {closed} closed without a word");
    println!(
        "{} broken, {closed} closed; {asked} good beside them, the longest {longest:?}; {} MiB more",
        count(),
        resident_mib().saturating_sub(memory)
    );
    let (_, list) = daemon.json("GET", "/v1/tasks", None).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "nothing came of them");
    given_back(before).await;
    daemon.stopped().await;
}

/// Every fifth watcher never reads.
#[tokio::test]
async fn watchers_that_do_not_read_disturb_nobody() {
    let daemon = Running::start().await;
    daemon
        .json("PUT", "/v1/nodes/n1/availability", Some(serde_json::json!({ "availability": "paused" })))
        .await;
    let (before, memory) = (held(), resident_mib());
    let (watchers, tasks) = (count() / 4, 20);
    let (mut silent, mut reading) = (Vec::new(), Vec::new());
    for n in 0..watchers {
        let mut io = UnixStream::connect(daemon.socket()).await.expect("it accepts");
        io.write_all(
            b"GET /v1/events?follow=true&since=0 HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n",
        )
        .await
        .expect("it takes it");
        if n % 5 == 0 {
            silent.push(io);
            continue;
        }
        reading.push(tokio::spawn(async move {
            let (mut text, mut buffer) = (Vec::new(), [0; 16 * 1024]);
            let all = async {
                while String::from_utf8_lossy(&text).matches("\"task.created\"").count() < tasks {
                    let n = io.read(&mut buffer).await.expect("the stream goes on");
                    assert_ne!(n, 0, "the stream ended early: {}", String::from_utf8_lossy(&text));
                    text.extend_from_slice(&buffer[..n]);
                }
            };
            tokio::time::timeout(SOON, all).await.expect("every event in time");
            let text = String::from_utf8_lossy(&text).into_owned();
            let ids: Vec<_> =
                text.lines().filter_map(|l| l.strip_prefix("id: ").map(str::to_owned)).collect();
            let mut unique = ids.clone();
            unique.dedup();
            assert_eq!(ids, unique, "no event twice");
        }));
    }
    for n in 0..tasks {
        assert_eq!(daemon.json("POST", "/v1/tasks", Some(task(&format!("t{n}")))).await.0, 201);
    }
    for reader in reading {
        reader.await.expect("each reader saw all of it");
    }
    assert_eq!(daemon.json("GET", "/v1/status", None).await.0, 200);
    let unread = silent.len();
    drop(silent);
    given_back(before).await;
    println!("{watchers} watchers, {unread} never read; {} MiB more", resident_mib().saturating_sub(memory));
    daemon.stopped().await;
}

/// A body that drips is not waited for as long as a whole one may take.
#[tokio::test]
async fn a_body_has_a_least_rate() {
    let daemon = Running::start().await;
    let mut io = UnixStream::connect(daemon.socket()).await.expect("it accepts");
    io.write_all(b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{")
        .await
        .expect("it takes it");
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    let refused = async {
        loop {
            tokio::select! {
                read = io.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(n) => answer.extend_from_slice(&buffer[..n]),
                },
                () = tokio::time::sleep(Duration::from_millis(200)) => { let _ = io.write_all(b" ").await; }
            }
        }
    };
    tokio::time::timeout(SOON, refused).await.expect("it is refused before a whole body's time is over");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("slower than"), "{answer}");
    daemon.stopped().await;
}
