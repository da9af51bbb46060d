//! The routes of the control socket and of the link: method, path, who may, and what flows.
//!
//! One table serves the router, the client, the roles' checks and the OpenAPI document.

/// An HTTP method of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Acts.
    Post,
    /// Sets.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What a caller may need to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading, without logs, environment values and exec.
    View,
    /// Everything.
    Admin,
}

/// One route of the control socket.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which.
    pub route: Route,
    /// Method.
    pub method: Method,
    /// Path, with `{name}` for a part that varies.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// One line for the OpenAPI document.
    pub summary: &'static str,
    /// Schema of the request's body; empty for none.
    pub request: &'static str,
    /// Schema of the answer; `text` for plain text, `events` for server-sent events, `lines` for JSON lines, `upgrade`.
    pub answer: &'static str,
    /// Query parameters: name and meaning.
    pub query: &'static [(&'static str, &'static str)],
}

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $method:ident $path:literal, $access:ident, $summary:literal, $request:literal, $answer:literal, [$(($q:literal, $qd:literal)),*];)*) => {
        /// The routes of the control socket.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Route { $($(#[$doc])* $name,)* }

        /// The table.
        pub const ROUTES: &[Entry] = &[$(Entry {
            route: Route::$name, method: Method::$method, path: $path, access: Access::$access,
            summary: $summary, request: $request, answer: $answer, query: &[$(($q, $qd)),*],
        },)*];
    };
}

