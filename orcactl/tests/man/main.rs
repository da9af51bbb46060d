//! The manual pages of `orcactl`, `man/orcactl.1` and one `man/orcactl-WORD.1` for each word after it, say what the
//! tree of arguments says: they are made from it here, and committed, so that packages need no program to run.
//!
//! After a change of the tree: `UPDATE=1 cargo nextest run -p orcactl --test man`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

mod mdoc;
mod page;

/// Where the pages are.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../man");
/// How they are made anew.
const REMEDY: &str = "UPDATE=1 cargo nextest run -p orcactl --test man";

/// The committed pages by file name; those of the daemon are written by hand.
fn committed() -> BTreeMap<String, String> {
    let entries =
        fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries
        .filter(|name| name.starts_with("orcactl") && name.ends_with(".1"))
        .map(|name| {
            let text = fs::read_to_string(Path::new(FOLDER).join(&name)).unwrap();
            (name, text)
        })
        .collect()
}

/// The first line in which two texts differ.
fn first_difference(made: &str, committed: &str) -> String {
    let line = made.lines().zip(committed.lines()).position(|(a, b)| a != b);
    let line = line.unwrap_or_else(|| made.lines().count().min(committed.lines().count()));
    let of = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    format!("line {}: it has `{}`, and the tree says `{}`", line + 1, of(committed), of(made))
}

#[test]
fn the_committed_pages_say_what_the_tree_says() {
    let made = page::all();
    let committed = committed();
    if std::env::var_os("UPDATE").is_some() {
        for name in committed.keys().filter(|name| !made.contains_key(*name)) {
            fs::remove_file(Path::new(FOLDER).join(name)).unwrap();
        }
        for (name, text) in &made {
            fs::write(Path::new(FOLDER).join(name), text).unwrap();
        }
        return;
    }
    let names: BTreeSet<&String> = made.keys().chain(committed.keys()).collect();
    let wrong: Vec<String> = names
        .into_iter()
        .filter_map(|name| match (made.get(name), committed.get(name)) {
            (Some(made), Some(committed)) if made == committed => None,
            (Some(made), Some(committed)) => {
                Some(format!("man/{name}: {}", first_difference(made, committed)))
            }
            (Some(_), None) => Some(format!("man/{name} is missing")),
            (None, _) => Some(format!("man/{name} is of a command that is gone")),
        })
        .collect();
    assert!(wrong.is_empty(), "{}\nmake them anew: {REMEDY}", wrong.join("\n"));
}

#[test]
fn each_word_after_orcactl_has_a_page() {
    let names: BTreeSet<String> = page::all().into_keys().collect();
    let help = orcactl::cli::command().render_help().to_string();
    let words =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut wanted: BTreeSet<String> =
        words.map(|line| format!("orcactl-{}.1", line.split_whitespace().next().unwrap())).collect();
    assert!(wanted.len() > 5, "{help}");
    wanted.insert("orcactl.1".to_owned());
    assert_eq!(names, wanted);
}

/// A page that hides a flag is worse than none.
#[test]
fn each_flag_and_example_is_in_its_page() {
    let pages = page::all();
    let mut root = orcactl::cli::command();
    root.build();
    for word in root.get_subcommands().filter(|word| !word.is_hide_set()) {
        let text = &pages[&format!("orcactl-{}.1", word.get_name())];
        let below = word.get_subcommands().filter(|sub| !sub.is_hide_set());
        let deeper = word.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in below.chain(deeper.filter(|sub| !sub.is_hide_set())).chain([word]) {
            for arg in command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set()) {
                if let Some(long) = arg.get_long() {
                    let flag = mdoc::literal(long);
                    assert!(text.contains(&format!("-{flag}")), "orcactl {}: --{long}", command.get_name());
                }
            }
            for example in page::examples(command) {
                let line = mdoc::line(&example);
                assert!(text.lines().any(|l| l == line), "orcactl {}: {example}", command.get_name());
            }
        }
    }
}
