//! Room: CPU, memory, disk after the system's reserve, and host ports.

use std::fmt::Display;

use orca_api::id::PlacementId;
use orca_api::spec::Port;
use orca_api::units::{Bytes, Cpu};

use super::{Filter, Told};
use crate::ask::{Ask, Candidate};
use crate::index::amounts;
use crate::model::Request;

/// Enough of one resource is free: allocatable (capacity without reserve) without what is reserved.
/// A task that reserves nothing always passes. Measured load never refuses; it only makes a node dearer.
pub(super) struct Room {
    resource: usize,
    name: &'static str,
    unit: fn(u64) -> Box<dyn Display>,
    remedy: &'static str,
}

/// Enough CPU.
pub(super) const CPU: Room =
    Room { resource: 0, name: "cpu", unit: |n| Box::new(Cpu::from_millis(n)), remedy: "CPU" };
/// Enough memory.
pub(super) const MEMORY: Room =
    Room { resource: 1, name: "memory", unit: |n| Box::new(Bytes::new(n)), remedy: "memory" };
/// Enough disk.
pub(super) const DISK: Room =
    Room { resource: 2, name: "disk", unit: |n| Box::new(Bytes::new(n)), remedy: "disk" };

impl Room {
    fn short(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> u64 {
        ask.need[self.resource].saturating_sub(candidate.row.free[self.resource])
    }
}

impl Filter for Room {
    fn name(&self) -> &'static str {
        self.name
    }
    fn wanted(&self, request: &Request) -> bool {
        amounts(request.resources)[self.resource] > 0
    }
    fn reads_more(&self, _: &Request) -> bool {
        false
    }
    #[inline]
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        ask.need[self.resource] <= candidate.row.free[self.resource]
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        let show = |n: u64| (self.unit)(n).to_string();
        let (needed, free) = (show(ask.need[self.resource]), show(candidate.row.free[self.resource]));
        let short = self.short(ask, candidate);
        let short_by = (short > 0).then(|| show(short));
        let missing = short_by.as_ref().map_or_else(String::new, |short| format!(" (short by {short})"));
        let text = format!("{}: needs {needed}, {free} free{missing}", self.name);
        Told { text, needed: Some(needed), free: Some(free), short_by }
    }
    fn remedy(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        let show = |n: u64| (self.unit)(n).to_string();
        format!(
            "reserve {} less {} (at most {}), or free as much on {}",
            show(self.short(ask, candidate)),
            self.remedy,
            show(candidate.row.free[self.resource]),
            candidate.node().name
        )
    }
    fn misses(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> (u64, u64) {
        (self.short(ask, candidate), ask.need[self.resource])
    }
}

/// No published port is taken by another task on the node.
pub(super) struct Ports;

impl Ports {
    /// The first wanted port that clashes, and the task that has it.
    fn taken<'a>(ask: &Ask<'a>, candidate: &Candidate<'_>) -> Option<(&'a Port, PlacementId)> {
        ask.request.ports.iter().find_map(|wanted| {
            let (holder, _) = candidate.slot.ports.iter().find(|(_, port)| wanted.clashes(port))?;
            Some((wanted, *holder))
        })
    }

    /// The task of a placement.
    fn task(ask: &Ask<'_>, holder: PlacementId) -> String {
        ask.world.held.get(&holder).map_or_else(|| holder.to_string(), |held| held.task.to_string())
    }
}

impl Filter for Ports {
    fn name(&self) -> &'static str {
        "port"
    }
    fn wanted(&self, request: &Request) -> bool {
        request.ports.iter().any(|port| port.host.is_some())
    }
    /// Only where the folded ports say that there may be a clash.
    fn reads_more(&self, _: &Request) -> bool {
        false
    }
    fn passes(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> bool {
        ask.ports & candidate.row.ports == 0 || Self::taken(ask, candidate).is_none()
    }
    fn tell(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> Told {
        Told::text(match Self::taken(ask, candidate) {
            None => "port: all that are wanted are free".to_owned(),
            Some((port, holder)) => {
                format!("port: {} is taken by task {}", host_side(port), Self::task(ask, holder))
            }
        })
    }
    fn remedy(&self, ask: &Ask<'_>, candidate: &Candidate<'_>) -> String {
        Self::taken(ask, candidate).map_or_else(String::new, |(port, holder)| {
            format!(
                "publish another port than {}, or stop task {} on {}",
                host_side(port),
                Self::task(ask, holder),
                candidate.node().name
            )
        })
    }
}

/// A port as a node sees it: `8080/tcp`, `127.0.0.1:53/udp`.
fn host_side(port: &Port) -> String {
    let number = port.host.unwrap_or(0);
    let protocol = port.protocol.as_str();
    match port.address {
        Some(address) => format!("{}/{protocol}", std::net::SocketAddr::new(address, number)),
        None => format!("{number}/{protocol}"),
    }
}
