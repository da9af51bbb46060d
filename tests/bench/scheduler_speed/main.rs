//! How fast the scheduler decides, on one core, from mixed load.
//!
//! `cargo bench -p scheduler --bench speed` measures what the package ships;
//! `RUSTFLAGS="-C target-cpu=native" cargo bench -p scheduler --bench speed --target-dir target/native` the same code built for
//! this processor. `-- --quick` takes a tenth of the time, `-- --only WORD` a part, `-- --svg FILE` draws how time
//! grows with nodes.
//!
//! Sums of many decisions are this thread's CPU time, which a busy machine disturbs least, and beside it wall time;
//! of five rounds the median and the best are given, for a busy machine makes even CPU time longer: caches and
//! memory are shared. Single decisions are wall time, of which the median and the 99th percentile are given.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and writes its plot")]

mod plot;
mod workload;

use std::time::{Duration, Instant};

use orca_api::id::NodeId;
use scheduler::{Load, Request, Scheduler};
use workload::{Dice, cluster, different, held, kind, resources};

/// Rounds of each measurement.
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|a| a == "--quick");
    let svg = arguments.iter().position(|a| a == "--svg").and_then(|at| arguments.get(at + 1));
    let only = arguments.iter().position(|a| a == "--only").and_then(|at| arguments.get(at + 1));
    let scale = if quick { 10 } else { 1 };
    let want = |name: &str| only.is_none_or(|only| name.contains(only.as_str()));
    println!("| work | median, CPU time | best, CPU time | best, wall time |\n|---|---|---|---|");
    if want("kinds") {
        kinds(10_000, 100_000 / scale);
        kinds(100_000, 100_000 / scale);
    }
    if want("different") {
        all_different(10_000, 100_000 / scale);
        all_different(100_000, 20_000 / scale);
    }
    if want("one") {
        one_task(100_000, 5_000 / scale);
        one_task(3, 100_000 / scale);
    }
    if want("refusal") {
        refusal(100_000, 200 / scale);
    }
    if want("load") {
        load_changes(100_000, 200_000 / scale);
    }
    row("hot state of a node", &format!("{} bytes | |", scheduler::HOT_BYTES_PER_NODE));
    if let Some(path) = svg {
        let points = growth(scale);
        if let Err(error) = std::fs::write(path, plot::svg(&points)) {
            eprintln!("error: cannot write {path}: {error}");
            std::process::exit(1);
        }
    }
}

/// Times of one thing: of this thread's processor, and on the wall.
#[derive(Clone, Copy, Default)]
struct Time {
    cpu: Duration,
    wall: Duration,
}

impl std::ops::AddAssign for Time {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.wall += other.wall;
    }
}

impl Time {
    fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, wall: self.wall + other.wall }
    }

    fn minus(self, other: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(other.cpu), wall: self.wall.saturating_sub(other.wall) }
    }
}

