//! A round of the daemon as a manager, with or without a worker beside it.

use std::error::Error;
use std::sync::Arc;

use futures_util::FutureExt as _;
use orca_api::node::Role;
use orca_core::manager;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    OpenedManager, Parts, Pulse, Round, Sockets, WorkerParts, drive, run_worker, serve_sockets, until_stopped,
};
use crate::clock::OsIds;
use crate::daemon::Manners;
use crate::driver;
use crate::manager::control::{About, Control, Network};
use crate::manager::link::{Link, Workers};
use crate::manager::members::Members;
use crate::manager::port::Port;
use crate::manager::role::{ManagerRole, Summary, stopping};
use crate::manager::{hands, unattended};
use crate::metrics::Metrics;
use crate::net::unix::Service as _;
use crate::net::{http, memory};
use crate::tasks::Tasks;
use crate::worker::link::Way;

pub(super) async fn serve(
    parts: Parts,
    opened: OpenedManager,
    sockets: &Sockets,
    manners: &Manners,
    round: Round,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Parts { config, worker, life } = parts;
    let OpenedManager { manager: core, store, here, authority } = opened;
    let Round { stop, again, started_at } = round;
    let halt = CancellationToken::new();
    let (mut front, mut back) = (Tasks::new(stop.clone()), Tasks::new(halt.clone()));
    let pulse = Pulse::new(1 + usize::from(worker.is_some()), manners);

    let (queue, inbox) = driver::queue::<ManagerRole>();
    let metrics = Metrics::new(started_at);
    let counted = metrics.clone();
    let commits = Box::new(move |took| counted.committed(took));
    let (hand, effects) = mpsc::unbounded_channel();
    let (role, manager, summary) = ManagerRole::new(core, store, Box::new(OsIds), queue, hand, commits);
    manager.tell(manager::Event::Started).await?;
    drive(&mut back, "manager", role, inbox, pulse.of(0), &halt);

    let workers = Arc::new(Workers::default());
    let members = authority.map(|authority| Members::new(manager.clone(), authority, Box::new(OsIds)));
    let link = Arc::new(Link::new(
        manager.clone(),
        Arc::clone(&workers),
        members.as_ref().ok().cloned(),
        Box::new(OsIds),
        halt.clone(),
    ));
    let (dialer, connections) = memory::listen(here);
    let own = Arc::clone(&link);
    back.spawn("link", async move {
        own.serve(connections).await;
        Ok(())
    });
    let network = match members {
        Ok(members) => {
            let server = members.authority().server()?;
            let fresh = Arc::clone(members.authority()).keep_fresh(halt.clone());
            back.spawn("certificate", async move {
                fresh.await;
                Ok(())
            });
            let settled = Arc::clone(&members).keep_settled(halt.clone());
            back.spawn("authority", async move {
                settled.await;
                Ok(())
            });
            let port = Port::new(server, manager.clone(), link, Arc::clone(&members), halt.clone());
            Ok((members, port))
        }
        Err(problem) => Err(problem),
    };

    let worker = match worker {
        Some(worker) => {
            let way = (&config, life, Way::Own(dialer));
            Some(run_worker(worker, way, &metrics, pulse.of(1), &mut back, &halt).await?)
        }
        None => None,
    };
    let about = About {
        here,
        roles: config.roles.clone(),
        started_at,
        facts: worker.as_ref().map(|w| w.facts.clone()),
        again,
        config: config.clone(),
    };
    let port = network.as_ref().ok().map(|(_, port)| Arc::clone(port));
    let network = network.map(|(members, port)| Network { members, port });
    let control = Arc::new(Control::new(
        manager.clone(),
        workers,
        about,
        network,
        metrics,
        Box::new(OsIds),
        stop.clone(),
    )?);
    if let Some(port) = &port {
        // Without holding on to each other: a round that is over lets go of its store.
        let api = Arc::downgrade(&control);
        port.answers_with(Box::new(move |connection, request| {
            let api = api.upgrade();
            async move {
                match api {
                    Some(api) => api.answer(connection, request).await,
                    None => http::problem(&stopping()),
                }
            }
            .boxed()
        }));
    }
    let (to, open, halted) = (manager.clone(), port.clone(), halt.clone());
    back.spawn("hands", async move {
        hands::run(effects, to, open.clone(), halted).await;
        if let Some(port) = open {
            port.ended().await;
        }
        Ok(())
    });
    let mut handle = None;
    if let Some(WorkerParts { handle: queue, client, .. }) = worker {
        let stopped = stop.clone();
        front.spawn("link client", async move {
            client.run(stopped.clone()).await;
            // The manager is in this process: it neither removes this node nor lets it leave.
            stopped.cancelled().await;
            Ok(())
        });
        handle = Some(queue);
    }
    serve_sockets(&mut front, sockets, &control, &stop);
    let (joining, stopped) = (unattended::run(control, config.clone(), stop.clone()), stop.clone());
    front.spawn("join as configured", async move {
        joining.await;
        stopped.cancelled().await;
        Ok(())
    });
    front.spawn("status line", tell_status(summary, config.roles, Arc::clone(&manners.status), stop.clone()));
    (manners.ready)();
    tracing::info!(version = orca_api::VERSION, node = %here, "orcad serves");
    until_stopped(front, back, &stop, handle.as_ref(), manners, || manager.waiters().close()).await
}

/// `manager, 1/1 workers, 12 tasks running`
async fn tell_status(
    mut summary: watch::Receiver<Summary>,
    roles: Vec<Role>,
    status: Arc<dyn Fn(&str) + Send + Sync>,
    stop: CancellationToken,
) -> crate::tasks::TaskResult {
    loop {
        let Summary { ready, nodes, running } = *summary.borrow_and_update();
        status(&status_line(&roles, ready, nodes, running));
        tokio::select! {
            changed = summary.changed() => {
                if changed.is_err() {
                    // The driver has ended, which is told elsewhere.
                    stop.cancelled().await;
                    return Ok(());
                }
            }
            () = stop.cancelled() => return Ok(()),
        }
    }
}

fn status_line(roles: &[Role], ready: usize, nodes: usize, running: usize) -> String {
    let roles: Vec<&str> = roles.iter().map(|r| r.as_str()).collect();
    let tasks = if running == 1 { "task" } else { "tasks" };
    format!("{}, {ready}/{nodes} workers, {running} {tasks} running", roles.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line() {
        assert_eq!(status_line(&[Role::Manager], 1, 1, 12), "manager, 1/1 workers, 12 tasks running");
        assert_eq!(
            status_line(&[Role::Manager, Role::Worker], 0, 1, 1),
            "manager+worker, 0/1 workers, 1 task running"
        );
    }
}
