//! What counts for the cluster as a whole: settings, and where its manager listens.

use std::net::SocketAddr;
use std::sync::Arc;

use orca_api::cluster::{CaView, ClusterView, RotationView, SetCluster};
use orca_api::error::{Code, Problem};
use orca_api::join::{ADDRESSES_MAX, check_address};
use orca_api::units::Span;

use super::defaults::{
    AGENT_GRACE, CERTIFICATE_TTL, CERTIFICATE_TTL_MAX, CERTIFICATE_TTL_MIN, GRACE_MAX, NODE_GRACE,
};
use super::io::{Answer, Change, Effect};
use super::record::{ClusterRecord, Rotation};
use super::state::Manager;
use super::turn::Turn;

impl Manager {
    /// Where the port of the link is open, `ADDRESS:PORT`; `None`: it is closed.
    pub fn listen(&self) -> Option<&str> {
        self.durable.cluster.as_ref()?.listen.as_deref()
    }

    /// How long a node may be down before its tasks are placed elsewhere.
    pub fn node_grace(&self) -> Span {
        self.durable.cluster.as_ref().and_then(|c| c.node_grace).unwrap_or(NODE_GRACE)
    }

    /// How long a node's orcad may be away, on a machine that lives, before its tasks are placed elsewhere.
    pub fn agent_grace(&self) -> Span {
        self.durable.cluster.as_ref().and_then(|c| c.agent_grace).unwrap_or(AGENT_GRACE)
    }

    /// How long certificates of nodes last.
    pub fn certificate_ttl(&self) -> Span {
        self.durable.cluster.as_ref().and_then(|c| c.certificate_ttl).unwrap_or(CERTIFICATE_TTL)
    }

    /// The cluster as such; what only the shell knows (its CA, addresses that were found out) is left empty.
    pub fn cluster_view(&self) -> Option<ClusterView> {
        let cluster = self.durable.cluster.as_ref()?;
        Some(ClusterView {
            id: cluster.id,
            revision: cluster.revision,
            epoch: cluster.epoch,
            created_at: cluster.created_at,
            scheduler: cluster.algorithm,
            node_grace: self.node_grace(),
            agent_grace: self.agent_grace(),
            certificate_ttl: self.certificate_ttl(),
            listen: cluster.listen.clone(),
            addresses: cluster.addresses.clone(),
            ca: CaView {
                rotation: cluster.rotation.as_ref().map(|r| self.rotation_view(r)),
                ..CaView::default()
            },
        })
    }

    fn rotation_view(&self, rotation: &Rotation) -> RotationView {
        let with_certificate = || self.members().filter_map(|n| Some((n, n.certificate.as_ref()?)));
        RotationView {
            since: rotation.since,
            renewed: u32::try_from(with_certificate().filter(|(_, c)| c.ca == rotation.ca).count())
                .unwrap_or(u32::MAX),
            waiting: with_certificate()
                .filter(|(_, c)| !rotation.nodes_done && c.ca != rotation.ca)
                .map(|(n, _)| n.name.clone())
                .collect(),
            people: self.people_of_former_ca(),
        }
    }
}

impl Turn<'_> {
    /// Changes the cluster's own record; whether anything is different now.
    pub(super) fn change_cluster(&mut self, change: impl FnOnce(&mut ClusterRecord)) -> bool {
        let Some(old) = self.m.durable.cluster.clone() else { return false };
        let mut record = ClusterRecord::clone(&old);
        change(&mut record);
        if record == *old {
            return false;
        }
        self.put(Change::ClusterPut { record: Arc::new(record) });
        true
    }

    pub(super) fn set_cluster(&mut self, set: &SetCluster) -> Result<Answer, Problem> {
        let bad = |text: String| Problem::new(Code::BadSpec, text);
        for (name, grace) in [("node_grace", set.node_grace), ("agent_grace", set.agent_grace)] {
            if let Some(grace) = grace
                && grace > GRACE_MAX
            {
                return Err(bad(format!("{name}: at most {GRACE_MAX}, not {grace}")));
            }
        }
        if let Some(ttl) = set.certificate_ttl
            && !(CERTIFICATE_TTL_MIN..=CERTIFICATE_TTL_MAX).contains(&ttl)
        {
            return Err(bad(format!(
                "certificate_ttl: from {CERTIFICATE_TTL_MIN} to {CERTIFICATE_TTL_MAX}, not {ttl}"
            )));
        }
        let addresses = set.addresses.as_deref().unwrap_or_default();
        if addresses.len() > ADDRESSES_MAX {
            return Err(bad(format!("addresses: at most {ADDRESSES_MAX}, these are {}", addresses.len())));
        }
        for (at, address) in addresses.iter().enumerate() {
            check_address(address).map_err(|why| bad(format!("addresses[{at}]: {why}")))?;
        }
        let changed = self.change_cluster(|c| {
            c.algorithm = set.scheduler.unwrap_or(c.algorithm);
            c.node_grace = set.node_grace.or(c.node_grace);
            c.agent_grace = set.agent_grace.or(c.agent_grace);
            c.certificate_ttl = set.certificate_ttl.or(c.certificate_ttl);
            if let Some(addresses) = &set.addresses {
                c.addresses.clone_from(addresses);
            }
        });
        if changed {
            self.cluster_event("cluster.set", words(set));
        }
        Ok(Answer::Done { changed })
    }

    pub(super) fn listen(&mut self, address: Option<&str>, force: bool) -> Result<Answer, Problem> {
        if let Some(text) = address {
            let port = text.parse::<SocketAddr>().map(|a| a.port());
            if port.map_or(true, |p| p == 0) {
                let shown: String = text.chars().take(80).collect();
                return Err(Problem::new(
                    Code::BadSpec,
                    format!("listen: `{shown}` is not an address and a port"),
                )
                .hint("0.0.0.0:7443 or [::]:7443 for every address of this machine"));
            }
        } else if !force && self.m.listen().is_some() {
            let others: Vec<&str> =
                self.m.members().filter(|n| !n.is_manager()).map(|n| n.name.as_str()).collect();
            if !others.is_empty() {
                return Err(Problem::new(
                    Code::WouldStrand,
                    format!("{} could not reach this manager any more", counted(others.len(), "node")),
                )
                .because(format!("they are members: {}", listed(&others)))
                .hint("orcactl node remove NAME for each, or --force: their tasks run on, unattended"));
            }
        }
        let changed = self.set_listen(address.map(str::to_owned));
        Ok(Answer::Done { changed })
    }

    /// Opens, moves or closes the port.
    pub(super) fn set_listen(&mut self, address: Option<String>) -> bool {
        let words = address.as_ref().map_or_else(|| "closed".to_owned(), |a| format!("open at {a}"));
        let changed = self.change_cluster(|c| c.listen = address);
        if changed {
            self.cluster_event("cluster.listen", words);
            self.effect(Effect::Listen);
        }
        changed
    }
}

/// `1 node`, `3 nodes`.
pub(super) fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The first few names.
pub(super) fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// What is set, for the event.
fn words(set: &SetCluster) -> String {
    let fields = [
        set.scheduler.map(|a| format!("scheduler {}", a.as_str())),
        set.node_grace.map(|s| format!("node_grace {s}")),
        set.agent_grace.map(|s| format!("agent_grace {s}")),
        set.certificate_ttl.map(|s| format!("certificate_ttl {s}")),
        set.addresses.as_ref().map(|a| {
            if a.is_empty() { "addresses found out".to_owned() } else { format!("addresses {}", a.join(" ")) }
        }),
    ];
    fields.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
