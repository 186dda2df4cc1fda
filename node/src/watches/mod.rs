//! Watches: subscriptions to the keys that have changed, and the polls that wait for them.
//!
//! ```text
//!   Session --poll--> Watches --> answered at once, or waits
//!   committing thread --after each commit--> note(keys) --> polls that wait are answered
//!                     '--each second, or with each batch--> tend
//! ```
//!
//! Each row that a commit changes is noted, whoever brought it: a client, a repair, a hint, a sync, a page that was pulled, the
//! commit of a conditional write, the sweep of what has expired. A row is noted even if only what it has seen changes: the
//! death of a value that this node never had is news to a reader that this node is one of a majority for.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `changes` | what the reader of one subscription has not acknowledged |
//! | `table` | all subscriptions, and which poll waits |
//!
//! Invariant: a key is noted only once its row is committed, so whoever hears of it reads what was noted, or later. Nothing of it is
//! on the disk: a node that restarts knows no subscription, and says so to who polls one. Left out: values.

mod changes;
mod table;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quoit_ring::wire::{Refusal, Response, ResponseFrame, WatchRequest};
use quoit_ring::{Epoch, Time};

use self::table::{Delivery, Polled, Table};
use crate::clock::Now;
use crate::reply::Reply;

/// Epoch and clock of an answer.
pub(crate) type Stamp = (Epoch, Time);

/// A poll that waits, and where its answer goes.
struct Waiter {
    id: u64,
    reply: Box<dyn Receive>,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A caller of any kind.
trait Receive: Send {
    fn receive(&self, frame: &ResponseFrame);
}

impl<R: Reply> Receive for R {
    fn receive(&self, frame: &ResponseFrame) {
        self.send(frame);
        self.flush();
    }
}

/// The subscriptions of a node; shared by handlers and committer.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    table: Mutex<Table<Waiter>>,
}

impl Watches {
    /// How many subscriptions there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// A poll under this id of a frame: its answer, or none if it waits.
    pub(crate) fn poll<R: Reply>(
        &self,
        (id, request): (u64, &WatchRequest),
        reply: &R,
        (stamp, now): (Stamp, Now),
    ) -> Option<Response> {
        let waiter = Waiter {
            id,
            reply: Box::new(reply.clone()),
        };
        let (_, clock) = stamp;
        let (polled, before) = (self.lock()).poll(request, waiter, (now.mono, clock.0));
        deliver(before, stamp);
        match polled {
            Polled::Answer(answer) => Some(Response::Watch(answer)),
            Polled::Waits => None,
            Polled::Refused(watches) => {
                Some(Response::Refused(Refusal::TooManyWatches { watches }))
            }
        }
    }

    /// The rows of these keys have changed, and are committed.
    pub(crate) fn note<'a>(&self, keys: impl Iterator<Item = &'a Bytes>, stamp: Stamp) {
        let deliveries = self.lock().note(keys);
        deliver(deliveries, stamp);
    }

    /// Answers those who have waited long enough, and forgets what nobody polls. To be called once a second at least.
    pub(crate) fn tend(&self, (stamp, now): (Stamp, Now)) {
        let deliveries = self.lock().tend(now.mono);
        deliver(deliveries, stamp);
    }

    fn lock(&self) -> MutexGuard<'_, Table<Waiter>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers without the lock.
fn deliver(deliveries: impl IntoIterator<Item = Delivery<Waiter>>, (epoch, clock): Stamp) {
    for Delivery { waiter, answer } in deliveries {
        waiter.reply.receive(&ResponseFrame {
            id: waiter.id,
            epoch,
            clock,
            response: Response::Watch(answer),
        });
    }
}
