//! Why a bundle cannot be made, written or read.

use std::io;
use std::path::PathBuf;

use crate::provision::AuthorityError;
use crate::tls::CertificateError;

/// Why a bundle could not be made, written or read. Existing files are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No certificate was issued.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// An address is not `host:port`.
    #[error("the address `{address}` is not `host:port` with a port of 1 to 65535")]
    Address {
        /// The address.
        address: String,
    },
    /// A certificate does not give a node's identity.
    #[error("{} gives no node's identity", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// A bundle, or something else, is there already.
    #[error("{} exists already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no bundle.
    #[error("{} is no bundle: {why}; copy it again from where it was made", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
