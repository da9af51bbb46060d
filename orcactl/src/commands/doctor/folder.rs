//! The state folder: whose it is, and what is in it for a bad day. Only root can look into it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Finding, State};

/// Where the packaged unit has it.
pub(super) const STATE: &str = "/var/lib/orca";
/// Whose it is.
const OWNER: &str = "orca";
/// What the daemon must be able to open: its stores with their logs and locks.
const STORES: [&str; 2] = ["manager.db", "worker.db"];
/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 256;

/// Whether the daemon's user may use all of it; nothing where that cannot be told.
pub(super) fn rights() -> Option<Finding> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let owner = user_id(&users, OWNER)?;
    let folder = Path::new(STATE);
    let mut all = vec![folder.to_owned()];
    let entries = std::fs::read_dir(folder).ok()?.flatten().take(ENTRIES_MAX);
    // What else somebody put there is their business.
    let stores =
        entries.filter(|e| STORES.iter().any(|store| e.file_name().to_string_lossy().starts_with(store)));
    all.extend(stores.map(|entry| entry.path()));
    all.sort();
    let strange = all.iter().find_map(|path| {
        let uid = std::fs::symlink_metadata(path).ok()?.uid();
        (uid != owner).then(|| (path.clone(), uid))
    });
    Some(found(strange.map(|(path, uid)| (path, name_of(&users, uid)))))
}

fn found(strange: Option<(PathBuf, String)>) -> Finding {
    match strange {
        None => Finding::ok("state", format!("{STATE} is the user {OWNER}'s")),
        Some((path, user)) => {
            Finding::new("state", State::Wrong, format!("{} is {user}'s, not {OWNER}'s", path.display()))
                .remedy(format!("sudo chown -R {OWNER}:{OWNER} {STATE}, then: sudo systemctl start orcad"))
        }
    }
}

/// The newest backup, for a daemon that does not start.
pub(super) fn newest_backup() -> Option<Finding> {
    let folder = Path::new(STATE).join("backups");
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().take(ENTRIES_MAX);
    let newest = entries
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "db"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .max()?;
    let path = newest.1.display();
    let text = format!("what was done since the newest one is not in it: {path}");
    let remedy = format!("sudo orcad backup verify {path}; sudo orcad backup restore {path}");
    Some(Finding::new("backup", State::Warning, text).remedy(remedy))
}

/// `orca:x:996:996:orca daemon:/var/lib/orca:/usr/sbin/nologin`, as passwd(5) says.
fn user_id(users: &str, name: &str) -> Option<u32> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

fn name_of(users: &str, uid: u32) -> String {
    let of = |line: &str| line.split(':').nth(2)?.parse::<u32>().ok();
    let line = users.lines().find(|line| of(line) == Some(uid));
    line.and_then(|l| l.split(':').next()).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_it_is() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\norca:x:996:996::/var/lib/orca:/usr/sbin/nologin\nbroken\n";
        assert_eq!((user_id(users, "orca"), user_id(users, "ann")), (Some(996), None));
        assert_eq!((name_of(users, 0), name_of(users, 7)), ("root".to_owned(), "uid 7".to_owned()));
        assert_eq!(found(None).state, State::Ok);
        let finding = found(Some((PathBuf::from("/var/lib/orca/manager.db"), "root".to_owned())));
        assert_eq!(finding.state, State::Wrong);
        assert!(finding.text.contains("manager.db is root's"), "{finding:?}");
    }
}
