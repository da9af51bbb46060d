//! Nodes: their states, availability, conditions and roles.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// As written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(
    /// What a node is to the cluster.
    NodeState {
        /// It has a certificate and has not reported yet.
        Joining = "joining",
        /// Its orcad answers.
        Ready = "ready",
        /// The machine lives, its orcad does not answer; its tasks are kept.
        Disconnected = "disconnected",
        /// The machine does not answer; its tasks are replaced.
        Down = "down",
        /// It was removed or left.
        Left = "left",
    }
);

words!(
    /// What an operator allows on a node.
    Availability {
        /// New work may come.
        Active = "active",
        /// No new work; what runs stays.
        Paused = "paused",
        /// No new work; what runs moves off.
        Draining = "draining",
    }
);

words!(
    /// Something that is wrong with a node beside its state.
    Condition {
        /// Under sustained memory or io pressure: no new work.
        Pressured = "pressured",
        /// The engine does not answer.
        EngineUnresponsive = "engine_unresponsive",
        /// The engine is not there (no socket, or it refuses connections).
        EngineAway = "engine_away",
        /// The state folder's disk is nearly full.
        DiskFull = "disk_full",
        /// Its clock differs from the manager's.
        ClockSkew = "clock_skew",
    }
);

impl Condition {
    /// Whether a node with it takes no new work.
    pub const fn blocks_work(self) -> bool {
        matches!(self, Self::Pressured | Self::EngineUnresponsive | Self::EngineAway)
    }

    /// What to do about it.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Pressured => "orcactl node inspect shows what it is short of; move or stop tasks",
            Self::EngineUnresponsive => {
                "sudo systemctl restart docker (journalctl -u docker -e shows what it did last); without live-restore that restarts the tasks"
            }
            Self::EngineAway => "start the engine: sudo systemctl start docker",
            Self::DiskFull => "free space on the file system of /var/lib/orca",
            Self::ClockSkew => "set the clock: timedatectl set-ntp true",
        }
    }
}

words!(
    /// What a node does.
    Role {
        /// It decides.
        Manager = "manager",
        /// It runs tasks.
        Worker = "worker",
    }
);

/// The most labels of a node.
pub const LABELS_MAX: usize = 64;
/// The longest key or value of a label, in bytes.
pub const LABEL_BYTES_MAX: usize = 63;

/// Checks labels of a node: their number, their keys and their values.
///
/// # Errors
/// What is wrong with them, in words.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    if labels.len() > LABELS_MAX {
        return Err(format!("a node has at most {LABELS_MAX} labels, these are {}", labels.len()));
    }
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    for (key, value) in labels {
        if key.is_empty() || key.len() > LABEL_BYTES_MAX || !plain(key) {
            return Err(format!(
                "{key:?} is not a label: 1 to {LABEL_BYTES_MAX} of a-z, A-Z, 0-9 and -_./ are"
            ));
        }
        if value.len() > LABEL_BYTES_MAX || !plain(value) {
            return Err(format!(
                "{value:?} is not a value of a label: at most {LABEL_BYTES_MAX} of a-z, A-Z, 0-9 and -_./ are"
            ));
        }
    }
    Ok(())
}
