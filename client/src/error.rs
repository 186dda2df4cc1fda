//! Errors: what happened, whether the write may exist, and what to do.
//!
//! ```text
//!   each replica    Attempt { node, name, Outcome }
//!                        \      |      /
//!   the operation    WriteError, ReadError          + needed, acked or answered
//!                        |
//!   may it exist     Stored: No | Maybe | UnderReplicated
//! ```
//!
//! One enum per kind of operation. Its fields are the evidence: replicas needed, replicas that answered, and the
//! outcome at each. Invariant: [`Stored::No`] means that no replica can have stored the write. A write that may be stored
//! comes with its error, and [`Client::retry`](crate::Client::retry) sends it again. `again` says whether another try may help. Left out: how
//! often, which is the caller's decision once an operation has failed.

mod again;
mod outcome;

use core::fmt;
use std::time::Duration;

use quoit_ring::wire::{DecodeError, Refusal};

use crate::sent::SentWrite;

pub(crate) use outcome::OTHER_QUESTION;
pub use outcome::{Attempt, Outcome};

/// Prints the failed attempts, separated by semicolons.
pub(crate) struct Failed<'a>(pub(crate) &'a [Attempt]);

impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = |a: &&Attempt| !matches!(a.outcome, Outcome::Done | Outcome::NotAsked);
        for (index, attempt) in self.0.iter().filter(failed).enumerate() {
            write!(f, "{}{attempt}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// An invalid request. Nothing was sent; it fails the same way until it is changed.
///
/// ```
/// # use quoit_client::InvalidRequest;
/// let error = InvalidRequest::NoMajority { what: "r", asked: 1, needed: 2, n: 3 };
/// assert!(error.to_string().starts_with("r=1 is not a majority of 3 copies"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The key is empty.
    #[error("the key is empty: a key has 1 to 32,768 bytes")]
    EmptyKey,
    /// The key is too long.
    #[error("the key has {bytes} bytes: a key has 1 to 32,768 bytes")]
    LongKey {
        /// Bytes of the key.
        bytes: usize,
    },
    /// The value is larger than the client's limit.
    #[error(
        "the value has {bytes} bytes, the limit is {max}: raise `max_value_bytes` of clients and nodes (up to 16 MiB), or split the value"
    )]
    LargeValue {
        /// Bytes of the value.
        bytes: usize,
        /// The client's `max_value_bytes`.
        max: usize,
    },
    /// R or W is zero or more than N.
    #[error("{what}={asked} is out of range: the ring keeps {n} copies of a key")]
    OutOfRange {
        /// `r` or `w`.
        what: &'static str,
        /// What was asked.
        asked: u8,
        /// N.
        n: usize,
    },
    /// R or W is not a majority, which quorum mode requires.
    #[error(
        "{what}={asked} is not a majority of {n} copies: quorum mode needs {needed}, or choose consistency `one`"
    )]
    NoMajority {
        /// `r` or `w`.
        what: &'static str,
        /// What was asked.
        asked: u8,
        /// The least majority.
        needed: usize,
        /// N.
        n: usize,
    },
    /// The bytes are not those of a context.
    #[error("the context is not one that a read gave out: {0}")]
    Context(#[from] DecodeError),
    /// The context has seen a time too far ahead of this machine's clock.
    #[error(
        "the context comes from {ahead_ms} ms in the future, {max_ms} ms are allowed: check this machine's clock"
    )]
    FutureContext {
        /// How far ahead.
        ahead_ms: u64,
        /// How far ahead it may be.
        max_ms: u64,
    },
    /// The time to live is zero or too long to store.
    #[error("a time to live of {0:?} is out of range: 1 ms to 100 years")]
    TimeToLive(Duration),
    /// The text names no conditional write.
    #[error("the text names no conditional write: it is printed with an unknown outcome")]
    Operation,
    /// A linearizable write replaces whatever is there: it takes no context.
    #[error("a linearizable write takes no context: use compare_and_set with a condition")]
    ContextOfLinearizable,
    /// The deadline is zero, or longer than nodes accept a write for.
    #[error("a deadline of {0:?} is out of range: 1 ms to 30 s")]
    Deadline(Duration),
}

