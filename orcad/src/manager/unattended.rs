//! A join that nobody types: the configuration, a file or a systemd credential names the token, and the first start uses it.
//!
//! The daemon serves as a cluster of one meanwhile, so that its local socket answers. What is transient (no manager can be
//! reached, the engine is not up yet) is tried again; what is not, is told once, with what to do about it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orca_api::error::{Code, Problem};
use orca_api::id::IdSource as _;
use orca_api::join::JoinToken;
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::roles::join_unattended;
use crate::clock::OsIds;
use crate::config::Config;
use crate::join;
use crate::pki::identity;

/// The name of the credential, for `LoadCredential=` and `ImportCredential=`.
const CREDENTIAL: &str = "orca.join";
/// The largest file that is read for a token, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;
/// The pause before the next try: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The token that is configured. `credentials` is the folder that systemd gives the daemon.
///
/// # Errors
/// It cannot be read, or is none.
pub fn token(config: &Config, credentials: Option<&Path>) -> Result<Option<JoinToken>, Problem> {
    let credential = credentials.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists());
    let text = match (&config.join, config.join_file.as_ref().or(credential.as_ref())) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => read(path).map_err(|error| {
            Problem::new(Code::BadToken, format!("the join token in {} cannot be read", path.display()))
                .because(error.to_string())
                .hint(format!("check owner and rights: ls -l {}", path.display()))
        })?,
        (None, None) => return Ok(None),
    };
    join::read_token(&text).map(Some)
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether this machine has left a cluster: then it joins none by itself any more.
fn has_left(state_dir: &Path) -> bool {
    let prefix = format!("{}.old-", identity::FOLDER);
    let entries = std::fs::read_dir(state_dir).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
}

/// Joins as configured; ends when there is nothing more to try.
pub async fn run(control: Arc<Control>, config: Config, stop: CancellationToken) {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(std::path::PathBuf::from);
    let token = match token(&config, credentials.as_deref()) {
        Ok(Some(token)) => token,
        Ok(None) => return,
        Err(problem) => return told(&problem),
    };
    if has_left(&config.state_dir) {
        tracing::info!(
            "the configured join token is left alone, for this machine has left a cluster before: orcactl worker start --join TOKEN joins"
        );
        return;
    }
    let mut pause = PAUSE.0;
    loop {
        let problem = tokio::select! {
            joined = join_unattended(&control, &token) => match joined {
                Ok(()) => return,
                Err(problem) => problem,
            },
            () = stop.cancelled() => return,
        };
        if !is_transient(problem.code) {
            return told(&problem);
        }
        tracing::warn!(because = problem.because.join("; "), "{problem}; the join is tried again");
        let dice = u32::from(OsIds.next_id().bytes()[0]);
        tokio::select! {
            () = tokio::time::sleep(pause / 2 + pause / 2 * dice / 255) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

const fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::NoManager
            | Code::NoEngine
            | Code::ClockOff
            | Code::TooOften
            | Code::Busy
            | Code::Stopping
            | Code::StoreFull
            | Code::Internal
    )
}

fn told(problem: &Problem) {
    tracing::error!(
        because = problem.because.join("; "),
        hint = problem.hint.join("; "),
        "this machine does not join as it is configured: {problem}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_a_file_or_a_credential() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        assert_eq!(token(&config, Some(folder.path())), Ok(None));
        std::fs::write(folder.path().join(CREDENTIAL), "nothing").unwrap();
        assert_eq!(token(&config, Some(folder.path())).unwrap_err().code, Code::BadToken);
        config.join_file = Some(folder.path().join("away"));
        let problem = token(&config, None).unwrap_err();
        assert!(problem.detail.contains("away") && !problem.because.is_empty(), "{problem:?}");
    }

    #[test]
    fn a_machine_that_left_joins_nothing_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_left(folder.path()));
        std::fs::create_dir(folder.path().join("identity.old-20261124T151500Z")).unwrap();
        assert!(has_left(folder.path()));
    }
}
