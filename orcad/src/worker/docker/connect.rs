//! The connection: the API version in each path, and a deadline on each call.
//!
//! The client is made at the first call and thrown away when a connection breaks, since the engine that answers next
//! may be another version. Making it costs three calls: the version, the facts, and nothing else.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::SystemInfo;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use hyper::Uri;

use super::body::NodeTraits;
use super::failure::EngineError;
use super::{API_FLOOR, Engine, EngineFacts};

/// Deadlines are ours; the client's own, in whole seconds and over the head of the answer only, must not come first.
const CLIENT_TIMEOUT: Duration = Duration::from_hours(24);

/// Where the journal takes messages while it runs.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// A negotiated client.
pub(super) struct Client {
    pub(super) docker: Docker,
    /// `/v1.41`
    pub(super) prefix: String,
    pub(super) facts: EngineFacts,
    pub(super) traits: NodeTraits,
}

impl Engine {
    /// The client, connected and negotiated if it is not.
    pub(super) async fn connected(&self) -> Result<Arc<Client>, EngineError> {
        let limit = self.inner.config.call_timeout;
        // The deadline covers the wait for the lock, too: callers that queue behind a silent engine do not add up.
        let connect = async {
            let mut slot = self.inner.client.lock().await;
            if let Some(client) = slot.as_ref() {
                return Ok(Arc::clone(client));
            }
            let client = Arc::new(self.negotiate(limit).await?);
            *slot = Some(Arc::clone(&client));
            Ok(client)
        };
        tokio::time::timeout(limit, connect)
            .await
            .unwrap_or(Err(EngineError::Silent { call: "version", after: limit }))
    }

    async fn negotiate(&self, limit: Duration) -> Result<Client, EngineError> {
        let socket = self.inner.config.socket.to_string_lossy().into_owned();
        let plain = Docker::connect_with_unix(&socket, CLIENT_TIMEOUT.as_secs(), API_DEFAULT_VERSION)
            .map_err(|e| EngineError::of("connect", limit, e))?;
        let theirs = plain.version().await.map_err(|e| EngineError::of("version", limit, e))?;
        let newest = parse_version(theirs.api_version.as_deref().unwrap_or_default());
        let oldest =
            parse_version(theirs.min_api_version.as_deref().unwrap_or_default()).unwrap_or(API_FLOOR);
        let agreed = agree(newest, oldest)?;
        let prefix = format!("/v{}.{}", agreed.0, agreed.1);
        let in_path = prefix.clone();
        let docker = Docker::connect_with_unix(
            &socket,
            CLIENT_TIMEOUT.as_secs(),
            &ClientVersion { major_version: agreed.0, minor_version: agreed.1 },
        )
        .map_err(|e| EngineError::of("connect", limit, e))?
        .with_request_modifier(move |mut request| {
            if let Some(uri) = pinned(request.uri(), &in_path) {
                *request.uri_mut() = uri;
            }
            request
        });
        let info = docker.info().await.map_err(|e| EngineError::of("info", limit, e))?;
        let facts = facts(&info, agreed);
        let traits = NodeTraits {
            // Known by whoever creates.
            name: None,
            slices: facts.cgroup_driver == "systemd",
            journald: facts.log_drivers.iter().any(|d| d == "journald"),
            // The folder alone is not enough: it may be left over, with no journal running.
            persistent_journal: self.inner.config.journal.is_dir() && Path::new(JOURNAL_SOCKET).exists(),
            swap_limit: info.swap_limit.unwrap_or(false),
        };
        tracing::info!(
            version = facts.version,
            api = facts.api,
            cgroup = facts.cgroup,
            "connected to the engine"
        );
        Ok(Client { docker, prefix, facts, traits })
    }

