//! What a reader may expect of every source file: it says what it is for, it can be read in one sitting, and nothing
//! in it waits to be finished.

use std::path::{Path, PathBuf};

/// The longest source file, in lines.
const LINES_MAX: usize = 1_000;
/// Folders with source, from the workspace's root.
const FOLDERS: [&str; 5] = ["orcad", "orcactl", "scheduler", "tests", "packaging"];
/// Words of unfinished work, each in two halves so that this file has none of them.
const UNFINISHED: [(&str, &str); 6] = [
    ("to", "do!("),
    ("unimple", "mented!("),
    ("TO", "DO"),
    ("FIX", "ME"),
    ("db", "g!("),
    ("being", " built)"),
];
/// Names that say nothing.
const NAMELESS: [&str; 5] = ["utils", "util", "common", "helpers", "misc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|f| root().join(f)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_source_file_is_tidy() {
    let sources = sources();
    assert!(sources.len() > 100, "only {} source files were found", sources.len());
    let mut wrong = Vec::new();
    for path in sources {
        let text = std::fs::read_to_string(&path).expect("a source file is text");
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{shown}: {lines} lines, {LINES_MAX} at most"));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{shown}: it does not begin by saying what it is for"));
        }
        for (a, b) in UNFINISHED {
            let word = format!("{a}{b}");
            if text.contains(&word) {
                wrong.push(format!("{shown}: `{word}`"));
            }
        }
        if path.file_stem().is_some_and(|stem| NAMELESS.iter().any(|n| stem == *n)) {
            wrong.push(format!("{shown}: a name that says nothing"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
