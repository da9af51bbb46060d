//! Free space of the state folder, and the reserve that pays for deletes and stops when there is none.
//!
//! A reserve file takes 5 % of the file system, at most 64 MiB (8 MiB for a worker's store). The first commit that
//! finds the disk full gives it up and is tried again. From then on space is *scarce*: the manager refuses to create
//! (507) while reads, stops and deletes go on in what the reserve gave. Once there is room for the reserve *and* the
//! mark, it is made again and the scarcity is over: two different marks, so that it does not flap.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Space is scarce below this share of the file system …
const SCARCE_SHARE: u64 = 20;
/// … where that is less than this: 5 % of a large disk is plenty.
const SCARCE_MAX: u64 = 256 << 20;
/// The reserve's share of the file system.
const RESERVE_SHARE: u64 = 20;

/// Space of the file system that the state folder is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that orcad may still write.
    pub free: u64,
    /// Bytes of the file system.
    pub total: u64,
    /// Less is free than the smaller of 5 % and 256 MiB, or the reserve is given up: nothing may be created.
    pub scarce: bool,
}

/// Where the reserve is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the disk.
    Held = 0,
    /// Given up; to be made again.
    Spent = 1,
    /// It cannot be made here for another reason than space: free space alone tells.
    Never = 2,
}

/// The reserve file of a store.
pub(super) struct Reserve {
    path: PathBuf,
    max: u64,
    place: AtomicU8,
}

impl Reserve {
    /// The reserve of a store: what an earlier life left of it, or none until [`Reserve::refill`].
    pub(super) fn of(store: &Path, max: u64) -> Self {
        let path = super::sqlite::beside(store, ".reserve");
        let left = std::fs::metadata(&path).is_ok_and(|m| m.len() > 0);
        let place = if left { Place::Held } else { Place::Spent };
        Self { path, max, place: AtomicU8::new(place as u8) }
    }

    /// Measures.
    pub(super) fn space(&self) -> std::io::Result<Space> {
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stat = statvfs(folder)?;
        let (free, total) =
            (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize));
        let scarce = free < mark(total) || self.is(Place::Spent);
        Ok(Space { free, total, scarce })
    }

    /// Whether it is given up and there is room for it.
    pub(super) fn wants_refill(&self, space: &Space) -> bool {
        self.is(Place::Spent) && space.free >= mark(space.total) + self.size(space.total)
    }

    /// Makes it, where there is room.
    pub(super) fn refill(&self) {
        let Ok(space) = self.space() else { return };
        if !self.wants_refill(&space) {
            return;
        }
        let size = self.size(space.total);
        match make(&self.path, size) {
            Ok(()) => self.set(Place::Held),
            Err(e) if is_full(&e) => self.remove(),
            Err(e) => {
                tracing::warn!(path = %self.path.display(), error = %e, "no reserve for a full disk can be kept");
                self.remove();
                self.set(Place::Never);
            }
        }
    }

    /// Gives it up; whether there was anything to give.
    pub(super) fn spend(&self) -> bool {
        let held = self.is(Place::Held);
        if held {
            tracing::error!(path = %self.path.display(), "the disk of the state folder is full: the reserve is given up");
            self.remove();
            self.set(Place::Spent);
        }
        held
    }

    fn size(&self, total: u64) -> u64 {
        (total / RESERVE_SHARE).min(self.max)
    }

    fn remove(&self) {
        if let Err(e) = std::fs::remove_file(&self.path)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), error = %e, "the reserve cannot be removed");
        }
    }

    fn is(&self, place: Place) -> bool {
        self.place.load(Ordering::Acquire) == place as u8
    }

    fn set(&self, place: Place) {
        self.place.store(place as u8, Ordering::Release);
    }
}

fn mark(total: u64) -> u64 {
    (total / SCARCE_SHARE).min(SCARCE_MAX)
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// Takes the space: by `fallocate`, or by writing where the file system has none.
fn make(path: &Path, size: u64) -> std::io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, size) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        Err(e) => return Err(e.into()),
    }
    let block = vec![0u8; 1 << 20];
    let mut left = size;
    while left > 0 {
        let part = left.min(block.len() as u64);
        file.write_all(&block[..part as usize])?;
        left -= part;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_the_smaller_of_share_and_maximum() {
        assert_eq!(mark(32 << 20), (32 << 20) / 20);
        assert_eq!(mark(1 << 40), 256 << 20);
    }

    #[test]
    fn a_spent_reserve_means_scarce_until_it_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(&folder.path().join("x.db"), 1 << 20);
        reserve.refill();
        assert!(!reserve.space().unwrap().scarce);
        assert_eq!(std::fs::metadata(folder.path().join("x.db.reserve")).unwrap().len(), 1 << 20);
        assert!(reserve.spend());
        assert!(!folder.path().join("x.db.reserve").exists());
        let space = reserve.space().unwrap();
        assert!(space.scarce && reserve.wants_refill(&space));
        assert!(!reserve.spend(), "it can be given up once");
        reserve.refill();
        assert!(!reserve.space().unwrap().scarce);
    }
}
