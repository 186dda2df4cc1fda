//! Why a folder cannot be, or become, a local cluster.

use std::io;
use std::path::PathBuf;

use crate::provision::{AuthorityError, BundleError, MapError};
use crate::{JoinError, StartError};

/// Why a local cluster could not be made, opened, or given another node. A complete one is as it was; a new one may be
/// there in part, in a folder that was empty or absent before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A number is outside its range.
    #[error("{what} is {found}; it must be {min} to {max}")]
    OutOfRange {
        /// What it is the number of.
        what: &'static str,
        /// What it is.
        found: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
    /// A port is 0, or two nodes have it.
    #[error("port {port} is 0 or given twice; each node needs a port of its own")]
    Port {
        /// The port.
        port: u16,
    },
    /// The folder holds something else, or not all of a cluster.
    #[error("{} is not empty and holds no complete cluster; use another folder or remove it", dir.display())]
    NotACluster {
        /// The folder.
        dir: PathBuf,
    },
    /// Another process is making a cluster in the folder.
    #[error("another process is making a cluster in {}: wait until it is done", dir.display())]
    BeingMade {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder's cluster is not what was asked for.
    #[error("the cluster in {} has {found} as its {what}, not {wanted}; ask for that, or use another folder", dir.display())]
    Differs {
        /// The folder.
        dir: PathBuf,
        /// In what it differs.
        what: &'static str,
        /// What it has.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The map in the folder was not made for a local cluster.
    #[error("the map in {} has no member `{name}` at an address of this machine", dir.display())]
    ForeignMap {
        /// The folder.
        dir: PathBuf,
        /// The member that is missing.
        name: String,
    },
    /// No free port was found.
    #[error("cannot find free UDP ports on 127.0.0.1")]
    NoPort(#[source] io::Error),
    /// A folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory of a new node could not be initialised.
    #[error("cannot initialise {name}")]
    Init {
        /// Which node.
        name: String,
        /// Why not.
        source: Box<StartError>,
    },
    /// A node that is to be added has the name of one that is there, or was.
    #[error("{name} is, or was, a node of this folder: choose another name")]
    Taken {
        /// The name.
        name: String,
    },
    /// A node that is to be added could not be made ready to join. The cluster is as it was.
    #[error("cannot make {name} ready to join")]
    Join {
        /// Which node.
        name: String,
        /// Why not.
        source: Box<JoinError>,
    },
    /// The bundle of a node that was added could not be made or read.
    #[error("cannot make or read a node's bundle")]
    Bundle(#[from] BundleError),
    /// A certificate could not be made.
    #[error("cannot make the cluster's certificates")]
    Authority(#[from] AuthorityError),
    /// The map could not be made or read.
    #[error("cannot make or read the cluster's map")]
    Map(#[from] MapError),
}
