//! What this machine says without the daemon: units, journal, engine, configuration, kernel, space.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, header};
use hyper_util::client::legacy::Client as HttpClient;
use hyperlocal::UnixClientExt as _;
use serde_json::Value;
use tokio::process::Command;

use super::bundle::Progress;
use super::manifest::Collection;

/// A program that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// The newest lines of the journal.
const JOURNAL_LINES: &str = "5000";
/// The largest answer of the engine in bytes.
const ENGINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The units that the package brings.
const UNITS: [&str; 5] =
    ["orcad.service", "orcad.socket", "orcad-view.socket", "orcad-backup.timer", "docker.service"];
/// What is asked of a unit; its environment is not among it.
const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Result,UnitFileState,ExecMainStatus,ExecMainCode,ExecMainPID,\
    NRestarts,StatusText,StateChangeTimestamp,ActiveEnterTimestamp,MemoryCurrent,TasksCurrent,DropInPaths,FragmentPath";
/// What the kernel says of the machine.
const KERNEL_FILES: [&str; 9] = [
    "etc/os-release",
    "proc/version",
    "proc/uptime",
    "proc/loadavg",
    "proc/meminfo",
    "proc/pressure/cpu",
    "proc/pressure/memory",
    "proc/pressure/io",
    "proc/mounts",
];

/// The engine's socket.
const ENGINE_SOCKET: &str = "/run/docker.sock";
/// What is asked of the engine: the name of the file, what it is, the path.
const ENGINE_ASKED: [(&str, &str, &str); 3] = [
    ("version", "the engine's versions", "/version"),
    ("info", "the engine's settings and state", "/info"),
    (
        "containers",
        "containers of orca, as the engine sees them",
        "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22orca.task%22%5D%7D",
    ),
];

/// Looks at everything.
pub(super) async fn collect(all: &mut Collection, progress: &Progress) {
    progress.say("looking at the units");
    let units: Vec<&str> = UNITS.to_vec();
    let show: Vec<&str> = ["show", "-p", PROPERTIES].into_iter().chain(units.iter().copied()).collect();
    program(all, "machine/units.txt", "state of the units", "systemctl", &show).await;
    let cat: Vec<&str> = ["cat", "--no-pager"].into_iter().chain(units.iter().copied().take(3)).collect();
    program(all, "machine/unit-files.txt", "the units with their drop-ins", "systemctl", &cat).await;
    progress.say("reading the journal");
    let journal = ["-u", "orcad.service", "-n", JOURNAL_LINES, "-o", "short-iso-precise", "--no-pager"];
    program(all, "machine/journal.txt", "the newest lines of orcad in the journal", "journalctl", &journal)
        .await;
    progress.say("asking the engine");
    for (name, what, path) in ENGINE_ASKED {
        match tokio::time::timeout(PATIENCE, engine(path)).await {
            Ok(Ok(value)) => all.document(format!("engine/{name}.json"), what, value),
            Ok(Err(why)) => {
                all.left_out(format!("engine/{name}.json"), format!("{ENGINE_SOCKET}: {why}"));
            }
            Err(_) => {
                all.left_out("engine", format!("{ENGINE_SOCKET}: no answer within {} s", PATIENCE.as_secs()));
                break;
            }
        }
    }
    progress.say("looking at the machine");
    program(all, "machine/space.txt", "free space", "df", &["-hT"]).await;
    program(all, "machine/systemd.txt", "version of systemd", "systemctl", &["--version"]).await;
    kernel(all, Path::new("/"));
    configuration(all, Path::new("/"));
    state_folder(all, Path::new("/var/lib/orca"));
}

/// The output of a program. One that fails has something to say too.
async fn program(all: &mut Collection, name: &str, what: &str, program: &str, words: &[&str]) {
    let mut command = Command::new(program);
    command.args(words).env("LC_ALL", "C.UTF-8").env("SYSTEMD_COLORS", "0").stdin(Stdio::null());
    command.kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return all.left_out(name, format!("{program}: {error}")),
        Err(_) => return all.left_out(name, format!("{program} took more than {} s", PATIENCE.as_secs())),
    };
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.trim().is_empty() {
        let why = said.lines().next().unwrap_or("it printed nothing").trim().to_owned();
        return all.left_out(name, format!("{program}: {why}"));
    }
    if !said.trim().is_empty() {
        let _ = write!(text, "\n# {program} also said:\n{said}");
    }
    all.text(name, what, text);
}

