//! Credentials of a registry, from a file in Docker's own format on this node.
//!
//! The file may hold the credentials or name a helper program; helpers block, so both are read away from the event
//! loop. Specs never carry credentials.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use orca_api::spec::ImageRef;

/// The longest wait for a credential helper.
const HELPER_TIMEOUT: Duration = Duration::from_secs(15);
/// The key under which `docker login` stores Docker Hub's credentials.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The most of a helper's complaint that is told, in characters.
const HELPER_WORDS_MAX: usize = 400;
/// What systemd tells a service in its environment.
pub const NOT_FOR_CHILDREN: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "JOURNAL_STREAM",
];

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
    if let Some(helper) = helper_for(&bytes, key) {
        return ask_helper(helper_command(&helper), &helper, key);
    }
    match docker_credential::get_credential_from_reader(bytes.as_slice(), key) {
        Ok(DockerCredential::UsernamePassword(username, password)) => password_of(key, username, password),
        Ok(DockerCredential::IdentityToken(token)) => Found::Some(Box::new(DockerCredentials {
            identitytoken: Some(token),
            serveraddress: Some(key.to_owned()),
            ..DockerCredentials::default()
        })),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Found::None,
        Err(error) => Found::Unreadable(format!("{}: {error}", file.display())),
    }
}

fn password_of(key: &str, username: String, password: String) -> Found {
    Found::Some(Box::new(DockerCredentials {
        username: Some(username),
        password: Some(password),
        serveraddress: Some(key.to_owned()),
        ..DockerCredentials::default()
    }))
}

/// The helper that the file names for a registry: its own, else the one for all.
fn helper_for(file: &[u8], key: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Helpers {
        #[serde(default)]
        cred_helpers: HashMap<String, String>,
        creds_store: Option<String>,
    }
    // A file that cannot be read is complained about by who reads the rest of it.
    let helpers: Helpers = serde_json::from_slice(file).ok()?;
    helpers.cred_helpers.get(key).cloned().or(helpers.creds_store).filter(|name| !name.is_empty())
}

/// A helper's command. It is somebody else's program: what systemd told this process is not for it, or it could speak to
/// systemd in the daemon's name.
fn helper_command(helper: &str) -> Command {
    let mut command = Command::new(format!("docker-credential-{helper}"));
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in NOT_FOR_CHILDREN {
        command.env_remove(name);
    }
    command
}

/// Asks a helper, as docker-credential-helpers has it: the registry goes in, JSON comes out.
fn ask_helper(mut command: Command, helper: &str, key: &str) -> Found {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let mut run = || -> std::io::Result<std::process::Output> {
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // One that does not read its input may still answer.
            let _ = input.write_all(key.as_bytes());
        }
        child.wait_with_output()
    };
    let output = match run() {
        Ok(output) => output,
        Err(error) => return Found::Unreadable(format!("docker-credential-{helper} cannot be run: {error}")),
    };
    let said = [output.stdout.as_slice(), b" ", output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    // docker-credential-helpers' own words for "none" (credentials/error.go).
    if !output.status.success() && said.contains("credentials not found") {
        return Found::None;
    }
    if !output.status.success() {
        let words: String = said.trim().chars().take(HELPER_WORDS_MAX).collect();
        return Found::Unreadable(format!("docker-credential-{helper} failed: {words}"));
    }
    match serde_json::from_slice::<Answer>(&output.stdout) {
        Ok(Answer { username, secret }) if username == "<token>" => {
            Found::Some(Box::new(DockerCredentials {
                identitytoken: Some(secret),
                serveraddress: Some(key.to_owned()),
                ..DockerCredentials::default()
            }))
        }
        Ok(Answer { username, secret }) => password_of(key, username, secret),
        // Its answer holds a secret: only where it went wrong may be told.
        Err(error) => Found::Unreadable(format!(
            "the answer of docker-credential-{helper} cannot be read (line {}, column {})",
            error.line(),
            error.column()
        )),
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

    #[test]
    fn a_helper_is_chosen_by_registry_and_hears_nothing_of_systemd() {
        let file = br#"{"credsStore": "all", "credHelpers": {"r.example": "own"}}"#;
        assert_eq!(helper_for(file, "r.example").as_deref(), Some("own"));
        assert_eq!(helper_for(file, "other").as_deref(), Some("all"));
        assert_eq!(helper_for(br#"{"auths": {}}"#, "other"), None);
        let command = helper_command("own");
        assert_eq!(command.get_program(), "docker-credential-own");
        for name in NOT_FOR_CHILDREN {
            assert!(command.get_envs().any(|(n, value)| n == name && value.is_none()), "{name}");
        }
    }

    #[test]
    fn what_a_helper_says() {
        let ask = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            ask_helper(command, "x", "r.example")
        };
        let Found::Some(own) = ask(r#"read r; echo "{\"Username\": \"$r\", \"Secret\": \"s\"}""#) else {
            panic!()
        };
        assert_eq!((own.username.as_deref(), own.password.as_deref()), (Some("r.example"), Some("s")));
        let Found::Some(token) = ask(r#"echo '{"Username": "<token>", "Secret": "t"}'"#) else { panic!() };
        assert_eq!((token.identitytoken.as_deref(), token.username), (Some("t"), None));
        assert!(matches!(ask("echo credentials not found in native keychain; exit 1"), Found::None));
        let Found::Unreadable(why) = ask("echo no bus >&2; exit 2") else { panic!() };
        assert!(why.contains("no bus"), "{why}");
        let Found::Unreadable(why) = ask("echo hunter2") else { panic!() };
        assert!(!why.contains("hunter"), "{why}");
    }
}
