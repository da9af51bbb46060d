//! `orcad backup` as a process of its own, beside another one that has the store open and writes.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orca_api::id::{CertificateId, IdSource, RawId, TokenId};
use orca_api::join::CertRole;
use orca_api::node::Role;
use orca_api::units::Time;
use orca_core::Now;
use orca_core::manager::record::{CertificateRecord, ClusterRecord, TokenRecord};
use orca_core::manager::{Change, Manager, Peer};
use orcad::store::ManagerStore;

struct Counted(u8);

impl IdSource for Counted {
    fn next_id(&mut self) -> RawId {
        self.0 += 1;
        RawId::from_bytes([self.0; 10])
    }
}

fn orcad(state: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orcad"));
    command.env_clear().env("ORCA_STATE_DIR", state).stdin(Stdio::null());
    command.arg("backup").args(words).output().expect("orcad runs")
}

fn code(output: &Output) -> i32 {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap_or_else(|| panic!("a signal: {stderr}"));
    assert_eq!(code == 0, !stderr.contains("error: "), "{code}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    code
}

fn commit(store: &ManagerStore, revision: u64, changes: Vec<Change>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(store.commit(vec![(revision, changes)])).expect("a commit");
}

/// A store of a first start, with its cluster's record.
fn begun(state: &Path) -> (ManagerStore, ClusterRecord) {
    let store = ManagerStore::open(&state.join("manager.db")).expect("a store");
    let now = Now { wall: Time::from_ms(1_764_000_000_000), boot_ms: 0 };
    let rows = Manager::bootstrap(&mut Counted(0), now, "n1".parse().expect("a name"), vec![Role::Manager]);
    let cluster = rows.iter().find_map(|row| match row {
        Change::ClusterPut { record } => Some(ClusterRecord::clone(record)),
        _ => None,
    });
    commit(&store, 1, rows);
    (store, cluster.expect("a cluster"))
}

#[test]
fn beside_a_writer_and_over_it_only_when_it_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    std::fs::create_dir(&state).expect("a folder");
    let (store, cluster) = begun(&state);
    let file = folder.path().join("b");
    let file = file.to_str().expect("a path of text");
    let done = Arc::new(AtomicBool::new(false));
    let writing = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut revision = 1;
            while !done.load(Ordering::Relaxed) {
                revision += 1;
                let record = Arc::new(ClusterRecord { revision, ..cluster.clone() });
                commit(&store, revision, vec![Change::ClusterPut { record }]);
            }
            (store, revision)
        }
    });
    for _ in 0..5 {
        let _ = std::fs::remove_file(file);
        let made = orcad(&state, &["create", file]);
        assert_eq!(code(&made), 0, "{}", String::from_utf8_lossy(&made.stderr));
        assert_eq!(code(&orcad(&state, &["verify", file])), 0);
    }
    let refused = orcad(&state, &["restore", "--yes", file]);
    assert_eq!(code(&refused), 1);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is in use by another orcad"));

    done.store(true, Ordering::Relaxed);
    let (store, reached) = writing.join().expect("no panic");
    let kept = Manager::load(store.load().expect("rows"));
    assert_eq!(kept.revision(), reached, "the writer lost nothing by it");
    drop(store);
    let restored = orcad(&state, &["restore", "--yes", file]);
    assert_eq!(code(&restored), 0, "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(
        String::from_utf8_lossy(&restored.stdout).contains(&format!("revision {}, epoch 2", reached + 1))
    );
    let store = ManagerStore::open(&state.join("manager.db")).expect("the restored store");
    assert_eq!(Manager::load(store.load().expect("rows")).revision(), reached + 1);
}

#[test]
fn what_may_have_been_taken_back_since_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    std::fs::create_dir(&state).expect("a folder");
    let (store, cluster) = begun(&state);
    let raw = RawId::from_bytes([9; 10]);
    let (by, far) = (Peer::Local, Time::from_ms(4_000_000_000_000));
    let token = TokenRecord {
        id: TokenId::from_raw(raw),
        secret: "0".repeat(64),
        role: Role::Worker,
        node: None,
        created_at: cluster.created_at,
        expires_at: far,
        uses_left: 1,
        revoked: false,
        by: by.clone(),
    };
    let certificate = CertificateRecord {
        id: CertificateId::from_raw(raw),
        name: "anna".parse().expect("a name"),
        role: CertRole::Admin,
        created_at: cluster.created_at,
        expires_at: far,
        by,
        of_former_ca: false,
    };
    let changes = vec![
        Change::TokenPut { record: Arc::new(token) },
        Change::CertificatePut { record: Arc::new(certificate) },
    ];
    commit(&store, 2, changes);
    drop(store);
    let file = folder.path().join("b");
    let file = file.to_str().expect("a path of text");
    assert_eq!(code(&orcad(&state, &["create", file])), 0);
    let restored = orcad(&state, &["restore", "--yes", file]);
    assert_eq!(code(&restored), 0);
    let said = String::from_utf8_lossy(&restored.stderr);
    assert!(said.contains("1 join token of the backup is not brought back"), "{said}");
    assert!(said.contains("1 certificate of people or programs is good again"), "{said}");
    assert!(!said.contains("other node"), "{said}");
    let store = ManagerStore::open(&state.join("manager.db")).expect("the restored store");
    let manager = Manager::load(store.load().expect("rows"));
    let left = manager.admits(cluster.created_at);
    assert_eq!((left.tokens, left.people), (0, 1));
}

#[test]
fn exit_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path of text").to_owned();
    assert_eq!(code(&orcad(folder.path(), &["create"])), 1, "there is no store");
    drop(begun(folder.path()));
    assert_eq!(code(&orcad(folder.path(), &["create", "--keep", "3"])), 0);
    assert_eq!(code(&orcad(folder.path(), &["create", &path("b")])), 0);
    assert_eq!(code(&orcad(folder.path(), &["create", &path("b")])), 1, "the name is taken");
    assert_eq!(code(&orcad(folder.path(), &["create", "--keep", "3", &path("c")])), 64);
    assert_eq!(code(&orcad(folder.path(), &["inspect", "-o", "json", &path("b")])), 0);
    assert_eq!(code(&orcad(folder.path(), &["restore", &path("b")])), 64, "nobody to ask");
    let whole = std::fs::read(path("b")).expect("a backup");
    std::fs::write(path("half"), &whole[..whole.len() / 2]).expect("a file");
    assert_eq!(code(&orcad(folder.path(), &["verify", &path("half")])), 1);
    let newer = rusqlite::Connection::open(path("b")).expect("a backup");
    newer.pragma_update(None, "user_version", 99).expect("a schema");
    drop(newer);
    assert_eq!(code(&orcad(folder.path(), &["verify", &path("b")])), 78);
    assert_eq!(code(&orcad(folder.path(), &["restore", "--yes", &path("b")])), 78);
}
