//! The cluster's certificate authority: it lies on its managers, in `<state>/ca`, and its key is the most precious
//! thing they hold.
//!
//! ```text
//!   create ──► one authority ──rotated()──► new one, cross-signed by the old ──settled()──► one authority
//!                                           trusted: both                                   trusted: the new
//! ```
//!
//! **Rotation.** `rotated` makes a new key and has it signed by the old one as well, and the old key is forgotten there
//! and then. From that moment everything is issued by the new one, with the cross-signed certificate in the chain: who
//! trusts only the old one accepts it, and learns the new bundle as it renews. When all have renewed, `settled` forgets
//! the old one; while certificates of people are of it, it stays, and is good for people alone. Each step is one change of the folder, so a crash leaves the step done or not begun.
//!
//! **Dates.** What ends trust in an authority is its rotation and not a date, so its own dates are wide: a machine that
//! began with its clock in 1970 or 2080 must not lock a cluster out. Verifiers do not judge the dates of an anchor.

use std::collections::BTreeMap;
use std::path::Path;

use orca_api::id::{CertificateId, ClusterId};
use orca_api::join::{CaDigest, CertRole};
use orca_api::units::{Span, Time};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _, SanType, SerialNumber,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::certificate::{BACK_DATED, CertificateError, Identity, KeyDigest, PeerIdentity, dns_name};
use super::folder::{self, FolderError, Former};
use super::pem::{self, PemError};

/// The folder's name in the state folder.
pub const FOLDER: &str = "ca";
/// The longest request that is read, in bytes of PEM; ours have about 500.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "ca.pem";
const CROSS: &str = "cross.pem";
const OLD: &str = "old.pem";
const CLUSTER: &str = "cluster";

/// An authority's certificate begins with 1970 …
const BEGINNING: Time = Time::from_ms(0);
/// … and ends 30 years after the later of its making and 2026.
const NOT_MADE_BEFORE: Time = Time::from_ms(1_767_225_600_000);
const YEARS_30_MS: i64 = 30 * 365 * 86_400_000;
/// The last second that a certificate can name, 9999-12-31.
const LAST_MS: i64 = 253_402_300_799_000;

/// An instant as the certificate library takes it: whole seconds from 1970 to 9999.
macro_rules! x509 {
    ($time:expr) => {
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs(($time.ms().clamp(0, LAST_MS) / 1000).unsigned_abs())
    };
}

/// An authority, with its key.
pub struct Ca {
    cluster: ClusterId,
    key: Zeroizing<String>,
    certificate: String,
    /// While it is rotated: its certificate as signed by the former, and the former's.
    former: Option<(String, String)>,
    digest: CaDigest,
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca")
            .field("cluster", &self.cluster)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// PEM: the certificate, then the authorities that lead to any that is still trusted.
    pub chain: String,
    /// What stands in it.
    pub facts: PeerIdentity,
}

