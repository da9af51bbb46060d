//! The manager's figures, in one place.

use orca_api::units::Span;

/// How long a worker's poll is parked; each is a heartbeat.
pub const HEARTBEAT: Span = Span::from_secs(2);
/// Heartbeats that may be missed before a node counts as disconnected.
pub const HEARTBEATS_MISSED: u64 = 3;
/// How often tasks that fit nowhere are tried again, besides at every change of capacity.
pub const BLOCKED_SWEEP: Span = Span::from_secs(30);
/// How long an idempotency key is kept.
pub const KEY_KEPT: Span = Span::from_secs(24 * 3600);
/// The most idempotency keys that are kept; the oldest go first.
pub const KEYS_MAX: usize = 20_000;
/// Failures of a placement in a row that say: try another node.
pub const FAILURES: usize = 5;
/// Within which those failures lie.
pub const FAILURES_WITHIN: Span = Span::from_secs(300);
/// How long a node is avoided on which a task failed.
pub const AVOID_FOR: Span = Span::from_secs(3600);
/// The most nodes that a task avoids; the oldest are forgotten first.
pub const AVOID_MAX: usize = 16;
/// How often a drain that does not get on is tried again, besides at every change of capacity.
pub const DRAIN_SWEEP: Span = Span::from_secs(30);
/// The longest deadline of a drain.
pub const DRAIN_DEADLINE_MAX: Span = Span::from_secs(7 * 24 * 3600);
/// What is added to a singleton's lease and grace before it is placed elsewhere: the engine kills, and is asked whether it did.
pub const LEASE_MARGIN: Span = Span::from_secs(5);
/// How long events are kept.
pub const EVENTS_KEPT: Span = Span::from_secs(30 * 24 * 3600);
/// The most events that are kept.
pub const EVENTS_MAX: u64 = 1_000_000;
/// How far apart the marks are by which events are trimmed.
pub const MARK_EVERY: Span = Span::from_secs(24 * 3600);
/// Measurements older than this are not shown as current.
pub const LOAD_FRESH: Span = Span::from_secs(60);

/// Where the port of the link opens with the first token, if nobody said where.
pub const LISTEN: &str = "0.0.0.0:7443";
/// The oldest version of the link that a machine may join with.
pub const LINK_VERSION_MIN: u32 = 1;
/// The most nodes of a cluster: what the scheduler and the lists are measured with, five times over.
pub const NODES_MAX: usize = 5000;
/// The most join tokens, spent ones that are remembered among them.
pub const TOKENS_MAX: usize = 1000;
/// How long a token is remembered after it expired, so that who comes too late is told so.
pub const TOKEN_REMEMBERED: Span = Span::from_secs(24 * 3600);
/// The most certificates of people and programs.
pub const CERTIFICATES_MAX: usize = 1000;
/// How far the clock of a machine may be off that joins. (Certificates are dated back by an hour.)
pub const CLOCK_OFF_MAX: Span = Span::from_secs(5 * 60);
/// The most refused joins that are recorded in the audit each minute.
pub const REFUSALS_AUDITED: u32 = 60;

/// How long a node may be down before its tasks are placed elsewhere, where nobody set it.
pub const NODE_GRACE: Span = Span::ZERO;
/// How long a node's orcad may be away on a machine that lives, where nobody set it: longer than an upgrade takes.
pub const AGENT_GRACE: Span = Span::from_secs(60);
/// The longest of both.
pub const GRACE_MAX: Span = Span::from_secs(24 * 3600);
/// How long certificates of nodes last, where nobody set it.
pub const CERTIFICATE_TTL: Span = Span::from_secs(90 * 24 * 3600);
/// The shortest that certificates of nodes may last: renewal begins at half of it and must not come each minute.
pub const CERTIFICATE_TTL_MIN: Span = Span::from_secs(3600);
/// The longest that certificates of nodes may last.
pub const CERTIFICATE_TTL_MAX: Span = Span::from_secs(366 * 24 * 3600);
/// How long certificates of people last where nothing is said.
pub const PERSON_TTL: Span = Span::from_secs(90 * 24 * 3600);
/// The shortest that certificates of people may last.
pub const PERSON_TTL_MIN: Span = Span::from_secs(60);
/// The longest that certificates of people may last.
pub const PERSON_TTL_MAX: Span = Span::from_secs(366 * 24 * 3600);
/// How long after its start a manager concludes nothing from silence: its workers have to find it again. They dial
/// each second; several hundred handshakes on a slow machine take some seconds more.
pub const START_GRACE: Span = Span::from_secs(30);
/// How long a node may be silent before its address is probed: the third heartbeat is late, and while the probes run it
/// comes to be missed. (Three heartbeats, then three probes, would add three seconds to each silent loss.)
pub const PROBE_AFTER: Span = Span::from_secs(5);
/// How long a probe waits for an answer, and how far apart probes are.
pub const PROBE_TIME: Span = Span::from_secs(1);
/// How many probes in a row find nothing before the machine counts as down.
pub const PROBES_SILENT: u32 = 3;
/// How long an answer to a probe may be outstanding before it is asked for again.
pub const PROBE_LOST: Span = Span::from_secs(4);
/// How often the machine of a disconnected node is probed.
pub const PROBE_EVERY: Span = Span::from_secs(2);
/// How often the machine of a node is probed that was given up: only to show whether it answers again.
pub const PROBE_GIVEN_UP: Span = Span::from_secs(30);
/// How long after its connection broke a node may take to be heard again, while its machine answers: the worker dials
/// back within a second, and a poll on a newer connection comes within a heartbeat.
pub const DIAL_BACK: Span = Span::from_secs(3);
/// Nodes that vanish within this time are counted together.
pub const BRAKE_WINDOW: Span = Span::from_secs(30);
/// A node that was not heard for so long may be about to vanish as well: a heartbeat and a half.
pub const SUSPECT_AFTER: Span = Span::from_secs(3);
/// How often the brake is looked at while it holds.
pub const BRAKE_EVERY: Span = Span::from_secs(1);
/// How long a second life of one node may knock before it is called a copy: longer than the first is given to be silent.
pub const COPY_AFTER: Span = Span::from_secs(10);

/// Pressure that must last before a node counts as pressured: what systemd-oomd waits before it kills
/// (`DefaultMemoryPressureDurationSec`, 30 s).
pub const PRESSURE_LASTS: Span = Span::from_secs(30);
/// Per cent of time in which all processes waited for memory (PSI `full`, avg10): half of where systemd-oomd begins to
/// kill (`DefaultMemoryPressureLimit`, 60 %), since new work is to stay away before that.
pub const PRESSURE_MEMORY: f64 = 30.0;
/// Per cent of time in which all processes waited for io (PSI `full`, avg10). Disks are busy more often than memory is
/// short, and work goes on meanwhile: so twice the limit of memory.
pub const PRESSURE_IO: f64 = 60.0;
/// What part of the limits all samples must be below, for as long, before it is over.
pub const PRESSURE_OVER: f64 = 0.5;

/// How far a node's clock may be off before it gets the condition `clock_skew`; it is over below half of it.
pub const CLOCK_SKEW: Span = Span::from_secs(10);

/// How long a node that joined may take to its first hello, before it is forgotten.
pub const JOIN_KEPT: Span = Span::from_secs(10 * 60);
