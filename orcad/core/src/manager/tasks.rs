//! What clients want of tasks: start, stop, restart, remove; and the one rule that moves a task.

use std::sync::Arc;

use orca_api::control::{StartTask, StopTask, TASKS_MAX, TaskAnswer};
use orca_api::error::{Code, Problem};
use orca_api::id::{NodeId, PlacementId, TaskId};
use orca_api::job::view::JobAnswer;
use orca_api::link::PlacementWanted;
use orca_api::name::Name;
use orca_api::spec::{STOP_GRACE_MAX, TaskSpec};
use orca_api::task::{Reason, Wanted};
use orca_api::units::Span;

use super::defaults::KEYS_MAX;
use super::io::{Answer, Asked, Change, Request};
use super::record::{PlacementRecord, RequestRecord, TaskRecord, Waiting};
use super::state::Manager;
use super::turn::{SetChange, Turn};

impl Manager {
    /// The task of that name, or of the one id that begins so.
    pub fn find_task(&self, text: &str) -> Result<TaskId, Problem> {
        if let Some(id) = self.durable.names.get(text) {
            return Ok(*id);
        }
        let found = by_prefix(text, self.durable.tasks.keys().map(|id| (*id, id.to_string())));
        match found[..] {
            [id] => Ok(id),
            [] => Err(self.no_such_task(text)),
            _ => Err(ambiguous(
                "task",
                text,
                found.iter().filter_map(|id| Some(self.durable.tasks.get(id)?.name.to_string())),
            )),
        }
    }

    fn no_such_task(&self, text: &str) -> Problem {
        let shown: String = text.chars().take(80).collect();
        let problem = Problem::new(Code::NoSuchTask, format!("there is no task `{shown}`"));
        let names = self.durable.names.keys().map(Name::as_str);
        match orca_api::text::nearest(text, names) {
            Some(name) => problem.hint(format!("did you mean `{name}`?")),
            None => problem.hint("orcactl task list shows the tasks"),
        }
    }

    fn task(&self, id: TaskId) -> Result<Arc<TaskRecord>, Problem> {
        self.durable.tasks.get(&id).map(Arc::clone).ok_or_else(|| self.no_such_task(&id.to_string()))
    }
}

/// The ids that begin with a text of at least four characters, in any case.
pub(super) fn by_prefix<T: Copy>(text: &str, all: impl Iterator<Item = (T, String)>) -> Vec<T> {
    if !orca_api::id::is_id_prefix(text) {
        return Vec::new();
    }
    let upper = text.to_ascii_uppercase();
    all.filter(|(_, id)| id.starts_with(&upper)).map(|(id, _)| id).collect()
}

/// Several objects begin with that: they are listed.
pub(super) fn ambiguous(kind: &str, text: &str, names: impl Iterator<Item = String>) -> Problem {
    let names: Vec<String> = names.take(10).collect();
    Problem::new(Code::Ambiguous, format!("`{text}` is the beginning of several {kind} ids"))
        .because(format!("it could be: {}", names.join(", ")))
        .hint("write the name, or more of the id")
}

