//! Backups against real stores: made while it is written, restored over damage, and refused where they are none.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orca_api::id::{IdSource, RawId};
use orca_api::link::Generation;
use orca_api::node::Role;
use orca_api::units::Time;
use orca_core::Now;
use orca_core::manager::record::ClusterRecord;
use orca_core::manager::{Change, Manager, Replaced};

use super::authority::{Recovery, SEALED, show_key};
use super::restore::{Consent, restore as restore_with};
use super::{BackupError, create, store_of, verify};
use crate::args::InspectFormat;
use crate::pki::ca::Ca;
use crate::store::{EventFilter, EventPlace, ManagerStore, StoreError};

struct Counted(u8);

impl IdSource for Counted {
    fn next_id(&mut self) -> RawId {
        self.0 += 1;
        RawId::from_bytes([self.0; 10])
    }
}

const NOW: Time = Time::from_ms(1_764_000_000_000);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A state folder whose store is that of a first start.
fn begun() -> (tempfile::TempDir, ManagerStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = ManagerStore::open(&store_of(folder.path())).unwrap();
    let rows = Manager::bootstrap(
        &mut Counted(0),
        Now { wall: NOW, boot_ms: 0 },
        "n1".parse().unwrap(),
        vec![Role::Manager, Role::Worker],
    );
    block_on(store.commit(vec![(1, rows)])).unwrap();
    (folder, store)
}

/// Goes on to a revision.
fn reach(store: &ManagerStore, revision: u64) {
    let cluster = store.load().unwrap().into_iter().find_map(|change| match change {
        Change::ClusterPut { record } => Some(ClusterRecord { revision, ..ClusterRecord::clone(&record) }),
        _ => None,
    });
    let change = Change::ClusterPut { record: Arc::new(cluster.unwrap()) };
    block_on(store.commit(vec![(revision, vec![change])])).unwrap();
}

fn back_up(state: &Path, to: &Path) {
    create::create(state, Some(to.to_owned()), None, NOW, &mut Vec::new()).unwrap();
}

fn restore(state: &Path, file: &Path, consent: Consent, out: &mut Vec<u8>) -> Result<(), BackupError> {
    restore_with(state, file, consent, &Recovery::Here, out)
}

fn manager(state: &Path) -> Manager {
    Manager::load(ManagerStore::open(&store_of(state)).unwrap().load().unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn code(result: Result<(), BackupError>) -> u8 {
    let error = result.unwrap_err();
    assert!(error.render().starts_with("error: ") && error.hint().is_some(), "{}", error.render());
    error.exit_code()
}

#[test]
fn made_while_the_store_is_written_each_is_a_prefix() {
    let (folder, store) = begun();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut revision = 1;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                revision += 1;
                reach(&store, revision);
            }
            revision
        }
    });
    let mut last = 0;
    for n in 0..20 {
        let to = folder.path().join(format!("b{n}"));
        back_up(folder.path(), &to);
        let summary = verify::open(&to).unwrap().summary().unwrap();
        assert!(summary.revision >= last, "{} after {last}", summary.revision);
        last = summary.revision;
        verify::verify(&to, &mut Vec::new()).unwrap();
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writing.join().unwrap() >= last);
}