/// This machine's clock differs too much from those of the nodes that keep the key: a majority of them where it is
/// behind, so many that fewer than W would store the write where it is ahead.
///
/// ```
/// # use quoit_client::ClockSkew;
/// let skew = ClockSkew::Behind { behind_ms: 50_012, max_ms: 1_000 };
/// assert!(skew.to_string().starts_with("this machine's clock is 50012 ms behind"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClockSkew {
    /// A write would lose against others that were made before it, and what it lets live would end early.
    #[error(
        "this machine's clock is {behind_ms} ms behind those of the nodes, {max_ms} ms are allowed: set this machine's clock"
    )]
    Behind {
        /// How far behind.
        behind_ms: u64,
        /// How far behind it may be.
        max_ms: u64,
    },
    /// Nodes would refuse a write as stamped in their future.
    #[error(
        "this machine's clock is {ahead_ms} ms ahead of those of the nodes, {max_ms} ms are allowed: set this machine's clock"
    )]
    Ahead {
        /// How far ahead.
        ahead_ms: u64,
        /// How far ahead it may be.
        max_ms: u64,
    },
}

/// Whether a failed write may exist; see [`WriteError::stored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// On no replica for certain: safe to try again.
    No,
    /// Unknown: on no replica, on some, or on W. [`Client::retry`](crate::Client::retry) it, or read the key. A second put
    /// is another write.
    Maybe,
    /// On some replicas, but fewer than W. Reads may see it, and repair may spread it;
    /// [`Client::retry`](crate::Client::retry) brings it to W.
    UnderReplicated,
}

/// Why a put or delete failed. [`WriteError::stored`] says whether the write may exist.
///
/// ```
/// use quoit_client::{SentWrite, Stored, WriteError};
///
/// fn advice(error: &WriteError) -> &'static str {
///     match error.stored() {
///         Stored::No => "nothing happened: put again, or report it",
///         _ if error.can_retry() => "`Client::retry`, which sends the same write again",
///         Stored::Maybe | Stored::UnderReplicated => "read the key: it is too late for a retry",
///     }
/// }
/// # let write = SentWrite::default();
/// let thin = WriteError::UnderReplicated { acked: 1, needed: 2, attempts: vec![], write };
/// assert_eq!(thin.stored(), Stored::UnderReplicated);
/// assert_eq!(advice(&WriteError::Abandoned), "read the key: it is too late for a retry");
/// assert_eq!(WriteError::Closed.stored(), Stored::No);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The request is invalid. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// This machine's clock is wrong, or those of most nodes are. Nothing was sent to be stored; it fails the same way
    /// until a clock is set.
    #[error("not written: {0}")]
    ClockSkew(#[from] ClockSkew),
    /// No replica stored it. Safe to try again.
    #[error(
        "not written: {needed} of {n} replicas needed, none stored it ({})",
        Failed(attempts)
    )]
    NotStored {
        /// W.
        needed: usize,
        /// N.
        n: usize,
        /// The outcome of every attempt.
        attempts: Vec<Attempt>,
    },
    /// Fewer than W replicas stored it. Reads may or may not see it, and repair spreads it;
    /// [`Client::retry`](crate::Client::retry) makes sure.
    #[error(
        "written too thinly: {acked} of the {needed} replicas needed stored it ({})",
        Failed(attempts)
    )]
    UnderReplicated {
        /// Replicas that stored it.
        acked: usize,
        /// W.
        needed: usize,
        /// The outcome of every attempt.
        attempts: Vec<Attempt>,
        /// The write, to send it again.
        write: SentWrite,
    },
    /// It may or may not be stored. [`Client::retry`](crate::Client::retry) sends the same write again; or read the key to
    /// find out. A second put is another write, with the same value too: it may leave the value twice, or replace what
    /// others wrote in between.
    #[error(
        "outcome unknown: {acked} of the {needed} replicas needed confirmed it ({})",
        Failed(attempts)
    )]
    Unknown {
        /// Replicas that confirmed it.
        acked: usize,
        /// W.
        needed: usize,
        /// The outcome of every attempt.
        attempts: Vec<Attempt>,
        /// The write, to send it again.
        write: SentWrite,
    },
    /// A linearizable write may have happened, or may happen yet. [`Client::outcome`](crate::Client::outcome) finds out which, and bars it
    /// if it has not.
    #[error(
        "outcome unknown: a majority, {needed} owners, did not confirm it in time ({}): ask for the outcome of {operation}",
        Failed(attempts)
    )]
    Undecided {
        /// The least majority.
        needed: usize,
        /// The outcome of every attempt.
        attempts: Vec<Attempt>,
        /// The write, to ask what became of it.
        operation: crate::ConditionalOp,
    },
    /// A linearizable write may have happened, and a put without a context has replaced what was there since: nobody knows any more.
    /// It will not happen from now on. Read the key, and go by what is there.
    #[error(
        "outcome unknown: it may have happened, and a put without a context has replaced what was there since: read the key"
    )]
    Replaced {
        /// The write.
        operation: crate::ConditionalOp,
    },
    /// The client is closed, or was ended by a [defect](crate::Client#defects); nothing was sent.
    #[error("the client is closed")]
    Closed,
    /// The client was closed while the write was under way, or ended by a [defect](crate::Client#defects): it may or may
    /// not be stored.
    #[error("the client was closed while the write was under way")]
    Abandoned,
}

