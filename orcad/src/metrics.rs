//! `/metrics`: what the daemon counts while it runs, and what is true when it is asked.
//!
//! Names follow Prometheus' conventions: base units, `_total` on counters, no ids in labels. The number of series is
//! bounded by the number of nodes and tasks.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use orca_api::control::{NodeView, TaskStats};
use orca_api::load::{NodeLoad, Pressure};
use orca_api::node::NodeState;
use orca_api::task::Phase;
use orca_api::units::Time;
use orca_core::Now;
use orca_core::manager::Manager;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// What is counted while the daemon runs. Clones count into the same figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    started_at: Time,
    commits: Histogram,
    calls: Family<Op, Histogram>,
    requests: Family<Answered, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Op {
    op: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfNode {
    node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResource {
    node: String,
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    task: String,
    node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVersion {
    version: &'static str,
}

type Level<L> = Family<L, Gauge<f64, AtomicU64>>;

/// What is read off the manager core when metrics are asked for.
#[derive(Clone, Debug)]
pub struct Snapshot {
    tasks: Vec<(Phase, u32)>,
    nodes: Vec<(NodeView, Option<NodeLoad>, u64)>,
    stats: Vec<TaskStats>,
    restarts: Vec<(String, u32)>,
    revision: u64,
}

impl Snapshot {
    /// Of a node whose manager is another machine: it knows of itself alone.
    pub fn of_node(node: NodeView, load: NodeLoad) -> Self {
        Self {
            tasks: Vec::new(),
            nodes: vec![(node, Some(load), 0)],
            stats: Vec::new(),
            restarts: Vec::new(),
            revision: 0,
        }
    }

    /// Reads it.
    pub fn of(manager: &Manager, now: Now) -> Self {
        let views = manager.task_list(now);
        let phases = [Phase::Pending, Phase::Scheduled, Phase::Running, Phase::Completed, Phase::Failed];
        let count =
            |phase| u32::try_from(views.iter().filter(|v| v.phase == phase).count()).unwrap_or(u32::MAX);
        let nodes = manager.node_list(now).into_iter().map(|node| {
            let load = manager.node_detail(node.name.as_str(), now).ok().and_then(|d| d.load);
            let silent = manager.silent_ms(node.id, now).unwrap_or(0);
            (node, load, silent)
        });
        Self {
            tasks: phases.into_iter().map(|phase| (phase, count(phase))).collect(),
            nodes: nodes.collect(),
            stats: manager.stats(),
            restarts: views.into_iter().map(|v| (v.name.to_string(), v.restarts)).collect(),
            revision: manager.revision(),
        }
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(started_at: Time) -> Self {
        // 0.1 ms to 3 s, and 1 ms to 65 s.
        let commits = Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        let calls = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(0.001, 2.0, 17))) as fn() -> Histogram,
        );
        Self { started_at, commits, calls, requests: Family::default() }
    }

    /// A commit of the manager's store took so long.
    pub fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    /// A call of the engine took so long.
    pub fn called(&self, op: &'static str, took: Duration) {
        self.calls.get_or_create(&Op { op }).observe(took.as_secs_f64());
    }

    /// A request of the control API was answered.
    pub fn answered(&self, route: &str, status: u16) {
        self.requests.get_or_create(&Answered { route: route.to_owned(), status }).inc();
    }

    /// Everything, in Prometheus' text format.
    pub fn text(&self, snapshot: &Snapshot, store_bytes: u64) -> String {
        let mut registry = Registry::with_prefix("orca");
        registry.register(
            "store_commit_seconds",
            "Time that commits of the manager's store took",
            self.commits.clone(),
        );
        registry.register("engine_request_seconds", "Time that calls of the engine took", self.calls.clone());
        registry.register(
            "requests",
            "Requests of the control API that were answered",
            self.requests.clone(),
        );
        of_daemon(&mut registry, self.started_at, snapshot.revision, store_bytes);
        of_tasks(&mut registry, snapshot);
        of_nodes(&mut registry, snapshot);
        let mut text = String::new();
        // Writing to a string fails only where a value cannot be written, and all of ours can.
        if encode(&mut text, &registry).is_err() {
            tracing::error!("the metrics could not be written whole");
        }
        of_process(&mut text);
        classic(&text)
    }
}

fn of_daemon(registry: &mut Registry, started_at: Time, revision: u64, store_bytes: u64) {
    let build: Level<OfVersion> = Family::default();
    build.get_or_create(&OfVersion { version: orca_api::VERSION }).set(1.0);
    registry.register("build_info", "The version of orcad; always 1", build);
    level(
        registry,
        "start_time_seconds",
        "When the daemon began, since 1970",
        started_at.ms() as f64 / 1000.0,
    );
    level(registry, "revision", "The cluster's revision", revision as f64);
    level(registry, "store_size_bytes", "Size of the manager's store", store_bytes as f64);
}

fn level(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Gauge::<f64, AtomicU64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn of_tasks(registry: &mut Registry, snapshot: &Snapshot) {
    let tasks: Level<OfPhase> = Family::default();
    for (phase, count) in &snapshot.tasks {
        tasks.get_or_create(&OfPhase { phase: phase.as_str() }).set(f64::from(*count));
    }
    registry.register("tasks", "Tasks by phase", tasks);
    let cpu: Level<OfTask> = Family::default();
    let memory: Level<OfTask> = Family::default();
    let limit: Level<OfTask> = Family::default();
    for stats in &snapshot.stats {
        let (Some(load), Some(node)) = (&stats.load, &stats.node) else { continue };
        let of = OfTask { task: stats.name.to_string(), node: node.to_string() };
        cpu.get_or_create(&of).set(load.cpu_now);
        memory.get_or_create(&of).set(load.memory as f64);
        if let Some(bytes) = load.memory_limit {
            limit.get_or_create(&of).set(bytes as f64);
        }
    }
    registry.register("task_cpu_cores", "CPUs that a task uses", cpu);
    registry.register("task_memory_bytes", "Memory that a task uses, without what can be dropped", memory);
    registry.register("task_memory_limit_bytes", "Memory that a task may use", limit);
    let restarts: Family<OfName, Counter> = Family::default();
    for (task, count) in &snapshot.restarts {
        restarts.get_or_create(&OfName { task: task.clone() }).inc_by(u64::from(*count));
    }
    registry.register("task_restarts", "New attempts of a task after its own end", restarts);
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfName {
    task: String,
}

fn of_nodes(registry: &mut Registry, snapshot: &Snapshot) {
    let states: Level<OfState> = Family::default();
    for state in NodeState::ALL {
        let count = snapshot.nodes.iter().filter(|(n, ..)| n.state == *state).count();
        states.get_or_create(&OfState { state: state.as_str() }).set(count as f64);
    }
    registry.register("nodes", "Nodes by state", states);
    let heartbeat: Level<OfNode> = Family::default();
    let cpu: Level<OfNode> = Family::default();
    let cpu_reserved: Level<OfNode> = Family::default();
    let cpu_total: Level<OfNode> = Family::default();
    let memory: Level<OfNode> = Family::default();
    let memory_reserved: Level<OfNode> = Family::default();
    let memory_total: Level<OfNode> = Family::default();
    let pressure: Level<OfResource> = Family::default();
    for (node, load, silent) in &snapshot.nodes {
        let of = OfNode { node: node.name.to_string() };
        heartbeat.get_or_create(&of).set(*silent as f64 / 1000.0);
        cpu_total.get_or_create(&of).set(node.cpu.total.cpus());
        cpu_reserved.get_or_create(&of).set(node.cpu.reserved.cpus());
        memory_total.get_or_create(&of).set(node.memory.total.get() as f64);
        memory_reserved.get_or_create(&of).set(node.memory.reserved.get() as f64);
        let Some(load) = load else { continue };
        cpu.get_or_create(&of).set(load.machine.cpu_now);
        memory.get_or_create(&of).set(load.machine.memory_used as f64);
        for (resource, percent) in load.machine.pressure.iter().flat_map(pressures) {
            pressure.get_or_create(&OfResource { node: of.node.clone(), resource }).set(percent / 100.0);
        }
    }
    registry.register("heartbeat_age_seconds", "Time since a node's last sign of life", heartbeat);
    registry.register("node_cpu_used_cores", "CPUs that are busy", cpu);
    registry.register("node_cpu_reserved_cores", "CPUs that tasks reserve", cpu_reserved);
    registry.register("node_cpu_cores", "CPUs of a node", cpu_total);
    registry.register("node_memory_used_bytes", "Memory in use", memory);
    registry.register("node_memory_reserved_bytes", "Memory that tasks reserve", memory_reserved);
    registry.register("node_memory_bytes", "Memory of a node", memory_total);
    registry.register(
        "node_pressure_ratio",
        "Part of the last 10 s in which processes waited (PSI)",
        pressure,
    );
}

fn pressures(pressure: &Pressure) -> [(&'static str, f64); 3] {
    [("cpu", pressure.cpu_some), ("memory", pressure.memory_full), ("io", pressure.io_full)]
}

/// The process's own figures, under the names that every exporter uses.
fn of_process(text: &mut String) {
    use std::fmt::Write as _;
    let Ok(me) = procfs::process::Process::myself() else { return };
    let mut write = |name: &str, kind: &str, help: &str, value: f64| {
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{name} {value}");
    };
    if let Ok(stat) = me.stat() {
        let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        write("process_cpu_seconds_total", "counter", "CPU time of the process", ticks);
        write(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory of the process",
            (stat.rss * procfs::page_size()) as f64,
        );
        write("process_threads", "gauge", "Threads of the process", stat.num_threads as f64);
    }
    if let Ok(open) = me.fd_count() {
        write("process_open_fds", "gauge", "Open descriptors of the process", open as f64);
    }
}

/// OpenMetrics as the classic format, which `curl`, old scrapers and `promtool check metrics` read: counters are
/// declared under the name that their samples have, and there is no end mark.
fn classic(text: &str) -> String {
    let counters: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .filter(|name| !name.ends_with("_total"))
        .collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind), Some(name), rest) if counters.contains(&name) => {
                out.extend(["# ", kind, " ", name, "_total ", rest.unwrap_or_default()]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_belongs_to_a_declared_metric_of_the_classic_format() {
        let metrics = Metrics::new(Time::from_ms(1_800_000_000_000));
        metrics.committed(Duration::from_millis(2));
        metrics.called("create", Duration::from_millis(30));
        metrics.answered("TaskList", 200);
        let manager = Manager::load(Manager::bootstrap(
            &mut orca_api::id::SeededIds(1),
            Now { wall: Time::from_ms(0), boot_ms: 0 },
            "n1".parse().unwrap(),
            Vec::new(),
        ));
        let snapshot = Snapshot::of(&manager, Now { wall: Time::from_ms(0), boot_ms: 0 });
        let text = metrics.text(&snapshot, 4096);
        let declared: Vec<&str> =
            text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = name
                .strip_suffix("_bucket")
                .or(name.strip_suffix("_sum"))
                .or(name.strip_suffix("_count"))
                .unwrap_or(name);
            assert!(declared.contains(&name) || declared.contains(&base), "{line}");
        }
        assert!(text.contains("# TYPE orca_requests_total counter\n"), "{text}");
        assert!(text.contains("orca_requests_total{route=\"TaskList\",status=\"200\"} 1\n"), "{text}");
        assert!(text.contains("orca_tasks{phase=\"running\"} 0"), "{text}");
        assert!(!text.contains("EOF"));
    }
}
