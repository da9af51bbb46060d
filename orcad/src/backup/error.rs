//! What goes wrong with a backup, and what to do about it.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::args::EXIT_USAGE;
use crate::config::ConfigErrors;
use crate::pki::ca::CaError;
use crate::pki::identity::IdentityError;
use crate::pki::seal::SealError;
use crate::store::StoreError;

/// A backup that could not be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The configuration, which says where the state is.
    #[error("{}", .0.render(false))]
    Config(ConfigErrors),
    /// The store, or a file that should be a copy of it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that is not a backup of orca, or not a whole one.
    #[error("{} is not a usable backup", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: StoreError,
    },
    /// The file can be read, but what it says of the cluster contradicts itself.
    #[error("{} contradicts itself: {}", path.display(), findings.join("; "))]
    Contradictory {
        /// The file.
        path: PathBuf,
        /// The invariants that do not hold.
        findings: Vec<String>,
    },
    /// The new backup's name is taken.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// `--keep` was given with a file's name of somebody's own choice.
    #[error("--keep counts the backups of a folder, and {} is a file", .0.display())]
    KeepNeedsFolder(PathBuf),
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The certificate authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The identity of this node.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The sealed certificate authority, or the recovery key.
    #[error("the certificate authority in the backup cannot be sealed or opened")]
    Seal(#[from] SealError),
    /// There is no recovery key where it is looked for.
    #[error("there is no recovery key: {} does not exist", .0.display())]
    NoRecoveryKey(PathBuf),
    /// Nobody agreed to the restore.
    #[error("nothing was restored: {0}")]
    NotAgreed(&'static str),
    /// Nobody reads what was to be printed.
    #[error("cannot print")]
    Print(#[from] io::Error),
}

impl From<ConfigErrors> for BackupError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl BackupError {
    /// The code to exit with: 78 for what a newer orcad wrote and for a wrong configuration.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Store(StoreError::TooNew { .. })
            | Self::Unusable { source: StoreError::TooNew { .. }, .. } => ConfigErrors::EXIT_CODE,
            Self::KeepNeedsFolder(_) | Self::NotAgreed(_) => EXIT_USAGE,
            _ => 1,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Config(_) | Self::Print(_) => None,
            Self::Store(StoreError::InUse { .. }) => {
                Some("systemctl stop orcad.socket orcad-view.socket orcad.service")
            }
            Self::Store(error) => Some(error.hint()),
            Self::Unusable { source: error @ StoreError::TooNew { .. }, .. } => Some(error.hint()),
            Self::Unusable { .. } => {
                Some("take an older backup; orcad backup inspect FILE says what is in it")
            }
            Self::Contradictory { .. } => {
                Some("it can be restored, and orcad goes on from it as from the store it was made of")
            }
            Self::Exists(_) => Some("give another name, or a folder, in which a name is made up"),
            Self::KeepNeedsFolder(_) => Some("leave --keep out, or give a folder"),
            Self::Io { .. } => Some("check owner, rights and free space of the folder (ls -ld, df -h)"),
            Self::Ca(error) => Some(error.hint()),
            Self::Identity(error) => Some(error.hint()),
            Self::Seal(_) => Some(
                "--recovery-key FILE with the key of the machine that made the backup (orcad backup recovery-key), or --without-ca: every other node joins again then",
            ),
            Self::NoRecoveryKey(_) => Some(
                "to restore: --recovery-key FILE, from the machine that made the backup, or --without-ca; the key is made with the first backup of a cluster that has a certificate authority",
            ),
            Self::NotAgreed(_) => Some("--yes restores without a question"),
        }
    }

    /// With its causes and its hint, as lines for people.
    pub fn render(&self) -> String {
        if let Self::Config(errors) = self {
            return errors.render(false);
        }
        let mut text = format!("error: {self}");
        let mut cause = std::error::Error::source(self);
        while let Some(why) = cause {
            let _ = write!(text, "\nbecause: {why}");
            cause = why.source();
        }
        if let Some(hint) = self.hint() {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }
}
