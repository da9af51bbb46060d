//! Files that are not as they should be: refused as they are, with a word on what to do.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{block_on, cluster, node};
use crate::store::{ManagerStore, StoreError, WorkerStore};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    (folder, path)
}

fn filled(path: &Path) {
    let store = ManagerStore::open(path).unwrap();
    block_on(store.commit(vec![(1, vec![cluster(1), node(1, 1)])])).unwrap();
}

/// Opens, expects a refusal, and expects every byte to be as before.
fn refused(path: &Path) -> StoreError {
    let before = std::fs::read(path).ok();
    let error = ManagerStore::open(path).err().expect("it should be refused");
    assert_eq!(std::fs::read(path).ok(), before, "a refused file was changed");
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn a_new_store_is_empty_private_and_leaves_no_log() {
    let (folder, path) = folder();
    let store = ManagerStore::open(&path).unwrap();
    assert_eq!(store.load().unwrap(), []);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    block_on(store.commit(vec![(1, vec![cluster(1)])])).unwrap();
    assert!(store.size() > 0);
    drop(store);
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["manager.db", "manager.db.lock", "manager.db.reserve"]);
}

#[test]
fn a_store_has_one_process() {
    let (_folder, path) = folder();
    let first = ManagerStore::open(&path).unwrap();
    let error = ManagerStore::open(&path).err().unwrap();
    assert!(
        matches!(error, StoreError::InUse { holder: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    drop(first);
    ManagerStore::open(&path).unwrap();
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let (_folder, path) = folder();
    filled(&path);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    let error = refused(&path);
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error}");
    assert!(error.needs_a_person());
}

#[test]
fn a_newer_schema_in_the_log_is_refused_and_the_log_kept() {
    let (folder, path) = folder();
    filled(&path);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    // As a kill leaves it: file and log are copied while the writer has them open.
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let (log, copied_log) = (folder.path().join("manager.db-wal"), folder.path().join("copy.db-wal"));
    std::fs::copy(&log, &copied_log).unwrap();
    let log_before = std::fs::read(&copied_log).unwrap();
    assert!(!log_before.is_empty());
    let error = refused(&copy);
    assert!(matches!(error, StoreError::TooNew { found: 99, .. }), "{error}");
    assert_eq!(std::fs::read(&copied_log).unwrap(), log_before);
}

#[test]
fn what_is_no_store_is_named() {
    let (_folder, path) = folder();
    std::fs::write(&path, "[orcad]\nrole = \"manager\"\n".repeat(20)).unwrap();
    assert!(matches!(refused(&path), StoreError::Foreign { .. }));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(refused(&path), StoreError::Damaged { .. }));
    std::fs::write(&path, "SQLite format 3\0").unwrap();
    assert!(matches!(refused(&path), StoreError::Damaged { .. }));
    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE photos (id INTEGER)").unwrap();
    drop(other);
    assert!(matches!(refused(&path), StoreError::Foreign { .. }));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(ManagerStore::open(&path).is_err());
}

#[test]
fn the_stores_are_told_apart() {
    let (_folder, path) = folder();
    drop(WorkerStore::open(&path).unwrap());
    let error = refused(&path);
    assert!(matches!(error, StoreError::Foreign { wanted: "manager", .. }), "{error}");
}

#[test]
fn a_truncated_or_scribbled_store_is_damaged() {
    let (_folder, path) = folder();
    filled(&path);
    let whole = std::fs::read(&path).unwrap();
    for keep in [whole.len() / 2, whole.len() - 4096, 8192] {
        std::fs::write(&path, &whole[..keep]).unwrap();
        let error = refused(&path);
        assert!(matches!(error, StoreError::Damaged { .. }), "{keep}: {error:?}");
    }
    let mut scribbled = whole.clone();
    let second = &mut scribbled[4096..8192];
    second.fill(0xA5);
    std::fs::write(&path, &scribbled).unwrap();
    assert!(matches!(refused(&path), StoreError::Damaged { .. }));
}

#[test]
fn a_log_without_its_store_is_no_first_start() {
    let (folder, path) = folder();
    std::fs::write(folder.path().join("manager.db-wal"), "something").unwrap();
    assert!(matches!(refused(&path), StoreError::Damaged { .. }));
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let (folder, path) = folder();
    std::fs::write(folder.path().join("manager.db.new"), "half").unwrap();
    std::fs::write(folder.path().join("manager.db.new-journal"), "half").unwrap();
    filled(&path);
    assert_eq!(ManagerStore::open(&path).unwrap().load().unwrap().len(), 2);
}

#[test]
fn a_row_that_cannot_be_read_is_named() {
    let (_folder, path) = folder();
    filled(&path);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE node SET doc = '{}'", []).unwrap();
    drop(connection);
    let error = ManagerStore::open(&path).unwrap().load().unwrap_err();
    assert!(matches!(error, StoreError::BadRow { table: "node", .. }), "{error}");
}

#[test]
fn a_workers_broken_store_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worker.db");
    let newer = {
        drop(WorkerStore::open(&path).unwrap());
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        std::fs::read(&path).unwrap()
    };
    for content in [b"".to_vec(), b"nonsense".repeat(100), newer] {
        std::fs::write(&path, &content).unwrap();
        let store = WorkerStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), []);
        let aside = store.moved_aside().expect("it was moved").to_owned();
        assert_eq!(std::fs::read(&aside).unwrap(), content);
        std::fs::remove_file(aside).unwrap();
    }
}
