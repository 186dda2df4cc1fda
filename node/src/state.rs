//! The parts of a node's state that several modules use, each behind a handle of its own.
//!
//! ```text
//!   part          changed by            read by
//!   cluster       committer             handlers, committer, peers, hints
//!   limits        nobody                handlers, committer
//!   clock         committer             handlers, committer
//!   sums          committer, rebuild    handlers
//!   hints         committer, scan       handlers, committer, hints
//!   gossip        handlers              gossip
//!   members       gossip                handlers
//!   addresses     server                gossip
//!   stats         committer             handlers
//!   finished      committer             whoever gave it orders
//!   pulled        committer             who pulls
//!   leftovers     who cleans up         committer
//!   sync          handlers, who syncs   handlers, who syncs
//!   completeness  committer             handlers, committer, who pulls
//!   stability     committer, who syncs  handlers, committer, who syncs
//!   expiry        committer, sweep      handlers, committer, sweep
//!   registers     committer             handlers, committer, who ends them
//!   watches       handlers, committer   whoever watches
//!   metrics       handlers, committer   whoever scrapes
//!   damage        handlers, committer   nobody, it goes to the log
//!   warnings      whoever notices       handlers
//!   service       server, node          handlers, server
//! ```
//!
//! [`NodeState`] is for wiring: each constructor keeps the handles that it needs. Nothing here is locked
//! while something is waited for.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quoit_ring::change::Known;
use quoit_ring::wire::{DiskLevel, Durability};
use quoit_ring::{MerkleKey, NodeId, Time};

use crate::clock::SharedClock;
use crate::cluster::ClusterView;
use crate::commit::{Finished, Leftovers, PullProgress};
use crate::completeness::Completeness;
use crate::config::Limits;
use crate::engine::Usage;
use crate::expiry::ExpiryView;
use crate::gossip::{Addresses, GossipInbox, SeenMembers};
use crate::hints::HintUsage;
use crate::metrics::Metrics;
use crate::register::Registers;
use crate::stability::StabilityView;
use crate::storage::{DamageLog, Sums};
use crate::sync::SyncView;
use crate::warnings::Warnings;
use crate::watches::Watches;

/// Handles to the parts of one node's state.
#[derive(Debug, Clone)]
pub struct NodeState {
    /// The node's id, and the epochs that it serves.
    pub cluster: Arc<ClusterView>,
    /// Bounds on writes.
    pub limits: Limits,
    /// The failures that an acknowledged write survives.
    pub durability: Durability,
    /// The clock that answers carry.
    pub clock: Arc<SharedClock>,
    /// The sums over live data.
    pub sums: Arc<Sums>,
    /// How many hints are kept.
    pub hints: Arc<HintUsage>,
    /// Messages of gossip that have come.
    pub gossip: Arc<GossipInbox>,
    /// What it sees of the other members.
    pub members: Arc<SeenMembers>,
    /// Where it is reached, and others are.
    pub(crate) addresses: Arc<Addresses>,
    /// The committer's counters.
    pub stats: Arc<CommitStats>,
    /// Answers to orders that the node itself has given.
    pub finished: Arc<Finished>,
    /// What it has pulled in the newest epoch.
    pub pulled: Arc<PullProgress>,
    /// Whether rows are left that it owns no more.
    pub leftovers: Arc<Leftovers>,
    /// What it shares with the others, and how it stands with them.
    pub sync: Arc<SyncView>,
    /// Whether it has all that it acknowledged.
    pub completeness: Arc<Completeness>,
    /// Up to when no write is under way, and what follows from that.
    pub stability: Arc<StabilityView>,
    /// How far it has come with what expires.
    pub expiry: Arc<ExpiryView>,
    /// Promises and pending values of registers.
    pub registers: Arc<Registers>,
    /// Subscriptions to the keys that have changed.
    pub(crate) watches: Arc<Watches>,
    /// Counts and durations of requests and commits.
    pub(crate) metrics: Arc<Metrics>,
    /// What the log says of rows that cannot be read.
    pub(crate) damage: Arc<DamageLog>,
    /// What is not as it should be.
    pub(crate) warnings: Arc<Warnings>,
    /// Whether the node is stopping, and how many connections it has.
    pub service: Arc<ServiceState>,
}

