//! The bundle's file: a compressed tar archive that nobody but its owner reads.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

/// Makes the file and writes members into it; returns its size in bytes.
///
/// # Errors
/// Where it exists already, or cannot be written. What was written of it is removed again.
pub(super) fn write(path: &Path, folder: &str, time: u64, members: &[(String, Vec<u8>)]) -> io::Result<u64> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = fill(file, folder, time, members);
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(path);
    }
    written
}

fn fill(file: File, folder: &str, time: u64, members: &[(String, Vec<u8>)]) -> io::Result<u64> {
    let mut builder = Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, bytes) in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_mtime(time);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, format!("{folder}/{name}"), bytes.as_slice())?;
    }
    let file = builder.into_inner()?.finish()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_that_exists_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar.gz");
        std::fs::write(&path, "mine").unwrap();
        let error = write(&path, "x", 0, &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar.gz");
        let size = write(&path, "x", 0, &[("a".to_owned(), vec![0; 100])]).unwrap();
        let data = std::fs::metadata(&path).unwrap();
        assert_eq!((data.len(), data.permissions().mode() & 0o777), (size, 0o600));
    }
}
