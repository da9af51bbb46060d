//! What the daemon is, as its state folder says: the manager of a cluster, or a worker of another machine's.
//!
//! ```text
//!   <state>/identity of a worker? ── yes ─► a worker: manager.db and ca, if any, are of the past: to archive/<time>
//!                                └─ no ──► a manager: manager.db (a first start makes a cluster of one), ca, identity
//!   worker.db of another cluster than that? to archive/<time>
//! ```
//!
//! The identity alone decides, and it changes as one folder: a crash between becoming something else and tidying up after
//! it leaves a state that this very tidying finishes.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orca_api::id::{ClusterId, LifeId, NodeId};
use orca_api::node::Role;
use orca_api::units::Time;
use orca_core::manager::{self, Manager};
use orca_core::worker::{self, Worker};

use super::OpenError;
use crate::config::Config;
use crate::host;
use crate::pki::ca;
use crate::pki::identity::{self, NodeIdentity};
use crate::store::{ManagerStore, StoreError, WorkerStore};

/// The folder of what was left behind.
const ARCHIVE: &str = "archive";
/// The manager's store.
const MANAGER: &str = "manager.db";
/// The worker's store.
const WORKER: &str = "worker.db";
/// How long an earlier round of this process may hold on to a store.
const FORMER_ROUND: Duration = Duration::from_secs(10);

/// What the state folder holds.
pub(super) enum Held {
    /// A manager's store; without rows at a first start.
    Manager { store: ManagerStore, rows: Vec<manager::Change>, identity: Option<NodeIdentity> },
    /// A worker of another machine's manager.
    Member(NodeIdentity),
}

