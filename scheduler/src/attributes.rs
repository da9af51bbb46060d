//! What can be said of a node in a constraint, and how it compares.
//!
//! | key | value |
//! |---|---|
//! | `node.id`, `node.name` | the node's own |
//! | `node.data_center` | its data centre |
//! | `node.os`, `node.arch`, `node.kernel`, `node.engine` | of its machine; `x86_64` reads as `amd64` |
//! | anything else | the label of that name; `node.labels.KEY` is the same as `KEY` |
//!
//! Nodes with equal labels and machines share one [`Attributes`], so a constraint is judged once for all of them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use orca_api::spec::{Comparison, Constraint};

use crate::model::{Node, Platform};

/// What nodes have in common: everything but id and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attributes {
    labels: BTreeMap<String, String>,
    pub(crate) data_center: String,
    pub(crate) os: String,
    pub(crate) arch: String,
    kernel: String,
    engine: String,
}

impl Attributes {
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            labels: node.labels.clone(),
            data_center: node.data_center.clone(),
            os: node.os.to_ascii_lowercase(),
            arch: arch(&node.arch).into_owned(),
            kernel: node.kernel.clone(),
            engine: node.engine.clone(),
        }
    }

    /// The value of a key that does not depend on id or name; `None` where the node does not have it.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let set = |value: &'_ String| if value.is_empty() { None } else { Some(()) };
        let value = match key {
            "node.data_center" => &self.data_center,
            "node.os" => &self.os,
            "node.arch" => &self.arch,
            "node.kernel" => &self.kernel,
            "node.engine" => &self.engine,
            _ => {
                let label = key.strip_prefix("node.labels.").unwrap_or(key);
                return self.labels.get(label).map(String::as_str);
            }
        };
        set(value).map(|()| value.as_str())
    }

    /// Whether an image for one of the platforms runs here.
    pub(crate) fn runs(&self, platforms: &[Platform]) -> bool {
        platforms.is_empty()
            || platforms.iter().any(|p| p.os.eq_ignore_ascii_case(&self.os) && arch(&p.arch) == self.arch)
    }
}

/// Whether the key is one of a single node: `node.id` or `node.name`.
pub(crate) fn is_own(key: &str) -> bool {
    matches!(key, "node.id" | "node.name")
}

/// The name that images use for a processor.
pub(crate) fn arch(name: &str) -> Cow<'_, str> {
    let lower = name.to_ascii_lowercase();
    Cow::Borrowed(match lower.as_str() {
        "x86_64" | "x86-64" | "amd64" => "amd64",
        "aarch64" | "arm64" | "armv8" => "arm64",
        "i386" | "i686" | "386" => "386",
        "armv7l" | "armhf" | "arm" => "arm",
        _ => return Cow::Owned(lower),
    })
}

/// Whether a node with this value (`None`: it has none) is what the constraint wants.
///
/// A missing value fails everything but `!=` and `not in`. `==` takes `x86_64` for `amd64` where the key is `node.arch`.
pub(crate) fn holds(constraint: &Constraint, value: Option<&str>) -> bool {
    let Some(value) = value else {
        return matches!(constraint.comparison, Comparison::NotEqual | Comparison::NotIn);
    };
    let same =
        |wanted: &String| wanted == value || (constraint.key == "node.arch" && arch(wanted) == arch(value));
    // a kernel `6.9` is older than `6.10`, though the number is greater
    let versions = matches!(constraint.key.as_str(), "node.kernel" | "node.engine");
    let order_of = if versions { compare_versions } else { compare };
    let against = |order| constraint.values.first().is_some_and(|wanted| order_of(value, wanted) == order);
    match constraint.comparison {
        Comparison::Equal | Comparison::In => constraint.values.iter().any(same),
        Comparison::NotEqual | Comparison::NotIn => !constraint.values.iter().any(same),
        Comparison::Less => against(Ordering::Less),
        Comparison::Greater => against(Ordering::Greater),
        Comparison::Exists => true,
    }
}

/// Compares as numbers where both are, else as versions.
fn compare(a: &str, b: &str) -> Ordering {
    match (decimal(a), decimal(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => compare_versions(a, b),
    }
}

/// Compares runs of digits as numbers, the rest as text.
///
/// `6.1.9` < `6.1.10` < `6.10`; a longer version is greater (`6.1` < `6.1.1`), except that a suffix
/// that begins with `-` or `~` marks what comes before the release (`1.0-rc1` < `1.0`).
fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.trim_start_matches('v'), b.trim_start_matches('v'));
    loop {
        match (a.is_empty(), b.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => {
                return if b.starts_with(['-', '~']) { Ordering::Greater } else { Ordering::Less };
            }
            (false, true) => {
                return if a.starts_with(['-', '~']) { Ordering::Less } else { Ordering::Greater };
            }
            (false, false) => {}
        }
        let (a_part, b_part);
        (a_part, a) = part(a);
        (b_part, b) = part(b);
        let digits = |t: &str| t.starts_with(|c: char| c.is_ascii_digit());
        let order = if digits(a_part) && digits(b_part) {
            let (x, y) = (a_part.trim_start_matches('0'), b_part.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            a_part.cmp(b_part)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The leading run of digits, or of anything else up to the next digit.
fn part(text: &str) -> (&str, &str) {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    text.split_at(end)
}

/// A number with at most one point, in units of 10⁻⁶; `None` where it is not one or does not fit.
fn decimal(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 20
        || fraction.len() > 6
        || !all_digits(whole)
        || !all_digits(fraction)
    {
        return None;
    }
    let value = format!("{whole}{fraction:0<6}").parse::<i128>().ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints() {
        let table = [
            ("disk == ssd", Some("ssd"), true),
            ("disk == ssd", Some("hdd"), false),
            ("disk == ssd", None, false),
            ("disk != ssd", None, true),
            ("disk != ssd", Some("ssd"), false),
            ("rack in a,b", Some("b"), true),
            ("rack in a,b", Some("c"), false),
            ("rack not in a,b", Some("c"), true),
            ("rack not in a,b", None, true),
            ("gpu exists", Some(""), true),
            ("gpu exists", None, false),
            ("slots < 10", Some("9"), true),
            ("slots < 10", Some("10"), false),
            ("slots > 2.5", Some("10"), true),
            ("node.kernel > 6.1", Some("6.1.0-28-amd64"), true),
            ("node.kernel < 6.10", Some("6.9.3"), true),
            ("node.kernel < 6.10", Some("6.9"), true),
            ("slots < 6.10", Some("6.9"), false),
            ("slots < 10", None, false),
            ("node.arch == x86_64", Some("amd64"), true),
        ];
        for (text, value, expected) in table {
            let constraint: Constraint = text.parse().expect(text);
            assert_eq!(holds(&constraint, value), expected, "{text} with {value:?}");
        }
    }

    #[test]
    fn versions() {
        let rising = ["1.0-rc1", "1.0", "1.0.1", "1.2", "1.10", "v2", "10"];
        for pair in rising.windows(2) {
            assert_eq!(compare_versions(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare_versions(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare_versions("1.0", "1.00"), Ordering::Equal);
        assert_eq!(compare("1.2", "1.10"), Ordering::Greater);
        assert_eq!(compare("-3", "2"), Ordering::Less);
    }
}
