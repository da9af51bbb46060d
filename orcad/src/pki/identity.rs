//! Who this node is: key, certificate, trusted authorities and names, in `<state>/identity`, replaced as one.
//!
//! ```text
//!   identity.json   cluster, node, roles, name, managers       chain.pem   certificate, then what signed it
//!   key.pem         never leaves the machine                   cas.pem     the authorities that are trusted
//! ```
//!
//! A machine that joins another cluster keeps its former identity as `identity.old-<time>`.

use std::path::{Path, PathBuf};

use orca_api::id::{ClusterId, NodeId};
use orca_api::join::{CaDigest, CertRole};
use orca_api::name::Name;
use orca_api::node::Role;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::certificate::{CertificateError, KeyDigest, PeerIdentity};
use super::folder::{self, FolderError, Former};
use super::pem::{self, PemError};

/// The folder's name in the state folder.
pub const FOLDER: &str = "identity";
const ABOUT: &str = "identity.json";
const KEY: &str = "key.pem";
const CHAIN: &str = "chain.pem";
const CAS: &str = "cas.pem";
/// The form of `identity.json`.
const VERSION: u32 = 1;

/// What a node knows of itself and its managers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The form of the file.
    pub version: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// What it does.
    pub roles: Vec<Role>,
    /// Its name in the cluster.
    pub name: Name,
    /// Where managers listen, `HOST:PORT`; none for a manager of its own.
    #[serde(default)]
    pub managers: Vec<String>,
}

impl About {
    /// In the present form.
    pub const fn new(
        cluster: ClusterId,
        node: NodeId,
        roles: Vec<Role>,
        name: Name,
        managers: Vec<String>,
    ) -> Self {
        Self { version: VERSION, cluster, node, roles, name, managers }
    }

    /// The role of its certificate: a manager's is good for its worker too.
    pub fn cert_role(&self) -> CertRole {
        if self.roles.contains(&Role::Manager) { CertRole::Manager } else { CertRole::Worker }
    }
}

/// A private key, PEM. It is not shown and is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct PrivateKey(Zeroizing<String>);

impl PrivateKey {
    /// From PEM text.
    pub fn from_pem(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Its PEM text: for a file of its owner, and nothing else.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// A new key and the request for its certificate, PEM. The request names nobody: the authority gives the names.
///
/// # Errors
/// The kernel gives no random bytes.
pub fn request() -> Result<(PrivateKey, String), IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?.pem()?;
    Ok((PrivateKey(Zeroizing::new(key.serialize_pem())), request))
}

/// An identity whose parts belong together.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// Who.
    pub about: About,
    /// What stands in the certificate.
    pub facts: PeerIdentity,
    key: PrivateKey,
    chain: String,
    cas: String,
}

impl NodeIdentity {
    /// Puts one together.
    ///
    /// # Errors
    /// The parts do not belong together: key and certificate, certificate and names.
    pub fn new(about: About, key: PrivateKey, chain: String, cas: String) -> Result<Self, IdentityError> {
        let facts = certified(&key, &chain).and_then(|key| {
            PeerIdentity::read(&key.cert[0])
                .map_err(|e| IdentityError::Part { file: CHAIN, why: e.to_string() })
        })?;
        let who = (facts.who.cluster, facts.who.node(), facts.who.role);
        if who != (about.cluster, Some(about.node), about.cert_role()) {
            return Err(IdentityError::Part {
                file: CHAIN,
                why: format!(
                    "the certificate is of {} in cluster {}, and identity.json names {} {} in cluster {}",
                    facts.who,
                    facts.who.cluster,
                    about.cert_role(),
                    about.node,
                    about.cluster
                ),
            });
        }
        pem::certificates(&cas).map_err(|e| IdentityError::Part { file: CAS, why: e.to_string() })?;
        Ok(Self { about, facts, key, chain, cas })
    }

    /// Reads the one of the state folder; none where there is none.
    ///
    /// # Errors
    /// A file is missing or damaged, or they do not belong together.
    pub fn load(state: &Path) -> Result<Option<Self>, IdentityError> {
        folder::settle(state, FOLDER)?;
        let path = state.join(FOLDER);
        if !path.is_dir() {
            return Ok(None);
        }
        let read = |name: &str| {
            let path = path.join(name);
            std::fs::read_to_string(&path).map_err(FolderError::of("read", &path))
        };
        let about: About = serde_json::from_str(&read(ABOUT)?)
            .map_err(|e| IdentityError::Part { file: ABOUT, why: e.to_string() })?;
        if about.version > VERSION {
            return Err(IdentityError::TooNew { found: about.version });
        }
        Self::new(about, PrivateKey::from_pem(read(KEY)?), read(CHAIN)?, read(CAS)?).map(Some)
    }