impl Turn<'_> {
    /// A client asks. A key that was used before gets the same answer without a second effect.
    pub fn on_asked(&mut self, asked: Asked) {
        self.cause = Some((asked.peer.to_string(), asked.request_id.clone()));
        let answer = match self.used_key(&asked) {
            Some(answer) => answer,
            None => {
                let answer = self.ask(&asked);
                self.audit(&asked, &answer);
                self.keep_key(&asked, &answer);
                answer
            }
        };
        self.reply(asked.token, answer);
    }

    fn ask(&mut self, asked: &Asked) -> Result<Answer, Problem> {
        match &asked.request {
            Request::Start(start) => self.start(start),
            Request::Stop { task, how } => self.stop(task, how, asked.if_match),
            Request::Restart { task } => self.restart(task, asked.if_match),
            Request::Remove { task, force } => self.remove(task, *force, asked.if_match),
            Request::SetAvailability { node, set } => self.set_availability(node, set, asked.if_match),
            Request::SetLabels { node, set } => self.set_labels(node, set, asked.if_match),
            Request::ConfirmDown { node } => self.confirm_down(node),
            Request::RemoveNode { node, force } => self.remove_node(node, *force),
            Request::CreateToken(create) => self.create_token(create, &asked.peer),
            Request::RevokeToken { token } => self.revoke_token(token),
            Request::SetCluster(set) => self.set_cluster(set),
            Request::Listen { address, force } => self.listen(address.as_deref(), *force),
            Request::IssueCertificate { name, role, ttl } => {
                self.issue_certificate(name, *role, *ttl, &asked.peer)
            }
            Request::RevokeCertificate { certificate } => self.revoke_certificate(certificate),
            Request::RotateCa { ca } => self.rotate_ca(ca),
            Request::Job(job) => self.ask_job(job, asked.if_match, &asked.peer),
        }
    }

    fn used_key(&self, asked: &Asked) -> Option<Result<Answer, Problem>> {
        let (key, digest) = asked.key.as_ref()?;
        let record = self.m.durable.requests.get(key)?;
        if record.digest != *digest {
            return Some(Err(Problem::new(
                Code::KeyReused,
                format!("the Idempotency-Key `{key}` was used for another request"),
            )
            .hint("use a fresh key for each new request")));
        }
        if let Some(job) = record.job {
            return Some(match self.m.job_view(job, self.now) {
                Some(job) => Ok(Answer::Job {
                    answer: Box::new(JobAnswer { job, changed: record.changed }),
                    created: record.created,
                }),
                None => Err(Problem::new(Code::NoSuchJob, "the job of this request was removed since")),
            });
        }
        let task = record.task?;
        let Some(view) = self.m.task_view(task, self.now) else {
            return Some(Err(Problem::new(Code::NoSuchTask, "the task of this request was removed since")));
        };
        let answer = Box::new(TaskAnswer { task: view, changed: record.changed, explanation: None });
        Some(Ok(if record.created { Answer::Created(answer) } else { Answer::Task(answer) }))
    }

    /// Only what went well is kept: a refusal changed nothing, and a retry may well succeed.
    fn keep_key(&mut self, asked: &Asked, answer: &Result<Answer, Problem>) {
        let Some((key, digest)) = &asked.key else { return };
        let (task, job, created, changed) = match answer {
            Ok(Answer::Created(a)) => (Some(a.task.id), None, true, a.changed),
            Ok(Answer::Task(a)) => (Some(a.task.id), None, false, a.changed),
            Ok(Answer::Job { answer, created }) => (None, Some(answer.job.id), *created, answer.changed),
            _ => return,
        };
        if self.m.durable.requests.len() >= KEYS_MAX {
            let oldest =
                self.m.durable.requests.values().min_by_key(|r| (r.at, r.key.clone())).map(|r| r.key.clone());
            if let Some(key) = oldest {
                self.put(Change::RequestGone { key });
            }
        }
        let record = RequestRecord {
            key: key.clone(),
            digest: digest.clone(),
            at: self.now.wall,
            task,
            job,
            created,
            changed,
        };
        self.put(Change::RequestPut { record: Arc::new(record) });
    }

    fn answer(&self, task: TaskId, changed: bool) -> Result<TaskAnswer, Problem> {
        let view = self
            .m
            .task_view(task, self.now)
            .ok_or_else(|| Problem::new(Code::Internal, "the task is gone"))?;
        let explanation =
            if view.reason == Some(Reason::NoFit) { self.m.explain_task_id(task, self.now) } else { None };
        Ok(TaskAnswer { task: view, changed, explanation })
    }

    fn start(&mut self, start: &StartTask) -> Result<Answer, Problem> {
        let errors = start.spec.check();
        if !errors.is_empty() {
            return Err(Problem::of_spec(&errors));
        }
        if let Some(name) = start.name.as_ref().filter(|name| !name.is_plain()) {
            let problem = Problem::new(Code::BadSpec, format!("name: `{name}` has a dot"));
            return Err(problem.because("names with dots are those of a job's tasks"));
        }
        let name = match &start.name {
            Some(name) => name.clone(),
            None => self.free_name(&start.spec)?,
        };
        if self.m.durable.job_names.contains_key(&name) {
            return Err(Problem::new(Code::NameTaken, format!("`{name}` is a job"))
                .hint("choose another --name, or change the job: orcactl job run"));
        }
        if let Some(id) = self.m.durable.names.get(&name).copied() {
            return self.start_again(id, start);
        }
        self.refuse_if_scarce()?;
        if self.m.durable.tasks.len() >= TASKS_MAX {
            return Err(Problem::new(
                Code::TooMany,
                format!("the cluster has {TASKS_MAX} tasks, the most it takes"),
            )
            .hint("orcactl task remove NAME frees a place"));
        }
        let id = TaskId::fresh(self.ids);
        let record = TaskRecord {
            id,
            name,
            revision: self.revision,
            created_at: self.now.wall,
            wanted: Wanted::Running,
            removing: false,
            version: 1,
            digest: start.spec.digest(),
            spec: Arc::new(start.spec.clone()),
            run: 1,
            placement: None,
            retired: None,
            attempts_before: 0,
            restarts_before: 0,
            history: Vec::new(),
            waiting: Some(Waiting { reason: Reason::New, message: String::new(), since: self.now.wall }),
            next: None,
            avoid: Vec::new(),
            moved: None,
            owner: None,
        };
        self.task_event("task.created", &record, None, None, None, format!("image {}", record.spec.image));
        self.put_task(record);
        self.reconcile(id);
        Ok(Answer::Created(Box::new(self.answer(id, true)?)))
    }

    /// `start` on a name that is taken: same spec and running is well; stopped is started again; another spec needs `replace`.
    fn start_again(&mut self, id: TaskId, start: &StartTask) -> Result<Answer, Problem> {
        let task = self.m.task(id)?;
        if task.removing {
            return Err(Problem::new(Code::NameTaken, format!("the task `{}` is being removed", task.name))
                .hint(format!("orcactl task wait {} --for gone, then start it", task.name)));
        }
        let digest = start.spec.digest();
        let same = digest == task.digest;
        let over = self.m.is_over(&task);
        if !over && same {
            return Ok(Answer::Task(Box::new(self.answer(id, false)?)));
        }
        if !over && !start.replace {
            let fields = changed_fields(&task.spec, &start.spec);
            return Err(Problem::new(
                Code::OtherSpec,
                format!("the task `{}` runs with another spec", task.name),
            )
            .because(format!("these fields differ: {}", fields.join(", ")))
            .hint("--replace stops it and starts the new one in its place, or choose another --name")
            .details(serde_json::json!({ "fields": fields })));
        }
        self.refuse_if_scarce()?;
        let mut task = TaskRecord::clone(&task);
        if !same {
            task.version += 1;
            task.digest = digest;
            task.spec = Arc::new(start.spec.clone());
        }
        task.wanted = Wanted::Running;
        task.run += 1;
        task.waiting = None;
        task.avoid.clear();
        let what = if same { "started again".to_owned() } else { format!("version {}", task.version) };
        self.task_event("task.started", &task, None, None, None, what);
        self.put_task(task);
        self.reconcile(id);
        Ok(Answer::Task(Box::new(self.answer(id, true)?)))
    }

    fn stop(&mut self, text: &str, how: &StopTask, if_match: Option<u64>) -> Result<Answer, Problem> {
        if let Some(grace) = how.grace
            && grace > STOP_GRACE_MAX
        {
            return Err(Problem::new(Code::BadSpec, format!("grace: at most {STOP_GRACE_MAX}, not {grace}")));
        }
        let id = self.m.find_task(text)?;
        let task = self.m.task(id)?;
        refuse_of_job(&task)?;
        self.check_match(&task, if_match)?;
        if task.wanted == Wanted::Stopped || self.m.is_over(&task) {
            // What ended by itself stays as it ended; a shorter grace for a stop that is under way is heard.
            let shortened =
                task.wanted == Wanted::Stopped && how.grace.is_some() && self.shorten(&task, how.grace);
            return Ok(Answer::Task(Box::new(self.answer(id, shortened)?)));
        }
        let mut task = TaskRecord::clone(&task);
        task.wanted = Wanted::Stopped;
        self.task_event("task.stop", &task, None, None, Some(Reason::StoppedByUser), String::new());
        self.put_task(task);
        self.stop_live(id, Reason::StoppedByUser, how.grace);
        self.reconcile(id);
        Ok(Answer::Task(Box::new(self.answer(id, true)?)))
    }

    fn shorten(&mut self, task: &TaskRecord, grace: Option<Span>) -> bool {
        let Some(placement) = task.placement.and_then(|p| self.m.durable.placements.get(&p)) else {
            return false;
        };
        if placement.is_ended() || placement.stop.as_ref().is_none_or(|s| s.grace == grace) {
            return false;
        }
        let mut placement = PlacementRecord::clone(placement);
        if let Some(stop) = &mut placement.stop {
            stop.grace = grace;
        }
        self.put_placement(placement, SetChange::Yes);
        true
    }

    fn restart(&mut self, text: &str, if_match: Option<u64>) -> Result<Answer, Problem> {
        let id = self.m.find_task(text)?;
        let task = self.m.task(id)?;
        self.check_match(&task, if_match)?;
        if task.removing {
            return Err(Problem::new(Code::NameTaken, format!("the task `{}` is being removed", task.name)));
        }
        self.refuse_if_scarce()?;
        let mut task = TaskRecord::clone(&task);
        task.wanted = Wanted::Running;
        task.run += 1;
        task.waiting = None;
        task.avoid.clear();
        self.task_event("task.restart", &task, None, None, None, String::new());
        self.put_task(task);
        self.reconcile(id);
        Ok(Answer::Task(Box::new(self.answer(id, true)?)))
    }

    fn remove(&mut self, text: &str, force: bool, if_match: Option<u64>) -> Result<Answer, Problem> {
        let id = self.m.find_task(text)?;
        let task = self.m.task(id)?;
        refuse_of_job(&task)?;
        self.check_match(&task, if_match)?;
        if !force && !self.m.is_over(&task) {
            return Err(Problem::new(Code::StillRunning, format!("the task `{}` has not ended", task.name))
                .hint(format!("orcactl task stop {0}, or orcactl task remove --force {0}", task.name)));
        }
        let mut view = self.answer(id, !task.removing)?;
        if !task.removing {
            let mut task = TaskRecord::clone(&task);
            task.removing = true;
            task.wanted = Wanted::Stopped;
            self.task_event("task.remove", &task, None, None, None, String::new());
            self.put_task(task);
            self.stop_live(id, Reason::StoppedByUser, None);
            self.reconcile(id);
            if let Some(now) = self.m.task_view(id, self.now) {
                view.task = now;
            }
        }
        view.explanation = None;
        Ok(Answer::Task(Box::new(view)))
    }

    pub(super) fn refuse_if_scarce(&self) -> Result<(), Problem> {
        if self.m.live.scarce {
            return Err(Problem::new(
                Code::StoreFull,
                "the disk of the state folder is nearly full: nothing new is accepted",
            )
            .because("what is there can still be read, stopped and removed")
            .hint("free space on the file system of /var/lib/orca (df -h /var/lib/orca)"));
        }
        Ok(())
    }

    fn check_match(&self, task: &TaskRecord, if_match: Option<u64>) -> Result<(), Problem> {
        let revision = self.m.task_revision(task.id).unwrap_or(task.revision);
        match if_match {
            Some(wanted) if wanted != revision => Err(Problem::new(
                Code::Changed,
                format!("`{}` is at revision {revision}, not {wanted}", task.name),
            )
            .hint("read it again and repeat")),
            _ => Ok(()),
        }
    }

    /// A name that orca makes up: the image's, and a number where that is taken.
    fn free_name(&self, spec: &TaskSpec) -> Result<Name, Problem> {
        let base = spec.image.suggested_name();
        let taken = |name: &Name| {
            self.m.durable.names.contains_key(name) || self.m.durable.job_names.contains_key(name)
        };
        if !taken(&base) {
            return Ok(base);
        }
        (2..=TASKS_MAX + 1)
            .filter_map(|n| format!("{base}-{n}").parse::<Name>().ok())
            .find(|name| !taken(name))
            .ok_or_else(|| {
                Problem::new(Code::NameTaken, format!("every name `{base}-N` is taken"))
                    .hint("give one with --name")
            })
    }

    /// Asks for the end of whatever of a task is live.
    pub fn stop_live(&mut self, task: TaskId, reason: Reason, grace: Option<Span>) {
        let Some(record) = self.m.durable.tasks.get(&task) else { return };
        let next = record.next.as_ref().map(|n| n.placement);
        for placement in [next, record.placement, record.retired].into_iter().flatten() {
            self.stop_placement(placement, reason, grace);
        }
    }

    /// The one rule that moves a task (see the module's first lines).
    pub fn reconcile(&mut self, id: TaskId) {
        self.settle_next(id);
        let Some(task) = self.m.durable.tasks.get(&id).map(Arc::clone) else { return };
        let placement = self.m.placement(task.placement).map(Arc::clone);
        let live = placement.as_ref().is_some_and(|p| !p.is_ended());
        let current = placement.as_ref().is_some_and(|p| p.run == task.run);
        match (task.wanted, live) {
            (Wanted::Running, true) if !current => {
                self.stop_live(id, Reason::StoppedByRollout, None);
                self.wait(id, Reason::WaitingOn, "its earlier run is being stopped");
            }
            (Wanted::Running, true) => self.consider_elsewhere(id),
            (Wanted::Running, false) if current && placement.as_ref().is_some_and(|p| !p.goes_on()) => {
                // It ended by itself, and its policy allows no more: that is its end, until somebody asks again.
            }
            (Wanted::Running, false) if self.m.other_live(&task) => {
                self.wait(id, Reason::WaitingOn, "its former placement is being stopped");
            }
            (Wanted::Running, false) => self.place(id, placement.as_ref().map(|p| p.node)),
            (Wanted::Stopped, _) if live || self.m.other_live(&task) => {
                let by_job = task.owner.is_some();
                self.stop_live(id, if by_job { Reason::StoppedByJob } else { Reason::StoppedByUser }, None);
            }
            (Wanted::Stopped, _) => {
                if task.waiting.is_some() {
                    let mut task = TaskRecord::clone(&task);
                    task.waiting = None;
                    self.put_task(task);
                }
                if task.removing {
                    self.forget(id);
                }
            }
        }
    }

    /// Records why a task has no node; says so once.
    pub fn wait(&mut self, id: TaskId, reason: Reason, message: &str) {
        let Some(task) = self.m.durable.tasks.get(&id) else { return };
        if task.waiting.as_ref().is_some_and(|w| w.reason == reason && w.message == message) {
            return;
        }
        let since = task.waiting.as_ref().filter(|w| w.reason == reason).map_or(self.now.wall, |w| w.since);
        let mut task = TaskRecord::clone(task);
        task.waiting = Some(Waiting { reason, message: message.to_owned(), since });
        self.task_event("task.state", &task, None, Some("waiting"), Some(reason), message.to_owned());
        self.put_task(task);
    }

    /// A new placement takes the place of the former, which is kept for its logs; the one before that goes.
    pub fn bind(&mut self, id: TaskId, node: NodeId) {
        let Some(task) = self.m.durable.tasks.get(&id) else { return };
        let mut task = TaskRecord::clone(task);
        let former = self.m.placement(task.placement).filter(|p| p.run == task.run);
        let budget_used = former.map_or(0, |p| p.status.budget_used.max(p.budget_used));
        self.retire(&mut task, None, node);
        let placement = self.new_placement(&task, node, PlacementWanted::Running, budget_used);
        task.placement = Some(placement.id);
        task.waiting = None;
        self.task_event("task.state", &task, Some(node), Some("assigned"), None, String::new());
        self.put_placement(placement, SetChange::Yes);
        self.put_task(task);
    }

    /// A placement of a task on a node, of its present run and version.
    pub fn new_placement(
        &mut self,
        task: &TaskRecord,
        node: NodeId,
        wanted: PlacementWanted,
        budget_used: u32,
    ) -> PlacementRecord {
        let id = PlacementId::fresh(self.ids);
        PlacementRecord {
            id,
            task: task.id,
            name: task.name.clone(),
            node,
            revision: self.revision,
            created_at: self.now.wall,
            run: task.run,
            version: task.version,
            spec: Arc::clone(&task.spec),
            digest: task.digest.clone(),
            wanted,
            stop: None,
            attempts_before: task.attempts_before,
            budget_used,
            status: orca_api::link::PlacementStatus {
                placement: id,
                task: task.id,
                sequence: 0,
                attempts: Vec::new(),
                restarts: 0,
                budget_used,
                next_attempt_at: None,
                finished: false,
                progress: None,
                warning: None,
            },
            since: self.now.wall,
            lost: None,
            spare: None,
        }
    }

    fn forget(&mut self, id: TaskId) {
        let Some(task) = self.m.durable.tasks.get(&id).map(Arc::clone) else { return };
        let next = task.next.as_ref().map(|n| n.placement);
        for placement in [task.placement, task.retired, next].into_iter().flatten() {
            self.drop_placement(placement);
        }
        self.task_event("task.removed", &task, None, None, None, String::new());
        self.tasks.insert(id);
        self.lost_one(&task);
        self.put(Change::TaskGone { task: id });
    }
}

/// What a job decides of its tasks is not decided of one of them.
fn refuse_of_job(task: &TaskRecord) -> Result<(), Problem> {
    let Some(owner) = &task.owner else { return Ok(()) };
    let job = task.name.as_str().split('.').next().unwrap_or_default();
    let group = if owner.group.is_empty() { String::new() } else { format!(" --group {}", owner.group) };
    Err(Problem::new(Code::OfAJob, format!("`{}` is a task of the job `{job}`", task.name))
        .because("the job would start it again")
        .hint(format!(
            "orcactl job scale {job}{group} COUNT, orcactl job stop {job}, or orcactl task restart {}",
            task.name
        )))
}

/// The top-level fields in which two specs differ.
fn changed_fields(old: &TaskSpec, new: &TaskSpec) -> Vec<String> {
    let value = |spec: &TaskSpec| match serde_json::to_value(spec) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (value(old), value(new));
    let mut fields: Vec<String> =
        old.keys().chain(new.keys()).filter(|k| old.get(*k) != new.get(*k)).cloned().collect();
    fields.sort();
    fields.dedup();
    fields
}
