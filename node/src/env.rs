//! The seam: everything a replica needs from the world around it.
//!
//! ```text
//!                     real                          simulated
//!   now         the machine's clocks           the simulation's, skewed at will
//!   submit      a queue and one thread         an event some time later
//!   Reply       a connection's output buffer   a message on the simulated network
//! ```
//!
//! What decides (handlers, joins, the commit) reads no clock, starts no thread and waits for nothing but
//! through [`Env`], so a simulation that implements it runs the very code that ships. Randomness is not in
//! it: a replica draws none.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quoit_ring::Millis;
use quoit_ring::wire::ResponseFrame;

use crate::commit::{Queue, Write};

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall time: comparable between machines, may jump.
    pub wall: Millis,
    /// Time since some fixed instant of this process: never goes back, means nothing elsewhere.
    pub mono: Duration,
}

/// Where the answers to one caller go.
pub trait Reply: Clone + Send + 'static {
    /// Adds an answer; it need not leave before [`Reply::flush`]. Never blocks. If the caller is gone,
    /// the answer is dropped.
    fn send(&self, answer: &ResponseFrame);

    /// Lets what was sent go out. Calling it once after many answers is what makes them share packets.
    fn flush(&self);

    /// Who the caller is: decides whose share of the room its writes take while they wait.
    fn priority(&self) -> Priority {
        Priority::Client
    }
}

/// Whom a write is done for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// A client, or an operator.
    Client,
    /// Another node of the cluster, by its certificate: what it repairs or hands over.
    Peer,
}

/// Why writes were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// They would wait for too long, or there is no room for them.
    Overloaded {
        /// How long a write that came now would wait, as far as that is known, or how long the first one has
        /// waited if that is longer; in milliseconds.
        queue_ms: u32,
    },
    /// The node is stopping, or its storage has failed.
    Closed,
}

/// What a replica needs from the world. See the [module](self).
pub trait Env: Send + Sync + 'static {
    /// Where answers go.
    type Reply: Reply;

    /// The present.
    fn now(&self) -> Now;

    /// Hands writes over to whoever commits them, in order; taken ones are removed from `writes` and
    /// answered later. Never blocks, and never waits for the disk.
    ///
    /// # Errors
    /// [`Rejected`] if not all were taken; those left in `writes` are for the caller to answer.
    fn submit(&self, writes: &mut Vec<Write<Self::Reply>>) -> Result<(), Rejected>;

    /// How many writes wait for their commit.
    fn queued_writes(&self) -> u32;
}

/// The machine's clocks; the one place that reads them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    started: Instant,
}

impl Clocks {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clocks"
    )]
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clocks"
    )]
    pub(crate) fn now(&self) -> Now {
        // A clock set before 1970 reads as 1970: every stamp is then too far ahead, and refused.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            wall: Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
            mono: self.started.elapsed(),
        }
    }
}

/// The real world: the machine's clocks, and the queue of the committing thread.
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

    fn queued_writes(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }
}
