//! How a client proves who it is, and how it knows a node.
//!
//! ```text
//! client ---- certificate of the cluster's authority, URI quoit:client ----> node
//!        <--- certificate of the same authority, DNS node.quoit ------------
//! ```
//!
//! TLS 1.3 inside QUIC, always with both certificates. The node's is checked in the ordinary way: the
//! authority's signature, its time, and the server name from [`quoit_ring::role`]. Nothing here decides
//! it. Sessions are never resumed and no data is sent early, for nodes accept neither.
//!
//! What would make every handshake fail is found when the files are read, and the error names the
//! file: from the far side of a handshake one hears no more than "refused". Left out: how certificates
//! are made, and renewed while a client runs; it keeps those it began with.
//!
//! Source: TLS 1.3 (RFC 8446) as QUIC uses it (RFC 9001).

mod error;

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quoit_ring::role::{Role, URI_PREFIX};
use quoit_transport::pem::{self, PemError};
use quoit_transport::tls::{client_config, provider};
use rustls::{InconsistentKeys, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use serde::Deserialize;
use webpki::{EndEntityCert, KeyUsage};

pub use self::error::{PemKind, PemSource, TlsError};

/// Where the client's certificates lie; all PEM, each file at most 1 MiB. They are read when the client
/// connects, and not again. [`ClientBuilder::tls`](crate::ClientBuilder::tls) has an example.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate of the cluster's authority: who signed every node that is believed.
    pub ca: PathBuf,
    /// The certificate of this client, which names its role; certificates between it and the authority
    /// follow it.
    pub certificate: PathBuf,
    /// The private key of that certificate. With it one can read and write every key.
    pub key: PathBuf,
}

/// What a client needs to connect: its certificate and key, and the authority that it trusts.
#[derive(Clone)]
pub(crate) struct ClientTls {
    crypto: Arc<QuicClientConfig>,
    role: Role,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads `files` and checks that they fit together: key and certificate are a pair, and the authority
    /// vouches for the certificate now.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what to do.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let [ca, certificate, key] = [
            (PemKind::Authority, &files.ca),
            (PemKind::Certificate, &files.certificate),
            (PemKind::Key, &files.key),
        ]
        .map(|(part, path)| Source::read(part, path));
        Self::from_sources(&ca?, &certificate?, &key?, UnixTime::now())
    }

    /// The same from the files' contents.
    ///
    /// # Errors
    /// [`TlsError`] names the part and what to do.
    #[cfg(test)]
    fn from_pem(ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let source = |part, pem: &[u8]| Source {
            place: PemSource { part, path: None },
            pem: pem.into(),
        };
        let [ca, certificate, key] = [
            source(PemKind::Authority, ca),
            source(PemKind::Certificate, certificate),
            source(PemKind::Key, key),
        ];
        Self::from_sources(&ca, &certificate, &key, UnixTime::now())
    }

    fn from_sources(
        ca: &Source,
        certificate: &Source,
        key: &Source,
        now: UnixTime,
    ) -> Result<Self, TlsError> {
        let roots = ca.roots()?;
        let chain = certificate.certificates()?;
        let role = check_certificate(&chain, &roots, now)
            .map_err(|flaw| flaw.into_error(&certificate.place, &ca.place))?;
        let config = client_config(roots, chain, key.key()?).map_err(|source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let (certificate, key) = (certificate.place.clone(), key.place.clone());
                TlsError::KeyMismatch { certificate, key }
            }
            source => TlsError::BadKey {
                place: key.place.clone(),
                source,
            },
        })?;
        Ok(Self {
            crypto: Arc::new(QuicClientConfig::try_from(config)?),
            role,
        })
    }

    /// A configuration for connections that prove themselves by this certificate. The caller sets the
    /// transport's bounds, and dials under a name from [`quoit_ring::role`].
    #[must_use]
    pub(crate) fn client_config(&self) -> quinn::ClientConfig {
        quinn::ClientConfig::new(Arc::clone(&self.crypto) as _)
    }
}

/// One of the three texts, and where it is from.
struct Source {
    place: PemSource,
    pem: Vec<u8>,
}

impl Source {
    fn read(part: PemKind, path: &Path) -> Result<Self, TlsError> {
        let place = PemSource {
            part,
            path: Some(path.to_owned()),
        };
        match pem::read_file(path) {
            Ok(pem) => Ok(Self { place, pem }),
            Err(source) => Err(TlsError::Read { place, source }),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        pem::certificates(&self.pem).map_err(|error| self.refused(error))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        pem::authorities(&self.pem).map_err(|error| self.refused(error))
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        pem::private_key(&self.pem).map_err(|error| self.refused(error))
    }

    /// What is wrong with the text, with where it is from.
    fn refused(&self, error: PemError) -> TlsError {
        let place = self.place.clone();
        match error {
            PemError::NotPem(source) => TlsError::NotPem { place, source },
            PemError::BadAuthority(source) => TlsError::BadAuthority { place, source },
            PemError::Encrypted => TlsError::EncryptedKey { place },
            _empty => TlsError::Empty { place },
        }
    }
}

/// What is wrong with the client's own certificate.
enum Flaw {
    /// The authority does not vouch for it now.
    Unverified(webpki::Error),
    /// It does not carry exactly one role, and a node would turn it away.
    NoRole,
}

impl Flaw {
    fn into_error(self, certificate: &PemSource, authority: &PemSource) -> TlsError {
        let place = certificate.clone();
        match self {
            Self::NoRole => TlsError::NoRole { place },
            Self::Unverified(webpki::Error::CertExpired { .. }) => TlsError::Expired { place },
            Self::Unverified(webpki::Error::CertNotValidYet { .. }) => {
                TlsError::NotYetValid { place }
            }
            Self::Unverified(source) => TlsError::Untrusted {
                certificate: place,
                authority: authority.clone(),
                source,
            },
        }
    }
}

/// Checks the first certificate of `chain` as a node will, and reads its role.
fn check_certificate(
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
) -> Result<Role, Flaw> {
    let (first, rest) = chain.split_first().ok_or(Flaw::NoRole)?;
    let leaf = EndEntityCert::try_from(first).map_err(Flaw::Unverified)?;
    let algorithms = provider().signature_verification_algorithms.all;
    leaf.verify_for_usage(
        algorithms,
        &roots.roots,
        rest,
        now,
        KeyUsage::client_auth(),
        None,
        None,
    )
    .map_err(Flaw::Unverified)?;
    let mut roles = leaf
        .valid_uri_names()
        .filter(|uri| uri.starts_with(URI_PREFIX));
    match (roles.next().map(str::parse), roles.next()) {
        (Some(Ok(role)), None) => Ok(role),
        _ => Err(Flaw::NoRole),
    }
}

#[cfg(test)]
mod tests;
