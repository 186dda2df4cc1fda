//! What a client reports of the nodes' health, and of what it did about it.
//!
//! ```text
//!   Client::health --> the driver's thread --> HealthReport: counters since the start, each node now
//! ```
//!
//! Plain numbers for people and for whatever metrics an application has. They are this client's own evidence:
//! another client may see other nodes as slow, and be right.

use std::time::Duration;

use quoit_ring::NodeId;

/// How a client finds its nodes; made by [`Client::health`](crate::Client::health). Counters begin at 0 when
/// the client is made and never fall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthReport {
    /// Reads that asked one more replica since an answer was later than 19 of 20 are. At most a tenth of the
    /// operations that succeeded, and 50.
    pub hedges: u64,
    /// Hedged reads that ended without waiting for one of the replicas asked first.
    pub hedges_won: u64,
    /// Hedges that did not go out since the budget had no token.
    pub hedges_refused: u64,
    /// How often a node was ejected: asked last, since it did not serve three requests in a row, or again not
    /// the one that asked after it.
    pub ejections: u64,
    /// Requests that asked after a node that was ejected, or was passed by as slow for a second.
    pub probes: u64,
    /// Records that reads sent to replicas that did not hold them.
    pub repairs: u64,
    /// Such records that were not sent since the budget of bytes was used up
    /// ([`repair_bytes_per_second`](crate::ClientBuilder::repair_bytes_per_second)).
    pub repairs_refused: u64,
    /// Writes that are kept for an owner which missed them, a hint for each such owner.
    pub hints: u64,
    /// Owners that missed a write which nobody keeps for them: they get it from repair. None of the nodes that could
    /// keep it was in reach or had capacity, or more such writes were under way at once than a client keeps.
    pub hints_forgone: u64,
    /// Every node that this client had to do with, in the order of their ids.
    pub nodes: Vec<NodeHealth>,
}

/// How a client finds one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeHealth {
    /// The node.
    pub node: NodeId,
    /// Whether there is a connection to it, or the first is being made.
    pub reachable: bool,
    /// Whether it is ejected: reads ask it last until it answers.
    pub ejected: bool,
    /// Requests of this client that it has not answered.
    pub in_flight: u32,
    /// How long its answers to reads took lately on average; `None` if it answered none on this connection.
    pub read_mean: Option<Duration>,
    /// What 19 of 20 of its answers to reads take at most, by estimate.
    pub read_p95: Option<Duration>,
}
