//! The links to the nodes: one connection per member, dialled again whenever it ends.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`link`] | one member's connection, made again and again; [`backoff`] says when |
//! | [`seed`] | the cluster map from the first seed that answers |
//!
//! `quoit-transport` defines what travels on a connection. Everything here runs on one thread and knows nothing of
//! operations: frames go up as bytes.

mod backoff;
#[cfg(test)]
pub(crate) mod fake;
mod link;
mod seed;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use quoit_ring::NodeId;
use quoit_ring::wire::{DecodeError, Frames};

use crate::env::Link;

pub(crate) use link::LinkHandle;
pub(crate) use seed::{fetch_known, fetch_status};

/// Takes what links report.
pub(crate) trait LinkEvents: Clone + 'static {
    /// Bytes have come from a node: takes every whole frame out of `frames`.
    ///
    /// # Errors
    /// A frame cannot be read: the connection is of no more use.
    fn frames(&self, from: NodeId, frames: &mut Frames) -> Result<(), DecodeError>;

    /// One frame has come from a node on a stream of its own, without its length field.
    ///
    /// # Errors
    /// The frame cannot be read: the connection is of no more use.
    fn frame(&self, from: NodeId, frame: Bytes) -> Result<(), DecodeError>;

    /// The state of the connection to a node has changed.
    fn link(&self, node: NodeId, link: Link);
}

/// Memory bounds for one node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most bytes of a frame that a node sends. As many of them may arrive at once as a node may open streams.
    pub(crate) max_frame: usize,
    /// Most bytes waiting to be written, repairs and hints apart, which get half as much. More than operations under way
    /// and in the background can have waiting: beyond it, the node has stopped reading.
    pub(crate) max_outbox: usize,
}
