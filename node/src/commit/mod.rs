//! Writes: joined in batches, one commit for each, by whoever owns the [`Committer`].
//!
//! ```text
//!   connections --> queue --> take all that waits --> apply --> one engine commit --> sums, clock, acks
//!                                    ^                                  |
//!                                    '------- the next batch gathers ---'
//! ```
//!
//! There is no timer: while one commit waits for the disk, the next batch gathers, so batches grow with load
//! and a lone write waits for nobody. One committer at a time keeps the order of writes per key and makes
//! read, join, write safe without locks or transactions.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`apply()`] | the decision: writes and what is stored in, outcomes and an engine batch out |
//! | [`Committer`] | the effect: commit, then sums, clock and answers, in that order |
//! | [`Shared`] | what readers and the committer share |
//! | [`Sums`], [`Rebuild`] | the Merkle tree, and how it comes back after a start |
//! | [`HintUsage`], [`HintScan`] | how much is kept for other nodes, and how that comes back after a start |
//! | [`Queue`] | the bounded queue before the real committer's thread |
//!
//! Invariants: a write is answered as joined only after its record is committed as durably as configured;
//! the sums and the clock move only after that; a failed commit is the last one. A disk that is nearly full
//! is no failure: writes are refused until there is room.

mod apply;
mod clock_guard;
mod committer;
mod disk_space;
mod hint_usage;
mod index;
mod queue;
mod shared;
mod sums;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use quoit_ring::wire::{Refusal, Response};
use quoit_ring::{Delta, Leaf, NodeId, Record, Time};

use crate::env::{Priority, Reply};

pub(crate) use self::apply::fault_of;
pub use self::apply::{Applied, Rules, apply};
pub use self::committer::Committer;
pub(crate) use self::committer::LEAD_MS;
pub use self::hint_usage::{HintDelta, HintScan, HintUsage};
pub use self::queue::{Queue, Taken};
pub use self::shared::{Limits, Shared};
pub use self::sums::{Rebuild, Sums};

/// Most writes that share one commit; beyond it the gain is small and the last write's wait long.
pub const MAX_BATCH: usize = 512;

/// One write on its way to its commit.
#[derive(Debug)]
pub struct Write<R> {
    /// The request's id, for the answer.
    pub id: u64,
    /// Where the answer goes; nowhere if the node asks it of itself.
    pub reply: Option<R>,
    /// Where what it changes lies.
    pub place: Place,
    /// The user key; its length was checked.
    pub key: Bytes,
    /// Where the key falls.
    pub leaf: Leaf,
    /// What is to be joined.
    pub change: Change,
    /// Bytes of key and record as they came in: what it costs to wait here.
    pub bytes: usize,
    /// When it came in.
    pub arrived: Duration,
    /// When the caller stops waiting; a write that has not begun by then is dropped.
    pub deadline: Duration,
}

impl<R: Reply> Write<R> {
    /// Whose share of the room it takes: what a node asks of itself is work for its peers.
    pub(crate) fn priority(&self) -> Priority {
        self.reply.as_ref().map_or(Priority::Peer, Reply::priority)
    }
}

/// Which of a key's rows a write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The replica of this node.
    Record,
    /// What is kept for another node, which missed it.
    Hint(NodeId),
}

/// What a write joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A client's new write: age, drift and the record's bounds are checked.
    Put(Delta),
    /// What other replicas hold already: old by nature, and never refused for its size.
    Repair(Record),
    /// A hint's target has joined this: it need not be kept any longer, unless more has been added to it since.
    Delivered(Record),
}

impl Change {
    /// The record to be joined.
    #[must_use]
    pub const fn record(&self) -> &Record {
        match self {
            Self::Put(delta) => delta.record(),
            Self::Repair(record) | Self::Delivered(record) => record,
        }
    }
}

/// What became of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its record is joined once the batch is committed.
    Joined,
    /// Its dot was dead already; nothing was joined.
    Superseded {
        /// The stored record names this very dot.
        named: bool,
        /// A dot minted above this is not covered.
        above: Time,
    },
    /// It was refused; nothing was joined.
    Refused(Refusal),
}

impl From<Outcome> for Response {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Joined => Self::Joined,
            Outcome::Superseded { named, above } => Self::Superseded { named, above },
            Outcome::Refused(refusal) => Self::Refused(refusal),
        }
    }
}