impl WriteError {
    /// Whether the write may exist.
    #[must_use]
    pub const fn stored(&self) -> Stored {
        match self {
            Self::Invalid(_) | Self::ClockSkew(_) | Self::NotStored { .. } | Self::Closed => {
                Stored::No
            }
            Self::UnderReplicated { .. } => Stored::UnderReplicated,
            Self::Unknown { .. }
            | Self::Undecided { .. }
            | Self::Replaced { .. }
            | Self::Abandoned => Stored::Maybe,
        }
    }

    /// The write that may be stored, as it was sent; `None` if it surely is not, or if the client was closed.
    #[must_use]
    pub const fn write(&self) -> Option<&SentWrite> {
        match self {
            Self::UnderReplicated { write, .. } | Self::Unknown { write, .. } => Some(write),
            _ => None,
        }
    }

    /// It was sent again, and what came of that will not be known.
    pub(crate) fn left_open(self) -> Self {
        match self {
            Self::UnderReplicated {
                acked,
                needed,
                attempts,
                write,
            } => Self::Unknown {
                acked,
                needed,
                attempts,
                write: write.left_open(),
            },
            other => other,
        }
    }

    /// Whether [`Client::retry`](crate::Client::retry) can still help: the write is here to be sent again, and W replicas
    /// are left that have neither refused it as too old nor had a later write.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        let (Self::UnderReplicated {
            needed,
            attempts,
            write,
            ..
        }
        | Self::Unknown {
            needed,
            attempts,
            write,
            ..
        }) = self
        else {
            return false;
        };
        let is_open = |attempt: &&Attempt| {
            !matches!(
                attempt.outcome,
                Outcome::Superseded | Outcome::Refused(Refusal::TooOld { .. })
            )
        };
        // Behind the owners stand the nodes that were to keep it for one of them, which count in its place.
        let open = |owners| attempts.iter().take(owners).filter(is_open).count();
        write
            .sent()
            .is_some_and(|sent| open(sent.owners) >= *needed)
    }
}

