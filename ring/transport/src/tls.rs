//! What both sides agree on in TLS: version 1.3, the cipher suites, the protocol's name.
//!
//! Sessions are never resumed and no data is sent early: either would skip the check of the caller's certificate.
//!
//! Source: TLS 1.3 (RFC 8446) as QUIC uses it (RFC 9001).

use std::sync::Arc;

use quoit_ring::role::ALPN;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring as ring_provider};
use rustls::{ClientConfig, RootCertStore, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The cryptography of both sides: the quickest suite on common hardware, AES-128-GCM, comes first.
///
/// ```
/// assert_eq!(quoit_transport::tls::provider().cipher_suites.len(), 3);
/// ```
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            ring_provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring_provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring_provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        ..ring_provider::default_provider()
    }
}

/// The settings of a dialler that trusts `roots` and authenticates with `chain` and `key`.
///
/// # Errors
/// [`rustls::Error::InconsistentKeys`] if chain and key are not a pair; others if the key is of no known kind.
pub fn client_config(
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
