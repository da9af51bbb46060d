//! A container's cgroup: finding it, and reading its counters, in version 1 and 2 and with either cgroup driver.
//!
//! | driver | where |
//! |---|---|
//! | cgroupfs | `docker/<id>` |
//! | systemd | `system.slice/docker-<id>.scope` |
//!
//! Another parent (a setting of the engine, or an engine within a container) is searched for, and remembered.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::machine::{Traffic, traffic};
use super::{Roots, keyed, number, text};

/// How deep a search goes below a controller's root.
const SEARCH_DEPTH_MAX: usize = 6;
/// How many folders a search looks at.
const SEARCH_FOLDERS_MAX: usize = 20_000;
/// A container that was not found is searched for again after so many samples.
const SEARCH_PAUSE: u32 = 12;
/// Version 1 writes "no limit" as the largest multiple of a page below 2⁶³.
const NO_LIMIT_V1: u64 = 1 << 60;

/// Which cgroups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// A hierarchy for each controller; also the hybrid, whose unified hierarchy has no controllers.
    V1,
    /// One hierarchy.
    V2,
}

impl Version {
    /// Which is mounted: only the root of a version 2 tree has `cgroup.controllers`.
    pub(super) fn detect(roots: &Roots) -> Self {
        if root(roots).join("cgroup.controllers").exists() { Self::V2 } else { Self::V1 }
    }

    /// 1 or 2.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

fn root(roots: &Roots) -> PathBuf {
    roots.sys.join("fs/cgroup")
}

/// A container's counters; each is absent where its controller is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// CPU time in microseconds.
    pub(super) cpu_us: Option<u64>,
    /// Bytes, without the page cache that can be dropped.
    pub(super) memory: Option<u64>,
    /// The most bytes ever, as the kernel counts.
    pub(super) memory_peak: Option<u64>,
    /// The most bytes that are allowed.
    pub(super) memory_limit: Option<u64>,
    pub(super) pids: Option<u64>,
    pub(super) io_read: Option<u64>,
    pub(super) io_written: Option<u64>,
    pub(super) received: Option<u64>,
    pub(super) sent: Option<u64>,
}

/// Finds containers' cgroups and remembers where they are.
#[derive(Debug)]
pub(super) struct Cgroups {
    roots: Roots,
    version: Version,
    /// Path below a controller's root, by container.
    found: BTreeMap<String, PathBuf>,
    /// Samples until the next search, by container.
    missing: BTreeMap<String, u32>,
}

impl Cgroups {
    pub(super) fn new(roots: Roots) -> Self {
        let version = Version::detect(&roots);
        Self { roots, version, found: BTreeMap::new(), missing: BTreeMap::new() }
    }

    /// Forgets every container that is not in the list.
    pub(super) fn keep(&mut self, containers: impl Fn(&str) -> bool) {
        self.found.retain(|id, _| containers(id));
        self.missing.retain(|id, _| containers(id));
    }

    /// Reads a container's counters; `None` while it has no cgroup.
    pub(super) fn usage(&mut self, container: &str) -> Option<Usage> {
        let path = self.locate(container)?;
        Some(match self.version {
            Version::V2 => self.usage_v2(&root(&self.roots).join(path)),
            Version::V1 => self.usage_v1(&path),
        })
    }

    fn locate(&mut self, container: &str) -> Option<PathBuf> {
        // An id is joined to paths below: nothing else may be.
        if container.is_empty() || !container.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let base = self.base();
        if let Some(path) = self.found.get(container) {
            if base.join(path).is_dir() {
                return Some(path.clone());
            }
            self.found.remove(container);
        }
        let path =
            self.candidates(container).into_iter().find(|path| base.join(path).is_dir()).or_else(|| {
                let pause = self.missing.entry(container.to_owned()).or_insert(0);
                if *pause > 0 {
                    *pause -= 1;
                    return None;
                }
                *pause = SEARCH_PAUSE;
                search(&base, container)
            })?;
        self.missing.remove(container);
        self.found.insert(container.to_owned(), path.clone());
        Some(path)
    }

    /// Where containers are looked for: the tree, or in version 1 the tree of a controller that is there.
    fn base(&self) -> PathBuf {
        let root = root(&self.roots);
        match self.version {
            Version::V2 => root,
            Version::V1 => ["memory", "cpuacct", "cpu,cpuacct", "pids", "systemd"]
                .iter()
                .map(|controller| root.join(controller))
                .find(|folder| folder.is_dir())
                .unwrap_or(root),
        }
    }

    /// Where it should be, and beside the others that were found.
    fn candidates(&self, container: &str) -> Vec<PathBuf> {
        let [plain, scope] = names(container);
        let mut paths = vec![Path::new("system.slice").join(&scope), Path::new("docker").join(&plain)];
        if let Some(parent) = self.found.values().next().and_then(|path| path.parent()) {
            paths.extend([parent.join(&scope), parent.join(&plain)]);
        }
        paths
    }

