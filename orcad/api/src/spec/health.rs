//! Health checks: how it is found out whether a task is well.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FieldError, SpecError, check_texts, is_false, short, text_serde, wrong};
use crate::units::Span;

/// A health check: one of `exec`, `http` and `tcp`, or none of them with `off`.
///
/// A task with a check is starting until it is healthy, then it runs; `retries` failures in a row, one each
/// `interval`, make it unhealthy, which ends the attempt. `http` and `tcp` are asked by orca on the node, while a
/// task starts at least each second; `exec` is the engine's, which asks each `interval`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// A command in the container; well is exit code 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<String>,
    /// A port of the container and a path; well is a status of 200 to 399: `8080/ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "8080/ready")]
    pub http: Option<HttpCheck>,
    /// A port of the container that must accept connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<u16>,
    /// The image's own check is not used.
    #[serde(default, skip_serializing_if = "is_false")]
    pub off: bool,
    /// How often; 10 s where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10s")]
    pub interval: Option<Span>,
    /// How long one check may take; 2 s where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "2s")]
    pub timeout: Option<Span>,
    /// Failures in a row that make it unhealthy; 3 where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Time after its start in which failures do not count; none where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "30s")]
    pub start_period: Option<Span>,
}

impl HealthCheck {
    /// How often.
    pub fn every(&self) -> Span {
        self.interval.unwrap_or(Span::from_secs(10))
    }
    /// How long one check may take.
    pub fn patience(&self) -> Span {
        self.timeout.unwrap_or(Span::from_secs(2))
    }
    /// Failures in a row that make it unhealthy.
    pub fn failures(&self) -> u32 {
        self.retries.unwrap_or(3)
    }
    /// Time after its start in which failures do not count.
    pub fn grace(&self) -> Span {
        self.start_period.unwrap_or(Span::ZERO)
    }
    /// Whether orca itself checks, over the network; `exec` is the engine's.
    pub fn is_network(&self) -> bool {
        self.http.is_some() || self.tcp.is_some()
    }

    pub(super) fn check(&self, found: &mut Vec<SpecError>) {
        let kinds = usize::from(!self.exec.is_empty())
            + usize::from(self.http.is_some())
            + usize::from(self.tcp.is_some())
            + usize::from(self.off);
        if kinds != 1 {
            found.push(wrong("health", "write one of `exec`, `http`, `tcp` and `off = true`"));
        }
        check_texts("health.exec", &self.exec, found);
        if self.tcp == Some(0) {
            found.push(wrong("health.tcp", "a port is a number from 1 to 65535"));
        }
        for (field, span) in [("health.interval", self.interval), ("health.timeout", self.timeout)] {
            if span.is_some_and(|s| s < Span::from_secs(1) || s > Span::from_secs(3600)) {
                found.push(wrong(field, "1s to 1h"));
            }
        }
        if self.start_period.is_some_and(|s| s > Span::from_secs(3600)) {
            found.push(wrong("health.start_period", "at most 1h"));
        }
        if self.retries.is_some_and(|n| !(1..=100).contains(&n)) {
            found.push(wrong("health.retries", "1 to 100"));
        }
    }
}

/// What an HTTP check asks for: a port of the container and a path, `8080/ready`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpCheck {
    /// The port.
    pub port: u16,
    /// The path, with its first `/`.
    pub path: String,
}

impl FromStr for HttpCheck {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let bad = || {
            FieldError(format!("`{}` is not an HTTP check: write PORT/PATH, such as 8080/ready", short(text)))
        };
        let (port, path) = text.split_once('/').unwrap_or((text, ""));
        let port = if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            None
        } else {
            port.parse().ok().filter(|p| *p > 0)
        };
        if path.len() > 1024 || !path.bytes().all(|b| b.is_ascii_graphic()) || path.contains('#') {
            return Err(bad());
        }
        Ok(Self { port: port.ok_or_else(bad)?, path: format!("/{path}") })
    }
}

impl fmt::Display for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.port, self.path)
    }
}
text_serde!(HttpCheck);
