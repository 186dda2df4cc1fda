//! Reads certificates and keys from PEM files, and says what is wrong with the ones that do not fit.
//!
//! Whatever would make every handshake fail is found here, at the start, with the file's name in the
//! sentence: a client that meets a bad certificate sees no more than "connection refused".

use std::path::{Path, PathBuf};
use std::time::Duration;

use quoit_ring::role::{Role, SEED_SERVER_NAME, server_name};
use quoit_ring::{Millis, NodeId};
use quoit_transport::pem::{self, PemError};
use quoit_transport::tls::provider;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::{CertificateError, TlsError, certificate_role};
use crate::config::TlsFiles;

/// A node's certificate chain and key, and the authorities it trusts; checked against each other.
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) roots: RootCertStore,
    pub(super) node: NodeId,
    /// The last moment at which the certificate is valid.
    pub(super) not_after: Millis,
}

impl Material {
    /// Reads the three files and checks, at the time `now`, that they make a node.
    pub(super) fn load(files: &TlsFiles, now: UnixTime) -> Result<Self, TlsError> {
        let roots = read_roots(&files.ca)?;
        let chain = read_certificates(&files.certificate)?;
        let key = read_key(&files.key)?;
        let node = read_node(&chain, &files.certificate)?;
        check_issuer(&chain, &roots, files, now)?;
        check_names(&chain, node, &files.certificate)?;
        let not_after = read_end(&chain, &roots);
        Ok(Self {
            chain,
            key,
            roots,
            node,
            not_after,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    pem::read_file(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let no_certificate = |path| TlsError::NoCertificate { path };
    pem::certificates(&read(path)?).map_err(|error| refused(path, error, no_certificate))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let no_key = |path| TlsError::NoKey { path };
    pem::private_key(&read(path)?).map_err(|error| refused(path, error, no_key))
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let no_certificate = |path| TlsError::NoCertificate { path };
    pem::authorities(&read(path)?).map_err(|error| refused(path, error, no_certificate))
}

/// What is wrong with a file, with its name.
fn refused(path: &Path, error: PemError, empty: impl FnOnce(PathBuf) -> TlsError) -> TlsError {
    let path = path.to_owned();
    match error {
        PemError::NotPem(source) => TlsError::NotPem { path, source },
        PemError::BadAuthority(source) => TlsError::BadAuthority { path, source },
        PemError::Encrypted => TlsError::EncryptedKey { path },
        _empty => empty(path),
    }
}

/// The identity in the first certificate of `chain`, which must be a node's.
fn read_node(chain: &[CertificateDer<'_>], path: &Path) -> Result<NodeId, TlsError> {
    let path = || -> PathBuf { path.to_owned() };
    let first = chain
        .first()
        .ok_or_else(|| TlsError::NoCertificate { path: path() })?;
    match certificate_role(first) {
        Ok(Role::Node(id)) => Ok(id),
        Ok(role) => Err(TlsError::NotANode { path: path(), role }),
        Err(source) => Err(TlsError::NoRole {
            path: path(),
            source,
        }),
    }
}

/// Checks that the authorities vouch for the first certificate of `chain` now, as a server's.
fn check_issuer(
    chain: &[CertificateDer<'_>],
    roots: &RootCertStore,
    files: &TlsFiles,
    now: UnixTime,
) -> Result<(), TlsError> {
    let certificate = || files.certificate.clone();
    let Some((first, rest)) = chain.split_first() else {
        return Err(TlsError::NoCertificate {
            path: certificate(),
        });
    };
    verify(first, rest, roots, now).map_err(|source| match source {
        webpki::Error::CertExpired { .. } => TlsError::Expired {
            path: certificate(),
        },
        webpki::Error::CertNotValidYet { .. } => TlsError::NotYetValid {
            path: certificate(),
        },
        source => TlsError::Untrusted {
            certificate: certificate(),
            authority: files.ca.clone(),
            source,
        },
    })
}

/// Whether the authorities vouch for `first`, as a server's, at the time `now`.
fn verify(
    first: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
) -> Result<(), webpki::Error> {
    let algorithms = provider().signature_verification_algorithms.all;
    let usage = KeyUsage::server_auth();
    let leaf = EndEntityCert::try_from(first)?;
    leaf.verify_for_usage(algorithms, &roots.roots, rest, now, usage, None, None)
        .map(|_path| ())
}

/// The end of the first certificate of `chain`: what a verification far in the future complains of.
fn read_end(chain: &[CertificateDer<'_>], roots: &RootCertStore) -> Millis {
    let late = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let complaint = chain
        .split_first()
        .map(|(first, rest)| verify(first, rest, roots, late));
    match complaint {
        Some(Err(webpki::Error::CertExpired { not_after, .. })) => {
            Millis(not_after.as_secs().saturating_mul(1000))
        }
        _ => Millis(u64::MAX),
    }
}

/// Checks that the first certificate of `chain` carries both names under which callers look for `node`.
fn check_names(chain: &[CertificateDer<'_>], node: NodeId, path: &Path) -> Result<(), TlsError> {
    let leaf = chain
        .first()
        .and_then(|first| EndEntityCert::try_from(first).ok());
    let carries = |name: &str| {
        ServerName::try_from(name).is_ok_and(|name| {
            leaf.as_ref()
                .is_some_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
        })
    };
    for name in [SEED_SERVER_NAME.to_owned(), server_name(node)] {
        if !carries(&name) {
            return Err(TlsError::NoServerName {
                path: path.to_owned(),
                name,
            });
        }
    }
    Ok(())
}

/// The identity in a node's certificate, given as PEM; of a chain, in its first certificate.
///
/// Only reads: whether an authority signed it is for the handshake to say.
///
/// # Errors
/// [`CertificateError`] if there is no certificate or it is not a node's.
pub fn certificate_node(pem: &[u8]) -> Result<NodeId, CertificateError> {
    let certificate = CertificateDer::from_pem_slice(pem).map_err(CertificateError::NotPem)?;
    let role = certificate_role(&certificate)?;
    role.node().ok_or(CertificateError::NotANode(role))
}
