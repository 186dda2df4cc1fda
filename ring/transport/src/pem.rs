//! Certificates and keys from PEM files.
//!
//! An error here names only what is wrong with the text; the caller adds which file it is. A file is read up to 1 MiB; a
//! certificate chain is a few thousand bytes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Most bytes of a PEM file that are read.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// What is wrong with a PEM text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// It is damaged.
    #[error("not a proper PEM file")]
    NotPem(#[source] pem::Error),
    /// It holds nothing of the kind that was wanted.
    #[error("nothing of the wanted kind in it")]
    Empty,
    /// The private key in it is encrypted, and nobody could be asked for its passphrase.
    #[error("the private key is encrypted")]
    Encrypted,
    /// A certificate in it cannot be an authority.
    #[error("not an authority's certificate")]
    BadAuthority(#[source] rustls::Error),
}

/// The first MiB of a file.
///
/// ```
/// use std::path::Path;
/// assert!(quoit_transport::pem::read_file(Path::new("no such file")).is_err());
/// ```
///
/// # Errors
/// The system's error if the file cannot be opened or read.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_PEM_BYTES)
        .read_to_end(&mut text)?;
    Ok(text)
}

/// All certificates of a text, in their order; at least one.
///
/// ```
/// use quoit_transport::pem::{PemError, certificates};
///
/// assert!(matches!(certificates(b"no certificate"), Err(PemError::Empty)));
/// ```
///
/// # Errors
/// [`PemError::NotPem`] or [`PemError::Empty`].
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(PemError::NotPem)?;
    if certificates.is_empty() {
        return Err(PemError::Empty);
    }
    Ok(certificates)
}

/// All certificates of a text as authorities to trust.
///
/// ```
/// use quoit_transport::pem::{PemError, authorities};
///
/// assert!(matches!(authorities(b""), Err(PemError::Empty)));
/// ```
///
/// # Errors
/// [`PemError::NotPem`], [`PemError::Empty`] or [`PemError::BadAuthority`].
pub fn authorities(text: &[u8]) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text)? {
        roots.add(certificate).map_err(PemError::BadAuthority)?;
    }
    Ok(roots)
}

/// The first private key of a text.
///
/// ```
/// use quoit_transport::pem::{PemError, private_key};
///
/// assert!(matches!(private_key(b"no key"), Err(PemError::Empty)));
/// ```
///
/// # Errors
/// [`PemError::NotPem`], [`PemError::Empty`] or [`PemError::Encrypted`].
pub fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|source| match source {
        _ if is_encrypted(text) => PemError::Encrypted,
        pem::Error::NoItemsFound => PemError::Empty,
        source => PemError::NotPem(source),
    })
}

/// Whether a text that holds no readable key holds an encrypted one: as PKCS #8, or as OpenSSL wrote them before.
fn is_encrypted(text: &[u8]) -> bool {
    let has = |line: &[u8]| text.windows(line.len()).any(|window| window == line);
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"\nProc-Type: 4,ENCRYPTED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_key_is_named_as_one() {
        let pkcs8 =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let older = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
        for text in [pkcs8, older] {
            let refused = private_key(text.as_bytes());
            assert!(matches!(refused, Err(PemError::Encrypted)), "{refused:?}");
        }
        let plain = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(private_key(plain.as_bytes()).is_ok());
    }
}
