//! The seam between a replica and its runtime: clock, executor of writes, and answers.
//!
//! ```text
//!                     real                          simulated
//!   now         the machine's clocks           the simulation's, skewed at will
//!   submit      a queue and one thread         an event some time later
//!   order       the same, between two batches  the same, before the next batch begins
//!   Reply       a connection's output buffer   a message on the simulated network
//! ```
//!
//! Handlers, joins and the commit read clocks, start threads and wait only through [`Env`], so a simulation that
//! implements it runs the code that ships. Left out: randomness, since a replica needs none.

use std::sync::Arc;

use crate::admission::Queue;
use crate::clock::Clocks;
use crate::commit::Order;
use crate::write::Write;

pub use crate::admission::Rejected;
pub use crate::clock::Now;
pub use crate::reply::{Priority, Reply};

/// The runtime of a replica. See the [module](self).
pub trait Env: Send + Sync + 'static {
    /// Where answers go.
    type Reply: Reply;

    /// The present.
    fn now(&self) -> Now;

    /// Hands writes over to the committer, in order; accepted ones are removed from `writes` and answered
    /// later. Never blocks, and never waits for the disk.
    ///
    /// # Errors
    /// [`Rejected`] if not all were accepted; the caller answers those left in `writes`.
    fn submit(&self, writes: &mut Vec<Write<Self::Reply>>) -> Result<(), Rejected>;

    /// Hands an order over to the committer, which carries it out between two batches and answers it. Never blocks.
    ///
    /// # Errors
    /// The order, if it was not accepted; the caller answers it.
    fn order(&self, order: Order<Self::Reply>) -> Result<(), Order<Self::Reply>>;

    /// How many writes wait for their commit.
    fn queued_writes(&self) -> u32;
}

/// The real runtime: the machine's clocks, and the queue of the committing thread.
#[derive(Debug)]
pub(crate) struct RealEnv<R> {
    clocks: Clocks,
    queue: Arc<Queue<R>>,
}

impl<R> RealEnv<R> {
    pub(crate) const fn new(clocks: Clocks, queue: Arc<Queue<R>>) -> Self {
        Self { clocks, queue }
    }
}

impl<R: Reply> Env for RealEnv<R> {
    type Reply = R;

    fn now(&self) -> Now {
        self.clocks.now()
    }

    fn submit(&self, writes: &mut Vec<Write<R>>) -> Result<(), Rejected> {
        self.queue.push(writes, || self.clocks.now().mono)
    }

    fn order(&self, order: Order<R>) -> Result<(), Order<R>> {
        self.queue.order(order)
    }

    fn queued_writes(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }
}
