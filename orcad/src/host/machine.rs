//! One reading of the machine: counters and levels as the kernel tells them, without any memory of the last one.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use orca_api::load::Pressure;
use procfs::net::InterfaceDeviceStatus;
use procfs::{DiskStats, FromBufRead, FromRead, LoadAverage, Meminfo};

use super::{Roots, keyed, text};

/// Sectors of `/proc/diskstats` have this many bytes whatever the device says (kernel: Documentation/admin-guide/iostats).
const SECTOR_BYTES: u64 = 512;

/// What `/proc/stat` says; times in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTimes {
    /// CPUs that are online.
    pub(super) cpus: u32,
    /// user, nice, system, irq and softirq. Guests are part of user and nice already.
    pub(super) busy: u64,
    /// Taken by the hypervisor.
    pub(super) steal: u64,
}

/// CPU times; `None` where the file is not there.
pub(super) fn cpu_times(roots: &Roots) -> Option<CpuTimes> {
    let stat = text(roots.proc.join("stat"))?;
    let mut times = CpuTimes::default();
    for line in stat.lines().take_while(|line| line.starts_with("cpu")) {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some("cpu") {
            let ticks: Vec<u64> = words.map(|w| w.parse().unwrap_or(0)).collect();
            let tick = |at: usize| ticks.get(at).copied().unwrap_or(0);
            times.busy = tick(0) + tick(1) + tick(2) + tick(5) + tick(6);
            times.steal = tick(7);
        } else {
            times.cpus += 1;
        }
    }
    Some(times)
}

/// Levels in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: u64,
    /// Total without what is available to new processes.
    pub(super) used: u64,
    pub(super) swap_total: u64,
    pub(super) swap_used: u64,
}

/// Memory; `None` where the file is not there.
pub(super) fn memory(roots: &Roots) -> Option<Memory> {
    let info = read::<Meminfo>(&roots.proc.join("meminfo"))?;
    // MemAvailable came with Linux 3.14; before, free and page cache are the usual guess.
    let available = info.mem_available.unwrap_or(info.mem_free + info.buffers + info.cached);
    Some(Memory {
        total: info.mem_total,
        used: info.mem_total.saturating_sub(available),
        swap_total: info.swap_total,
        swap_used: info.swap_total.saturating_sub(info.swap_free),
    })
}

/// Load averages over 1, 5 and 15 minutes.
pub(super) fn load_average(roots: &Roots) -> Option<[f64; 3]> {
    let load = LoadAverage::from_file(roots.proc.join("loadavg")).ok()?;
    Some([load.one, load.five, load.fifteen].map(|value| (f64::from(value) * 100.0).round() / 100.0))
}

/// Whole seconds since boot.
pub(super) fn uptime_s(roots: &Roots) -> Option<u64> {
    text(roots.proc.join("uptime"))?.split('.').next()?.parse().ok()
}

/// Processes that the kernel killed for want of memory since boot; since Linux 4.13.
pub(super) fn oom_kills(roots: &Roots) -> Option<u64> {
    keyed(&text(roots.proc.join("vmstat"))?, "oom_kill")
}

/// Pressure over the last 10 s; `None` where the kernel has none or was booted with `psi=0`.
pub(super) fn pressure(roots: &Roots) -> Option<Pressure> {
    let file = |name: &str| text(roots.proc.join("pressure").join(name));
    let (cpu, memory, io) = (file("cpu")?, file("memory")?, file("io")?);
    Some(Pressure {
        cpu_some: stalled(&cpu, "some")?,
        memory_some: stalled(&memory, "some")?,
        memory_full: stalled(&memory, "full")?,
        io_some: stalled(&io, "some")?,
        io_full: stalled(&io, "full")?,
    })
}

/// `some avg10=0.12 avg60=…`
fn stalled(text: &str, who: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(who))?;
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

/// Bytes that passed a device, or all devices of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) device: String,
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// The devices of the default routes. Bridges and the containers' ends of their links carry the same bytes again.
pub(super) fn networks(roots: &Roots) -> Vec<Traffic> {
    let net =
        |name: &str| ["net", "1/net"].iter().find_map(|folder| text(roots.proc.join(folder).join(name)));
    let mut devices = BTreeSet::new();
    for line in net("route").iter().flat_map(|table| table.lines().skip(1)) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [device, "00000000", _, _, _, _, _, "00000000", ..] = words.as_slice() {
            devices.insert((*device).to_owned());
        }
    }
    for line in net("ipv6_route").iter().flat_map(|table| table.lines()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [to, "00", .., device] = words.as_slice()
            && to.bytes().all(|b| b == b'0')
            && *device != "lo"
        {
            devices.insert((*device).to_owned());
        }
    }
    let Some(table) = net("dev") else { return Vec::new() };
    traffic(&table).into_iter().filter(|t| devices.contains(&t.device)).collect()
}

/// Every device of a `net/dev` file, by name.
pub(super) fn traffic(table: &str) -> Vec<Traffic> {
    let Ok(InterfaceDeviceStatus(devices)) =
        InterfaceDeviceStatus::from_buf_read(BufReader::new(table.as_bytes()))
    else {
        return Vec::new();
    };
    let mut all: Vec<Traffic> = devices
        .into_values()
        .map(|d| Traffic { device: d.name, received: d.recv_bytes, sent: d.sent_bytes })
        .collect();
    all.sort_by(|a, b| a.device.cmp(&b.device));
    all
}

/// A file system: its size, and what its device has moved since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) total: u64,
    pub(super) free: u64,
    pub(super) moved: Option<(u64, u64)>,
}

/// The file system of a path; `None` where it is not there or may not be looked at.
pub(super) fn disk(roots: &Roots, path: &Path) -> Option<Disk> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let moved = fs::metadata(path).ok().and_then(|metadata| {
        let device = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
        moved_by(&read::<DiskStats>(&roots.proc.join("diskstats"))?, device)
    });
    Some(Disk {
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        moved,
    })
}

/// Bytes read and written by a block device; file systems over none (overlay, btrfs, network) have a number of their own.
pub(super) fn moved_by(stats: &DiskStats, (major, minor): (u32, u32)) -> Option<(u64, u64)> {
    let of = |number: i32| u32::try_from(number).ok();
    let stat = stats.0.iter().find(|s| (of(s.major), of(s.minor)) == (Some(major), Some(minor)))?;
    Some((stat.sectors_read * SECTOR_BYTES, stat.sectors_written * SECTOR_BYTES))
}

fn read<T: FromBufRead>(path: &Path) -> Option<T> {
    T::from_buf_read(BufReader::new(fs::File::open(path).ok()?)).ok()
}
