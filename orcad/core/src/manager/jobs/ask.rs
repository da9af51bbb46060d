//! What clients want of jobs.

use std::collections::BTreeSet;
use std::sync::Arc;

use orca_api::control::TASKS_MAX;
use orca_api::error::{Code, Problem};
use orca_api::id::JobId;
use orca_api::job::view::{JobAnswer, RollbackJob, RolloutAct, ScaleJob};
use orca_api::job::{JobSpec, Order};
use orca_api::name::Name;
use orca_api::spec::SpecError;
use orca_api::task::Wanted;

use super::super::io::{Answer, Peer};
use super::super::record::TaskRecord;
use super::super::state::Manager;
use super::super::tasks::{ambiguous, by_prefix};
use super::super::turn::Turn;
use super::record::{JobRecord, Rollout, RolloutState, VersionRecord};
use super::roll::must_stop_first;

/// What a client asks for about a job. Jobs are named by name, or by the beginning of an id.
#[derive(Clone, Debug, PartialEq)]
pub enum JobRequest {
    /// Run a job: a new one, or a new version of one that is there.
    Run {
        /// Its name.
        name: Name,
        /// Its spec.
        spec: JobSpec,
        /// Only while the job has this revision; 0 for one that is not there.
        if_revision: Option<u64>,
    },
    /// Stop its tasks.
    Stop {
        /// Which.
        job: String,
    },
    /// Start it again after a stop.
    Start {
        /// Which.
        job: String,
    },
    /// Replace its tasks, as a change does.
    Restart {
        /// Which.
        job: String,
    },
    /// Remove it.
    Remove {
        /// Which.
        job: String,
        /// Stop it first.
        force: bool,
    },
    /// Change how many tasks a group has.
    Scale {
        /// Which.
        job: String,
        /// How.
        scale: ScaleJob,
    },
    /// Go back to an earlier version.
    Rollback {
        /// Which.
        job: String,
        /// To which.
        how: RollbackJob,
    },
    /// Tell its rollout something.
    Rollout {
        /// Which.
        job: String,
        /// What.
        act: RolloutAct,
    },
}

impl JobRequest {
    /// Its name in the audit.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Run { .. } => "job.run",
            Self::Stop { .. } => "job.stop",
            Self::Start { .. } => "job.start",
            Self::Restart { .. } => "job.restart",
            Self::Remove { .. } => "job.remove",
            Self::Scale { .. } => "job.scale",
            Self::Rollback { .. } => "job.rollback",
            Self::Rollout { .. } => "job.rollout",
        }
    }

    /// The job, as it was named.
    pub fn object(&self) -> &str {
        match self {
            Self::Run { name, .. } => name.as_str(),
            Self::Stop { job }
            | Self::Start { job }
            | Self::Restart { job }
            | Self::Remove { job, .. }
            | Self::Scale { job, .. }
            | Self::Rollback { job, .. }
            | Self::Rollout { job, .. } => job,
        }
    }
}

/// What a job's spec asks for that is not done yet, or that cannot be done together.
fn check_supported(spec: &JobSpec) -> Vec<SpecError> {
    let mut found = Vec::new();
    let mut wrong = |path: &str, message: &str| {
        found.push(SpecError { path: path.to_owned(), message: message.to_owned() });
    };
    let later = "is not supported yet";
    for (path, asked) in [
        ("preempt", spec.preempt),
        ("schedule", spec.schedule.is_some()),
        ("depends_on", !spec.depends_on.is_empty()),
        ("max_run_duration", spec.max_run_duration.is_some()),
        ("pre_deploy", spec.pre_deploy.is_some()),
    ] {
        if asked {
            wrong(path, later);
        }
    }
    for (name, group) in &spec.groups {
        let update = &group.update;
        if update.canary == 0 {
            continue;
        }
        let at =
            if name.is_empty() { "update.canary".to_owned() } else { format!("group.{name}.update.canary") };
        if update.order == Order::StopFirst {
            wrong(&at, "canaries run beside the old tasks: the order must be start_first");
        } else if let Some(why) = must_stop_first(&group.spec) {
            wrong(&at, &format!("canaries run beside the old tasks, and this one cannot: {why}"));
        }
    }
    found
}

