//! From a task's spec to the engine's request: a pure translation, field by field.
//!
//! Every field that is sent exists in API 1.41, the oldest that orca speaks, so nothing has to be left out for an older
//! engine (which would ignore it in silence).

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use orca_api::name::Name;
use orca_api::spec::{HealthCheck, MountSource, TaskSpec};
use orca_api::units::{Bytes, Cpu, Span};
use orca_core::worker::io::Labels;

use super::{LogDefault, labels};

/// What of the node the translation depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTraits {
    /// Its name; `None` until a manager welcomed it.
    pub name: Option<Name>,
    /// The engine has systemd make its cgroups, so that they can be put into slices.
    pub slices: bool,
    /// The engine offers the `journald` log driver.
    pub journald: bool,
    /// The journal survives a reboot.
    pub persistent_journal: bool,
    /// The kernel counts swap. Where it does not, a limit on it is only a warning for each container.
    pub swap_limit: bool,
}

/// Which log driver a task gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogChoice {
    /// The engine's `local` files.
    Local,
    /// The journal.
    Journald,
}

impl LogChoice {
    /// By the node's configuration and what the node offers.
    pub fn of(default: LogDefault, node: &NodeTraits) -> Self {
        match default {
            LogDefault::Local => Self::Local,
            LogDefault::Journald => Self::Journald,
            LogDefault::Auto if node.journald && node.persistent_journal => Self::Journald,
            LogDefault::Auto => Self::Local,
        }
    }
}

/// CPU that a task without reservation counts for when CPUs are short: what the scheduler's score takes it for.
const UNRESERVED: Cpu = Cpu::from_millis(100);
/// The kernel's bounds of cgroup v1 `cpu.shares` (kernel/sched/sched.h: `MIN_SHARES`, `MAX_SHARES`).
const SHARES: std::ops::RangeInclusive<i64> = 2..=262_144;
/// The engine accepts no memory reservation below this (moby daemon/daemon_unix.go, `linuxMinMemory`).
const MEMORY_MIN: Bytes = Bytes::mib(6);

/// CPU shares of a reservation: `millis × 1024 / 1000`, as Kubernetes' `MilliCPUToShares` has it
/// (kubernetes pkg/kubelet/cm/helpers_linux.go), within the kernel's bounds. Shares divide CPUs that are short in
/// proportion, so a task gets at least what it reserved as long as no more is reserved than there is.
pub fn cpu_shares(reservation: Cpu) -> i64 {
    let millis = if reservation == Cpu::ZERO { UNRESERVED.millis() } else { reservation.millis() };
    let shares = i64::try_from(millis.saturating_mul(1024) / 1000).unwrap_or(i64::MAX);
    shares.clamp(*SHARES.start(), *SHARES.end())
}

/// The engine's request for a container.
pub fn container_body(
    spec: &TaskSpec,
    hostname: &str,
    own: &Labels,
    task_name: &Name,
    log: LogDefault,
    node: &NodeTraits,
) -> ContainerCreateBody {
    let mut all_labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    all_labels.extend(labels::write(own, task_name.as_str(), node.name.as_ref().map(Name::as_str)));
    let host_network = spec.network.as_deref() == Some("host");
    ContainerCreateBody {
        // With the node's network a container has the node's name, unless it asks for another.
        hostname: spec.hostname.clone().or_else(|| (!host_network).then(|| hostname.to_owned())),
        user: spec.user.clone(),
        exposed_ports: some_list(spec.ports.iter().map(container_port).collect()),
        env: some_list(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        cmd: some_list(spec.command.clone()),
        entrypoint: some_list(spec.entrypoint.clone()),
        image: Some(spec.image.as_str().to_owned()),
        working_dir: spec.workdir.clone(),
        labels: Some(all_labels),
        stop_signal: spec.stop_signal.map(|signal| signal.to_string()),
        stop_timeout: Some(i64::try_from(spec.grace().secs_up()).unwrap_or(i64::MAX)),
        healthcheck: spec.health.as_ref().map(health),
        host_config: Some(host_config(spec, task_name, log, node)),
        ..ContainerCreateBody::default()
    }
}

/// What the engine checks by itself: a command in the container. A check over the network is orca's own, and turns that of
/// the image off, as `off` does. Without any, the image's is left as it is.
fn health(check: &HealthCheck) -> HealthConfig {
    if check.exec.is_empty() {
        return HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() };
    }
    let mut test = vec!["CMD".to_owned()];
    test.extend(check.exec.iter().cloned());
    HealthConfig {
        test: Some(test),
        interval: Some(nanos(check.every())),
        timeout: Some(nanos(check.patience())),
        retries: Some(i64::from(check.failures())),
        // Zero would mean the image's.
        start_period: Some(nanos(check.grace().max(Span::from_ms(1)))),
        ..HealthConfig::default()
    }
}

