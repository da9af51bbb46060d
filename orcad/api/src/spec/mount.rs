//! What a task sees of folders, volumes and memory: `-v` and `--tmpfs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{FieldError, short, text_serde};

/// Where a mount's contents come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A folder or file of the node.
    Bind(String),
    /// A named volume of the node's engine.
    Volume(String),
}

/// A bind mount or volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it comes from.
    pub source: MountSource,
    /// Where it stands in the container: an absolute path.
    pub target: String,
    /// Whether the task may only read it.
    pub read_only: bool,
}

fn absolute_normal(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= 4096
        && !path.contains(char::is_control)
        && (path == "/" || path[1..].split('/').all(|part| !part.is_empty() && part != "." && part != ".."))
}

impl FromStr for Mount {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let bad = |why: &str| {
            FieldError(format!(
                "`{}` is not a mount: {why}; write /FOLDER:/TARGET, VOLUME:/TARGET, with :ro to forbid writing",
                short(text)
            ))
        };
        let mut parts = text.split(':');
        let (Some(source), Some(target), mode, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad("it has two or three parts"));
        };
        let read_only = match mode {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(_) => return Err(bad("the third part is ro or rw")),
        };
        let target = if target.len() > 1 { target.strip_suffix('/').unwrap_or(target) } else { target };
        if !absolute_normal(target) || target == "/" {
            return Err(bad("the target is an absolute path without `..`, and not /"));
        }
        let source = if source.starts_with('/') {
            let folder = if source.len() > 1 { source.strip_suffix('/').unwrap_or(source) } else { source };
            if !absolute_normal(folder) {
                return Err(bad("the source is an absolute path without `..` and `//`"));
            }
            MountSource::Bind(folder.to_owned())
        } else {
            let mut bytes = source.bytes();
            let good = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
                && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
                && (2..=128).contains(&source.len());
            if !good {
                return Err(bad(
                    "a volume's name has 2 to 128 letters, digits, `_`, `.`, `-`; a folder begins with /",
                ));
            }
            MountSource::Volume(source.to_owned())
        };
        Ok(Self { source, target: target.to_owned(), read_only })
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (MountSource::Bind(source) | MountSource::Volume(source)) = &self.source;
        write!(f, "{source}:{}{}", self.target, if self.read_only { ":ro" } else { "" })
    }
}
text_serde!(Mount);

/// A tmpfs mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where it stands in the container: an absolute path.
    pub target: String,
    /// Its options, in the kernel's own words: `size=64m,mode=1777`.
    pub options: String,
}

impl FromStr for Tmpfs {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"=,%_-".contains(&b);
        if !absolute_normal(target) || target == "/" || options.len() > 256 || !options.bytes().all(plain) {
            return Err(FieldError(format!(
                "`{}` is not a tmpfs mount: write /TARGET or /TARGET:size=64m,mode=1777",
                short(text)
            )));
        }
        Ok(Self { target: target.to_owned(), options: options.to_owned() })
    }
}

impl fmt::Display for Tmpfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        if self.options.is_empty() { Ok(()) } else { write!(f, ":{}", self.options) }
    }
}
text_serde!(Tmpfs);
