//! Why a first map cannot be made, written or read.

use std::io;
use std::path::PathBuf;

use quoit_ring::placement::AllocateError;
use quoit_ring::wire::DecodeError;
use rand::rand_core::OsError;

use crate::tls::CertificateError;

/// Why a first map could not be made, written or read. Existing files are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// A cluster needs a member.
    #[error("the cluster has no members; name at least one")]
    NoMembers,
    /// An address is not `host:port`.
    #[error("the address `{address}` of {name} is not `host:port` with a port of 1 to 65535")]
    Address {
        /// Whose address it is.
        name: String,
        /// The address.
        address: String,
    },
    /// Two members have one address.
    #[error("{first} and {second} both have the address `{address}`; each needs its own")]
    SharedAddress {
        /// A member.
        first: String,
        /// Another.
        second: String,
        /// The address of both.
        address: String,
    },
    /// A member's certificate does not give an identity.
    #[error("{} gives no identity for {name}; issue a node's certificate under that name", path.display())]
    Certificate {
        /// The member.
        name: String,
        /// Where its certificate should be.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The members do not make a map.
    #[error("these members do not make a cluster map")]
    Members(#[from] AllocateError),
    /// The system gave no randomness for the cluster's id and keys.
    #[error("the system gave no randomness")]
    Entropy(#[from] OsError),
    /// A map is there already.
    #[error("{} exists already and is not overwritten: a cluster has one first map", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a first map.
    #[error("{} is not a usable cluster map; copy it again from where it was made", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
}
