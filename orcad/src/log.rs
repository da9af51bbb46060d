//! The log: the journal with fields under systemd, lines or JSON on stderr elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{LogFormat, LogLevel};

/// Changes the level while the daemon runs.
#[derive(Clone)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// From now on this level holds.
    pub fn set(&self, level: LogLevel) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::warn!(%error, "the log level could not be changed");
        }
    }
}

/// Libraries say at `debug` what an operator wants to read of orca alone.
fn filter(level: LogLevel) -> EnvFilter {
    let others = if level == LogLevel::Trace { "debug" } else { "warn" };
    EnvFilter::new(format!(
        "{others},orcad={level},orca_core={level},scheduler={level}",
        level = level.as_str()
    ))
}

/// Begins to log. `under_systemd`: stderr is the journal's, or nobody's.
///
/// # Errors
/// That the journal was asked for and is not there, or that the log was begun before.
pub fn begin(level: LogLevel, format: LogFormat, under_systemd: bool) -> Result<Level, std::io::Error> {
    let (filter, handle) = reload::Layer::new(filter(level));
    let journal = match format {
        LogFormat::Journal => Some(tracing_journald::layer()?),
        LogFormat::Auto if under_systemd => tracing_journald::layer().ok(),
        _ => None,
    };
    let out: Box<dyn Layer<_> + Send + Sync> = match (journal, format) {
        (Some(journal), _) => Box::new(journal.with_syslog_identifier("orcad".to_owned())),
        (None, LogFormat::Json) => Box::new(fmt::layer().json().with_writer(std::io::stderr)),
        (None, _) => Box::new(
            fmt::layer()
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr),
        ),
    };
    tracing_subscriber::registry().with(filter).with(out).try_init().map_err(std::io::Error::other)?;
    Ok(Level(handle))
}
