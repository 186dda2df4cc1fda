//! What an error of Redis means: whether the write may be stored all the same, and whether to look for the masters again.
//!
//! Only an error that a master answers with, or a connection that it refuses, says for certain that nothing is stored.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::OpError;

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    kind: &'static str,
    pub(super) may_be_stored: bool,
    /// Whether another master may have the slot by now.
    pub(super) masters_change: bool,
}

impl Failure {
    pub(super) const NOBODY: Self = Self {
        kind: "no master for this slot",
        may_be_stored: false,
        masters_change: true,
    };
}

impl From<Failure> for OpError {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind.to_owned(),
            may_be_stored: failure.may_be_stored,
        }
    }
}

pub(super) fn failure(error: &RedisError) -> Failure {
    let (kind, may_be_stored, masters_change) = match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => ("moved", false, true),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => ("no longer master", false, true),
        ErrorKind::Server(ServerErrorKind::ClusterDown) => ("cluster down", false, true),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => ("loading", false, true),
        ErrorKind::Io if error.is_connection_refusal() => ("connection refused", false, true),
        ErrorKind::Io if error.is_timeout() => ("no answer in time", true, true),
        ErrorKind::Io => ("connection lost", true, true),
        _ => ("error", true, false),
    };
    Failure {
        kind,
        may_be_stored,
        masters_change,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_a_write_that_reached_no_master_is_surely_not_stored() {
        let io = |kind: io::ErrorKind| failure(&RedisError::from(io::Error::from(kind)));
        assert!(!io(io::ErrorKind::ConnectionRefused).may_be_stored);
        assert!(io(io::ErrorKind::ConnectionReset).may_be_stored);
        assert!(io(io::ErrorKind::TimedOut).may_be_stored);
        let moved = ErrorKind::Server(ServerErrorKind::Moved);
        let moved = failure(&RedisError::from((moved, "moved")));
        assert_eq!((moved.may_be_stored, moved.masters_change), (false, true));
    }
}
