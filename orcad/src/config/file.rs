//! Reading files: which, how large, who may write them, and their walk key by key.
//!
//! A file is walked rather than deserialised, so that one run tells all of its mistakes and not just the first.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orca_api::text::{TEXT_BYTES_MAX, nearest};
use serde::Deserialize;
use toml::Value;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::error::ConfigError;
use super::keys::{KEYS, Key, Kind};

/// The most files of a drop-in folder.
const DROP_INS_MAX: usize = 256;

/// Which files are read.
#[derive(Clone, Debug)]
pub(super) enum Files {
    /// A file and a folder of drop-ins; neither need exist.
    Standard { file: PathBuf, folder: PathBuf },
    /// These, which must exist.
    Named(Vec<PathBuf>),
}

/// A file's text.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
}

/// A key with a value, and where both stand.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) key_span: Range<usize>,
    pub(super) value_span: Range<usize>,
}

/// Reads all files, in their order.
pub(super) fn read_all(files: &Files) -> (Vec<Text>, Vec<ConfigError>) {
    let (mut texts, mut errors) = (Vec::new(), Vec::new());
    let mut take = |path: &Path, may_be_missing: bool| match read(path) {
        Ok(text) => texts.push(Text { path: path.to_owned(), text }),
        Err(Refusal::Missing) if may_be_missing => {}
        Err(refusal) => errors.push(refusal.error(path)),
    };
    match files {
        Files::Named(paths) => paths.iter().for_each(|path| take(path, false)),
        Files::Standard { file, folder } => {
            take(file, true);
            match drop_ins(folder) {
                Ok(paths) => paths.iter().for_each(|path| take(path, false)),
                Err(refusal) => errors.push(refusal.error(folder)),
            }
        }
    }
    (texts, errors)
}

#[derive(Debug)]
enum Refusal {
    Missing,
    Unreadable(io::Error),
    TooLarge,
    TooMany(usize),
    NotText,
    NotAFile,
    Open { folder: bool },
}

impl Refusal {
    fn error(self, path: &Path) -> ConfigError {
        let (message, hint) = match self {
            Self::Missing => ("there is no such file".to_owned(), None),
            Self::Unreadable(e) => (format!("it cannot be read: {e}"), None),
            Self::TooLarge => (format!("it has more than {TEXT_BYTES_MAX} bytes"), None),
            Self::TooMany(n) => (format!("{n} files are too many, at most {DROP_INS_MAX} are read"), None),
            Self::NotText => ("it is not text in UTF-8".to_owned(), None),
            Self::NotAFile => ("it is not a regular file".to_owned(), None),
            Self::Open { folder } => (
                format!("everybody may write {}, so it is not trusted", if folder { "in it" } else { "it" }),
                Some(format!("chmod o-w {}", path.display())),
            ),
        };
        ConfigError { place: path.display().to_string(), excerpt: None, key: None, message, hint }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Missing } else { Self::Unreadable(error) }
    }
}

const OTHERS_WRITE: u32 = 0o002;

fn read(path: &Path) -> Result<Arc<str>, Refusal> {
    // Opening a pipe would wait for its writer: so what is not a file is refused before it is opened.
    if !fs::metadata(path)?.is_file() {
        return Err(Refusal::NotAFile);
    }
    let file = File::open(path)?;
    if file.metadata()?.mode() & OTHERS_WRITE != 0 {
        return Err(Refusal::Open { folder: false });
    }
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(Refusal::TooLarge);
    }
    String::from_utf8(bytes).map(Arc::from).map_err(|_| Refusal::NotText)
}

fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, Refusal> {
    let metadata = match fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e.into()),
    };
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(Refusal::Open { folder: true });
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|e| e == "toml") && !hidden {
            paths.push(path);
        }
    }
    if paths.len() > DROP_INS_MAX {
        return Err(Refusal::TooMany(paths.len()));
    }
    paths.sort();
    Ok(paths)
}

/// Walks a file: every known key with its value, and every mistake.
pub(super) fn entries(file: &Text) -> (Vec<Entry>, Vec<ConfigError>) {
    let mut walk = Walk { file, entries: Vec::new(), errors: Vec::new() };
    match DeTable::parse(&file.text) {
        Ok(table) => walk.table("", table.get_ref()),
        Err(e) => walk.refuse(None, e.span(), e.message().to_owned(), None),
    }
    (walk.entries, walk.errors)
}

struct Walk<'a> {
    file: &'a Text,
    entries: Vec<Entry>,
    errors: Vec<ConfigError>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            if let Some(known) = Key::find(&name) {
                match Value::deserialize(ValueDeserializer::from(value.clone())) {
                    Ok(read) => self.entries.push(Entry {
                        key: known,
                        value: read,
                        key_span: key.span(),
                        value_span: value.span(),
                    }),
                    Err(e) => self.refuse(Some(name), Some(value.span()), e.message().to_owned(), None),
                }
            } else if is_table(&name) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(&name, inner),
                    other => self.refuse(
                        Some(name.clone()),
                        Some(value.span()),
                        format!("it is a table, and {} is given", other.type_str()),
                        Some(format!("write [{name}], and its keys below")),
                    ),
                }
            } else {
                let hint = hint_for(prefix, key.get_ref());
                self.refuse(Some(name), Some(key.span()), "unknown key".to_owned(), Some(hint));
            }
        }
    }

    fn refuse(
        &mut self,
        key: Option<String>,
        span: Option<Range<usize>>,
        message: String,
        hint: Option<String>,
    ) {
        self.errors.push(ConfigError {
            place: self.file.path.display().to_string(),
            excerpt: span.map(|span| (Arc::clone(&self.file.text), span)),
            key,
            message,
            hint,
        });
    }
}

fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(table, _)| table == name))
}

/// The nearest name in the same table, else the same name in another table, else all that there are.
fn hint_for(prefix: &str, word: &str) -> String {
    let here = |key: &&Key| match key.name.split_once('.') {
        Some((table, _)) => table == prefix,
        None => prefix.is_empty(),
    };
    let last = |key: &Key| key.name.rsplit('.').next().unwrap_or(key.name);
    let mut names: Vec<&str> = KEYS.iter().filter(here).map(last).collect();
    if prefix.is_empty() {
        let mut tables: Vec<&str> =
            KEYS.iter().filter_map(|k| k.name.split_once('.').map(|(table, _)| table)).collect();
        tables.dedup();
        names.extend(tables);
    }
    if let Some(name) = nearest(word, names.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    if let Some(key) = KEYS.iter().find(|key| last(key) == word) {
        return match key.name.split_once('.') {
            Some((table, _)) => format!("`{word}` belongs in the table [{table}]"),
            None => format!("`{word}` belongs above the first table"),
        };
    }
    format!("known here: {}", names.join(", "))
}

/// What a value is, for the hint beside a refused one.
pub(super) const fn written_as(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::List => Some("a list is written [\"a\", \"b\"]"),
        Kind::Table => Some("a table is written { key = \"value\" }"),
        Kind::Text | Kind::Number => None,
    }
}
