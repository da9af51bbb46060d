//! The states of a task, who may move each on, and the closed list of reasons.
//!
//! ```text
//!  task       placement    attempt (on the worker)
//!  waiting ─► assigned ─► preparing ─► ready ─► starting ─► running ─┬─► completed   exit 0
//!   (10)       (20)         (30)        (40)      (50)       (60)    ├─► failed      the process ran
//!                 └───────────┴──────────┴─► rejected (86)           └─► stopping (70) ─► stopped
//!  lost (90): the manager gave up on the node of a placement
//! ```
//!
//! States only rise. Of two reports the larger wins, of two different terminal ones the first. Each state
//! has exactly one owner who may move it on: the table is [`TRANSITIONS`], and a test checks it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The coarse state that lists show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No node yet, or between two attempts.
    Pending,
    /// A node was chosen; the container is being made.
    Scheduled,
    /// The process runs.
    Running,
    /// Ended as wanted: exit 0, or stopped by request.
    Completed,
    /// Ended otherwise.
    Failed,
}

impl Phase {
    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The fine state. Its number is its rank: states only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// A task without a placement, or between two attempts.
    Waiting = 10,
    /// A node was chosen and has not taken the placement up.
    Assigned = 20,
    /// Image, container and volumes are being made.
    Preparing = 30,
    /// Created and held until it is wanted to run.
    Ready = 40,
    /// The process runs, its health is not known yet.
    Starting = 50,
    /// The process runs and is healthy, or has no check.
    Running = 60,
    /// The stop signal was sent, the grace runs.
    Stopping = 70,
    /// Exited with 0.
    Completed = 80,
    /// Ended because it was asked to, whatever its exit code.
    Stopped = 82,
    /// The process ran and ended by itself, not with 0.
    Failed = 84,
    /// The process never ran here.
    Rejected = 86,
    /// The manager gave up on the node.
    Lost = 90,
}

/// Who may move a state on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The manager core.
    Manager,
    /// The worker core.
    Worker,
    /// Nobody: the state is terminal.
    Terminal,
}

impl State {
    /// All states in the order of their rank.
    pub const ALL: [Self; 12] = [
        Self::Waiting,
        Self::Assigned,
        Self::Preparing,
        Self::Ready,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Completed,
        Self::Stopped,
        Self::Failed,
        Self::Rejected,
        Self::Lost,
    ];

    /// Its number, 10 to 90.
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// By its number.
    pub fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.rank() == rank)
    }

    /// The phase that lists show.
    pub const fn phase(self) -> Phase {
        match self {
            Self::Waiting => Phase::Pending,
            Self::Assigned | Self::Preparing | Self::Ready | Self::Starting => Phase::Scheduled,
            Self::Running | Self::Stopping => Phase::Running,
            Self::Completed | Self::Stopped => Phase::Completed,
            Self::Failed | Self::Rejected | Self::Lost => Phase::Failed,
        }
    }

    /// Who moves it on. `lost` is the manager's one right over a placement that a worker owns.
    pub const fn owner(self) -> Owner {
        match self {
            Self::Waiting => Owner::Manager,
            Self::Assigned
            | Self::Preparing
            | Self::Ready
            | Self::Starting
            | Self::Running
            | Self::Stopping => Owner::Worker,
            Self::Completed | Self::Stopped | Self::Failed | Self::Rejected | Self::Lost => Owner::Terminal,
        }
    }

    /// Whether nothing comes after it.
    pub const fn is_terminal(self) -> bool {
        matches!(self.owner(), Owner::Terminal)
    }

    /// Whether a process of it may be alive.
    pub const fn may_run(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }

    /// Whether a move is in the table.
    pub fn may_become(self, to: Self) -> bool {
        TRANSITIONS.iter().any(|t| t.from == self && t.to == to)
    }

    /// Whether moves of the table lead to a state, by that owner alone: whoever did not see every step in between sees
    /// this one.
    pub fn may_reach(self, to: Self, by: Owner) -> bool {
        self < to
            && TRANSITIONS
                .iter()
                .any(|t| t.from == self && t.by == by && (t.to == to || t.to.may_reach(to, by)))
    }

    /// As written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Assigned => "assigned",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One allowed move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From.
    pub from: State,
    /// To.
    pub to: State,
    /// Who makes it.
    pub by: Owner,
}

const fn t(from: State, to: State, by: Owner) -> Transition {
    Transition { from, to, by }
}

