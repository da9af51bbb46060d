//! A folder whose files change as one: a reader, and whoever comes after a crash, sees all of the old or all of the new.
//!
//! ```text
//!   NAME.part   being written            a crash: removed
//!   NAME.new    whole and on disk        a crash: the change goes on      ◄── the rename to it is the decision
//!   NAME        in force
//!   NAME.old    replaced                 a crash: removed, or kept as NAME.old-<stamp> where the new one says so
//! ```
//!
//! Renames of a folder over a filled one do not exist, and exchanging two names is not offered by every file system, so
//! the change has these steps; [`settle`] finishes what a crash left, and comes before every reading.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file of the new folder that says under which stamp the former is kept. It goes when the change is done.
const KEEP: &str = ".keep-former";

/// What becomes of the files that are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former<'a> {
    /// They are removed.
    Forgotten,
    /// They are kept as `NAME.old-<stamp>`.
    Kept {
        /// Letters, digits and `-`.
        stamp: &'a str,
    },
}

/// An operation on files that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct FolderError {
    /// What was tried.
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The system's word.
    #[source]
    pub source: io::Error,
}

impl FolderError {
    /// For `map_err`.
    pub fn of(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }
}

/// Called before each step; tests stop there as a crash would.
type Stop<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Replaces the folder `name` of the state folder, or makes it. Files are for their owner alone.
///
/// # Errors
/// A file operation failed. The folder is then the old one, or after [`settle`] the new one, and never in between.
pub fn replace(
    state: &Path,
    name: &str,
    files: &[(&str, &[u8])],
    former: Former<'_>,
) -> Result<(), FolderError> {
    replace_until(state, name, files, former, &mut || Ok(()))
}

fn replace_until(
    state: &Path,
    name: &str,
    files: &[(&str, &[u8])],
    former: Former<'_>,
    stop: Stop<'_>,
) -> Result<(), FolderError> {
    settle_until(state, name, stop)?;
    let part = at(state, name, ".part");
    let step = |stop: Stop<'_>| stop().map_err(FolderError::of("write", &part));
    step(stop)?;
    fs::DirBuilder::new().mode(0o700).create(&part).map_err(FolderError::of("make", &part))?;
    own(&part, state)?;
    let kept = match former {
        Former::Forgotten => None,
        Former::Kept { stamp } => Some((KEEP, stamp.as_bytes())),
    };
    for (file, content) in files.iter().copied().chain(kept) {
        step(stop)?;
        let path = part.join(file);
        write(&path, content)?;
        own(&path, state)?;
    }
    step(stop)?;
    sync(&part)?;
    step(stop)?;
    let new = at(state, name, ".new");
    fs::rename(&part, &new).map_err(FolderError::of("rename", &part))?;
    sync(state)?;
    roll_forward(state, name, stop)
}

/// Finishes what a crash left of a change.
///
/// # Errors
/// A file operation failed.
pub fn settle(state: &Path, name: &str) -> Result<(), FolderError> {
    settle_until(state, name, &mut || Ok(()))
}

fn settle_until(state: &Path, name: &str, stop: Stop<'_>) -> Result<(), FolderError> {
    remove(&at(state, name, ".part"))?;
    if at(state, name, ".new").is_dir() {
        return roll_forward(state, name, stop);
    }
    tidy(state, name)
}

fn roll_forward(state: &Path, name: &str, stop: Stop<'_>) -> Result<(), FolderError> {
    let (now, new, old) = (at(state, name, ""), at(state, name, ".new"), at(state, name, ".old"));
    let step = |stop: Stop<'_>| stop().map_err(FolderError::of("rename", &new));
    step(stop)?;
    if now.is_dir() {
        let aside = match fs::read_to_string(new.join(KEEP)) {
            Ok(stamp) => at(state, name, &format!(".old-{stamp}")),
            Err(_) => {
                remove(&old)?;
                old
            }
        };
        fs::rename(&now, &aside).map_err(FolderError::of("rename", &now))?;
        step(stop)?;
    }
    fs::rename(&new, &now).map_err(FolderError::of("rename", &new))?;
    sync(state)?;
    step(stop)?;
    tidy(state, name)
}

/// Removes what a finished change leaves.
fn tidy(state: &Path, name: &str) -> Result<(), FolderError> {
    let mark = at(state, name, "").join(KEEP);
    match fs::remove_file(&mark) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(FolderError::of("remove", &mark)(e)),
        _ => {}
    }
    if at(state, name, "").is_dir() {
        remove(&at(state, name, ".old"))?;
    }
    Ok(())
}

