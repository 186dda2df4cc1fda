//! A node as a process: started from a file, stopped by a signal. The body of `quoit-node`, in the library so that
//! other programs can run a node, too.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::engine::EngineError;
use crate::{Node, RunError};

/// Runs the node that the file at `config` describes until SIGTERM or SIGINT, then stops it in order.
///
/// Prints one line to standard output when the node is ready. Blocks; must not be called from an async runtime.
///
/// # Errors
/// [`RunError`]; the process should return [`RunError::exit_code`].
pub fn run(config: &Path) -> Result<(), RunError> {
    let config = Config::load(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(RunError::Signals)?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen().map_err(RunError::Signals)?
    };

    let node = Node::start(&config)?;
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

/// Stops the node. An earlier storage failure is the error to return.
fn end(node: Node, grace: Duration, failure: Option<EngineError>) -> Result<(), RunError> {
    let stopped = node.stop(grace);
    match failure {
        Some(error) => Err(RunError::Storage(error)),
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

/// The signals that ask a process to end.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _signal = self.terminate.recv() => {}
            _signal = self.interrupt.recv() => {}
        }
    }
}

/// The signals that ask a process to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "signals cannot be waited for");
            std::future::pending::<()>().await;
        }
    }
}
