//! Requests to stop: Ctrl-C anywhere, and SIGTERM where there are signals.

use std::io;

/// Completes when a signal asks the program to stop.
pub(crate) async fn stop_requested() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            biased;
            _signal = terminate.recv() => Ok(()),
            result = tokio::signal::ctrl_c() => result,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