fn nanos(span: Span) -> i64 {
    i64::try_from(span.ms().saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

fn host_config(spec: &TaskSpec, task_name: &Name, log: LogDefault, node: &NodeTraits) -> HostConfig {
    let limit = spec.memory.map(in_engine);
    let reservation = spec.reserve_memory.filter(|r| *r >= MEMORY_MIN && Some(*r) != spec.memory);
    HostConfig {
        nano_cpus: spec
            .cpus
            .map(|cpus| i64::try_from(cpus.millis().saturating_mul(1_000_000)).unwrap_or(i64::MAX)),
        cpu_shares: Some(cpu_shares(spec.cpu_reservation())),
        memory: limit,
        // Memory and swap together: equal to the limit, no swap is added.
        memory_swap: limit.filter(|_| node.swap_limit),
        memory_reservation: reservation.map(in_engine),
        pids_limit: spec.pids.map(i64::from),
        cgroup_parent: node.slices.then(|| slice(task_name.as_str())),
        port_bindings: some_map(port_bindings(spec)),
        mounts: some_list(spec.mounts.iter().map(mount).collect()),
        tmpfs: some_map(spec.tmpfs.iter().map(|t| (t.target.clone(), t.options.clone())).collect()),
        devices: some_list(spec.devices.iter().map(|text| device(text)).collect()),
        cap_add: some_list(spec.cap_add.clone()),
        cap_drop: some_list(spec.cap_drop.clone()),
        dns: some_list(spec.dns.clone()),
        extra_hosts: some_list(spec.hosts.clone()),
        network_mode: spec.network.clone(),
        init: spec.init.then_some(true),
        readonly_rootfs: spec.read_only.then_some(true),
        privileged: spec.privileged.then_some(true),
        security_opt: (!spec.allow_new_privileges).then(|| vec!["no-new-privileges".to_owned()]),
        log_config: Some(log_config(spec, task_name, log, node)),
        // Restarts are decided by the worker, which counts them; two deciders would double them.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        auto_remove: Some(false),
        ..HostConfig::default()
    }
}

/// The slice of a task, or of all tasks of a job: `systemctl status orca-web.slice` shows their processes and memory.
///
/// In names of slices `-` separates levels, and no name of a task has a `_`: it stands for the `-` of names. Slices are not
/// taken away with their last process, so there is one for a name that stays, and none for each of a job's tasks.
fn slice(task: &str) -> String {
    format!("orca-{}.slice", labels::job_of(task).unwrap_or(task).replace('-', "_"))
}

fn in_engine(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).unwrap_or(i64::MAX)
}

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map<V>(map: HashMap<String, V>) -> Option<HashMap<String, V>> {
    (!map.is_empty()).then_some(map)
}

fn container_port(port: &orca_api::spec::Port) -> String {
    format!("{}/{}", port.container, port.protocol.as_str())
}

fn port_bindings(spec: &TaskSpec) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut all: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &spec.ports {
        let binding = PortBinding {
            host_ip: port.address.map(|address| address.to_string()),
            // An empty port is a free one, of the engine's choice.
            host_port: Some(port.host.map(|p| p.to_string()).unwrap_or_default()),
        };
        all.entry(container_port(port)).or_default().get_or_insert_default().push(binding);
    }
    all
}

