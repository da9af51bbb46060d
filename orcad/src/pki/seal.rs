//! What must not lie in a backup in clear: sealed with a key that is not in it.
//!
//! ```text
//!   ORCASEAL │ form │ key id (8) │ salt (32) │ AES-256-GCM of the content, with its tag
//! ```
//!
//! The recovery key has 256 random bits and lies in `<state>/recovery.key`. Each seal has a key of its own, derived by
//! HKDF from the recovery key and a random salt, so the nonce is always zero and never repeats under a key. The head and
//! what the seal is for are authenticated: a seal cannot be passed off as another. The key id tells "another key" from
//! "damaged".

use std::path::Path;

use orca_api::join::{TokenError, base32, unbase32};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::folder::{self, FolderError};

/// The recovery key's file in the state folder.
pub const KEY_FILE: &str = "recovery.key";
/// The longest key file that is read, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 4096;

const PREFIX: &str = "orca-recovery1-";
const MAGIC: &[u8; 8] = b"ORCASEAL";
const FORM: u8 = 1;
const ID_BYTES: usize = 8;
const SALT_BYTES: usize = 32;
const HEAD_BYTES: usize = MAGIC.len() + 1 + ID_BYTES + SALT_BYTES;
const CHECK_BYTES: usize = 4;
/// Characters of a group of the key's text.
const GROUP: usize = 4;

/// The key that opens what is sealed. It is wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryKey(…)")
    }
}

impl RecoveryKey {
    /// From 256 random bits.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A fresh one, from the kernel's generator.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn fresh() -> Result<Self, SealError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| SealError::NoRandom)?;
        Ok(Self::from_bytes(bytes))
    }

    /// Its text: a prefix, 16 groups of characters, the last of which hold a checksum.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.0.to_vec());
        bytes.extend(&Sha256::digest(*self.0)[..CHECK_BYTES]);
        let digits = Zeroizing::new(base32(&bytes));
        let groups: Vec<&str> = digits
            .as_bytes()
            .chunks(GROUP)
            .map(|group| std::str::from_utf8(group).unwrap_or_default())
            .collect();
        Zeroizing::new(format!("{PREFIX}{}", groups.join("-")))
    }

    /// Reads its text: the case, hyphens and blanks between groups do not matter.
    ///
    /// # Errors
    /// It is not one, or was mistyped.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let lower = Zeroizing::new(text.trim().to_ascii_lowercase());
        let rest = lower.strip_prefix(PREFIX).ok_or(SealError::NotAKey)?;
        let digits: Zeroizing<String> =
            Zeroizing::new(rest.chars().filter(|c| !c.is_whitespace() && *c != '-').collect());
        let bytes = Zeroizing::new(unbase32(&digits, 0).map_err(|error| match error {
            TokenError::Character { found, .. } => SealError::Character(found),
            _ => SealError::Mistyped,
        })?);
        let (key, check) = bytes.split_first_chunk::<32>().ok_or(SealError::Mistyped)?;
        if check != &Sha256::digest(key)[..CHECK_BYTES] {
            return Err(SealError::Mistyped);
        }
        Ok(Self::from_bytes(*key))
    }

    /// Reads a file that holds the text; lines that begin with `#` are remarks.
    ///
    /// # Errors
    /// It cannot be read, or holds no key.
    pub fn read(file: &Path) -> Result<Self, SealError> {
        use std::io::Read as _;
        let mut text = Zeroizing::new(String::new());
        std::fs::File::open(file)
            .and_then(|f| f.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(FolderError::of("read", file))?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        Self::parse(&Zeroizing::new(lines.join(" ")))
    }

    /// The one of the state folder; none where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of_state(state: &Path) -> Result<Option<Self>, SealError> {
        let file = state.join(KEY_FILE);
        if file.exists() { Self::read(&file).map(Some) } else { Ok(None) }
    }

    /// Writes it to the state folder, for its owner alone.
    ///
    /// # Errors
    /// [`SealError::Folder`].
    pub fn save(&self, state: &Path) -> Result<(), SealError> {
        let text = Zeroizing::new(format!(
            "# Opens the sealed parts of backups of this cluster. Keep a copy where the backups are not.\n{}\n",
            *self.text()
        ));
        Ok(folder::write_whole(&state.join(KEY_FILE), text.as_bytes())?)
    }

    fn id(&self) -> [u8; ID_BYTES] {
        let digest = Sha256::new().chain_update(b"orca recovery key id").chain_update(*self.0).finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        id
    }

    fn of_seal(&self, salt: &[u8]) -> Result<LessSafeKey, SealError> {
        let derived = Salt::new(HKDF_SHA256, salt).extract(&*self.0);
        let info: [&[u8]; 1] = [b"orca seal 1"];
        let key = derived.expand(&info, &AES_256_GCM).map_err(|_| SealError::Damaged)?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn bound<'a>(head: &'a [u8], purpose: &'a str) -> Aad<Vec<u8>> {
    Aad::from([head, purpose.as_bytes()].concat())
}