impl NodeState {
    /// The state of a node that starts. `start_mark` is the clock mark of its last run, [`Time::ZERO`] if
    /// there was none.
    #[must_use]
    pub fn new(
        node: NodeId,
        known: Known,
        merkle_key: MerkleKey,
        start_mark: Time,
        (limits, durability): (Limits, Durability),
    ) -> Self {
        Self {
            sums: Arc::new(Sums::new(known.topology().leaf_bits(), merkle_key)),
            cluster: Arc::new(ClusterView::new(node, known)),
            limits,
            durability,
            clock: Arc::new(SharedClock::new(start_mark, limits.max_clock_drift_ms)),
            hints: Arc::default(),
            gossip: Arc::default(),
            members: Arc::default(),
            addresses: Arc::default(),
            stats: Arc::default(),
            finished: Arc::default(),
            pulled: Arc::default(),
            leftovers: Arc::default(),
            sync: Arc::default(),
            completeness: Arc::default(),
            stability: Arc::default(),
            expiry: Arc::default(),
            registers: Arc::default(),
            watches: Arc::default(),
            metrics: Arc::default(),
            damage: Arc::default(),
            warnings: Arc::default(),
            service: Arc::default(),
        }
    }
}

/// The committer's counters and measurements, for status answers.
#[derive(Debug, Default)]
pub struct CommitStats {
    collisions: AtomicU64,
    refused_repairs: AtomicU64,
    usage: Mutex<Usage>,
    free_bytes: AtomicU64,
    pull_rate: AtomicU64,
    disk_level: Mutex<DiskLevel>,
}

impl CommitStats {
    /// Counts dots with two variants.
    pub(crate) fn add_collisions(&self, dots: u64) {
        self.collisions.fetch_add(dots, Ordering::Relaxed);
    }

    /// Dots found with two variants since the start.
    #[must_use]
    pub fn collisions(&self) -> u64 {
        self.collisions.load(Ordering::Relaxed)
    }

    /// Counts repairs that were refused for the bounds on a record.
    pub(crate) fn add_refused_repairs(&self, repairs: u64) {
        self.refused_repairs.fetch_add(repairs, Ordering::Relaxed);
    }

    /// Repairs refused for the bounds on a record since the start.
    #[must_use]
    pub fn refused_repairs(&self) -> u64 {
        self.refused_repairs.load(Ordering::Relaxed)
    }

    /// Sets for which writes the disk has space, and how many bytes are free; 0 if that is not known.
    pub(crate) fn set_disk(&self, level: DiskLevel, free_bytes: u64) {
        *(self.disk_level.lock()).unwrap_or_else(PoisonError::into_inner) = level;
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
    }

    /// For which writes the disk has space, and how many bytes are free; 0 if that is not known.
    #[must_use]
    pub fn disk(&self) -> (DiskLevel, u64) {
        let level = *(self.disk_level.lock()).unwrap_or_else(PoisonError::into_inner);
        (level, self.free_bytes.load(Ordering::Relaxed))
    }

    /// Sets how many bytes the node pulls in a second at most.
    pub(crate) fn set_pull_rate(&self, bytes_per_second: u64) {
        self.pull_rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Most bytes that the node pulls in a second; 0 until it is set, once at the start.
    #[must_use]
    pub fn pull_rate(&self) -> u64 {
        self.pull_rate.load(Ordering::Relaxed)
    }

    /// Sets the engine's size.
    pub(crate) fn set_usage(&self, usage: Usage) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    /// The engine's size at the last look; at most a second old while the disk answers.
    #[must_use]
    pub fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happened to callers that were not served, or not at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// A caller had to prove that it receives what is sent to its address, while many handshakes were under way.
    Retry,
    /// A handshake was not begun: too many were under way.
    HandshakeRefused,
    /// A handshake that stood still made place for another.
    HandshakeGivenUp,
    /// A handshake failed: a certificate that is not trusted, bytes that are no TLS, or it took too long.
    HandshakeFailed,
    /// A connection was closed: its identity or the node has as many as it may.
    SeatRefused,
}

/// Whether a node is stopping, and how many connections it serves.
#[derive(Debug, Default)]
pub struct ServiceState {
    draining: AtomicBool,
    connections: AtomicU32,
    events: [AtomicU64; 5],
}

impl ServiceState {
    /// Refuses reads and writes of keys from now on: the node is stopping.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the node is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Counts what happened to a caller; how often it has since the start.
    pub(crate) fn count(&self, event: ConnectionEvent) -> u64 {
        self.events[event as usize].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How often `event` has happened since the start.
    #[must_use]
    pub fn counted(&self, event: ConnectionEvent) -> u64 {
        self.events[event as usize].load(Ordering::Relaxed)
    }

    /// Counts a connection in.
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a connection out.
    pub(crate) fn disconnected(&self) {
        let before = self.connections.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a connection is counted out once");
    }

    /// Connections being served.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Acquire)
    }
}
