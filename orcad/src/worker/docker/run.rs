//! Starting, stopping and removing containers.
//!
//! A stop is made of single calls (signal, wait, kill, wait, look) rather than of the engine's own `stop`: the grace is
//! exact, a broken connection is noticed at once, and what is left to do is seen from the container itself.
//!
//! ```text
//!   look ─ ended or gone ─────────────────────────────────► Stopped
//!   look ─ paused ─ unpause ─┐
//!   look ─ running ──────────┴─ signal ─ wait ≤ grace ─┬─ ended ─► verify ─► Stopped
//!                                                      └─ KILL ─ wait ≤ 10 s ─┬─ ended ─► verify ─► Stopped
//!                                                                             └─ Unkillable
//! ```

use std::time::Duration;

use bollard::models::{ContainerInspectResponse, PortMap};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use orca_api::spec::Signal;
use orca_api::task::Reason;
use orca_api::units::Span;
use orca_core::worker::io::{ContainerStatus, Done, Failure, FailureKind};
use tokio::time::Instant;

use super::failure::{EngineError, rejected};
use super::{Engine, inspect, labels, refusal};

/// How long a removal that is under way is waited for.
const REMOVAL_WAIT: Duration = Duration::from_secs(10);
/// How often the engine is asked again where a wait brought no answer.
const POLL: Duration = Duration::from_millis(200);
/// A start sets up networks and mounts, and may pull plugins: longer than a question.
const START_FACTOR: u32 = 4;

impl Engine {
    /// Begins the process of a container that never ran. One that has begun before is told as it is: the engine would run
    /// what has ended once more, and an answer that was lost must not come to that.
    pub(super) async fn start(&self, id: &str) -> Result<Done, Failure> {
        match self.inspect(id).await.map_err(unknown)? {
            None => return Err(no_such_container(id)),
            Some(seen) if seen.status != ContainerStatus::Created => {
                return Ok(Done::Started { seen: Box::new(seen) });
            }
            Some(_) => {}
        }
        let limit = self.inner.config.call_timeout * START_FACTOR;
        let started = self
            .call_within("start", limit, |docker| async move { docker.start_container(id, None).await })
            .await;
        match started {
            Ok(()) => match self.inspect(id).await.map_err(unknown)? {
                Some(seen) => Ok(Done::Started { seen: Box::new(seen) }),
                None => Err(no_such_container(id)),
            },
            Err(EngineError::Refused { status, message }) => Err(self.not_started(id, status, message).await),
            Err(silence) => Err(unknown(silence)),
        }
    }

    /// What a refused start means. Whether the container is still there is asked, not read from the text.
    async fn not_started(&self, id: &str, status: u16, message: String) -> Failure {
        let raw = match self.inspect_raw(id).await {
            Ok(Some(raw)) => raw,
            Ok(None) => return Failure { kind: FailureKind::NoSuchContainer, message },
            Err(silence) => {
                return Failure { kind: FailureKind::Unknown, message: format!("{message} ({silence})") };
            }
        };
        let bindings = raw.host_config.as_ref().and_then(|h| h.port_bindings.clone());
        let going = inspect::container(raw)
            .is_some_and(|c| matches!(c.status, ContainerStatus::Removing | ContainerStatus::Dead));
        if status == 409 && going {
            return Failure { kind: FailureKind::NoSuchContainer, message };
        }
        let reason = refusal::of_start(&message);
        if reason != Reason::PortTaken {
            return rejected(reason, message);
        }
        let port = refusal::port_in(&message, &host_ports(bindings.unwrap_or_default()));
        let Some(port) = port else { return rejected(reason, message) };
        let holder = self.port_holder(port).await;
        let by = if holder.is_empty() { String::new() } else { format!(" by {holder}") };
        tracing::info!(container = id, message, "a host port is taken");
        rejected(reason, format!("host port {port} is taken{by}: {}", refusal::port_words(&message)))
    }

