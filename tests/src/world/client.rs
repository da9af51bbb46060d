//! Who asks: at random in a simulation, by hand in a scenario. A request that is not answered is asked again with
//! the same key, as a careful client does.

use std::collections::BTreeMap;

use orca_api::control::{SetAvailability, StartTask, StopTask};
use orca_api::error::{Code, Problem};
use orca_api::id::TaskId;
use orca_api::join::Secret;
use orca_api::node::Availability;
use orca_api::spec::TaskSpec;
use orca_core::manager::{Answer, Asked, Peer, Request};

use super::{Happening, World};

/// How long an answer is waited for.
const PATIENCE_MS: u64 = 5_000;
/// The names that a random client uses.
const NAMES: [&str; 6] = ["web", "api", "db", "cache", "batch", "probe"];
/// The images that a random client uses.
const IMAGES: [&str; 10] = [
    "forever",
    "forever-too",
    "stubborn",
    "exit-0-after-3000",
    "exit-0-after-40000",
    "exit-1-after-500",
    "exit-7-after-20000",
    "sick-after-15000",
    "missing",
    "unstartable",
];

/// What a client does next.
#[derive(Debug)]
pub(crate) enum Do {
    /// Ask something new.
    Act,
    /// Ask again, if there was no answer.
    Retry(u64),
}

/// A request under way.
#[derive(Clone, Debug)]
struct Pending {
    request: Request,
    tries: u32,
}

/// The client.
pub struct Client {
    numbers: u64,
    pending: BTreeMap<u64, Pending>,
    /// Answers by request, for those whose request was asked more than once.
    made: BTreeMap<u64, TaskId>,
    acts: bool,
    /// The secret of the token that was made last.
    pub(crate) secret: Option<Secret>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self { numbers: 0, pending: BTreeMap::new(), made: BTreeMap::new(), acts: false, secret: None }
    }
}

impl World {
    /// Lets a random client ask every few seconds, until it is told to rest.
    pub fn let_client_act(&mut self) {
        self.client.acts = true;
        self.schedule(500, Happening::Client(Do::Act));
    }

    /// The random client asks nothing new, and does not insist any more.
    pub fn let_client_rest(&mut self) {
        self.client.acts = false;
        self.client.pending.clear();
    }

    /// Asks something. The answer is in the transcript.
    pub fn ask_manager(&mut self, request: Request) {
        self.client.numbers += 1;
        let number = self.client.numbers;
        self.client.pending.insert(number, Pending { request, tries: 0 });
        self.try_request(number);
    }

    pub(crate) fn client_does(&mut self, what: Do) {
        match what {
            Do::Act if self.client.acts => {
                let request = self.random_request();
                self.ask_manager(request);
                let next = self.rng.between(200, 8_000);
                self.schedule(next, Happening::Client(Do::Act));
            }
            Do::Act => {}
            Do::Retry(number) => self.try_request(number),
        }
    }

    fn try_request(&mut self, number: u64) {
        let Some(pending) = self.client.pending.get_mut(&number) else { return };
        pending.tries += 1;
        let request = pending.request.clone();
        if let Request::Remove { task, .. } = &request {
            self.checker.removal_asked(task);
        }
        let again = if pending.tries > 1 { " again" } else { "" };
        self.note(format!("asks{again}: {}", described(&request)));
        let digest = format!("{request:?}");
        self.manager_asked(number, |token| Asked {
            token,
            peer: Peer::Local,
            request_id: format!("r{number}"),
            key: Some((format!("k{number}"), digest)),
            if_match: None,
            request,
        });
        self.schedule(PATIENCE_MS, Happening::Client(Do::Retry(number)));
    }

