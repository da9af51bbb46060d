//! Errors of the API: a closed list of codes; one table maps code → HTTP status → exit code.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Exit codes of both commands.
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// It failed.
    pub const FAILED: u8 = 1;
    /// A plan has changes.
    pub const CHANGES: u8 = 2;
    /// What was asked about is not running.
    pub const NOT_RUNNING: u8 = 3;
    /// No such object.
    pub const NO_SUCH: u8 = 4;
    /// Wrong usage.
    pub const USAGE: u8 = 64;
    /// The daemon cannot be reached.
    pub const UNREACHABLE: u8 = 69;
    /// Not allowed.
    pub const NOT_ALLOWED: u8 = 77;
    /// Wrong configuration, or a store that is too new.
    pub const CONFIG: u8 = 78;
    /// Time is up.
    pub const TIMEOUT: u8 = 124;
    /// Interrupted.
    pub const INTERRUPTED: u8 = 130;
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:literal, $exit:ident, $title:literal;)*) => {
        /// What went wrong. Public API: codes are added, never changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number in `ORCA-2103`.
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* }
            }
            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
            /// The exit code of `orcactl`.
            pub const fn exit(self) -> u8 {
                match self { $(Self::$name => exit::$exit,)* }
            }
            /// A short title, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// A request's text could not be read.
    BadRequest = 1001, 400, USAGE, "the request cannot be read";
    /// A field of a spec is wrong.
    BadSpec = 1002, 422, USAGE, "the spec is not valid";
    /// No such path.
    NoSuchRoute = 1003, 404, FAILED, "no such path";
    /// The path exists, the method does not.
    BadMethod = 1004, 405, FAILED, "this path has other methods";
    /// The body is too large.
    TooLarge = 1005, 413, USAGE, "the request is too large";
    /// The body did not come in time.
    TooSlow = 1006, 408, FAILED, "the request did not come in time";
    /// The body is not JSON.
    BadMediaType = 1007, 415, USAGE, "the body must be application/json";
    /// An idempotency key was used for another request.
    KeyReused = 1008, 422, USAGE, "this Idempotency-Key belongs to another request";
    /// An event stream cannot resume from there.
    Gone = 1009, 410, FAILED, "the events since then are gone: list, then watch from there";
    /// `If-Match` does not match.
    Changed = 1010, 412, FAILED, "it was changed by somebody else";
    /// Too many connections or streams.
    Busy = 1011, 503, FAILED, "too many requests at once";
    /// Too many requests of one kind in a short time.
    TooOften = 1012, 429, FAILED, "too many requests in a short time";

    /// No such task.
    NoSuchTask = 2001, 404, NO_SUCH, "no such task";
    /// A prefix fits several objects.
    Ambiguous = 2002, 409, USAGE, "several objects begin with that";
    /// The name is taken.
    NameTaken = 2003, 409, FAILED, "the name is taken";
    /// A task of that name runs with another spec.
    OtherSpec = 2004, 409, FAILED, "a task of this name runs with another spec";
    /// The task runs, and the request wants one that does not.
    StillRunning = 2005, 409, FAILED, "the task is running";
    /// The task does not run, and the request wants one that does.
    NotRunning = 2006, 409, NOT_RUNNING, "the task is not running";
    /// Logs or containers of that attempt are gone.
    AttemptGone = 2007, 404, NO_SUCH, "that attempt is gone";
    /// Too many tasks.
    TooMany = 2008, 422, FAILED, "a limit is reached";
    /// No such job.
    NoSuchJob = 2009, 404, NO_SUCH, "no such job";
    /// A job has no such group.
    NoSuchGroup = 2010, 404, NO_SUCH, "no such group of the job";
    /// A job has no such version any more.
    NoSuchVersion = 2011, 404, NO_SUCH, "no such version of the job";
    /// No change of the job rolls.
    NoRollout = 2012, 409, FAILED, "no rollout is under way";
    /// The task belongs to a job.
    OfAJob = 2013, 409, FAILED, "the task belongs to a job";
    /// No node fits, and it was asked for at once.
    NoFit = 2101, 409, FAILED, "no node fits";
    /// No such node.
    NoSuchNode = 2201, 404, NO_SUCH, "no such node";
    /// The node cannot be asked at present.
    NodeAway = 2202, 503, FAILED, "the node does not answer";
    /// The node's engine refused.
    EngineError = 2203, 502, FAILED, "the engine refused";
    /// The request would strand tasks.
    WouldStrand = 2204, 409, FAILED, "tasks would be stranded";
    /// This node has no such role.
    NoSuchRole = 2205, 409, FAILED, "this node has no such role";
    /// Only a manager can answer that, and this node is none.
    NotManager = 2206, 421, FAILED, "this node is no manager";
    /// The node answers, and the request is for one that does not.
    NodeAlive = 2208, 409, FAILED, "the node answers";
    /// The node was removed from its cluster, or its certificate was revoked.
    Removed = 2207, 410, FAILED, "this node was removed from the cluster";

    /// The join token is not known to this cluster.
    BadToken = 2301, 403, NOT_ALLOWED, "the join token is not valid";
    /// The join token has expired, was used up, or was revoked.
    TokenSpent = 2302, 403, NOT_ALLOWED, "the join token is spent";
    /// Who answers there is not the cluster of the token.
    WrongCluster = 2303, 409, FAILED, "another cluster answers there";
    /// No manager can be reached.
    NoManager = 2304, 503, UNREACHABLE, "no manager can be reached";
    /// The clocks of the two machines differ too much.
    ClockOff = 2305, 409, FAILED, "the clock is off";
    /// One of the two versions is too old for the other.
    VersionApart = 2306, 409, FAILED, "the versions do not fit together";
    /// A worker needs an engine, and there is none.
    NoEngine = 2307, 409, FAILED, "there is no engine";
    /// This machine's own cluster has tasks or nodes.
    OwnWork = 2308, 409, FAILED, "this machine has work of its own";
    /// No such token.
    NoSuchToken = 2309, 404, NO_SUCH, "no such token";
    /// No such certificate.
    NoSuchCertificate = 2310, 404, NO_SUCH, "no such certificate";

    /// An address cannot be listened on.
    NotListening = 2311, 409, FAILED, "the address cannot be listened on";
    /// The CA's last replacement is not over.
    Rotating = 2312, 409, FAILED, "the certificate authority is being replaced";

    /// The caller may not do this.
    NotAllowed = 3001, 403, NOT_ALLOWED, "not allowed";
    /// The store is full.
    StoreFull = 4001, 507, FAILED, "the disk of the state folder is full";
    /// The daemon is stopping.
    Stopping = 4002, 503, UNREACHABLE, "orcad is stopping";
    /// The daemon cannot start, and says why.
    CannotStart = 4003, 503, UNREACHABLE, "orcad cannot start";
    /// A defect of orca.
    Internal = 5001, 500, FAILED, "a defect in orca";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ORCA-{:04}", self.number())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    /// A code of a newer daemon reads as [`Code::Internal`]: answers are read tolerantly.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_prefix("ORCA-").and_then(|n| n.parse().ok()).unwrap_or(5001);
        Ok(Self::ALL.iter().copied().find(|c| c.number() == number).unwrap_or(Self::Internal))
    }
}

