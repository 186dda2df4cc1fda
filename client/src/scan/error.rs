//! Why a scan fails: what was asked for makes no sense, the token is another's, or too few owners are left.

use bytes::Bytes;

use crate::error::{Attempt, Failed, InvalidRequest, ReadError};

/// A scan that makes no sense. Nothing was sent; it fails the same way until it is changed.
///
/// ```
/// # use quoit_client::InvalidScan;
/// assert_eq!(InvalidScan::Empty.to_string(), "no key can be in the range");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidScan {
    /// The start comes after the end.
    #[error("the range starts behind its end")]
    Backwards,
    /// The range, with its prefix and the key to start after, has room for no key.
    #[error("no key can be in the range")]
    Empty,
    /// A prefix or bound is longer than any key.
    #[error("a bound has {bytes} bytes: a key has 1 to 32,768 bytes")]
    LongBound {
        /// Bytes of the bound.
        bytes: usize,
    },
    /// The limit is 0.
    #[error("a limit of 0 rows asks for nothing")]
    NoRows,
    /// The rows of a page are out of range.
    #[error("pages of {rows} rows: a page has 1 to 512")]
    PageRows {
        /// What was asked for.
        rows: u32,
    },
    /// R or the deadline is out of range.
    #[error(transparent)]
    Request(#[from] InvalidRequest),
}

/// A token that a scan cannot go on from. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadToken {
    /// It was damaged, or is no token.
    #[error("the token is damaged, or none that a scan gave out")]
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
    /// It comes from a scan of another range, or in the other direction.
    #[error("the token comes from a scan of another range, or in the other direction")]
    OtherScan,
}

/// Why a scan failed. It changed no value; repairs may have copied what was there to other replicas.
///
/// What was yielded before stays true. A scan that failed has ended; its [token](crate::ScanStream::token) goes on behind
/// the last key that it has yielded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// What was asked for makes no sense. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidScan),
    /// The token is not one of this scan. Nothing was sent.
    #[error(transparent)]
    Token(#[from] BadToken),
    /// Of some keys fewer than R owners are left that answer. Try again from the token.
    #[error(
        "not scanned any further: {needed} owners of each key are needed, of some too few answer ({})",
        Failed(attempts)
    )]
    Unavailable {
        /// How many of these owners are needed.
        needed: usize,
        /// The owners of such keys, and what became of each.
        attempts: Vec<Attempt>,
    },
    /// A key on which its owners differ could not be read.
    #[error("not scanned any further than the key before {}: {source}", key.escape_ascii())]
    Read {
        /// The key.
        key: Bytes,
        /// Why.
        source: ReadError,
    },
    /// The client is closed, or was ended by a [defect](crate::Client#defects).
    #[error("the client is closed")]
    Closed,
}
