//! What the machine is.

use std::path::Path;

use orca_api::link::NodeFacts;
use orca_api::name::Name;
use orca_api::units::{Bytes, Cpu};

use super::cgroup::Version;
use super::{Roots, machine, text};
use crate::config::Config;

/// The machine, its labels and what is kept for the system; the engine's own fields stay empty. `data` is the engine's
/// data folder, whose file system is what tasks fill; where it is not there yet, its parent's is where it will be.
pub fn facts(config: &Config, data: &Path) -> NodeFacts {
    let roots = Roots { proc: config.metrics.proc_root.clone(), sys: config.metrics.sys_root.clone() };
    let cpu = Cpu::from_millis(machine::cpu_times(&roots).map_or(0, |times| u64::from(times.cpus) * 1000));
    let memory = Bytes::new(machine::memory(&roots).map_or(0, |memory| memory.total));
    let disk = Bytes::new(
        data.ancestors().find_map(|folder| machine::disk(&roots, folder)).map_or(0, |disk| disk.total),
    );
    NodeFacts {
        name: Some(config.node_name.clone().unwrap_or_else(node_name)),
        cpu,
        memory,
        disk,
        reserve_cpu: config.reserve.cpus.min(cpu),
        reserve_memory: config.reserve.memory.of(memory),
        reserve_disk: config.reserve.disk.of(disk),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        distribution: distribution(
            &text("/etc/os-release").or_else(|| text("/usr/lib/os-release")).unwrap_or_default(),
        ),
        cgroup: Version::detect(&roots).number(),
        orcad: orca_api::VERSION.to_owned(),
        labels: config.labels.clone(),
        data_center: config.data_center.clone(),
        boot_id: boot_id(&roots.proc),
        ..NodeFacts::default()
    }
}

/// The kernel's id of this boot; empty where `/proc` is not there.
pub fn boot_id(proc_root: &Path) -> String {
    text(proc_root.join("sys/kernel/random/boot_id")).map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The name of this machine as a node's: the valid one that is nearest to its host name.
pub fn node_name() -> Name {
    Name::nearest(&host_name()).unwrap_or_else(|| "node".parse().expect("`node` is a name"))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"`, as os-release(5) says.
pub(super) fn distribution(os_release: &str) -> String {
    let value = |key: &str| os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value("PRETTY_NAME")
        .or_else(|| value("NAME"))
        .map(|text| text.trim().trim_matches(['"', '\'']).to_owned())
        .unwrap_or_default()
}
