//! Why a watch ends: what was asked for makes no sense, the token is another's, or the client is closed.

use crate::error::InvalidRequest;

/// A token that a watch cannot go on from. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadWatchToken {
    /// It was damaged, or is no token.
    #[error("the token is damaged, or none that a watch gave out")]
    Damaged,
    /// It was given out by a later version of this library.
    #[error("the token has format {version}, this version knows format 1")]
    Version {
        /// The format.
        version: u8,
    },
    /// It comes from another cluster.
    #[error("the token comes from another cluster")]
    OtherCluster,
    /// It comes from a watch of another key or prefix.
    #[error("the token comes from a watch of another key or prefix")]
    OtherWatch,
}

/// Why a watch failed. It changed no value. What was yielded before stays true.
///
/// Nodes that do not answer end no watch: it [lags](crate::WatchEvent::Lagged) until they do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The key, the prefix or the deadline is out of bounds. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// The token is not one of this watch. Nothing was sent.
    #[error(transparent)]
    Token(#[from] BadWatchToken),
    /// The client is closed, or was ended by a [defect](crate::Client#defects).
    #[error("the client is closed")]
    Closed,
}
