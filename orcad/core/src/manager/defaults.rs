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
