//! Where the handles of a client and its driver meet.
//!
//! ```text
//!   CallerEnd, shared by all clones               DriverEnd, in the one driver
//!   submit --> inbox -------------------------------> poll_take, take
//!   topology <-- behind a lock <---------------------- publish
//!   close  --> inbox closed --------------------------> is_finished
//!   ended  <------------------------------------------ dropped: inbox shut
//! ```
//!
//! The same for a client with a thread and for one that its owner drives. Invariants: once the driver's end is dropped,
//! for whatever reason, the inbox is empty and refuses submissions, so that no caller waits for ever; once the callers'
//! end is dropped, the driver learns that nothing more comes. Readers of the topology and a change of it lock it; a get or
//! put never does.

use core::fmt;
use core::task::{Context, Poll};
use std::sync::{Arc, PoisonError, RwLock};

use quoit_ring::change::Topology;
use tokio::sync::watch;

use crate::inbox::Inbox;
use crate::operation::Submission;

/// Keeps the client alive: callers learn when the last one is dropped.
pub(crate) type Alive = watch::Sender<()>;

/// What both ends share.
#[derive(Debug)]
struct Shared {
    inbox: Inbox,
    topology: RwLock<Topology>,
}

/// The callers' end. Dropping it closes the client without waiting.
pub(crate) struct CallerEnd {
    shared: Arc<Shared>,
    ended: watch::Receiver<()>,
}

/// The driver's end. Dropping it ends the client.
pub(crate) struct DriverEnd {
    shared: Arc<Shared>,
    alive: Alive,
}

/// Both ends, over the first topology.
pub(crate) fn bridge(topology: &Topology) -> (CallerEnd, DriverEnd) {
    let (alive, ended) = watch::channel(());
    let shared = Arc::new(Shared {
        inbox: Inbox::new(),
        topology: RwLock::new(topology.clone()),
    });
    let callers = CallerEnd {
        shared: Arc::clone(&shared),
        ended,
    };
    (callers, DriverEnd { shared, alive })
}

impl CallerEnd {
    /// Hands an operation over; false if the client is closed.
    pub(crate) fn submit(&self, submission: Submission) -> bool {
        self.shared.inbox.push(submission)
    }

    /// Hands several over, of which none is left then; false if the client is closed.
    pub(crate) fn submit_all(&self, submissions: &mut Vec<Submission>) -> bool {
        self.shared.inbox.push_all(submissions)
    }

    /// Who owns what. Shares the rings.
    pub(crate) fn topology(&self) -> Topology {
        let topology = self.shared.topology.read();
        topology.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses further operations and waits for the client's end. Any number of calls, at once or in
    /// turn, do the same.
    pub(crate) async fn close(&self) {
        self.shared.inbox.close();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for CallerEnd {
    fn drop(&mut self) {
        self.shared.inbox.close();
    }
}

impl DriverEnd {
    /// Something that puts the client's end off as long as it lives.
    pub(crate) fn alive(&self) -> Alive {
        self.alive.clone()
    }

    /// Swaps all submissions into `batch`, which must be empty, or wakes `cx` at the first. False once the
    /// callers have closed the client and nothing is left.
    pub(crate) fn poll_take(&self, batch: &mut Vec<Submission>, cx: &Context<'_>) -> Poll<bool> {
        self.shared.inbox.poll_take(batch, cx)
    }

    /// Swaps all submissions into `batch`, which must be empty.
    pub(crate) fn take(&self, batch: &mut Vec<Submission>) {
        self.shared.inbox.take(batch);
    }

    /// Whether no submission waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.inbox.is_empty()
    }

    /// Whether the callers have closed the client and no submission waits.
    pub(crate) fn is_finished(&self) -> bool {
        self.shared.inbox.is_finished()
    }

    /// Shows callers who owns what.
    pub(crate) fn publish(&self, topology: &Topology) {
        let held = self.shared.topology.write();
        *held.unwrap_or_else(PoisonError::into_inner) = topology.clone();
    }
}

impl Drop for DriverEnd {
    fn drop(&mut self) {
        self.shared.inbox.shut();
    }
}

impl fmt::Debug for CallerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerEnd")
            .field("epoch", &self.topology().epoch())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DriverEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverEnd").finish_non_exhaustive()
    }
}
