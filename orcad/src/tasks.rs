//! Every long-lived task of the daemon is spawned here: named, in a span, joined at the end.
//!
//! A task that ends before the daemon was asked to stop ends the daemon: half alive is worse than restarted.

use std::error::Error;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// How a long-lived task ends.
pub type TaskResult = Result<(), Box<dyn Error + Send + Sync>>;

/// The daemon's long-lived tasks.
#[derive(Debug)]
pub struct Tasks {
    stop: CancellationToken,
    running: JoinSet<(&'static str, TaskResult)>,
}

/// Why the daemon ends though nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum TaskEnded {
    /// It failed.
    #[error("{name} failed")]
    Failed {
        /// The task's name.
        name: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It ended as if it had been asked to.
    #[error("{name} ended by itself")]
    Early {
        /// The task's name.
        name: &'static str,
    },
    /// It panicked.
    #[error("a task panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl Tasks {
    /// None yet. Cancelling `stop` asks all of them to end.
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, running: JoinSet::new() }
    }

    /// The signal that asks all of them to end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Spawns a long-lived task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = TaskResult> + Send + 'static) {
        let span = tracing::info_span!("task", name);
        self.running.spawn(async move { (name, task.await) }.instrument(span));
    }

    /// Waits until one ends before the stop; never returns while all run.
    pub async fn ended(&mut self) -> TaskEnded {
        loop {
            match self.running.join_next().await {
                None => std::future::pending().await,
                Some(Err(error)) => return TaskEnded::Panicked(error),
                Some(Ok((name, Err(source)))) => return TaskEnded::Failed { name, source },
                Some(Ok((name, Ok(())))) if !self.stop.is_cancelled() => return TaskEnded::Early { name },
                Some(Ok(_)) => {}
            }
        }
    }

    /// Asks all to end and joins them; what has not ended after the grace is dropped, and named in the log.
    pub async fn join(mut self, grace: Duration) -> Result<(), TaskEnded> {
        self.stop.cancel();
        let mut first = Ok(());
        let all = async {
            while let Some(joined) = self.running.join_next().await {
                let ended = match joined {
                    Ok((_, Ok(()))) => continue,
                    Ok((name, Err(source))) => TaskEnded::Failed { name, source },
                    Err(error) => TaskEnded::Panicked(error),
                };
                if first.is_ok() {
                    first = Err(ended);
                }
            }
        };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!(left = self.running.len(), "some tasks did not end in time and are dropped");
            self.running.shutdown().await;
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_by_itself_ends_the_daemon() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("quick", async { Ok(()) });
        assert!(matches!(tasks.ended().await, TaskEnded::Early { name: "quick" }));
        tasks.spawn("broken", async { Err("no".into()) });
        assert!(matches!(tasks.ended().await, TaskEnded::Failed { name: "broken", .. }));
    }

    #[tokio::test]
    async fn all_are_joined_and_a_stuck_one_is_dropped() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.stop().clone();
        tasks.spawn("good", async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.spawn("stuck", std::future::pending());
        tasks.join(Duration::from_millis(50)).await.unwrap();
    }
}
