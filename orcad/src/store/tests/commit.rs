//! Commits: wholly there or wholly absent, on a full disk and under a kill as well.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use orca_api::id::TaskId;
use orca_api::task::Wanted;
use orca_api::units::Time;
use orca_core::manager::Change;

use super::{added, audited, block_on, cluster, event, node, raw, task};
use crate::store::lock::StoreLock;
use crate::store::manager_rows::ManagerRows;
use crate::store::reserve::Reserve;
use crate::store::writer::{Rows, Writer};
use crate::store::{CommitError, EventFilter, EventPlace, ManagerStore, sqlite};

#[test]
fn history_is_read_from_a_place_on_and_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let store = ManagerStore::open(&folder.path().join("manager.db")).unwrap();
    block_on(async {
        let batch =
            (1..=5u64).map(|r| (r, vec![added(r, 0, Some(1)), added(r, 1, Some(2)), audited(r, r as i64)]));
        let info = store.commit(batch.collect()).await.unwrap();
        assert_eq!((info.revision, info.changes, info.spent_reserve), (5, 15, false));

        let all = EventFilter::default();
        let after = store.events(EventPlace { revision: 2, index: 0 }, 3, all).await.unwrap();
        assert_eq!(after, [event(2, 1, Some(2)), event(3, 0, Some(1)), event(3, 1, Some(2))]);
        let of_task = EventFilter { task: Some(TaskId::from_raw(raw(2))), node: None };
        let newest = store.newest(2, of_task).await.unwrap();
        assert_eq!(newest, [event(4, 1, Some(2)), event(5, 1, Some(2))]);
        assert_eq!(store.audit(1).await.unwrap()[0].revision, 5);

        let trim = Change::EventsTrimmed { before: 4, audited_before: Time::from_ms(3) };
        store.commit(vec![(6, vec![trim])]).await.unwrap();
        let first = store.events(EventPlace::default(), 100, all).await.unwrap();
        assert_eq!((first.len(), first[0].revision), (4, 4));
        assert_eq!(store.audit(100).await.unwrap().len(), 3);
        assert!(store.load().unwrap().is_empty(), "history is not loaded");
    });
}

#[test]
fn a_full_disk_is_a_known_rollback_and_the_reserve_pays_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let lock = StoreLock::take(&path).unwrap();
    let connection = sqlite::open(&path, &ManagerRows::KIND).unwrap();
    let pages: u32 = connection.pragma_query_value(None, "page_count", |r| r.get(0)).unwrap();
    connection.pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(())).unwrap();
    let reserve = Arc::new(Reserve::of(&path, 1 << 20));
    reserve.refill();
    let writer = Writer::<ManagerRows>::start(&path, connection, lock, Arc::clone(&reserve)).unwrap();
    block_on(async {
        writer.commit(vec![(1, vec![cluster(1), task(1, 1, Wanted::Running)])]).await.unwrap();
        let mut big = vec![cluster(2), Change::TaskGone { task: TaskId::from_raw(raw(1)) }];
        big.extend((0..2000).map(|i| added(2, i, Some(1))));
        let refused = writer.commit(vec![(2, big)]).await;
        assert!(matches!(refused, Err(CommitError::Full)), "{refused:?}");
        assert!(reserve.space().unwrap().scarce, "the reserve was given up");
        // The store goes on: what frees space is taken.
        writer.commit(vec![(2, vec![cluster(2)])]).await.unwrap();
    });
    drop(writer);
    let store = ManagerStore::open(&path).unwrap();
    assert_eq!(
        store.load().unwrap(),
        [cluster(2), task(1, 1, Wanted::Running)],
        "nothing of the full batch is there"
    );
}

