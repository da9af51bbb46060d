//! Variables of flags and files, by the rules of `docker run`.
//!
//! `NAME=VALUE` sets, `NAME` alone takes the value from the environment of this command and sets nothing where
//! there is none. In a file, lines that begin with `#` and empty lines are left out, and a value is taken as it
//! stands: quotes are part of it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::output::error::Failure;

/// Where the value of a bare `NAME` comes from.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Adds the variables of flags.
///
/// # Errors
/// Where a name is empty.
pub fn add_flags(
    into: &mut BTreeMap<String, String>,
    flags: &[String],
    environment: Environment<'_>,
) -> Result<(), Failure> {
    for flag in flags {
        add(into, flag, environment).map_err(|why| {
            Failure::usage(format!("`--env {flag}`: {why}"))
                .hint("write NAME=VALUE, or NAME to take the value from here")
        })?;
    }
    Ok(())
}

/// Adds the variables of a file.
///
/// # Errors
/// Where it cannot be read, or a line is wrong; the line is named.
pub fn add_file(
    into: &mut BTreeMap<String, String>,
    path: &Path,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("the env file {name} cannot be read"))
            .because(error.to_string())
            .hint("it is a text file with one NAME=VALUE a line")
    })?;
    add_text(into, &text, environment).map_err(|(line, why)| {
        Failure::usage(format!("{name}: line {line}: {why}"))
            .hint("write one NAME=VALUE a line, or NAME to take the value from here")
    })
}

fn add_text(
    into: &mut BTreeMap<String, String>,
    text: &str,
    environment: Environment<'_>,
) -> Result<(), (usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (i, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if !line.is_empty() && !line.starts_with('#') {
            add(into, line, environment).map_err(|why| (i + 1, why))?;
        }
    }
    Ok(())
}

fn add(into: &mut BTreeMap<String, String>, text: &str, environment: Environment<'_>) -> Result<(), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, environment(text)),
    };
    if name.is_empty() {
        return Err("a variable needs a name".to_owned());
    }
    if name.contains(char::is_whitespace) {
        return Err(format!("the name `{name}` has white space in it"));
    }
    if let Some(value) = value {
        into.insert(name.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
        let mut env = BTreeMap::new();
        let home = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        add_text(&mut env, text, &home).map(|()| env.into_iter().collect())
    }

    #[test]
    fn a_file_is_read_as_docker_does() {
        let text = "\u{feff}# comment\n\nA=1\n  B=\"x y\" # z\nHOME\nMISSING\nC=\n";
        let wanted = [("A", "1"), ("B", "\"x y\" # z"), ("C", ""), ("HOME", "/root")];
        let wanted: Vec<_> = wanted.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(read(text), Ok(wanted));
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert_eq!(read("A=1\n=2\n").unwrap_err().0, 2);
        assert_eq!(read("export A=1\n").unwrap_err().0, 1);
    }
}
