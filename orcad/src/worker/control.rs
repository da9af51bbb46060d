//! The control API of a node that is a worker of another machine's manager: what it is, how its way to the manager is,
//! and how it leaves. Everything else is the manager's to answer, and who asks is told where that is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use orca_api::cluster::{StartWorker, StopRole};
use orca_api::control::{Attention, CpuView, MemoryView, NodeView, RolesView, Status, VersionView};
use orca_api::error::{Code, Problem};
use orca_api::id::{IdSource, RequestId};
use orca_api::link::{LINK_VERSION, NodeFacts};
use orca_api::load::NodeLoad;
use orca_api::node::{Availability, Condition, NodeState, Role};
use orca_api::route::Route;
use orca_api::task::Phase;
use orca_api::units::{Bytes, Cpu, Time};
use tokio::sync::watch;

use super::WorkerHandle;
use super::member::{Leave, Member};
use super::serve::Served;
use crate::join;
use crate::metrics::{Metrics, Snapshot};
use crate::net::api::{Call, Paths, REQUEST_ID, Refused, list, ok, read_body};
use crate::net::http::{self, Body};
use crate::net::unix::{Connection, Service};

/// How long a request to leave waits for the end of it, so that most answers say that it is done: less than clients wait
/// for a first byte.
const LEAVE_WAIT: Duration = Duration::from_secs(3);

/// The control API of a worker.
pub struct WorkerControl {
    member: Arc<Member>,
    worker: WorkerHandle,
    served: Arc<Served>,
    facts: watch::Receiver<NodeFacts>,
    started_at: Time,
    metrics: Metrics,
    paths: Paths,
    ids: Mutex<Box<dyn IdSource + Send>>,
}

/// What the API knows of its daemon.
pub struct Parts {
    /// Who it is, and how the link is.
    pub member: Arc<Member>,
    /// The worker core.
    pub worker: WorkerHandle,
    /// The newest measurements.
    pub served: Arc<Served>,
    /// What the node is.
    pub facts: watch::Receiver<NodeFacts>,
    /// Since when the daemon runs.
    pub started_at: Time,
    /// What it counts.
    pub metrics: Metrics,
}

impl WorkerControl {
    /// The API.
    ///
    /// # Errors
    /// Where two routes have the same path: a defect of the table.
    pub fn new(parts: Parts, ids: Box<dyn IdSource + Send>) -> Result<Self, matchit::InsertError> {
        let Parts { member, worker, served, facts, started_at, metrics } = parts;
        let (paths, ids) = (Paths::new()?, Mutex::new(ids));
        Ok(Self { member, worker, served, facts, started_at, metrics, paths, ids })
    }

