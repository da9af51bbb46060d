//! What this node is: a manager that others can join, a worker of its own cluster or of another.

use std::time::Duration;

use hyper::Response;
use hyper::body::Incoming;
use orca_api::cluster::{StartManager, StartWorker};
use orca_api::control::RolesView;
use orca_api::error::{Code, Problem};
use orca_api::join::JoinToken;
use orca_api::node::{NodeState, Role};
use orca_core::manager::{Answer, Request as Asking};

use super::cluster::unexpected;
use super::control::{Call, Control, ok, read_body};
use super::port::listen_address;
use crate::clock;
use crate::join::{self, Became};
use crate::net::http::Body;

/// How long a join with force waits for the tasks of the own cluster to end: the longest grace of a stop, and a minute.
const OWN_TASKS_END: Duration = Duration::from_mins(6);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);
/// Names that a refusal lists at most.
const NAMES_SHOWN: usize = 10;

fn roles_view(roles: Vec<Role>, changed: bool, message: impl Into<String>) -> Response<Body> {
    ok(&RolesView { roles, changed, message: message.into() })
}

/// Opens the port.
pub(super) async fn manager_start(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (start, bytes) = read_body::<StartManager>(call, body).await?;
    let roles = control.about.roles.clone();
    check_role(control, Role::Manager)?;
    if start.no_worker && roles.contains(&Role::Worker) {
        return Err(Problem::new(Code::WouldStrand, "this node is a worker as well")
            .because("a manager without a worker is one by its configuration")
            .hint("roles = [\"manager\"] in /etc/orcad.toml, then: systemctl restart orcad"));
    }
    let (_, port) = control.network()?;
    let listens = control.manager.read(|manager, _| manager.listen().map(str::to_owned)).await?;
    let wanted = start.listen.as_deref().or(listens.as_deref());
    let bound = port.open(listen_address(wanted)?).await?;
    let address = Some(bound.to_string());
    let changed = address != listens;
    if changed {
        control.change(call, &bytes, Asking::Listen { address, force: false }).await?;
    }
    let message = if changed {
        format!("this node is a manager that others can join: it listens on {bound}")
    } else {
        format!("this node is a manager already: it listens on {bound}")
    };
    Ok(roles_view(roles, changed, message))
}

/// Closes the port.
pub(super) async fn manager_stop(control: &Control, call: &Call) -> Result<Response<Body>, Problem> {
    let force = call.query.flag("force")?;
    let roles = control.about.roles.clone();
    match control.change(call, b"", Asking::Listen { address: None, force }).await? {
        Answer::Done { changed } => {
            let message = if changed {
                "the port of the link is closed: no machine can join, and no other node reaches this manager"
            } else {
                "the port of the link is closed already"
            };
            Ok(roles_view(roles, changed, message))
        }
        other => Err(unexpected(&other)),
    }
}

/// Makes this node a worker: of its own cluster, or of that of a token.
pub(super) async fn worker_start(
    control: &Control,
    call: &Call,
    body: Incoming,
) -> Result<Response<Body>, Problem> {
    let (start, _) = read_body::<StartWorker>(call, body).await?;
    let Some(text) = start.join else {
        check_role(control, Role::Worker)?;
        return Ok(roles_view(control.about.roles.clone(), false, "this node is a worker already"));
    };
    let token = join::read_token(&text)?;
    let Ok(_turn) = control.turning.try_lock() else {
        return Err(Problem::new(Code::Busy, "this machine is joining a cluster already")
            .hint("orcactl status shows how far it is"));
    };
    let became = become_worker(control, Some(call), &token, start.force).await?;
    let about = &became.identity.about;
    let mut message = format!(
        "this machine is node {} of cluster {}, joined over {}",
        about.name, about.cluster, became.address
    );
    if let Some(warning) = &became.warning {
        message = format!("{message}; {warning}");
    }
    Ok(roles_view(vec![Role::Worker], true, message))
}

/// A join that the configuration asks for.
pub(super) async fn join_unattended(control: &Control, token: &JoinToken) -> Result<(), Problem> {
    let _turn = control.turning.lock().await;
    if control.manager.read(|manager, _| manager.listen().is_some()).await? {
        return Err(Problem::new(Code::OwnWork, "this machine is a manager that others can join")
            .hint("remove `join` from /etc/orcad.toml, or: orcactl worker start --join TOKEN"));
    }
    become_worker(control, None, token, false).await.map(|_| ())
}

