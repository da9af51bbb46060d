//! The limits of the network side, in one place.

use std::time::Duration;

/// The longest head of a request, in bytes: what common servers accept.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most headers of a request.
pub const HEADERS_MAX: usize = 100;
/// The longest target (path and query) of a request, in bytes.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// How long a head may take, counted from its first byte.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection may be idle between two requests.
pub const IDLE_TIME: Duration = Duration::from_mins(2);
/// The largest body, in bytes.
pub const BODY_BYTES_MAX: usize = orca_api::text::TEXT_BYTES_MAX;
/// How long a body may take.
pub const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a body may take before its rate counts.
pub const BODY_GRACE: Duration = Duration::from_secs(5);
/// The least rate of a body, in bytes a second: what is slower only holds a place.
pub const BODY_RATE_MIN: u64 = 1024;
/// How long a peer may leave what is written to it unread.
pub const WRITE_TIME: Duration = Duration::from_secs(30);
/// The most open files, where the hard limit allows them: every connection below, and what each may need.
pub const DESCRIPTORS_MAX: u64 = 16_384;
/// The most connections of the control socket: with what each may need, less than the 1024 descriptors that a process of
/// systemd's begins with.
pub const CONNECTIONS_MAX: usize = 640;
/// The most connections of one user other than root.
pub const CONNECTIONS_PER_UID_MAX: usize = 64;
/// The most streams from the engine (logs, exec) at once.
pub const STREAMS_MAX: usize = 128;
/// The most watchers of events at once: a watcher costs a connection and nothing else.
pub const WATCHERS_MAX: usize = 512;
/// The most requests that are parked at once.
pub const WAITERS_MAX: usize = 1024;
/// How long connections may take to end once the daemon stops.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);
/// The most streams of one connection of the link at once.
pub const LINK_STREAMS_MAX: u32 = 100;
/// How long a message of the link may take, besides what it is parked for.
pub const LINK_TIME: Duration = Duration::from_secs(10);
/// The largest message of the link, in bytes: an inventory of ten thousand placements.
pub const LINK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest head of a message of the link, in bytes: a command to run travels in it, percent-encoded.
pub const LINK_HEAD_BYTES_MAX: u32 = 256 * 1024;
/// The most connections of the port of the link: far below the limit of open files, far above 1,000 nodes with two each.
pub const PORT_CONNECTIONS_MAX: usize = 4096;
/// The most connections of the port of the link from one address: what Nomad's servers allow.
pub const PORT_CONNECTIONS_PER_ADDRESS_MAX: usize = 100;
/// The most streams at once of a connection without a certificate.
pub const STRANGER_STREAMS_MAX: u32 = 4;
/// The longest head of a request without a certificate, in bytes.
pub const STRANGER_HEAD_BYTES_MAX: u32 = 16 * 1024;
/// The largest message without a certificate, in bytes: a request to join has about 2 KiB.
pub const STRANGER_BYTES_MAX: usize = 64 * 1024;
/// How long a connection without a certificate may last: a join takes less than a second.
pub const STRANGER_TIME: Duration = Duration::from_secs(30);
/// Requests to join: so many at once, and then one each so many milliseconds. From one address, and in all.
pub const JOINS_PER_ADDRESS: (u32, u64) = (20, 3_000);
/// See [`JOINS_PER_ADDRESS`].
pub const JOINS_IN_ALL: (u32, u64) = (200, 200);
/// Messages of one node: so many at once, and then one each so many milliseconds. A worker that is very busy sends ten a
/// second.
pub const MESSAGES_PER_NODE: (u32, u64) = (1_000, 5);