/// An error of the API: problem+json (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// `https://…/errors/ORCA-2103`, or `about:blank`.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The code's title.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What happened, for people.
    #[serde(default)]
    pub detail: String,
    /// Why, for people; empty where `detail` says it all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// What to type next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hint: Vec<String>,
    /// The code, `ORCA-2103`.
    #[schema(value_type = String)]
    pub code: Code,
    /// For machines.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
    /// The request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl Problem {
    /// A problem with a detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: about_blank(),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            because: Vec::new(),
            hint: Vec::new(),
            code,
            details: serde_json::Value::Null,
            request_id: None,
        }
    }

    /// With a reason.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.because.push(why.into());
        self
    }

    /// With something to type next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.push(hint.into());
        self
    }

    /// With details for machines.
    #[must_use]
    pub fn details(mut self, details: serde_json::Value) -> Self {
        self.details = details;
        self
    }

    /// Of the fields of a spec that are wrong.
    pub fn of_spec(errors: &[crate::spec::SpecError]) -> Self {
        let first = errors.first().map_or_else(String::new, ToString::to_string);
        let fields: Vec<_> =
            errors.iter().map(|e| serde_json::json!({"path": e.path, "message": e.message})).collect();
        let mut problem = Self::new(Code::BadSpec, first).details(serde_json::json!({ "fields": fields }));
        problem.because = errors.iter().skip(1).map(ToString::to_string).collect();
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_survive_their_text() {
        for (i, code) in Code::ALL.iter().enumerate() {
            assert!(Code::ALL[..i].iter().all(|other| other.number() != code.number()), "{code}");
            assert!((400..600).contains(&code.status()));
            let text = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&text).unwrap(), *code);
        }
        assert_eq!(serde_json::from_str::<Code>("\"ORCA-9999\"").unwrap(), Code::Internal);
    }
}
