//! The seam between the client's decisions and the world.
//!
//! ```text
//!   Client handles --> inbox --> Driver<E: Env> --> Coordinator (pure)
//!                                    |
//!                                    E: clock, randomness, frames out
//! ```
//!
//! Everything above this trait is deterministic: it sees time and randomness only as [`Now`]. One
//! implementation talks QUIC in real time; a simulated one can replace exactly this trait.

use quoit_ring::wire::RequestFrame;
use quoit_ring::{ClusterMap, Millis, NodeId};

/// A monotonic time: microseconds since the client started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// This moment and `micros` more.
    pub(crate) const fn after(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The present, as a decision sees it, with randomness for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Monotonic time.
    pub(crate) at: Moment,
    /// Wall time.
    pub(crate) wall: Millis,
    /// 64 fresh random bits.
    pub(crate) random: u64,
}

/// How the way to a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The first connection is being made; frames wait for it.
    Opening,
    /// Frames flow.
    Up,
    /// There is no connection; frames are not sent.
    Down,
}

/// What the driver needs of the world.
pub(crate) trait Env {
    /// The present, with fresh randomness.
    fn now(&mut self) -> Now;
    /// Queues a frame for a node. Never blocks. What cannot be delivered later is reported through
    /// [`Driver::link`](crate::driver::Driver::link) as a link that went down. False says that the frame was not
    /// queued, since too much waits already: only a repair, which can wait for another read, is turned away.
    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool;
    /// The ring has changed: links to these members are wanted, others are not.
    fn members(&mut self, map: &ClusterMap);
}
