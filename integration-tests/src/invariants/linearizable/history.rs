//! Operations as a recorder saw them, and what makes a history unfit for judgement.
//!
//! ```text
//!   called ------------- returned at      Returned: took effect at one instant in between
//!   called ------------------------- ..   Unknown:  at any instant from there on, or never
//! ```
//!
//! Times are numbers that order events: nanoseconds of a simulated clock, or the place in a log. Where a
//! call and a return carry the same time the two operations count as overlapping, so a coarse clock can hide
//! a violation but never make one up; numbers that are all different hide nothing.
//!
//! Left out: operations that surely had no effect. Given as if they had returned they would contradict
//! the model; given as unknown they would excuse what no client wrote.

use thiserror::Error;

use crate::history::OpId;

/// The most operations that one object's history may have.
///
/// Far beyond what a search decides when much overlaps; histories of this length belong to mostly idle keys.
pub const MAX_OPERATIONS: usize = 10_000;

/// One operation of a client: what it asked, when, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<O, R> {
    /// Unique within the history.
    pub id: OpId,
    /// The client; shown in reports, without effect on the verdict. A client may have several calls open.
    pub client: u64,
    /// When the call was made.
    pub called: u64,
    /// What was asked for.
    pub op: O,
    /// Its outcome.
    pub end: End<R>,
}

/// How an operation ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<R> {
    /// It returned, and took effect before.
    Returned {
        /// When, not before the call.
        at: u64,
        /// With what.
        ret: R,
    },
    /// No answer, or one that says nothing: it may take effect at any time after its call, or never.
    Unknown,
}

impl<O, R> Operation<O, R> {
    /// When the client had its answer; `None` when the outcome is unknown.
    #[must_use]
    pub const fn returned(&self) -> Option<u64> {
        match self.end {
            End::Returned { at, .. } => Some(at),
            End::Unknown => None,
        }
    }
}

/// A history that cannot be judged. Each is a fault of the recorder.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Judging nothing must not look like a pass.
    #[error("the history is empty")]
    Empty,
    /// More than [`MAX_OPERATIONS`].
    #[error("the history has {count} operations, at most {MAX_OPERATIONS} can be judged")]
    TooLong {
        /// How many there are.
        count: usize,
    },
    /// Two operations share an id.
    #[error("operation #{} is in the history twice", id.0)]
    Duplicate {
        /// The id.
        id: OpId,
    },
    /// An answer came before its question.
    #[error("operation #{} returned at {returned}, before its call at {called}", id.0)]
    ReturnBeforeCall {
        /// Which operation.
        id: OpId,
        /// When it was called.
        called: u64,
        /// When it is said to have returned.
        returned: u64,
    },
}

/// A key whose history cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("key {key:?}")]
pub struct KeyError<K> {
    /// The key.
    pub key: K,
    /// What is wrong with its history.
    pub source: HistoryError,
}