/// Every allowed move. A quick worker may skip steps, so each of its states reaches each later one.
pub const TRANSITIONS: &[Transition] = {
    use Owner::{Manager, Worker};
    use State::{
        Assigned, Completed, Failed, Lost, Preparing, Ready, Rejected, Running, Starting, Stopped, Stopping,
        Waiting,
    };
    &[
        t(Waiting, Assigned, Manager),
        t(Waiting, Stopped, Manager),
        t(Waiting, Failed, Manager),
        t(Assigned, Preparing, Worker),
        t(Assigned, Ready, Worker),
        t(Assigned, Starting, Worker),
        t(Assigned, Running, Worker),
        t(Assigned, Rejected, Worker),
        t(Preparing, Ready, Worker),
        t(Preparing, Starting, Worker),
        t(Preparing, Running, Worker),
        t(Preparing, Stopping, Worker),
        t(Preparing, Completed, Worker),
        t(Preparing, Stopped, Worker),
        t(Preparing, Failed, Worker),
        t(Preparing, Rejected, Worker),
        t(Ready, Starting, Worker),
        t(Ready, Running, Worker),
        t(Ready, Stopping, Worker),
        t(Ready, Completed, Worker),
        t(Ready, Stopped, Worker),
        t(Ready, Failed, Worker),
        t(Ready, Rejected, Worker),
        t(Starting, Running, Worker),
        t(Starting, Stopping, Worker),
        t(Starting, Completed, Worker),
        t(Starting, Stopped, Worker),
        t(Starting, Failed, Worker),
        t(Running, Stopping, Worker),
        t(Running, Completed, Worker),
        t(Running, Stopped, Worker),
        t(Running, Failed, Worker),
        t(Stopping, Completed, Worker),
        t(Stopping, Stopped, Worker),
        t(Stopping, Failed, Worker),
        t(Assigned, Stopped, Worker),
        t(Assigned, Lost, Manager),
        t(Preparing, Lost, Manager),
        t(Ready, Lost, Manager),
        t(Starting, Lost, Manager),
        t(Running, Lost, Manager),
        t(Stopping, Lost, Manager),
    ]
};

/// Where the next attempt of a task goes after a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// On the same node, by the worker and the restart policy.
    Here,
    /// On another node, by the manager; here by the policy where there is none.
    Elsewhere,
    /// None: it was asked to end.
    Ends,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $next:expr, $budget:expr, $hint:literal;)*) => {
        /// Why something is in its state. A closed list, and public API: codes are added, never changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Where the next attempt goes.
            pub const fn next(self) -> Next {
                match self { $(Self::$name => $next,)* }
            }

            /// Whether an end for this reason counts against the restart policy.
            pub const fn uses_budget(self) -> bool {
                match self { $(Self::$name => $budget,)* }
            }

            /// What to do about it; `NAME` stands for the task's name. Empty where there is nothing to do.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint,)* }
            }
        }
    };
}