/// A mount in the long form: with it the engine refuses a bind source that does not exist. In the short form
/// (`Binds`) it would make an empty folder of it, owned by root.
fn mount(mount: &orca_api::spec::Mount) -> Mount {
    let (typ, source) = match &mount.source {
        MountSource::Bind(folder) => (MountType::BIND, folder),
        MountSource::Volume(name) => (MountType::VOLUME, name),
    };
    Mount {
        typ: Some(typ),
        source: Some(source.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..Mount::default()
    }
}

/// `/dev/a`, `/dev/a:/dev/b`, `/dev/a:rwm` or `/dev/a:/dev/b:rwm`.
fn device(text: &str) -> DeviceMapping {
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or_default();
    let (mut container, mut permissions) = (host, "rwm");
    for part in parts {
        if part.starts_with('/') {
            container = part;
        } else {
            permissions = part;
        }
    }
    DeviceMapping {
        path_on_host: Some(host.to_owned()),
        path_in_container: Some(container.to_owned()),
        cgroup_permissions: Some(permissions.to_owned()),
    }
}

fn log_config(spec: &TaskSpec, task_name: &Name, log: LogDefault, node: &NodeTraits) -> HostConfigLogConfig {
    let (driver, mut options): (&str, HashMap<String, String>) = match &spec.log_driver {
        Some(driver) => (driver, HashMap::new()),
        None => match LogChoice::of(log, node) {
            LogChoice::Local => ("local", pairs(&[("max-size", "10m"), ("max-file", "3")])),
            LogChoice::Journald => {
                ("journald", pairs(&[("labels", labels::IN_JOURNAL), ("tag", &format!("orca/{task_name}"))]))
            }
        },
    };
    options.extend(spec.log_opt.clone());
    HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(options) }
}

