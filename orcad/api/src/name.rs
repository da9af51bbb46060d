//! Names that people give: RFC 1123 labels in lower case, at most 63 bytes, no dots.
//!
//! A job's tasks have names that orca makes, of such labels and a number: `web.1`, `shop.api.2`. [`Name::from_str`]
//! reads what people give, and refuses those; a document is read with them, since most names in documents are orca's
//! own. Who takes a name for something new from a document checks [`Name::is_plain`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name in bytes (RFC 1123 section 2.1, RFC 1035 section 2.3.4).
pub const NAME_BYTES_MAX: usize = 63;

/// A name of a task, job or node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// A character outside `a-z`, `0-9`, `-`.
    #[error("a name is made of a-z, 0-9 and `-`; {0:?} at position {1} is not allowed")]
    Character(char, usize),
    /// `-` at one of the ends.
    #[error("a name begins and ends with a letter or digit")]
    Hyphen,
}

impl Name {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a job's task: `web.1`, and `shop.api.1` where its group has a name. Numbers are from 1.
    pub fn of_task(job: &Self, group: &str, number: u32) -> Self {
        Self(
            if group.is_empty() { format!("{job}.{number}") } else { format!("{job}.{group}.{number}") }
                .into(),
        )
    }

    /// Whether a person may give it to something new: it is one label.
    pub fn is_plain(&self) -> bool {
        !self.0.contains('.')
    }

    /// Reads a name of either kind: what a person gave, or that of a job's task.
    ///
    /// # Errors
    /// It is neither.
    pub fn whole(text: &str) -> Result<Self, NameError> {
        let Some((front, number)) = text.rsplit_once('.') else { return text.parse() };
        let labels = front.split('.').count();
        let numbered = number.parse::<u32>().is_ok_and(|n| n > 0 && n.to_string() == number);
        if labels > 2 || !numbered {
            let dot = text.find('.').map_or(0, |at| at + 1);
            return Err(NameError::Character('.', dot));
        }
        front.split('.').try_for_each(|label| label.parse::<Self>().map(drop))?;
        Ok(Self(text.into()))
    }

    /// The nearest valid name to a free text (a host name, an image's last part); `None` if nothing is left.
    pub fn nearest(text: &str) -> Option<Self> {
        let mut out = String::new();
        for c in text.chars() {
            if out.len() >= 40 {
                break;
            }
            if c.is_ascii_alphanumeric() {
                out.push(c.to_ascii_lowercase());
            } else if !out.is_empty() && !out.ends_with('-') {
                out.push('-');
            }
        }
        out.trim_end_matches('-').parse().ok()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some((at, c)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
            return Err(NameError::Character(c, at + 1));
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::Hyphen);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        Self::whole(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        for good in ["a", "web", "web-1", "0", "a".repeat(63).as_str()] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in
            ["", "-a", "a-", "Web", "a.b", "a_b", "ü", "a b", "a\0", "\u{202e}a", "a".repeat(64).as_str()]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_a_jobs_tasks() {
        let read = |text: &str| serde_json::from_value::<Name>(text.into());
        let job: Name = "shop".parse().unwrap();
        for (group, name) in [("", "shop.2"), ("api", "shop.api.2")] {
            let made = Name::of_task(&job, group, 2);
            assert_eq!(made.as_str(), name);
            assert!(!made.is_plain());
            assert_eq!(read(name).unwrap(), made);
            assert!(name.parse::<Name>().is_err(), "people cannot give it");
        }
        assert!(read("shop").unwrap().is_plain());
        for bad in ["shop.", ".1", "shop.0", "shop.01", "shop.api", "a.b.c.1", "shop.+1", "Shop.1", "shop..1"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nearest_names() {
        assert_eq!(
            Name::nearest("My Host.example").map(|n| n.to_string()).as_deref(),
            Some("my-host-example")
        );
        assert_eq!(Name::nearest("--"), None);
    }
}
