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
