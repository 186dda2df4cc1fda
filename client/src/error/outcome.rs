//! What came of one request to one replica.
//!
//! It answers two questions for those above: may the replica have stored the write, and is a holder to keep it for that
//! replica?

use core::fmt;

use quoit_ring::NodeId;
use quoit_ring::wire::{DecodeError, Refusal};

/// What is wrong with a response that does not fit its request.
pub(crate) const OTHER_QUESTION: DecodeError =
    DecodeError::Malformed("an answer to another question");

/// The outcome of the request to one replica. Prints as `name: outcome`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The replica.
    pub node: NodeId,
    /// Its name for people.
    pub name: String,
    /// What came of the request.
    pub outcome: Outcome,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.outcome)
    }
}

/// What one replica did with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Outcome {
    /// It carried the request out.
    #[error("done")]
    Done,
    /// It refused, with a reason.
    #[error("{0}")]
    Refused(Refusal),
    /// A later write there has superseded this one.
    #[error("a later write is there already")]
    Superseded,
    /// A later write there has superseded this one, by a stamp too far ahead of this machine's clock to write above it.
    #[error(
        "a later write is there already, stamped {behind_ms} ms ahead of this machine's clock, {max_ms} ms are allowed: this machine's clock is behind, or its writer's was ahead"
    )]
    ClockBehind {
        /// By how much this machine's clock is behind the stamp.
        behind_ms: u64,
        /// How far a stamp may be ahead.
        max_ms: u64,
    },
    /// It took the write, whose value ends early by the clocks of a majority: this machine's clock, and what it remembered
    /// of the nodes', stood still. A write with the right lifetime would have to lie above what may have seen this one.
    #[error(
        "it took the write, but the value ends {early_ms} ms too early by the nodes' clocks: this machine's clock stood still"
    )]
    EndsEarly {
        /// By how much.
        early_ms: u64,
    },
    /// Its answer to a read was left out: its clock is too far ahead of a majority's, and a value that lives by theirs
    /// has expired by its own.
    #[error(
        "its clock is {ahead_ms} ms ahead of what most replicas have reached, {max_ms} ms are allowed: set that node's clock"
    )]
    ClockAhead {
        /// How far ahead.
        ahead_ms: u64,
        /// How far ahead it may be.
        max_ms: u64,
    },
    /// There is no connection to it; nothing was sent.
    #[error("no connection")]
    Unreachable,
    /// The queue of frames for it is full; nothing was sent.
    #[error("too much waits to be sent to it")]
    QueueFull,
    /// The connection broke after the request was sent; it may have been carried out.
    #[error("the connection broke before the answer came")]
    Lost,
    /// It did not answer in time; the request may have been carried out.
    #[error("no answer in time")]
    TimedOut,
    /// Its answer could not be read, or its value does not fit its checksum.
    #[error("a damaged answer: {0}")]
    Damaged(#[from] DecodeError),
    /// Its answer is longer than this client takes, and was passed over: the record holds siblings of other clients, or
    /// their values are longer.
    #[error(
        "its answer has {bytes} bytes, this client takes {max}: raise `max_value_bytes` of this client"
    )]
    AnswerTooLong {
        /// Bytes of the answer.
        bytes: u64,
        /// The most that this client takes, by its [`max_value_bytes`](crate::ClientBuilder::max_value_bytes).
        max: u64,
    },
    /// Another write of the key came first there, as a conditional write found.
    #[error("another write of the key came first")]
    Outbid,
    /// It was not asked.
    #[error("not asked")]
    NotAsked,
}

impl Outcome {
    /// The outcome of a question that was refused. No node refuses a question for the length of a record: the session
    /// does, in place of an answer that it passed over.
    pub(crate) const fn of_question(refusal: Refusal) -> Self {
        match refusal {
            Refusal::RecordTooLarge { bytes, max } => Self::AnswerTooLong { bytes, max },
            other => Self::Refused(other),
        }
    }

    /// Whether a write with this outcome may be stored at the replica.
    ///
    /// ```
    /// # use quoit_client::Outcome;
    /// assert!(!Outcome::Unreachable.may_be_stored(), "nothing was sent");
    /// assert!(Outcome::TimedOut.may_be_stored(), "it may only have been slow");
    /// ```
    #[must_use]
    pub const fn may_be_stored(&self) -> bool {
        match self {
            Self::Done
            | Self::EndsEarly { .. }
            | Self::Lost
            | Self::TimedOut
            | Self::Damaged(_) => true,
            Self::Refused(refusal) => refusal.may_be_stored(),
            Self::Superseded
            | Self::ClockBehind { .. }
            | Self::ClockAhead { .. }
            | Self::Unreachable
            | Self::QueueFull
            | Self::AnswerTooLong { .. }
            | Self::Outbid
            | Self::NotAsked => false,
        }
    }

    /// Whether an owner with this outcome needs a hint. Not one that refused the write itself, which would refuse the
    /// hint too; nor one that is overloaded, since a hint adds load to the cluster.
    pub(crate) const fn is_missed(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::QueueFull
            | Self::Lost
            | Self::TimedOut
            | Self::Damaged(_) => true,
            Self::Refused(refusal) => matches!(
                refusal,
                Refusal::Draining | Refusal::NotReady | Refusal::Behind | Refusal::Storage(_)
            ),
            Self::Done
            | Self::Superseded
            | Self::EndsEarly { .. }
            | Self::ClockBehind { .. }
            | Self::ClockAhead { .. }
            | Self::AnswerTooLong { .. }
            | Self::Outbid
            | Self::NotAsked => false,
        }
    }
}
