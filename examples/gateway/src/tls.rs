//! TLS of both ports: one certificate, TLS 1.3 only, as everywhere else in quoit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate with its key, ready to serve.
#[derive(Debug, Clone)]
pub struct Identity(Arc<ServerConfig>);

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A file holds no PEM of the kind that is needed, or cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Identity {
    /// Reads a PEM file with the certificate, followed by its authorities if there are any, and one with its key.
    ///
    /// # Errors
    /// [`IdentityError`] names the file, or says what is wrong with the pair.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let wrong = |file: &Path, source| IdentityError::Pem {
            file: file.to_owned(),
            source,
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|source| wrong(certificate, source))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|source| wrong(key, source))?;

        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        // A client that asks for HTTP/2 hears that there is none; the names of RESP are left alone.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// For HTTP.
    pub(crate) fn http(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }

    /// For RESP, which has no name of its own.
    pub(crate) fn resp(&self) -> TlsAcceptor {
        let mut config = ServerConfig::clone(&self.0);
        config.alpn_protocols.clear();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.pem");
        std::fs::write(&file, "no PEM").unwrap();
        let error = Identity::load(&file, &file).unwrap_err().to_string();
        assert!(error.contains("server.pem"), "{error}");
    }

    #[test]
    fn a_certificate_and_its_key_can_be_used() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert!(Identity::load(&certificate, &key).is_ok());
    }
}
