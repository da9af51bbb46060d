//! The worker's figures, in one place.

use orca_api::units::Span;

/// The first wait between two attempts; each further one doubles.
pub const BACKOFF_FIRST: Span = Span::from_secs(1);
/// The longest wait between two attempts, before jitter.
pub const BACKOFF_MAX: Span = Span::from_secs(300);
/// Jitter in thousandths of a wait, in both directions.
pub const JITTER_PER_MILLE: u64 = 250;
/// A run of this length makes the restart policy begin anew.
pub const HEALTHY_AFTER: Span = Span::from_secs(600);
/// How often all containers are looked at while something runs.
pub const SWEEP_BUSY: Span = Span::from_secs(15);
/// How often all containers are looked at while nothing runs.
pub const SWEEP_IDLE: Span = Span::from_secs(30);
/// A sweep that was not answered for so long is asked for again: longer than the engine's calls may take.
pub const SWEEP_LOST: Span = Span::from_secs(20);
/// How often what was not accepted is reported again.
pub const RESEND: Span = Span::from_secs(5);
/// How often the progress of a placement is reported at most.
pub const PROGRESS_EVERY: Span = Span::from_ms(250);
/// The first wait after an operation whose outcome is unknown; each further one doubles.
pub const RETRY_FIRST: Span = Span::from_secs(1);
/// The longest wait after operations whose outcome is unknown.
pub const RETRY_MAX: Span = Span::from_secs(30);
/// How often a container that cannot be killed is tried again.
pub const UNKILLABLE_RETRY: Span = Span::from_secs(10);
/// An engine that does not answer for so long is a condition of the node.
pub const UNRESPONSIVE_AFTER: Span = Span::from_secs(15);
/// How far an end may lie from the engine's absence and still be its doing: a stopping engine gives its containers 10 s.
pub const ENGINE_RESTART_MARGIN: Span = Span::from_secs(15);
/// An operation that did not come to an end in so long is taken for lost: far beyond the deadlines of the engine's calls.
pub const OP_LOST: Span = Span::from_secs(120);
/// Likewise for a pull, since its last progress; it may wait for others first.
pub const PULL_LOST: Span = Span::from_secs(600);
/// Peaks of memory are sampled: in a run shorter than this they say nothing.
pub const PEAK_TRUSTED_AFTER: Span = Span::from_secs(30);
/// Absences of the engine that are remembered, for ends that are seen afterwards.
pub const OUTAGES_KEPT: usize = 16;
/// How far a kill for want of memory may lie from an end and still be its cause: the count is read before each turn, and a
/// turn follows each end that the engine tells of.
pub const OOM_KILL_NEAR: Span = Span::from_secs(5);
/// Moves of the machine's count of such kills that are remembered, for ends that are seen afterwards.
pub const OOM_MOVES_KEPT: usize = 32;