reasons! {
    /// Its process exited by itself.
    Exited = "exited", Next::Here, true, "orcactl task logs NAME shows its last words";
    /// A signal ended its process, and orca did not send it.
    Killed = "killed", Next::Here, true, "someone or something on the node sent the signal; orcactl task logs NAME shows its last words";
    /// It reached its own memory limit.
    OomLimit = "oom_limit", Next::Here, true, "give it more with --memory, or find the leak: orcactl task stats NAME";
    /// The machine ran out of memory.
    OomHost = "oom_host", Next::Elsewhere, false, "the node has too little memory for what runs on it: orcactl node inspect";
    /// Its health check failed.
    Unhealthy = "unhealthy", Next::Here, true, "orcactl task inspect NAME shows what the check said";
    /// It ran longer than it may.
    Deadline = "deadline", Next::Here, true, "raise the deadline, or find what takes so long: orcactl task logs NAME";
    /// The engine could not start its process.
    StartError = "start_error", Next::Here, true, "check command, entrypoint, user and workdir against the image";
    /// A mount could not be made.
    MountError = "mount_error", Next::Here, true, "the source must exist on the node: create it, or use a volume (NAME:/TARGET)";
    /// A host port is held by somebody else.
    PortTaken = "port_taken", Next::Elsewhere, false, "free the port on the node (sudo ss -ltnp shows who has it), or publish another: -p OTHER:PORT";
    /// A device does not exist on the node.
    NoDevice = "no_device", Next::Elsewhere, false, "the node does not have this device: choose a node that has, or leave it out";
    /// The node is under pressure.
    Pressured = "pressured", Next::Elsewhere, false, "orcactl node inspect shows what the node is short of";
    /// The node's disk is full.
    NoSpace = "no_space", Next::Elsewhere, false, "free disk on the node: docker system df shows what the engine holds";
    /// The image could not be pulled.
    PullError = "pull_error", Next::Here, true, "the registry's own words are in the message; it is tried again by itself";
    /// The registry or the engine has no such image.
    ImageNotFound = "image_not_found", Next::Here, true, "check name and tag; docker images shows what the node has: build or load it there, or have it pulled with --pull missing";
    /// The registry wants other credentials.
    RegistryAuth = "registry_auth", Next::Here, true, "docker login REGISTRY, then copy the file to /etc/orca/docker-config.json on the node";
    /// The engine was restarted under it.
    EngineRestart = "engine_restart", Next::Here, false, "nothing to do: it comes back by itself; live-restore in /etc/docker/daemon.json avoids it";
    /// The machine was restarted under it.
    NodeReboot = "node_reboot", Next::Here, false, "nothing to do: it comes back by itself";
    /// Its container was removed by somebody else.
    ContainerRemoved = "container_removed", Next::Here, true, "something other than orca removed the container (docker rm, a prune job)";
    /// A person asked.
    StoppedByUser = "stopped_by_user", Next::Ends, false, "orcactl task restart NAME starts it again";
    /// Its job asked.
    StoppedByJob = "stopped_by_job", Next::Ends, false, "";
    /// A rollout replaced it.
    StoppedByRollout = "stopped_by_rollout", Next::Ends, false, "";
    /// Its node is drained.
    StoppedByDrain = "stopped_by_drain", Next::Elsewhere, false, "";
    /// It was moved to a better place.
    StoppedByRebalance = "stopped_by_rebalance", Next::Elsewhere, false, "";
    /// A task of higher priority took its place.
    Preempted = "preempted", Next::Elsewhere, false, "it waits for room: orcactl task explain NAME";
    /// Its lease ended while the manager was away.
    LeaseEnded = "lease_ended", Next::Elsewhere, false, "";
    /// The manager gave up on its node.
    NodeDown = "node_down", Next::Elsewhere, false, "orcactl node inspect shows since when";
    /// Its node was removed.
    NodeRemoved = "node_removed", Next::Elsewhere, false, "";
    /// It has just been made.
    New = "new", Next::Here, false, "";
    /// No node fits.
    NoFit = "no_fit", Next::Here, false, "orcactl task explain NAME says which node lacks what";
    /// It waits for another task.
    WaitingOn = "waiting_on", Next::Here, false, "";
    /// Work is paused.
    Paused = "paused", Next::Here, false, "";
    /// It waits before its next attempt.
    Backoff = "backoff", Next::Here, false, "orcactl task restart NAME starts it now";
    /// The image is on no node and may not be pulled.
    NoImageOnNode = "no_image_on_node", Next::Here, false, "load the image on the node, or use --pull missing";
    /// Its restart policy allows no more attempts.
    RestartsUsedUp = "restarts_used_up", Next::Ends, false, "orcactl task restart NAME begins anew";
    /// The node's engine does not answer.
    EngineAway = "engine_away", Next::Here, false, "systemctl status docker on the node";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a user wants of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It runs.
    Running,
    /// It does not.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_blinked_sees_where_it_led() {
        use State::{Assigned, Completed, Failed, Lost, Preparing, Ready, Rejected, Running, Stopping};
        for (from, to, may) in [
            (Ready, Failed, true),
            (Preparing, Completed, true),
            (Assigned, Failed, true),
            (Running, Rejected, false),
            (Stopping, Running, false),
            (Completed, Failed, false),
            (Running, Lost, false),
        ] {
            assert_eq!(from.may_reach(to, Owner::Worker), may, "{from} {to}");
        }
        assert!(TRANSITIONS.iter().all(|t| t.from.may_reach(t.to, t.by)));
    }

    #[test]
    fn every_move_is_made_by_the_owner_of_its_state_and_rises() {
        for t in TRANSITIONS {
            assert!(t.from < t.to, "{t:?}");
            assert!(t.by == t.from.owner() || t.to == State::Lost, "{t:?}");
            assert!(!t.from.is_terminal(), "{t:?}");
        }
    }

    #[test]
    fn every_state_but_the_terminal_ones_has_an_exit() {
        for state in State::ALL {
            let exits = TRANSITIONS.iter().filter(|t| t.from == state).count();
            assert_eq!(exits == 0, state.is_terminal(), "{state}");
            assert_eq!(State::from_rank(state.rank()), Some(state));
        }
    }

    #[test]
    fn codes_are_what_is_serialised() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
        for state in State::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.as_str()));
        }
    }
}
