//! Why a data directory is refused; each message says what an operator can do.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use quoit_ring::{ClusterId, NodeId};

/// Why a data directory cannot be used. Its contents are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The directory could not be created.
    #[error("cannot create the data directory {}; check its path and the owner of its parent", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another node is running on it.
    #[error("another node is running on the data directory {}; stop it or use another directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Its node was removed from its cluster, for ever.
    #[error(
        "the data directory {} is of a node that was removed from its cluster, for ever: delete it, and add this machine as a new node with `quoit cluster add`",
        path.display()
    )]
    Removed {
        /// The directory.
        path: PathBuf,
    },
    /// A file in it could not be read; it is not taken for absent.
    #[error("cannot read {}; check the disk and the file's owner", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file in it could not be written.
    #[error("cannot write {}; check free space and the directory's owner", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no randomness for the ids and keys of a new directory.
    #[error("the system gave no randomness")]
    Entropy(#[source] rand::rand_core::OsError),
    /// A node was to run where there is no directory.
    #[error(
        "there is no data directory {}, and nothing was written: mount the disk that holds it; run `quoit node init` \
         first if this node has never run anywhere; if its disk is lost, replace the node by one under a new id",
        path.display()
    )]
    NoDirectory {
        /// Where it should be.
        path: PathBuf,
    },
    /// A node was to run on a directory that is empty: no node was initialised there, or another disk was.
    #[error(
        "the data directory {} is empty, and nothing was written: if this node has run before, its disk is not \
         mounted or was wiped, so mount it, or replace the node by one under a new id; run `quoit node init` first \
         if it has never run anywhere",
        path.display()
    )]
    NotInitialised {
        /// The directory.
        path: PathBuf,
    },
    /// A node was to run on a directory whose initialisation was cut short. No node has run there.
    #[error(
        "the data directory {} was not initialised to the end, and nothing was written: run `quoit node init` again, \
         which goes on with it",
        path.display()
    )]
    Incomplete {
        /// The directory.
        path: PathBuf,
    },
    /// It was being initialised for another node, and that was cut short. No node has run there.
    #[error(
        "the data directory {} was being initialised for node {node} of cluster {cluster}, which was cut short, and \
         nothing was written: no node has run there, so delete it and initialise again, or check `map` and \
         `tls.certificate`",
        path.display()
    )]
    IncompleteOther {
        /// The directory.
        path: PathBuf,
        /// The cluster for which it was initialised.
        cluster: ClusterId,
        /// The node for which it was.
        node: NodeId,
    },
    /// It was to be initialised, and is a node's already.
    #[error(
        "the data directory {} is initialised already, and nothing was written: start its node, or use an empty directory",
        path.display()
    )]
    Initialised {
        /// The directory.
        path: PathBuf,
    },
    /// A node may have run here, and its store is gone, in whole or in part.
    #[error(
        "what this node has promised to keep is gone from {}, and nothing was written: mount the disk that holds it, \
         or replace the node by one under a new id",
        path.display()
    )]
    StoreGone {
        /// Where the store should be.
        path: PathBuf,
    },
    /// A store is here, and the identity of the node that wrote it is gone.
    #[error(
        "the data directory {} holds a store whose `identity` is gone, and nothing was written: put that file back from \
         a copy of this very directory, or replace the node by one under a new id",
        path.display()
    )]
    IdentityGone {
        /// The directory.
        path: PathBuf,
    },
    /// It holds something else than a node's data.
    #[error(
        "the data directory {} has no identity but holds `{}`, and nothing was written; use an empty directory",
        path.display(), found.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Something in it.
        found: OsString,
    },
    /// It is new, and no first map was given to take the cluster from.
    #[error("the data directory {} is new; set `map` to the cluster's first map", path.display())]
    NoMap {
        /// The directory.
        path: PathBuf,
    },
    /// Its identity has changed since it was written.
    #[error("the identity {} is damaged; replace this node by a new one, or restore the whole directory", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Its identity was written by a later version of quoit.
    #[error("the identity {} has version {found}, and this quoit knows {known}; use a newer quoit", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u8,
        /// The newest version known.
        known: u8,
    },
    /// It belongs to another cluster.
    #[error("the data directory {} belongs to cluster {found}, not {expected}; check `data` and `map`", path.display())]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// The cluster of the map.
        expected: ClusterId,
        /// The cluster of the directory.
        found: ClusterId,
    },
    /// It belongs to another node.
    #[error("the data directory {} belongs to node {found}, not {expected}; check `data` and `tls.certificate`", path.display())]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// The node of the certificate.
        expected: NodeId,
        /// The node of the directory.
        found: NodeId,
    },
}
