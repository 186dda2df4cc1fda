//! Why a node cannot join.

use std::io;
use std::path::PathBuf;

use quoit_ring::{ClusterId, NodeId};

use crate::error::StartError;
use crate::provision::BundleError;

/// Why a node's data directory was not made ready to join. It holds no more than the node's certificates, or is to be gone
/// on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The bundle cannot be used.
    #[error("the bundle cannot be used")]
    Bundle(#[from] BundleError),
    /// The bundle is for another address.
    #[error(
        "the bundle is for a node at {found}, not at {wanted}: give that address, or make another bundle"
    )]
    OtherAddress {
        /// The one that was given.
        wanted: String,
        /// The bundle's.
        found: String,
    },
    /// It is not known where to listen.
    #[error("the address {address} has no port to listen at: give `--listen IP:PORT`")]
    NoListen {
        /// The bundle's.
        address: String,
    },
    /// Nobody let it in.
    #[error("no seed of the bundle answered: {}", tried.join("; "))]
    NoSeed {
        /// Each address, and why not.
        tried: Vec<String>,
    },
    /// The seeds are of another cluster.
    #[error("the seeds are of cluster {found}, the bundle is for {expected}")]
    OtherCluster {
        /// The bundle's.
        expected: ClusterId,
        /// The seeds'.
        found: ClusterId,
    },
    /// The node is a member: this is not its disk, or no longer.
    #[error(
        "node {node} is a member already, and this data directory is empty: if it runs elsewhere, make a bundle of its own for this machine; if its disk is lost, replace it with `quoit cluster replace`"
    )]
    Member {
        /// The node.
        node: NodeId,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread or socket.
    #[error("the system gave no socket; check its limits")]
    System(#[source] io::Error),
    /// The certificates or the directory cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl JoinError {
    /// Whether the same may succeed later although nobody changes anything here.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoSeed { .. } | Self::System(_) => true,
            Self::Start(error) => error.may_pass(),
            _ => false,
        }
    }
}
