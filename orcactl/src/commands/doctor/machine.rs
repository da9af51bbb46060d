//! What can be seen of this machine without the daemon.

use std::path::Path;
use std::process::Command;

use orca_api::units::{Span, Time};

use super::daemon::space;
use super::{Finding, State};

/// Clocks of one machine differ by less than the second that a `Date` header counts in.
const CLOCK_MAX: Span = Span::from_secs(5);

/// The unit and its socket, where systemd runs this machine.
pub(super) fn unit() -> Vec<Finding> {
    if !Path::new("/run/systemd/system").exists() {
        return vec![Finding::new("unit", State::Unknown, "systemd does not run this machine")];
    }
    ["orcad.service", "orcad.socket"]
        .into_iter()
        .map(|unit| unit_state(unit, &systemctl("is-active", unit), &systemctl("is-enabled", unit)))
        .collect()
}

fn unit_state(unit: &str, active: &str, enabled: &str) -> Finding {
    match (active, enabled) {
        ("active", "enabled") => Finding::ok("unit", format!("{unit} is active and enabled")),
        ("active", _) => Finding::new(
            "unit",
            State::Warning,
            format!("{unit} is active, and not started at boot ({enabled})"),
        )
        .remedy(format!("sudo systemctl enable {unit}")),
        ("", _) => Finding::new("unit", State::Unknown, format!("{unit}: systemctl cannot be asked")),
        (other, _) => Finding::new("unit", State::Wrong, format!("{unit} is {other}"))
            .remedy(format!("systemctl status {unit}, then sudo systemctl start {unit}")),
    }
}

fn systemctl(verb: &str, unit: &str) -> String {
    let output = Command::new("systemctl").args([verb, unit]).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

/// This process's clock against the daemon's.
pub(super) fn clock_against(daemon: Time) -> Finding {
    let here = Time::from_ms(jiff::Timestamp::now().as_millisecond());
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

/// Clock synchronisation, the state folder, the group.
pub(super) fn all() -> Vec<Finding> {
    let mut findings = vec![synchronised()];
    let state = Path::new("/var/lib/orca");
    if let Ok(figures) = rustix::fs::statvfs(if state.exists() { state } else { Path::new("/var/lib") }) {
        findings.push(space(
            "/var/lib/orca",
            figures.f_blocks * figures.f_frsize,
            figures.f_bavail * figures.f_frsize,
        ));
    }
    findings.push(membership());
    findings
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

/// Whether this user may use the control socket without sudo.
fn membership() -> Finding {
    if rustix::process::geteuid().is_root() {
        return Finding::ok("access", "root: everything is allowed");
    }
    let output = Command::new("id").arg("-nG").output();
    let groups = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    if groups.split_whitespace().any(|group| group == "orca") {
        return Finding::ok("access", "member of the group orca: everything is allowed");
    }
    Finding::new("access", State::Warning, "not a member of the group orca: sudo is needed")
        .remedy("sudo usermod -aG orca $USER, then log in again; whoever is in orca is root on every node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_right_when_it_runs_and_comes_back_at_boot() {
        assert_eq!(unit_state("orcad.service", "active", "enabled").state, State::Ok);
        assert_eq!(unit_state("orcad.service", "active", "disabled").state, State::Warning);
        assert_eq!(unit_state("orcad.service", "failed", "enabled").state, State::Wrong);
        assert_eq!(unit_state("orcad.service", "", "").state, State::Unknown);
    }

    #[test]
    fn clocks_may_differ_by_the_second_of_a_header() {
        let now = Time::from_ms(jiff::Timestamp::now().as_millisecond());
        assert_eq!(clock_against(now).state, State::Ok);
        assert_eq!(clock_against(now.plus(Span::from_secs(60))).state, State::Warning);
    }
}
