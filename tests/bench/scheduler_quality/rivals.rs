//! Who chooses: the crate's algorithms, and simple ones that others use, over the same nodes.

use orca_api::id::NodeId;
use orca_api::spec::Algorithm;

use crate::workload::{Cluster, Dice, Machine, Task};

/// An algorithm.
#[derive(Clone, Copy)]
pub enum Rival {
    /// One of the crate's.
    Ours(Algorithm),
    /// The node with the least left of CPU and memory, in parts of the node, that still fits.
    BestFit,
    /// The node with the most left.
    WorstFit,
    /// The less used of two random nodes that fit (20 tries).
    TwoRandom,
}

/// The node for a task.
pub fn pick(rival: Rival, cluster: &mut Cluster, dice: &mut Dice, task: &Task) -> Option<NodeId> {
    let left = |machine: &Machine| {
        let cpu = (machine.free[0] - task.cpu) as f64 / machine.all[0] as f64;
        let memory = (machine.free[1] - task.memory_mib) as f64 / machine.all[1] as f64;
        cpu + memory
    };
    let fits = |machine: &&Machine| machine.free[0] >= task.cpu && machine.free[1] >= task.memory_mib;
    match rival {
        Rival::Ours(algorithm) => {
            let mut request = task.request();
            request.algorithm = algorithm;
            cluster.scheduler.place(&request).ok().map(|choice| choice.node)
        }
        Rival::BestFit => {
            let fitting = cluster.machines.values().filter(fits);
            fitting.min_by(|a, b| left(a).total_cmp(&left(b))).map(|machine| machine.id)
        }
        Rival::WorstFit => {
            let fitting = cluster.machines.values().filter(fits);
            fitting.max_by(|a, b| left(a).total_cmp(&left(b))).map(|machine| machine.id)
        }
        Rival::TwoRandom => {
            let all: Vec<&Machine> = cluster.machines.values().collect();
            let mut found = (0..20)
                .map(|_| all[dice.below(all.len() as u64) as usize])
                .filter(fits)
                .take(2)
                .collect::<Vec<_>>();
            found.sort_by(|a, b| left(b).total_cmp(&left(a)));
            found.first().map(|machine| machine.id)
        }
    }
}
