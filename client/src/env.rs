//! The seam between the client's decisions and its runtime.
//!
//! ```text
//!   Client handles --> inbox --> Driver<E: Env> --> Coordinator (pure)
//!                                    |
//!                                    E: clock, randomness, frames out
//! ```
//!
//! Everything above [`Env`] is deterministic: it sees time and randomness only as [`Now`], and the outside
//! only through the inputs of the [`Driver`](crate::Driver). One implementation talks QUIC in real time,
//! inside [`ClientBuilder::connect`](crate::ClientBuilder::connect); a simulation, or an event loop of
//! one's own, brings another to [`ClientBuilder::drive`](crate::ClientBuilder::drive). Left out: frames
//! that come in, links that break and time that passes, which are inputs of the driver.

use quoit_ring::wire::RequestFrame;
use quoit_ring::{ClusterMap, Millis, Moment, NodeId};

/// The present, as a decision sees it, with randomness for it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic time, in microseconds: never less than before. Deadlines are counted by it.
    pub at: Moment,
    /// Wall time, in milliseconds since 1970, of this machine's clock: it may be wrong and may jump. Writes
    /// are stamped by it, so one that is far behind loses against those of others.
    pub wall: Millis,
    /// 64 random bits, fresh at every call. The first ones a driver gets name it in what it writes: two
    /// clients with the same may give two values one name, which both are then kept as siblings. A simulation
    /// draws them from its seed, and differently for each client.
    pub random: u64,
}

/// The state of the connection to a node; until it is reported, [`Link::Opening`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The first connection is being made; frames wait for it. Requests are sent.
    Opening,
    /// Frames flow. Requests are sent.
    Up,
    /// There is no connection. What was under way on it counts as lost, and requests to the node fail at
    /// once instead of being sent.
    Down,
}

/// What the driver needs of its runtime. No method is called but from within a method of the
/// [`Driver`](crate::Driver), so an implementation may be anything that its owner's thread allows.
///
/// ```
/// use std::collections::VecDeque;
///
/// use bytes::BytesMut;
/// use quoit_client::env::{Env, Now};
/// use quoit_ring::Moment;
/// use quoit_ring::wire::RequestFrame;
/// use quoit_ring::{ClusterMap, Millis, NodeId};
///
/// /// A world of bytes that somebody else carries, under a clock that somebody else turns.
/// struct ByHand {
///     micros: u64,
///     random: u64,
///     to_send: VecDeque<(NodeId, BytesMut)>,
/// }
///
/// impl Env for ByHand {
///     fn now(&mut self) -> Now {
///         self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
///         let wall = Millis(1_700_000_000_000 + self.micros / 1_000);
///         Now { at: Moment(self.micros), wall, random: self.random }
///     }
///
///     fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool {
///         let mut bytes = BytesMut::new();
///         frame.encode(&mut bytes); // its length field included
///         self.to_send.push_back((to, bytes));
///         true
///     }
///
///     fn members(&mut self, _map: &ClusterMap) {} // no links to open or close
/// }
/// ```
pub trait Env {
    /// The present, with fresh randomness. Called once per input, so a clock is best read once for a batch
    /// of inputs.
    fn now(&mut self) -> Now;

    /// Queues a frame for a node. Must never block. What cannot be delivered later is reported through
    /// [`Driver::link`](crate::Driver::link) as a link that went down; a frame that is lost without a word
    /// costs its operation up to the whole deadline.
    ///
    /// False says that the frame was surely not queued and will never arrive, since too much waits already:
    /// the replica then counts as [`QueueFull`](crate::Outcome::QueueFull). The client with a thread turns only
    /// repairs and hints away, which others can do without: all else is bounded by
    /// [`max_in_flight`](crate::ClientBuilder::max_in_flight).
    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool;

    /// The ring has changed, or is the first: links to these members are wanted, others are not.
    fn members(&mut self, map: &ClusterMap);
}