routes! {
    /// Status.
    Status = Get "/v1/status", View, "The whole at a glance", "", "Status", [];
    /// Versions.
    Version = Get "/v1/version", View, "Versions", "", "VersionView", [];
    /// This document.
    OpenApi = Get "/v1/openapi.json", View, "This document", "", "object", [];
    /// Metrics.
    Metrics = Get "/metrics", View, "Metrics in Prometheus' text format", "", "text", [];
    /// Tasks.
    TaskList = Get "/v1/tasks", View, "The tasks, by name", "", "List<TaskView>",
        [("limit", "at most this many (10,000 at most)"), ("continue", "from the answer before"), ("filter", "phase=…, node=…, name=PREFIX*; several with commas")];
    /// A new task.
    TaskStart = Post "/v1/tasks", Admin, "Start a task", "StartTask", "TaskAnswer", [];
    /// One task.
    TaskInspect = Get "/v1/tasks/{task}", View, "One task, with its spec and history", "", "TaskDetail",
        [("since", "a revision: answer when the task has a newer one"), ("wait", "how long to wait for that, at most 60s")];
    /// Remove a task.
    TaskRemove = Delete "/v1/tasks/{task}", Admin, "Remove a task and free its name", "", "TaskAnswer", [("force", "true: stop it first")];
    /// Stop a task.
    TaskStop = Post "/v1/tasks/{task}/stop", Admin, "Stop a task", "StopTask", "TaskAnswer", [];
    /// Restart a task.
    TaskRestart = Post "/v1/tasks/{task}/restart", Admin, "Restart a task, or start a stopped one again", "RestartTask", "TaskAnswer", [];
    /// Explain a task.
    TaskExplain = Get "/v1/tasks/{task}/explain", View, "Why a task runs where it runs, or why not", "", "Explanation", [];
    /// Output of a task.
    TaskLogs = Get "/v1/tasks/{task}/logs", Admin, "Output of a task", "", "lines",
        [("follow", "true: go on over restarts"), ("tail", "only the last lines"), ("since", "a point in time, or how long ago"), ("attempt", "only this attempt")];
    /// A process in a task.
    TaskExec = Post "/v1/tasks/{task}/exec", Admin, "Run a process in a running task", "ExecTask", "upgrade", [];
    /// Use of a task.
    TaskStats = Get "/v1/tasks/{task}/stats", View, "What a task uses", "", "TaskStats", [];
    /// Use of all tasks.
    Stats = Get "/v1/stats", View, "What every task uses", "", "List<TaskStats>", [];
    /// Explain a spec.
    Explain = Post "/v1/explain", View, "Where a spec would run, without starting it", "ExplainSpec", "Explanation", [];
    /// Nodes.
    NodeList = Get "/v1/nodes", View, "The nodes, by name", "", "List<NodeView>", [];
    /// One node.
    NodeInspect = Get "/v1/nodes/{node}", View, "One node, with its load and tasks", "", "NodeDetail", [];
    /// Availability of a node.
    NodeAvailability = Put "/v1/nodes/{node}/availability", Admin, "Allow or forbid new work on a node", "SetAvailability", "NodeView", [];
    /// Events.
    Events = Get "/v1/events", View, "What happened; with Accept: text/event-stream, also what happens", "", "events",
        [("since", "a revision: only what came after it"), ("limit", "at most this many, the newest"), ("task", "only of this task"), ("node", "only of this node"), ("follow", "true: go on")];
    /// Plan of a drain.
    NodeDrainPlan = Get "/v1/nodes/{node}/drain", View, "What a drain of a node does, or would do", "", "DrainView", [];
    /// Labels of a node.
    NodeLabels = Put "/v1/nodes/{node}/labels", Admin, "Change the labels of a node", "SetLabels", "NodeView", [];
    /// A node is down for certain.
    NodeConfirmDown = Post "/v1/nodes/{node}/confirm-down", Admin, "Say that a node is down for certain: its tasks are placed elsewhere", "", "NodeView", [];
    /// Remove a node.
    NodeRemove = Delete "/v1/nodes/{node}", Admin, "Remove a node from the cluster", "", "NodeGone", [("force", "true: though it has tasks, or answers still")];
    /// Join tokens.
    TokenList = Get "/v1/tokens", View, "The join tokens that are still good, without their secrets", "", "List<TokenView>", [];
    /// A new join token.
    TokenCreate = Post "/v1/tokens", Admin, "Make a join token, and open the port of the link", "CreateToken", "TokenAnswer", [];
    /// Revoke a join token.
    TokenRevoke = Delete "/v1/tokens/{token}", Admin, "Revoke a join token", "", "TokenView", [];
    /// The cluster.
    ClusterInspect = Get "/v1/cluster", View, "The cluster as such", "", "ClusterView", [];
    /// Settings of the cluster.
    ClusterSet = Put "/v1/cluster", Admin, "Set what counts for the cluster as a whole", "SetCluster", "ClusterView", [];
    /// Replace the CA.
    CaRotate = Post "/v1/cluster/ca/rotate", Admin, "Replace the cluster's CA and every certificate", "", "ClusterView", [];
    /// Certificates of people.
    CertificateList = Get "/v1/cluster/certificates", View, "The certificates of people and programs", "", "List<CertificateView>", [];
    /// A new certificate.
    CertificateIssue = Post "/v1/cluster/certificates", Admin, "Make a certificate for a person or a program", "IssueCertificate", "IssuedCertificate", [];
    /// Revoke a certificate.
    CertificateRevoke = Delete "/v1/cluster/certificates/{certificate}", Admin, "Revoke a certificate of a person or a program", "", "CertificateView", [];
    /// Start the manager role.
    ManagerStart = Post "/v1/roles/manager", Admin, "Make this node a manager that others can join", "StartManager", "RolesView", [];
    /// Stop the manager role.
    ManagerStop = Delete "/v1/roles/manager", Admin, "Close the port of the link", "", "RolesView", [("force", "true: though nodes would be stranded")];
    /// Start the worker role.
    WorkerStart = Post "/v1/roles/worker", Admin, "Make this node a worker, of its own cluster or of another", "StartWorker", "RolesView", [];
    /// Stop the worker role.
    WorkerStop = Delete "/v1/roles/worker", Admin, "Run no tasks on this node any more", "", "RolesView", [("force", "true: though tasks would be stranded")];
    /// Jobs.
    JobList = Get "/v1/jobs", View, "The jobs, by name", "", "List<JobView>",
        [("limit", "at most this many (10,000 at most)"), ("continue", "from the answer before")];
    /// Run a job.
    JobRun = Post "/v1/jobs", Admin, "Run a job: a new one, or a new version of one that is there", "RunJob", "JobAnswer", [];
    /// Plan a job.
    JobPlan = Post "/v1/plan", Admin, "What a run of a job would do, without doing it", "RunJob", "JobPlan", [];
    /// One job.
    JobInspect = Get "/v1/jobs/{job}", View, "One job, with its spec and tasks", "", "JobDetail",
        [("since", "a revision: answer when the job or a task of it has a newer one"), ("wait", "how long to wait for that, at most 60s")];
    /// Remove a job.
    JobRemove = Delete "/v1/jobs/{job}", Admin, "Remove a job with its tasks, and free its name", "", "JobAnswer", [("force", "true: stop it first")];
    /// Stop a job.
    JobStop = Post "/v1/jobs/{job}/stop", Admin, "Stop the tasks of a job", "", "JobAnswer", [];
    /// Start a job that was stopped.
    JobStart = Post "/v1/jobs/{job}/start", Admin, "Start a stopped job again", "", "JobAnswer", [];
    /// Restart a job.
    JobRestart = Post "/v1/jobs/{job}/restart", Admin, "Restart the tasks of a job, rolling as a change does", "", "JobAnswer", [];
    /// Scale a job.
    JobScale = Post "/v1/jobs/{job}/scale", Admin, "Change how many tasks a group of a job has", "ScaleJob", "JobAnswer", [];
    /// Roll a job back.
    JobRollback = Post "/v1/jobs/{job}/rollback", Admin, "Go back to an earlier version of a job", "RollbackJob", "JobAnswer", [];
    /// Versions of a job.
    JobHistory = Get "/v1/jobs/{job}/history", View, "The versions of a job, newest first: who, when, and what differs", "", "List<JobVersion>", [];
    /// Tell a rollout something.
    JobRollout = Post "/v1/jobs/{job}/rollout", Admin, "Pause a rollout, let it go on, or go back", "ActOnRollout", "JobAnswer", [];
    /// Leave the cluster.
    Leave = Post "/v1/roles/leave", Admin, "Leave the cluster: this node is a cluster of one again", "StopRole", "RolesView", [];
}

