//! Requests to stop: Ctrl-C anywhere, and the signals of a supervisor and of a closed terminal where there are some.

use std::io;

use quoit_node::StopSignals;

/// Completes when a signal asks the program to stop.
pub(crate) async fn stop_requested() -> io::Result<()> {
    StopSignals::listen()?.next().await;
    Ok(())
}