    pub(crate) fn client_hears(&mut self, number: u64, answer: Result<Answer, Problem>) {
        if self.rng.chance(self.faults.lost) {
            return;
        }
        let pending = self.client.pending.remove(&number);
        match answer {
            Ok(Answer::Created(a) | Answer::Task(a)) => {
                self.note(format!(
                    "  ok: {} is {}{}",
                    a.task.name,
                    a.task.phase,
                    if a.changed { "" } else { ", unchanged" }
                ));
                if let Some(before) = self.client.made.insert(number, a.task.id)
                    && before != a.task.id
                {
                    self.checker.find(format!(
                        "request {number} was answered with two tasks: {before} and {}",
                        a.task.id
                    ));
                }
                let asked = pending.map(|p| p.request);
                if matches!(asked, Some(Request::Remove { .. })) {
                    self.checker.removal_acknowledged(a.task.id);
                }
                let started = matches!(asked, Some(Request::Start(_)));
                let name = a.task.name.as_str();
                let removal =
                    |p: &Pending| matches!(&p.request, Request::Remove { task, .. } if task == name);
                if started && !self.client.pending.values().any(removal) {
                    self.checker.acknowledged(a.task.id, name, a.task.revision);
                }
                if let Some(explanation) = &a.explanation {
                    self.note(format!("  {}", explanation.verdict));
                }
            }
            Ok(Answer::Node(node)) => self.note(format!("  ok: {} is {}", node.name, node.availability)),
            Ok(Answer::TokenMade { view, secret }) => {
                self.note(format!("  ok: a token, {} may join with it", view.uses_left));
                self.client.secret = Some(secret);
            }
            Ok(_) => {}
            Err(problem) => {
                self.note(format!("  {} {}", problem.code, problem.detail));
                if problem.code == Code::Internal {
                    self.checker.find(format!("a defect was answered: {}", problem.detail));
                }
            }
        }
    }

    fn random_request(&mut self) -> Request {
        let name = (*self.rng.pick(&NAMES)).to_owned();
        match self.rng.below(100) {
            0..45 => {
                let spec = self.random_spec();
                let replace = self.rng.chance(500);
                Request::Start(Box::new(StartTask { name: name.parse().ok(), spec, replace }))
            }
            45..60 => Request::Stop { task: name, how: StopTask::default() },
            60..75 => Request::Restart { task: name },
            75..90 => {
                let force = self.rng.chance(700);
                Request::Remove { task: name, force }
            }
            _ => {
                let node = format!("n{}", self.rng.between(1, self.workers.len() as u64));
                let availability = match self.rng.below(10) {
                    0..2 => Availability::Paused,
                    2..5 => Availability::Draining,
                    _ => Availability::Active,
                };
                Request::SetAvailability { node, set: SetAvailability { availability, deadline: None } }
            }
        }
    }

    fn random_spec(&mut self) -> TaskSpec {
        let image = self.rng.pick(&IMAGES).parse().expect("an image");
        let mut spec = TaskSpec::of_image(image);
        let policy = *self.rng.pick(&["always", "on-failure", "on-failure:3", "never"]);
        spec.restart = policy.parse().expect("a policy");
        let memory = *self.rng.pick(&["64MiB", "512MiB", "1500MiB", "3GiB"]);
        spec.memory = memory.parse().ok();
        if self.rng.chance(300) {
            spec.ports = vec![self.rng.pick(&["8080:80", "9090:90"]).parse().expect("a port")];
        }
        spec.stop_grace = "3s".parse().ok();
        spec.singleton = self.rng.chance(150);
        spec
    }
}

/// A request in a line.
fn described(request: &Request) -> String {
    match request {
        Request::Start(s) => {
            let name = s.name.as_ref().map_or("-", |n| n.as_str());
            let mut words =
                vec![format!("start {name} {}", s.spec.image), format!("--restart {}", s.spec.restart)];
            words.extend(s.spec.memory.map(|m| format!("--memory {m}")));
            words.extend(s.spec.ports.iter().map(|p| format!("-p {p}")));
            if s.replace {
                words.push("--replace".to_owned());
            }
            words.join(" ")
        }
        Request::Stop { task, .. } => format!("stop {task}"),
        Request::Restart { task } => format!("restart {task}"),
        Request::Remove { task, force } => format!("remove {task}{}", if *force { " --force" } else { "" }),
        Request::SetAvailability { node, set } => format!("{node} {}", set.availability),
        Request::SetLabels { node, .. }
        | Request::ConfirmDown { node }
        | Request::RemoveNode { node, .. } => node.clone(),
        other => other.method().to_owned(),
    }
}