    fn usage_v2(&self, folder: &Path) -> Usage {
        let io = text(folder.join("io.stat"));
        let moved = |word: &str| {
            let words = io.as_ref()?.split_ascii_whitespace();
            Some(words.filter_map(|w| w.strip_prefix(word)?.parse::<u64>().ok()).sum())
        };
        let mut usage = Usage {
            cpu_us: text(folder.join("cpu.stat")).and_then(|stat| keyed(&stat, "usage_usec")),
            memory: working_set(
                number(folder.join("memory.current")),
                text(folder.join("memory.stat")),
                "inactive_file",
            ),
            memory_peak: number(folder.join("memory.peak")),
            memory_limit: number(folder.join("memory.max")),
            pids: number(folder.join("pids.current")),
            io_read: moved("rbytes="),
            io_written: moved("wbytes="),
            ..Usage::default()
        };
        self.add_network(folder, &mut usage);
        usage
    }

    fn usage_v1(&self, path: &Path) -> Usage {
        let root = root(&self.roots);
        let folder = |controllers: &[&str]| {
            controllers
                .iter()
                .map(|controller| root.join(controller).join(path))
                .find(|folder| folder.is_dir())
        };
        let mut usage = Usage::default();
        if let Some(folder) = folder(&["cpuacct", "cpu,cpuacct", "cpuacct,cpu"]) {
            usage.cpu_us = number(folder.join("cpuacct.usage")).map(|ns| ns / 1000);
        }
        if let Some(folder) = folder(&["memory"]) {
            usage.memory = working_set(
                number(folder.join("memory.usage_in_bytes")),
                text(folder.join("memory.stat")),
                "total_inactive_file",
            );
            usage.memory_peak = number(folder.join("memory.max_usage_in_bytes"));
            usage.memory_limit =
                number(folder.join("memory.limit_in_bytes")).filter(|limit| *limit < NO_LIMIT_V1);
        }
        if let Some(folder) = folder(&["pids"]) {
            usage.pids = number(folder.join("pids.current"));
        }
        if let Some(folder) = folder(&["blkio"]) {
            let io = ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"]
                .iter()
                .find_map(|file| text(folder.join(file)));
            usage.io_read = io.as_deref().map(|io| moved_v1(io, "Read"));
            usage.io_written = io.as_deref().map(|io| moved_v1(io, "Write"));
        }
        self.add_network(&self.base().join(path), &mut usage);
        usage
    }

    /// The network of a container is that of any process in it. With the host's network it is not its own, and absent.
    fn add_network(&self, folder: &Path, usage: &mut Usage) {
        let Some(pid) = text(folder.join("cgroup.procs")).and_then(|pids| {
            pids.lines().find_map(|line| line.trim().parse::<u32>().ok().filter(|pid| *pid > 0))
        }) else {
            return;
        };
        let file = self.roots.proc.join(pid.to_string()).join("net/dev");
        // One inode for each network namespace: comparing the namespaces themselves needs the right to trace.
        let inode = |path: &Path| fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        let theirs = inode(&file);
        if theirs.is_none()
            || theirs == inode(&self.roots.proc.join("1/net/dev"))
            || theirs == inode(&self.roots.proc.join("net/dev"))
        {
            return;
        }
        let Some(table) = text(&file) else { return };
        let devices: Vec<Traffic> = traffic(&table).into_iter().filter(|t| t.device != "lo").collect();
        usage.received = Some(devices.iter().map(|t| t.received).sum());
        usage.sent = Some(devices.iter().map(|t| t.sent).sum());
    }
}

fn names(container: &str) -> [String; 2] {
    [container.to_owned(), format!("docker-{container}.scope")]
}

/// Use without what is given back under pressure: inactive file pages, as `docker stats` counts.
fn working_set(used: Option<u64>, stat: Option<String>, inactive: &str) -> Option<u64> {
    Some(used?.saturating_sub(keyed(&stat.unwrap_or_default(), inactive).unwrap_or(0)))
}

/// `8:0 Read 4096`
fn moved_v1(text: &str, direction: &str) -> u64 {
    text.lines()
        .filter_map(|line| match line.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
            [_, word, bytes] if *word == direction => bytes.parse::<u64>().ok(),
            _ => None,
        })
        .sum()
}

/// Looks for a container's folder, breadth first, within bounds. Links are not followed.
fn search(base: &Path, container: &str) -> Option<PathBuf> {
    let wanted = names(container);
    let (mut level, mut looked_at) = (vec![PathBuf::new()], 0);
    for _ in 0..SEARCH_DEPTH_MAX {
        let mut next = Vec::new();
        for folder in level {
            for entry in fs::read_dir(base.join(&folder)).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                looked_at += 1;
                let path = folder.join(entry.file_name());
                if wanted.iter().any(|name| entry.file_name() == name.as_str()) {
                    return Some(path);
                }
                if looked_at > SEARCH_FOLDERS_MAX {
                    return None;
                }
                next.push(path);
            }
        }
        level = next;
    }
    None
}