async fn engine(path: &str) -> Result<Value, String> {
    let client: HttpClient<_, Full<Bytes>> = HttpClient::unix();
    let request = Request::builder()
        .uri(hyperlocal::Uri::new(ENGINE_SOCKET, path))
        .header(header::HOST, "localhost")
        .body(Full::default())
        .map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        cause.to_string()
    })?;
    let body = Limited::new(response.into_body(), ENGINE_BYTES_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// What the kernel and the distribution say.
fn kernel(all: &mut Collection, root: &Path) {
    let mut text = String::new();
    for file in KERNEL_FILES {
        match std::fs::read_to_string(root.join(file)) {
            Ok(content) => {
                let _ = write!(text, "==> /{file}\n{}\n", content.trim_end());
            }
            Err(error) => {
                let _ = writeln!(text, "==> /{file}: {error}");
            }
        }
    }
    all.text("machine/kernel.txt", "kernel, distribution, memory, load, pressure, mounts", text);
}

/// The configuration: the file and its folder.
fn configuration(all: &mut Collection, root: &Path) {
    let mut files = vec![root.join("etc/orcad.toml")];
    let folder = root.join("etc/orcad.toml.d");
    match std::fs::read_dir(&folder) {
        Ok(entries) => {
            let mut more: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
            more.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
            more.sort();
            files.extend(more);
        }
        Err(error) => all.left_out("/etc/orcad.toml.d", error.to_string()),
    }
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        match std::fs::read_to_string(&file) {
            Ok(text) => all.text(format!("configuration/{name}"), format!("/{shown}"), text),
            Err(error) => all.left_out(format!("/{shown}"), error.to_string()),
        }
    }
}

/// Names, sizes, modes and owners in the state folder, and nothing that is in the files.
fn state_folder(all: &mut Collection, folder: &Path) {
    let mut text = String::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = match std::fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) => {
                all.left_out(format!("what is in {}", next.display()), error.to_string());
                continue;
            }
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            // A link is shown as one, and not followed.
            let Ok(data) = path.symlink_metadata() else { continue };
            let _ = writeln!(
                text,
                "{:06o} {:>5}:{:<5} {:>12} {}",
                data.mode(),
                data.uid(),
                data.gid(),
                data.len(),
                path.display()
            );
            if data.is_dir() {
                folders.push(path);
            }
        }
    }
    if !text.is_empty() {
        let head = format!("{:<6} {:>5}:{:<5} {:>12}\n", "mode", "user", "group", "bytes");
        all.text("machine/state-folder.txt", "names and sizes in the state folder", head + &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_taken_without_its_secrets() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        std::fs::create_dir_all(etc.join("orcad.toml.d")).unwrap();
        std::fs::create_dir_all(etc.join("orca")).unwrap();
        std::fs::write(etc.join("orcad.toml"), "log_level = \"debug\"\n").unwrap();
        std::fs::write(etc.join("orcad.toml.d/50-join.toml"), "join_token = \"planted\"\n").unwrap();
        std::fs::write(etc.join("orcad.toml.d/notes"), "planted\n").unwrap();
        std::fs::write(etc.join("orca/docker-config.json"), "{\"auth\": \"planted\"}\n").unwrap();
        let mut all = Collection::default();
        configuration(&mut all, root.path());
        let files = all.finish("of a test");
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["MANIFEST.txt", "configuration/orcad.toml", "configuration/50-join.toml"]);
        assert!(files.iter().all(|(_, bytes)| !String::from_utf8_lossy(bytes).contains("planted")));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let root = tempfile::tempdir().unwrap();
        let mut all = Collection::default();
        configuration(&mut all, root.path());
        state_folder(&mut all, &root.path().join("state"));
        assert_eq!(all.missing(), 3);
    }

    #[test]
    fn of_the_state_folder_only_names_are_taken() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("ca")).unwrap();
        std::fs::write(root.path().join("ca/ca.key"), "planted").unwrap();
        let mut all = Collection::default();
        state_folder(&mut all, root.path());
        let files = all.finish("of a test");
        let text = String::from_utf8_lossy(&files[1].1).into_owned();
        assert!(text.contains("ca/ca.key") && !text.contains("planted"), "{text}");
    }
}
