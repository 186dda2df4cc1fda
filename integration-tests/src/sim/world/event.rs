//! What can be scheduled.
//!
//! ```text
//!   frames    to a node, to a client          nodes     commit ends, idle, rebuild, start, stop
//!   links     dial, connected, broken         clients   tick, start, twins
//!   hints     look, page read, peer lost      changes   operators, look, rows read
//!   faults    begins, ends
//! ```
//!
//! An event names the life, connection or client it was meant for: what comes after the end of that is void.

use bytes::Bytes;
use quoit_node::expiry;
use quoit_node::sync::Look;
use quoit_ring::{Epoch, NodeId};

use crate::history::ClientId;
use crate::sim::machine::Peer;

/// Something that is to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A frame arrives at a node.
    ToNode {
        peer: Peer,
        node: usize,
        frame: Bytes,
    },
    /// A node has read all that a connection brought at a time.
    Submit { peer: Peer, node: usize },
    /// A frame arrives at a client.
    ToClient {
        peer: Peer,
        node: usize,
        frame: Bytes,
    },
    /// A client tries to make a connection.
    Dial { client: ClientId, node: usize },
    /// The connection is made, if the node's process is still this one.
    Connected { peer: Peer, node: usize, life: u32 },
    /// A client finds its connection broken.
    Broken { peer: Peer, node: usize },
    /// A client's driver wants to be called.
    Tick { client: ClientId },
    /// A node looks after the hints that it keeps.
    Hints { node: usize, life: u32 },
    /// A node has read a page of hints.
    Page {
        node: usize,
        life: u32,
        target: NodeId,
        after: Option<Bytes>,
    },
    /// A node finds that another one cannot be reached.
    LostPeer { node: usize, life: u32, to: usize },
    /// A node's disk has the batch.
    Committed { node: usize, life: u32 },
    /// A node's committer is called though nothing waits.
    Idle { node: usize, life: u32 },
    /// A node sums up some more of its records.
    Rebuild { node: usize, life: u32 },
    /// An operator changes the ring, or reverts that.
    Operates { number: usize },
    /// An operator tries again.
    Insists { number: usize },
    /// An operator looks whether a member whose disk is lost is to be written off, or to be left out.
    SeesToLoss { node: usize },
    /// A node looks after the change that is under way.
    Change { node: usize, life: u32 },
    /// A node's part in gossip is called.
    Gossip { node: usize, life: u32 },
    /// A node takes messages of gossip that have come.
    GossipCame { node: usize, life: u32 },
    /// A node's part in anti-entropy is called.
    Sync { node: usize, life: u32 },
    /// A node has read keys to compare them.
    SyncLooked {
        node: usize,
        life: u32,
        wanted: Look,
    },
    /// A node's sweep is called.
    Expiry { node: usize, life: u32 },
    /// A node has read what is due.
    ExpiryLooked {
        node: usize,
        life: u32,
        wanted: expiry::Look,
    },
    /// A node has read rows that it does not own.
    Leftovers {
        node: usize,
        life: u32,
        epoch: Epoch,
        after: Option<Bytes>,
    },
    /// A node's process is started, if none runs.
    StartNode { node: usize },
    /// A node's process takes connections.
    Serves { node: usize, life: u32 },
    /// A node's process has drained and ends.
    StopNode { node: usize, life: u32 },
    /// A client is started, if none runs in its place.
    StartClient { slot: usize },
    /// A client is cloned in the act of a put.
    Twins { number: usize },
    /// A fault of the plan begins.
    Begins { fault: usize },
    /// A fault of the plan ends.
    Ends { fault: usize },
}
