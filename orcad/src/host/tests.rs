//! The readers over recorded trees: cgroup version 1 and 2, and a kernel that offers next to nothing.

use std::fs;
use std::path::{Path, PathBuf};

use orca_api::id::{PlacementId, SeededIds, TaskId};
use orca_api::load::{NodeLoad, TaskLoad};
use orca_api::units::{Span, Time};
use orca_core::Now;
use procfs::{DiskStats, FromRead};

use super::cgroup::Version;
use super::facts::distribution;
use super::{Roots, Running, Sampler, boot_id, machine};

const ENGINE_S: &str = "4f1c0a6e2b7d98315c64e0f2a1b3d5978e6f4c2d0b1a39587f6e5d4c3b2a1908";
const ELSEWHERE: &str = "9b8a7c6d5e4f30211203f4e5d6c7b8a99b8a7c6d5e4f30211203f4e5d6c7b8a9";
const SCOPE: &str = "sys/fs/cgroup/system.slice/docker-4f1c0a6e2b7d98315c64e0f2a1b3d5978e6f4c2d0b1a39587f6e5d4c3b2a1908.scope";
const START: Now = Now { wall: Time::from_ms(1_760_086_400_000), boot_ms: 86_400_000 };

/// A copy of a recorded tree, so that time can pass in it.
struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn recorded(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name), folder.path());
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn roots(&self) -> Roots {
        Roots { proc: self.path("proc"), sys: self.path("sys") }
    }

    fn sampler(&self) -> Sampler {
        Sampler::new(self.roots(), self.path("nothing here"), self.folder.path().to_owned(), START)
    }

    fn edit(&self, path: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(old), "{path}: {old}");
        fs::write(self.path(path), text.replace(old, new)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

fn running(containers: &[&str]) -> Vec<Running> {
    let mut ids = SeededIds(1);
    let mut one = |container: &&str| Running {
        task: TaskId::fresh(&mut ids),
        placement: PlacementId::fresh(&mut ids),
        attempt: 1,
        container: (*container).to_owned(),
    };
    containers.iter().map(&mut one).collect()
}

fn later(seconds: u64) -> Now {
    START.plus(Span::from_secs(seconds))
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6, "{a} is not {b}");
}

fn only(load: &NodeLoad) -> &TaskLoad {
    assert_eq!(load.tasks.len(), 1);
    &load.tasks[0]
}

#[test]
fn the_machine() {
    let tree = Tree::recorded("cgroup-v1");
    let mut sampler = tree.sampler();
    // 5 s on two CPUs at 100 ticks a second: 300 busy, 50 stolen; iowait and idle do not count.
    tree.edit("proc/stat", "cpu  1000 200 300 90000 400 50 60 70", "cpu  1200 200 390 90500 900 55 65 120");
    tree.edit("proc/net/dev", "eth0: 1000000", "eth0: 1050000");
    let load = sampler.sample(later(5), &[]);
    let machine = &load.machine;
    assert_eq!(load.at, Some(later(5).wall));
    assert_eq!(machine.cpus, 2);
    near(machine.cpu_now, 0.6);
    near(machine.cpu_average, 0.6);
    near(machine.cpu_steal, 0.1);
    near(machine.load_average.iter().sum(), 0.52 + 0.48 + 0.41);
    assert_eq!((machine.memory_total, machine.memory_used), (8_000_000 << 10, 3_000_000 << 10));
    assert_eq!((machine.swap_total, machine.swap_used), (2_000_000 << 10, 500_000 << 10));
    assert_eq!((machine.oom_kills, machine.uptime_s), (Some(3), 86_400));
    let pressure = machine.pressure.clone().unwrap();
    near(
        pressure.cpu_some + pressure.memory_some + pressure.memory_full + pressure.io_some + pressure.io_full,
        8.0,
    );

    let [net] = machine.networks.as_slice() else { panic!("{:?}", machine.networks) };
    assert_eq!((net.device.as_str(), net.rx_bytes_s, net.tx_bytes_s), ("eth0", 10_000.0, 0.0));
    let [disk] = machine.disks.as_slice() else { panic!("{:?}", machine.disks) };
    assert_eq!(disk.role, "state");
    assert!(disk.total >= disk.free && disk.total > 0);
}

