//! Certificates as PEM text: how they lie on disk and travel. Whoever writes one has it from the library that made it.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The longest text that is read, in bytes.
pub const PEM_BYTES_MAX: usize = 64 * 1024;
/// The most certificates of a text: more than a rotation ever needs.
pub const CERTIFICATES_MAX: usize = 8;

/// A text that is no list of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Not PEM.
    #[error("it is not PEM text of certificates")]
    Garbled,
    /// There is none in it.
    #[error("there is no certificate in it")]
    Empty,
    /// Too long or too many.
    #[error("it holds more than {CERTIFICATES_MAX} certificates or {PEM_BYTES_MAX} bytes")]
    TooLarge,
}

/// The certificates of a text, at least one, in its order.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(PemError::TooLarge);
    }
    let mut read = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if read.len() == CERTIFICATES_MAX {
            return Err(PemError::TooLarge);
        }
        read.push(certificate.map_err(|_| PemError::Garbled)?);
    }
    if read.is_empty() { Err(PemError::Empty) } else { Ok(read) }
}