impl Manager {
    /// The job of that name, or of the one id that begins so.
    ///
    /// # Errors
    /// There is none, or several begin so.
    pub fn find_job(&self, text: &str) -> Result<JobId, Problem> {
        if let Some(id) = self.durable.job_names.get(text) {
            return Ok(*id);
        }
        let found = by_prefix(text, self.durable.jobs.keys().map(|id| (*id, id.to_string())));
        match found[..] {
            [id] => Ok(id),
            [] => Err(self.no_such_job(text)),
            _ => Err(ambiguous(
                "job",
                text,
                found.iter().filter_map(|id| Some(self.durable.jobs.get(id)?.name.to_string())),
            )),
        }
    }

    fn no_such_job(&self, text: &str) -> Problem {
        let shown: String = text.chars().take(80).collect();
        let problem = Problem::new(Code::NoSuchJob, format!("there is no job `{shown}`"));
        if self.durable.names.contains_key(text) {
            return problem.hint(format!("`{shown}` is a task: orcactl task inspect {shown}"));
        }
        match orca_api::text::nearest(text, self.durable.job_names.keys().map(Name::as_str)) {
            Some(name) => problem.hint(format!("did you mean `{name}`?")),
            None => problem.hint("orcactl job list shows the jobs"),
        }
    }

    pub(super) fn job(&self, text: &str) -> Result<Arc<JobRecord>, Problem> {
        let id = self.find_job(text)?;
        self.durable.jobs.get(&id).map(Arc::clone).ok_or_else(|| self.no_such_job(text))
    }
}

