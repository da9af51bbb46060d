//! What a job is: tasks that belong together, how many, of which type, and how a change of them rolls.
//!
//! ```text
//!   file (TOML, or JSON that means the same)
//!     ├── keys of the job        name type priority schedule update depends_on …
//!     ├── keys of a task         image ports env …      defaults of every group
//!     └── [group.api] [group.db] the same keys again: they override the defaults
//!   variables are put in ─► defaults and group are merged ─► read strictly ─► JobSpec, checked
//! ```
//!
//! A file without groups is a job with one unnamed group, so a task's file is a job's file too: its tasks are
//! `web.1 … web.N`. A named group's are `shop.api.1 … shop.api.N`. [`read`] holds the reading.

pub mod read;
pub mod schema;
pub mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::name::Name;
use crate::spec::{FieldError, SpecError, TaskSpec, text_serde};
use crate::units::Span;

/// The most groups of a job.
pub const GROUPS_MAX: usize = 32;
/// The most tasks of a job.
pub const COUNT_MAX: u32 = 10_000;
/// The priority where none is given; from 1 to 100.
pub const PRIORITY_DEFAULT: u8 = 50;
/// The longest deadline, run or delay of a job.
pub const SPAN_MAX: Span = Span::from_secs(366 * 24 * 3600);

/// How a job's tasks live.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobType {
    /// For ever, so many of each group.
    #[default]
    Service,
    /// To completion, so many of each group.
    Batch,
    /// For ever, one on every node that fits.
    System,
    /// To completion, one on every node that fits.
    Sysbatch,
}

impl JobType {
    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
            Self::System => "system",
            Self::Sysbatch => "sysbatch",
        }
    }

    /// Whether its tasks are wanted for ever.
    pub const fn lasts(self) -> bool {
        matches!(self, Self::Service | Self::System)
    }

    /// Whether it has one task on every node.
    pub const fn is_everywhere(self) -> bool {
        matches!(self, Self::System | Self::Sysbatch)
    }
}

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A part of a group: `25%`, or so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share {
    /// Of a hundred.
    Percent(u8),
    /// Tasks.
    Tasks(u32),
}

impl Share {
    /// So many of a group's tasks; a percentage is rounded down.
    pub const fn of(self, count: u32) -> u32 {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "at most `count`")]
            Self::Percent(percent) => (count as u64 * percent as u64 / 100) as u32,
            Self::Tasks(tasks) => {
                if tasks < count {
                    tasks
                } else {
                    count
                }
            }
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Tasks(tasks) => write!(f, "{tasks}"),
        }
    }
}

impl FromStr for Share {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let bad = || {
            FieldError(format!(
                "`{text}` is not a share: write a number such as 2, or a percentage such as 25%"
            ))
        };
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|p| *p <= 100).map(Self::Percent).ok_or_else(bad),
            None => text.parse().ok().filter(|n| *n <= COUNT_MAX).map(Self::Tasks).ok_or_else(bad),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(from)? {
            Written::Number(number) => number.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// Which goes first where a task is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The new one runs and is healthy before the old one is stopped; where host ports, a volume with one writer or
    /// `singleton` forbid that, the old one is stopped first.
    #[default]
    StartFirst,
    /// The old one is stopped before the new one starts.
    StopFirst,
}

/// What a rollout does that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It goes back to the version before by itself.
    #[default]
    Rollback,
    /// It stands still until somebody says what to do.
    Pause,
    /// It goes on.
    Continue,
}

/// How a change rolls over a group's tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Update {
    /// Which goes first.
    pub order: Order,
    /// So many at a time, at least one.
    #[schema(value_type = String, example = "25%")]
    pub parallel: Share,
    /// So many may be missing because of the rollout.
    #[schema(value_type = String, example = "0")]
    pub max_unavailable: Share,
    /// How long a new task must be healthy before it counts: 5 s without a check and 2 s with one where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub healthy_for: Option<Span>,
    /// A new task that is not healthy by then has failed.
    #[schema(value_type = String)]
    pub healthy_deadline: Span,
    /// A rollout that gets no further for so long has failed.
    #[schema(value_type = String)]
    pub progress_deadline: Span,
    /// So many new tasks beside the old ones, until `job rollout resume` promotes them.
    pub canary: u32,
    /// What happens when it fails.
    pub on_failure: OnFailure,
}