/// Takes the folder out of force and keeps it as `NAME.old-<stamp>`; where it is now, if there was one.
///
/// # Errors
/// A file operation failed, or that name is taken.
pub fn archive(state: &Path, name: &str, stamp: &str) -> Result<Option<PathBuf>, FolderError> {
    settle(state, name)?;
    let (now, aside) = (at(state, name, ""), at(state, name, &format!(".old-{stamp}")));
    match fs::rename(&now, &aside) {
        Ok(()) => sync(state).map(|()| Some(aside)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(FolderError::of("rename", &now)(e)),
    }
}

/// Writes one file as a whole: under another name, to disk, renamed. For its owner alone.
///
/// # Errors
/// A file operation failed; the file is then as it was.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), FolderError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    match fs::remove_file(&part) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(FolderError::of("remove", &part)(e)),
        _ => {}
    }
    write(&part, content)?;
    own(&part, folder)?;
    fs::rename(&part, path).map_err(FolderError::of("rename", &part))?;
    sync(folder)
}

fn at(state: &Path, name: &str, suffix: &str) -> PathBuf {
    state.join(format!("{name}{suffix}"))
}

fn write(path: &Path, content: &[u8]) -> Result<(), FolderError> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(FolderError::of("create", path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(FolderError::of("write", path))
}

fn sync(folder: &Path) -> Result<(), FolderError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(FolderError::of("write", folder))
}

fn remove(folder: &Path) -> Result<(), FolderError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(FolderError::of("remove", folder)(e)),
        _ => Ok(()),
    }
}

/// What root makes in the daemon's state folder belongs to the daemon.
fn own(path: &Path, state: &Path) -> Result<(), FolderError> {
    use std::os::unix::fs::MetadataExt as _;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let meta = fs::metadata(state).map_err(FolderError::of("read", state))?;
    std::os::unix::fs::chown(path, Some(meta.uid()), Some(meta.gid()))
        .map_err(FolderError::of("give away", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const OLD: &[(&str, &[u8])] = &[("a", b"old a"), ("b", b"old b")];
    const NEW: &[(&str, &[u8])] = &[("a", b"new a"), ("b", b"new b")];

    fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut all: Vec<_> = entries
            .map(|e| e.unwrap().path())
            .map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(p).unwrap()))
            .collect();
        all.sort();
        all
    }

    fn owned(files: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        files.iter().map(|(n, c)| ((*n).to_owned(), c.to_vec())).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        content_names(folder)
    }

    fn content_names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Stops at each step in turn, as a crash would, until none is left.
    fn crash_everywhere(first: bool, former: Former<'_>) {
        let (mut at_step, mut both) = (0, [false; 2]);
        loop {
            let state = tempfile::tempdir().unwrap();
            if !first {
                replace(state.path(), "x", OLD, Former::Forgotten).unwrap();
            }
            let mut left = at_step;
            let mut stop = || {
                if left == 0 {
                    return Err(io::Error::other("crash"));
                }
                left -= 1;
                Ok(())
            };
            let done = replace_until(state.path(), "x", NEW, former, &mut stop).is_ok();
            settle(state.path(), "x").unwrap();
            let now = content(&state.path().join("x"));
            let before = if first { Vec::new() } else { owned(OLD) };
            assert!(now == owned(NEW) || (!done && now == before), "step {at_step}: {now:?}");
            both[usize::from(now == owned(NEW))] = true;
            let kept = !first && now == owned(NEW) && former != Former::Forgotten;
            let mut expected: Vec<&str> = if now.is_empty() { Vec::new() } else { vec!["x"] };
            if kept {
                expected.push("x.old-7");
                assert_eq!(content(&state.path().join("x.old-7")), owned(OLD));
            }
            assert_eq!(names(state.path()), expected, "step {at_step}");
            // And the next change goes through.
            replace(state.path(), "x", NEW, Former::Forgotten).unwrap();
            assert_eq!(content(&state.path().join("x")), owned(NEW));
            if done {
                break;
            }
            at_step += 1;
        }
        assert!(at_step >= 7 && both == [true, true], "{at_step} {both:?}");
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_or_the_new() {
        crash_everywhere(false, Former::Forgotten);
        crash_everywhere(false, Former::Kept { stamp: "7" });
        crash_everywhere(true, Former::Forgotten);
        crash_everywhere(true, Former::Kept { stamp: "7" });
    }

    #[test]
    fn files_are_for_their_owner_alone_and_one_file_is_whole() {
        let state = tempfile::tempdir().unwrap();
        replace(state.path(), "x", NEW, Former::Forgotten).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state.path().join("x")), mode(&state.path().join("x/a"))), (0o700, 0o600));
        let file = state.path().join("k");
        fs::write(state.path().join("k.part"), "of a crash").unwrap();
        write_whole(&file, b"1").unwrap();
        write_whole(&file, b"2").unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"2".to_vec(), 0o600));
        assert_eq!(names(state.path()), ["k", "x"]);
    }

    #[test]
    fn an_archived_folder_is_kept_and_no_longer_in_force() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(archive(state.path(), "x", "1").unwrap(), None);
        replace(state.path(), "x", OLD, Former::Forgotten).unwrap();
        let aside = archive(state.path(), "x", "1").unwrap().unwrap();
        assert_eq!(content(&aside), owned(OLD));
        assert!(!state.path().join("x").exists());
    }
}
