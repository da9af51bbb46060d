//! How a machine becomes a node: the token that a person pastes, and what is said before there is a certificate.
//!
//! ```text
//!   node token ─► orca1-… ─► worker start --join ─► TLS to an address of the token, its CA pinned by digest
//!                                                   join (secret, key to certify) ─► certificate, node id, name
//!                                                   from then on the link, under that certificate
//! ```
//!
//! A token holds everything that a machine needs to find the cluster and to know it: addresses, the digest of the
//! cluster's CA, and a secret. The manager stores the secret's digest alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::{ClusterId, NodeId};
use crate::link::NodeFacts;
use crate::name::Name;
use crate::node::Role;
use crate::units::{Span, Time};

/// The port of the link.
pub const LINK_PORT: u16 = 7443;
/// How long a token is good where nothing is said.
pub const TOKEN_TTL: Span = Span::from_secs(3600);
/// The longest that a token may be good.
pub const TOKEN_TTL_MAX: Span = Span::from_secs(30 * 24 * 3600);
/// The most machines that may join with one token.
pub const TOKEN_USES_MAX: u32 = 1000;
/// The most addresses in a token.
pub const ADDRESSES_MAX: usize = 8;
/// The longest address in bytes: a DNS name and a port.
pub const ADDRESS_BYTES_MAX: usize = 253 + 6;

/// What a token's text begins with; the digit is the version of its form.
const PREFIX: &str = "orca1-";
/// Crockford's base 32, in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHECK_BYTES: usize = 4;

/// What a certificate allows its holder to be; part of its name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CertRole {
    /// A node that decides (and may run tasks as well).
    Manager,
    /// A node that runs tasks.
    Worker,
    /// A person or a program that may do everything.
    Admin,
    /// A person or a program that may read.
    View,
}

impl CertRole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Manager, Self::Worker, Self::Admin, Self::View];

    /// As written in certificates.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manager => "manager",
            Self::Worker => "worker",
            Self::Admin => "admin",
            Self::View => "view",
        }
    }
}

impl fmt::Display for CertRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for CertRole {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(())
    }
}

/// SHA-256 of a CA's public key (its SubjectPublicKeyInfo), which is the same in each certificate of that CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaDigest(pub [u8; 32]);

impl fmt::Display for CaDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The secret of a token: 128 bits. It is never shown but in the token itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// What the manager stores of it: SHA-256, in hexadecimal. (The secret has 128 random bits: no salt, no stretching.)
    pub fn digest(&self) -> String {
        CaDigest(Sha256::digest(self.0).into()).to_string()
    }
}

/// A join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Where managers listen, `HOST:PORT`, best first.
    pub addresses: Vec<String>,
    /// The cluster's CA.
    pub ca: CaDigest,
    /// What the machine becomes.
    pub role: Role,
    /// Until when it is good, by the manager's clock; whole seconds.
    pub expires: Time,
    /// The secret.
    pub secret: Secret,
}

/// A text that is no join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin like one.
    #[error("a join token begins with `{PREFIX}`")]
    Prefix,
    /// It is of a later form.
    #[error("this token was made by a newer orca: upgrade this machine first")]
    Newer,
    /// A character that does not belong there.
    #[error("character {at} (`{found}`) does not belong in a join token")]
    Character {
        /// Which, from 1.
        at: usize,
        /// What.
        found: char,
    },
    /// Something is missing or was added.
    #[error("the token is damaged or not whole: copy it again, from `{PREFIX}` to its end")]
    Damaged,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![match self.role {
            Role::Worker => 0,
            Role::Manager => 1,
        }];
        let seconds = u64::try_from(self.expires.ms().max(0)).unwrap_or(0) / 1000;
        bytes.extend(seconds.to_be_bytes());
        bytes.extend(self.ca.0);
        bytes.extend(self.secret.0);
        for address in self.addresses.iter().take(ADDRESSES_MAX) {
            let address = &address.as_bytes()[..address.len().min(u8::MAX as usize)];
            bytes.push(u8::try_from(address.len()).unwrap_or(u8::MAX));
            bytes.extend(address);
        }
        let check = Sha256::digest(&bytes);
        bytes.extend(&check[..CHECK_BYTES]);
        f.write_str(PREFIX)?;
        f.write_str(&base32(&bytes))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix(PREFIX) else {
            let later = text.strip_prefix("orca").and_then(|t| t.split_once('-'));
            let later = later.is_some_and(|(version, _)| version.parse::<u32>().is_ok_and(|v| v > 1));
            return Err(if later { TokenError::Newer } else { TokenError::Prefix });
        };
        let bytes = unbase32(rest, PREFIX.len())?;
        let (body, check) =
            bytes.split_at_checked(bytes.len().saturating_sub(CHECK_BYTES)).ok_or(TokenError::Damaged)?;
        if Sha256::digest(body)[..CHECK_BYTES] != *check {
            return Err(TokenError::Damaged);
        }
        let mut reader = Reader(body);
        let role = match reader.take::<1>()? {
            [0] => Role::Worker,
            [1] => Role::Manager,
            _ => return Err(TokenError::Newer),
        };
        let seconds = u64::from_be_bytes(reader.take()?);
        let expires = i64::try_from(seconds).ok().and_then(|s| s.checked_mul(1000));
        let ca = CaDigest(reader.take()?);
        let secret = Secret(reader.take()?);
        let mut addresses = Vec::new();
        while let Some((length, rest)) = reader.0.split_first() {
            let (address, rest) = rest.split_at_checked(usize::from(*length)).ok_or(TokenError::Damaged)?;
            let address = std::str::from_utf8(address).map_err(|_| TokenError::Damaged)?;
            check_address(address).map_err(|_| TokenError::Damaged)?;
            addresses.push(address.to_owned());
            reader = Reader(rest);
        }
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(TokenError::Damaged);
        }
        let expires = Time::from_ms(expires.ok_or(TokenError::Damaged)?);
        Ok(Self { addresses, ca, role, expires, secret })
    }
}