impl Default for Update {
    fn default() -> Self {
        Self {
            order: Order::default(),
            parallel: Share::Percent(25),
            max_unavailable: Share::Tasks(0),
            healthy_for: None,
            healthy_deadline: Span::from_secs(300),
            progress_deadline: Span::from_secs(600),
            canary: 0,
            on_failure: OnFailure::default(),
        }
    }
}

/// What a launch does while the one before still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out, and that is recorded.
    #[default]
    Skip,
    /// It waits.
    Wait,
    /// The one before is stopped.
    Replace,
}

/// When a job is launched again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Minute, hour, day of the month, month, day of the week, as in crontab(5); or `@daily` and its like.
    pub cron: String,
    /// Of the times: a name of the time zone database.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// A time that was missed while no manager ran is made up for, once.
    #[serde(default)]
    pub persistent: bool,
    /// Later than the time by a random span of at most this.
    #[serde(default)]
    #[schema(value_type = String)]
    pub randomized_delay: Span,
    /// What a launch does while the one before still runs.
    #[serde(default)]
    pub overlap: Overlap,
    /// So many ended launches are kept, the last that succeeded besides.
    #[serde(default = "kept")]
    pub keep: u32,
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn kept() -> u32 {
    10
}

/// What is waited for of another job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// Its tasks run.
    Running,
    /// Its tasks are healthy.
    Healthy,
    /// It has completed.
    Complete,
}

/// At most so many tasks of a group per value of a label: `rack`, `rack:2`, `node.id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistinctRule {
    /// Label or attribute.
    pub key: String,
    /// The most tasks per value, at least 1.
    pub limit: u32,
}

impl FromStr for DistinctRule {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let bad = || FieldError(format!("`{text}` is not a label with a limit: write rack, or rack:2"));
        let (key, limit) =
            text.split_once(':').map_or((text, Ok(1)), |(key, limit)| (key, limit.parse::<u32>()));
        let limit = limit.ok().filter(|l| (1..=COUNT_MAX).contains(l)).ok_or_else(bad)?;
        let word = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
        if key.is_empty() || key.len() > 256 || !key.bytes().all(word) {
            return Err(bad());
        }
        Ok(Self { key: key.to_owned(), limit })
    }
}

impl fmt::Display for DistinctRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.limit == 1 { f.write_str(&self.key) } else { write!(f, "{}:{}", self.key, self.limit) }
    }
}
text_serde!(DistinctRule);

/// Even or weighted spread of a group over the values of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpreadRule {
    /// Label or attribute, such as `zone`.
    pub over: String,
    /// Shares by value, in any unit; none: each value the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shares: BTreeMap<String, u32>,
}

/// Equal tasks of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How many; of a batch, how many must complete. One where nothing is said, and of a job on every node.
    pub count: u32,
    /// Of a batch: how many run at once at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// The most on one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_per_node: Option<u32>,
    /// The most per value of a label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub distinct: Vec<DistinctRule>,
    /// Spread over the values of a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<SpreadRule>,
    /// How a change rolls.
    #[serde(default)]
    pub update: Update,
    /// What each task is.
    pub spec: TaskSpec,
}

/// A job's spec, complete: every group says everything of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// How its tasks live.
    #[serde(rename = "type")]
    pub kind: JobType,
    /// From 1 to 100; the higher, the sooner it is placed.
    pub priority: u8,
    /// Tasks of lower priority may be ended to make room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preempt: bool,
    /// Launched again and again: of a batch or a sysbatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Other jobs, and what is waited for of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Awaited>)]
    pub depends_on: BTreeMap<Name, Awaited>,
    /// A run that takes longer than this is ended; of a batch or a sysbatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub max_run_duration: Option<Span>,
    /// A task that runs once, to completion, before a rollout begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_deploy: Option<Box<TaskSpec>>,
    /// Its groups, by name; the unnamed one's name is empty.
    pub groups: BTreeMap<String, Group>,
}

impl JobSpec {
    /// The tasks of all groups; of a job on every node, one for each group and node.
    pub fn count(&self) -> u64 {
        self.groups.values().map(|g| u64::from(g.count)).sum()
    }

    /// The digest that tells two specs apart: SHA-256 of the JSON text, in hexadecimal.
    pub fn digest(&self) -> String {
        crate::spec::digest_of(self)
    }

