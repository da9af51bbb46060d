//! Checks over the network: whether a task's port answers, asked from the node itself.
//!
//! ```text
//!   core.checks() ──► Prober ── one loop for each container ──► connect, or GET ──► Tally ──► Event::Checked ──► core
//! ```
//!
//! While a container was never well it is asked often, at least each second, so that it counts as running soon after it
//! is; but a failure counts only once each interval, as it does where the engine checks, so that a slow start is no
//! failure: it has its start period and `retries` intervals. Afterwards it is asked each interval, and `retries` failures in
//! a row make it unhealthy.
//!
//! What follows from that is for the core to decide.

mod ask;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orca_core::worker::Event;
use orca_core::worker::io::CheckTarget;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::tally::Tally;
use crate::clock;
use crate::tasks::TaskResult;

/// Questions at the same time: a node with hundreds of tasks asks them one after the other.
const QUESTIONS_MAX: usize = 32;
/// The first pause between two questions to a container that was never well; each further one doubles …
const STARTING_FIRST: Duration = Duration::from_millis(100);
/// … up to this, or to the check's interval if that is shorter.
const STARTING_EVERY: Duration = Duration::from_secs(1);

/// Asks all containers that are to be checked.
pub struct Prober {
    targets: watch::Receiver<Vec<CheckTarget>>,
    results: mpsc::Sender<Event>,
}

/// The loop of one container; ends with this.
struct Probe {
    target: watch::Sender<CheckTarget>,
    task: AbortHandle,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Prober {
    /// Asks what `targets` names at each time; what comes of it goes to `results`.
    pub fn new(targets: watch::Receiver<Vec<CheckTarget>>, results: mpsc::Sender<Event>) -> Self {
        Self { targets, results }
    }

    /// Asks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> TaskResult {
        let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
        let mut running = JoinSet::new();
        let mut probes: BTreeMap<String, Probe> = BTreeMap::new();
        loop {
            let targets = self.targets.borrow_and_update().clone();
            probes.retain(|container, _| targets.iter().any(|target| target.container == *container));
            for target in targets {
                if let Some(probe) = probes.get(&target.container) {
                    probe.target.send_replace(target);
                } else {
                    let container = target.container.clone();
                    let (target, current) = watch::channel(target);
                    let task = running.spawn(probe(current, Arc::clone(&places), self.results.clone()));
                    probes.insert(container, Probe { target, task });
                }
            }
            tokio::select! {
                changed = self.targets.changed() => if changed.is_err() {
                    // The driver has ended, which is told elsewhere.
                    stop.cancelled().await;
                    return Ok(());
                },
                Some(ended) = running.join_next() => match ended {
                    Err(error) if error.is_panic() => return Err(error.into()),
                    _ => {}
                },
                () = stop.cancelled() => return Ok(()),
            }
        }
    }
}

/// Asks one container, again and again, until nobody listens.
async fn probe(target: watch::Receiver<CheckTarget>, places: Arc<Semaphore>, results: mpsc::Sender<Event>) {
    let mut tally = Tally::new(&target.borrow());
    let mut pause = STARTING_FIRST;
    loop {
        let now = target.borrow().clone();
        let answer = {
            let Ok(_place) = places.acquire().await else { return };
            ask::ask(&now).await
        };
        let age = now.started_at.map_or(orca_api::units::Span::ZERO, |began| clock::now().wall.since(began));
        if let Some((health, failing)) = tally.on_answer(answer, age) {
            let event = Event::Checked { container: now.container.clone(), health, failing };
            if results.send(event).await.is_err() {
                return;
            }
        }
        let every = now.check.every().std();
        if tally.is_well() {
            tokio::time::sleep(every).await;
        } else {
            tokio::time::sleep(pause.min(every)).await;
            pause = (pause * 2).min(STARTING_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use orca_api::spec::HealthCheck;
    use orca_api::units::Span;
    use orca_core::worker::io::Health;
    use tokio::net::TcpListener;

    use super::*;

    async fn next(events: &mut mpsc::Receiver<Event>) -> (Health, Option<String>) {
        let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap();
        let Event::Checked { container, health, failing } = event else { panic!("{event:?}") };
        assert_eq!(container, "c1");
        (health, failing)
    }

    #[tokio::test]
    async fn it_is_asked_until_it_is_no_target_any_more() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let target = CheckTarget {
            container: "c1".to_owned(),
            address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            check: HealthCheck {
                tcp: Some(port),
                interval: Some(Span::from_ms(10)),
                retries: Some(2),
                start_period: Some(Span::from_secs(60)),
                ..HealthCheck::default()
            },
            started_at: Some(clock::now().wall),
            starting: true,
        };
        let (targets, current) = watch::channel(vec![target.clone()]);
        let (results, mut events) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let prober = tokio::spawn(Prober::new(current, results).run(stop.clone()));

        let (health, failing) = next(&mut events).await;
        assert_eq!(health, Health::Starting);
        assert_eq!(failing, Some(format!("tcp 127.0.0.1:{port}: connection refused")));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        assert_eq!(next(&mut events).await, (Health::Healthy, None));
        targets.send_replace(vec![CheckTarget { starting: false, ..target }]);
        drop(listener);
        assert!(matches!(next(&mut events).await, (Health::Healthy, Some(_))));
        let (health, _) = next(&mut events).await;
        let Health::Unhealthy(said) = health else { panic!("{health:?}") };
        assert!(said.contains("connection refused"), "{said}");

        targets.send_replace(Vec::new());
        while !events.is_empty() || events.sender_strong_count() > 1 {
            let _ = tokio::time::timeout(Duration::from_millis(10), events.recv()).await;
        }
        stop.cancel();
        prober.await.unwrap().unwrap();
    }
}
