//! The calls that [`crate::worker::streams`] makes beside its raw connections.

use bollard::models::ExecConfig;
use bollard::query_parameters::ResizeExecOptions;
use orca_api::units::Time;

use super::failure::EngineError;
use super::{Engine, inspect};

impl Engine {
    /// What stands before each path: `/v1.41`.
    pub(in crate::worker) async fn api_prefix(&self) -> Result<String, EngineError> {
        Ok(self.connected().await?.prefix.clone())
    }

    /// From when to when a container ran (`None`: it runs), if its output goes to the journal.
    pub(in crate::worker) async fn in_journal(&self, container: &str) -> Option<(Time, Option<Time>)> {
        let raw = self.inspect_raw(container).await.ok()??;
        let driver = raw.host_config.as_ref()?.log_config.as_ref()?.typ.clone()?;
        let seen = inspect::container(raw).filter(|_| driver == "journald")?;
        Some((seen.started_at?, seen.finished_at))
    }

    /// Prepares a process in a container; its id.
    pub(in crate::worker) async fn create_exec(
        &self,
        container: &str,
        config: ExecConfig,
    ) -> Result<String, EngineError> {
        Ok(self.call("exec", |docker| async move { docker.create_exec(container, config).await }).await?.id)
    }

    /// The exit code of a process in a container; `None` while it runs.
    pub(in crate::worker) async fn exec_exit(&self, id: &str) -> Result<Option<i32>, EngineError> {
        let seen = self.call("exec", |docker| async move { docker.inspect_exec(id).await }).await?;
        if seen.running.unwrap_or(false) {
            return Ok(None);
        }
        Ok(seen.exit_code.and_then(|code| i32::try_from(code).ok()))
    }

    /// Tells the size of a process's terminal.
    pub(in crate::worker) async fn resize_exec(
        &self,
        id: &str,
        options: ResizeExecOptions,
    ) -> Result<(), EngineError> {
        self.call("resize", |docker| async move { docker.resize_exec(id, options).await }).await
    }
}
