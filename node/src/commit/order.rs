//! Orders: what the committing thread does beside writes, for a change of the ring or a sweep.
//!
//! ```text
//!   a peer's message --handler--.                                     .--> the caller's reply channel
//!                               +--> queue --> committer: carry out --+
//!   this node's own driver -----'                                     '--> Finished, by ticket
//! ```
//!
//! They go through the one thread that commits, between two batches, so a vote, a fence or a page has its place among the
//! writes: what was committed before it is seen by it, and what comes after it sees it.
//!
//! Invariant: each order is answered once, by a [`Response`]. Left out: when which order is given.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quoit_ring::consensus::Ballot;
use quoit_ring::wire::{MembershipRequest, Page, RegisterRequest, Response};
use quoit_ring::{Epoch, Leaf, Millis, NodeId, Time};
use tokio::sync::Notify;

use crate::expiry::Due;

/// One order, and who gets the answer.
#[derive(Debug)]
pub struct Order<R> {
    /// Who asks.
    pub from: Asker<R>,
    /// What is to be done.
    pub task: Task,
}

/// Who gets the answer to an order.
#[derive(Debug)]
pub enum Asker<R> {
    /// Another node, or an operator.
    Caller {
        /// The request's id.
        id: u64,
        /// Where the answer goes.
        reply: R,
    },
    /// This node's rounds of stability: the answer is left at [`StabilityView`](crate::stability::StabilityView).
    Rounds {
        /// By which they know the answer again.
        ticket: u64,
    },
    /// This node itself: the answer is left at [`Finished`].
    Node {
        /// By which it knows the answer again.
        ticket: u64,
    },
    /// This node's sweep: the answer is left at [`ExpiryView`](crate::expiry::ExpiryView).
    Sweep,
}

/// What the committing thread does beside writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Promise to answer no lower ballot about what follows an epoch.
    Prepare {
        /// That epoch.
        after: Epoch,
        /// The proposer's attempt.
        ballot: Ballot,
    },
    /// Accept what shall follow an epoch.
    Accept {
        /// That epoch.
        after: Epoch,
        /// The proposer's attempt.
        ballot: Ballot,
        /// What shall follow: an encoded answer for a side that knows `after`.
        next: Bytes,
    },
    /// Learn of an epoch that is decided.
    Learn {
        /// Which: an encoded answer.
        decided: Bytes,
    },
    /// Refuse all epochs before this one, and say how far this node is in it.
    Fence {
        /// That epoch.
        epoch: Epoch,
    },
    /// Join a page that was pulled, and keep in the same batch how far that is.
    Store {
        /// In which epoch it was pulled.
        epoch: Epoch,
        /// The old owner that it came from.
        source: NodeId,
        /// What came.
        page: Page,
    },
    /// Join rows that another owner has sent to this node, which has lost writes.
    Refill {
        /// In which epoch they were sent.
        epoch: Epoch,
        /// The owner that they came from.
        source: NodeId,
        /// User keys and encoded records.
        rows: Vec<(Bytes, Bytes)>,
    },
    /// Serve reads again: all that was lost is here, as far as others have it.
    Complete {
        /// The epoch whose other owners were asked.
        epoch: Epoch,
    },
    /// Delete rows that this node owns no more, and that a majority of their owners has: those that have not changed.
    Forget {
        /// The epoch by which it owns them no more.
        epoch: Epoch,
        /// User keys, and the encoded records as they were read.
        rows: Vec<(Bytes, Bytes)>,
    },
    /// Refuse clients' writes for ever that are too old, and say how old hints are: [`SyncRequest::Promise`].
    ///
    /// [`SyncRequest::Promise`]: quoit_ring::wire::SyncRequest::Promise
    Promise {
        /// By this clock, or this node's own if that is earlier.
        clock: Time,
        /// None after this time.
        refused: Time,
        /// The epoch of whoever asks: the node must know no other.
        epoch: Epoch,
    },
    /// Raise the floors of leaves: no write up to these times is under way.
    Stabilize {
        /// The epoch in which that was found out.
        epoch: Epoch,
        /// Leaves, and up to when.
        round: Vec<(RangeInclusive<Leaf>, Time)>,
    },
    /// Remove some of the tombstones that nobody needs any more. Answered as heard while there are more, as joined in the end.
    ForgetDead {
        /// The newest epoch.
        epoch: Epoch,
    },
    /// Do a step on the register of a key, in an epoch: for an owner that ends a conditional write of others.
    Register {
        /// That epoch.
        epoch: Epoch,
        /// The key, and the step.
        request: RegisterRequest,
    },
    /// Take what is to be owned again, if nothing is left there of an earlier ownership.
    Take {
        /// In which epoch.
        epoch: Epoch,
    },
    /// Kill what expires by this time of the keys of these entries, and join it as its death from now on.
    Sweep {
        /// That time: a majority of the members has passed it.
        mark: Millis,
        /// Entries that are due by then; none to be ready for them alone.
        due: Vec<Due>,
    },
}

impl Task {
    /// What a message asks for, in the epoch of its frame; `None` if it is answered without the committing thread.
    #[must_use]
    pub fn of(request: MembershipRequest, epoch: Epoch) -> Option<Self> {
        let after = epoch;
        Some(match request {
            MembershipRequest::Prepare { ballot } => Self::Prepare { after, ballot },
            MembershipRequest::Accept { ballot, next } => Self::Accept {
                after,
                ballot,
                next,
            },
            MembershipRequest::Learn { decided } => Self::Learn { decided },
            MembershipRequest::Fence => Self::Fence { epoch },
            _ => return None,
        })
    }

    /// Bytes that it holds while it waits, beside a few fixed ones.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |rows: &[(Bytes, Bytes)]| {
            let bytes = rows.iter().map(|(key, record)| key.len() + record.len());
            bytes.sum::<usize>()
        };
        match self {
            Self::Accept { next: bytes, .. } | Self::Learn { decided: bytes } => bytes.len(),
            Self::Store { page, .. } => of(&page.rows),
            Self::Forget { rows, .. } | Self::Refill { rows, .. } => of(rows),
            Self::Sweep { due, .. } => due.iter().map(|(_, key)| key.len()).sum(),
            Self::Prepare { .. }
            | Self::Fence { .. }
            | Self::Take { .. }
            | Self::Complete { .. }
            | Self::Promise { .. }
            | Self::Stabilize { .. }
            | Self::ForgetDead { .. } => 0,
            Self::Register { request, .. } => request.body_bytes(),
        }
    }
}

/// Answers to the orders that the node itself has given. There are never more of them than orders that it waits for.
#[derive(Debug, Default)]
pub struct Finished {
    answers: Mutex<VecDeque<(u64, Response)>>,
    come: Notify,
}

impl Finished {
    /// Takes what has come, by ticket, in the order in which it was done.
    #[must_use]
    pub fn take(&self) -> Vec<(u64, Response)> {
        self.lock().drain(..).collect()
    }

    /// Waits until something has come that was not taken.
    pub async fn wait(&self) {
        loop {
            // Registered before the look, so nothing comes unnoticed in between.
            let come = self.come.notified();
            if !self.lock().is_empty() {
                return;
            }
            come.await;
        }
    }

    pub(crate) fn push(&self, ticket: u64, response: Response) {
        self.lock().push_back((ticket, response));
        self.come.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Response)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
