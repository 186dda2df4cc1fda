//! What can be wrong with a client's certificates; each sentence names the file and says what to do.
//!
//! ```text
//!   each file     Read  NotPem  Empty  BadAuthority  BadKey
//!   two together  KeyMismatch  Untrusted
//!   with a clock  Expired  NotYetValid
//!   as a node     NoRole
//! ```
//!
//! All of it is for an operator to mend and nothing for a retry. Left out: what a node says at the
//! handshake, which is an error of the connection.

use core::fmt;
use std::path::PathBuf;

use quinn::crypto::rustls::NoInitialCipherSuite;
use rustls_pki_types::pem;

/// Which of the three texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemKind {
    /// The cluster's authority.
    Authority,
    /// The client's certificate.
    Certificate,
    /// The private key of that certificate.
    Key,
}

/// One of the three texts and the file it is from.
///
/// ```
/// use quoit_client::{PemKind, PemSource};
///
/// let key = PemSource { part: PemKind::Key, path: Some("certs/client.key".into()) };
/// assert_eq!(key.to_string(), "the private key certs/client.key");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemSource {
    /// Which one.
    pub part: PemKind,
    /// Its file, if it is from one.
    pub path: Option<PathBuf>,
}

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.part {
            PemKind::Authority => "the authority",
            PemKind::Certificate => "the certificate",
            PemKind::Key => "the private key",
        })?;
        match &self.path {
            Some(path) => write!(f, " {}", path.display()),
            None => Ok(()),
        }
    }
}

/// Why a client's certificates cannot be used. Nothing was sent when it is returned, and a retry without
/// new files meets the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {place}; check its path and owner")]
    Read {
        /// Which one.
        place: PemSource,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text is damaged.
    #[error("{place} is not proper PEM; restore it or issue it anew")]
    NotPem {
        /// Which one.
        place: PemSource,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A text does not hold what it should.
    #[error(
        "{place} is not there: the text holds none in PEM form; check that files are not swapped"
    )]
    Empty {
        /// Which one.
        place: PemSource,
    },
    /// The private key is encrypted.
    #[error(
        "{place} is encrypted, and nobody is asked for a passphrase; decrypt it: openssl pkey -in KEY -out PLAIN"
    )]
    EncryptedKey {
        /// Which one.
        place: PemSource,
    },
    /// The authority's text holds something that cannot be an authority.
    #[error("{place} cannot serve as one; give the cluster's ca.pem")]
    BadAuthority {
        /// Which one.
        place: PemSource,
        /// Why not.
        source: rustls::Error,
    },
    /// The key is of a kind that is not supported.
    #[error("{place} cannot be used; issue certificate and key anew")]
    BadKey {
        /// Which one.
        place: PemSource,
        /// Why not.
        source: rustls::Error,
    },
    /// Certificate and key are not a pair.
    #[error("{key} does not belong to {certificate}; use the two that were issued together")]
    KeyMismatch {
        /// The certificate.
        certificate: PemSource,
        /// The key.
        key: PemSource,
    },
    /// The certificate's time is over.
    #[error("{place} has expired; issue a new one from the cluster's authority")]
    Expired {
        /// The certificate.
        place: PemSource,
    },
    /// The certificate's time has not come.
    #[error("{place} is not valid yet; check this machine's clock")]
    NotYetValid {
        /// The certificate.
        place: PemSource,
    },
    /// The authority does not vouch for the certificate.
    #[error("{authority} does not vouch for {certificate}; both must be of one cluster")]
    Untrusted {
        /// The certificate.
        certificate: PemSource,
        /// The authority.
        authority: PemSource,
        /// Why not.
        source: webpki::Error,
    },
    /// Nodes would turn the certificate away: it does not name exactly one role.
    #[error("{place} does not name one role; issue a client's from the cluster's authority")]
    NoRole {
        /// The certificate.
        place: PemSource,
    },
    /// The TLS library lacks the suite that QUIC begins with; a defect of this program.
    #[error("QUIC could not be set up; this is a defect of quoit")]
    Quic(#[from] NoInitialCipherSuite),
}
