//! The manager that is measured: a process of its own, on one core, with the limits of a service.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::client::Client;

/// What /proc counts CPU time in: the same on every Linux that Rust knows.
const TICKS_PER_S: f64 = 100.0;
/// How long a start may take.
const START: Duration = Duration::from_mins(1);

/// An orcad that is a manager and nothing else.
pub struct Daemon {
    folder: TempDir,
    programs: PathBuf,
    process: Child,
}

/// What a process takes.
pub struct Usage {
    /// Seconds of CPU since it began.
    pub cpu_s: f64,
    /// Bytes of memory that it shares with nobody.
    pub private: u64,
    /// Open files.
    pub files: usize,
}

impl Daemon {
    /// Starts one with an empty state.
    pub async fn start() -> Result<Self> {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/release");
        let programs = std::env::var_os("ORCA_BIN_DIR").map_or(here, PathBuf::from);
        ensure!(
            programs.join("orcad").is_file(),
            "there is no orcad in {}: cargo build --release -p orcad -p orcactl, or ORCA_BIN_DIR",
            programs.display()
        );
        let folder = tempfile::tempdir()?;
        let text = format!(
            "state_dir = \"{0}/state\"\nsocket = \"{0}/orca.sock\"\nnode_name = \"manager\"\nroles = [\"manager\"]\n\
             log_level = \"warn\"\nlog_format = \"text\"\n",
            folder.path().display()
        );
        std::fs::write(folder.path().join("orcad.toml"), text)?;
        let process = spawn(&programs, &folder)?;
        let mut daemon = Self { folder, programs, process };
        daemon.until_it_answers().await?;
        Ok(daemon)
    }

    /// Ends it as a crash would, and starts it over the same state.
    pub async fn crash(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        self.process = spawn(&self.programs, &self.folder)?;
        self.until_it_answers().await
    }

    async fn until_it_answers(&mut self) -> Result<()> {
        let begin = Instant::now();
        loop {
            if let Ok(mut client) = Client::connect(&self.socket()).await
                && client.get("/v1/status").await.is_ok()
            {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("orcad ended with {status}; its log:\n{}", self.log());
            }
            ensure!(begin.elapsed() < START, "orcad does not answer; its log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it said, which is warnings alone.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("orca.sock")
    }

    /// Runs `orcactl` against it.
    pub async fn orcactl(&self, words: &[&str]) -> Result<()> {
        let mut command = tokio::process::Command::new(self.programs.join("orcactl"));
        command.args(words).env("ORCA_SOCKET", self.socket()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().await.context("orcactl")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "orcactl {}: {told}", words.join(" "));
        Ok(())
    }

    pub fn usage(&self) -> Result<Usage> {
        let proc = PathBuf::from(format!("/proc/{}", self.process.id()));
        let stat = std::fs::read_to_string(proc.join("stat"))?;
        // The name in parentheses may hold anything; user and system time are the 12th and 13th after it.
        let fields: Vec<&str> = stat.rsplit_once(')').context("no stat")?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or_default();
        let cpu_s = (ticks(11) + ticks(12)) as f64 / TICKS_PER_S;
        let rollup = std::fs::read_to_string(proc.join("smaps_rollup"))?;
        let kib = rollup.lines().filter(|l| l.starts_with("Private_"));
        let private =
            kib.filter_map(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>() * 1024;
        Ok(Usage { cpu_s, private, files: std::fs::read_dir(proc.join("fd"))?.count() })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// On the first core, and with as many open files as systemd gives a service to begin with.
fn spawn(programs: &std::path::Path, folder: &TempDir) -> Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log"))?;
    Command::new("sh")
        .args(["-c", "ulimit -Sn 1024; exec taskset -c 0 \"$0\" --config \"$1\""])
        .arg(programs.join("orcad"))
        .arg(folder.path().join("orcad.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("orcad")
}
