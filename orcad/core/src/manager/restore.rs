//! What makes a restored backup the newest word of the cluster.
//!
//! A backup is the cluster as it once was. Since then workers were given newer sets and clients saw newer revisions,
//! and neither may win over what was restored: so the epoch rises, every node's generation begins anew in it (an older
//! set is refused, whatever its number), and the revision goes on above every one that was given before.
//!
//! What was used up or taken back since would be good again as well. Join tokens are therefore dropped: a new one is
//! made in a moment, and an old one lets in whoever found it. Nodes and certificates of people stay, since nobody is to be
//! locked out by a restore; who restores is told to look through them.

use std::sync::Arc;

use orca_api::control::EventView;
use orca_api::link::Generation;
use orca_api::units::Time;

use super::io::{Change, Peer};
use super::record::{ClusterRecord, NodeRecord};
use super::state::Manager;

/// Revisions left free where nobody knows how far the lost store had come.
const REVISIONS_SKIPPED: u64 = 1_000_000;

/// How far the store had come that a backup takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// There was none, or it cannot be read.
    Unknown,
    /// It was at this epoch and revision.
    At {
        /// Its epoch.
        epoch: u64,
        /// Its last revision.
        revision: u64,
    },
}

/// How many there are of what lets somebody in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admits {
    /// Join tokens that could be used.
    pub tokens: usize,
    /// Certificates of people and programs that are good.
    pub people: usize,
    /// Nodes of the cluster, without the manager's own.
    pub nodes: usize,
}

impl Manager {
    /// How far a store with these rows has come.
    pub fn reached(&self) -> Replaced {
        self.durable
            .cluster
            .as_ref()
            .map_or(Replaced::Unknown, |c| Replaced::At { epoch: c.epoch, revision: c.revision })
    }

    /// What of this state lets somebody in, and may have been taken back since.
    pub fn admits(&self, now: Time) -> Admits {
        Admits {
            tokens: self.token_list(now).len(),
            people: self.certificate_list(now).len(),
            nodes: self.members().filter(|n| !n.is_manager()).count(),
        }
    }

    /// The changes that a restored backup begins with, and their revision. Empty where the backup holds no cluster.
    ///
    /// Where the replaced store is unknown, the epoch is the number of seconds since 1970: larger than any count of
    /// restores that came before.
    pub fn restored(&self, replaced: Replaced, by: &Peer, wall: Time) -> (u64, Vec<Change>) {
        let Some(cluster) = &self.durable.cluster else { return (0, Vec::new()) };
        let (epoch, revision) = match replaced {
            Replaced::At { epoch, revision } => {
                (epoch.max(cluster.epoch) + 1, revision.max(cluster.revision) + 1)
            }
            Replaced::Unknown => {
                let seconds = u64::try_from(wall.ms() / 1000).unwrap_or(0);
                (seconds.max(cluster.epoch + 1), cluster.revision + REVISIONS_SKIPPED)
            }
        };
        let mut changes = Vec::new();
        for node in self.durable.nodes.values() {
            let node =
                NodeRecord { revision, generation: Generation { epoch, n: 0 }, ..NodeRecord::clone(node) };
            changes.push(Change::NodePut { record: Arc::new(node) });
        }
        // Which of them were used or revoked since the backup, nobody can tell.
        changes.extend(self.durable.tokens.keys().map(|token| Change::TokenGone { token: *token }));
        changes.push(Change::EventAdded {
            event: EventView {
                revision,
                index: 0,
                at: wall,
                kind: "cluster.restored".to_owned(),
                task: None,
                task_name: None,
                node: None,
                node_name: None,
                state: None,
                reason: None,
                message: format!(
                    "the state of revision {} was restored from a backup; this is epoch {epoch}",
                    cluster.revision
                ),
                by: Some(by.to_string()),
                request_id: None,
            },
        });
        let cluster = ClusterRecord {
            epoch,
            revision,
            events_added: cluster.events_added + 1,
            ..ClusterRecord::clone(cluster)
        };
        changes.push(Change::ClusterPut { record: Arc::new(cluster) });
        (revision, changes)
    }
}

#[cfg(test)]
mod tests {
    use orca_api::id::{IdSource, RawId, TokenId};
    use orca_api::node::Role;
    use orca_api::units::Span;

    use super::super::check::check_manager;
    use super::super::record::TokenRecord;
    use super::*;
    use crate::Now;

    struct Counted(u8);

    impl IdSource for Counted {
        fn next_id(&mut self) -> RawId {
            self.0 += 1;
            RawId::from_bytes([self.0; 10])
        }
    }

    fn manager() -> Manager {
        let now = Now { wall: Time::from_ms(1_000), boot_ms: 0 };
        let name = "n1".parse().expect("a name");
        Manager::load(Manager::bootstrap(&mut Counted(0), now, name, vec![Role::Manager, Role::Worker]))
    }

    #[test]
    fn epoch_and_revision_rise_above_both_stores() {
        let by = Peer::Unix { uid: 0, pid: None };
        let wall = Time::from_ms(1_764_000_000_000);
        for (replaced, epoch, revision) in [
            (Replaced::At { epoch: 1, revision: 57 }, 2, 58),
            (Replaced::At { epoch: 7, revision: 0 }, 8, 2),
            (Replaced::Unknown, 1_764_000_000, 1_000_001),
        ] {
            let mut manager = manager();
            let (at, changes) = manager.restored(replaced, &by, wall);
            assert_eq!(at, revision, "{replaced:?}");
            for change in &changes {
                manager.apply(change);
            }
            assert_eq!(manager.reached(), Replaced::At { epoch, revision });
            let node = manager.first_node().expect("a node");
            assert_eq!(manager.generation(node), Some(Generation { epoch, n: 0 }));
            assert!(
                manager.generation(node) > Some(Generation { epoch: epoch - 1, n: u64::MAX }),
                "an older set never wins"
            );
            assert_eq!(check_manager(&manager), Vec::<String>::new());
        }
    }

    #[test]
    fn join_tokens_are_not_brought_back() {
        let mut manager = manager();
        let by = Peer::Unix { uid: 0, pid: None };
        let wall = Time::from_ms(1_764_000_000_000);
        for n in 1..=2 {
            let id = TokenId::from_raw(RawId::from_bytes([n; 10]));
            let record = TokenRecord {
                id,
                secret: "0".repeat(64),
                role: Role::Worker,
                node: None,
                created_at: wall,
                expires_at: wall.plus(Span::from_secs(3600)),
                uses_left: 1,
                revoked: n == 2,
                by: by.clone(),
            };
            manager.apply(&Change::TokenPut { record: Arc::new(record) });
        }
        assert_eq!(manager.admits(wall), Admits { tokens: 1, people: 0, nodes: 0 });
        let (_, changes) = manager.restored(Replaced::Unknown, &by, wall);
        for change in &changes {
            manager.apply(change);
        }
        assert_eq!(manager.admits(wall), Admits::default());
        assert!(manager.durable.tokens.is_empty(), "nor the one that was revoked already");
        assert_eq!(check_manager(&manager), Vec::<String>::new());
    }

    #[test]
    fn a_store_without_a_cluster_has_nothing_to_raise() {
        let (revision, changes) =
            Manager::load([]).restored(Replaced::Unknown, &Peer::Local, Time::from_ms(0));
        assert_eq!((revision, changes), (0, vec![]));
    }
}