/// Joins, stores who this machine is from now on, and has the daemon begin anew. `call` is who asks: without, nothing of
/// the own cluster is touched.
async fn become_worker(
    control: &Control,
    call: Option<&Call>,
    token: &JoinToken,
    force: bool,
) -> Result<Became, Problem> {
    if let Ok((members, _)) = control.network()
        && members.authority().digest() == token.ca
    {
        return Err(Problem::new(Code::WrongCluster, "this token is of this machine's own cluster")
            .hint("type the line on the machine that is to join"));
    }
    let facts = match &control.about.facts {
        Some(facts) => facts.borrow().clone(),
        None => {
            return Err(Problem::new(Code::NoSuchRole, "this node is not configured as a worker")
                .hint("add \"worker\" to roles in /etc/orcad.toml, then: systemctl restart orcad"));
        }
    };
    if facts.engine.is_empty() {
        return Err(Problem::new(Code::NoEngine, "a worker needs a container engine, and none answers")
            .because(format!("nothing answers at {}", control.about.config.docker.socket.display()))
            .hint("install and start one: apt-get install docker.io, then systemctl start docker")
            .hint("orcactl doctor looks at it closely"));
    }
    let own = OwnWork::of(control).await?;
    if !own.is_none() && !force {
        return Err(own.refusal());
    }
    // Nothing of this machine is touched before it is known that there is a cluster to join.
    join::reach(token, clock::clock()).await?;
    if let Some(call) = call {
        own.end(control, call).await?;
    }
    let became = join::join(token, facts, clock::clock()).await?;
    let (identity, state) = (became.identity.clone(), control.about.config.state_dir.clone());
    let saved = tokio::task::spawn_blocking(move || identity.save(&state, None)).await;
    saved.map_err(|e| Problem::new(Code::Internal, e.to_string()))?.map_err(|error| {
        Problem::new(Code::Internal, "who this machine is cannot be stored")
            .because(error.to_string())
            .hint(error.hint())
    })?;
    tracing::info!(
        cluster = %became.identity.about.cluster,
        name = %became.identity.about.name,
        "this machine is a worker of another cluster from now on"
    );
    control.about.again.ask();
    Ok(became)
}

/// What the machine's own cluster has.
struct OwnWork {
    tasks: Vec<(String, String)>,
    nodes: Vec<(String, String)>,
}

impl OwnWork {
    async fn of(control: &Control) -> Result<Self, Problem> {
        let here = control.about.here;
        control
            .manager
            .read(move |manager, now| {
                let tasks =
                    manager.task_list(now).into_iter().map(|t| (t.id.to_string(), t.name.to_string()));
                let others = manager.node_list(now).into_iter();
                let others = others.filter(|n| n.id != here && n.state != NodeState::Left);
                Self {
                    tasks: tasks.collect(),
                    nodes: others.map(|n| (n.id.to_string(), n.name.to_string())).collect(),
                }
            })
            .await
    }

    fn is_none(&self) -> bool {
        self.tasks.is_empty() && self.nodes.is_empty()
    }

    fn refusal(&self) -> Problem {
        let mut problem = Problem::new(
            Code::OwnWork,
            "this machine's own cluster has work: it would be lost by joining another",
        );
        for (what, all) in [("tasks", &self.tasks), ("nodes", &self.nodes)] {
            if !all.is_empty() {
                let names: Vec<&str> = all.iter().take(NAMES_SHOWN).map(|(_, name)| name.as_str()).collect();
                let more = all.len().saturating_sub(names.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                problem = problem.because(format!("{} {what}: {}{more}", all.len(), names.join(", ")));
            }
        }
        problem
            .hint("orcactl task stop and orcactl task remove end them; --force stops and removes all of it first")
            .details(serde_json::json!({
                "tasks": self.tasks.iter().map(|(_, name)| name).collect::<Vec<_>>(),
                "nodes": self.nodes.iter().map(|(_, name)| name).collect::<Vec<_>>(),
            }))
    }

    /// Stops and removes all of it, and waits until nothing is left.
    async fn end(&self, control: &Control, call: &Call) -> Result<(), Problem> {
        for (node, _) in &self.nodes {
            gone(control.change(call, b"", Asking::RemoveNode { node: node.clone(), force: true }).await)?;
        }
        for (task, _) in &self.tasks {
            gone(control.change(call, b"", Asking::Remove { task: task.clone(), force: true }).await)?;
        }
        let ended = async {
            loop {
                if OwnWork::of(control).await?.tasks.is_empty() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(OWN_TASKS_END, ended).await.unwrap_or_else(|_| {
            Err(Problem::new(Code::StillRunning, "the tasks of this machine's own cluster do not end")
                .hint("orcactl task list shows them"))
        })
    }
}

/// What somebody else removed meanwhile is removed.
fn gone(answer: Result<Answer, Problem>) -> Result<(), Problem> {
    match answer {
        Err(problem) if !matches!(problem.code, Code::NoSuchTask | Code::NoSuchNode) => Err(problem),
        _ => Ok(()),
    }
}

pub(super) fn worker_stop(control: &Control) -> Result<Response<Body>, Problem> {
    if !control.about.roles.contains(&Role::Worker) {
        return Ok(roles_view(control.about.roles.clone(), false, "this node runs no tasks already"));
    }
    Err(Problem::new(Code::WouldStrand, "this node is the worker of its own cluster")
        .because("a manager without a worker is one by its configuration")
        .hint("orcactl node pause NAME keeps new work off it")
        .hint("roles = [\"manager\"] in /etc/orcad.toml, then systemctl restart orcad: it runs no tasks any more"))
}

pub(super) fn leave() -> Result<Response<Body>, Problem> {
    Err(Problem::new(
        Code::NoSuchRole,
        "this machine is the manager of its own cluster: there is nothing to leave",
    )
    .hint("orcactl worker start --join TOKEN makes it a worker of another cluster"))
}

fn check_role(control: &Control, role: Role) -> Result<(), Problem> {
    if control.about.roles.contains(&role) {
        return Ok(());
    }
    Err(Problem::new(Code::NoSuchRole, format!("this node is not configured as a {role}"))
        .because(format!("roles in /etc/orcad.toml leaves out `{role}`"))
        .hint(format!("add \"{role}\" to roles in /etc/orcad.toml, then: systemctl restart orcad")))
}
