//! A round of the daemon as a worker of another machine's manager; it ends as one when the node leaves, or was removed.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use orca_api::join::JoinToken;
use orca_api::link::{Assignment, Generation};
use orca_core::worker;
use tokio_util::sync::CancellationToken;

use super::state::stamp;
use super::{Parts, Pulse, Round, Sockets, WorkerParts, run_worker, serve_sockets, until_stopped};
use crate::again::Again;
use crate::clock::{self, OsIds};
use crate::config::Config;
use crate::daemon::Manners;
use crate::metrics::Metrics;
use crate::pki::identity;
use crate::tasks::{TaskResult, Tasks};
use crate::worker::WorkerHandle;
use crate::worker::control::{self, WorkerControl};
use crate::worker::link::{LinkClient, Over, Way};
use crate::worker::member::Member;

/// How long a node that leaves by force waits for its containers to end.
const CONTAINERS_END: Duration = Duration::from_mins(1);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn serve(
    parts: Parts,
    member: Arc<Member>,
    sockets: &Sockets,
    manners: &Manners,
    round: Round,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Parts { config, worker, life } = parts;
    let Round { stop, again, started_at } = round;
    let Some(worker) = worker else { return Err("a worker has no store".into()) };
    check_configured(&config, &member);
    let halt = CancellationToken::new();
    let (mut front, mut back) = (Tasks::new(stop.clone()), Tasks::new(halt.clone()));
    let pulse = Pulse::new(1, manners);
    let metrics = Metrics::new(started_at);
    let way = (&config, life, Way::Member(Arc::clone(&member)));
    let WorkerParts { handle, facts, served, client } =
        run_worker(worker, way, &metrics, pulse.of(0), &mut back, &halt).await?;
    let parts = control::Parts {
        member: Arc::clone(&member),
        worker: handle.clone(),
        served,
        facts,
        started_at,
        metrics,
    };
    let api = Arc::new(WorkerControl::new(parts, Box::new(OsIds))?);
    serve_sockets(&mut front, sockets, &api, &stop);
    drop(api);
    let (known, to, stopped) = (Arc::clone(&member), handle.clone(), stop.clone());
    let state = config.state_dir.clone();
    front.spawn("link client", async move { belong(client, &known, &to, &state, &again, stopped).await });
    let name = member.identity().about.name;
    let (status, stopped) = (Arc::clone(&manners.status), stop.clone());
    front.spawn("status line", async move {
        status(&format!("worker {name} of a cluster"));
        stopped.cancelled().await;
        Ok(())
    });
    (manners.ready)();
    tracing::info!(version = orca_api::VERSION, node = %member.identity().about.node, "orcad serves");
    until_stopped(front, back, &stop, Some(&handle), manners, || ()).await
}

/// A configuration that names another cluster than this node's is a contradiction that somebody has to settle.
fn check_configured(config: &Config, member: &Member) {
    let Some(token) = config.join.as_ref().and_then(|text| text.parse::<JoinToken>().ok()) else { return };
    if !identity::bundle_holds(member.identity().cas(), token.ca).unwrap_or(true) {
        tracing::error!(
            cluster = %member.identity().about.cluster,
            "`join` in the configuration names another cluster than this node's (or an authority of it that was replaced since): remove it, or leave first: orcactl worker leave"
        );
    }
}

/// Keeps the link up for as long as this node belongs to the cluster. Then its containers go, the identity is put aside,
/// and the daemon begins anew as a cluster of one.
async fn belong(
    client: LinkClient,
    member: &Member,
    worker: &WorkerHandle,
    state: &std::path::Path,
    again: &Again,
    stop: CancellationToken,
) -> TaskResult {
    let cluster = member.identity().about.cluster;
    let over = tokio::select! {
        over = client.run(stop.clone()) => Some(over),
        () = member.leave_forced() => None,
    };
    let patient = match over {
        Some(Over::Stopped) => {
            stop.cancelled().await;
            return Ok(());
        }
        Some(Over::Removed(problem)) => {
            tracing::error!(
                %cluster,
                hint = problem.hint.join("; "),
                "{problem}: the containers of its tasks are stopped, and this machine is a cluster of one again"
            );
            member.connecting(*problem);
            true
        }
        Some(Over::Left) => {
            tracing::info!(%cluster, "this node has left the cluster");
            true
        }
        None => {
            tracing::warn!(%cluster, "this node leaves the cluster without its manager");
            false
        }
    };
    // The emptiest of all sets, and the last: it outlives a restart of this daemon.
    let last = Generation { epoch: u64::MAX, n: u64::MAX };
    let assignment = Assignment { generation: last, ..Assignment::default() };
    worker.send(worker::Event::Assigned { assignment, specs: std::collections::BTreeMap::new() }).await?;
    let empty = async {
        loop {
            if worker.read(|worker, _| worker.inventory().is_empty()).await? {
                return Ok::<(), crate::driver::Stopped>(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        emptied = empty => emptied?,
        // Who was told by the manager to stop does not go on before that is done.
        () = tokio::time::sleep(CONTAINERS_END), if !patient => {
            tracing::warn!("containers are left: docker ps -a --filter label=orca.cluster={cluster}");
        }
    }
    let state = state.to_owned();
    let stamp = stamp(clock::now().wall);
    tokio::task::spawn_blocking(move || identity::archive(&state, &stamp)).await??;
    member.has_left();
    again.ask();
    Ok(())
}
