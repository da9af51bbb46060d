//! Requests and views of jobs.
//!
//! Requests are read strictly, views tolerantly, as in [`crate::control`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{JobSpec, JobType};
use crate::control::TaskView;
use crate::id::JobId;
use crate::name::Name;
use crate::task::{Reason, Wanted};
use crate::units::Time;

// ---------------------------------------------------------------------------------------------- requests

/// Run a job, or plan to: a new one, or a new version of one that is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunJob {
    /// The job's file as JSON (see [`super::read`]); TOML that was read is the same tree.
    #[schema(value_type = Object)]
    pub job: serde_json::Value,
    /// Values of its variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Only while the job has this revision, 0 for one that is not there: what a plan was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<u64>,
}

/// Change how many tasks a group has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleJob {
    /// Which group; the unnamed one where nothing is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// How many.
    pub count: u32,
}

/// Go back to an earlier version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackJob {
    /// To which; the last one before the present that became healthy where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
}

/// What a rollout is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutAct {
    /// Stand still.
    Pause,
    /// Go on; canaries that stand are promoted.
    Resume,
    /// Go back to the version before.
    Abort,
}

/// Tell a rollout something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActOnRollout {
    /// What.
    pub act: RolloutAct,
}

// ------------------------------------------------------------------------------------------------- views

/// How a job is, as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Something is waited for: room, another job, a time.
    Pending,
    /// A change is under way.
    Rolling,
    /// Everything that is wanted runs.
    Running,
    /// Some of what is wanted does not run.
    Degraded,
    /// It ran to its end.
    Completed,
    /// It ended otherwise.
    Failed,
    /// It was stopped.
    Stopped,
}

impl JobState {
    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Rolling => "rolling",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A job, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: JobId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// The revision of its last change, or of a task's of it.
    pub revision: u64,
    /// How its tasks live.
    #[serde(rename = "type")]
    pub kind: JobType,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// How it is.
    pub state: JobState,
    /// Why it is in this state.
    pub reason: Option<Reason>,
    /// Details in words.
    pub message: String,
    /// The version of its spec.
    pub version: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Its groups.
    pub groups: Vec<GroupView>,
    /// While a change rolls, and after one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutView>,
    /// Where it is launched again and again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleView>,
}

/// How many of a group's tasks are where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// Its name; empty for the unnamed one.
    pub name: String,
    /// How many are wanted.
    pub wanted: u32,
    /// Running, and healthy as far as they have a check.
    pub running: u32,
    /// On their way: waiting, pulling, starting.
    pub pending: u32,
    /// Completed.
    pub completed: u32,
    /// Failed for good.
    pub failed: u32,
}

/// How far a rollout has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// `rolling`, `canary`, `paused`, `rolling_back`, `failed`, `done`.
    pub state: String,
    /// The version it goes to.
    pub to: u32,
    /// The version it comes from; 0 for a new job.
    pub from: u32,
    /// Tasks that have come to be what they shall be.
    pub done: u32,
    /// Tasks in all.
    pub total: u32,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// What it waits for, or why it failed.
    pub message: String,
}

/// When a job is launched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    /// In words: `at 03:00, every day (Europe/Berlin)`.
    pub words: String,
    /// When the next launch is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Time>,
    /// The last launch.
    pub last: Option<LaunchView>,
    /// When a launch last succeeded.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_success: Option<Time>,
}

/// One launch of a job that is launched again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LaunchView {
    /// Its number, from 1.
    pub number: u64,
    /// The time that it is of.
    #[schema(value_type = String, format = DateTime)]
    pub due: Time,
    /// When it began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub began: Option<Time>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Time>,
    /// `waiting`, `running`, `succeeded`, `failed`, `skipped`.
    pub outcome: String,
    /// In words.
    pub message: String,
}

/// A job with everything known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// As in lists.
    #[serde(flatten)]
    pub job: JobView,
    /// Its spec.
    pub spec: JobSpec,
    /// The digest of its spec.
    pub spec_digest: String,
    /// Its tasks, by name; those of an earlier version that are still there as well.
    pub tasks: Vec<TaskView>,
    /// Its last launches, newest first.
    #[serde(default)]
    pub launches: Vec<LaunchView>,
}

/// A version of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobVersion {
    /// Its number.
    pub version: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who asked for it.
    pub by: String,
    /// Whether it is the present one.
    pub current: bool,
    /// Whether all of its tasks once were healthy at the same time.
    pub proven: bool,
    /// How it differs from the one before.
    pub changes: Vec<FieldChange>,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    /// Its path: `group.api.image`.
    pub path: String,
    /// What it was; absent where it is new.
    #[schema(value_type = Option<Object>)]
    pub old: Option<serde_json::Value>,
    /// What it is; absent where it is gone.
    #[schema(value_type = Option<Object>)]
    pub new: Option<serde_json::Value>,
}

/// What a run of a job would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPlan {
    /// The job's name.
    #[schema(value_type = String)]
    pub name: Name,
    /// The revision that it was made for; 0 where the job is new.
    pub revision: u64,
    /// Whether anything would change.
    pub changes: bool,
    /// Whether everything that is wanted would have a node.
    pub fits: bool,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
    /// What would be done with each task, in the order in which it would be.
    pub tasks: Vec<PlannedTask>,
    /// Things that a person should know before.
    pub notes: Vec<String>,
}

/// What would be done with a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedTask {
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// What.
    pub action: PlannedAction,
    /// The node where it is.
    #[schema(value_type = Option<String>)]
    pub from: Option<Name>,
    /// The node where it would be.
    #[schema(value_type = Option<String>)]
    pub to: Option<Name>,
    /// `start_first` or `stop_first`, where it would be replaced.
    pub order: Option<super::Order>,
    /// Why it has no node, or why the order is not the one that was asked for.
    pub why: String,
}

/// What would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    /// It would be started.
    Start,
    /// It would be replaced by one of the new version.
    Replace,
    /// It would be kept as it runs; only what is recorded of it changes.
    Keep,
    /// It would be stopped and forgotten.
    Stop,
}

/// The answer to a mutation of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobAnswer {
    /// The job after it.
    pub job: JobView,
    /// Whether anything was changed.
    pub changed: bool,
}

/// Moves that would make the cluster better balanced, or are being made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RebalanceView {
    /// The moves, in the order in which they would be made, one at a time.
    pub moves: Vec<MoveView>,
    /// Whether they are being made.
    pub under_way: bool,
}

/// A move of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MoveView {
    /// The task's name.
    #[schema(value_type = String)]
    pub task: Name,
    /// From this node.
    #[schema(value_type = String)]
    pub from: Name,
    /// To this node.
    #[schema(value_type = String)]
    pub to: Name,
    /// How much less the cluster costs by it, in hundredths of a percent.
    pub gain: i64,
}
