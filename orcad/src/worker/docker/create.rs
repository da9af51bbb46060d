//! Creating a container, once: a taken name is either our own earlier try, or somebody else's.

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use orca_api::name::Name;
use orca_api::spec::TaskSpec;
use orca_api::task::Reason;
use orca_core::worker::io::{Container, ContainerStatus, Done, Failure, FailureKind, Labels};

use super::body::{NodeTraits, container_body};
use super::failure::{EngineError, rejected};
use super::{Engine, refusal};

impl Engine {
    /// Creates a container, or adopts the one that an earlier try of the same operation made.
    pub(super) async fn create(
        &self,
        name: &str,
        hostname: &str,
        own: &Labels,
        task_name: &Name,
        spec: &TaskSpec,
    ) -> Result<Done, Failure> {
        let unknown = |e: EngineError| e.failure(refusal::of_create);
        let client = match self.connected().await {
            Ok(client) => client,
            Err(error) => {
                self.note(&error).await;
                return Err(unknown(error));
            }
        };
        let traits = NodeTraits { name: self.node(), ..client.traits.clone() };
        let body = container_body(spec, hostname, own, task_name, self.inner.config.log, &traits);
        match self.try_create(name, body.clone()).await {
            Ok(done) => return Ok(done),
            Err(error) if error.status() == Some(409) => {
                tracing::info!(container = name, "the name is taken");
            }
            Err(error) => return Err(unknown(error)),
        }
        let Some(found) = self.inspect(name).await.map_err(unknown)? else {
            // It vanished between the two calls.
            return self.try_create(name, body).await.map_err(unknown);
        };
        match holder(&found, own) {
            Holder::EarlierTry => Ok(Done::Created { container: found.id, warnings: Vec::new() }),
            Holder::OwnDebris => {
                let options = RemoveContainerOptionsBuilder::default().v(true).build();
                let id = found.id.as_str();
                self.call("remove", |docker| async move { docker.remove_container(id, Some(options)).await })
                    .await
                    .map_err(unknown)?;
                self.try_create(name, body).await.map_err(unknown)
            }
            Holder::Going => Err(Failure {
                kind: FailureKind::Unknown,
                message: format!("a container named `{name}` is being removed"),
            }),
            Holder::Foreign => Err(rejected(
                Reason::StartError,
                format!(
                    "a container named `{name}` exists that is not of this task; orca leaves it alone: rename or remove it"
                ),
            )),
        }
    }

    async fn try_create(&self, name: &str, body: ContainerCreateBody) -> Result<Done, EngineError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let limit = self.inner.config.call_timeout * 2;
        let made = self
            .call_within("create", limit, |docker| async move {
                docker.create_container(Some(options), body).await
            })
            .await?;
        Ok(Done::Created { container: made.id, warnings: made.warnings })
    }
}

/// Who holds a taken name.
enum Holder {
    /// A try of this very attempt.
    EarlierTry,
    /// Something of our cluster that does not run.
    OwnDebris,
    /// It is on its way out.
    Going,
    /// Somebody else.
    Foreign,
}

fn holder(found: &Container, own: &Labels) -> Holder {
    match (&found.labels, found.status) {
        (_, ContainerStatus::Removing) => Holder::Going,
        (Some(labels), _) if labels == own => Holder::EarlierTry,
        (Some(labels), ContainerStatus::Created | ContainerStatus::Exited | ContainerStatus::Dead)
            if labels.cluster == own.cluster =>
        {
            Holder::OwnDebris
        }
        _ => Holder::Foreign,
    }
}