#[test]
fn a_backup_is_one_private_file_and_the_older_ones_go() {
    let (folder, store) = begun();
    let mut said = Vec::new();
    for second in 0..4 {
        create::create(folder.path(), None, Some(2), Time::from_ms(NOW.ms() + second * 1000), &mut said)
            .unwrap();
    }
    let backups = folder.path().join("backups");
    assert_eq!(names(&backups), ["orca-20251124T160002Z.db", "orca-20251124T160003Z.db"]);
    assert_eq!(std::fs::metadata(&backups).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(
        std::fs::metadata(backups.join("orca-20251124T160003Z.db")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.lines().all(|l| l.contains("backups/orca-2025") && l.contains("revision 1, 1 node, 0 tasks")),
        "{said}"
    );
    // The same instant again, a name that is taken, and a count over a file.
    assert_eq!(
        code(create::create(folder.path(), None, None, Time::from_ms(NOW.ms() + 3000), &mut Vec::new())),
        1
    );
    assert_eq!(
        code(create::create(folder.path(), Some(folder.path().join("x")), Some(1), NOW, &mut Vec::new())),
        64
    );
    drop(store);
}

#[test]
fn restored_it_is_newer_than_everything_and_the_old_store_is_kept() {
    let (folder, store) = begun();
    let backup = folder.path().join("b");
    reach(&store, 10);
    back_up(folder.path(), &backup);
    reach(&store, 57);
    assert_eq!(
        code(restore(folder.path(), &backup, Consent::Given, &mut Vec::new())),
        1,
        "a daemon holds the lock"
    );
    drop(store);
    assert_eq!(
        code(restore(folder.path(), &backup, Consent::Ask, &mut Vec::new())),
        64,
        "tests have no terminal"
    );
    assert_eq!(manager(folder.path()).revision(), 57, "nothing was touched");

    let mut said = Vec::new();
    restore(folder.path(), &backup, Consent::Given, &mut said).unwrap();
    assert!(String::from_utf8(said).unwrap().contains("revision 58, epoch 2"));
    let restored = manager(folder.path());
    assert_eq!(restored.reached(), Replaced::At { epoch: 2, revision: 58 });
    let node = restored.first_node().unwrap();
    assert_eq!(restored.generation(node), Some(Generation { epoch: 2, n: 0 }));
    let store = ManagerStore::open(&store_of(folder.path())).unwrap();
    let events = block_on(store.events(EventPlace::default(), 10, EventFilter::default())).unwrap();
    assert_eq!(events.last().map(|e| (e.kind.as_str(), e.revision)), Some(("cluster.restored", 58)));
    drop(store);

    let aside: Vec<_> = names(folder.path()).into_iter().filter(|n| n.contains(".before-restore-")).collect();
    assert_eq!(aside.len(), 1);
    let kept = verify::open(&folder.path().join(&aside[0])).unwrap().summary().unwrap();
    assert_eq!((kept.revision, kept.epoch), (57, 1));
    assert!(!names(folder.path()).iter().any(|n| n.contains(".restoring")), "{:?}", names(folder.path()));
}

/// As a kill leaves them: the store and its log, while the writer has them open.
fn killed(revision: u64) -> (tempfile::TempDir, PathBuf) {
    let (from, store) = begun();
    let to = tempfile::tempdir().unwrap();
    back_up(from.path(), &to.path().join("b"));
    reach(&store, revision);
    for name in ["manager.db", "manager.db-wal"] {
        std::fs::copy(from.path().join(name), to.path().join(name)).unwrap();
    }
    assert!(std::fs::metadata(to.path().join("manager.db-wal")).unwrap().len() > 0);
    let backup = to.path().join("b");
    (to, backup)
}

#[test]
fn a_log_of_the_old_store_is_not_played_into_the_restored_one() {
    let (folder, backup) = killed(9);
    restore(folder.path(), &backup, Consent::Given, &mut Vec::new()).unwrap();
    assert_eq!(manager(folder.path()).reached(), Replaced::At { epoch: 2, revision: 10 });
}

#[test]
fn a_damaged_store_is_kept_with_its_log_and_both_give_way() {
    for content in [b"SQLite format 3\0 and no more".to_vec(), vec![0xA5; 8192], Vec::new()] {
        let (folder, backup) = killed(9);
        std::fs::write(folder.path().join("manager.db"), &content).unwrap();
        std::fs::write(folder.path().join("manager.db-shm"), "stale").unwrap();
        restore(folder.path(), &backup, Consent::Given, &mut Vec::new()).unwrap();
        let Replaced::At { epoch, revision } = manager(folder.path()).reached() else { panic!("no cluster") };
        assert!(epoch > 1_000_000_000 && revision > 1_000_000, "epoch {epoch}, revision {revision}");
        let kept: Vec<_> =
            names(folder.path()).into_iter().filter(|n| n.contains(".before-restore-")).collect();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!(std::fs::read(folder.path().join(&kept[0])).unwrap(), content);
    }
}

#[test]
fn over_a_store_that_is_gone_too() {
    let (folder, backup) = killed(9);
    std::fs::remove_file(folder.path().join("manager.db")).unwrap();
    restore(folder.path(), &backup, Consent::Given, &mut Vec::new()).unwrap();
    assert!(manager(folder.path()).revision() > 1_000_000);
}

#[test]
fn what_is_no_whole_backup_is_refused_everywhere() {
    let (folder, store) = begun();
    let good = folder.path().join("good");
    back_up(folder.path(), &good);
    drop(store);
    let whole = std::fs::read(&good).unwrap();
    let file = folder.path().join("bad");
    let mut scribbled = whole.clone();
    scribbled[4096..8192].fill(0xA5);
    let cases = [
        whole[..whole.len() / 2].to_vec(),
        whole[..whole.len() - 4096].to_vec(),
        whole[..60].to_vec(),
        scribbled,
        b"[docker]\nsocket = \"/x\"\n".repeat(9),
        Vec::new(),
    ];
    let before = manager(folder.path());
    for (n, content) in cases.iter().enumerate() {
        std::fs::write(&file, content).unwrap();
        assert_eq!(code(verify::verify(&file, &mut Vec::new())), 1, "{n}");
        assert_eq!(code(restore(folder.path(), &file, Consent::Given, &mut Vec::new())), 1, "{n}");
        assert!(manager(folder.path()).same_durable(&before), "{n}");
        assert_eq!(&std::fs::read(&file).unwrap(), content, "{n}");
    }
    // One of another kind, one that is not there, one in use.
    let other = rusqlite::Connection::open(folder.path().join("photos")).unwrap();
    other.execute_batch("CREATE TABLE photos (id INTEGER)").unwrap();
    let foreign = verify::verify(&folder.path().join("photos"), &mut Vec::new());
    assert!(matches!(foreign, Err(BackupError::Unusable { source: StoreError::Foreign { .. }, .. })));
    assert_eq!(code(verify::verify(&folder.path().join("nothing"), &mut Vec::new())), 1);
    std::fs::write(folder.path().join("good-wal"), "a log").unwrap();
    assert_eq!(code(verify::verify(&good, &mut Vec::new())), 1);
}

#[test]
fn a_newer_schema_is_told_apart() {
    let (folder, store) = begun();
    let file = folder.path().join("b");
    back_up(folder.path(), &file);
    drop(store);
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(code(verify::verify(&file, &mut Vec::new())), 78);
    assert_eq!(code(verify::inspect(&file, InspectFormat::Table, &mut Vec::new())), 78);
    assert_eq!(code(restore(folder.path(), &file, Consent::Given, &mut Vec::new())), 78);
    let store = store_of(folder.path());
    rusqlite::Connection::open(&store).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(
        code(create::create(folder.path(), Some(folder.path().join("c")), None, NOW, &mut Vec::new())),
        78
    );
    assert!(!names(folder.path()).iter().any(|n| n.starts_with('c')), "nothing is left of it");
}

#[test]
fn what_is_in_it_for_people_and_programs() {
    let (folder, _store) = begun();
    let file = folder.path().join("b");
    back_up(folder.path(), &file);
    let (mut table, mut json) = (Vec::new(), Vec::new());
    verify::inspect(&file, InspectFormat::Table, &mut table).unwrap();
    verify::inspect(&file, InspectFormat::Json, &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(
        (&json["revision"], &json["nodes"], &json["epoch"], &json["schema"]),
        (&1.into(), &1.into(), &1.into(), &3.into())
    );
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains(&format!("cluster       {}\n", json["cluster"].as_str().unwrap())), "{table}");
}

/// A state folder with an authority, and a backup of it in another folder.
fn with_authority() -> (tempfile::TempDir, Ca, tempfile::TempDir, PathBuf) {
    let (folder, store) = begun();
    let backup = tempfile::tempdir().unwrap();
    let cluster = manager_of(&store).cluster().unwrap();
    drop(store);
    let ca = Ca::load_or_create(folder.path(), cluster, NOW).unwrap();
    let file = backup.path().join("b");
    back_up(folder.path(), &file);
    (folder, ca, backup, file)
}

fn manager_of(store: &ManagerStore) -> Manager {
    Manager::load(store.load().unwrap())
}

#[test]
fn the_authority_is_in_it_sealed_and_comes_back_without_typing_where_the_key_is() {
    let (folder, ca, _keep, file) = with_authority();
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(11).any(|w| w == b"PRIVATE KEY"), "no key in clear");
    assert!(verify::open(&file).unwrap().attachment(SEALED).unwrap().is_some());
    verify::verify(&file, &mut Vec::new()).unwrap();
    // What is there of this cluster stays, also a newer one.
    let newer = ca.rotated(NOW).unwrap();
    newer.save(folder.path()).unwrap();
    restore(folder.path(), &file, Consent::Given, &mut Vec::new()).unwrap();
    assert_eq!(Ca::load(folder.path()).unwrap().unwrap().digest(), newer.digest());
    // Lost, it comes back.
    std::fs::remove_dir_all(folder.path().join("ca")).unwrap();
    for name in names(folder.path()).iter().filter(|n| n.contains("before-restore")) {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    restore(folder.path(), &file, Consent::Given, &mut Vec::new()).unwrap();
    assert_eq!(Ca::load(folder.path()).unwrap().unwrap().digest(), ca.digest());
    // The store that goes on does not carry it.
    let store = rusqlite::Connection::open(store_of(folder.path())).unwrap();
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'attachment'";
    assert_eq!(store.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn another_machine_needs_the_recovery_key_or_does_without_the_authority() {
    let (folder, ca, keep, file) = with_authority();
    let mut shown = Vec::new();
    show_key(folder.path(), &mut shown).unwrap();
    let key = keep.path().join("key");
    std::fs::write(&key, &shown).unwrap();
    let wrong = keep.path().join("wrong");
    std::fs::write(&wrong, crate::pki::seal::RecoveryKey::from_bytes([1; 32]).text().as_bytes()).unwrap();
    // A machine that has begun a cluster of its own, with its own authority.
    let (other, store) = begun();
    drop(store);
    let foreign = orca_api::id::ClusterId::fresh(&mut Counted(90));
    let own = Ca::load_or_create(other.path(), foreign, NOW).unwrap();
    let before = manager(other.path());
    let with = |recovery| restore_with(other.path(), &file, Consent::Given, &recovery, &mut Vec::new());
    assert!(matches!(with(Recovery::Here), Err(BackupError::NoRecoveryKey(_))));
    assert_eq!(code(with(Recovery::File(wrong))), 1);
    assert_eq!(code(show_key(other.path(), &mut Vec::new())), 1);
    assert!(manager(other.path()).same_durable(&before), "nothing was touched");
    assert_eq!(Ca::load(other.path()).unwrap().unwrap().digest(), own.digest());
    with(Recovery::File(key)).unwrap();
    assert_eq!(Ca::load(other.path()).unwrap().unwrap().digest(), ca.digest());
    assert!(names(other.path()).iter().any(|n| n.starts_with("ca.old-")), "{:?}", names(other.path()));
    let mut again = Vec::new();
    show_key(other.path(), &mut again).unwrap();
    assert_eq!(again, shown, "the next backup of this machine opens with the same key");
    let (bare, store) = begun();
    drop(store);
    restore_with(bare.path(), &file, Consent::Given, &Recovery::Without, &mut Vec::new()).unwrap();
    assert!(Ca::load(bare.path()).unwrap().is_none());
}