/// A rate over rounds of so many: median and best of CPU time, best of wall time.
fn rates(many: usize, rounds: &[Time]) -> String {
    let per_second = |time: Duration| many as f64 / time.as_secs_f64();
    let cpu: Vec<f64> = rounds.iter().map(|round| per_second(round.cpu)).collect();
    let best = |of: fn(&Time) -> Duration| rounds.iter().map(of).min().map_or(0.0, per_second);
    format!("{} | {} | {}", rate(median(cpu)), rate(best(|t| t.cpu)), rate(best(|t| t.wall)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn row(work: &str, figure: &str) {
    println!("| {work} | {figure} |");
}

/// A rate with thousands separated.
fn rate(per_second: f64) -> String {
    let digits = format!("{per_second:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    format!("{}/s", groups.join(","))
}

/// This thread's CPU time so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Adds the time of what is done to a sum.
fn timed<T>(sum: &mut Time, what: impl FnOnce() -> T) -> T {
    let (cpu, wall) = (cpu_time(), Instant::now());
    let result = what();
    *sum += Time { wall: wall.elapsed(), cpu: cpu_time().saturating_sub(cpu) };
    result
}

/// 100 kinds of tasks, one after another: decided, then applied and encoded.
fn kinds(nodes: usize, tasks: usize) {
    let (mut decide, mut commit, mut placed) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let mut dice = Dice::new(round as u64);
        let (mut scheduler, _) = cluster(&mut dice, nodes);
        let requests: Vec<Request> = (0..100).map(|number| kind(&mut dice, number)).collect();
        let (mut deciding, mut committing) = (Time::default(), Time::default());
        placed = 0;
        for request in &requests {
            let batch = timed(&mut deciding, || scheduler.place_many(request, tasks / requests.len()));
            placed += batch.choices.len();
            // the caller makes ids and rows from its own random source; only what follows from them is timed
            let rows: Vec<_> =
                batch.choices.iter().map(|choice| held(&mut dice, request, choice.node)).collect();
            timed(&mut committing, || {
                let mut log = Vec::with_capacity(rows.len() * 64);
                for row in rows {
                    encode(&row, &mut log);
                    scheduler.hold(row);
                }
                std::hint::black_box(&log);
            });
        }
        decide.push(deciding);
        commit.push(deciding.plus(committing));
    }
    let work = format!("100 kinds, {nodes} nodes × {tasks} tasks");
    assert_eq!(placed, tasks, "all tasks must fit");
    row(&format!("{work}, decide"), &rates(placed, &decide));
    row(&format!("{work}, decide, apply, encode"), &rates(placed, &commit));
}

/// A placement as bytes of a log: three ids, three amounts, the priority.
fn encode(held: &scheduler::Held, log: &mut Vec<u8>) {
    log.extend_from_slice(&held.placement.raw().bytes());
    log.extend_from_slice(&held.task.raw().bytes());
    log.extend_from_slice(&held.node.raw().bytes());
    log.extend_from_slice(&held.resources.cpu.millis().to_le_bytes());
    log.extend_from_slice(&held.resources.memory.get().to_le_bytes());
    log.extend_from_slice(&held.resources.disk.get().to_le_bytes());
    log.push(held.priority);
}

/// Every task different, exact, each applied before the next is decided.
fn all_different(nodes: usize, tasks: usize) {
    let (mut decide, mut commit) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let mut dice = Dice::new(round as u64);
        let (mut scheduler, _) = cluster(&mut dice, nodes);
        let mut again = scheduler.clone();
        let requests: Vec<Request> = (0..tasks).map(|_| different(&mut dice)).collect();
        // placements are made beforehand; where they go is filled in
        let nowhere = NodeId::fresh(&mut dice.0);
        let rows: Vec<_> = requests.iter().map(|request| held(&mut dice, request, nowhere)).collect();
        let mut choices = Vec::with_capacity(tasks);
        let (mut both, mut applying) = (Time::default(), Time::default());
        let copies = rows.clone();
        timed(&mut both, || {
            for (request, mut row) in requests.iter().zip(copies) {
                if let Ok(choice) = scheduler.place(request) {
                    row.node = choice.node;
                    choices.push(choice.node);
                    scheduler.hold(row);
                }
            }
        });
        timed(&mut applying, || {
            for (mut row, node) in rows.into_iter().zip(&choices) {
                row.node = *node;
                again.hold(row);
            }
        });
        decide.push(both.minus(applying));
        commit.push(both);
    }
    let work = format!("every task different, {nodes} nodes × {tasks} tasks");
    row(&format!("{work}, decide"), &rates(tasks, &decide));
    row(&format!("{work}, decide and apply"), &rates(tasks, &commit));
}

/// The time of single decisions.
fn one_task(nodes: usize, tasks: usize) {
    let times = single_times(nodes, tasks);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    row(
        &format!("one task on {nodes} nodes"),
        &format!("| | median {:.2} µs, p99 {:.2} µs", at(0.5), at(0.99)),
    );
}

/// Microseconds of decisions, sorted: kinds with label, port and zones, and tasks like no other, by turns.
fn single_times(nodes: usize, tasks: usize) -> Vec<f64> {
    let mut dice = Dice::new(nodes as u64);
    let (mut scheduler, _) = cluster(&mut dice, nodes);
    let mut times = Vec::new();
    for number in 0..tasks {
        let request = if number % 2 == 0 { different(&mut dice) } else { kind(&mut dice, number % 100) };
        let start = Instant::now();
        let choice = scheduler.place(&request);
        times.push(start.elapsed().as_secs_f64() * 1e6);
        if let Ok(choice) = choice {
            // small clusters would fill up
            if nodes >= 1000 {
                let row = held(&mut dice, &request, choice.node);
                scheduler.hold(row);
            }
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Counts per reason for a task that fits nowhere: label on half of the nodes, too much memory on the others.
fn refusal(nodes: usize, times: usize) {
    let mut dice = Dice::new(7);
    let (mut scheduler, _) = cluster(&mut dice, nodes);
    let mut request = different(&mut dice);
    request.constraints = vec!["disk == ssd".parse().expect("a constraint")];
    request.resources = resources(100, 300_000, 0);
    let mut measured: Vec<f64> = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        let refusal = scheduler.place(&request);
        assert!(refusal.is_err(), "the task must not fit");
        measured.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let median = median(measured);
    row(&format!("explain one refusal on {nodes} nodes, counts"), &format!("| | median {median:.0} µs"));
}

/// A node's measured load changes.
fn load_changes(nodes: usize, changes: usize) {
    let mut dice = Dice::new(9);
    let (mut scheduler, ids) = cluster(&mut dice, nodes);
    let loads: Vec<(NodeId, Load)> = (0..changes)
        .map(|_| {
            let used =
                resources(dice.between(0, 64_000), dice.between(0, 250_000), dice.between(0, 1_000_000));
            let id = ids[dice.between(0, ids.len() as u64 - 1) as usize];
            (id, Load { cpu: used.cpu, memory: used.memory, disk: used.disk, ..Load::default() })
        })
        .collect();
    let mut changing = Time::default();
    timed(&mut changing, || loads.into_iter().for_each(|(id, load)| scheduler.set_load(id, load)));
    let each = changing.cpu.as_secs_f64() * 1e6 / changes as f64;
    row(&format!("a node's load changes, {nodes} nodes"), &format!("{each:.2} µs | |"));
}

/// Microseconds by number of nodes, from 10 to 100,000.
fn growth(scale: usize) -> Vec<plot::Series> {
    let sizes = [10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000];
    let mut series = ["one task, median", "one task, p99", "one of 1,000 equal tasks"].map(plot::Series::new);
    println!("\n| nodes | {} | {} | {} |\n|---|---|---|---|", series[0].name, series[1].name, series[2].name);
    for nodes in sizes {
        let times = single_times(nodes, 5_000 / scale);
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        let equal = equal_tasks(nodes);
        for (line, value) in series.iter_mut().zip([at(0.5), at(0.99), equal]) {
            line.points.push((nodes as f64, value));
        }
        println!("| {nodes} | {:.2} µs | {:.2} µs | {equal:.2} µs |", at(0.5), at(0.99));
    }
    series.into()
}

/// Microseconds for each of 1,000 equal tasks (fewer where fewer fit), decided at once.
fn equal_tasks(nodes: usize) -> f64 {
    let measured = (0..ROUNDS).map(|round| {
        let mut dice = Dice::new(round as u64);
        let (mut scheduler, _): (Scheduler, _) = cluster(&mut dice, nodes);
        let mut request = kind(&mut dice, 0);
        request.ports.clear();
        let mut deciding = Time::default();
        let batch = timed(&mut deciding, || scheduler.place_many(&request, 1_000));
        deciding.cpu.as_secs_f64() * 1e6 / batch.choices.len().max(1) as f64
    });
    median(measured.collect())
}
