//! Why an attempt ended: from what the engine tells, and what is known beside it.
//!
//! In this order: somebody asked for it; the machine or the engine went down under it, **whatever the exit
//! code**, since a polite program exits with 0 on TERM; its health check failed; memory; its exit code.

use orca_api::spec::Signal;
use orca_api::task::{Reason, State};
use orca_api::units::{Bytes, Span};

use super::defaults::PEAK_TRUSTED_AFTER;

/// What is known of an end.
#[derive(Clone, Debug, Default)]
pub(super) struct End {
    /// Why it was to be stopped.
    pub stop: Option<Reason>,
    /// The machine was restarted, or is going down.
    pub reboot: bool,
    /// The engine was restarted under it.
    pub engine_restart: bool,
    /// Its health check had failed; with what it said.
    pub unhealthy: Option<String>,
    /// Its container is not there any more.
    pub vanished: bool,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// The engine's flag: the kernel killed something in it for want of memory.
    pub oom_killed: bool,
    /// Its memory limit.
    pub limit: Option<Bytes>,
    /// The most memory it was sampled with.
    pub peak: Option<Bytes>,
    /// How long it ran.
    pub ran: Option<Span>,
    /// About when it ended, the kernel killed more for want of memory than our own containers' limits account for.
    pub oom_nearby: bool,
    /// What the engine says went wrong.
    pub error: String,
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub state: State,
    pub reason: Option<Reason>,
    pub message: String,
    pub signal: Option<u8>,
}

/// Codes above this are 128 + the signal that ended the process.
const SIGNAL_BASE: i32 = 128;

/// The signal behind an exit code.
pub(super) fn signal_of(code: i32) -> Option<Signal> {
    u8::try_from(code.checked_sub(SIGNAL_BASE)?).ok().and_then(Signal::from_number)
}

/// Decides what an end was.
pub(super) fn decide(end: &End) -> Outcome {
    let signal = end.exit_code.and_then(signal_of);
    // Code and signal stand beside it: the message has what they do not say.
    let said = end.error.clone();
    let outcome = |state, reason, message| Outcome {
        state,
        reason: Some(reason),
        message,
        signal: signal.map(Signal::number),
    };
    if let Some(reason) = end.stop {
        return outcome(State::Stopped, reason, said);
    }
    if end.vanished {
        return outcome(
            State::Failed,
            Reason::ContainerRemoved,
            "its container is gone, and orca did not remove it".to_owned(),
        );
    }
    if end.reboot {
        return outcome(State::Failed, Reason::NodeReboot, said);
    }
    if end.engine_restart {
        return outcome(State::Failed, Reason::EngineRestart, said);
    }
    if let Some(check) = &end.unhealthy {
        return outcome(State::Failed, Reason::Unhealthy, check.clone());
    }
    if end.exit_code != Some(0) {
        if let Some((reason, message)) = memory(end, signal) {
            return outcome(State::Failed, reason, message);
        }
        let reason = if signal.is_some() { Reason::Killed } else { Reason::Exited };
        return outcome(State::Failed, reason, said);
    }
    Outcome { state: State::Completed, reason: Some(Reason::Exited), message: said, signal: None }
}