/// Seals a content for a purpose, which has to be named again to open it.
///
/// # Errors
/// The kernel gives no random bytes.
pub fn seal(key: &RecoveryKey, purpose: &str, content: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|_| SealError::NoRandom)?;
    let head = [MAGIC.as_slice(), &[FORM], &key.id(), &salt].concat();
    let mut body = content.to_vec();
    key.of_seal(&salt)?
        .seal_in_place_append_tag(nonce(), bound(&head, purpose), &mut body)
        .map_err(|_| SealError::Damaged)?;
    Ok([head, body].concat())
}

/// Opens what was sealed.
///
/// # Errors
/// It is not a seal, of a newer form, of another key, or it was changed.
pub fn open(key: &RecoveryKey, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (head, body) = sealed.split_at_checked(HEAD_BYTES).ok_or(SealError::NotASeal)?;
    let rest = head.strip_prefix(MAGIC).ok_or(SealError::NotASeal)?;
    let (form, rest) = rest.split_at(1);
    if form != [FORM] {
        return Err(SealError::Newer);
    }
    let (id, salt) = rest.split_at(ID_BYTES);
    if id != key.id() {
        return Err(SealError::OtherKey);
    }
    let mut content = Zeroizing::new(body.to_vec());
    let length = key
        .of_seal(salt)?
        .open_in_place(nonce(), bound(head, purpose), &mut content)
        .map_err(|_| SealError::Damaged)?
        .len();
    content.truncate(length);
    Ok(content)
}

/// A key or a seal that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A file.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The text is not a recovery key.
    #[error("it is no recovery key: one begins with `{PREFIX}`")]
    NotAKey,
    /// A character that is never in one.
    #[error("`{0}` is not a character of a recovery key")]
    Character(char),
    /// The checksum does not fit.
    #[error("the recovery key is mistyped or not whole")]
    Mistyped,
    /// Not sealed by orca.
    #[error("it is not sealed by orca")]
    NotASeal,
    /// By a newer one.
    #[error("it was sealed by a newer orca")]
    Newer,
    /// Another key opens it.
    #[error("it is sealed with another recovery key")]
    OtherKey,
    /// It was changed.
    #[error("the sealed part is damaged")]
    Damaged,
    /// No random bytes.
    #[error("the kernel gives no random bytes")]
    NoRandom,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> RecoveryKey {
        RecoveryKey::from_bytes([n; 32])
    }

    #[test]
    fn sealed_and_opened_and_each_seal_differs() {
        let (a, b) = (seal(&key(1), "ca", b"secret").unwrap(), seal(&key(1), "ca", b"secret").unwrap());
        assert_ne!(a, b);
        assert!(!a.windows(6).any(|w| w == b"secret"));
        assert_eq!(&**open(&key(1), "ca", &a).unwrap(), b"secret");
        assert!(matches!(open(&key(2), "ca", &a), Err(SealError::OtherKey)));
        assert!(matches!(open(&key(1), "identity", &a), Err(SealError::Damaged)));
        assert!(matches!(open(&key(1), "ca", b"SQLite"), Err(SealError::NotASeal)));
        assert!(matches!(open(&key(1), "ca", &a[..HEAD_BYTES]), Err(SealError::Damaged)));
    }

    #[test]
    fn no_changed_byte_goes_unseen() {
        let sealed = seal(&key(1), "ca", b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&key(1), "ca", &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_key_survives_its_text_as_people_write_it() {
        let key = RecoveryKey::fresh().unwrap();
        let text = key.text();
        assert_eq!(RecoveryKey::parse(&text).unwrap(), key);
        assert_eq!(
            RecoveryKey::parse(&text.to_uppercase().replace('-', " ").replacen(' ', "-", 2)).unwrap(),
            key
        );
        let mut mistyped = text.to_string();
        let last = if mistyped.pop() == Some('0') { 'g' } else { '0' };
        mistyped.push(last);
        assert!(matches!(RecoveryKey::parse(&mistyped), Err(SealError::Mistyped)), "{mistyped}");
        assert!(matches!(RecoveryKey::parse(&text[..text.len() - 5]), Err(SealError::Mistyped)));
        assert!(matches!(RecoveryKey::parse("orca1-abc"), Err(SealError::NotAKey)));
        assert!(matches!(RecoveryKey::parse(&format!("{PREFIX}l")), Err(SealError::Character('l'))));
        assert_eq!(format!("{key:?}"), "RecoveryKey(…)");
    }

    #[test]
    fn the_file_is_read_with_its_remark() {
        use std::os::unix::fs::PermissionsExt as _;
        let state = tempfile::tempdir().unwrap();
        assert_eq!(RecoveryKey::of_state(state.path()).unwrap(), None);
        key(7).save(state.path()).unwrap();
        assert_eq!(RecoveryKey::of_state(state.path()).unwrap(), Some(key(7)));
        let mode = std::fs::metadata(state.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    proptest! {
        #[test]
        fn any_content_survives(content: Vec<u8>, bytes: [u8; 32]) {
            let key = RecoveryKey::from_bytes(bytes);
            let sealed = seal(&key, "p", &content).unwrap();
            let opened = open(&key, "p", &sealed).unwrap();
            prop_assert_eq!(&*opened, &content);
        }

        #[test]
        fn nothing_panics(text in ".{0,80}", bytes: Vec<u8>) {
            let _ = RecoveryKey::parse(&text);
            let _ = RecoveryKey::parse(&format!("{PREFIX}{text}"));
            let _ = open(&key(1), "ca", &bytes);
        }
    }
}
