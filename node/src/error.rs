//! Why a node does not start, or did not stop in order. Each message says what an operator can do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use quoit_ring::change::NextError;
use quoit_ring::placement::RingError;
use quoit_ring::wire::DecodeError;
use quoit_ring::{ClusterId, NodeId};

use crate::config::ConfigError;
use crate::engine::EngineError;
use crate::failure::NodeFailure;
use crate::identity::IdentityError;
use crate::joining::JoinError;
use crate::provision::MapError;
use crate::tls::TlsError;

/// Why a node did not start, or could not be initialised. Nothing is left running when it is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is out of its range.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// The certificates cannot be used.
    #[error("the node cannot prove who it is")]
    Tls(#[from] TlsError),
    /// The data directory cannot be used.
    #[error("the data directory cannot be used")]
    Identity(#[from] IdentityError),
    /// The first map cannot be used.
    #[error("the cluster map cannot be used")]
    Map(#[from] MapError),
    /// The engine cannot be opened.
    #[error("the store in {} cannot be opened", path.display())]
    Engine {
        /// The store's directory.
        path: PathBuf,
        /// Why not.
        source: EngineError,
    },
    /// The store was made in another data directory.
    #[error("the store in {} belongs to another data directory: mount the one that belongs to this identity", path.display())]
    OtherStore {
        /// The store's directory.
        path: PathBuf,
    },
    /// A data directory was to be initialised, and no map was given.
    #[error("a node is initialised with the cluster's first map: set `map` to it")]
    NoMap,
    /// The map that is stored cannot be read.
    #[error("the stored cluster map is damaged; replace this node by a new one")]
    StoredMap(#[source] DecodeError),
    /// The configuration that is stored cannot be used.
    #[error("the stored configuration of the cluster is damaged; replace this node by a new one")]
    StoredConfiguration(#[source] StoredConfiguration),
    /// The map makes no ring.
    #[error("the cluster map makes no ring; make a new one with `quoit cluster init`")]
    Ring(#[from] RingError),
    /// The node is not a member.
    #[error(
        "node {node} is no member of cluster {cluster}; use the certificate of a member, or a map that names this node"
    )]
    NotAMember {
        /// The node in the certificate.
        node: NodeId,
        /// The cluster of the map.
        cluster: ClusterId,
    },
    /// The node was a member, and is none any more.
    #[error(
        "node {node} was removed from cluster {cluster}, for ever: delete its data directory, and add this machine as a new node with `quoit cluster add`"
    )]
    Removed {
        /// The node.
        node: NodeId,
        /// The cluster.
        cluster: ClusterId,
    },
    /// The node ran on another disk since it ran on this one.
    #[error(
        "a member has heard of run {latest} of node {node}, and this disk would begin run {run}: it was restored or copied, and lacks what the node has acknowledged since; start it on its latest disk, or replace it by a new node with `quoit cluster replace`; if no other disk exists and its loss is accepted, start once with `--accept-older-disk`, after reading of its risks in docs/operations.md"
    )]
    RanElsewhere {
        /// The node.
        node: NodeId,
        /// The run that was to begin.
        run: u64,
        /// The latest one that a member knows.
        latest: u64,
    },
    /// The node runs on another disk.
    #[error(
        "node {node} is running already and answers at {address}: a disk and its copy must not both be served; delete this copy, or stop the other one first"
    )]
    RunsElsewhere {
        /// The node.
        node: NodeId,
        /// Where it answers.
        address: String,
    },
    /// The clock of the earlier run is far ahead of this machine's: every write would be too old.
    #[error(
        "this machine's clock is {behind:?} behind a time that this node has promised never to go back from, {allowed:?} are allowed: set the clock; if it is right now and was ahead before, start once with `--accept-clock-set-back`, after reading of its risks in docs/operations.md"
    )]
    ClockBehind {
        /// By how much.
        behind: Duration,
        /// How much is allowed.
        allowed: Duration,
    },
    /// The address is taken.
    #[error("{address} is in use; stop the program that uses it, or change `listen`")]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be served at.
    #[error("cannot serve at {address}; check that `listen` is an address of this machine")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Metrics cannot be served at the address.
    #[error(
        "cannot serve metrics at {address}; check `metrics`, and that no other program has the port"
    )]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("the system gave no thread; check its limits")]
    Thread(#[source] io::Error),
}

