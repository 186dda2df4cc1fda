//! One write on its way from a caller to its commit.
//!
//! ```text
//!   lane --> handler: Write --> admission queue --> committer --> apply --> engine
//! ```
//!
//! A write carries all that later steps need: the record to join and its destination, the caller's reply channel,
//! and the moments that bound its wait. Left out: every decision.

use bytes::Bytes;
use quoit_ring::register::{Accepted, Ballot};
use quoit_ring::{Delta, Epoch, Leaf, Moment, NodeId, Record};

use crate::reply::{Priority, Reply};

/// One write on its way to its commit.
#[derive(Debug)]
pub struct Write<R> {
    /// The request's id, for the answer.
    pub id: u64,
    /// The epoch in which its sender looked up the owners; none if the node itself asks.
    pub epoch: Option<Epoch>,
    /// The reply channel of the caller; none if the node itself asks.
    pub reply: Option<R>,
    /// Which of the key's rows it changes.
    pub destination: Destination,
    /// The user key; its length was checked.
    pub key: Bytes,
    /// The leaf of the key.
    pub leaf: Leaf,
    /// The change to join.
    pub change: Change,
    /// Bytes of key and record as received: its share of the queue's bytes.
    pub bytes: usize,
    /// When it arrived.
    pub arrived: Moment,
    /// When the caller stops waiting; a write whose commit has not begun by then is dropped.
    pub deadline: Moment,
}

impl<R> Write<R> {
    /// What it adds to the disk.
    #[must_use]
    pub fn growth(&self) -> Growth {
        match (&self.change, self.destination) {
            (Change::Delivered(_), _) => Growth::Removal,
            (_, Destination::Hint(_)) => Growth::Hint,
            (change, Destination::Record)
                if change
                    .record()
                    .is_none_or(|record| record.live().is_empty()) =>
            {
                Growth::Removal
            }
            (_, Destination::Record) => Growth::Value,
        }
    }
}

impl<R: Reply> Write<R> {
    /// Which share of the queue it takes; a node's own writes count as its peers'.
    pub(crate) fn priority(&self) -> Priority {
        self.reply.as_ref().map_or(Priority::Peer, Reply::priority)
    }
}

/// Which of a key's rows a write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// The replica of this node.
    Record,
    /// The hint kept for another node, which missed the write.
    Hint(NodeId),
}

/// What a write adds to the disk; see [`DiskLevel`](quoit_ring::wire::DiskLevel).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// A copy that is kept for another node, a tombstone's too.
    Hint,
    /// Values.
    Value,
    /// Nothing that lasts: a tombstone, or the removal of a hint.
    Removal,
}

/// The change that a write makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A client's new write: age, drift and the record's bounds are checked.
    Put(Delta),
    /// A record that other replicas hold already: never refused for its age, and only beyond the bounds on what all of
    /// them may hold together.
    Repair(Record),
    /// A record that this node has lost, from another owner of its leaf.
    Restored(Record),
    /// A hint that its target has joined: it is removed, unless more has been added to it since.
    Delivered(Record),
    /// A step of a conditional write, or of a linearizable read.
    Register(Box<Step>),
}

/// A step on the register of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing but an answer.
    Look,
    /// A promise to take nothing below this ballot.
    Prepare(Ballot),
    /// A value that is pending from then on, by this ballot.
    Accept(Ballot, Record),
    /// The same without a prepare before it: what it extends was chosen by the ballot before.
    Extend(Ballot, Record),
    /// The value of this ballot is joined; given for an owner that may not have it.
    Commit(Ballot, Option<Record>),
    /// What another owner has accepted, before this one owns the key alone.
    Take(Accepted),
    /// Nothing but an answer, once the turn of its proposer has come. Whether it had to wait for that is found out on the way.
    AwaitTurn {
        /// It had.
        contended: bool,
    },
    /// Nothing but an answer: the turn of its proposer is over.
    EndTurn,
}

impl Step {
    /// Whether somebody's turn begins or ends with it.
    pub(crate) const fn is_about_turns(&self) -> bool {
        matches!(
            self,
            Self::AwaitTurn { .. } | Self::EndTurn | Self::Commit(..)
        )
    }
}

impl Change {
    /// The record to be joined, at once or later; none of a step that brings none.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Put(delta) => Some(delta.record()),
            Self::Repair(record) | Self::Delivered(record) | Self::Restored(record) => Some(record),
            Self::Register(step) => match &**step {
                Step::Look | Step::Prepare(_) | Step::AwaitTurn { .. } | Step::EndTurn => None,
                Step::Accept(_, record) | Step::Extend(_, record) => Some(record),
                Step::Commit(_, record) => record.as_ref(),
                Step::Take(theirs) => theirs.value.as_ref(),
            },
        }
    }

    /// The step, if it is one on a register.
    #[must_use]
    pub fn step(&self) -> Option<&Step> {
        match self {
            Self::Register(step) => Some(step),
            _ => None,
        }
    }
}
