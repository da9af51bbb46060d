//! Values as words: states, ages, amounts, rates.

use std::fmt::Write as _;

use anstyle::Style;
use jiff::tz::TimeZone;
use orca_api::control::TaskView;
use orca_api::link::{Progress, PublishedPort};
use orca_api::node::{Availability, NodeState};
use orca_api::spec::{Protocol, Signal};
use orca_api::task::{Phase, Reason, State};
use orca_api::units::{Bytes, Span, Time};

use super::printer::{BAD, DIM, GOOD, WARN};

/// A text without control characters: each is shown as its escape.
pub fn plain(text: &str) -> String {
    escape(text, false)
}

/// A line of a task's output for a terminal: tabs stay, other control characters are shown as escapes.
pub fn for_terminal(text: &str) -> String {
    escape(text, true)
}

fn escape(text: &str, tabs: bool) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 16), |mut out, c| {
        match c {
            '\t' if tabs => out.push(c),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
        out
    })
}

/// A length of time in its largest unit: `45s`, `3m`, `5h`, `2d`.
pub fn short(span: Span) -> String {
    let seconds = span.ms() / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago: `3m`.
pub fn age(at: Time, now: Time) -> String {
    short(now.since(at))
}

/// How long ago, in words: `3m ago`.
pub fn ago(at: Time, now: Time) -> String {
    format!("{} ago", age(at, now))
}

/// The point in time by the local clock, and how far it is: `2026-11-24 13:05:10 (3m ago)`.
pub fn moment(at: Time, now: Time) -> String {
    let far = if at > now { format!("in {}", short(at.since(now))) } else { format!("{} ago", age(at, now)) };
    format!("{} ({far})", local(at))
}

/// The point in time by the local clock: `2026-11-24 13:05:10`.
pub fn local(at: Time) -> String {
    match jiff::Timestamp::from_millisecond(at.ms()) {
        Ok(time) => time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.to_string(),
    }
}

/// A task's state in words: `running`, `waiting (backoff)`, `failed (exited 1)`.
pub fn state(task: &TaskView) -> String {
    let mut text = task.state.to_string();
    if let Some(reason) = task.reason {
        let _ = write!(text, " ({})", why(reason, task.exit_code, task.signal));
    }
    if task.stale_since.is_some() {
        text.push_str(" ?");
    }
    text
}

/// A reason with what it is about: `exited 1`, `killed SIGKILL`, `no_fit`.
pub fn why(reason: Reason, exit_code: Option<i32>, signal: Option<u8>) -> String {
    match (reason, exit_code, signal.and_then(Signal::from_number)) {
        (Reason::Killed | Reason::Exited, _, Some(signal)) => format!("{reason} {signal}"),
        (Reason::Exited, Some(code), None) => format!("{reason} {code}"),
        _ => reason.to_string(),
    }
}

/// How a task's state is coloured.
pub fn state_style(task: &TaskView) -> Style {
    match (task.phase, task.state) {
        (Phase::Running, State::Stopping) => WARN,
        (Phase::Running, _) if task.stale_since.is_none() => GOOD,
        (Phase::Failed, _) => BAD,
        (Phase::Completed, _) => DIM,
        _ if matches!(task.reason, Some(Reason::NoFit | Reason::NoImageOnNode | Reason::EngineAway)) => BAD,
        _ => WARN,
    }
}

/// How a node's state is coloured.
pub fn node_style(state: NodeState, availability: Availability) -> Style {
    match (state, availability) {
        (NodeState::Ready, Availability::Active) => GOOD,
        (NodeState::Ready | NodeState::Joining, _) => WARN,
        (NodeState::Left, _) => DIM,
        _ => BAD,
    }
}

/// Published ports as `docker ps` writes them, shorter: `8080->80`, `127.0.0.1:53->53/udp`.
pub fn ports(ports: &[PublishedPort]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for port in ports {
        let address = match port.address.as_str() {
            "" | "0.0.0.0" | "::" => String::new(),
            v6 if v6.contains(':') => format!("[{v6}]:"),
            v4 => format!("{v4}:"),
        };
        let protocol = if port.protocol == Protocol::Tcp {
            String::new()
        } else {
            format!("/{}", port.protocol.as_str())
        };
        let text = format!("{address}{}->{}{protocol}", port.host, port.container);
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join(", ")
}

/// What a step has come to: `pulling, 12 MiB of 48 MiB`.
pub fn progress(progress: &Progress) -> String {
    match (progress.done, progress.total) {
        (0, 0) => plain(&progress.step),
        (done, 0) => format!("{}, {}", plain(&progress.step), Bytes::new(done)),
        (done, total) => format!("{}, {} of {}", plain(&progress.step), Bytes::new(done), Bytes::new(total)),
    }
}

/// Bytes for people.
pub fn bytes(bytes: u64) -> String {
    Bytes::new(bytes).to_string()
}

/// Bytes a second for people; `-` where it is not measured.
pub fn rate(bytes_s: Option<f64>) -> String {
    bytes_s.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", Bytes::new(rate.max(0.0) as u64)))
}

/// An amount of CPU that was measured: `0.42`.
pub fn cpu(cpus: f64) -> String {
    format!("{cpus:.2}")
}

/// How far a clock is off: `+2.1s`, `-3m`; nothing below a tenth of a second.
pub fn clock(ahead_ms: i64) -> String {
    let sign = if ahead_ms < 0 { '-' } else { '+' };
    match ahead_ms.unsigned_abs() {
        0..100 => "ok".to_owned(),
        ms @ 100..60_000 => format!("{sign}{}.{}s", ms / 1000, ms % 1000 / 100),
        ms => format!("{sign}{}", short(Span::from_ms(ms))),
    }
}

/// `1 task`, `2 tasks`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (172_800, "2d")]
        {
            assert_eq!(short(Span::from_secs(seconds)), text);
        }
    }

    #[test]
    fn clocks_are_told_to_a_tenth_of_a_second() {
        for (ms, text) in [(99, "ok"), (-2150, "-2.1s"), (59_999, "+59.9s"), (-180_000, "-3m")] {
            assert_eq!(clock(ms), text);
        }
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\\x1b[31mb\\n");
        assert_eq!(for_terminal("a\tb\u{7}\u{9b}"), "a\tb\\x07\\x9b");
    }

    #[test]
    fn ports_of_both_families_are_said_once() {
        let port = |address: &str| PublishedPort {
            address: address.into(),
            host: 8080,
            container: 80,
            protocol: Protocol::Tcp,
        };
        assert_eq!(ports(&[port("0.0.0.0"), port("::")]), "8080->80");
        assert_eq!(ports(&[port("::1")]), "[::1]:8080->80");
    }
}