/// Why a get failed. A failed read changed no value; a repair may have copied what was there to other replicas.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The request is invalid. Nothing was sent.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// Fewer than R replicas answered. Try again, or ask for less.
    #[error(
        "not read: {answered} of the {needed} replicas needed answered ({})",
        Failed(attempts)
    )]
    Unavailable {
        /// Replicas that answered.
        answered: usize,
        /// R.
        needed: usize,
        /// The outcome of every attempt.
        attempts: Vec<Attempt>,
    },
    /// The newest state could not be written back to enough replicas, so a later read might miss it. Try again.
    #[error(
        "not read: the newest state is on {held} replicas, {needed} must hold it before it may be returned ({})",
        Failed(attempts)
    )]
    Unstable {
        /// Replicas known to hold it.
        held: usize,
        /// How many must hold it for every later quorum read to meet one: N less a majority, plus one.
        needed: usize,
        /// The outcome of every attempt.
        attempts: Vec<Attempt>,
    },
    /// The client is closed, or was ended by a [defect](crate::Client#defects).
    #[error("the client is closed")]
    Closed,
}

/// Why a question to one node failed, for [`Client::status`](crate::Client::status) and
/// [`Client::inspect`](crate::Client::inspect). Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The outcome of the request.
    #[error("{0}")]
    Failed(Outcome),
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a client could not be made. No thread and no connection is left;
/// [`ClientBuilder::connect`](crate::ClientBuilder::connect) has an example.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No seed was given.
    #[error("no seed address: give the address of at least one node")]
    NoSeeds,
    /// No certificates were given.
    #[error(
        "no certificates: give a profile, or the cluster's CA with this client's certificate and key"
    )]
    NoCertificates,
    /// A setting is out of range.
    #[error("{name} is out of range: {allowed}")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// The profile file cannot be used.
    #[error(transparent)]
    Profile(#[from] crate::profile::ProfileError),
    /// No seed gave its cluster map in time. Try again once a node is up.
    #[error("no seed answered: {}", Tried(tried))]
    NoSeedAnswered {
        /// Each address and its error.
        tried: Vec<(String, String)>,
    },
    /// The operating system gave no socket or thread.
    #[error("no socket or thread for the client: {0}")]
    System(#[source] std::io::Error),
}

/// Prints the error of each seed; neighbours with the same error share it.
struct Tried<'a>(&'a [(String, String)]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, same) in self.0.chunk_by(|a, b| a.1 == b.1).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let addresses: Vec<&str> = same.iter().map(|(address, _)| address.as_str()).collect();
            let why = same.first().map_or("", |(_, why)| why.as_str());
            write!(f, "{separator}{}: {why}", addresses.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::NodeId;

    use super::*;

    #[test]
    fn seeds_with_the_same_error_are_printed_together() {
        let seed = |address: &str, why: &str| (address.to_owned(), why.to_owned());
        let tried = vec![
            seed("a:1", "nobody"),
            seed("b:1", "nobody"),
            seed("c:1", "wrong CA"),
        ];
        let error = ConnectError::NoSeedAnswered { tried };
        assert_eq!(
            error.to_string(),
            "no seed answered: a:1, b:1: nobody; c:1: wrong CA"
        );
    }

    #[test]
    fn only_failed_attempts_are_printed() {
        let attempt = |name: &str, outcome| Attempt {
            node: NodeId(1),
            name: name.into(),
            outcome,
        };
        let attempts = vec![attempt("n1", Outcome::Done), attempt("n2", Outcome::Lost)];
        let error = WriteError::Unknown {
            acked: 1,
            needed: 2,
            attempts,
            write: SentWrite::default(),
        };
        assert_eq!(error.stored(), Stored::Maybe);
        assert!(!error.can_retry(), "it carries no write");
        let expected = "outcome unknown: 1 of the 2 replicas needed confirmed it \
                    (n2: the connection broke before the answer came)";
        assert_eq!(error.to_string(), expected);
    }
}
