//! What goes wrong with a store, told apart by what is to be done about it.

use std::path::{Path, PathBuf};

/// A store that cannot be opened or read. [`StoreError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried: `lock`, `create`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the store open.
    #[error("{} is in use by another orcad{}", path.display(), holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The store.
        path: PathBuf,
        /// The other process, as it wrote into the lock file.
        holder: Option<u32>,
    },
    /// The file is no store of orca, or one of the other kind.
    #[error("{} is not orca's {wanted} store: {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Which store was wanted.
        wanted: &'static str,
        /// What the file is instead.
        found: String,
    },
    /// The store was written by a newer orcad. It was not touched.
    #[error("{} has schema {found}, and this orcad knows schemas up to {known}", path.display())]
    TooNew {
        /// The store.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// The store is damaged.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// A row's document cannot be read.
    #[error("row {key} of table {table} in {} cannot be read", path.display())]
    BadRow {
        /// The store.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// SQLite refused something.
    #[error("cannot {doing} {}", path.display())]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// The store.
        path: PathBuf,
        /// SQLite's word.
        #[source]
        source: rusqlite::Error,
    },
    /// The writer thread could not be started, or is gone.
    #[error("the store's writer is gone")]
    WriterGone,
}

impl StoreError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// SQLite's errors, with damage told apart from the rest.
    pub(super) fn sqlite(doing: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged { path, detail: source.to_string() }
            }
            _ => Self::Sqlite { doing, path, source },
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "the state folder and all in it must be the user orca's: sudo chown -R orca:orca /var/lib/orca"
            }
            Self::Io { .. } | Self::Sqlite { .. } => {
                "check owner, rights and free space of the state folder (df -h, ls -l)"
            }
            Self::InUse { .. } => "systemctl status orcad; two daemons need two state folders",
            Self::Foreign { .. } => "move the file away, or point state_dir at orca's own folder",
            Self::TooNew { .. } => {
                "install the orcad that wrote it, or a newer one; the file was not touched"
            }
            Self::Damaged { .. } | Self::BadRow { .. } => {
                "check the disk (sudo dmesg), then restore a backup of /var/lib/orca/backups: sudo orcad backup restore FILE (the damaged store is kept beside it)"
            }
            Self::WriterGone => "systemctl restart orcad",
        }
    }

    /// Whether starting again cannot help before somebody changes something: orcad then ends with 78, and systemd
    /// does not start it again.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::TooNew { .. } | Self::Foreign { .. } | Self::Damaged { .. } | Self::BadRow { .. } => true,
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(
                    rusqlite::ErrorCode::ReadOnly
                        | rusqlite::ErrorCode::PermissionDenied
                        | rusqlite::ErrorCode::CannotOpen
                )
            ),
            Self::InUse { .. } | Self::WriterGone => false,
        }
    }

    /// Whether there was no space for it.
    pub(super) fn is_full_disk(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => super::sqlite::is_full_disk(source),
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }

    /// Whether the file itself is at fault, and not what stands around it: a disposable store is then begun anew.
    pub(super) const fn is_files_fault(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. } | Self::TooNew { .. } | Self::Damaged { .. } | Self::BadRow { .. }
        )
    }
}

/// A commit that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk is full. Nothing of the batch is stored, and the store goes on: undo by loading again.
    #[error("the disk of the state folder is full")]
    Full,
    /// An I/O error, or a defect. What is stored is not known for certain: end the process and load again.
    #[error("the store failed in a commit")]
    Failed {
        /// SQLite's word.
        #[source]
        source: rusqlite::Error,
    },
    /// The writer is gone: end the process.
    #[error("the store's writer is gone")]
    Lost,
}
