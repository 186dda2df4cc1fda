//! The signals that ask a process to stop in order.
//!
//! ```text
//! SIGTERM   a supervisor               SIGINT   Ctrl-C
//! SIGHUP    the terminal is gone, unless the process was started to outlive it (`nohup`)
//! ```
//!
//! Without this, a hang-up ends a process at once: nothing is lost, but the next start reads the journals back.

use std::io;

/// Requests to stop, from now on.
#[cfg(unix)]
#[derive(Debug)]
pub struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl StopSignals {
    /// Listens from now on: such a signal no longer ends the process. Must be called inside of a tokio runtime
    /// with I/O.
    ///
    /// # Errors
    /// If the system does not let this process handle signals.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let hang_up = (!hang_up_is_ignored()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: hang_up.transpose()?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _signal = self.terminate.recv() => {}
            _signal = self.interrupt.recv() => {}
            _signal = hang_up => {}
        }
    }
}

/// Whether this process was started with SIGHUP ignored. To handle it would undo what `nohup` was asked for.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    // Only Linux says so in a file; elsewhere a process under `nohup` does end with its terminal.
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hang_up(&status))
}

/// Whether the bit of signal 1 is set in what `/proc/self/status` says of ignored signals.
#[cfg(unix)]
fn ignores_hang_up(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// Requests to stop, from now on.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct StopSignals;

#[cfg(not(unix))]
impl StopSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// None here.
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "signals cannot be waited for");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_hang_up_is_seen_and_junk_is_not() {
        let status = |mask: &str| {
            format!("Name:\tquoit\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t0\n")
        };
        assert!(ignores_hang_up(&status("0000000000001001")));
        for other in ["0000000000001000", "0000000000000000", "x", ""] {
            assert!(!ignores_hang_up(&status(other)), "{other:?}");
        }
        assert!(!ignores_hang_up(""));
    }
}