    /// Asks the engine, with the usual deadline.
    pub(super) async fn call<T, F>(
        &self,
        name: &'static str,
        ask: impl FnOnce(Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        self.call_within(name, self.inner.config.call_timeout, ask).await
    }

    /// Asks the engine, with a deadline of its own.
    pub(super) async fn call_within<T, F>(
        &self,
        name: &'static str,
        limit: Duration,
        ask: impl FnOnce(Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let result = match self.connected().await {
            Ok(client) => match tokio::time::timeout(limit, ask(client.docker.clone())).await {
                Ok(result) => result.map_err(|e| EngineError::of(name, limit, e)),
                Err(_) => Err(EngineError::Silent { call: name, after: limit }),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            self.note(error).await;
        }
        result
    }

    /// Draws the conclusion from a failed call: after a broken connection the next call negotiates anew, and the watch
    /// looks after an engine that gave no answer.
    pub(super) async fn note(&self, error: &EngineError) {
        if error.is_silence() {
            if !matches!(error, EngineError::Silent { .. }) {
                self.forget().await;
            }
            self.inner.trouble.notify_one();
        }
    }

    /// Throws the client away: the next call negotiates anew.
    pub(super) async fn forget(&self) {
        *self.inner.client.lock().await = None;
    }
}

fn parse_version(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The newest version that both sides speak.
fn agree(newest: Option<(usize, usize)>, oldest: (usize, usize)) -> Result<(usize, usize), EngineError> {
    let ours = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    let Some(newest) = newest else {
        return Err(EngineError::Unsupported("the engine does not say which API it speaks".to_owned()));
    };
    if newest < API_FLOOR {
        return Err(EngineError::Unsupported(format!(
            "the engine speaks API {}.{}; orca needs 1.41 (Docker 20.10) or newer",
            newest.0, newest.1
        )));
    }
    if oldest > ours {
        return Err(EngineError::Unsupported(format!(
            "the engine speaks no API older than {}.{}; this orca speaks up to {}.{}: update it",
            oldest.0, oldest.1, ours.0, ours.1
        )));
    }
    Ok(newest.min(ours))
}

/// The same address with the version before its path; `None` where it has one.
fn pinned(uri: &Uri, prefix: &str) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str();
    if path.starts_with("/v1.") {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{prefix}{path}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

fn facts(info: &SystemInfo, api: (usize, usize)) -> EngineFacts {
    EngineFacts {
        version: info.server_version.clone().unwrap_or_default(),
        api: format!("{}.{}", api.0, api.1),
        cgroup: info.cgroup_version.as_ref().and_then(|v| v.to_string().parse().ok()).unwrap_or(1),
        cgroup_driver: info.cgroup_driver.as_ref().map(ToString::to_string).unwrap_or_default(),
        data_root: info.docker_root_dir.clone().unwrap_or_default().into(),
        log_drivers: info.plugins.as_ref().and_then(|p| p.log.clone()).unwrap_or_default(),
        storage_driver: info.driver.clone().unwrap_or_default(),
        live_restore: info.live_restore_enabled.unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_agreed_on() {
        assert_eq!(agree(Some((1, 41)), (1, 12)).unwrap(), (1, 41));
        assert_eq!(agree(Some((1, 52)), (1, 44)).unwrap(), (1, 52));
        assert_eq!(agree(Some((1, 99)), (1, 44)).unwrap(), (1, API_DEFAULT_VERSION.minor_version));
        assert!(agree(Some((1, 40)), (1, 12)).is_err());
        assert!(agree(Some((1, 99)), (1, 98)).is_err());
        assert!(agree(None, (1, 12)).is_err());
    }

    #[test]
    fn a_path_gets_its_version_once() {
        let uri: Uri = "unix://2f72756e:0/containers/json?all=true".parse().unwrap();
        let once = pinned(&uri, "/v1.41").unwrap();
        assert_eq!(once.path_and_query().unwrap().as_str(), "/v1.41/containers/json?all=true");
        assert_eq!(once.authority(), uri.authority());
        assert_eq!(pinned(&once, "/v1.41"), None);
    }
}
