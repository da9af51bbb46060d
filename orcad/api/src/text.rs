//! Strict reading of what people write: TOML files and JSON requests.
//!
//! An error says where (line and column, or the field's path), what, and the nearest known name.

use serde::de::DeserializeOwned;

use crate::name::Name;
use crate::spec::{TaskFile, TaskSpec};

/// The largest file or request body in bytes.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// The deepest nesting of a request's JSON.
pub const DEPTH_MAX: usize = 64;

/// A text that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TextError {
    /// The field, `docker.socket`; empty where the text itself is broken.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// The known name that is nearest to an unknown one.
    pub nearest: Option<String>,
    /// Line and column of the first byte, from 1.
    pub position: Option<(usize, usize)>,
    /// Bytes of the text that are meant.
    pub span: Option<std::ops::Range<usize>>,
}

impl std::fmt::Display for TextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "`{}`: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(name) => write!(f, " (did you mean `{name}`?)"),
            None => Ok(()),
        }
    }
}

impl TextError {
    /// An error without a place.
    pub fn plain(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into(), nearest: None, position: None, span: None }
    }
}

/// The candidate that is nearest to a word, if one is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(word, c), c))
        .filter(|(distance, c)| *distance <= 1 + c.len() / 4)
        .min()
        .map(|(_, c)| c.to_owned())
}

/// Reads JSON: at most [`TEXT_BYTES_MAX`] bytes and [`DEPTH_MAX`] deep, unknown fields refused by the type.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, TextError> {
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(TextError::plain(format!(
            "the text has {} bytes, at most {TEXT_BYTES_MAX} are accepted",
            bytes.len()
        )));
    }
    check_depth(bytes)?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let path = e.path().to_string();
        let inner = e.into_inner();
        let position = (inner.line() > 0).then(|| (inner.line(), inner.column().max(1)));
        let text = inner.to_string();
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        of_message(path, message, position, None)
    })?;
    reader.end().map_err(|_| TextError::plain("there is more text after the end of the JSON value"))?;
    Ok(value)
}

/// serde_json's own limit is 128; ours is the one that is promised.
fn check_depth(bytes: &[u8]) -> Result<(), TextError> {
    let (mut depth, mut text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b'[' | b'{' if !text => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(TextError::plain(format!("the JSON is nested deeper than {DEPTH_MAX}")));
                }
            }
            b']' | b'}' if !text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Reads TOML: at most [`TEXT_BYTES_MAX`] bytes, unknown keys refused by the type.
pub fn read_toml<T: DeserializeOwned>(text: &str) -> Result<T, TextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextError::plain(format!(
            "the file has {} bytes, at most {TEXT_BYTES_MAX} are accepted",
            text.len()
        )));
    }
    let at = |span: &Option<std::ops::Range<usize>>| span.as_ref().map(|s| position(text, s.start));
    let reader = toml::Deserializer::parse(text).map_err(|e| {
        let span = e.span();
        TextError {
            path: String::new(),
            message: e.message().to_owned(),
            nearest: None,
            position: at(&span),
            span,
        }
    })?;
    serde_path_to_error::deserialize(reader).map_err(|e| {
        let path = e.path().to_string();
        let inner = e.into_inner();
        let span = inner.span();
        of_message(path, inner.message().to_owned(), at(&span), span)
    })
}

/// Line and column, from 1, of a byte.
pub fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

/// serde says ``unknown field `a`, expected one of `b`, `c` ``: the names are taken from there.
fn of_message(
    path: String,
    message: String,
    position: Option<(usize, usize)>,
    span: Option<std::ops::Range<usize>>,
) -> TextError {
    let mut path = if path == "." || path == "?" { String::new() } else { path };
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (mut nearest_name, mut said) = (None, message.clone());
    if let Some(unknown) = message.strip_prefix("unknown field `").and_then(|_| quoted.next()) {
        let candidates: Vec<&str> = quoted.collect();
        nearest_name = nearest(unknown, candidates.iter().copied());
        // The path ends with the unknown key itself for some readers and with its table for others.
        if !path.ends_with(unknown) {
            path = if path.is_empty() { unknown.to_owned() } else { format!("{path}.{unknown}") };
        }
        "unknown key".clone_into(&mut said);
        if nearest_name.is_none() && !candidates.is_empty() {
            said = format!("unknown key; known here: {}", candidates.join(", "));
        }
    } else if let Some(unknown) = message.strip_prefix("unknown variant `").and_then(|_| quoted.next()) {
        let candidates: Vec<&str> = quoted.collect();
        nearest_name = nearest(unknown, candidates.iter().copied());
        said = format!("`{unknown}` is none of: {}", candidates.join(", "));
    }
    TextError { path, message: said, nearest: nearest_name, position, span }
}

/// Reads a task file: the keys of [`TaskSpec`] and `name`.
pub fn read_task_toml(text: &str) -> Result<TaskFile, TextError> {
    // `name` is not part of the spec, and serde's `flatten` would switch the refusal of unknown keys off:
    // so the table is read twice, once for the name and once, without it, for the spec.
    #[derive(serde::Deserialize)]
    struct Named {
        name: Option<Name>,
    }
    let name = read_toml::<Named>(text)?.name;
    let spec = if name.is_some() {
        read_toml::<TaskSpec>(&without_name(text))
    } else {
        read_toml::<TaskSpec>(text)
    }?;
    Ok(TaskFile { name, spec })
}

/// Blanks the top-level `name = …` out, so that the positions of everything else stay.
fn without_name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut top = true;
    for line in text.split_inclusive('\n') {
        let code = line.trim_start();
        top &= !code.starts_with('[');
        let is_name = top
            && ["name", "\"name\"", "'name'"]
                .iter()
                .any(|key| code.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')));
        if is_name {
            out.extend(line.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_task_file() {
        let file = read_task_toml("name = \"web\"\nimage = \"nginx\"\n[env]\nname = \"x\"\n").unwrap();
        assert_eq!(file.name.map(|n| n.to_string()).as_deref(), Some("web"));
        assert_eq!(file.spec.env["name"], "x");
    }

    #[test]
    fn an_unknown_key_has_line_column_and_nearest_name() {
        let error = read_task_toml("name = \"web\"\nimage = \"nginx\"\nmemroy = \"1g\"\n").unwrap_err();
        assert_eq!(error.position, Some((3, 1)));
        assert_eq!(error.path, "memroy");
        assert_eq!(error.nearest.as_deref(), Some("memory"));
    }

    #[test]
    fn a_wrong_value_has_its_path() {
        let error = read_task_toml("image = \"nginx\"\nports = [\"80:80\", \"x\"]\n").unwrap_err();
        assert_eq!(error.path, "ports[1]");
        assert_eq!(error.position.map(|p| p.0), Some(2));
        let error = read_json::<TaskSpec>(br#"{"image":"nginx","ports":["80:80","x"]}"#).unwrap_err();
        assert_eq!(error.path, "ports[1]");
        let error = read_json::<TaskSpec>(br#"{"image":"nginx","pull":"somtimes"}"#).unwrap_err();
        assert!(error.message.contains("missing, always, never"), "{error}");
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = "[".repeat(100_000);
        assert!(read_json::<serde_json::Value>(deep.as_bytes()).unwrap_err().message.contains("deeper"));
        let long = format!("\"{}\"", "a".repeat(TEXT_BYTES_MAX));
        assert!(read_json::<String>(long.as_bytes()).is_err());
        assert!(read_json::<u8>(b"1 2").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ -~\n]{0,200}") {
            let _ = read_task_toml(&text);
            let _ = read_json::<TaskSpec>(text.as_bytes());
        }
    }
}
