//! `orcactl context …`: files of the user, and nobody is asked.

use std::path::Path;

use insta::assert_snapshot;

use crate::network::Pki;
use crate::run::{orcactl, report};

/// A configuration folder with a context of that name.
pub fn folder_with(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let contexts = folder.path().join("orca/contexts");
    std::fs::create_dir_all(&contexts).unwrap();
    private(&contexts.join(format!("{name}.toml")), &Pki::new().context(&["10.0.0.1:7443"]));
    folder
}

/// Writes a file that its owner alone can read.
pub fn private(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn run(config: &Path, line: &str) -> String {
    let socket = config.join("orca.sock");
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut command = orcactl(&socket, &words);
    command.env_remove("ORCA_SOCKET").env("XDG_CONFIG_HOME", config);
    report(line, &command.output().unwrap(), &socket)
}

#[test]
fn contexts_are_listed_used_shown_and_removed() {
    let folder = folder_with("prod");
    let here = folder.path();
    assert_snapshot!("context_list", run(here, "context list"));
    assert_snapshot!("context_use", run(here, "context use prod"));
    assert_snapshot!("context_show", run(here, "context show"));
    assert_snapshot!("context_show_json", run(here, "context show -o json"));
    assert_snapshot!("context_list_name", run(here, "context list -o name"));
    let list = run(here, "context list");
    assert!(list.contains("prod     yes"), "{list}");
    assert_snapshot!("context_use_unknown", run(here, "context use prd"));
    assert_snapshot!("context_remove", run(here, "context remove prod"));
    assert_snapshot!("context_show_local", run(here, "context show"));
}

#[test]
fn a_file_is_taken_in() {
    let folder = folder_with("prod");
    let file = folder.path().join("alice.toml");
    private(&file, &Pki::new().context(&["m1.example:7443"]));
    let line = format!("context add {}", file.display());
    assert_snapshot!("context_add", run(folder.path(), &line));
    assert_snapshot!("context_add_again", run(folder.path(), &line));
    let list = run(folder.path(), "context list -o name");
    assert!(list.contains("local\nalice\nprod\n"), "{list}");
    private(&file, "cluster = 1\n");
    assert_snapshot!("context_add_broken", run(folder.path(), &format!("{line} --name other")));
}

#[test]
fn a_host_needs_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    assert_snapshot!("host_without_context", run(folder.path(), "status --host m1"));
    assert_snapshot!("host_wrong", run(folder.path(), "status --host https://m1"));
    assert_snapshot!("host_and_socket", run(folder.path(), "status --host m1 --socket /x"));
}
