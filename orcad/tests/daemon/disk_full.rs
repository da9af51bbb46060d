//! A full disk: creates are refused, reads, stops and removes go on, and when there is room again everything does.
//!
//! It needs a small file system of its own, and so root; elsewhere it says that it was skipped.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::running::{Running, SOON, task};

/// A small file system that is unmounted when it is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(folder.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Takes all space that is left.
fn fill(folder: &Path) {
    let mut file = std::fs::File::create(folder.join("ballast")).expect("a file");
    while file.write_all(&[0; 4096]).is_ok() {}
}

#[tokio::test]
async fn a_full_disk_is_survived() {
    let Some(small) = Small::mount() else {
        eprintln!("skipped: a file system of its own needs root");
        return;
    };
    let folder = tempfile::tempdir_in(small.0.path()).expect("a folder");
    let daemon = Running::start_in(folder).await;
    assert_eq!(daemon.json("POST", "/v1/tasks", Some(task("before"))).await.0, 201);
    fill(small.0.path());

    let full = async {
        for i in 0.. {
            let (status, answer) = daemon.json("POST", "/v1/tasks", Some(task(&format!("t{i}")))).await;
            if status != 201 {
                return (i, status, answer);
            }
        }
        unreachable!("it is full some time")
    };
    let (made, status, answer) = tokio::time::timeout(SOON, full).await.expect("it is full soon");
    assert_eq!((status, answer["code"].as_str()), (507, Some("ORCA-4001")), "{answer}");
    let (_, list) = daemon.json("GET", "/v1/tasks", None).await;
    assert_eq!(
        list["items"].as_array().map(Vec::len),
        Some(made + 1),
        "what was refused is not there: {list}"
    );
    assert_eq!(daemon.json("POST", "/v1/tasks/before/stop", None).await.0, 200, "a stop goes on");

    std::fs::remove_file(small.0.path().join("ballast")).expect("it is there");
    let room = async {
        while daemon.json("POST", "/v1/tasks", Some(task("after"))).await.0 != 201 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, room).await.expect("creates go on once there is room");
    drop(daemon.stopped().await);
}