/// A small file system of its own, gone with its folder.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|s| s.success()).then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _done = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_is_really_full_keeps_what_was_committed_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not run: mounting a small file system needs root");
        return;
    };
    let path = disk.0.path().join("manager.db");
    let store = ManagerStore::open(&path).unwrap();
    assert!(!store.space().unwrap().scarce);
    let mut stored = 0;
    block_on(async {
        for round in 0..5u64 {
            let filler = disk.0.path().join("filler");
            let _full = std::fs::write(&filler, vec![1; 16 << 20]);
            assert!(store.space().unwrap().scarce);
            let (mut paid, mut refused) = (false, false);
            for revision in stored + 1..stored + 2000 {
                let mut changes = vec![cluster(revision)];
                changes.extend((0..20).map(|i| added(revision, i, Some(1))));
                match store.commit(vec![(revision, changes)]).await {
                    Ok(info) => {
                        stored = revision;
                        paid |= info.spent_reserve;
                    }
                    Err(CommitError::Full) => {
                        refused = true;
                        break;
                    }
                    Err(e) => panic!("{e}: {e:?}"),
                }
            }
            assert!(paid && refused, "round {round}: paid {paid}, refused {refused}");
            assert_eq!(store.load().unwrap(), [cluster(stored)]);
            // Deletes come through again as soon as there is any space, and the reserve is made again.
            std::fs::remove_file(&filler).unwrap();
            let trim = Change::EventsTrimmed { before: stored + 1, audited_before: Time::from_ms(0) };
            stored += 1;
            store.commit(vec![(stored, vec![cluster(stored), trim])]).await.unwrap();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while store.space().unwrap().scarce {
                assert!(std::time::Instant::now() < deadline, "the reserve should be made again");
                store.commit(vec![(stored, vec![cluster(stored)])]).await.unwrap();
            }
        }
    });
    drop(store);
    assert_eq!(ManagerStore::open(&path).unwrap().load().unwrap(), [cluster(stored)]);
}

#[test]
fn a_defect_is_no_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let lock = StoreLock::take(&path).unwrap();
    let connection = sqlite::open(&path, &ManagerRows::KIND).unwrap();
    connection.execute_batch("DROP TABLE node").unwrap();
    let writer =
        Writer::<ManagerRows>::start(&path, connection, lock, Arc::new(Reserve::of(&path, 1 << 20))).unwrap();
    let failed = block_on(writer.commit(vec![(1, vec![node(1, 1)])]));
    assert!(matches!(failed, Err(CommitError::Failed { .. })), "{failed:?}");
}

/// The variable that makes this test's own binary the process to be killed.
const CHILD: &str = "ORCA_STORE_TEST_CHILD";

#[test]
fn a_kill_loses_no_commit_and_halves_none() {
    if let Some(path) = std::env::var_os(CHILD) {
        commit_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manager.db");
    let mut acknowledged = 0;
    for round in 1..=5u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::commit::a_kill_loses_no_commit_and_halves_none", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let numbers =
            lines.filter_map(|line| line.strip_prefix("committed ").and_then(|n| n.parse::<u64>().ok()));
        let last = numbers.take(17 * round as usize).last();
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = last.expect("the child commits").max(acknowledged);

        let store = ManagerStore::open(&path).unwrap();
        let Some(Change::ClusterPut { record }) = store.load().unwrap().into_iter().next() else {
            panic!("no cluster")
        };
        assert!(record.revision >= acknowledged, "{} < {acknowledged}", record.revision);
        let events = block_on(store.events(EventPlace::default(), u32::MAX, EventFilter::default())).unwrap();
        let places: Vec<_> = events.iter().map(|e| (e.revision, e.index)).collect();
        let wanted: Vec<_> = (1..=record.revision).flat_map(|r| [(r, 0), (r, 1)]).collect();
        assert_eq!(places, wanted, "a commit is wholly there or wholly absent");
        acknowledged = record.revision;
    }
}

fn commit_for_ever(path: &Path) -> ! {
    let store = ManagerStore::open(path).unwrap();
    let mut revision = match store.load().unwrap().first() {
        Some(Change::ClusterPut { record }) => record.revision,
        _ => 0,
    };
    loop {
        revision += 1;
        let changes = vec![added(revision, 0, Some(1)), cluster(revision), added(revision, 1, None)];
        block_on(store.commit(vec![(revision, changes)])).unwrap();
        println!("committed {revision}");
    }
}
