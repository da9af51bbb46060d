//! What can be seen of this machine without the daemon.

use std::path::Path;
use std::process::Command;

use super::daemon::space;
use super::{Finding, State, folder};

/// The unit and its socket, where systemd runs this machine. `told`: the daemon itself says why it does not start.
pub(super) fn unit(told: bool) -> Vec<Finding> {
    if !Path::new("/run/systemd/system").exists() {
        return vec![Finding::new("unit", State::Unknown, "systemd does not run this machine")];
    }
    ["orcad.service", "orcad.socket"]
        .into_iter()
        .map(|unit| {
            let mut finding = unit_state(unit, &systemctl("is-active", unit), &systemctl("is-enabled", unit));
            if told && finding.state == State::Wrong {
                finding.remedy.clear();
            }
            finding
        })
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
            .remedy(format!("sudo systemctl start {unit}; journalctl -u {unit} -e shows why it is not")),
    }
}

fn systemctl(verb: &str, unit: &str) -> String {
    let output = Command::new("systemctl").args([verb, unit]).output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

/// Space for the state, where the daemon does not tell.
pub(super) fn state_space() -> Option<Finding> {
    let state = Path::new(folder::STATE);
    let figures = rustix::fs::statvfs(if state.exists() { state } else { Path::new("/var/lib") }).ok()?;
    Some(space(folder::STATE, figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize))
}

/// Whether this user may use the control socket without sudo.
pub(super) fn membership() -> Finding {
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
}
