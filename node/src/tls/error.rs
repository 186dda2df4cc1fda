//! What can be wrong with certificates: those in a node's files, and those that callers show.
//!
//! Each sentence of [`TlsError`] names the file and says what to do, for an operator reads it at a start
//! that failed. [`CertificateError`] is about one certificate, wherever it came from.

use std::path::PathBuf;

use quinn::crypto::rustls::NoInitialCipherSuite;
use quoit_ring::NodeId;
use quoit_ring::role::{ParseRoleError, Role};
use rustls::server::VerifierBuilderError;
use rustls_pki_types::pem;

/// Why a certificate does not say what its holder is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The caller has shown none.
    #[error("no certificate was presented")]
    Absent,
    /// The text holds no certificate in PEM form.
    #[error("this is not a certificate in PEM form")]
    NotPem(#[source] pem::Error),
    /// Its bytes are not a certificate.
    #[error("the certificate cannot be read")]
    Unreadable(#[source] webpki::Error),
    /// No URI in it is a role.
    #[error("the certificate names no role; issue one from the cluster's authority")]
    NoRole,
    /// More than one URI in it is a role.
    #[error("the certificate names several roles; a certificate has one")]
    SeveralRoles,
    /// The role in it is none that this version knows.
    #[error("the role in the certificate is malformed")]
    BadRole(#[from] ParseRoleError),
    /// It is a proper certificate, of somebody who is not a node.
    #[error("the certificate is for {0}, not for a node")]
    NotANode(Role),
}

/// Why a node's TLS files cannot be used. Nothing has been started when it is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {}; check the paths under [tls] and the file's owner", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is damaged.
    #[error("{} is not a proper PEM file; restore it or issue it anew", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate in PEM form; check that the paths under [tls] are not swapped", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no private key.
    #[error("{} holds no private key in PEM form; check that the paths under [tls] are not swapped", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key is encrypted.
    #[error("the private key {} is encrypted, and a node asks nobody for a passphrase; decrypt it (openssl pkey -in KEY -out PLAIN) and keep it readable by the node alone", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The authority's file holds something that cannot be an authority.
    #[error("{} cannot serve as an authority; give the cluster's ca.pem", path.display())]
    BadAuthority {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The authorities' certificates cannot verify callers.
    #[error("the authority's certificates cannot verify callers")]
    Verifier(#[from] VerifierBuilderError),
    /// The key is of a kind that is not supported.
    #[error("the private key {} cannot be used; issue certificate and key anew", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// Certificate and key are not a pair.
    #[error("the private key {} does not belong to the certificate {}; use the two that were issued together", key.display(), certificate.display())]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate's time is over.
    #[error("the certificate {} has expired; issue a new one from the cluster's authority", path.display())]
    Expired {
        /// The certificate's file.
        path: PathBuf,
    },
    /// The certificate's time has not come.
    #[error("the certificate {} is not valid yet; check this machine's clock", path.display())]
    NotYetValid {
        /// The certificate's file.
        path: PathBuf,
    },
    /// The authority does not vouch for the certificate.
    #[error("the authority {} does not vouch for the certificate {}; both must be of one cluster", authority.display(), certificate.display())]
    Untrusted {
        /// The certificate's file.
        certificate: PathBuf,
        /// The authority's file.
        authority: PathBuf,
        /// Why not.
        source: webpki::Error,
    },
    /// Callers look for a name that the certificate does not carry.
    #[error("the certificate {} is not valid for `{name}`; issue one for this node", path.display())]
    NoServerName {
        /// The certificate's file.
        path: PathBuf,
        /// The name that is missing.
        name: String,
    },
    /// The certificate does not say what its holder is.
    #[error("the certificate {} names no usable role; issue one for this node", path.display())]
    NoRole {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The certificate is a client's or an operator's.
    #[error("the certificate {} is for {role}, not for a node; issue one for this node", path.display())]
    NotANode {
        /// The certificate's file.
        path: PathBuf,
        /// Whose it is.
        role: Role,
    },
    /// The certificate is another node's.
    #[error("the certificate {} is for node {found}, and node {expected} is to start; use its own", path.display())]
    WrongNode {
        /// The certificate's file.
        path: PathBuf,
        /// The node that is to start.
        expected: NodeId,
        /// The node in the certificate.
        found: NodeId,
    },
    /// The TLS library refused a setting of ours; a defect of this program.
    #[error("TLS could not be set up; this is a defect of quoit")]
    Setup(#[source] rustls::Error),
    /// The TLS library lacks the suite that QUIC begins with; a defect of this program.
    #[error("QUIC could not be set up; this is a defect of quoit")]
    Quic(#[from] NoInitialCipherSuite),
}
