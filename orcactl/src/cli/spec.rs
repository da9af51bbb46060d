//! The flags that say what a task is: named as in `docker run` where it has them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use orca_api::spec::{Algorithm, HttpCheck, Mount, Port, Pull, Restart, Signal, Tmpfs};
use orca_api::units::{Bytes, Cpu, Span};

/// What a task is.
#[derive(Debug, Default, Args)]
pub struct SpecArgs {
    /// Publish a port of the task: [[ADDRESS:]HOST:]CONTAINER[/udp]
    #[arg(short, long, value_name = "PORT", help_heading = "Network")]
    pub publish: Vec<Port>,
    /// bridge, host, none, or a network of the node's engine
    #[arg(long, value_name = "NETWORK", help_heading = "Network")]
    pub network: Option<String>,
    /// Host name in the container
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub hostname: Option<String>,
    /// Name server
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub dns: Vec<String>,
    /// Line of the hosts file
    #[arg(long, value_name = "NAME:ADDRESS", help_heading = "Network")]
    pub add_host: Vec<String>,

    /// Set a variable; NAME alone takes it from here
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Process")]
    pub env: Vec<String>,
    /// Read variables from a file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Process")]
    pub env_file: Vec<PathBuf>,
    /// Replace the image's entrypoint
    #[arg(long, value_name = "PROGRAM", help_heading = "Process")]
    pub entrypoint: Option<String>,
    /// Run as this user: name, uid or uid:gid
    #[arg(short, long, value_name = "USER", help_heading = "Process")]
    pub user: Option<String>,
    /// Run in this folder of the container
    #[arg(short, long, value_name = "FOLDER", help_heading = "Process")]
    pub workdir: Option<String>,
    /// Run an init process that reaps children and passes signals on
    #[arg(long, help_heading = "Process")]
    pub init: bool,
    /// The signal that asks the task to end
    #[arg(long, value_name = "SIGNAL", help_heading = "Process")]
    pub stop_signal: Option<Signal>,
    /// How long a stop waits before it kills [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Process")]
    pub stop_timeout: Option<Span>,

    /// Mount a folder or a volume: SOURCE:TARGET[:ro]
    #[arg(short, long, value_name = "MOUNT", help_heading = "Files")]
    pub volume: Vec<Mount>,
    /// Mount a tmpfs: TARGET[:size=64m]
    #[arg(long, value_name = "MOUNT", help_heading = "Files")]
    pub tmpfs: Vec<Tmpfs>,
    /// The container's own file system is read only
    #[arg(long, help_heading = "Files")]
    pub read_only: bool,

    /// CPU limit
    #[arg(long, value_name = "CPUS", help_heading = "Resources")]
    pub cpus: Option<Cpu>,
    /// Memory limit
    #[arg(short, long, value_name = "BYTES", help_heading = "Resources")]
    pub memory: Option<Bytes>,
    /// CPU that scheduling counts [default: the limit]
    #[arg(long, value_name = "CPUS", help_heading = "Resources")]
    pub reserve_cpus: Option<Cpu>,
    /// Memory that scheduling counts [default: the limit]
    #[arg(long, value_name = "BYTES", help_heading = "Resources")]
    pub reserve_memory: Option<Bytes>,
    /// Disk that scheduling counts; it is not enforced
    #[arg(long, value_name = "BYTES", help_heading = "Resources")]
    pub disk: Option<Bytes>,
    /// The most processes
    #[arg(long, value_name = "NUMBER", help_heading = "Resources")]
    pub pids_limit: Option<u32>,

    /// Check its health with a shell command in it; well is exit code 0
    #[arg(long, value_name = "COMMAND", group = "health", help_heading = "Health")]
    pub health_cmd: Option<String>,
    /// Check its health with a GET; well is a status of 200 to 399
    #[arg(long, value_name = "PORT/PATH", group = "health", help_heading = "Health")]
    pub health_http: Option<HttpCheck>,
    /// Check its health with a connection to a port
    #[arg(long, value_name = "PORT", group = "health", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Health")]
    pub health_tcp: Option<u16>,
    /// Do not use the image's own health check
    #[arg(long, group = "health", help_heading = "Health")]
    pub no_healthcheck: bool,
    /// How often it is checked [default: 10s]
    #[arg(long, value_name = "TIME", conflicts_with = "no_healthcheck", help_heading = "Health")]
    pub health_interval: Option<Span>,
    /// How long one check may take [default: 2s]
    #[arg(long, value_name = "TIME", conflicts_with = "no_healthcheck", help_heading = "Health")]
    pub health_timeout: Option<Span>,
    /// Failures in a row that make it unhealthy [default: 3]
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_healthcheck", help_heading = "Health")]
    pub health_retries: Option<u32>,
    /// Time after its start in which failures do not count [default: none]
    #[arg(long, value_name = "TIME", conflicts_with = "no_healthcheck", help_heading = "Health")]
    pub health_start_period: Option<Span>,