    async fn call(
        &self,
        connection: Connection,
        id: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refused> {
        let (route, call, body) = self.paths.read(connection, id, request)?;
        let answer = self.dispatch(route, &call, body).await;
        let status = answer.as_ref().map_or_else(|problem| problem.status, |answer| answer.status().as_u16());
        self.metrics.answered(&format!("{route:?}"), status);
        Ok(answer?)
    }

    async fn dispatch(&self, route: Route, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
        match route {
            Route::Version => Ok(ok(&VersionView {
                version: orca_api::VERSION.to_owned(),
                api: "v1".to_owned(),
                link: LINK_VERSION,
            })),
            Route::OpenApi => Ok(ok(&orca_api::openapi::document())),
            Route::Status => Ok(ok(&self.status().await?)),
            Route::Metrics => {
                let snapshot = Snapshot::of_node(self.node_view().await?, (*self.served.load()).clone());
                let text = self.metrics.text(&snapshot, 0);
                Ok(http::typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
            }
            Route::NodeList => Ok(list(vec![self.node_view().await?], 0, None)),
            Route::WorkerStart => self.worker_start(call, body).await,
            Route::Leave => self.leave(call, body).await,
            Route::WorkerStop => {
                Err(Problem::new(Code::WouldStrand, "a worker of another machine's manager stops by leaving")
                    .hint("orcactl worker leave: its tasks are moved elsewhere first"))
            }
            Route::ManagerStart | Route::ManagerStop => Err(Problem::new(
                Code::NoSuchRole,
                "this node is a worker of a cluster whose manager is another machine",
            )
            .because("a cluster has one manager")
            .hint("orcactl worker leave makes it a cluster of its own again")),
            _ => Err(self.not_manager()),
        }
    }

    fn not_manager(&self) -> Problem {
        let managers = self.member.link().managers;
        let mut problem = Problem::new(Code::NotManager, "this node is a worker; its manager answers that")
            .because(format!("managers listen at {}", managers.join(", ")))
            .details(serde_json::json!({ "managers": managers }));
        if let Some(first) = managers.first() {
            problem = problem.hint(format!(
                "type it on the manager, or: orcactl --host {first} …, with a certificate of orcactl cluster admin-cert"
            ));
        }
        problem
    }

    async fn node_view(&self) -> Result<NodeView, Problem> {
        let (identity, link, facts) =
            (self.member.identity(), self.member.link(), self.facts.borrow().clone());
        let load = self.served.load();
        let read = self.worker.read(|worker, _| {
            let tasks = worker.inventory().iter().filter(|p| !p.finished).count();
            (worker.conditions(), tasks)
        });
        let (conditions, tasks) =
            read.await.map_err(|stopped| Problem::new(Code::Stopping, stopped.to_string()))?;
        Ok(view(&identity.about, identity.facts.not_after, &link, &facts, &load, conditions, tasks))
    }

    async fn status(&self) -> Result<Status, Problem> {
        let node = self.node_view().await?;
        let phases = self.worker.read(|worker, _| {
            let states = worker.inventory();
            states
                .iter()
                .map(|p| p.attempts.last().map_or(Phase::Scheduled, |a| a.state.phase()))
                .collect::<Vec<_>>()
        });
        let phases = phases.await.map_err(|stopped| Problem::new(Code::Stopping, stopped.to_string()))?;
        let mut tasks = BTreeMap::new();
        for phase in phases {
            *tasks.entry(phase).or_default() += 1;
        }
        let (identity, link) = (self.member.identity(), self.member.link());
        let mut attention: Vec<Attention> = Vec::new();
        if let Some(problem) = &link.problem {
            let why = problem.because.first().map_or_else(String::new, |why| format!(": {why}"));
            attention.push(Attention {
                text: format!("the manager is not reached: {}{why}; tasks here run on", problem.detail),
                hint: problem.hint.join("; "),
            });
        }
        if self.member.wants_to_leave() != Leave::No {
            attention.push(Attention {
                text: format!("this node leaves its cluster; tasks that are still here: {}", node.tasks),
                hint: "orcactl worker leave --force leaves at once".to_owned(),
            });
        }
        attention.extend(node.conditions.iter().map(|condition: &Condition| Attention {
            text: format!("this node is {condition}"),
            hint: condition.hint().to_owned(),
        }));
        Ok(Status {
            cluster: identity.about.cluster,
            node: identity.about.node,
            node_name: identity.about.name,
            roles: vec![Role::Worker],
            version: orca_api::VERSION.to_owned(),
            started_at: self.started_at,
            revision: 0,
            nodes: BTreeMap::from([(node.state, 1)]),
            tasks,
            attention,
            node_list: vec![node],
            link: Some(link),
        })
    }

    /// A worker joins nothing: it leaves first. A token of its own cluster changes nothing.
    async fn worker_start(&self, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
        let (start, _) = read_body::<StartWorker>(call, body).await?;
        let about = self.member.identity().about;
        if let Some(text) = start.join {
            let token = join::read_token(&text)?;
            let same = crate::pki::identity::bundle_holds(self.member.identity().cas(), token.ca);
            if !same.unwrap_or(false) {
                return Err(Problem::new(Code::OwnWork, "this node is a worker of another cluster already")
                    .because(format!("it is {} of cluster {}", about.name, about.cluster))
                    .hint("orcactl worker leave first; its tasks are moved elsewhere"));
            }
        }
        let message = format!("this node is {} of cluster {} already", about.name, about.cluster);
        Ok(ok(&RolesView { roles: vec![Role::Worker], changed: false, message }))
    }

    /// Begins to leave, and waits for a while for the end of it. Who asks again hears how far it is.
    async fn leave(&self, call: &Call, body: Incoming) -> Result<Response<Body>, Problem> {
        let (stop, _) = read_body::<StopRole>(call, body).await?;
        self.member.leave(if stop.force { Leave::Forced } else { Leave::Drained });
        let about = self.member.identity().about;
        let left = tokio::time::timeout(LEAVE_WAIT, self.member.left()).await.is_ok();
        let (roles, message) = if left {
            (
                vec![Role::Manager, Role::Worker],
                format!("this node left cluster {}: it is a cluster of one again", about.cluster),
            )
        } else {
            let tasks = self.node_view().await?.tasks;
            (
                vec![Role::Worker],
                format!("this node leaves cluster {}; tasks that are still here: {tasks}", about.cluster),
            )
        };
        Ok(ok(&RolesView { roles, changed: true, message }))
    }
}

fn view(
    about: &crate::pki::identity::About,
    expires_at: Time,
    link: &orca_api::cluster::LinkView,
    facts: &NodeFacts,
    load: &NodeLoad,
    conditions: Vec<Condition>,
    tasks: usize,
) -> NodeView {
    let measured = load.at.is_some();
    let disk = load.machine.disks.iter().find(|d| d.role == "engine");
    NodeView {
        id: about.node,
        name: about.name.clone(),
        revision: 0,
        roles: vec![Role::Worker],
        state: if link.problem.is_none() && link.state == "connected" {
            NodeState::Ready
        } else {
            NodeState::Disconnected
        },
        since: link.since,
        availability: Availability::Active,
        conditions,
        cpu: CpuView {
            total: facts.cpu,
            reserve: facts.reserve_cpu,
            reserved: Cpu::ZERO,
            used: measured.then(|| Cpu::from_millis((load.machine.cpu_average.max(0.0) * 1000.0) as u64)),
        },
        memory: MemoryView {
            total: facts.memory,
            reserve: facts.reserve_memory,
            reserved: Bytes::ZERO,
            used: measured.then(|| Bytes::new(load.machine.memory_used)),
        },
        disk: MemoryView {
            total: facts.disk,
            reserve: facts.reserve_disk,
            reserved: Bytes::ZERO,
            used: disk.map(|d| Bytes::new(d.total.saturating_sub(d.free))),
        },
        tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
        version: facts.orcad.clone(),
        engine: facts.engine.clone(),
        address: None,
        clock_ahead_ms: 0,
        certificate_expires_at: Some(expires_at),
    }
}

impl Service for WorkerControl {
    async fn answer(self: Arc<Self>, connection: Connection, request: Request<Incoming>) -> Response<Body> {
        let fresh = || RequestId::fresh(&mut **self.ids.lock().unwrap_or_else(PoisonError::into_inner));
        let id = crate::net::api::request_id(request.headers()).unwrap_or_else(|| fresh().to_string());
        let answer = self.call(connection, &id, request).await;
        let mut response = answer.unwrap_or_else(|refused| refused.answer(&id));
        http::set_header(&mut response, REQUEST_ID, &id);
        response
    }
}
