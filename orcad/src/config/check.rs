//! The ranges of values, and the checks that need more than one of them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use orca_api::node::Role;
use orca_api::units::{Bytes, Span};
use serde::{Deserialize, Deserializer};

/// The longest path of a Unix socket in bytes (`sun_path` with its final zero, unix(7)).
const SOCKET_BYTES_MAX: usize = 107;

/// An amount of bytes, a share of a whole, or the sum of both: `256MiB+5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    bytes: Bytes,
    per_mille: u16,
}

impl Share {
    /// From bytes and thousandths of the whole (at most 1000).
    pub const fn new(bytes: Bytes, per_mille: u16) -> Self {
        Self { bytes, per_mille: if per_mille > 1000 { 1000 } else { per_mille } }
    }

    /// What it comes to; never more than the whole.
    pub fn of(self, whole: Bytes) -> Bytes {
        let part = u128::from(whole.get()) * u128::from(self.per_mille) / 1000;
        let part = Bytes::new(u64::try_from(part).unwrap_or(u64::MAX));
        self.bytes.saturating_add(part).min(whole)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a share: write 512MiB, 5% or 256MiB+5%");
        let (mut bytes, mut per_mille) = (None, None);
        for term in text.split('+').map(str::trim) {
            if let Some(percent) = term.strip_suffix('%') {
                let percent = percent.trim_end();
                if percent.is_empty() || !percent.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                    return Err(bad());
                }
                let percent: f64 = percent.parse().map_err(|_| bad())?;
                if percent > 100.0 || per_mille.replace((percent * 10.0).round() as u16).is_some() {
                    return Err(bad());
                }
            } else if bytes.replace(term.parse::<Bytes>().map_err(|_| bad())?).is_some() {
                return Err(bad());
            }
        }
        Ok(Self::new(bytes.unwrap_or_default(), per_mille.unwrap_or_default()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = format!("{}%", f64::from(self.per_mille) / 10.0);
        match (self.bytes, self.per_mille) {
            (bytes, 0) => f.pad(&exact_bytes(bytes)),
            (Bytes::ZERO, _) => f.pad(&percent),
            (bytes, _) => f.pad(&format!("{}+{percent}", exact_bytes(bytes))),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a share is 512MiB, 5%, 256MiB+5%, or a number of bytes")]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self::new(Bytes::new(bytes), 0)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// Bytes with the largest binary unit that loses nothing.
fn exact_bytes(bytes: Bytes) -> String {
    let bytes = bytes.get();
    let unit = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")].into_iter().find(|(shift, _)| {
        let size = 1u64 << shift;
        bytes >= size && bytes.is_multiple_of(size)
    });
    match unit {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

pub(super) fn roles(roles: Vec<Role>) -> Result<Vec<Role>, String> {
    if roles.is_empty() {
        return Err("a node has at least one role: manager, worker or both".to_owned());
    }
    for role in Role::ALL {
        if roles.iter().filter(|r| *r == role).count() > 1 {
            return Err(format!("the role {role} is there twice"));
        }
    }
    if !roles.contains(&Role::Manager) {
        return Err(
            "a worker needs a manager, and this node belongs to no other cluster: add manager".to_owned()
        );
    }
    Ok(roles)
}

pub(super) fn labels(labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    orca_api::node::check_labels(&labels)?;
    Ok(labels)
}

/// A join token; what is wrong with it is told without repeating it, for it is a secret.
pub(super) fn token(text: String) -> Result<String, String> {
    match text.parse::<orca_api::join::JoinToken>() {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn path(path: PathBuf) -> Result<PathBuf, String> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err("a path has no zero byte".to_owned());
    }
    if path.is_absolute() { Ok(path) } else { Err(format!("`{}` is not an absolute path", path.display())) }
}

pub(super) fn socket(socket: PathBuf) -> Result<PathBuf, String> {
    let socket = path(socket)?;
    let length = socket.as_os_str().len();
    if length > SOCKET_BYTES_MAX {
        return Err(format!(
            "the path of a socket has at most {SOCKET_BYTES_MAX} bytes, this one has {length}"
        ));
    }
    Ok(socket)
}

pub(super) fn within(number: u32, range: RangeInclusive<u32>) -> Result<u32, String> {
    if range.contains(&number) {
        Ok(number)
    } else {
        Err(format!("{number} is not within {} and {}", range.start(), range.end()))
    }
}

/// Bounds in seconds.
pub(super) fn span(span: Span, min: u64, max: u64) -> Result<Span, String> {
    let (min, max) = (Span::from_secs(min), Span::from_secs(max));
    if (min..=max).contains(&span) { Ok(span) } else { Err(format!("{span} is not within {min} and {max}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let whole = Bytes::mib(1000);
        for (text, shown, mib) in [
            ("256MiB+5%", "256MiB+5%", 306),
            ("5%+256m", "256MiB+5%", 306),
            ("2.5%", "2.5%", 25),
            ("0", "0", 0),
            ("2g", "2GiB", 1000),
        ] {
            let share: Share = text.parse().unwrap();
            assert_eq!(share.to_string(), shown, "{text}");
            assert_eq!(share.of(whole), Bytes::mib(mib), "{text}");
            assert_eq!(share.to_string().parse::<Share>().as_ref(), Ok(&share));
        }
        for bad in ["", "+", "%", "101%", "5%+5%", "1m+1m", "-5%", "x%", "1e1%"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_node_is_a_manager_or_both() {
        assert!(roles(vec![Role::Manager]).is_ok());
        for bad in [vec![], vec![Role::Worker], vec![Role::Manager, Role::Manager]] {
            assert!(roles(bad).is_err());
        }
    }

    #[test]
    fn labels_are_bounded() {
        let one = |key: &str, value: &str| labels(BTreeMap::from([(key.to_owned(), value.to_owned())]));
        assert!(one("disk", "ssd").is_ok() && one("a/b.c", "").is_ok());
        assert!(one("", "x").is_err() && one("a b", "x").is_err() && one("a", "x\n").is_err());
        assert!(one("a", &"x".repeat(64)).is_err());
        assert!(labels((0..65).map(|n| (n.to_string(), String::new())).collect()).is_err());
    }

    #[test]
    fn sockets_fit_their_address() {
        assert!(socket("relative".into()).is_err());
        assert!(socket(format!("/{}", "x".repeat(106)).into()).is_ok());
        assert!(socket(format!("/{}", "x".repeat(107)).into()).is_err());
    }
}