impl Ca {
    /// A new one, which is nowhere yet.
    ///
    /// # Errors
    /// [`CaError::Crypto`].
    pub fn create(cluster: ClusterId, now: Time) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params(cluster, &key, now).self_signed(&key)?;
        Self::assemble(cluster, Zeroizing::new(key.serialize_pem()), certificate.pem(), None)
    }

    fn assemble(
        cluster: ClusterId,
        key: Zeroizing<String>,
        certificate: String,
        former: Option<(String, String)>,
    ) -> Result<Self, CaError> {
        let der = pem::certificates(&certificate).map_err(CaError::Pem)?;
        let digest = KeyDigest::of_certificate(&der[0]).map_err(CaError::Certificate)?.into();
        Ok(Self { cluster, key, certificate, former, digest })
    }

    /// Reads it from the state folder; none where there is none.
    ///
    /// # Errors
    /// It cannot be read, or its files do not belong together.
    pub fn load(state: &Path) -> Result<Option<Self>, CaError> {
        folder::settle(state, FOLDER)?;
        let path = state.join(FOLDER);
        if !path.is_dir() {
            return Ok(None);
        }
        let read = |name: &str| {
            let path = path.join(name);
            std::fs::read_to_string(&path).map_err(FolderError::of("read", &path))
        };
        let optional = |name: &str| if path.join(name).exists() { read(name).map(Some) } else { Ok(None) };
        Self::of_files(
            &read(CLUSTER)?,
            Zeroizing::new(read(KEY)?),
            read(CERTIFICATE)?,
            optional(CROSS)?.zip(optional(OLD)?),
        )
        .map(Some)
    }

    fn of_files(
        cluster: &str,
        key: Zeroizing<String>,
        certificate: String,
        former: Option<(String, String)>,
    ) -> Result<Self, CaError> {
        let cluster = cluster.trim().parse().map_err(|_| CaError::Files("`cluster` holds no id"))?;
        let ca = Self::assemble(cluster, key, certificate, former)?;
        // A key that does not sign for the certificate would issue what nobody accepts.
        let pair = KeyPair::from_pem(&ca.key).map_err(|_| CaError::Files("`key.pem` is no private key"))?;
        let spki = pem::certificates(&ca.certificate).map_err(CaError::Pem)?;
        let holds = KeyDigest::of_certificate(&spki[0]).map_err(CaError::Certificate)?;
        let own = params(cluster, &pair, NOT_MADE_BEFORE).self_signed(&pair)?;
        if KeyDigest::of_certificate(own.der()).map_err(CaError::Certificate)? != holds {
            return Err(CaError::Files("`key.pem` is not the key of `ca.pem`"));
        }
        if let Some((cross, old)) = &ca.former {
            let cross = pem::certificates(cross).map_err(CaError::Pem)?;
            pem::certificates(old).map_err(CaError::Pem)?;
            if KeyDigest::of_certificate(&cross[0]).map_err(CaError::Certificate)? != holds {
                return Err(CaError::Files("`cross.pem` is not of the key of `ca.pem`"));
            }
        }
        Ok(ca)
    }

    /// Writes it to the state folder, as one change.
    ///
    /// # Errors
    /// [`CaError::Folder`]; what was there then still is.
    pub fn save(&self, state: &Path) -> Result<(), CaError> {
        let files = self.files();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(n, c)| (*n, c.as_bytes())).collect();
        Ok(folder::replace(state, FOLDER, &files, Former::Forgotten)?)
    }

    fn files(&self) -> Vec<(&'static str, Zeroizing<String>)> {
        let mut files = vec![
            (CLUSTER, Zeroizing::new(format!("{}\n", self.cluster))),
            (KEY, self.key.clone()),
            (CERTIFICATE, Zeroizing::new(self.certificate.clone())),
        ];
        if let Some((cross, old)) = &self.former {
            files.push((CROSS, Zeroizing::new(cross.clone())));
            files.push((OLD, Zeroizing::new(old.clone())));
        }
        files
    }

    /// The one of the state folder, made where there is none.
    ///
    /// # Errors
    /// It cannot be read or made, or is of another cluster.
    pub fn load_or_create(state: &Path, cluster: ClusterId, now: Time) -> Result<Self, CaError> {
        match Self::load(state)? {
            Some(ca) if ca.cluster == cluster => Ok(ca),
            Some(ca) => Err(CaError::OtherCluster { found: ca.cluster, wanted: cluster }),
            None => {
                let ca = Self::create(cluster, now)?;
                ca.save(state)?;
                Ok(ca)
            }
        }
    }

    /// The cluster.
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What join tokens pin it by.
    pub const fn digest(&self) -> CaDigest {
        self.digest
    }

    /// PEM: what is trusted from now on. Goes to every node as it joins and renews.
    pub fn bundle(&self) -> String {
        match &self.former {
            Some((_, old)) => format!("{}{old}", self.certificate),
            None => self.certificate.clone(),
        }
    }

    /// Whether a former one is still trusted.
    pub const fn is_rotating(&self) -> bool {
        self.former.is_some()
    }

    /// Issues a certificate. Of the request (PEM) nothing counts but its public key, which must be P-256; that its
    /// holder has the private key is proven by the request's signature. It begins [`BACK_DATED`] before `now`.
    ///
    /// # Errors
    /// [`CaError::Request`]: the request is none; [`CaError::OtherCluster`]; [`CaError::Crypto`].
    pub fn issue(
        &self,
        request: &str,
        who: &Identity,
        id: CertificateId,
        now: Time,
        lifetime: Span,
    ) -> Result<Issued, CaError> {
        if who.cluster != self.cluster {
            return Err(CaError::OtherCluster { found: self.cluster, wanted: who.cluster });
        }
        if request.len() > REQUEST_BYTES_MAX {
            return Err(CaError::Request("it is too long"));
        }
        let mut request = CertificateSigningRequestParams::from_pem(request)
            .map_err(|_| CaError::Request("it is no signed request that orca makes"))?;
        // The curve is named by the signature's algorithm; an uncompressed point of P-256 has 65 bytes.
        let key = &request.public_key;
        if key.algorithm() != &PKCS_ECDSA_P256_SHA256
            || !matches!(key.der_bytes(), [4, rest @ ..] if rest.len() == 64)
        {
            return Err(CaError::Request("its key is not of the curve P-256"));
        }
        request.params = leaf(who, id, now, lifetime)?;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let certificate = request.signed_by(&issuer)?;
        let facts = PeerIdentity::read(certificate.der()).map_err(CaError::Certificate)?;
        Ok(Issued { chain: self.chain(&certificate.pem()), facts })
    }

    /// A certificate (PEM) with what leads from it to whatever is trusted. The authority itself is in it, so that a node
    /// which knows only a digest can join.
    fn chain(&self, certificate: &str) -> String {
        match &self.former {
            Some((cross, old)) => format!("{certificate}{cross}{old}"),
            None => format!("{certificate}{}", self.certificate),
        }
    }

    /// The next authority, which trusts and is trusted through this one. To be saved in this one's place.
    ///
    /// # Errors
    /// [`CaError::Rotating`]: the last rotation is not settled yet.
    pub fn rotated(&self, now: Time) -> Result<Self, CaError> {
        if self.is_rotating() {
            return Err(CaError::Rotating);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = params(self.cluster, &key, now);
        let old = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let cross = params.signed_by(&key, &old)?.pem();
        let certificate = params.self_signed(&key)?.pem();
        let key = Zeroizing::new(key.serialize_pem());
        Self::assemble(self.cluster, key, certificate, Some((cross, self.certificate.clone())))
    }

    /// This one without the former. To be saved when everything was renewed; what was not must join again.
    pub fn settled(&self) -> Self {
        Self {
            cluster: self.cluster,
            key: self.key.clone(),
            certificate: self.certificate.clone(),
            former: None,
            digest: self.digest,
        }
    }

    /// All of it, to be sealed: JSON of names and contents.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let all = self.files();
        let files: BTreeMap<&str, &str> =
            all.iter().map(|(name, content)| (*name, content.as_str())).collect();
        // A map of texts always serialises.
        Zeroizing::new(serde_json::to_vec(&files).unwrap_or_default())
    }

    /// From [`Ca::to_bytes`].
    ///
    /// # Errors
    /// They are not of that form, or do not belong together.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CaError> {
        let mut files: BTreeMap<String, String> = serde_json::from_slice(bytes)
            .map_err(|_| CaError::Files("it is not JSON of names and contents"))?;
        let cluster = files.remove(CLUSTER).ok_or(CaError::Files("`cluster` is missing"))?;
        let key = Zeroizing::new(files.remove(KEY).ok_or(CaError::Files("`key.pem` is missing"))?);
        let certificate = files.remove(CERTIFICATE).ok_or(CaError::Files("`ca.pem` is missing"))?;
        Self::of_files(&cluster, key, certificate, files.remove(CROSS).zip(files.remove(OLD)))
    }
}

