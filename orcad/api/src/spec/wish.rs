//! Where a task would like to run, and where it may: preferences, data centres, and that there is one of it only.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Constraint, FieldError, SpecError, TaskSpec, short, text_serde, wrong};
use crate::units::Span;

/// The most preferences, and the most data centres, of a task.
pub const WISHES_MAX: usize = 64;
/// The strongest pull of a preference, towards or away.
pub const WEIGHT_MAX: i8 = 100;
/// The longest name of a data centre, in bytes: that of a label's value.
pub const DATA_CENTER_BYTES_MAX: usize = 63;
/// The longest that a silent node may be waited for; to wait for ever is to say nothing.
pub const SINGLETON_WAIT_MAX: Span = Span::from_secs(7 * 24 * 3600);

/// Towards nodes for which something is true, or away from them, written `disk == ssd: 50`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preference {
    /// What is preferred.
    pub of: Constraint,
    /// From −100 (away) to 100 (towards), not 0. Fifty points double or halve what the scheduler counts.
    pub weight: i8,
}

impl FromStr for Preference {
    type Err = FieldError;
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let bad = |why: &str| {
            FieldError(format!("`{}` is not a preference: {why}; write `disk == ssd: 50`", short(text)))
        };
        let (rule, points) = text.rsplit_once(':').ok_or_else(|| bad("its weight is missing"))?;
        let of = rule.trim().parse::<Constraint>().map_err(|_| bad("before the colon is a constraint"))?;
        let weight = points.trim().parse::<i8>().ok();
        let weight = weight.filter(|w| *w != 0 && (-WEIGHT_MAX..=WEIGHT_MAX).contains(w));
        Ok(Self { of, weight: weight.ok_or_else(|| bad("a weight is from -100 to 100, and not 0"))? })
    }
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.of, self.weight)
    }
}
text_serde!(Preference);

impl TaskSpec {
    pub(super) fn check_wishes(&self, found: &mut Vec<SpecError>) {
        for (field, number) in
            [("data_centers", self.data_centers.len()), ("preferences", self.preferences.len())]
        {
            if number > WISHES_MAX {
                found.push(wrong(field, format!("at most {WISHES_MAX}, not {number}")));
            }
        }
        for (i, name) in self.data_centers.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
            if name.is_empty() || name.len() > DATA_CENTER_BYTES_MAX || !name.bytes().all(plain) {
                found.push(wrong(
                    format!("data_centers[{i}]"),
                    format!("1 to {DATA_CENTER_BYTES_MAX} letters, digits and -_./, not `{}`", short(name)),
                ));
            }
        }
        for (i, text) in self.preferences.iter().enumerate() {
            if let Err(message) = text.parse::<Preference>() {
                found.push(wrong(format!("preferences[{i}]"), message.to_string()));
            }
        }
        match self.singleton_wait {
            Some(_) if !self.singleton => {
                found.push(wrong("singleton_wait", "only a `singleton` waits: set it, or leave this out"));
            }
            Some(wait) if wait > SINGLETON_WAIT_MAX => {
                found.push(wrong(
                    "singleton_wait",
                    format!("at most {SINGLETON_WAIT_MAX}, not {wait}; leave it out to wait for ever"),
                ));
            }
            _ => {}
        }
    }
}