    /// Signals, waits, kills, and verifies that nothing of it is left.
    pub(super) async fn stop(&self, id: &str, signal: Option<Signal>, grace: Span) -> Result<Done, Failure> {
        let Some(raw) = self.inspect_raw(id).await.map_err(unknown)? else {
            return Ok(Done::Stopped { seen: None });
        };
        self.check_ours(&raw)?;
        let own_signal = raw.config.as_ref().and_then(|c| c.stop_signal.clone()).filter(|s| !s.is_empty());
        let Some(before) = inspect::container(raw) else { return Ok(Done::Stopped { seen: None }) };
        if before.status == ContainerStatus::Paused {
            // A frozen process takes no signal; one that cannot be thawed is still killed below.
            if let Err(error) =
                self.call("unpause", |docker| async move { docker.unpause_container(id).await }).await
            {
                tracing::warn!(%error, container = id, "not unpaused");
            }
        }
        if lives(before.status) {
            let signal =
                signal.map(|s| s.to_string()).or(own_signal).unwrap_or_else(|| Signal::TERM.to_string());
            self.signal(id, &signal).await?;
            if !self.ended_within(id, grace.std()).await {
                self.signal(id, &Signal::KILL.to_string()).await?;
                self.ended_within(id, self.inner.config.kill_wait).await;
            }
        }
        self.verified_gone(id, before.pid).await
    }