/// What an authority's certificate says. Its name holds the beginning of its key's digest: two authorities of a cluster
/// never have the same name, so no verifier takes one for the other.
fn params(cluster: ClusterId, key: &KeyPair, now: Time) -> CertificateParams {
    let digest = KeyDigest(Sha256::digest(key.der_bytes()).into()).to_string();
    let mark = &digest[..16];
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "orca");
    params.distinguished_name.push(DnType::CommonName, format!("{cluster} authority {mark}"));
    params.not_before = x509!(BEGINNING);
    params.not_after = x509!(Time::from_ms(NOT_MADE_BEFORE.max(now).ms().saturating_add(YEARS_30_MS)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

/// What the certificate of a node or a person says.
fn leaf(who: &Identity, id: CertificateId, now: Time, lifetime: Span) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationalUnitName, who.role.as_str());
    params.distinguished_name.push(DnType::CommonName, who.id.to_string());
    params.subject_alt_names =
        vec![SanType::URI(who.uri().try_into()?), SanType::DnsName(dns_name(who.role).try_into()?)];
    params.serial_number = Some(SerialNumber::from_slice(&id.raw().bytes()));
    params.not_before = x509!(back_dated(now));
    params.not_after = x509!(now.plus(lifetime));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if who.role == CertRole::Manager {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn back_dated(now: Time) -> Time {
    Time::from_ms(now.ms().saturating_sub(i64::try_from(BACK_DATED.ms()).unwrap_or(0)))
}

/// An authority that cannot be used, or will not issue.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its files do not make an authority.
    #[error("the files of the certificate authority do not fit together: {0}")]
    Files(&'static str),
    /// A file of certificates.
    #[error("a certificate of the certificate authority cannot be read: {0}")]
    Pem(PemError),
    /// A certificate.
    #[error("a certificate of the certificate authority is not one of orca: {0}")]
    Certificate(CertificateError),
    /// It is another cluster's.
    #[error("the certificate authority is of cluster {found}, and cluster {wanted} was asked for")]
    OtherCluster {
        /// Its cluster.
        found: ClusterId,
        /// The wanted one.
        wanted: ClusterId,
    },
    /// A request that is none.
    #[error("the certificate request is refused: {0}")]
    Request(&'static str),
    /// A rotation while one is under way.
    #[error("the certificate authority is being rotated already")]
    Rotating,
    /// The library refused.
    #[error("the certificate cannot be made: {0}")]
    Crypto(#[from] rcgen::Error),
}

impl CaError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Folder(_) => "check owner, rights and free space of the state folder (ls -ld, df -h)",
            Self::Files(_) | Self::Pem(_) | Self::Certificate(_) => {
                "put the folder `ca` back from a backup: orcad backup restore FILE"
            }
            Self::OtherCluster { .. } => {
                "the folder `ca` was copied from elsewhere: put it back from a backup of this cluster"
            }
            Self::Request(_) => "run the same version of orca on both machines",
            Self::Rotating => "wait until every node has renewed, see `orcactl node list -o wide`",
            Self::Crypto(_) => "this is a defect of orca: please report it with this message",
        }
    }
}
