//! Runs the command, and writes down what came of it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::server::Server;

/// The command with a known environment: no colour, no terminal, UTC.
pub fn orcactl(socket: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orcactl"));
    command
        .args(words)
        .env_clear()
        .env("ORCA_SOCKET", socket)
        .env("TZ", "UTC")
        .env("HOME", "/root")
        .stdin(Stdio::null());
    command
}

/// Runs it, and gives exit code, both outputs and what the daemon was asked, as one text.
pub fn run(server: &Server, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = orcactl(server.socket(), &words).output().unwrap();
    let mut text = report(line, &output, server.socket());
    let asked = server.asked();
    if !asked.is_empty() {
        text.push_str("----- asked -----\n");
        text.push_str(&asked.join("\n"));
        text.push('\n');
    }
    text
}

/// Runs it where nothing is asked of a daemon.
pub fn run_alone(line: &str) -> String {
    let socket = Path::new("/nowhere/orca.sock");
    let words: Vec<&str> = line.split_whitespace().collect();
    report(line, &orcactl(socket, &words).output().unwrap(), socket)
}

/// Runs it with a text on standard input.
pub fn run_with_input(server: &Server, line: &str, input: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command = orcactl(server.socket(), &words);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    report(line, &output, server.socket())
}

/// Exit code and both outputs as one text.
pub fn report(line: &str, output: &Output, socket: &Path) -> String {
    let socket = socket.display().to_string();
    let folder = Path::new(&socket).parent().unwrap().display().to_string();
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes).replace(&socket, "[SOCKET]").replace(&folder, "[FOLDER]")
    };
    let line = line.replace(&socket, "[SOCKET]").replace(&folder, "[FOLDER]");
    let code = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        !stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'),
        "escape bytes outside of a terminal: {stdout}{stderr}"
    );
    format!("$ orcactl {line}\nexit code: {code}\n----- stdout -----\n{stdout}----- stderr -----\n{stderr}")
}