#[test]
fn only_the_devices_of_default_routes_count() {
    // Version 4 in one tree, version 6 in the other, with `lo` as the kernel lists it.
    for tree in ["cgroup-v1", "cgroup-v2"] {
        let devices = machine::networks(&Tree::recorded(tree).roots());
        assert_eq!(devices.iter().map(|t| t.device.as_str()).collect::<Vec<_>>(), ["eth0"], "{tree}");
    }
}

#[test]
fn averages_follow_and_the_history_is_short() {
    let tree = Tree::recorded("cgroup-v1");
    let mut sampler = tree.sampler();
    let mut load = NodeLoad::default();
    for step in 1..=70 {
        load = sampler.sample(later(5 * step), &[]);
    }
    assert_eq!(load.machine.history.len(), 60);
    assert_eq!(load.machine.history.last().map(|s| s.at), Some(later(350).wall));
    assert!(load.machine.history.is_sorted_by_key(|s| s.at));
    assert_eq!(load.machine.memory_average, load.machine.memory_used);
    near(load.machine.cpu_average, 0.0);
}

#[test]
fn a_container_under_version_2() {
    let tree = Tree::recorded("cgroup-v2");
    assert_eq!(Version::detect(&tree.roots()).number(), 2);
    let (mut sampler, tasks) = (tree.sampler(), running(&[ENGINE_S]));
    let first = sampler.sample(later(5), &tasks);
    near(only(&first).cpu_now, 0.0);
    assert_eq!(only(&first).net_rx_bytes_s, None, "one value has no rate");

    tree.edit(&format!("{SCOPE}/cpu.stat"), "usage_usec 2000000", "usage_usec 9500000");
    tree.edit(&format!("{SCOPE}/io.stat"), "wbytes=2097152", "wbytes=2147152");
    tree.edit("proc/4711/net/dev", "eth0:   20000", "eth0:   25000");
    let second = sampler.sample(later(10), &tasks);
    let task = only(&second);
    assert_eq!((task.task, task.placement, task.attempt), (tasks[0].task, tasks[0].placement, 1));
    near(task.cpu_now, 1.5);
    near(task.cpu_average, 1.5);
    assert_eq!(task.memory, 60 << 20, "without inactive file pages");
    assert_eq!(task.memory_peak, 150 << 20, "the kernel's own");
    assert_eq!(task.memory_limit, Some(256 << 20));
    assert_eq!(task.pids, Some(7));
    assert_eq!((task.net_rx_bytes_s, task.net_tx_bytes_s), (Some(1000.0), Some(0.0)), "without lo");
    assert_eq!((task.io_read_bytes_s, task.io_write_bytes_s), (Some(0.0), Some(10_000.0)));
    assert_eq!(sampler.peaks().get(ENGINE_S).map(|b| b.get()), Some(150 << 20));
}

#[test]
fn a_container_under_version_1() {
    let tree = Tree::recorded("cgroup-v1");
    assert_eq!(Version::detect(&tree.roots()).number(), 1);
    let (mut sampler, tasks) = (tree.sampler(), running(&[ENGINE_S]));
    sampler.sample(later(5), &tasks);
    tree.edit(
        &format!("sys/fs/cgroup/cpu,cpuacct/docker/{ENGINE_S}/cpuacct.usage"),
        "2000000000",
        "4500000000",
    );
    tree.edit(
        &format!("sys/fs/cgroup/blkio/docker/{ENGINE_S}/blkio.throttle.io_service_bytes"),
        "Read 1048576",
        "Read 1098576",
    );
    let load = sampler.sample(later(10), &tasks);
    let task = only(&load);
    near(task.cpu_now, 0.5);
    assert_eq!((task.memory, task.memory_peak, task.memory_limit), (60 << 20, 150 << 20, Some(256 << 20)));
    assert_eq!(task.pids, Some(7));
    assert_eq!((task.io_read_bytes_s, task.io_write_bytes_s), (Some(10_000.0), Some(0.0)));
    assert_eq!(task.net_tx_bytes_s, Some(0.0));
}

#[test]
fn a_container_below_another_parent_is_found_and_has_no_limit() {
    // A parent that the engine was given, and an engine that runs in a container itself.
    for (tree, memory) in [("cgroup-v2", 4096), ("cgroup-v1", 60 << 20)] {
        let load = Tree::recorded(tree).sampler().sample(later(5), &running(&[ELSEWHERE]));
        assert_eq!((only(&load).memory, only(&load).memory_limit), (memory, None), "{tree}");
        assert_eq!(only(&load).net_rx_bytes_s, None);
    }
}

