//! Which life of the engine answers: a text that changes with each start of it, and with nothing else.
//!
//! The engine has no such number. Its pid file names its process, and the process's start time makes the pair unique
//! on this boot. Where the file is missing or stale (a container, another engine), the creation time of its default
//! network stands in: an engine makes that network anew at each start, unless containers lived on over it, and then
//! the difference does not matter.

use std::path::Path;

use super::Engine;

impl Engine {
    /// The life of the engine that answers now.
    pub(super) async fn life(&self) -> String {
        if let Some(life) = of_process(&self.inner.config.pid_file) {
            return life;
        }
        match self.call("network", |docker| async move { docker.inspect_network("bridge", None).await }).await
        {
            Ok(network) => format!("network {}", network.created.unwrap_or_default()),
            // Without default network (`--bridge=none`) nothing tells two lives apart: they count as one.
            Err(_) => "unknown".to_owned(),
        }
    }
}

fn of_process(pid_file: &Path) -> Option<String> {
    let pid: i32 = std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let started = procfs::process::Process::new(pid).ok()?.stat().ok()?.starttime;
    Some(format!("pid {pid} started {started}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_life_and_a_stale_file_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("docker.pid");
        assert_eq!(of_process(&file), None);
        std::fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        let life = of_process(&file).unwrap();
        assert_eq!(of_process(&file), Some(life));
        for stale in ["999999999", "", "nonsense"] {
            std::fs::write(&file, stale).unwrap();
            assert_eq!(of_process(&file), None, "{stale}");
        }
    }
}