fn pairs(list: &[(&str, &str)]) -> HashMap<String, String> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Labels {
        let id = "0123456789ABCDEF";
        Labels {
            cluster: id.parse().unwrap(),
            task: id.parse().unwrap(),
            placement: id.parse().unwrap(),
            attempt: 1,
            spec: "d".to_owned(),
        }
    }

    fn made(edit: impl FnOnce(&mut TaskSpec)) -> ContainerCreateBody {
        let mut spec = TaskSpec::of_image("busybox:local".parse().unwrap());
        edit(&mut spec);
        assert_eq!(spec.check(), Vec::new());
        container_body(
            &spec,
            "web",
            &own(),
            &"web".parse().unwrap(),
            LogDefault::Auto,
            &NodeTraits {
                name: "n1".parse().ok(),
                slices: true,
                journald: true,
                persistent_journal: false,
                swap_limit: true,
            },
        )
    }

    #[test]
    fn a_plain_spec_is_safe_by_default() {
        let body = made(|_| ());
        let host = body.host_config.unwrap();
        assert_eq!(body.hostname.as_deref(), Some("web"));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
        let log = host.log_config.unwrap();
        assert_eq!(log.typ.as_deref(), Some("local"));
        assert_eq!(log.config.unwrap()["max-size"], "10m");
        assert_eq!((host.memory, host.nano_cpus, host.pids_limit, host.mounts), (None, None, None, None));
        assert_eq!(host.cgroup_parent.as_deref(), Some("orca-web.slice"));
        assert_eq!(body.labels.unwrap().len(), 7);
        assert_eq!(body.stop_timeout, Some(10));
    }

    #[test]
    fn a_task_has_a_slice_of_its_own_and_a_job_one_for_all() {
        for (task, name) in
            [("web", "web"), ("my-app", "my_app"), ("shop.api.2", "shop"), ("my-app.1", "my_app")]
        {
            assert_eq!(slice(task), format!("orca-{name}.slice"));
        }
    }

    #[test]
    fn resources() {
        let host = made(|s| {
            s.cpus = Some(Cpu::from_millis(1500));
            s.memory = Some(Bytes::mib(64));
            s.reserve_memory = Some(Bytes::mib(32));
            s.reserve_cpus = Some(Cpu::from_millis(250));
            s.pids = Some(50);
        })
        .host_config
        .unwrap();
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert_eq!(host.cpu_shares, Some(256));
        assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
        assert_eq!(host.memory_reservation, Some(32 << 20));
        assert_eq!(host.pids_limit, Some(50));
        assert_eq!(cpu_shares(Cpu::ZERO), 102);
        assert_eq!(cpu_shares(Cpu::from_millis(1)), 2);
        assert_eq!(cpu_shares(Cpu::from_millis(10_000_000)), 262_144);
    }

    #[test]
    fn ports_mounts_and_devices() {
        let body = made(|s| {
            s.ports = ["8080:80", "127.0.0.1:53:53/udp", "80"].iter().map(|p| p.parse().unwrap()).collect();
            s.mounts = ["/srv/a:/a:ro", "data:/b"].iter().map(|m| m.parse().unwrap()).collect();
            s.tmpfs = vec!["/tmp:size=64m".parse().unwrap()];
            s.devices = vec!["/dev/a:/dev/b:r".into(), "/dev/null".into()];
        });
        let host = body.host_config.unwrap();
        let ports = host.port_bindings.unwrap();
        let web = ports["80/tcp"].as_ref().unwrap();
        assert_eq!((web[0].host_port.as_deref(), web[1].host_port.as_deref()), (Some("8080"), Some("")));
        assert_eq!(ports["53/udp"].as_ref().unwrap()[0].host_ip.as_deref(), Some("127.0.0.1"));
        let mounts = host.mounts.unwrap();
        assert_eq!((mounts[0].typ, mounts[0].read_only), (Some(MountType::BIND), Some(true)));
        assert_eq!((mounts[1].typ, mounts[1].source.as_deref()), (Some(MountType::VOLUME), Some("data")));
        assert_eq!(host.tmpfs.unwrap()["/tmp"], "size=64m");
        let devices = host.devices.unwrap();
        assert_eq!(devices[0].path_in_container.as_deref(), Some("/dev/b"));
        assert_eq!(devices[0].cgroup_permissions.as_deref(), Some("r"));
        assert_eq!(devices[1].path_in_container.as_deref(), Some("/dev/null"));
    }

    #[test]
    fn health_checks() {
        let check = |edit: fn(&mut HealthCheck)| {
            let mut check = HealthCheck::default();
            edit(&mut check);
            made(|s| s.health = Some(check)).healthcheck.unwrap()
        };
        assert_eq!(made(|_| ()).healthcheck, None);
        let exec = check(|c| c.exec = vec!["test".into(), "-e".into(), "/ready".into()]);
        assert_eq!(exec.test.unwrap(), ["CMD", "test", "-e", "/ready"]);
        assert_eq!((exec.interval, exec.timeout), (Some(10_000_000_000), Some(2_000_000_000)));
        assert_eq!((exec.retries, exec.start_period), (Some(3), Some(1_000_000)));
        for network in [
            check(|c| c.http = "80/ready".parse().ok()),
            check(|c| c.tcp = Some(80)),
            check(|c| c.off = true),
        ] {
            assert_eq!((network.test.unwrap(), network.interval), (vec!["NONE".to_owned()], None));
        }
    }

    #[test]
    fn the_hosts_network_keeps_the_hosts_name() {
        assert_eq!(made(|s| s.network = Some("host".into())).hostname, None);
        assert_eq!(
            made(|s| {
                s.network = Some("host".into());
                s.hostname = Some("x".into());
            })
            .hostname
            .as_deref(),
            Some("x")
        );
    }

    #[test]
    fn logs() {
        let own_driver = made(|s| {
            s.log_driver = Some("json-file".into());
            s.log_opt.insert("max-size".into(), "1m".into());
        });
        let log = own_driver.host_config.unwrap().log_config.unwrap();
        assert_eq!((log.typ.as_deref(), log.config.unwrap().len()), (Some("json-file"), 1));
        let node = NodeTraits { journald: true, persistent_journal: true, ..NodeTraits::default() };
        let table = [
            (LogDefault::Auto, node.clone(), LogChoice::Journald),
            (LogDefault::Auto, NodeTraits { journald: false, ..node.clone() }, LogChoice::Local),
            (LogDefault::Local, node, LogChoice::Local),
            (LogDefault::Journald, NodeTraits::default(), LogChoice::Journald),
        ];
        for (default, node, choice) in table {
            assert_eq!(LogChoice::of(default, &node), choice);
        }
    }
}
