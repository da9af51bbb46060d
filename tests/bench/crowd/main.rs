//! How a manager does with many workers: a real process on one core, a crowd that joins over real TLS, and no machines.
//!
//! ```text
//!   cargo bench -p orca-tests --bench crowd -- [WORKERS] [TASKS]      500 and 2,000 where nothing is said
//! ```
//!
//! The programs that are measured are those of `ORCA_BIN_DIR`, of target/release where nothing is said. It is an error,
//! and the exit code says so, when a worker that polled counts as gone, or a task is moved or doubled; it is none to be
//! slow. To join takes what the manager's limit on joins leaves: 200 at once, then five a second.

mod client;
mod daemon;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::Client;
use daemon::Daemon;
use orca_tests::crowd::Crowd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

/// Requests for tasks that are under way at once.
const REQUESTS: usize = 16;
/// Workers that join at once.
const JOINS: usize = 16;
/// How long everything that must come may take.
const SOON: Duration = Duration::from_mins(10);
/// How long nothing happens.
const QUIET: Duration = Duration::from_mins(1);
/// How often a list is asked for.
const ROUNDS: usize = 21;
/// How often it is looked at the crowd.
const LOOK: Duration = Duration::from_millis(5);

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).filter(|word| !word.starts_with('-')).map(|word| {
        word.parse::<usize>().with_context(|| format!("`{word}` is no number: crowd [WORKERS] [TASKS]"))
    });
    let workers = numbers.next().transpose()?.unwrap_or(500).max(3);
    let tasks = numbers.next().transpose()?.unwrap_or(2_000);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(workers, tasks))
}

