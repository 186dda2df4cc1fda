//! Refusals: why a node did not carry a request out.
//!
//! ```text
//!   scope Request   this key, record or stamp         another request to the node may pass
//!         Node      the node at present               this request may pass later
//!         Sender    the sender's ring or certificate  none of its kind passes until that changes
//! ```
//!
//! Invariant: variants keep their number; new ones go last.

use bincode::{Decode, Encode};

use crate::version::BadDelta;
use crate::wire::sync::BadNodes;

/// Why a node did not carry a request out. Nothing was changed at that node by it, unless
/// [`Refusal::may_be_stored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The node does not own the key in its ring.
    #[error("the node is not a replica of this key: its ring differs")]
    NotReplica,
    /// The sender's epoch is older than those that the node serves.
    #[error("the ring has moved on: fetch the newer map")]
    OldEpoch,
    /// The sender's certificate does not allow the request.
    #[error("the certificate's role does not allow this request")]
    Forbidden,
    /// The key is empty or over [`MAX_KEY`](crate::wire::MAX_KEY).
    #[error("a key has 1 to 32,768 bytes, this one has {bytes}")]
    BadKey {
        /// Bytes of the key.
        bytes: u64,
    },
    /// The value is over the node's limit.
    #[error("the value has {bytes} bytes, the node allows {max}")]
    ValueTooLarge {
        /// Bytes of the value.
        bytes: u64,
        /// The node's `max_value_bytes`.
        max: u64,
    },
    /// The write would leave more siblings than the node allows; a repair, more than all replicas of the key may hold
    /// together.
    #[error(
        "the key has {max} siblings, no more are allowed: read it, merge, and put with the context"
    )]
    TooManySiblings {
        /// The node's `max_siblings`; of a repair, as often as there are copies of a key.
        max: u32,
    },
    /// The write would make the record larger than the node allows; a repair, larger than all replicas of the key may
    /// hold together.
    #[error(
        "the key's record would have {bytes} bytes, the node allows {max}: merge its siblings, or write less"
    )]
    RecordTooLarge {
        /// Bytes the record would have.
        bytes: u64,
        /// The node's `max_record_bytes`; of a repair, as often as there are copies of a key.
        max: u64,
    },
    /// The write's stamp is too far ahead of the node's wall clock.
    #[error(
        "the write is stamped {ahead_ms} ms ahead of the node's clock, {max_ms} ms are allowed: check the clocks"
    )]
    ClockAhead {
        /// How far ahead.
        ahead_ms: u64,
        /// The node's `max_clock_drift`.
        max_ms: u64,
    },
    /// The write's stamp is older than the node accepts.
    #[error(
        "the write is {age_ms} ms old by the node's clock, the node takes none older than {max_ms} ms: check the clocks"
    )]
    TooOld {
        /// How old.
        age_ms: u64,
        /// The node's `max_write_age`.
        max_ms: u64,
    },
    /// The record is not one that a write can add.
    #[error("the record is not a well-formed write")]
    BadRecord,
    /// The deadline passed before the node began.
    #[error("the deadline had passed before the node began")]
    Expired,
    /// The node is overloaded.
    #[error("the node is overloaded: its queue is {queue_ms} ms long")]
    Overloaded {
        /// How long a write would wait there, or how long the first one has waited, if that is longer, in milliseconds.
        queue_ms: u32,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Draining,
    /// The node is not ready to answer this yet.
    #[error("the node is not ready for this yet")]
    NotReady,
    /// The storage engine failed.
    #[error("the node's storage: {0}")]
    Storage(Fault),
    /// The store of hints is full.
    #[error(
        "the node keeps {bytes} bytes of hints already, {max} are allowed: bring the target back or replace it"
    )]
    HintsFull {
        /// Bytes kept: for the target, or for all targets, whichever is at its bound.
        bytes: u64,
        /// That bound: the node's `max_hint_bytes_per_node`, or `max_hint_bytes`.
        max: u64,
    },
    /// The record would have seen more writers' intervals than the node allows.
    #[error(
        "the key's record would have seen {intervals} intervals of writers, the node allows {max}: put the key once without a context"
    )]
    SeenTooLarge {
        /// Intervals that the record would have.
        intervals: u64,
        /// The node's bound.
        max: u64,
    },
    /// The sender's epoch is newer than those that the node knows.
    #[error("the node is behind: it has not learned of the newer ring yet")]
    Behind,
    /// Sums or keys were asked for of nodes of the tree that are none, too many, out of order, or not shared with the sender.
    #[error("these parts of the Merkle tree cannot be compared")]
    BadNodes,
    /// The sender's epoch comes from another recovery of the cluster than the node's: the two are two clusters since.
    #[error(
        "the node is in another recovery of the cluster: it was recovered twice, and one of the two must go, see `quoit status`"
    )]
    OtherRecovery,
    /// The node has lost its last writes with its machine's power, and answers no reads until it has them from others.
    #[error(
        "the node is incomplete: it lost its last writes in a loss of power, and answers no reads until it has them \
         from the other owners"
    )]
    Incomplete,
    /// The ballot of a conditional write was used for another value: its proposer is none of ours.
    #[error("the ballot was used for another value")]
    BallotReused,
    /// The node has as many subscriptions as it may, or as many bytes of them.
    #[error(
        "the node has {watches} subscriptions and takes no more: watch fewer keys, or a prefix"
    )]
    TooManyWatches {
        /// How many it has.
        watches: u32,
    },
}

