//! Samples over time: rates from counters, moving averages, the short history.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use orca_api::id::{PlacementId, TaskId};
use orca_api::load::{DiskLoad, MachineLoad, NetworkLoad, NodeLoad, Sample, TaskLoad};
use orca_api::units::Bytes;
use orca_core::Now;

use super::Roots;
use super::average::Average;
use super::cgroup::{Cgroups, Usage};
use super::machine::{self, CpuTimes, Traffic};
use super::rate::Rate;

/// Samples that are kept: 5 minutes at the default period.
const HISTORY: usize = 60;

/// A container that is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The task.
    pub task: TaskId,
    /// Its placement.
    pub placement: PlacementId,
    /// Its attempt.
    pub attempt: u32,
    /// The container's whole id.
    pub container: String,
}

/// Measures the machine and its tasks.
#[derive(Debug)]
pub struct Sampler {
    roots: Roots,
    /// Role and path of each file system.
    disks: [(&'static str, PathBuf); 2],
    ticks_s: f64,
    last_ms: u64,
    machine: MachineRates,
    tasks: BTreeMap<String, TaskRates>,
    cgroups: Cgroups,
    history: VecDeque<Sample>,
}

#[derive(Debug, Default)]
struct MachineRates {
    busy: Rate,
    steal: Rate,
    cpu: Average,
    memory: Average,
    disks: BTreeMap<&'static str, [Rate; 2]>,
    networks: BTreeMap<String, [Rate; 2]>,
}

#[derive(Debug, Default)]
struct TaskRates {
    cpu: Rate,
    average: Average,
    peak: u64,
    net: [Rate; 2],
    io: [Rate; 2],
}

impl Sampler {
    /// A sampler that has taken its first reading, so that the first sample has the machine's rates. `engine` is the
    /// engine's data folder, `state` is orca's; one that is not there is left out of the samples.
    pub fn new(roots: Roots, engine: PathBuf, state: PathBuf, now: Now) -> Self {
        let mut sampler = Self {
            cgroups: Cgroups::new(roots.clone()),
            roots,
            disks: [("engine", engine), ("state", state)],
            ticks_s: procfs::ticks_per_second().max(1) as f64,
            last_ms: now.boot_ms,
            machine: MachineRates::default(),
            tasks: BTreeMap::new(),
            history: VecDeque::with_capacity(HISTORY),
        };
        sampler.read_machine(0.0);
        sampler
    }

    /// Takes a sample of the machine and of the containers that run.
    pub fn sample(&mut self, now: Now, running: &[Running]) -> NodeLoad {
        let seconds = now.boot_ms.saturating_sub(self.last_ms) as f64 / 1000.0;
        self.last_ms = now.boot_ms;
        let mut machine = self.read_machine(seconds);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Sample { at: now.wall, cpu: machine.cpu_now, memory: machine.memory_used });
        machine.history = self.history.iter().cloned().collect();

        let alive: BTreeSet<&str> = running.iter().map(|r| r.container.as_str()).collect();
        self.tasks.retain(|id, _| alive.contains(id.as_str()));
        self.cgroups.keep(|id| alive.contains(id));
        let tasks = running.iter().filter_map(|r| self.read_task(r, seconds, machine.memory_total)).collect();
        NodeLoad { at: Some(now.wall), machine, tasks }
    }

    /// The most bytes that each container was seen with, by its id.
    pub fn peaks(&self) -> BTreeMap<String, Bytes> {
        self.tasks.iter().map(|(id, rates)| (id.clone(), Bytes::new(rates.peak))).collect()
    }

    fn read_machine(&mut self, seconds: f64) -> MachineLoad {
        let CpuTimes { cpus, busy, steal } = machine::cpu_times(&self.roots).unwrap_or_default();
        let rates = &mut self.machine;
        let busy =
            rates.busy.take(Some(busy), seconds).map(|ticks| (ticks / self.ticks_s).min(f64::from(cpus)));
        let steal = rates.steal.take(Some(steal), seconds).map_or(0.0, |ticks| ticks / self.ticks_s);
        let memory = machine::memory(&self.roots).unwrap_or_default();
        let disks = self
            .disks
            .iter()
            .filter_map(|(role, path)| {
                let disk = machine::disk(&self.roots, path)?;
                let [read, written] = rates.disks.entry(role).or_default();
                Some(DiskLoad {
                    role: (*role).to_owned(),
                    path: path.display().to_string(),
                    total: disk.total,
                    free: disk.free,
                    read_bytes_s: read.take(disk.moved.map(|m| m.0), seconds),
                    write_bytes_s: written.take(disk.moved.map(|m| m.1), seconds),
                })
            })
            .collect();
        let networks = machine::networks(&self.roots);
        rates.networks.retain(|device, _| networks.iter().any(|t| t.device == *device));
        let networks = networks
            .into_iter()
            .map(|Traffic { device, received, sent }| {
                let [rx, tx] = rates.networks.entry(device.clone()).or_default();
                let (rx, tx) = (rx.take(Some(received), seconds), tx.take(Some(sent), seconds));
                NetworkLoad { device, rx_bytes_s: rx.unwrap_or(0.0), tx_bytes_s: tx.unwrap_or(0.0) }
            })
            .collect();
        MachineLoad {
            cpus,
            cpu_now: busy.unwrap_or(0.0),
            cpu_average: busy.map_or(0.0, |busy| rates.cpu.take(busy, seconds)),
            cpu_steal: steal,
            load_average: machine::load_average(&self.roots).unwrap_or_default(),
            memory_total: memory.total,
            memory_used: memory.used,
            memory_average: rates.memory.take(memory.used as f64, seconds).round() as u64,
            swap_total: memory.swap_total,
            swap_used: memory.swap_used,
            disks,
            networks,
            pressure: machine::pressure(&self.roots),
            oom_kills: machine::oom_kills(&self.roots),
            uptime_s: machine::uptime_s(&self.roots).unwrap_or(0),
            history: Vec::new(),
        }
    }

    /// `None` while the container has no cgroup: it has just been made, or has just ended.
    fn read_task(&mut self, running: &Running, seconds: f64, memory_total: u64) -> Option<TaskLoad> {
        let Usage { cpu_us, memory, memory_peak, memory_limit, pids, io_read, io_written, received, sent } =
            self.cgroups.usage(&running.container)?;
        let rates = self.tasks.entry(running.container.clone()).or_default();
        let cpu = rates.cpu.take(cpu_us, seconds).map(|us| us / 1e6);
        let memory = memory.unwrap_or(0);
        rates.peak = rates.peak.max(memory).max(memory_peak.unwrap_or(0));
        Some(TaskLoad {
            task: running.task,
            placement: running.placement,
            attempt: running.attempt,
            cpu_now: cpu.unwrap_or(0.0),
            cpu_average: cpu.map_or(0.0, |cpu| rates.average.take(cpu, seconds)),
            memory,
            memory_peak: rates.peak,
            // Some engines write "no limit" as all of the machine's memory.
            memory_limit: memory_limit.filter(|limit| *limit < memory_total),
            pids,
            net_rx_bytes_s: rates.net[0].take(received, seconds),
            net_tx_bytes_s: rates.net[1].take(sent, seconds),
            io_read_bytes_s: rates.io[0].take(io_read, seconds),
            io_write_bytes_s: rates.io[1].take(io_written, seconds),
        })
    }
}