fn row(what: &str, figure: &str) {
    println!("{what:<72} {figure:>28}");
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn s(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

async fn run(workers: usize, tasks: usize) -> Result<()> {
    let mut daemon = Daemon::start().await?;
    let mut client = Client::connect(&daemon.socket()).await?;
    client.send("POST", "/v1/roles/manager", json!({ "listen": "127.0.0.1:0" })).await?;
    let token = client.send("POST", "/v1/tokens", json!({ "uses": workers })).await?;
    let mut crowd = Crowd::new(token["text"].as_str().context("a token")?)?;

    crowd.join(3, JOINS).await?;
    until("three workers are connected", &crowd, || crowd.connected() == 3).await?;
    start(&daemon, &crowd, "few", 12).await?;
    lists(&daemon, "3 nodes, 12 tasks").await?;

    let began = Instant::now();
    crowd.join(workers - 3, JOINS).await?;
    until("all are connected", &crowd, || crowd.connected() == workers).await?;
    row(&format!("{workers} workers join, by the pace that the manager allows"), &s(began.elapsed()));

    let before = daemon.usage()?.cpu_s;
    let took = start(&daemon, &crowd, "task", tasks).await?;
    let cpu = daemon.usage()?.cpu_s - before;
    row(&format!("{tasks} tasks, from request to all acknowledged as running"), &s(took));
    row("the same: the manager's CPU, for each task", &format!("{:.2} ms", cpu * 1000.0 / tasks as f64));

    let before = daemon.usage()?.cpu_s;
    let quiet = Instant::now();
    tokio::time::sleep(QUIET).await;
    let after = daemon.usage()?;
    let share = (after.cpu_s - before) / quiet.elapsed().as_secs_f64() * 100.0;
    row("a minute in which nothing happens: the manager's CPU, of one core", &format!("{share:.1} %"));
    row("the same: its private memory", &mib(after.private));
    row("the same: its open files", &after.files.to_string());

    lists(&daemon, &format!("{workers} nodes, {} tasks", tasks + 12)).await?;
    row("the lists made: its private memory", &mib(daemon.usage()?.private));

    let places = placed(&mut client).await?;
    let (began, welcomed) = (Instant::now(), crowd.welcomed() + workers as u64);
    daemon.crash().await?;
    row("kill -9 to the first answer", &s(began.elapsed()));
    let back = || crowd.connected() == workers && crowd.welcomed() >= welcomed;
    until("all are back", &crowd, back).await?;
    row("kill -9 to all workers back", &s(began.elapsed()));
    // Long enough for whoever is missed to be found missing.
    tokio::time::sleep(Duration::from_secs(40)).await;

    let mut client = Client::connect(&daemon.socket()).await?;
    let now = placed(&mut client).await?;
    let moved: Vec<_> = places.iter().filter(|(name, place)| now.get(*name) != Some(place)).collect();
    let begun = crowd.begun();
    let gone = vanished(&mut client).await?;
    row("tasks that were moved", &moved.len().to_string());
    row("placements that were begun, of as many tasks", &format!("{begun} of {}", tasks + 12));
    row("workers that counted as gone", &gone.len().to_string());
    let log = daemon.log();
    if !log.is_empty() {
        eprintln!("what the manager warned of, at first:");
        log.lines().take(10).for_each(|line| eprintln!("  {line}"));
    }
    crowd.stopped().await;
    ensure!(moved.is_empty(), "tasks were moved: {:?}", moved.first());
    ensure!(begun == (tasks + 12) as u64, "{begun} placements were begun for {} tasks", tasks + 12);
    ensure!(gone.is_empty(), "workers counted as gone that were there: {:?}", gone.first());
    Ok(())
}

async fn until(what: &str, crowd: &Crowd, reached: impl Fn() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !reached() {
        ensure!(
            begin.elapsed() < SOON,
            "{what}: not within {SOON:?}; {} connected, {} running; {}",
            crowd.connected(),
            crowd.running(),
            crowd.broke().unwrap_or_default()
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Requests tasks, and waits until the crowd has been told that the manager knows them to run.
async fn start(daemon: &Daemon, crowd: &Crowd, name: &'static str, tasks: usize) -> Result<Duration> {
    let (begin, wanted) = (Instant::now(), crowd.running() + tasks);
    let mut requests = tokio::task::JoinSet::new();
    for first in 0..REQUESTS {
        let mut client = Client::connect(&daemon.socket()).await?;
        requests.spawn(async move {
            for number in (first..tasks).step_by(REQUESTS) {
                let spec = json!({ "image": "busybox", "command": ["sleep", "1000000"], "reserve_memory": "16MiB",
                                   "reserve_cpus": "0.01" });
                let task = json!({ "name": format!("{name}-{number:05}"), "spec": spec });
                client.send("POST", "/v1/tasks", task).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = requests.join_next().await {
        done??;
    }
    until("all tasks run", crowd, || crowd.running() == wanted).await?;
    let took = begin.elapsed();
    let status = Client::connect(&daemon.socket()).await?.get("/v1/status").await?;
    ensure!(status["tasks"]["running"] == wanted, "the manager says {}", status["tasks"]);
    Ok(took)
}

/// How long lists take, through orcactl and without it.
async fn lists(daemon: &Daemon, of: &str) -> Result<()> {
    let mut client = Client::connect(&daemon.socket()).await?;
    for (noun, path) in [("node", "/v1/nodes"), ("task", "/v1/tasks")] {
        let (mut whole, mut bare, mut size) = (Vec::new(), Vec::new(), 0);
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            daemon.orcactl(&[noun, "list"]).await?;
            whole.push(begin.elapsed());
            let begin = Instant::now();
            size = client.bytes("GET", path, None).await?.len();
            bare.push(begin.elapsed());
        }
        let figure = |times: &mut Vec<Duration>| {
            times.sort();
            format!("{} ({})", ms(times[ROUNDS / 2]), ms(times[ROUNDS - 1 - ROUNDS / 10]))
        };
        row(&format!("{of}: orcactl {noun} list"), &figure(&mut whole));
        row(&format!("{of}: the same from the socket, {} KiB", size / 1024), &figure(&mut bare));
    }
    Ok(())
}

/// Every page of the list of tasks: where each is, and which attempt runs.
async fn placed(client: &mut Client) -> Result<BTreeMap<String, (Value, Value)>> {
    let (mut places, mut after) = (BTreeMap::new(), String::new());
    loop {
        let list = client.get(&format!("/v1/tasks{after}")).await?;
        for task in list["items"].as_array().context("a list")? {
            let name = task["name"].as_str().context("a name")?.to_owned();
            places.insert(name, (task["node_id"].clone(), task["attempts"].clone()));
        }
        match list["continue"].as_str() {
            Some(next) => after = format!("?continue={next}"),
            None => return Ok(places),
        }
    }
}

/// Events that say of a worker that it is gone; all of the run.
async fn vanished(client: &mut Client) -> Result<Vec<Value>> {
    let (mut gone, mut since) = (Vec::new(), "0".to_owned());
    loop {
        let list = client.get(&format!("/v1/events?limit=10000&since={since}")).await?;
        for event in list["items"].as_array().context("a list")? {
            let kind = event["kind"].as_str().unwrap_or_default();
            let state = event["state"].as_str().unwrap_or_default();
            let is_gone = kind == "node.state" && matches!(state, "down" | "disconnected");
            if is_gone || kind == "node.given_up" {
                gone.push(event.clone());
            }
        }
        match list["continue"].as_str() {
            Some(next) => next.clone_into(&mut since),
            None => return Ok(gone),
        }
    }
}