#[test]
fn containers_come_and_go() {
    let tree = Tree::recorded("cgroup-v2");
    let (mut sampler, tasks) = (tree.sampler(), running(&[ENGINE_S]));
    fs::rename(tree.path(SCOPE), tree.path("aside")).unwrap();
    assert!(sampler.sample(later(5), &tasks).tasks.is_empty(), "not there yet");
    fs::rename(tree.path("aside"), tree.path(SCOPE)).unwrap();
    assert_eq!(sampler.sample(later(10), &tasks).tasks.len(), 1);
    fs::remove_dir_all(tree.path(SCOPE)).unwrap();
    assert!(sampler.sample(later(15), &tasks).tasks.is_empty(), "gone");
    assert_eq!(sampler.peaks().len(), 1, "how it ended is still to be told");
    sampler.sample(later(20), &[]);
    assert!(sampler.peaks().is_empty());
}

#[test]
fn the_hosts_network_is_not_a_containers_own() {
    let tree = Tree::recorded("cgroup-v2");
    fs::remove_file(tree.path("proc/4711/net/dev")).unwrap();
    fs::hard_link(tree.path("proc/net/dev"), tree.path("proc/4711/net/dev")).unwrap();
    let (mut sampler, tasks) = (tree.sampler(), running(&[ENGINE_S]));
    sampler.sample(later(5), &tasks);
    assert_eq!(only(&sampler.sample(later(10), &tasks)).net_rx_bytes_s, None);
}

#[test]
fn nothing_outside_of_the_tree_is_read() {
    let load =
        Tree::recorded("cgroup-v2").sampler().sample(later(5), &running(&["../../../proc", "", "a/b"]));
    assert!(load.tasks.is_empty());
}

#[test]
fn what_a_kernel_does_not_offer_is_absent() {
    let tree = Tree::recorded("bare");
    let load = tree.sampler().sample(later(5), &running(&[ENGINE_S]));
    let machine = &load.machine;
    assert_eq!((&machine.pressure, machine.oom_kills), (&None, None));
    assert!(machine.networks.is_empty() && load.tasks.is_empty());
    assert_eq!(machine.memory_used, 3_800_000 << 10, "without free, buffers and page cache");
    assert_eq!(machine.disks.first().and_then(|d| d.read_bytes_s), None);

    let nowhere = Roots { proc: "/nowhere".into(), sys: "/nowhere".into() };
    let load = Sampler::new(nowhere, "/nowhere".into(), "/nowhere".into(), START).sample(later(5), &[]);
    assert_eq!((load.machine.cpus, load.machine.disks.len()), (0, 0));
}

#[test]
fn disks_by_their_number() {
    let stats = DiskStats::from_file(Tree::recorded("cgroup-v1").path("proc/diskstats")).unwrap();
    assert_eq!(machine::moved_by(&stats, (254, 1)), Some((70_000 * 512, 150_000 * 512)));
    assert_eq!(machine::moved_by(&stats, (0, 42)), None);
}

#[test]
fn facts() {
    assert_eq!(boot_id(&Tree::recorded("bare").path("proc")), "3d5b2a10-7c1e-4f0a-9a55-0c3f6f2d8e77");
    assert_eq!(boot_id(Path::new("/nowhere")), "");
    assert_eq!(
        distribution("NAME=\"x\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
        "Debian GNU/Linux 12 (bookworm)"
    );
    assert_eq!(distribution("NAME='Alpine Linux'\n"), "Alpine Linux");
    assert_eq!(distribution(""), "");

    let tree = Tree::recorded("cgroup-v2");
    let mut config = crate::config::Config::default();
    (config.metrics.proc_root, config.metrics.sys_root) = (tree.path("proc"), tree.path("sys"));
    config.node_name = "n1".parse().ok();
    let facts = super::facts(&config, &tree.path("not/there/yet"));
    assert_eq!(facts.name, config.node_name);
    assert_eq!((facts.cpu.millis(), facts.memory.get(), facts.cgroup), (2000, 8_000_000 << 10, 2));
    assert_eq!(facts.reserve_memory.get(), (256 << 20) + (8_000_000 << 10) / 20);
    assert!(facts.disk.get() > 0, "the file system where it will be");
}