/// What is wrong with a node's storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The disk has no space for a write; none was begun.
    #[error("the disk is full: free space")]
    NoSpace,
    /// What is stored cannot be read.
    #[error("what is stored is damaged: replace the node")]
    Corrupt,
    /// Reading or writing failed; the node has to be restarted.
    #[error("reading or writing failed: see the node's log and restart it")]
    Failed,
    /// The disk filled up while something was written; the node has to be restarted.
    #[error("the disk filled up during a write: free space and restart the node")]
    Filled,
}

impl Refusal {
    /// Whether the refused write could be stored at that node all the same. Only a commit that failed
    /// half-way leaves that open.
    ///
    /// ```
    /// # use quoit_ring::wire::{Fault, Refusal};
    /// assert!(!Refusal::NotReplica.may_be_stored());
    /// assert!(!Refusal::Storage(Fault::NoSpace).may_be_stored());
    /// assert!(Refusal::Storage(Fault::Failed).may_be_stored());
    /// ```
    #[must_use]
    pub const fn may_be_stored(self) -> bool {
        matches!(self, Self::Storage(Fault::Failed | Fault::Filled))
    }

    /// What the refusal is about, and so whether another request to the same node may pass. Every kind is decided
    /// here, so that a new one cannot be forgotten.
    ///
    /// ```
    /// # use quoit_ring::wire::{Refusal, RefusalScope};
    /// assert_eq!(Refusal::BadRecord.scope(), RefusalScope::Request);
    /// assert_eq!(Refusal::Draining.scope(), RefusalScope::Node);
    /// assert_eq!(Refusal::OldEpoch.scope(), RefusalScope::Sender);
    /// ```
    #[must_use]
    pub const fn scope(self) -> RefusalScope {
        match self {
            // One damaged row, too: the node serves the others.
            Self::NotReplica
            | Self::BadKey { .. }
            | Self::ValueTooLarge { .. }
            | Self::TooManySiblings { .. }
            | Self::RecordTooLarge { .. }
            | Self::ClockAhead { .. }
            | Self::TooOld { .. }
            | Self::BadRecord
            | Self::BadNodes
            | Self::BallotReused
            | Self::HintsFull { .. }
            | Self::SeenTooLarge { .. }
            | Self::TooManyWatches { .. }
            | Self::Storage(Fault::Corrupt) => RefusalScope::Request,
            Self::Expired
            | Self::Overloaded { .. }
            | Self::Draining
            | Self::NotReady
            | Self::Behind
            | Self::Incomplete
            | Self::Storage(Fault::NoSpace | Fault::Failed | Fault::Filled) => RefusalScope::Node,
            Self::OldEpoch | Self::Forbidden | Self::OtherRecovery => RefusalScope::Sender,
        }
    }
}

/// What a [`Refusal`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalScope {
    /// This request: its key, its record or its stamp. Others may pass.
    Request,
    /// The node at present: hardly any request would pass. This one may pass later.
    Node,
    /// The sender: its ring or its certificate. No request of its kind passes until that changes.
    Sender,
}

impl From<BadDelta> for Refusal {
    fn from(_reason: BadDelta) -> Self {
        Self::BadRecord
    }
}

impl From<BadNodes> for Refusal {
    fn from(_reason: BadNodes) -> Self {
        Self::BadNodes
    }
}