    /// Restart it: always, on-failure[:TIMES] or never [default: on-failure]
    #[arg(long, value_name = "POLICY", help_heading = "Orchestration")]
    pub restart: Option<Restart>,
    /// When to pull the image [default: missing]
    #[arg(long, value_name = "WHEN", help_heading = "Orchestration")]
    pub pull: Option<PullArg>,
    /// How to pick among the nodes that fit
    #[arg(long, value_name = "NAME", help_heading = "Orchestration")]
    pub algorithm: Option<AlgorithmArg>,
    /// What a node must be, such as "disk == ssd"
    #[arg(long, value_name = "RULE", help_heading = "Orchestration")]
    pub constraint: Vec<String>,
    /// Towards (1 to 100) or away from (-1 to -100) nodes, such as "disk == ssd: 50"
    #[arg(long, value_name = "RULE: WEIGHT", help_heading = "Orchestration")]
    pub preference: Vec<String>,
    /// Data centre that it may run in [default: all]
    #[arg(long, value_name = "NAME", help_heading = "Orchestration")]
    pub data_center: Vec<String>,
    /// Never two at once: it ends where its manager cannot be reached
    #[arg(long, help_heading = "Orchestration")]
    pub singleton: bool,
    /// How long a singleton's silent node is waited for [default: for ever]
    #[arg(long, value_name = "TIME", help_heading = "Orchestration")]
    pub singleton_wait: Option<Span>,
    /// Label of the container
    #[arg(short, long, value_name = "KEY[=VALUE]", help_heading = "Orchestration")]
    pub label: Vec<String>,
    /// Log driver of the engine
    #[arg(long, value_name = "DRIVER", help_heading = "Orchestration")]
    pub log_driver: Option<String>,
    /// Option of the log driver
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Orchestration")]
    pub log_opt: Vec<String>,

    /// Add a capability
    #[arg(long, value_name = "CAPABILITY", help_heading = "Rights")]
    pub cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAPABILITY", help_heading = "Rights")]
    pub cap_drop: Vec<String>,
    /// Give it a device of the node: DEVICE[:DEVICE[:rwm]]
    #[arg(long, value_name = "DEVICE", help_heading = "Rights")]
    pub device: Vec<String>,
    /// Let setuid programs gain privileges
    #[arg(long, help_heading = "Rights")]
    pub allow_new_privileges: bool,
    /// Give it everything: root on the node in all but name
    #[arg(long, help_heading = "Rights")]
    pub privileged: bool,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PullArg {
    /// When the node does not have it
    Missing,
    /// Before every attempt
    Always,
    /// Never
    Never,
}

impl From<PullArg> for Pull {
    fn from(pull: PullArg) -> Self {
        match pull {
            PullArg::Missing => Self::Missing,
            PullArg::Always => Self::Always,
            PullArg::Never => Self::Never,
        }
    }
}

/// How the best node is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AlgorithmArg {
    /// Smallest rise of the cost of the node's resources
    Epvm,
    /// Fewest tasks
    Spread,
    /// Fullest node that fits
    Binpack,
    /// First node that fits
    Greedy,
    /// One node after the other
    #[value(alias = "round_robin")]
    RoundRobin,
}

impl From<AlgorithmArg> for Algorithm {
    fn from(algorithm: AlgorithmArg) -> Self {
        match algorithm {
            AlgorithmArg::Epvm => Self::Epvm,
            AlgorithmArg::Spread => Self::Spread,
            AlgorithmArg::Binpack => Self::Binpack,
            AlgorithmArg::Greedy => Self::Greedy,
            AlgorithmArg::RoundRobin => Self::RoundRobin,
        }
    }
}
