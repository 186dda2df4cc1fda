//! Trust: who may connect to a node, and how the node proves who it is.
//!
//! ```text
//! caller ---- TLS 1.3 inside QUIC, ALPN quoit/1 ----> node
//!        <--- certificate of the cluster's authority, DNS node.quoit ---
//!        ---- certificate of the same authority, URI quoit:<role> ---->
//! ```
//!
//! Towards other nodes a node is the caller, by the same certificate.
//!
//! Both sides always show a certificate, and one authority vouches for both. Verification is the ordinary
//! check of certificate paths; nothing here decides it. Sessions are never resumed and no data is
//! accepted early, since either would skip the look at the caller's certificate.
//!
//! The role is read once per connection, from the verified certificate, by [`peer_role`]. A certificate
//! without a role, or with two, has none: it gets nowhere.

mod error;
mod expiry;
mod material;

use core::fmt;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quoit_ring::role::{ALPN, Role, URI_PREFIX};
use quoit_ring::{Millis, NodeId};
use quoit_transport::tls::{client_config, provider};
use ring::digest::{SHA256, digest};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{InconsistentKeys, ServerConfig, version};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;

use self::material::Material;
use crate::config::TlsFiles;

pub use self::error::{CertificateError, TlsError};
pub(crate) use self::expiry::ExpiryWatch;
pub use self::material::certificate_node;

/// What a node needs to accept connections, and to make them to other nodes: its certificate and key, and the
/// authority that it trusts.
#[derive(Clone)]
pub struct NodeTls {
    server: Arc<QuicServerConfig>,
    client: Arc<QuicClientConfig>,
    node: NodeId,
    not_after: Millis,
}

impl fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTls")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl NodeTls {
    /// Reads `files` and checks that they fit together: key and certificate are a pair, the authority
    /// vouches for the certificate now, and it is a node's.
    ///
    /// The identity in the certificate is the node's: [`NodeTls::node`].
    ///
    /// # Errors
    /// [`TlsError`] names the file and what to do.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Self::load_at(files, UnixTime::now())
    }

    fn load_at(files: &TlsFiles, now: UnixTime) -> Result<Self, TlsError> {
        let material = Material::load(files, now)?;
        let (node, not_after) = (material.node, material.not_after);
        let server = Arc::new(QuicServerConfig::try_from(server_config(
            &material, files,
        )?)?);
        let Material {
            roots, chain, key, ..
        } = material;
        let client = client_config(roots, chain, key).map_err(TlsError::Setup)?;
        let client = Arc::new(QuicClientConfig::try_from(client)?);
        Ok(Self {
            server,
            client,
            node,
            not_after,
        })
    }

    /// The node that the certificate names.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The last moment at which the certificate is valid, in milliseconds since 1970.
    #[must_use]
    pub const fn not_after(&self) -> Millis {
        self.not_after
    }

    /// Refuses a certificate that is not `expected`'s: a node never starts under another's name.
    ///
    /// # Errors
    /// [`TlsError::WrongNode`].
    pub fn expect_node(&self, expected: NodeId, files: &TlsFiles) -> Result<(), TlsError> {
        if self.node == expected {
            return Ok(());
        }
        Err(TlsError::WrongNode {
            path: files.certificate.clone(),
            expected,
            found: self.node,
        })
    }

    /// A configuration for a QUIC endpoint that serves with this certificate. The caller sets the
    /// transport's bounds.
    #[must_use]
    pub fn server_config(&self) -> quinn::ServerConfig {
        quinn::ServerConfig::with_crypto(Arc::clone(&self.server) as _)
    }

    /// A configuration for connections to other nodes, which are to be dialled under the name that
    /// [`server_name`](quoit_ring::role::server_name) gives them. The caller sets the transport's bounds.
    #[must_use]
    pub fn client_config(&self) -> quinn::ClientConfig {
        quinn::ClientConfig::new(Arc::clone(&self.client) as _)
    }
}

fn server_config(material: &Material, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(provider());
    let roots = Arc::new(material.roots.clone());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(TlsError::Setup)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(material.chain.clone(), material.key.clone_key())
        .map_err(|source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let TlsFiles {
                    certificate, key, ..
                } = files.clone();
                TlsError::KeyMismatch { certificate, key }
            }
            source => TlsError::BadKey {
                path: files.key.clone(),
                source,
            },
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// What the caller at the other end of `connection` is, by the certificate that TLS has verified.
///
/// # Errors
/// [`CertificateError`]; the connection should be closed, for nothing may be answered on it.
pub fn peer_role(connection: &quinn::Connection) -> Result<Role, CertificateError> {
    peer(connection).map(|(role, _identity)| role)
}

/// The role of the caller at the other end of `connection`, and which certificate it has.
pub(crate) fn peer(connection: &quinn::Connection) -> Result<(Role, Identity), CertificateError> {
    let identity = connection.peer_identity().ok_or(CertificateError::Absent)?;
    let chain = identity
        .downcast::<Vec<CertificateDer<'static>>>()
        .map_err(|_other_crypto| CertificateError::Absent)?;
    let certificate = chain.first().ok_or(CertificateError::Absent)?;
    Ok((certificate_role(certificate)?, Identity::of(certificate)))
}

/// A certificate, by the first eight bytes of its SHA-256 fingerprint, as `openssl x509 -fingerprint -sha256` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity(pub(crate) u64);

impl Identity {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = digest(&SHA256, certificate);
        let first = digest.as_ref().first_chunk();
        debug_assert!(first.is_some(), "a SHA-256 has 32 bytes");
        Self(u64::from_be_bytes(*first.unwrap_or(&[0; 8])))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The one role in a certificate. Other URIs beside it do not matter.
fn certificate_role(certificate: &CertificateDer<'_>) -> Result<Role, CertificateError> {
    let certificate = EndEntityCert::try_from(certificate).map_err(CertificateError::Unreadable)?;
    let mut roles = certificate
        .valid_uri_names()
        .filter(|uri| uri.starts_with(URI_PREFIX));
    let role = roles.next().ok_or(CertificateError::NoRole)?;
    if roles.next().is_some() {
        return Err(CertificateError::SeveralRoles);
    }
    Ok(role.parse()?)
}

#[cfg(test)]
mod tests;
