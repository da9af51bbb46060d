//! What is stored of a job.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::id::{JobId, TaskId};
use orca_api::job::JobSpec;
use orca_api::name::Name;
use orca_api::task::Wanted;
use orca_api::units::Time;
use serde::{Deserialize, Serialize};

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Its name; tasks and jobs share one set of names.
    pub name: Name,
    /// The revision of its last change.
    pub revision: u64,
    /// When it was made.
    pub created_at: Time,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// It is to be removed once its tasks are gone.
    pub removing: bool,
    /// The version of its spec, from 1.
    pub version: u32,
    /// Containers of earlier versions than this are replaced, though they may be equal: it was restarted.
    pub renewed: u32,
    /// Its spec.
    pub spec: Arc<JobSpec>,
    /// The digest of its spec.
    pub digest: String,
    /// Its last versions, oldest first; the present one is the last.
    pub versions: Vec<VersionRecord>,
    /// Its last rollout.
    pub rollout: Rollout,
}

/// A version of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Its number.
    pub version: u32,
    /// Its spec.
    pub spec: Arc<JobSpec>,
    /// When it was made.
    pub at: Time,
    /// Who asked for it.
    pub by: String,
    /// All of its tasks were healthy at the same time.
    pub proven: bool,
}

/// How far a change has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The version that it comes from; 0 for a new job.
    pub from: u32,
    /// The version that it goes to.
    pub to: u32,
    /// Since when.
    pub since: Time,
    /// How it is.
    pub state: RolloutState,
    /// It goes back, for a change failed or was given up.
    pub back: bool,
    /// Its canaries were found good: it may go on with the rest.
    pub promoted: bool,
    /// Why it stands, failed, or goes back.
    pub why: String,
    /// Tasks that failed, and were left as they are.
    pub skipped: BTreeSet<TaskId>,
}

/// How a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Tasks are replaced.
    Rolling,
    /// Its canaries are good, and it waits for somebody to say so.
    Canary,
    /// Nothing more is begun.
    Paused,
    /// It did not become what was asked for.
    Failed,
    /// Everything is as it was asked for.
    Done,
}

impl Rollout {
    /// Whether it has not come to an end.
    pub const fn is_active(&self) -> bool {
        matches!(self.state, RolloutState::Rolling | RolloutState::Canary | RolloutState::Paused)
    }

    /// Whether canaries are not to take over yet.
    pub const fn holds_canaries(&self) -> bool {
        !self.promoted && !self.back && self.from != 0
    }
}

impl JobRecord {
    /// One of its versions that are kept.
    pub fn kept(&self, version: u32) -> Option<&VersionRecord> {
        self.versions.iter().find(|v| v.version == version)
    }

    /// The last version before the present one that once was healthy as a whole.
    pub fn last_proven(&self) -> Option<&VersionRecord> {
        self.versions.iter().rev().find(|v| v.version != self.version && v.proven)
    }
}
