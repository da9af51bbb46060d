//! References to images, as `docker run` takes them.
//!
//! ```text
//!   reference = [ registry "/" ] path [ ":" tag ] [ "@" digest ]
//!   registry    has a "." or a ":", or is `localhost`; else the first part belongs to the path
//!   path        parts in lower case, joined by "/"
//! ```
//!
//! The grammar is that of distribution's `reference` package, and what is left out is filled in as Docker does it: the
//! registry `docker.io`, there the path `library/…`, and the tag `latest`. It is read by hand, since the grammar's own
//! regular expression takes a tenth of a second to compile, which is a third of the time in which a task starts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::spec::{FieldError, short, text_serde};

/// The longest reference in bytes.
const REFERENCE_BYTES_MAX: usize = 512;
/// The longest path in bytes, by the grammar.
const PATH_BYTES_MAX: usize = 255;
/// The longest tag in bytes, by the grammar.
const TAG_BYTES_MAX: usize = 128;
/// Digest algorithms, and their digits.
const DIGESTS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// A reference to an image.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    text: String,
    full: String,
    registry_end: usize,
}

impl ImageRef {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// With registry, path and tag or digest: `docker.io/library/nginx:latest`.
    pub fn full(&self) -> &str {
        &self.full
    }
    /// The registry: `docker.io`.
    pub fn registry(&self) -> &str {
        &self.full[..self.registry_end]
    }
    /// Whether it names its contents (`@sha256:…`).
    pub fn is_digest(&self) -> bool {
        self.full.contains('@')
    }
    /// A name for a task of this image: the last part of its path.
    pub fn suggested_name(&self) -> Name {
        let path = self.full[self.registry_end..].split('@').next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        let last = last.split(':').next().unwrap_or_default();
        Name::nearest(last)
            .or_else(|| Name::nearest("task"))
            .unwrap_or_else(|| unreachable!("`task` is a name"))
    }
}

impl FromStr for ImageRef {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        match read(text) {
            Ok(full) => {
                let registry_end = full.find('/').unwrap_or(0);
                Ok(Self { text: text.to_owned(), full, registry_end })
            }
            Err(why) => Err(FieldError(format!("`{}` is not an image: {why}", short(text)))),
        }
    }
}

/// The whole reference, or why it is none.
fn read(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > REFERENCE_BYTES_MAX {
        return Err("write a name such as nginx, nginx:1.27 or registry.example/team/app:3");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let last_part = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[last_part..].find(':') {
        Some(colon) => (&rest[..last_part + colon], Some(&rest[last_part + colon + 1..])),
        None => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => ("docker.io", name),
    };
    if !is_registry(registry) {
        return Err("its registry is a host name, with a port where it needs one");
    }
    if !path.split('/').all(is_path_part) {
        return Err(if path.bytes().any(|b| b.is_ascii_uppercase()) {
            "its name must be in lower case"
        } else {
            "its name is made of a-z, 0-9 and single `.`, `_`, `-`, `/` between them"
        });
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag has 1 to 128 letters, digits, `.`, `_` and `-`, and begins with no `.` or `-`");
    }
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err("its digest is sha256: with 64 hexadecimal digits in lower case (or sha384, sha512)");
    }
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    let library = if registry == "docker.io" && !path.contains('/') { "library/" } else { "" };
    if library.len() + path.len() > PATH_BYTES_MAX {
        return Err("its name has at most 255 characters");
    }
    let tag = tag.or(if digest.is_none() { Some("latest") } else { None });
    let tag = tag.map_or_else(String::new, |tag| format!(":{tag}"));
    let digest = digest.map_or_else(String::new, |digest| format!("@{digest}"));
    Ok(format!("{registry}/{library}{path}{tag}{digest}"))
}

/// `registry.example:5000`
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label)
        && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// Letters and digits in lower case, with one `.`, one or two `_`, or any number of `-` between them.
fn is_path_part(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let separators = bytes.split(|b| word(*b)).filter(|run| !run.is_empty());
    let mut fit = separators.map(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'));
    word(*first) && word(*last) && fit.all(|fits| fits)
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = text.bytes();
    text.len() <= TAG_BYTES_MAX
        && bytes.next().is_some_and(word)
        && bytes.all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else { return false };
    DIGESTS.contains(&(algorithm, digits.len()))
        && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_serde!(ImageRef);

#[cfg(test)]
mod tests {
    use oci_spec::distribution::Reference;
    use proptest::prelude::*;

    use super::*;

    /// What the grammar's own crate makes of it.
    fn theirs(text: &str) -> Option<String> {
        text.parse::<Reference>().ok().map(|r| r.whole())
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        match (read(text), theirs(text)) {
            (Ok(ours), theirs) => prop_assert_eq!(Some(ours), theirs, "{}", text),
            // Docker refuses upper case in names and digests, and that crate does not in all places.
            (Err(why), Some(theirs)) => {
                prop_assert!(
                    why.contains("lower case") && theirs.bytes().any(|b| b.is_ascii_uppercase()),
                    "{} {}",
                    text,
                    why
                );
            }
            (Err(_), None) => {}
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn it_is_the_grammar_of_references(
            registry in prop::option::of("[a-zA-Z0-9.:-]{1,8}|localhost|docker.io|index.docker.io|a.example:5000"),
            path in "[a-z0-9]{1,3}([._/-]{0,3}[a-z0-9A-Z]{1,2}){0,4}",
            tag in prop::option::of("[a-zA-Z0-9._-]{0,5}"),
            digest in prop::option::of("sha(256|512|1):([0-9a-f]{64}|[0-9a-fA-F]{63,65})"),
        ) {
            let mut text = registry.map_or_else(String::new, |r| format!("{r}/"));
            text.push_str(&path);
            text.extend(tag.map(|t| format!(":{t}")));
            text.extend(digest.map(|d| format!("@{d}")));
            agrees(&text)?;
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a-zA-Z0-9@:/._-]{0,40}|\\PC{0,20}") {
            if text.is_ascii() {
                agrees(&text)?;
            } else {
                prop_assert!(read(&text).is_err());
            }
        }
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("team/app", "docker.io/team/app:latest"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("host:5000/a/b:c", "host:5000/a/b:c"),
            ("test.com:5000", "docker.io/library/test.com:5000"),
            (format!("app@{digest}").as_str(), format!("docker.io/library/app@{digest}").as_str()),
            (format!("app:1@{digest}").as_str(), format!("docker.io/library/app:1@{digest}").as_str()),
        ] {
            assert_eq!(read(text).as_deref(), Ok(full), "{text}");
            assert_eq!(theirs(text).as_deref(), Some(full), "{text}");
        }
    }

    #[test]
    fn refusals_say_why() {
        for (text, why) in [
            ("Nginx", "lower case"),
            ("a/B", "lower case"),
            ("-x", "between them"),
            ("a..b", "between them"),
            ("a/", "between them"),
            ("a:", "tag"),
            ("a:.x", "tag"),
            ("a@sha256:12", "digest"),
            ("a.-b/c", "registry"),
            ("", "write a name"),
        ] {
            let error = text.parse::<ImageRef>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
