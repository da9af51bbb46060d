//! What a node measures: the machine's load and each task's use, as moving averages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{PlacementId, TaskId};
use crate::units::Time;

/// A node's measurements; what is `None` cannot be measured there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct NodeLoad {
    /// When the newest sample was taken.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Time>,
    /// The machine.
    pub machine: MachineLoad,
    /// The tasks that run on it.
    pub tasks: Vec<TaskLoad>,
}

/// The machine's load. CPU figures are in CPUs (1.0 = one core busy); averages run over about 30 s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MachineLoad {
    /// CPUs of the machine.
    pub cpus: u32,
    /// CPUs busy in the last sample, without idle and iowait.
    pub cpu_now: f64,
    /// CPUs busy on average.
    pub cpu_average: f64,
    /// CPUs taken by the hypervisor in the last sample.
    pub cpu_steal: f64,
    /// Load averages over 1, 5 and 15 minutes.
    pub load_average: [f64; 3],
    /// Bytes of memory.
    pub memory_total: u64,
    /// Bytes in use: total without what is available.
    pub memory_used: u64,
    /// Bytes in use on average.
    pub memory_average: u64,
    /// Bytes of swap.
    pub swap_total: u64,
    /// Bytes of swap in use.
    pub swap_used: u64,
    /// The file systems that matter to orca: the engine's data and orca's state.
    pub disks: Vec<DiskLoad>,
    /// The network devices that carry the default routes.
    pub networks: Vec<NetworkLoad>,
    /// Pressure (PSI), where the kernel has it.
    pub pressure: Option<Pressure>,
    /// Processes the kernel killed for want of memory since boot.
    pub oom_kills: Option<u64>,
    /// Seconds since boot.
    pub uptime_s: u64,
    /// The last samples, oldest first.
    pub history: Vec<Sample>,
}

/// One sample of the short history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// CPUs busy.
    pub cpu: f64,
    /// Bytes of memory in use.
    pub memory: u64,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DiskLoad {
    /// What it is for: `engine` or `state`.
    pub role: String,
    /// A path on it.
    pub path: String,
    /// Bytes.
    pub total: u64,
    /// Bytes free to orca.
    pub free: u64,
    /// Bytes read a second, where its device is known.
    pub read_bytes_s: Option<f64>,
    /// Bytes written a second.
    pub write_bytes_s: Option<f64>,
}

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct NetworkLoad {
    /// Its name.
    pub device: String,
    /// Bytes received a second.
    pub rx_bytes_s: f64,
    /// Bytes sent a second.
    pub tx_bytes_s: f64,
}

/// Pressure stall information: per cent of the last 10 s in which some (or all) processes waited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Pressure {
    /// Some process waited for a CPU.
    pub cpu_some: f64,
    /// Some process waited for memory.
    pub memory_some: f64,
    /// All processes waited for memory.
    pub memory_full: f64,
    /// Some process waited for io.
    pub io_some: f64,
    /// All processes waited for io.
    pub io_full: f64,
}

/// A task's use, read from its cgroup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskLoad {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// Its placement.
    #[schema(value_type = String)]
    pub placement: PlacementId,
    /// Its attempt.
    pub attempt: u32,
    /// CPUs in use in the last sample.
    pub cpu_now: f64,
    /// CPUs in use on average.
    pub cpu_average: f64,
    /// Bytes of memory in use, without the page cache that can be dropped.
    pub memory: u64,
    /// The most bytes seen.
    pub memory_peak: u64,
    /// Bytes it may use, where it has a limit.
    pub memory_limit: Option<u64>,
    /// Processes.
    pub pids: Option<u64>,
    /// Bytes received a second.
    pub net_rx_bytes_s: Option<f64>,
    /// Bytes sent a second.
    pub net_tx_bytes_s: Option<f64>,
    /// Bytes read from disks a second.
    pub io_read_bytes_s: Option<f64>,
    /// Bytes written to disks a second.
    pub io_write_bytes_s: Option<f64>,
}
