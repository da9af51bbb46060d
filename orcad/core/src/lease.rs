//! The one figure that manager and worker must agree on.

use orca_api::units::Span;

/// How long a worker lets a singleton run without having been heard by its manager: three missed heartbeats of 2 s, and
/// twice the time that a dial and a hello take.
pub const LEASE: Span = Span::from_secs(10);