    /// Everything that is wrong with it; empty when it is valid.
    pub fn check(&self) -> Vec<SpecError> {
        let mut found = Vec::new();
        let mut wrong = |path: &str, message: String| {
            found.push(SpecError { path: path.to_owned(), message });
        };
        if !(1..=100).contains(&self.priority) {
            wrong("priority", format!("from 1 to 100, not {}", self.priority));
        }
        if self.groups.is_empty() || self.groups.len() > GROUPS_MAX {
            wrong("group", format!("a job has 1 to {GROUPS_MAX} groups, not {}", self.groups.len()));
        }
        if self.groups.len() > 1 && self.groups.contains_key("") {
            wrong("group", "where one group has a name, all have".to_owned());
        }
        if self.count() > u64::from(COUNT_MAX) {
            wrong("count", format!("a job has at most {COUNT_MAX} tasks, not {}", self.count()));
        }
        if let Some(schedule) = &self.schedule {
            if self.kind.lasts() {
                wrong(
                    "schedule",
                    format!("only a batch or a sysbatch is launched again and again, not a {}", self.kind),
                );
            }
            let fields = schedule.cron.split_ascii_whitespace().count();
            if schedule.cron.len() > 256 || !(schedule.cron.starts_with('@') || fields == 5) {
                wrong(
                    "schedule.cron",
                    "five fields as in crontab(5), or @hourly, @daily, @weekly, @monthly".to_owned(),
                );
            }
            if schedule.randomized_delay > SPAN_MAX {
                wrong("schedule.randomized_delay", format!("at most {SPAN_MAX}"));
            }
            if !(1..=1000).contains(&schedule.keep) {
                wrong("schedule.keep", format!("from 1 to 1000, not {}", schedule.keep));
            }
        }
        match self.max_run_duration {
            Some(_) if self.kind.lasts() => {
                wrong("max_run_duration", format!("a {} runs for ever", self.kind));
            }
            Some(span) if span == Span::ZERO || span > SPAN_MAX => {
                wrong("max_run_duration", format!("more than 0 and at most {SPAN_MAX}"));
            }
            _ => {}
        }
        for (name, group) in &self.groups {
            let at = |field: &str| match (name.as_str(), field) {
                ("", field) => field.to_owned(),
                (name, "") => format!("group.{name}"),
                (name, field) => format!("group.{name}.{field}"),
            };
            found.extend(
                self.check_group(name, group).into_iter().map(|e| SpecError { path: at(&e.path), ..e }),
            );
        }
        if let Some(spec) = &self.pre_deploy {
            found.extend(
                spec.check().into_iter().map(|e| SpecError { path: format!("pre_deploy.{}", e.path), ..e }),
            );
        }
        found
    }

    fn check_group(&self, name: &str, group: &Group) -> Vec<SpecError> {
        let mut found = group.spec.check();
        let mut wrong = |path: &str, message: String| {
            found.push(SpecError { path: path.to_owned(), message });
        };
        if !name.is_empty() && (name.parse::<Name>().is_err() || name.contains('.')) {
            wrong(
                "",
                format!(
                    "`{}` is not a name: lower case letters, digits and `-`, at most 63",
                    crate::spec::short(name)
                ),
            );
        }
        if self.kind.is_everywhere() && group.count != 1 {
            wrong("count", format!("a {} has one task on every node that fits", self.kind));
        }
        if let Some(parallelism) = group.parallelism {
            if self.kind != JobType::Batch {
                wrong("parallelism", format!("belongs to a batch, not to a {}", self.kind));
            } else if parallelism == 0 {
                wrong("parallelism", "at least 1".to_owned());
            }
        }
        if group.max_per_node == Some(0) {
            wrong("max_per_node", "at least 1".to_owned());
        }
        if group.spread.as_ref().is_some_and(|s| s.over.is_empty() || s.over.len() > 256) {
            wrong("spread.over", "a label or attribute, such as zone".to_owned());
        }
        let update = &group.update;
        for (field, span) in [
            ("update.healthy_deadline", update.healthy_deadline),
            ("update.progress_deadline", update.progress_deadline),
            ("update.healthy_for", update.healthy_for.unwrap_or(Span::from_secs(1))),
        ] {
            if span == Span::ZERO || span > SPAN_MAX {
                wrong(field, format!("more than 0 and at most {SPAN_MAX}"));
            }
        }
        if update.canary > 0 && update.canary >= group.count {
            wrong("update.canary", format!("fewer than count ({}), not {}", group.count, update.canary));
        }
        if group.spec.restart.condition == crate::spec::RestartCondition::Always && !self.kind.lasts() {
            wrong(
                "restart",
                format!("a {} ends when its tasks complete: write on-failure or never", self.kind),
            );
        }
        found
    }
}
