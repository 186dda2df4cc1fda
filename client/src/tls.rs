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
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quoit_ring::role::{ALPN, Role, URI_PREFIX};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring as ring_provider};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, version};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use serde::Deserialize;
use webpki::{EndEntityCert, KeyUsage};

pub use self::error::{PemKind, PemSource, TlsError};

/// Most bytes of a PEM file; a certificate chain is a few thousand.
const MAX_PEM_BYTES: u64 = 1 << 20;

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
    /// The private key of that certificate. Whoever can read it can read and write every key.
    pub key: PathBuf,
}

/// What a client needs to connect: its certificate and key, and whom it trusts.
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
        let read = || -> io::Result<Vec<u8>> {
            let mut pem = Vec::new();
            File::open(path)?
                .take(MAX_PEM_BYTES)
                .read_to_end(&mut pem)?;
            Ok(pem)
        };
        match read() {
            Ok(pem) => Ok(Self { place, pem }),
            Err(source) => Err(TlsError::Read { place, source }),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let place = || self.place.clone();
        let certificates = CertificateDer::pem_slice_iter(&self.pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| TlsError::NotPem {
                place: place(),
                source,
            })?;
        if certificates.is_empty() {
            return Err(TlsError::Empty { place: place() });
        }
        Ok(certificates)
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|source| TlsError::BadAuthority {
                    place: self.place.clone(),
                    source,
                })?;
        }
        Ok(roots)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let place = self.place.clone();
        PrivateKeyDer::from_pem_slice(&self.pem).map_err(|source| match source {
            pem::Error::NoItemsFound => TlsError::Empty { place },
            source => TlsError::NotPem { place, source },
        })
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

/// The cryptography of both sides: the quickest suite here, AES-128-GCM, comes first.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            ring_provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring_provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring_provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..ring_provider::default_provider()
    }
}

fn client_config(
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

#[cfg(test)]
mod tests;
