//! The public report on the nodes' health, and on what the client did because of it.
//!
//! ```text
//!   Client::health --> the driver's thread --> HealthReport: counters since the start, each node now
//! ```
//!
//! Plain numbers, for people and for an application's own metrics. They are the evidence of one client: another client
//! may find other nodes slow, and be right.

use std::time::Duration;

use quoit_ring::NodeId;

/// The health of the nodes as one client sees it; made by [`Client::health`](crate::Client::health). Counters begin at 0 when
/// the client is made and never fall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthReport {
    /// Reads that asked one more replica, since an answer was later than that node's p95. At most a tenth of the
    /// operations that succeeded, plus 50.
    pub hedges: u64,
    /// Hedged reads that ended without waiting for one of the replicas asked first.
    pub hedges_won: u64,
    /// Hedges that were not sent, since the budget had no token.
    pub hedges_refused: u64,
    /// How often a node was ejected, that is asked last: it did not serve three requests in a row, or it did not serve
    /// the probe after an ejection.
    pub ejections: u64,
    /// Requests that probed a node: one that was ejected, or a slow one that had no reads for a second.
    pub probes: u64,
    /// Records that reads sent to replicas that did not hold them.
    pub repairs: u64,
    /// Such records that were not sent, since the byte budget was used up
    /// ([`repair_bytes_per_second`](crate::ClientBuilder::repair_bytes_per_second)).
    pub repairs_refused: u64,
    /// Hints stored: one for each owner that missed a write.
    pub hints: u64,
    /// Hints given up: the owner gets the write from repair. Either no fallback was reachable and had capacity, or more
    /// hand-offs were pending at once than a client keeps
    /// ([`max_background_bytes`](crate::ClientBuilder::max_background_bytes)).
    pub hints_forgone: u64,
    /// Requests taken back before they were sent: no operation waited for them any more, and more than a third of
    /// [`max_background_bytes`](crate::ClientBuilder::max_background_bytes) may have waited for nodes that were slow to
    /// read.
    pub taken_back: u64,
    /// Every node that this client has sent to or had a link to, ordered by id.
    pub nodes: Vec<NodeHealth>,
}

/// The health of one node as one client sees it.
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
    /// Recent mean delay of its answers to reads; `None` if it answered none on this connection.
    pub read_mean: Option<Duration>,
    /// Estimated 95th percentile of the same.
    pub read_p95: Option<Duration>,
}