/// Why a stored configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredConfiguration {
    /// Its bytes are none.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It breaks an invariant.
    #[error(transparent)]
    Invalid(#[from] NextError),
}

impl StartError {
    /// Whether the same start may succeed later although nobody changes anything: what is in use may be free then, the
    /// clock have caught up, and a table that was found damaged just now be left out.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            // Another program has the port, and may end; an address of another machine stays one.
            Self::Metrics { source, .. } => source.kind() == io::ErrorKind::AddrInUse,
            Self::PortInUse { .. }
            | Self::RunsElsewhere { .. }
            | Self::ClockBehind { .. }
            | Self::Thread(_) => true,
            Self::Identity(error) => matches!(error, IdentityError::InUse { .. }),
            // Once its damage is noted, the next start serves what is left.
            Self::Engine { source, .. } => matches!(
                source,
                EngineError::InUse { .. } | EngineError::Poisoned { cause: Some(_) }
            ),
            _ => false,
        }
    }
}

/// Why a node did not stop in order. It is stopped nevertheless; the next start treats it as a crash.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The engine failed, now or earlier.
    #[error("the node's storage failed")]
    Storage(#[from] EngineError),
    /// That the node stopped in order could not be recorded.
    #[error("the clean stop could not be recorded")]
    Identity(#[from] IdentityError),
    /// Writes under way did not finish in time; those that were not answered may or may not be stored.
    #[error("the disk took longer than the grace allows; what was not acknowledged may be missing")]
    Overran,
}

/// Why a node process ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration could not be read.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// The node did not start.
    #[error("the node did not start")]
    Start(#[from] StartError),
    /// The data directory could not be initialised.
    #[error("the node was not initialised")]
    Init(#[source] StartError),
    /// A new node could not make its data directory ready to join.
    #[error("the node cannot join")]
    Join(#[from] JoinError),
    /// The storage failed while the node was serving.
    #[error("the node's storage failed; see above, and restart it")]
    Storage(#[source] EngineError),
    /// A thread of the node ended by a defect while it was serving.
    #[error("the node's thread {0} has ended by a defect; see above, restart it, and report this")]
    Thread(&'static str),
    /// The node was removed from its cluster while it was away, as most members say, or as it has learned.
    #[error(
        "this node was removed from its cluster while it was away; its data directory is marked and does not start again: delete it, and add this machine as a new node with `quoit cluster add`"
    )]
    Removed,
    /// The node did not stop in order.
    #[error("the node did not stop in order")]
    Stop(#[from] StopError),
    /// Signals cannot be listened for.
    #[error("signals cannot be listened for")]
    Signals(#[source] io::Error),
}

impl From<NodeFailure> for RunError {
    fn from(failure: NodeFailure) -> Self {
        match failure {
            NodeFailure::Storage(error) => Self::Storage(error),
            NodeFailure::Thread(name) => Self::Thread(name),
            NodeFailure::Removed => Self::Removed,
        }
    }
}

impl RunError {
    /// The process's exit code: what a supervisor should do, which `docs/operations.md` lists. 1 if the node
    /// failed while serving: start it again. 7 if it cannot start [yet](StartError::may_pass): try again later.
    /// 2 if it cannot start until somebody changes something.
    #[must_use]
    pub fn exit_number(&self) -> u8 {
        match self {
            Self::Storage(_) | Self::Thread(_) | Self::Stop(_) | Self::Signals(_) => 1,
            Self::Start(error) | Self::Init(error) if error.may_pass() => 7,
            Self::Join(error) if error.may_pass() => 7,
            Self::Config(_) | Self::Start(_) | Self::Init(_) | Self::Join(_) | Self::Removed => 2,
        }
    }

    /// [`Self::exit_number`] as `main` returns it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        self.exit_number().into()
    }
}