impl Turn<'_> {
    /// A client asks something about a job.
    pub(in crate::manager) fn ask_job(
        &mut self,
        request: &JobRequest,
        if_match: Option<u64>,
        peer: &Peer,
    ) -> Result<Answer, Problem> {
        let by = peer.to_string();
        if let JobRequest::Run { name, spec, if_revision } = request {
            return self.run_job(name, spec, if_revision.or(if_match), by);
        }
        let job = self.m.job(request.object())?;
        let revision = self.m.job_revision(job.id).unwrap_or(job.revision);
        if let Some(wanted) = if_match
            && wanted != revision
        {
            return Err(changed(&job.name, revision, wanted));
        }
        if job.removing && !matches!(request, JobRequest::Remove { .. }) {
            return Err(being_removed(&job.name));
        }
        let id = job.id;
        let changed = match request {
            JobRequest::Run { .. } => false,
            JobRequest::Stop { .. } => self.stop_job(&job),
            JobRequest::Start { .. } => self.start_job(&job)?,
            JobRequest::Restart { .. } => self.restart_job(&job, by)?,
            JobRequest::Remove { force, .. } => return self.remove_job(&job, *force),
            JobRequest::Scale { scale, .. } => self.scale_job(&job, scale, by)?,
            JobRequest::Rollback { how, .. } => self.roll_job_back(&job, how, by)?,
            JobRequest::Rollout { act, .. } => self.act_on_rollout(&job, *act, &by)?,
        };
        self.answer_job(id, changed, false)
    }

    fn answer_job(&mut self, id: JobId, changed: bool, created: bool) -> Result<Answer, Problem> {
        if changed {
            self.unsettled.insert(id);
            self.advance_jobs();
        }
        let job =
            self.m.job_view(id, self.now).ok_or_else(|| Problem::new(Code::Internal, "the job is gone"))?;
        Ok(Answer::Job { answer: Box::new(JobAnswer { job, changed }), created })
    }

    fn run_job(
        &mut self,
        name: &Name,
        spec: &JobSpec,
        if_revision: Option<u64>,
        by: String,
    ) -> Result<Answer, Problem> {
        let mut errors = spec.check();
        errors.extend(check_supported(spec));
        if !errors.is_empty() {
            return Err(Problem::of_spec(&errors));
        }
        if !name.is_plain() {
            return Err(Problem::new(Code::BadSpec, format!("name: `{name}` has a dot"))
                .because("names with dots are those of a job's tasks"));
        }
        let known = self.m.durable.job_names.get(name).and_then(|id| self.m.durable.jobs.get(id)).cloned();
        let revision = known.as_ref().map_or(0, |j| self.m.job_revision(j.id).unwrap_or(j.revision));
        if let Some(wanted) = if_revision
            && wanted != revision
        {
            return Err(changed(name, revision, wanted));
        }
        if let Some(job) = known {
            return self.run_again(&job, spec, by);
        }
        if self.m.durable.names.contains_key(name) {
            return Err(Problem::new(Code::NameTaken, format!("`{name}` is a task"))
                .hint(format!("choose another name, or remove it: orcactl task remove --force {name}")));
        }
        self.refuse_if_scarce()?;
        self.refuse_too_many(spec.count())?;
        let id = JobId::fresh(self.ids);
        let spec = Arc::new(spec.clone());
        let version =
            VersionRecord { version: 1, spec: Arc::clone(&spec), at: self.now.wall, by, proven: false };
        let rollout = Rollout {
            from: 0,
            to: 1,
            since: self.now.wall,
            state: if spec.kind.lasts() { RolloutState::Rolling } else { RolloutState::Done },
            back: false,
            promoted: false,
            why: String::new(),
            skipped: BTreeSet::new(),
        };
        let job = JobRecord {
            id,
            name: name.clone(),
            revision: self.revision,
            created_at: self.now.wall,
            wanted: Wanted::Running,
            removing: false,
            version: 1,
            renewed: 0,
            digest: spec.digest(),
            spec,
            versions: vec![version],
            rollout,
        };
        self.job_event("job.created", &job, format!("a {}", job.spec.kind));
        self.put_job(job);
        self.answer_job(id, true, true)
    }

    /// `run` on a job that is there: the same spec is well, another one is a new version.
    fn run_again(&mut self, job: &JobRecord, spec: &JobSpec, by: String) -> Result<Answer, Problem> {
        if job.removing {
            return Err(being_removed(&job.name));
        }
        let same = spec.digest() == job.digest;
        if same {
            let changed = job.wanted == Wanted::Stopped && self.start_job(job)?;
            return self.answer_job(job.id, changed, false);
        }
        self.change_job(job, spec.clone(), by)?;
        self.answer_job(job.id, true, false)
    }

    /// A job gets another spec, and runs.
    fn change_job(&mut self, job: &JobRecord, spec: JobSpec, by: String) -> Result<(), Problem> {
        if spec.kind != job.spec.kind {
            let error = SpecError {
                path: "type".to_owned(),
                message: format!(
                    "the job `{}` is a {}, and stays one: remove it first",
                    job.name, job.spec.kind
                ),
            };
            return Err(Problem::of_spec(&[error]));
        }
        self.refuse_if_scarce()?;
        self.refuse_too_many(spec.count().saturating_sub(job.spec.count()))?;
        let mut job = job.clone();
        self.new_version(&mut job, Arc::new(spec), by);
        if !job.spec.kind.lasts() {
            job.rollout.state = RolloutState::Done;
        }
        self.job_event("job.changed", &job, format!("version {}", job.version));
        self.run_on(job);
        Ok(())
    }

    /// Stores a job that is to run; what was stopped of it is wanted again.
    fn run_on(&mut self, mut job: JobRecord) {
        let stopped = job.wanted == Wanted::Stopped;
        job.wanted = Wanted::Running;
        let id = job.id;
        self.put_job(job);
        if stopped {
            for task in self.m.tasks_of(id) {
                if !task.removing {
                    let task = TaskRecord {
                        wanted: Wanted::Running,
                        run: task.run + 1,
                        waiting: None,
                        ..TaskRecord::clone(&task)
                    };
                    let id = task.id;
                    self.put_task(task);
                    self.reconcile(id);
                }
            }
        }
        self.unsettled.insert(id);
    }

    fn refuse_too_many(&self, more: u64) -> Result<(), Problem> {
        let tasks = self.m.durable.tasks.len() as u64;
        if tasks.saturating_add(more) > TASKS_MAX as u64 {
            return Err(Problem::new(
                Code::TooMany,
                format!(
                    "with {more} more tasks the cluster would have more than {TASKS_MAX}, the most it takes"
                ),
            ));
        }
        Ok(())
    }

    fn stop_job(&mut self, job: &JobRecord) -> bool {
        if job.wanted == Wanted::Stopped {
            return false;
        }
        let job = JobRecord { wanted: Wanted::Stopped, ..job.clone() };
        self.job_event("job.stop", &job, String::new());
        self.put_job(job);
        true
    }

    fn start_job(&mut self, job: &JobRecord) -> Result<bool, Problem> {
        if job.wanted == Wanted::Running {
            return Ok(false);
        }
        self.refuse_if_scarce()?;
        self.job_event("job.start", job, String::new());
        self.m.live.rollouts.remove(&job.id);
        self.run_on(job.clone());
        Ok(true)
    }

    fn restart_job(&mut self, job: &JobRecord, by: String) -> Result<bool, Problem> {
        if job.wanted == Wanted::Stopped {
            return self.start_job(job);
        }
        self.refuse_if_scarce()?;
        let mut job = job.clone();
        let spec = Arc::clone(&job.spec);
        self.new_version(&mut job, spec, by);
        job.renewed = job.version;
        if !job.spec.kind.lasts() {
            job.rollout.state = RolloutState::Done;
        }
        self.job_event("job.restart", &job, format!("version {}", job.version));
        self.put_job(job);
        Ok(true)
    }

    fn remove_job(&mut self, job: &JobRecord, force: bool) -> Result<Answer, Problem> {
        let tasks = self.m.tasks_of(job.id);
        if !force && tasks.iter().any(|t| !self.m.is_over(t)) {
            return Err(Problem::new(
                Code::StillRunning,
                format!("the job `{}` has tasks that have not ended", job.name),
            )
            .hint(format!("orcactl job stop {0}, or orcactl job remove --force {0}", job.name)));
        }
        let changed = !job.removing;
        let mut view = self
            .m
            .job_view(job.id, self.now)
            .ok_or_else(|| Problem::new(Code::Internal, "the job is gone"))?;
        if changed {
            let job = JobRecord { removing: true, wanted: Wanted::Stopped, ..job.clone() };
            let id = job.id;
            self.job_event("job.remove", &job, String::new());
            self.put_job(job);
            self.unsettled.insert(id);
            self.advance_jobs();
            if let Some(now) = self.m.job_view(id, self.now) {
                view = now;
            }
        }
        Ok(Answer::Job { answer: Box::new(JobAnswer { job: view, changed }), created: false })
    }

    fn scale_job(&mut self, job: &JobRecord, scale: &ScaleJob, by: String) -> Result<bool, Problem> {
        let mut spec = JobSpec::clone(&job.spec);
        let Some(group) = spec.groups.get_mut(&scale.group) else {
            let names: Vec<&str> = job.spec.groups.keys().map(String::as_str).collect();
            let shown: String = scale.group.chars().take(80).collect();
            let problem =
                Problem::new(Code::NoSuchGroup, format!("the job `{}` has no group `{shown}`", job.name));
            return Err(problem.hint(format!("its groups: {}", names.join(", "))));
        };
        if group.count == scale.count {
            return Ok(false);
        }
        group.count = scale.count;
        let errors = spec.check();
        if !errors.is_empty() {
            return Err(Problem::of_spec(&errors));
        }
        if spec.kind.lasts() {
            self.change_job(job, spec, by)?;
            return Ok(true);
        }
        Err(Problem::new(
            Code::BadSpec,
            format!("`{}` is a {}: what runs to its end is not scaled", job.name, spec.kind),
        )
        .hint("change its file, and run it again"))
    }

    fn roll_job_back(&mut self, job: &JobRecord, how: &RollbackJob, by: String) -> Result<bool, Problem> {
        let before = || job.versions.iter().rev().find(|v| v.version < job.version);
        let to = match how.to {
            Some(version) => job.kept(version),
            None => job.last_proven().or_else(before),
        };
        let Some(to) = to.cloned() else {
            let kept: Vec<String> = job.versions.iter().map(|v| v.version.to_string()).collect();
            let asked = how.to.map_or_else(|| "an earlier version".to_owned(), |v| format!("version {v}"));
            return Err(Problem::new(
                Code::NoSuchVersion,
                format!("the job `{}` has not {asked} any more", job.name),
            )
            .hint(format!("its versions: {}", kept.join(", "))));
        };
        if to.spec.digest() == job.digest {
            return Ok(false);
        }
        self.change_job(job, JobSpec::clone(&to.spec), by)?;
        Ok(true)
    }

    fn act_on_rollout(&mut self, job: &JobRecord, act: RolloutAct, by: &str) -> Result<bool, Problem> {
        if !job.rollout.is_active() {
            return Err(Problem::new(Code::NoRollout, format!("no change of the job `{}` rolls", job.name))
                .hint(format!("orcactl job inspect {}", job.name)));
        }
        let mut record = job.clone();
        match (act, job.rollout.state) {
            (RolloutAct::Pause, RolloutState::Paused) | (RolloutAct::Resume, RolloutState::Rolling) => {
                return Ok(false);
            }
            (RolloutAct::Pause, _) => {
                record.rollout.state = RolloutState::Paused;
                record.rollout.why = format!("paused by {by}");
                self.job_event("job.paused", &record, record.rollout.why.clone());
                self.put_job(record);
            }
            (RolloutAct::Resume, state) => {
                record.rollout.promoted |= state == RolloutState::Canary;
                record.rollout.state = RolloutState::Rolling;
                record.rollout.why = String::new();
                self.job_event("job.resumed", &record, format!("by {by}"));
                self.put_job(record);
                for task in self.m.tasks_of(job.id) {
                    self.reconcile(task.id);
                }
            }
            (RolloutAct::Abort, _) if job.rollout.back => {
                return Err(Problem::new(Code::NoRollout, format!("`{}` goes back already", job.name)));
            }
            (RolloutAct::Abort, _) => {
                let Some(to) = job.last_proven().cloned() else {
                    return Err(Problem::new(
                        Code::NoSuchVersion,
                        format!(
                            "no earlier version of the job `{}` was healthy: there is nothing to go back to",
                            job.name
                        ),
                    )
                    .hint(format!(
                        "orcactl job stop {0}, or orcactl job rollback --to VERSION {0}",
                        job.name
                    )));
                };
                self.go_back(job, &to, &format!("given up by {by}"), by);
            }
        }
        Ok(true)
    }
}

fn changed(name: &Name, revision: u64, wanted: u64) -> Problem {
    let problem =
        Problem::new(Code::Changed, format!("the job `{name}` is at revision {revision}, not {wanted}"));
    problem.hint("plan it again: orcactl job plan")
}

fn being_removed(name: &Name) -> Problem {
    Problem::new(Code::NameTaken, format!("the job `{name}` is being removed"))
        .hint(format!("orcactl job wait {name} --for gone, then run it"))
}
