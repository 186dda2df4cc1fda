//! A node as a process: initialised and started from a file, stopped by a signal. The body of `quoit-node`, in the library so that
//! other programs can run a node, too.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::failure::NodeFailure;
use crate::identity::Identity;
use crate::{Node, RunError, StopSignals};

/// Runs the node that the file at `config` describes until SIGTERM, SIGINT or SIGHUP, then stops it in order.
///
/// Prints one line to standard output when the node is ready. Blocks; must not be called from an async runtime.
///
/// # Errors
/// [`RunError`]; the process should return [`RunError::exit_code`].
pub fn run(config: &Path) -> Result<(), RunError> {
    run_with(&Config::load(config)?)
}

/// Initialises the data directory of the node that the file at `config` describes: [`Node::init`].
///
/// # Errors
/// [`RunError`]; the process should return [`RunError::exit_code`].
pub fn init(config: &Path) -> Result<Identity, RunError> {
    Node::init(&Config::load(config)?).map_err(RunError::Init)
}

/// Runs the node of a loaded configuration, like [`run`].
///
/// # Errors
/// [`RunError`]; the process should return [`RunError::exit_code`].
pub fn run_with(config: &Config) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(RunError::Signals)?;
    let mut signals = {
        let _inside = runtime.enter();
        StopSignals::listen().map_err(RunError::Signals)?
    };

    let node = Node::start(config)?;
    announce(&node);

    let failure = runtime.block_on(async {
        tokio::select! {
            biased;
            error = node.failed() => Some(error),
            () = signals.next() => None,
        }
    });
    end(node, Duration::from_millis(config.drain_ms), failure)
}

/// Stops the node. An earlier failure is the error to return.
fn end(node: Node, grace: Duration, failure: Option<NodeFailure>) -> Result<(), RunError> {
    let stopped = node.stop(grace);
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(stopped?),
    }
}

fn announce(node: &Node) {
    let mut out = io::stdout().lock();
    let line = writeln!(out, "quoit-node {} ready at {}", node.id(), node.address());
    if let Err(error) = line.and_then(|()| out.flush()) {
        tracing::warn!(%error, "the line that says the node is ready could not be written");
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::LeafBits;

    use super::*;
    use crate::provision::{LocalCluster, LocalOptions};

    #[test]
    fn a_node_that_lost_a_thread_is_stopped_in_order_and_ends_with_1() {
        let folder = tempfile::tempdir().unwrap();
        let options = LocalOptions {
            leaf_bits: LeafBits::new(12).unwrap(),
            nodes: 1,
            replication: 1,
            ..Default::default()
        };
        let path = folder.path().join("c");
        let cluster = LocalCluster::create_or_open(&path, &options).unwrap();
        let config = Config::load(&cluster.nodes()[0].config).unwrap();

        let node = Node::start(&config).unwrap();
        assert!(node.failure().is_none());
        let lost = NodeFailure::Thread("quoit-io");
        let error = end(node, Duration::from_secs(20), Some(lost)).unwrap_err();
        assert_eq!(error.exit_number(), 1);
        assert_eq!(
            error.to_string(),
            "the node's thread quoit-io has ended by a defect; see above, restart it, and report this"
        );
        let again = Node::start(&config).unwrap();
        again.stop(Duration::from_secs(20)).unwrap();
    }
}
