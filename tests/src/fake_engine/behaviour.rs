//! What containers and pulls do.

use std::collections::BTreeMap;
use std::time::Duration;

/// What the process of a container does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// It ends by itself: after how long, with which code.
    pub exit: Option<(Duration, i64)>,
    /// It goes on after TERM and its like.
    pub ignores_term: bool,
    /// It does not even end when it is killed.
    pub unkillable: bool,
    /// Its exit code after TERM; 143 where none is given.
    pub term_code: Option<i64>,
    /// Starting it fails: status and text.
    pub start_error: Option<(u16, String)>,
    /// What it writes when it starts: stream (1 or 2) and text.
    pub output: Vec<(u8, String)>,
    /// What its health check says, step by step.
    pub health: Vec<HealthStep>,
    /// Labels of its image.
    pub image_labels: BTreeMap<String, String>,
}

/// A step of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthStep {
    /// How long after the start.
    pub after: Duration,
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
}

impl Behaviour {
    /// It ends by itself.
    pub fn exits(after: Duration, code: i64) -> Self {
        Self { exit: Some((after, code)), ..Self::default() }
    }

    /// Changed by a container's environment, so that a test of the whole daemon can script it in a spec:
    /// `FAKE_EXIT=CODE`, `FAKE_EXIT_AFTER_MS`, `FAKE_IGNORE_TERM=1`, `FAKE_START_ERROR=TEXT`, `FAKE_OUTPUT=LINE`.
    #[must_use]
    pub fn with_env(mut self, env: &[String]) -> Self {
        let get = |name: &str| env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        if let Some(code) = get("FAKE_EXIT").and_then(|c| c.parse().ok()) {
            let after = get("FAKE_EXIT_AFTER_MS").and_then(|ms| ms.parse().ok()).unwrap_or(0);
            self.exit = Some((Duration::from_millis(after), code));
        }
        self.ignores_term |= get("FAKE_IGNORE_TERM").is_some();
        if let Some(text) = get("FAKE_START_ERROR") {
            self.start_error = Some((500, text.to_owned()));
        }
        self.output.extend(get("FAKE_OUTPUT").map(|line| (1, format!("{line}\n"))));
        self
    }
}

/// What pulling an image from the registry does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryImage {
    /// Bytes of its layers.
    pub layers: Vec<u64>,
    /// Time between two steps of a tenth of a layer.
    pub step: Duration,
    /// It falls silent after so many steps.
    pub stall_after: Option<usize>,
    /// It is refused before anything is sent: status and text.
    pub refuse: Option<(u16, String)>,
    /// It fails within the stream.
    pub fail: Option<String>,
    /// It wants these credentials: user and password.
    pub wants: Option<(String, String)>,
    /// What its containers do.
    pub behaviour: Behaviour,
}
