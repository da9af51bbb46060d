//! Ids: 80 random bits, written as 16 characters of Crockford's base 32 in upper case.
//!
//! An id never looks like a name (names are lower case), so one look-up accepts both. The bits come
//! from a generator that is passed in: the cores have no source of randomness of their own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a whole id.
pub const ID_CHARS: usize = 16;
/// The shortest prefix that looks an object up.
pub const ID_PREFIX_MIN: usize = 4;

/// Where new ids come from; the shell's is the operating system, a simulation's is its seed.
pub trait IdSource {
    /// 80 fresh bits.
    fn next_id(&mut self) -> RawId;
}

/// The 80 bits behind every id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawId([u8; 10]);

/// A text that is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: {ID_CHARS} characters of 0-9 and A-Z without I, L, O, U are")]
pub struct IdError {
    /// What was given.
    pub text: String,
}

impl RawId {
    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; 10]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 10] {
        self.0
    }
}

impl fmt::Display for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bits = [0u8; 16];
        bits[6..].copy_from_slice(&self.0);
        let value = u128::from_be_bytes(bits);
        for place in (0..ID_CHARS).rev() {
            let digit = usize::try_from((value >> (5 * place)) & 31).unwrap_or(0);
            write!(f, "{}", char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RawId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError { text: text.chars().take(64).collect() };
        if text.len() != ID_CHARS {
            return Err(bad());
        }
        let mut value = 0u128;
        for byte in text.bytes() {
            let upper = byte.to_ascii_uppercase();
            let digit = ALPHABET.iter().position(|c| *c == upper).ok_or_else(bad)?;
            value = (value << 5) | digit as u128;
        }
        let mut bytes = [0u8; 10];
        bytes.copy_from_slice(&value.to_be_bytes()[6..]);
        Ok(Self(bytes))
    }
}

/// Whether a text could be the beginning of an id (any case, at least [`ID_PREFIX_MIN`] characters).
pub fn is_id_prefix(text: &str) -> bool {
    (ID_PREFIX_MIN..=ID_CHARS).contains(&text.len())
        && text.bytes().all(|b| ALPHABET.contains(&b.to_ascii_uppercase()))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(RawId);

        impl $name {
            /// A fresh one.
            pub fn fresh(source: &mut dyn IdSource) -> Self {
                Self(source.next_id())
            }
            /// From its bits.
            pub const fn from_raw(raw: RawId) -> Self {
                Self(raw)
            }
            /// Its bits.
            pub const fn raw(self) -> RawId {
                self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A cluster.
    ClusterId
);
id!(
    /// A node: bound to its key at its join.
    NodeId
);
id!(
    /// A task, for as long as its name is taken.
    TaskId
);
id!(
    /// A job, for as long as its name is taken.
    JobId
);
id!(
    /// A task on a node at a version of its spec.
    PlacementId
);
id!(
    /// A request of a client; given by the client so that a retry is known as one.
    RequestId
);
id!(
    /// A join token; it tells nothing of the secret.
    TokenId
);
id!(
    /// A certificate of a person or a program: `cluster admin-cert`.
    CertificateId
);
id!(
    /// One life of a daemon process; results of operations of an older life are dropped.
    LifeId
);

/// Deterministic ids for tests and simulations (splitmix64).
#[derive(Clone, Debug)]
pub struct SeededIds(pub u64);

impl SeededIds {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl IdSource for SeededIds {
    fn next_id(&mut self) -> RawId {
        let mut bytes = [0u8; 10];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes()[..2]);
        RawId(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_bits_are_one(bytes: [u8; 10]) {
            let id = TaskId::from_raw(RawId::from_bytes(bytes));
            let text = id.to_string();
            prop_assert_eq!(text.len(), ID_CHARS);
            prop_assert_eq!(text.parse::<TaskId>().ok(), Some(id));
            prop_assert_eq!(text.to_lowercase().parse::<TaskId>().ok(), Some(id));
            prop_assert!(is_id_prefix(&text[..4]));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<TaskId>();
        }
    }

    #[test]
    fn order_is_the_order_of_the_text() {
        let mut ids = SeededIds(7);
        let (a, b) = (TaskId::fresh(&mut ids), TaskId::fresh(&mut ids));
        assert_eq!(a < b, a.to_string() < b.to_string());
    }
}