impl Route {
    /// Its entry.
    pub fn entry(self) -> &'static Entry {
        ROUTES.iter().find(|e| e.route == self).unwrap_or(&ROUTES[0])
    }

    /// Its path with the parts that vary filled in; they are percent-encoded.
    pub fn path(self, parts: &[&str]) -> String {
        let mut parts = parts.iter();
        let pieces = self.entry().path.split('/').map(|piece| {
            if piece.starts_with('{') {
                encode(parts.next().copied().unwrap_or_default())
            } else {
                piece.to_owned()
            }
        });
        pieces.collect::<Vec<_>>().join("/")
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

/// Undoes [`encode`]; `None` where the text is no UTF-8 or a `%` is not followed by two hexadecimal digits.
pub fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits =
                std::str::from_utf8(&digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok()
}

/// Paths of the link, where the manager serves and workers ask.
pub mod link {
    /// ALPN of a connection on which the worker (or an admin's client) asks.
    pub const ALPN_ASK: &[u8] = b"h2";
    /// ALPN of a connection on which, though the worker dialled, the manager asks: HTTP/2 with the parts exchanged.
    pub const ALPN_SERVE: &[u8] = b"orca-serve/1";
    /// [`crate::link::Hello`] → [`crate::link::Welcome`]
    pub const HELLO: &str = "/link/v1/hello";
    /// [`crate::link::Poll`] → [`crate::link::PollAnswer`], parked
    pub const POLL: &str = "/link/v1/poll";
    /// [`crate::link::Report`] → [`crate::link::ReportAnswer`]
    pub const REPORT: &str = "/link/v1/report";
    /// digest after the last `/` → [`crate::link::SpecBody`]
    pub const SPEC: &str = "/link/v1/specs/";
    /// [`crate::join::Join`] → [`crate::join::Joined`]; needs no certificate
    pub const JOIN: &str = "/link/v1/join";
    /// [`crate::join::Renew`] → [`crate::join::Renewed`]
    pub const RENEW: &str = "/link/v1/renew";
    /// nothing → nothing: the node wants to be drained and forgotten; answered when that is done, or 202 while it goes on
    pub const LEAVE: &str = "/link/v1/leave";
    /// [`crate::link::Goodbye`] → nothing
    pub const GOODBYE: &str = "/link/v1/goodbye";
}

/// Paths of the link, where a worker serves and managers ask.
pub mod worker {
    /// → [`crate::load::NodeLoad`]
    pub const LOAD: &str = "/worker/v1/load";
    /// [`LogQuery`] → JSON lines of [`crate::control::LogLine`]
    pub const LOGS: &str = "/worker/v1/logs";
    /// query `spec` = [`ExecQuery`] as JSON; body: frames both ways
    pub const EXEC: &str = "/worker/v1/exec";

    use crate::control::ExecTask;
    use crate::link::AttemptRef;
    use crate::units::Time;

    /// Which lines of which attempt.
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub struct LogQuery {
        /// The attempt.
        pub of: AttemptRef,
        /// Go on until the attempt ends.
        #[serde(default)]
        pub follow: bool,
        /// Only the last lines.
        #[serde(default)]
        pub tail: Option<u32>,
        /// Only lines after this point in time.
        #[serde(default)]
        pub since: Option<Time>,
    }

    /// What to run in which attempt.
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub struct ExecQuery {
        /// The attempt.
        pub of: AttemptRef,
        /// What to run.
        pub exec: ExecTask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_filled_in() {
        assert_eq!(Route::TaskStop.path(&["a/b"]), "/v1/tasks/a%2Fb/stop");
        assert_eq!(decode("a%2Fb").as_deref(), Some("a/b"));
        assert_eq!(decode("%2"), None);
        assert_eq!(decode("%+1"), None);
    }

    #[test]
    fn what_changes_something_needs_admin() {
        for entry in ROUTES {
            let reads = entry.method == Method::Get || entry.route == Route::Explain;
            assert!(reads || entry.access == Access::Admin, "{}", entry.path);
        }
    }
}
