//! The way to the nodes: one QUIC connection per member, one framed stream on it.
//!
//! ```text
//!   client                                                       node
//!     outbox --swap, one write--> [ lane: f f f f f f f f ] ------> frames up to 64 KiB
//!     frames <--256 KiB a read--- [ lane: f f f f f f f f ] <------ in batches, both ways
//!     large frames --------------> [ a stream each, low priority ]  one frame, then its end
//!     large frames <-------------- [ a stream each, low priority ]
//! ```
//!
//! The client opens the lane, the only bidirectional stream. The id in a frame says which request an
//! answer belongs to, whatever stream it came on. A stream that ends inside a frame is an error, and so
//! is a frame that cannot be read: either ends the connection, and the link makes a new one.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`quic`] | settings, sockets, dialling, what a failure means |
//! | [`outbox`] | frames on their way out, shared by who queues and who writes; [`queued`] is one of them |
//! | [`streams`] | the lane and the large frames of one connection |
//! | [`link`] | one member's connection, made again and again; [`backoff`] says when, [`silence`] when it is over |
//! | [`seed`] | the cluster map from the first seed that answers |
//!
//! Everything here runs on one thread and knows nothing of operations: frames go up as bytes.

mod backoff;
#[cfg(test)]
pub(crate) mod fake;
mod link;
mod outbox;
mod queued;
mod quic;
mod seed;
mod silence;
mod streams;
#[cfg(test)]
mod tests;

use quoit_ring::NodeId;
use quoit_ring::wire::{DecodeError, Frames};

use crate::env::Link;

pub(crate) use link::LinkHandle;
pub(crate) use quic::Dialer;
pub(crate) use seed::fetch_ring;

/// Who hears what links have to say.
pub(crate) trait Ears: Clone + 'static {
    /// Bytes have come from a node: takes every whole frame out of `frames`.
    ///
    /// # Errors
    /// A frame cannot be read: the connection is of no more use.
    fn frames(&self, from: NodeId, frames: &mut Frames) -> Result<(), DecodeError>;

    /// How the way to a node is now.
    fn link(&self, node: NodeId, link: Link);
}

/// What may be kept in memory for one node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most bytes of a frame that a node sends. Up to [`quic::LARGE_STREAMS`] of them may arrive at once.
    pub(crate) max_frame: usize,
    /// Most bytes waiting to be written. More than that, and the node has stopped reading.
    pub(crate) max_outbox: usize,
}
