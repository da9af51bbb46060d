//! Credentials of a registry, from a file in Docker's own format on this node.
//!
//! The file may hold the credentials or name a helper program; helpers block, so both are read away from the event
//! loop. Specs never carry credentials.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use orca_api::spec::ImageRef;

/// The longest wait for a credential helper.
const HELPER_TIMEOUT: Duration = Duration::from_secs(15);
/// The key under which `docker login` stores Docker Hub's credentials.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// What the file says about a registry.
pub(super) enum Found {
    /// Credentials.
    Some(Box<DockerCredentials>),
    /// It has none.
    None,
    /// It could not be read: the pull is tried without, and if it is refused, this is told along.
    Unreadable(String),
}

/// Looks the credentials for an image up.
pub(super) async fn look_up(file: &Path, image: &ImageRef) -> Found {
    let file = file.to_owned();
    let registry = image.registry().to_owned();
    let read = tokio::task::spawn_blocking({
        let (file, registry) = (file.clone(), registry.clone());
        move || read(&file, &registry)
    });
    match tokio::time::timeout(HELPER_TIMEOUT, read).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Found::Unreadable(format!("reading {} failed: {error}", file.display())),
        Err(_) => Found::Unreadable(format!(
            "the credential helper for {registry} did not answer within {HELPER_TIMEOUT:?}"
        )),
    }
}

fn read(file: &PathBuf, registry: &str) -> Found {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Found::None,
        Err(error) => return Found::Unreadable(format!("cannot read {}: {error}", file.display())),
    };
    let hub = matches!(registry, "docker.io" | "index.docker.io");
    let key = if hub { DOCKER_HUB_KEY } else { registry };
    match docker_credential::get_credential_from_reader(bytes.as_slice(), key) {
        Ok(DockerCredential::UsernamePassword(username, password)) => {
            Found::Some(Box::new(DockerCredentials {
                username: Some(username),
                password: Some(password),
                serveraddress: Some(key.to_owned()),
                ..DockerCredentials::default()
            }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Found::Some(Box::new(DockerCredentials {
            identitytoken: Some(token),
            serveraddress: Some(key.to_owned()),
            ..DockerCredentials::default()
        })),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Found::None,
        // docker-credential-helpers' own words for "none" (credentials/error.go).
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if stdout.contains("credentials not found") || stderr.contains("credentials not found") =>
        {
            Found::None
        }
        Err(error) => Found::Unreadable(format!("{}: {error}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(text: &str, image: &str) -> Found {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, text).unwrap();
        look_up(&file, &image.parse().unwrap()).await
    }

    #[tokio::test]
    async fn the_registry_of_the_image_decides() {
        // "ann:secret"
        let text = r#"{"auths": {"127.0.0.1:5000": {"auth": "YW5uOnNlY3JldA=="}, "https://index.docker.io/v1/": {"auth": "Ym9iOng="}}}"#;
        let Found::Some(own) = found(text, "127.0.0.1:5000/team/app:1").await else { panic!("none") };
        assert_eq!((own.username.as_deref(), own.password.as_deref()), (Some("ann"), Some("secret")));
        let Found::Some(hub) = found(text, "nginx").await else { panic!("none") };
        assert_eq!(hub.username.as_deref(), Some("bob"));
        assert!(matches!(found(text, "ghcr.io/a/b").await, Found::None));
    }

    #[tokio::test]
    async fn a_missing_file_is_no_credentials_and_a_broken_one_is_told() {
        assert!(matches!(look_up(Path::new("/nonexistent/x"), &"nginx".parse().unwrap()).await, Found::None));
        assert!(matches!(found("{", "nginx").await, Found::Unreadable(_)));
        assert!(matches!(
            found(r#"{"credHelpers": {"r.example": "absent-helper-of-a-test"}}"#, "r.example/x").await,
            Found::Unreadable(_)
        ));
    }
}
