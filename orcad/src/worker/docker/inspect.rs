//! What the engine says of containers, in the core's words.

use std::net::{IpAddr, Ipv4Addr};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, EndpointSettings, Health as EngineHealth,
    HealthStatusEnum, NetworkSettings, PortMap,
};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use orca_api::link::PublishedPort;
use orca_api::spec::Protocol;
use orca_api::units::Time;
use orca_core::worker::io::{Container, ContainerStatus, Health};

use super::failure::EngineError;
use super::{Engine, labels};

/// Containers that a sweep asks about at the same time: enough to hide the connection's cost, and no load to speak of.
const SWEEP_PARALLEL: usize = 4;
/// The most of a health check's output that is kept, in bytes.
const HEALTH_TEXT_MAX: usize = 1024;

impl Engine {
    /// One container; `None` where the engine knows none of that id or name.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Container>, EngineError> {
        let Some(raw) = self.inspect_raw(id).await? else { return Ok(None) };
        self.trusted(raw).await
    }

    /// The engine's own answer about one container.
    pub(super) async fn inspect_raw(
        &self,
        id: &str,
    ) -> Result<Option<ContainerInspectResponse>, EngineError> {
        match self.call("inspect", |docker| async move { docker.inspect_container(id, None).await }).await {
            Ok(raw) => Ok(Some(raw)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every container of our cluster (of any, while ours is not known). One that vanishes meanwhile is left out.
    pub(super) async fn sweep(&self) -> Result<Vec<Container>, EngineError> {
        let cluster = self.cluster();
        let label =
            cluster.map_or_else(|| labels::CLUSTER.to_owned(), |id| format!("{}={id}", labels::CLUSTER));
        let filters = std::collections::HashMap::from([("label", vec![label.as_str()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let list =
            self.call("list", |docker| async move { docker.list_containers(Some(options)).await }).await?;
        let seen: Vec<Option<Container>> = stream::iter(list.into_iter().filter_map(|summary| summary.id))
            .map(|id| async move { self.inspect(&id).await })
            .buffer_unordered(SWEEP_PARALLEL)
            .try_collect()
            .await?;
        let ours = |container: &Container| match (&container.labels, cluster) {
            (Some(labels), Some(cluster)) => labels.cluster == cluster,
            (Some(_), None) => true,
            (None, _) => false,
        };
        Ok(seen.into_iter().flatten().filter(ours).collect())
    }

    /// The container with labels that can be trusted: not those that it has from its image.
    async fn trusted(&self, raw: ContainerInspectResponse) -> Result<Option<Container>, EngineError> {
        let all = raw.config.as_ref().and_then(|c| c.labels.clone()).unwrap_or_default();
        let Some(mut container) = container(raw) else { return Ok(None) };
        if container.labels.is_some()
            && !labels::is_own_name(&container.name, &all)
            && self.image_has_labels(&container.image_id).await?
        {
            tracing::debug!(container = container.name, "its labels come from its image: foreign");
            container.labels = None;
        }
        Ok(Some(container))
    }

    async fn image_has_labels(&self, image: &str) -> Result<bool, EngineError> {
        match self.call("image", |docker| async move { docker.inspect_image(image).await }).await {
            Ok(image) => Ok(image.config.and_then(|c| c.labels).is_some_and(|all| labels::any(&all))),
            // A container may outlive its image: then nobody can say where its labels come from, and it keeps them.
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// From the engine's answer; `None` where it lacks an id.
pub(super) fn container(raw: ContainerInspectResponse) -> Option<Container> {
    let state = raw.state.unwrap_or_default();
    let status = match state.status {
        Some(ContainerStateStatusEnum::CREATED) => ContainerStatus::Created,
        Some(ContainerStateStatusEnum::PAUSED) => ContainerStatus::Paused,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerStatus::Removing,
        Some(ContainerStateStatusEnum::EXITED) => ContainerStatus::Exited,
        Some(ContainerStateStatusEnum::DEAD) => ContainerStatus::Dead,
        Some(
            ContainerStateStatusEnum::RUNNING
            | ContainerStateStatusEnum::RESTARTING
            | ContainerStateStatusEnum::STOPPING,
        ) => ContainerStatus::Running,
        Some(ContainerStateStatusEnum::EMPTY) | None => {
            if state.running.unwrap_or(false) {
                ContainerStatus::Running
            } else {
                ContainerStatus::Created
            }
        }
    };
    let ended = matches!(status, ContainerStatus::Exited | ContainerStatus::Dead | ContainerStatus::Removing);
    let lives = matches!(status, ContainerStatus::Running | ContainerStatus::Paused);
    let all = raw.config.and_then(|c| c.labels).unwrap_or_default();
    let mode = raw.host_config.and_then(|h| h.network_mode).unwrap_or_default();
    let address = raw.network_settings.as_ref().filter(|_| lives).and_then(|all| address(all, &mode));
    Some(Container {
        id: raw.id?,
        name: raw.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: labels::read(&all),
        status,
        exit_code: state.exit_code.filter(|_| ended).and_then(|code| i32::try_from(code).ok()),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.unwrap_or_default(),
        created_at: raw.created.as_deref().and_then(time),
        started_at: state.started_at.as_deref().and_then(time),
        finished_at: state.finished_at.as_deref().and_then(time).filter(|_| ended),
        health: state.health.and_then(health),
        image_id: raw.image.unwrap_or_default(),
        ports: raw.network_settings.and_then(|n| n.ports).map(ports).unwrap_or_default(),
        pid: state.pid.filter(|_| lives).and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        address,
    })
}

/// Where its ports are reached from the node: with the node's own network on the node, else at its address on the network
/// that it was made with, or on the first by name; IPv4 first.
fn address(settings: &NetworkSettings, mode: &str) -> Option<IpAddr> {
    if mode == "host" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let mut networks: Vec<(&String, &EndpointSettings)> = settings.networks.iter().flatten().collect();
    // "default" is how the engine writes the network that it calls "bridge".
    networks.sort_by_key(|(name, _)| (*name != mode && !(mode == "default" && *name == "bridge"), *name));
    networks.into_iter().find_map(|(_, network)| {
        let addresses = [network.ip_address.as_deref(), network.global_ipv6_address.as_deref()];
        addresses.into_iter().flatten().find_map(|text| text.parse().ok())
    })
}

/// The engine writes year 1 for "never".
fn time(text: &str) -> Option<Time> {
    text.parse::<Time>().ok().filter(|time| time.ms() > 0)
}

fn health(raw: EngineHealth) -> Option<Health> {
    match raw.status? {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => {
            let last = raw.log.unwrap_or_default().pop().unwrap_or_default();
            let said = shortened(last.output.unwrap_or_default().trim(), HEALTH_TEXT_MAX);
            Some(Health::Unhealthy(match last.exit_code {
                Some(code) if said.is_empty() => {
                    format!("its health check exited with {code} and said nothing")
                }
                _ => said,
            }))
        }
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    }
}

fn shortened(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// Published ports in order. A port that is published on all addresses of both families is told once.
fn ports(map: PortMap) -> Vec<PublishedPort> {
    let mut all: Vec<PublishedPort> = Vec::new();
    for (container, bindings) in map {
        let Some((container, protocol)) = container_port(&container) else { continue };
        for binding in bindings.unwrap_or_default() {
            let Some(host) = binding.host_port.as_deref().and_then(|p| p.parse().ok()) else { continue };
            let address = binding.host_ip.filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
            all.push(PublishedPort { address, host, container, protocol });
        }
    }
    all.sort();
    let all_v4: Vec<PublishedPort> = all.iter().filter(|p| p.address == "0.0.0.0").cloned().collect();
    all.retain(|p| {
        p.address != "::"
            || !all_v4
                .iter()
                .any(|v4| (v4.host, v4.container, v4.protocol) == (p.host, p.container, p.protocol))
    });
    all
}

fn container_port(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|p| p.as_str() == protocol)?;
    Some((port.parse().ok()?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Container {
        container(serde_json::from_value(json).unwrap()).unwrap()
    }

    #[test]
    fn a_running_container() {
        let seen = read(serde_json::json!({
            "Id": "abc", "Name": "/web-a1-x7f2", "Created": "2026-11-24T10:00:00.123456789Z", "Image": "sha256:1",
            "State": {"Status": "running", "Running": true, "Pid": 42, "ExitCode": 0, "StartedAt": "2026-11-24T10:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z",
                      "Health": {"Status": "unhealthy", "Log": [{"Output": "one"}, {"Output": " no answer \n"}]}},
            "Config": {"Labels": {"orca.cluster": "x"}},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}], "53/udp": null}}
        }));
        assert_eq!(
            (seen.name.as_str(), seen.status, seen.pid),
            ("web-a1-x7f2", ContainerStatus::Running, 42)
        );
        assert_eq!((seen.exit_code, seen.finished_at, seen.labels), (None, None, None));
        assert_eq!(seen.health, Some(Health::Unhealthy("no answer".into())));
        assert_eq!(
            seen.ports,
            [PublishedPort { address: "0.0.0.0".into(), host: 8080, container: 80, protocol: Protocol::Tcp }]
        );
        assert_eq!(seen.created_at.unwrap().ms() % 1000, 123);
    }

    #[test]
    fn where_its_ports_are() {
        let of = |mode: &str, networks: serde_json::Value| {
            read(serde_json::json!({
                "Id": "a", "State": {"Status": "running"}, "HostConfig": {"NetworkMode": mode}, "NetworkSettings": {"Networks": networks}
            }))
            .address
            .map(|address| address.to_string())
        };
        let two = serde_json::json!({"bridge": {"IPAddress": "172.17.0.2"}, "a": {"IPAddress": "10.0.0.2"}});
        let v6 = serde_json::json!({"x": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}});
        for (mode, networks, address) in [
            ("default", two.clone(), Some("172.17.0.2")),
            ("bridge", two.clone(), Some("172.17.0.2")),
            ("a", two.clone(), Some("10.0.0.2")),
            ("gone", two, Some("10.0.0.2")),
            ("host", serde_json::json!({"host": {"IPAddress": ""}}), Some("127.0.0.1")),
            ("x", v6, Some("fd00::2")),
            ("none", serde_json::json!({"none": {"IPAddress": ""}}), None),
        ] {
            assert_eq!(of(mode, networks).as_deref(), address, "{mode}");
        }
        let ended = serde_json::json!({"Id": "a", "State": {"Status": "exited"}, "HostConfig": {"NetworkMode": "host"}, "NetworkSettings": {}});
        assert_eq!(read(ended).address, None);
    }

    #[test]
    fn a_check_that_says_nothing_has_its_code() {
        let seen = read(serde_json::json!({
            "Id": "a", "State": {"Status": "running", "Health": {"Status": "unhealthy", "Log": [{"ExitCode": 1, "Output": ""}]}}
        }));
        assert_eq!(
            seen.health,
            Some(Health::Unhealthy("its health check exited with 1 and said nothing".into()))
        );
    }

    #[test]
    fn an_ended_and_a_never_started_container() {
        let ended = read(
            serde_json::json!({"Id": "a", "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true, "Pid": 0, "FinishedAt": "2026-11-24T10:00:01Z"}}),
        );
        assert_eq!((ended.exit_code, ended.oom_killed, ended.finished_at.is_some()), (Some(137), true, true));
        let created = read(
            serde_json::json!({"Id": "a", "State": {"Status": "created", "ExitCode": 127, "Error": "no such file", "StartedAt": "0001-01-01T00:00:00Z"}}),
        );
        assert_eq!(
            (created.status, created.exit_code, created.started_at),
            (ContainerStatus::Created, None, None)
        );
        assert_eq!(created.error, "no such file");
    }
}
