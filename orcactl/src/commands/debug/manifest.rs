//! What is in a bundle, and what is not.

use std::fmt::Write as _;

use orca_api::units::Bytes;
use serde_json::Value;

use super::redact::Redactor;

/// The longest file in bytes; of a longer one the end is kept, for the newest lines stand there.
const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The name of the file that says it.
pub(super) const NAME: &str = "MANIFEST.txt";

/// What a file holds.
#[derive(Debug)]
enum Content {
    Document(Value),
    Text(String),
}

/// One file of the bundle.
#[derive(Debug)]
struct Part {
    name: String,
    what: String,
    content: Content,
}

/// What was gathered, before secrets are taken out of it.
#[derive(Debug, Default)]
pub(super) struct Collection {
    parts: Vec<Part>,
    left_out: Vec<(String, String)>,
}

impl Collection {
    /// A document.
    pub(super) fn document(&mut self, name: impl Into<String>, what: impl Into<String>, value: Value) {
        self.parts.push(Part { name: name.into(), what: what.into(), content: Content::Document(value) });
    }

    /// A text.
    pub(super) fn text(&mut self, name: impl Into<String>, what: impl Into<String>, text: String) {
        self.parts.push(Part { name: name.into(), what: what.into(), content: Content::Text(text) });
    }

    /// Something that is not in it, and why.
    pub(super) fn left_out(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.left_out.push((what.into(), why.into()));
    }

    /// How many things are not in it.
    pub(super) fn missing(&self) -> usize {
        self.left_out.len()
    }

    /// The bundle's files, without secrets, the manifest first.
    pub(super) fn finish(self, about: &str) -> Vec<(String, Vec<u8>)> {
        let mut redactor = Redactor::default();
        let mut parts = self.parts;
        for part in &mut parts {
            if let Content::Document(value) = &mut part.content {
                redactor.learn(value);
            }
        }
        let mut files = Vec::with_capacity(parts.len() + 1);
        let mut list = String::new();
        for part in parts {
            let text = match part.content {
                Content::Document(mut value) => {
                    redactor.strings(&mut value);
                    format!("{value:#}\n")
                }
                Content::Text(text) => redactor.text(&text),
            };
            let (text, cut) = end_of(text);
            let size = Bytes::new(text.len() as u64);
            let cut = if cut { " (its beginning is cut off)" } else { "" };
            let _ = writeln!(list, "  {:<34} {:>9}  {}{cut}", part.name, size.to_string(), part.what);
            files.push((part.name, text.into_bytes()));
        }
        let mut text = format!("{about}\n\nIn it\n{list}\nLeft out\n");
        for (what, why) in ALWAYS_LEFT_OUT {
            let _ = writeln!(text, "  {what}: {why}");
        }
        for (what, why) in &self.left_out {
            let _ = writeln!(text, "  {}: {}", redactor.text(what), redactor.text(why));
        }
        let _ = write!(text, "\nReplaced\n{REPLACED}  {} places were replaced.\n", redactor.replaced());
        files.insert(0, (NAME.to_owned(), text.into_bytes()));
        files
    }
}

/// What is never in a bundle.
const ALWAYS_LEFT_OUT: &[(&str, &str)] = &[
    ("registry credentials (/etc/orca/docker-config.json)", "they are secrets"),
    ("keys and certificates of /var/lib/orca", "they are secrets"),
    (
        "the store of /var/lib/orca",
        "it holds the values of variables; only names and sizes of files are listed",
    ),
    ("output of tasks", "it is theirs, and may hold anything"),
];

const REPLACED: &str =
    "  Where it says [replaced] stood the value of an environment variable of a task, the same value in
  another text, or what looks like a secret: the value of something named password, secret, token or
  the like, a password in an address, a private key, a join token. A secret under another name, or
  with fewer than 6 characters in a text, cannot be told from other words: look through the files
  before you hand them on.
";

/// The end of a text that is too long, from the beginning of a line.
fn end_of(text: String) -> (String, bool) {
    if text.len() <= FILE_BYTES_MAX {
        return (text, false);
    }
    let mut start = text.len() - FILE_BYTES_MAX;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let line = text[start..].find('\n').map_or(start, |at| start + at + 1);
    (text[line..].to_owned(), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_of_one_file_is_out_of_all() {
        let mut all = Collection::default();
        all.text("journal.txt", "the journal", "started with planted-value\n".to_owned());
        all.document("task.json", "a task", json!({"env": {"A": "planted-value"}}));
        all.left_out("metrics", "orcad said planted-value");
        let files = all.finish("of a test");
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["MANIFEST.txt", "journal.txt", "task.json"]);
        for (name, bytes) in &files {
            let text = String::from_utf8_lossy(bytes);
            assert!(text.contains("[replaced]") && !text.contains("planted"), "{name}: {text}");
        }
        let manifest = String::from_utf8_lossy(&files[0].1).into_owned();
        assert!(manifest.contains("metrics: orcad said [replaced]"), "{manifest}");
        assert!(manifest.contains("3 places were replaced."), "{manifest}");
    }

    #[test]
    fn of_a_long_text_the_end_is_kept() {
        let line = "x".repeat(99) + "\n";
        let (text, cut) = end_of(line.repeat(FILE_BYTES_MAX / 100 + 10));
        assert!(cut && text.len() <= FILE_BYTES_MAX && text.len() > FILE_BYTES_MAX - 200);
        assert!(text.starts_with("xxx") && text.len().is_multiple_of(100));
        assert_eq!(end_of("short".to_owned()), ("short".to_owned(), false));
    }
}
