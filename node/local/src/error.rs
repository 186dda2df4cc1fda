//! What can go wrong with a local cluster.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use quoit_node::config::ConfigError;
use quoit_node::provision::{BundleError, LocalError};
use quoit_node::{StartError, StopError};

use crate::log::LogTail;

/// Why a local cluster does not do what was asked for. Nodes are named as in the cluster's map; their logs
/// stand beside their configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The cluster could not be made or opened.
    #[error("the cluster could not be laid out")]
    Layout(#[source] Box<LocalError>),
    /// The bundle of a new node could not be made or written.
    #[error("there is no bundle for {name}")]
    Bundle {
        /// The new node.
        name: String,
        /// Why.
        source: Box<BundleError>,
    },
    /// A node's configuration could not be read: look at the settings that were put before it.
    #[error("the configuration of {name} cannot be used")]
    Config {
        /// Which node.
        name: String,
        /// Why.
        source: Box<ConfigError>,
    },
    /// No temporary folder, file or port could be had, or a signal could not be sent.
    #[error("the system refused {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A node's process could not be started. Other nodes run on.
    #[error("cannot start {name} with {}", program.display())]
    Spawn {
        /// Which node.
        name: String,
        /// What was to be run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A node of this process did not start. Other nodes run on.
    #[error("{name} did not start")]
    Start {
        /// Which node.
        name: String,
        /// Why.
        source: Box<StartError>,
    },
    /// A node of this process did not stop in order. It is stopped all the same.
    #[error("{name} did not stop in order")]
    Stop {
        /// Which node.
        name: String,
        /// Why.
        source: Box<StopError>,
    },
    /// A node's process ended although nothing asked it to. Reported once; then the node counts as stopped.
    #[error("{name} ended by itself with {status}; its log ends with:\n{log}")]
    Ended {
        /// Which node, counted from 0.
        node: usize,
        /// Its name.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: LogTail,
    },
    /// A node's process did not serve in time. It runs on.
    #[error("{name} did not serve within {bound:?}; its log ends with:\n{log}")]
    NotReady {
        /// Which node.
        name: String,
        /// How long was waited.
        bound: Duration,
        /// The end of its log.
        log: LogTail,
    },
    /// A node's process was asked to stop and was killed, since it took too long.
    #[error("{name} did not stop within {bound:?} and was killed; its log ends with:\n{log}")]
    NotStopped {
        /// Which node.
        name: String,
        /// How long was waited.
        bound: Duration,
        /// The end of its log.
        log: LogTail,
    },
    /// A node's process stopped when asked to, and reported a failure.
    #[error("{name} stopped with {status}; its log ends with:\n{log}")]
    Unclean {
        /// Which node.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: LogTail,
    },
    /// A node's log shows that it panicked at some time.
    #[error("{name} panicked; its log ends with:\n{log}")]
    Panicked {
        /// Which node.
        name: String,
        /// The end of its log.
        log: LogTail,
    },
    /// The node does not run, so it cannot be paused, resumed or measured.
    #[error("{name} does not run")]
    NotRunning {
        /// Which node.
        name: String,
    },
    /// The node has no proxy: name it in [`ClusterSettings::proxied`](crate::ClusterSettings::proxied).
    #[error("there is no proxy before {name}; ask for one in the cluster's settings")]
    NoProxy {
        /// Which node.
        name: String,
    },
    /// A proxy could not be started.
    #[error("no proxy could be started before {name}")]
    Proxy {
        /// Which node.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

// Boxed above: an error that is returned everywhere should be small.
impl From<LocalError> for ClusterError {
    fn from(error: LocalError) -> Self {
        Self::Layout(Box::new(error))
    }
}