/// Whether memory ended it: its own limit, or the machine's want.
fn memory(end: &End, signal: Option<Signal>) -> Option<(Reason, String)> {
    let peak = end.peak.filter(|_| end.ran.is_some_and(|ran| ran >= PEAK_TRUSTED_AFTER));
    let shown = |bytes: Bytes| format!("{} MiB", bytes.get() >> 20);
    if end.oom_killed
        && let Some(limit) = end.limit
        && peak.is_none_or(|peak| u128::from(peak.get()) * 100 >= u128::from(limit.get()) * 95)
    {
        let used = peak.map_or(String::new(), |peak| format!(", {} used", shown(peak)));
        return Some((Reason::OomLimit, format!("killed at its memory limit of {}{used}", shown(limit))));
    }
    if end.oom_killed {
        return Some((Reason::OomHost, "killed because the machine ran out of memory".to_owned()));
    }
    (signal == Some(Signal::KILL) && end.oom_nearby).then(|| {
        let message = "killed by SIGKILL while the kernel was killing for want of memory";
        (Reason::OomHost, message.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: i32) -> End {
        End { exit_code: Some(code), ..End::default() }
    }

    #[test]
    fn ends_are_what_the_table_says() {
        let limit = Some(Bytes::mib(100));
        let long = Some(Span::from_secs(60));
        let table: Vec<(&str, End, State, Reason)> = vec![
            ("exit 0", end(0), State::Completed, Reason::Exited),
            ("exit 3", end(3), State::Failed, Reason::Exited),
            ("exit 128", end(128), State::Failed, Reason::Exited),
            ("kill", end(137), State::Failed, Reason::Killed),
            ("term", end(143), State::Failed, Reason::Killed),
            ("exit 160 is no signal", end(160), State::Failed, Reason::Exited),
            ("no code", End::default(), State::Failed, Reason::Exited),
            (
                "own limit, peak unknown",
                End { oom_killed: true, limit, ..end(137) },
                State::Failed,
                Reason::OomLimit,
            ),
            (
                "own limit, near",
                End { oom_killed: true, limit, peak: Some(Bytes::mib(95)), ran: long, ..end(137) },
                State::Failed,
                Reason::OomLimit,
            ),
            (
                "far from the limit",
                End { oom_killed: true, limit, peak: Some(Bytes::mib(94)), ran: long, ..end(137) },
                State::Failed,
                Reason::OomHost,
            ),
            (
                "too short for samples",
                End {
                    oom_killed: true,
                    limit,
                    peak: Some(Bytes::mib(1)),
                    ran: Some(Span::from_secs(2)),
                    ..end(137)
                },
                State::Failed,
                Reason::OomLimit,
            ),
            ("no limit", End { oom_killed: true, ..end(137) }, State::Failed, Reason::OomHost),
            (
                "the kernel killed without a flag",
                End { oom_nearby: true, ..end(137) },
                State::Failed,
                Reason::OomHost,
            ),
            (
                "term is no want of memory",
                End { oom_nearby: true, ..end(143) },
                State::Failed,
                Reason::Killed,
            ),
            (
                "a killed child, and exit 0",
                End { oom_killed: true, limit, ..end(0) },
                State::Completed,
                Reason::Exited,
            ),
            (
                "health",
                End { unhealthy: Some("no answer".to_owned()), ..end(143) },
                State::Failed,
                Reason::Unhealthy,
            ),
            (
                "engine, politely",
                End { engine_restart: true, ..end(0) },
                State::Failed,
                Reason::EngineRestart,
            ),
            (
                "engine over health",
                End { engine_restart: true, unhealthy: Some(String::new()), ..end(137) },
                State::Failed,
                Reason::EngineRestart,
            ),
            (
                "reboot over engine",
                End { reboot: true, engine_restart: true, ..end(0) },
                State::Failed,
                Reason::NodeReboot,
            ),
            ("removed", End { vanished: true, ..End::default() }, State::Failed, Reason::ContainerRemoved),
            (
                "a stop beats all",
                End {
                    stop: Some(Reason::StoppedByUser),
                    vanished: true,
                    reboot: true,
                    engine_restart: true,
                    oom_killed: true,
                    limit,
                    ..end(137)
                },
                State::Stopped,
                Reason::StoppedByUser,
            ),
        ];
        for (what, end, state, reason) in table {
            let outcome = decide(&end);
            assert_eq!((outcome.state, outcome.reason), (state, Some(reason)), "{what}");
        }
    }

    #[test]
    fn the_signal_is_named_and_the_engine_is_quoted() {
        assert_eq!(decide(&end(137)).signal, Some(9));
        assert_eq!(decide(&end(3)).signal, None);
        assert_eq!(decide(&End { error: "no such file".to_owned(), ..end(127) }).message, "no such file");
        assert_eq!(
            decide(&End { oom_killed: true, limit: Some(Bytes::mib(64)), ..end(137) }).message,
            "killed at its memory limit of 64 MiB"
        );
    }
}