/// Checks `HOST:PORT`, where the host is an address (IPv6 in brackets) or a DNS name.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_address(text: &str) -> Result<(), String> {
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(format!("an address has at most {ADDRESS_BYTES_MAX} bytes"));
    }
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return Ok(());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("`{text}` has no port: HOST:PORT"))?;
    if port.parse::<u16>().map_or(true, |p| p == 0) {
        return Err(format!("`{port}` is not a port from 1 to 65535"));
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if host.split('.').all(label) {
        Ok(())
    } else {
        Err(format!("`{host}` is neither an address nor a DNS name (IPv6 goes in brackets: [::1]:{port})"))
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(TokenError::Damaged)?;
        self.0 = rest;
        Ok(*head)
    }
}

/// Bytes in Crockford's base 32, in lower case, without padding.
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0u32, 0u32);
    for byte in bytes {
        held = (held << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(held >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(held << (5 - bits) & 31) as usize]));
    }
    text
}

/// Bytes from [`base32`], in any case. `before` is how many characters of the whole text came before, for the error.
///
/// # Errors
/// [`TokenError::Character`], or [`TokenError::Damaged`] where bits are left over.
pub fn unbase32(text: &str, before: usize) -> Result<Vec<u8>, TokenError> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut held, mut bits) = (0u32, 0u32);
    for (at, found) in text.chars().enumerate() {
        let digit = ALPHABET.iter().position(|c| char::from(*c) == found.to_ascii_lowercase());
        let digit = digit.ok_or(TokenError::Character { at: before + at + 1, found })?;
        held = (held << 5 | u32::try_from(digit).unwrap_or(0)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).unwrap_or(0));
        }
    }
    if bits >= 5 || held & ((1 << bits) - 1) != 0 {
        return Err(TokenError::Damaged);
    }
    Ok(bytes)
}

/// A machine asks to become a node; the only message that needs no certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// The version of the link that it speaks.
    pub version: u32,
    /// The token's secret, 32 hexadecimal digits.
    pub secret: String,
    /// The request for a certificate, PEM. Only its public key counts.
    pub csr: String,
    /// What the machine is, and the name that it would like.
    pub facts: NodeFacts,
    /// Its clock.
    pub clock: Time,
}

/// What the machine is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its node id, for ever.
    pub node: NodeId,
    /// Its name in the cluster.
    pub name: Name,
    /// Its certificate, PEM, the issuer's after it where it is no root.
    pub certificate: String,
    /// The CAs to trust, PEM.
    pub ca: String,
    /// Where managers listen, `HOST:PORT`.
    pub managers: Vec<String>,
    /// The manager's clock.
    pub clock: Time,
    /// Something that a person should know: another name was given than was asked for.
    #[serde(default)]
    pub warning: Option<String>,
}

/// A node asks for a new certificate, under its old one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Renew {
    /// The request for it, PEM. Only its public key counts.
    pub csr: String,
}

/// The new certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Renewed {
    /// It, PEM.
    pub certificate: String,
    /// The CAs to trust from now on, PEM.
    pub ca: String,
    /// Where managers listen, `HOST:PORT`.
    pub managers: Vec<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            addresses: vec![
                "10.0.0.1:7443".to_owned(),
                "[fd00::1]:7443".to_owned(),
                "m1.example:7443".to_owned(),
            ],
            ca: CaDigest([7; 32]),
            role: Role::Worker,
            expires: Time::from_ms(1_800_000_000_000),
            secret: Secret([9; 16]),
        }
    }

    #[test]
    fn a_token_survives_its_text_in_any_case() {
        let text = token().to_string();
        assert!(text.starts_with("orca1-"), "{text}");
        assert_eq!(text.parse(), Ok(token()));
        let upper = format!("orca1-{}\n", text[6..].to_uppercase());
        assert_eq!(upper.parse(), Ok(token()));
        assert!(!format!("{:?}", token()).contains('9'), "the secret is not shown");
    }

    #[test]
    fn what_is_no_token_says_why() {
        let text = token().to_string();
        for (bad, error) in [
            ("SWMTKN-1-abc".to_owned(), TokenError::Prefix),
            ("orca2-abc".to_owned(), TokenError::Newer),
            (text[..text.len() - 1].to_owned(), TokenError::Damaged),
            (format!("{text}0"), TokenError::Damaged),
            (text.replacen('0', "1", 1), TokenError::Damaged),
            (format!("{}!", &text[..20]), TokenError::Character { at: 21, found: '!' }),
            ("orca1-".to_owned(), TokenError::Damaged),
        ] {
            assert_eq!(bad.parse::<JoinToken>(), Err(error), "{bad}");
        }
    }

    #[test]
    fn addresses_are_checked() {
        for good in ["10.0.0.1:7443", "[::1]:1", "m1:7443", "m-1.example.org:65535"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in ["10.0.0.1", "m1:0", "m1:70000", "-m:1", "a b:1", "::1:7443", ":7443", ""] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes: Vec<u8>) {
            prop_assert_eq!(unbase32(&base32(&bytes), 0), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in "orca1-[0-9a-z]{0,200}|.*") {
            let _ = text.parse::<JoinToken>();
        }
    }
}
