//! The clock: is it kept by the network, and can it be right at all.
//!
//! A clock that is wrong is seen without a network, too: time does not run backwards, so a file from the future, or a
//! program that was built after now, says that the clock was set back (a dead battery, a restored machine).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use orca_api::units::{Span, Time};

use super::{Finding, State};

/// Clocks of one machine differ by less than the second that a `Date` header counts in.
const CLOCK_MAX: Span = Span::from_secs(5);
/// A file may be younger than this clock by so much, as after a small step of the clock.
const FUTURE_MAX: Span = Span::from_secs(10 * 60);
/// What is written while a clock is right: the time that systemd-timesyncd saved last, logins, and orca's own state.
const WITNESSES: [&str; 4] =
    ["/var/lib/systemd/timesync/clock", "/var/log/wtmp", "/var/lib/orca", "/var/lib/orca/backups"];
/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 256;

/// This process's clock against the daemon's.
pub(super) fn against(daemon: Time) -> Finding {
    let here = now();
    let apart = here.since(daemon).max(daemon.since(here));
    if apart > CLOCK_MAX {
        return Finding::new(
            "clock",
            State::Warning,
            format!("this clock and the daemon's are {apart} apart"),
        )
        .remedy("timedatectl status");
    }
    Finding::ok("clock", "agrees with the daemon's")
}

/// Whether it can be right, and whether the network keeps it.
pub(super) fn all() -> Vec<Finding> {
    let mut seen = files(WITNESSES.iter().map(Path::new));
    if let Ok(program) = std::env::current_exe() {
        seen.extend(modified(&program).map(|at| (program, at)));
    }
    vec![plausible(now(), &seen), synchronised()]
}

fn now() -> Time {
    Time::from_ms(jiff::Timestamp::now().as_millisecond())
}

/// When these files, and the files in these folders, were written. What may not be looked at is left out.
fn files<'p>(paths: impl Iterator<Item = &'p Path>) -> Vec<(PathBuf, Time)> {
    let mut seen = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(ENTRIES_MAX);
            seen.extend(entries.filter_map(|e| modified(&e.path()).map(|at| (e.path(), at))));
        } else {
            seen.extend(modified(path).map(|at| (path.to_owned(), at)));
        }
    }
    seen
}

fn modified(path: &Path) -> Option<Time> {
    let at = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Time::from_ms(i64::try_from(since.as_millis()).ok()?))
}

/// Whether nothing was written after now.
fn plausible(now: Time, seen: &[(PathBuf, Time)]) -> Finding {
    match seen.iter().max_by_key(|(_, at)| *at) {
        Some((path, at)) if at.since(now) > FUTURE_MAX => Finding::new(
            "clock",
            State::Wrong,
            format!("it says {now}, and {} was written at {at}: it was set back", path.display()),
        )
        .remedy("sudo timedatectl set-ntp true; without a network: sudo timedatectl set-time 'YYYY-MM-DD HH:MM:SS'"),
        _ => Finding::ok("clock", "nothing was written after now"),
    }
}

fn synchronised() -> Finding {
    let output = Command::new("timedatectl").args(["show", "-p", "NTPSynchronized", "--value"]).output();
    match output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).as_deref() {
        Ok("yes") => Finding::ok("clock", "synchronised with the network"),
        Ok("no") => Finding::new("clock", State::Warning, "not synchronised with the network")
            .remedy("sudo timedatectl set-ntp true"),
        _ => Finding::new("clock", State::Unknown, "timedatectl cannot say whether it is synchronised"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_the_second_of_a_header() {
        assert_eq!(against(now()).state, State::Ok);
        assert_eq!(against(now().plus(Span::from_secs(60))).state, State::Warning);
    }

    #[test]
    fn a_file_from_the_future_says_that_the_clock_was_set_back() {
        let now = now();
        let file = |ahead: u64| (PathBuf::from("/x/clock"), now.plus(Span::from_secs(ahead)));
        assert_eq!(plausible(now, &[]).state, State::Ok);
        assert_eq!(plausible(now, &[file(0), file(300)]).state, State::Ok);
        let finding = plausible(now, &[file(0), file(86_400)]);
        assert_eq!(finding.state, State::Wrong);
        assert!(finding.text.contains("/x/clock") && finding.remedy.contains("set-ntp"), "{finding:?}");
    }

    #[test]
    fn files_of_folders_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let seen = files([folder.path(), Path::new("/nonexistent/x")].into_iter());
        assert_eq!(seen.len(), 1);
        assert!(seen[0].1.since(now()) < FUTURE_MAX);
    }
}
