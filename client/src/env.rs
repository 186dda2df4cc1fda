//! The seam between the client's decisions and its runtime.
//!
//! ```text
//!   Client handles --> inbox --> Driver<E: Env> --> Coordinator (pure)
//!                                    |
//!                                    E: clock, randomness, frames out
//! ```
//!
//! Everything above [`Env`] is deterministic: it gets time and randomness as [`Now`], and events as inputs of
//! the [`Driver`](crate::Driver). One implementation speaks QUIC in real time, inside
//! [`ClientBuilder::connect`](crate::ClientBuilder::connect); a simulation, or an application's own event
//! loop, passes another to [`ClientBuilder::drive`](crate::ClientBuilder::drive). Left out: received frames,
//! broken links and passing time, which are inputs of the driver.

use quoit_ring::change::Topology;
use quoit_ring::wire::RequestFrame;
use quoit_ring::{Millis, Moment, NodeId};

/// The present, with randomness, as an input of decisions.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic time, in microseconds: never less than before. Deadlines use it.
    pub at: Moment,
    /// Wall time, in milliseconds since 1970, by this machine's clock: it may be wrong and may jump. Writes
    /// are stamped with it, so a clock that is far behind makes its writes lose against others.
    pub wall: Millis,
    /// 64 random bits, fresh at every call. The first ones become the driver's actor id: two clients with the
    /// same one may give two values one dot, and both are then kept as siblings. A simulation draws them from
    /// its seed, differently for each client.
    pub random: u64,
}

/// The state of the connection to a node; until it is reported, [`Link::Opening`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The first connection is being made; frames wait for it. Requests are sent.
    Opening,
    /// Frames flow. Requests are sent.
    Up,
    /// There is no connection. Requests under way on it count as lost, and further ones to the node fail at
    /// once.
    Down,
}

/// What the driver needs from its runtime. Methods are called only from within methods of the
/// [`Driver`](crate::Driver), on the thread of its owner.
///
/// ```
/// use std::collections::VecDeque;
///
/// use bytes::BytesMut;
/// use quoit_client::env::{Env, Now};
/// use quoit_ring::Moment;
/// use quoit_ring::change::Topology;
/// use quoit_ring::wire::RequestFrame;
/// use quoit_ring::{Millis, NodeId};
///
/// /// Frames for the test to carry, and a clock that the test advances.
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
///     fn members(&mut self, _topology: &Topology) {} // no links to open or close
/// }
/// ```
pub trait Env {
    /// The present, with fresh randomness. Called once per input: read the clock once for a batch of inputs.
    fn now(&mut self) -> Now;

    /// Queues a frame for a node. Must never block. If a queued frame cannot be delivered, report the link as down
    /// through [`Driver::link`](crate::Driver::link); a silently lost frame may cost its operation the whole deadline.
    ///
    /// False means that the queue is full and the frame will never arrive: the replica then counts as
    /// [`QueueFull`](crate::Outcome::QueueFull). The client with a thread refuses only repairs and hints, which are
    /// optional: all other frames are bounded by [`max_in_flight`](crate::ClientBuilder::max_in_flight) and by sweeps.
    fn send(&mut self, to: NodeId, frame: &RequestFrame) -> bool;

    /// Takes queued frames back whose ids are not awaited any more, and returns where to and which. Called when more than
    /// a third of [`max_background_bytes`](crate::ClientBuilder::max_background_bytes) may wait that no operation is
    /// interested in: a queue of frames that a node is slow to read would grow without
    /// bound otherwise. Repairs and hints may stay whether they are awaited or not. A frame that is on its way already
    /// does no harm.
    ///
    /// By default nothing is taken back: right if queues are short, as those of a simulated network.
    fn sweep(&mut self, is_awaited: &mut dyn FnMut(u64) -> bool) -> Vec<(NodeId, u64)> {
        let _nothing_waits = is_awaited;
        Vec::new()
    }

    /// The ring is new or has changed: open links to its [members](Topology::members) and close all others.
    fn members(&mut self, topology: &Topology);
}