    /// Writes it to the state folder in place of the former, which is forgotten (`None`) or kept under a stamp.
    ///
    /// # Errors
    /// [`IdentityError::Folder`]; what was there then still is.
    pub fn save(&self, state: &Path, keep_former: Option<&str>) -> Result<(), IdentityError> {
        let about = serde_json::to_vec_pretty(&self.about)
            .map_err(|e| IdentityError::Part { file: ABOUT, why: e.to_string() })?;
        let former = keep_former.map_or(Former::Forgotten, |stamp| Former::Kept { stamp });
        let files: [(&str, &[u8]); 4] = [
            (ABOUT, &about),
            (KEY, self.key.pem().as_bytes()),
            (CHAIN, self.chain.as_bytes()),
            (CAS, self.cas.as_bytes()),
        ];
        Ok(folder::replace(state, FOLDER, &files, former)?)
    }

    /// With what a renewal brought: a new key and certificate, and what is trusted and where managers are from now on.
    ///
    /// # Errors
    /// As [`NodeIdentity::new`]: a certificate of somebody else is not taken.
    pub fn renewed(
        &self,
        key: PrivateKey,
        chain: String,
        cas: String,
        managers: Vec<String>,
    ) -> Result<Self, IdentityError> {
        Self::new(About { managers, ..self.about.clone() }, key, chain, cas)
    }

    /// The key.
    pub const fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The certificate and what signed it, PEM.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The authorities that are trusted, PEM.
    pub fn cas(&self) -> &str {
        &self.cas
    }
}

/// Takes the identity out of force and keeps it; where it is now, if there was one.
///
/// # Errors
/// [`IdentityError::Folder`].
pub fn archive(state: &Path, stamp: &str) -> Result<Option<PathBuf>, IdentityError> {
    Ok(folder::archive(state, FOLDER, stamp)?)
}

/// Key and certificate as TLS takes them; they are of one pair.
///
/// # Errors
/// One cannot be read, or they are not.
pub fn certified(key: &PrivateKey, chain: &str) -> Result<CertifiedKey, IdentityError> {
    let part = |file, why: String| IdentityError::Part { file, why };
    let chain = pem::certificates(chain).map_err(|e| part(CHAIN, e.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key.pem().as_bytes())
        .map_err(|_| part(KEY, "it is not PEM text of a private key".to_owned()))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(|_| part(KEY, "it is not the key of the certificate in chain.pem".to_owned()))
}

/// Whether a bundle (PEM) holds the authority that a join token names.
///
/// # Errors
/// It is no bundle.
pub fn bundle_holds(bundle: &str, pin: CaDigest) -> Result<bool, BundleError> {
    for certificate in pem::certificates(bundle)? {
        if CaDigest::from(KeyDigest::of_certificate(&certificate)?) == pin {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A text that is no bundle of authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not PEM.
    #[error("the trusted authorities cannot be read: {0}")]
    Pem(#[from] PemError),
    /// Not certificates.
    #[error("a trusted authority cannot be read: {0}")]
    Certificate(#[from] CertificateError),
}

/// An identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file of it.
    #[error("the identity of this node is not usable: {file}: {why}")]
    Part {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A newer orcad wrote it.
    #[error("the identity of this node has form {found}, and this orcad knows forms up to {VERSION}")]
    TooNew {
        /// Its form.
        found: u32,
    },
    /// The library refused.
    #[error("no key can be made: {0}")]
    Crypto(#[from] rcgen::Error),
}

impl IdentityError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Folder(_) => "check owner, rights and free space of the state folder (ls -ld, df -h)",
            Self::Part { .. } => {
                "on a worker: join again with a new token (orcactl worker start --join TOKEN --force); on a manager: remove the folder `identity`, it is made again"
            }
            Self::TooNew { .. } => "install the version of orca that wrote it, or a newer one",
            Self::Crypto(_) => "this is a defect of orca: please report it with this message",
        }
    }
}
