//! How good the choices are: the crate's algorithms beside what others do, on made-up workloads shaped like
//! the published cluster traces: heavy-tailed sizes, services with many copies, bursts of batch tasks.
//!
//! `cargo bench -p scheduler --bench quality` prints a table; all figures are means over the seeds, and the
//! same on every machine.

mod rivals;
mod workload;

use rivals::{Rival, pick};
use workload::{Cluster, Dice, Task, arrivals};

use orca_api::spec::Algorithm;

/// Who is compared.
const RIVALS: [(&str, Rival); 8] = [
    ("epvm", Rival::Ours(Algorithm::Epvm)),
    ("spread (count, as SwarmKit)", Rival::Ours(Algorithm::Spread)),
    ("binpack (Nomad's formula)", Rival::Ours(Algorithm::Binpack)),
    ("greedy (first fit by id)", Rival::Ours(Algorithm::Greedy)),
    ("round_robin", Rival::Ours(Algorithm::RoundRobin)),
    ("best fit", Rival::BestFit),
    ("worst fit", Rival::WorstFit),
    ("best of two random", Rival::TwoRandom),
];
const SEEDS: u64 = 5;
const NODES: usize = 200;

/// What is measured in one run.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// Standard deviation of the nodes' larger share of CPU and memory, per cent, at half load.
    imbalance: f64,
    /// The fullest node's larger share at half load, per cent.
    hottest: f64,
    /// CPU and memory in use (the larger mean share) at the first refusal, per cent.
    packed: f64,
    /// The same at the first refusal of a task of a quarter of a node, starting from half load.
    big: f64,
    /// Tasks that must move when a tenth of the nodes is lost at 88 % load, per thousand of all.
    hit: f64,
    /// Those of them that find no place, per thousand.
    stranded: f64,
}

fn main() {
    println!("{NODES} nodes of 8 to 64 CPUs, means of {SEEDS} seeds.\n");
    println!(
        "| algorithm | imbalance at half load | hottest node at half load | packed at first refusal | room for big tasks | hit by node loss | of those stranded |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, rival) in RIVALS {
        let mut sum = Figures::default();
        for seed in 0..SEEDS {
            let run = run(rival, seed);
            sum.imbalance += run.imbalance;
            sum.hottest += run.hottest;
            sum.packed += run.packed;
            sum.big += run.big;
            sum.hit += run.hit;
            sum.stranded += run.stranded;
        }
        let mean = |value: f64| value / SEEDS as f64;
        println!(
            "| {name} | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.0} ‰ | {:.0} ‰ |",
            mean(sum.imbalance),
            mean(sum.hottest),
            mean(sum.packed),
            mean(sum.big),
            mean(sum.hit),
            mean(sum.stranded)
        );
    }
}

fn run(rival: Rival, seed: u64) -> Figures {
    let mut figures = Figures::default();
    let mut dice = Dice::new(seed);
    let mut cluster = Cluster::new(&mut dice, NODES);
    let mut tasks = arrivals(seed);
    // up to half load, with one task in ten leaving for each that comes
    while cluster.load() < 0.5 {
        let Some(task) = tasks.next() else { break };
        place(rival, &mut cluster, &mut dice, &task);
        if dice.below(10) == 0 {
            cluster.end_one(&mut dice);
        }
    }
    let shares = cluster.shares();
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / shares.len() as f64;
    figures.imbalance = variance.sqrt() * 100.0;
    figures.hottest = shares.iter().copied().fold(0.0, f64::max) * 100.0;

    let mut with_big = cluster.clone();
    let mut big_dice = Dice::new(seed);
    while place(rival, &mut with_big, &mut big_dice, &Task::big()) {}
    figures.big = with_big.load() * 100.0;

    let mut losing = cluster.clone();
    let (mut losing_dice, mut losing_tasks) = (Dice::new(seed), arrivals(seed + 1000));
    while losing.load() < 0.88 {
        let Some(task) = losing_tasks.next() else { break };
        if !place(rival, &mut losing, &mut losing_dice, &task) {
            break;
        }
    }
    let all = losing.tasks();
    let lost = losing.lose(NODES / 10);
    figures.hit = lost.len() as f64 * 1000.0 / all as f64;
    let homeless = lost.iter().filter(|task| !place(rival, &mut losing, &mut losing_dice, task)).count();
    figures.stranded = homeless as f64 * 1000.0 / lost.len().max(1) as f64;

    for task in tasks {
        if !place(rival, &mut cluster, &mut dice, &task) {
            break;
        }
    }
    figures.packed = cluster.load() * 100.0;
    figures
}

fn place(rival: Rival, cluster: &mut Cluster, dice: &mut Dice, task: &Task) -> bool {
    let node = pick(rival, cluster, dice, task);
    node.map(|node| cluster.hold(dice, task, node)).is_some()
}
