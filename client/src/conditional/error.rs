//! Why a conditional write was not decided, and whether it may exist.

use super::ConditionalOp;
use crate::error::{Attempt, Failed, InvalidRequest, Stored};

/// Why a conditional write was not decided.
///
/// ```
/// use quoit_client::{Stored, SwapError};
///
/// assert_eq!(SwapError::Closed.stored(), Stored::No);
/// assert_eq!(SwapError::Abandoned.stored(), Stored::Maybe);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// The request is invalid. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// Too few owners took part for a majority, and nothing was proposed to any. Safe to try again.
    #[error(
        "not written: a majority, {needed} owners, did not take part in time ({})",
        Failed(attempts)
    )]
    NotApplied {
        /// The least majority.
        needed: usize,
        /// The outcome of every attempt of the last round.
        attempts: Vec<Attempt>,
    },
    /// It was proposed, and no majority confirmed it in time: it may have happened, or may happen yet.
    /// [`Client::outcome`](crate::Client::outcome) finds out which, and bars it if it has not.
    #[error(
        "outcome unknown: a majority, {needed} owners, did not confirm it in time ({}): ask for the outcome of {operation}",
        Failed(attempts)
    )]
    Unknown {
        /// The least majority.
        needed: usize,
        /// The outcome of every attempt of the last round.
        attempts: Vec<Attempt>,
        /// The write, to ask what became of it.
        operation: ConditionalOp,
    },
    /// It was proposed, and before it was confirmed a put without a context replaced what was there: whether it had happened by then,
    /// nobody knows any more. It will not happen from now on. Read the key, and go by what is there.
    #[error(
        "outcome unknown: it may have happened, and a put without a context has replaced what was there since: read the key"
    )]
    Replaced {
        /// The write.
        operation: ConditionalOp,
    },
    /// Others were first a thousand times: nothing was written.
    #[error("not written: others were first a thousand times")]
    Contended,
    /// The client is closed; nothing was sent.
    #[error("the client is closed")]
    Closed,
    /// The client was closed while the write was under way: it may or may not happen.
    #[error("the client was closed while the write was under way")]
    Abandoned,
}

impl SwapError {
    /// Whether the write may exist.
    #[must_use]
    pub const fn stored(&self) -> Stored {
        match self {
            Self::Invalid(_) | Self::NotApplied { .. } | Self::Contended | Self::Closed => {
                Stored::No
            }
            Self::Unknown { .. } | Self::Replaced { .. } | Self::Abandoned => Stored::Maybe,
        }
    }
}