/// Opens the folder and finishes what a crash left.
pub(super) fn open(config: &Config, now: Time) -> Result<Held, OpenError> {
    let state = &config.state_dir;
    make_private(state).map_err(|source| OpenError::Folder { path: state.clone(), source })?;
    let known = NodeIdentity::load(state);
    let has_store = state.join(MANAGER).exists();
    let identity = match known {
        Ok(identity) => identity,
        // A manager is one by its store: its tasks and its local socket do not depend on a certificate.
        Err(error) if has_store && !says_worker(state) => {
            tracing::error!(%error, hint = error.hint(), "the identity of this manager cannot be used");
            None
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(identity) = identity.as_ref().filter(|i| !i.about.roles.contains(&Role::Manager)) {
        let past = [MANAGER, ca::FOLDER, "recovery.key"];
        archive(state, &past, now).map_err(|source| OpenError::Folder { path: state.clone(), source })?;
        return Ok(Held::Member(identity.clone()));
    }
    let store = patiently(|| ManagerStore::open(&state.join(MANAGER)))?;
    let rows = store.load()?;
    Ok(Held::Manager { store, rows, identity })
}

/// Whether an identity that cannot be used is, as far as can be read, that of a worker.
fn says_worker(state: &Path) -> bool {
    let text = std::fs::read_to_string(state.join(identity::FOLDER).join("identity.json"));
    text.ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .is_some_and(|about| !about["roles"].to_string().contains("manager"))
}

/// Opens the worker's store. One of another cluster is of the past: its containers are not this worker's business.
pub(super) fn open_worker(
    config: &Config,
    cluster: Option<ClusterId>,
    life: LifeId,
    now: Time,
) -> Result<(Worker, WorkerStore), OpenError> {
    let (state, boot_id) = (&config.state_dir, host::boot_id(&config.metrics.proc_root));
    let open = || -> Result<_, StoreError> {
        let store = patiently(|| WorkerStore::open(&state.join(WORKER)))?;
        let rows: Vec<worker::Change> = store.load()?;
        Ok((Worker::load(life, boot_id.clone(), rows), store))
    };
    let (core, store) = open()?;
    if core.cluster().is_none_or(|known| cluster.is_none_or(|wanted| wanted == known)) {
        return Ok((core, store));
    }
    drop(store);
    archive(state, &[WORKER], now).map_err(|source| OpenError::Folder { path: state.clone(), source })?;
    Ok(open()?)
}

/// A round of this process that has just ended may still be closing its store.
fn patiently<T>(open: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let until = Instant::now() + FORMER_ROUND;
    loop {
        match open() {
            Err(StoreError::InUse { holder, .. })
                if holder == Some(std::process::id()) && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
}

/// Moves what is there of the named files and folders, and of what lies beside them (`NAME-wal`, `NAME.lock`), to a folder
/// of its own.
fn archive(state: &Path, names: &[&str], now: Time) -> io::Result<()> {
    let belongs = |name: &str| {
        names.iter().any(|n| name.strip_prefix(n).is_some_and(|r| r.is_empty() || r.starts_with(['-', '.'])))
    };
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(state)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(belongs) {
            found.push(entry.path());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let to = state.join(ARCHIVE).join(stamp(now));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&to)?;
    for from in found {
        let Some(name) = from.file_name() else { continue };
        let mut at = to.join(name);
        // A crash in the middle of it, and a clock that was set back, may have put something there.
        let mut n = 1;
        while at.exists() {
            n += 1;
            at = to.join(format!("{}.{n}", name.to_string_lossy()));
        }
        std::fs::rename(&from, &at)?;
    }
    std::fs::File::open(state)?.sync_all()?;
    tracing::info!(to = %to.display(), "the state of the former cluster was put aside");
    Ok(())
}

/// An instant as the name of a folder: `20261124T151500Z`.
pub fn stamp(now: Time) -> String {
    now.to_string()
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !"-:".contains(*c))
        .collect::<String>()
}

/// Makes the folder, for its owner alone: it holds what must not be read by others.
fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mode = std::fs::metadata(folder)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// This manager's own node: what its identity says, else the manager among the nodes.
pub(super) fn own_node(
    manager: &Manager,
    identity: Option<&NodeIdentity>,
    now: orca_core::Now,
) -> Option<NodeId> {
    let nodes = manager.node_list(now);
    let known = identity.filter(|i| Some(i.about.cluster) == manager.cluster()).map(|i| i.about.node);
    known
        .filter(|known| nodes.iter().any(|n| n.id == *known))
        .or_else(|| nodes.iter().find(|n| n.roles.contains(&Role::Manager)).map(|n| n.id))
        .or_else(|| manager.first_node())
}

#[cfg(test)]
mod tests {
    use orca_api::id::CertificateId;
    use orca_api::join::CertRole;

    use super::*;
    use crate::clock::{self, OsIds};
    use crate::pki::ca::Ca;
    use crate::pki::certificate::{Identity, LIFETIME};
    use crate::pki::identity::About;

    fn worker_identity() -> NodeIdentity {
        let (cluster, node, now) =
            (ClusterId::fresh(&mut OsIds), NodeId::fresh(&mut OsIds), clock::now().wall);
        let ca = Ca::create(cluster, now).unwrap();
        let (key, csr) = identity::request().unwrap();
        let who = Identity::of_node(cluster, CertRole::Worker, node);
        let issued = ca.issue(&csr, &who, CertificateId::fresh(&mut OsIds), now, LIFETIME).unwrap();
        let managers = vec!["10.0.0.1:7443".to_owned()];
        let about = About::new(cluster, node, vec![Role::Worker], "a1".parse().unwrap(), managers);
        NodeIdentity::new(about, key, issued.chain, ca.bundle()).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .map(|all| all.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    /// What is left of a cluster of one is put aside wherever a crash has stopped that: after the identity alone, after
    /// each file, and not before the identity.
    #[test]
    fn a_crash_leaves_one_of_the_two_states() {
        let now = clock::now().wall;
        for moved in [&[][..], &["ca"][..], &["manager.db"][..], &["ca", "manager.db", "manager.db-wal"][..]]
        {
            let folder = tempfile::tempdir().unwrap();
            let state = folder.path().join("state");
            let config = Config { state_dir: state.clone(), ..Config::default() };
            make_private(&state).unwrap();
            for file in ["manager.db", "manager.db-wal", "manager.db.lock", "manager.toml"] {
                std::fs::write(state.join(file), "").unwrap();
            }
            std::fs::create_dir(state.join("ca")).unwrap();
            worker_identity().save(&state, None).unwrap();
            let before = state.join(ARCHIVE).join("20200101T000000");
            for name in moved {
                std::fs::create_dir_all(&before).unwrap();
                std::fs::rename(state.join(name), before.join(name)).unwrap();
            }
            for _ in 0..2 {
                assert!(matches!(open(&config, now).unwrap(), Held::Member(_)));
                assert_eq!(names(&state), ["archive", "identity", "manager.toml"], "{moved:?}");
            }
            let archived: usize =
                names(&state.join(ARCHIVE)).iter().map(|n| names(&state.join(ARCHIVE).join(n)).len()).sum();
            assert_eq!(archived, 4, "{moved:?}: nothing is lost");
        }
    }

    #[test]
    fn without_the_identity_of_a_worker_it_is_a_manager() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { state_dir: folder.path().join("state"), ..Config::default() };
        let held = open(&config, clock::now().wall).unwrap();
        assert!(matches!(held, Held::Manager { ref rows, identity: None, .. } if rows.is_empty()));
    }

    #[test]
    fn a_workers_store_of_another_cluster_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().to_owned();
        let config = Config { state_dir: state.clone(), ..Config::default() };
        let [one, two] = [ClusterId::fresh(&mut OsIds), ClusterId::fresh(&mut OsIds)];
        let (life, now) = (LifeId::fresh(&mut OsIds), clock::now().wall);
        let (_, store) = open_worker(&config, Some(one), life, now).unwrap();
        let identity = worker::Change::IdentityPut {
            cluster: one,
            node: NodeId::fresh(&mut OsIds),
            name: "a1".parse().unwrap(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.commit(vec![identity])).unwrap();
        drop(store);
        let (core, store) = open_worker(&config, Some(one), life, now).unwrap();
        assert_eq!(core.cluster(), Some(one), "its own is kept");
        drop(store);
        let (core, _store) = open_worker(&config, Some(two), life, now).unwrap();
        assert_eq!(core.cluster(), None);
        assert_eq!(names(&state.join(ARCHIVE)).len(), 1);
    }
}