    /// Sends a signal. A container that has ended or vanished takes none, and that is as good.
    async fn signal(&self, id: &str, signal: &str) -> Result<(), Failure> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        match self.call("kill", |docker| async move { docker.kill_container(id, Some(options)).await }).await
        {
            Ok(()) => Ok(()),
            Err(EngineError::Refused { status: 404 | 409, .. }) => Ok(()),
            // The engine could not deliver it: whether the process lives is seen below.
            Err(EngineError::Refused { message, .. }) => {
                tracing::warn!(container = id, signal, message, "the engine could not signal");
                Ok(())
            }
            Err(silence) => Err(unknown(silence)),
        }
    }

    /// Waits until the container does not run any more; whether it came to that.
    async fn ended_within(&self, id: &str, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let waited = tokio::time::timeout_at(deadline, self.wait_once(id)).await;
            if waited.is_err() {
                return false;
            }
            // The wait ended: for its reason, or because the connection broke. Only a look tells.
            if let Ok(seen) = self.inspect_raw(id).await
                && !seen.and_then(inspect::container).is_some_and(|container| lives(container.status))
            {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + POLL)).await;
        }
    }

    async fn wait_once(&self, id: &str) {
        let Ok(client) = self.connected().await else { return };
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        // A non-zero exit code comes as an error here; both mean that it ended.
        let _ = client.docker.wait_container(id, Some(options)).next().await;
    }

    /// Looks whether container and process are gone.
    async fn verified_gone(&self, id: &str, pid: u32) -> Result<Done, Failure> {
        let seen = self.inspect(id).await.map_err(unknown)?;
        if let Some(container) = seen.as_ref().filter(|c| lives(c.status)) {
            let pid = if container.pid == 0 { pid } else { container.pid };
            return Err(Failure {
                kind: FailureKind::Unkillable,
                message: unkillable(pid, self.inner.config.kill_wait),
            });
        }
        // The engine may have lost a process that it calls ended.
        let deadline = Instant::now() + self.inner.config.kill_wait;
        while is_process_of(pid, id) {
            if Instant::now() >= deadline {
                return Err(Failure {
                    kind: FailureKind::Unkillable,
                    message: unkillable(pid, self.inner.config.kill_wait),
                });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(Done::Stopped { seen: seen.map(Box::new) })
    }

    /// Removes a container that has ended, with its anonymous volumes.
    pub(super) async fn remove(&self, id: &str) -> Result<Done, Failure> {
        let deadline = Instant::now() + REMOVAL_WAIT;
        loop {
            let Some(raw) = self.inspect_raw(id).await.map_err(unknown)? else { return Ok(Done::Removed) };
            self.check_ours(&raw)?;
            let status = inspect::container(raw).map_or(ContainerStatus::Dead, |c| c.status);
            if lives(status) {
                return Err(Failure {
                    kind: FailureKind::Unknown,
                    message: "it runs: it must be stopped before it is removed".to_owned(),
                });
            }
            // "Dead" is a container whose removal failed before: only force gets at it.
            let force = status == ContainerStatus::Dead;
            let options = RemoveContainerOptionsBuilder::default().v(true).force(force).build();
            let limit = self.inner.config.call_timeout * 2;
            match self
                .call_within("remove", limit, |docker| async move {
                    docker.remove_container(id, Some(options)).await
                })
                .await
            {
                Ok(()) => return Ok(Done::Removed),
                Err(EngineError::Refused { status: 404, .. }) => return Ok(Done::Removed),
                // A removal is under way.
                Err(EngineError::Refused { status: 409, .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => return Err(Failure { kind: FailureKind::Unknown, message: error.to_string() }),
            }
        }
    }

    /// Refuses to touch what is not ours, whoever asks for it.
    fn check_ours(&self, raw: &ContainerInspectResponse) -> Result<(), Failure> {
        let all = raw.config.as_ref().and_then(|c| c.labels.as_ref());
        let cluster = all.and_then(|all| all.get(labels::CLUSTER));
        let ours = match (cluster, self.cluster()) {
            (Some(theirs), Some(own)) => *theirs == own.to_string(),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if ours {
            return Ok(());
        }
        Err(Failure {
            kind: FailureKind::NoSuchContainer,
            message: "a container that is not of this cluster: left alone".to_owned(),
        })
    }
}

fn unknown(error: EngineError) -> Failure {
    Failure { kind: FailureKind::Unknown, message: error.to_string() }
}

fn no_such_container(id: &str) -> Failure {
    Failure { kind: FailureKind::NoSuchContainer, message: format!("no container {id}") }
}

fn lives(status: ContainerStatus) -> bool {
    matches!(status, ContainerStatus::Running | ContainerStatus::Paused)
}

fn host_ports(bindings: PortMap) -> Vec<u16> {
    bindings
        .into_values()
        .flatten()
        .flatten()
        .filter_map(|b| b.host_port?.parse().ok())
        .filter(|port| *port > 0)
        .collect()
}

/// Whether a process belongs to a container: its cgroup's path names it, with every driver and both versions. A process
/// that cannot be looked at, or another one of the same number, is none of it.
fn is_process_of(pid: u32, container: &str) -> bool {
    pid != 0
        && std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(container))
}

/// Why a process does not go, as far as the kernel tells.
fn unkillable(pid: u32, waited: Duration) -> String {
    let state = i32::try_from(pid)
        .ok()
        .filter(|pid| *pid > 0)
        .and_then(|pid| procfs::process::Process::new(pid).ok())
        .and_then(|process| process.stat().ok())
        .map(|stat| match stat.state {
            'D' => format!("; process {pid} waits in the kernel, mostly for a disk or a network file system"),
            'Z' => format!("; process {pid} has ended, and the engine has not noticed"),
            other => format!("; process {pid} is in state {other}"),
        })
        .unwrap_or_default();
    format!("it was killed and is still there after {} s{state}", waited.as_secs_f32())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_in_the_containers_cgroup_count() {
        assert!(!is_process_of(0, "x"));
        assert!(!is_process_of(std::process::id(), "0123456789abcdef0123456789abcdef"));
        assert!(!is_process_of(u32::MAX, "x"));
        assert!(unkillable(0, Duration::from_secs(10)).ends_with("10 s"));
        assert!(unkillable(std::process::id(), Duration::ZERO).contains("in state"));
    }

    #[test]
    fn fixed_host_ports_are_read_back() {
        let bindings: PortMap = serde_json::from_value(serde_json::json!({"80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "", "HostPort": ""}], "1/udp": null})).unwrap();
        assert_eq!(host_ports(bindings), [8080]);
    }
}
