//! What readers and the committer share: facts that never change, the clock, the sums, a few counters.
//!
//! ```text
//!   told     what answers carry      max(wall, every stamp joined since the start), small steps back held
//!   ageing   what ages are held to   max(told, mark of the earlier run)
//! ```
//!
//! Two readings of one clock. Ages are held to a clock that never goes back, restarts included: its high-water
//! mark is stored ahead of use. Just after a crash it therefore stands up to the mark's lead ahead of wall
//! time, and must not be told to anyone: a client that minted above it would be refused by every other node.
//!
//! A wall clock that is set back a little is waited for: what a reader was told to be over must not come back.
//! One that is set back a lot was wrong before, and is followed.
//!
//! Nothing here is ever locked while something is waited for.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use quoit_ring::placement::Ring;
use quoit_ring::wire::Durability;
use quoit_ring::wire::map::encode_map;
use quoit_ring::{Clock, MerkleKey, NodeId, Time};

use super::{HintUsage, Sums};
use crate::config::Config;
use crate::engine::Usage;
use crate::env::Now;

/// What a node lets in. Units and reasons are told at [`Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest value, in bytes.
    pub max_value_bytes: usize,
    /// Most siblings of a key.
    pub max_siblings: usize,
    /// Most bytes of a record.
    pub max_record_bytes: usize,
    /// Oldest put, in milliseconds.
    pub max_write_age_ms: u64,
    /// How far a stamp may be ahead of wall time, in milliseconds.
    pub max_clock_drift_ms: u64,
    /// Most bytes of hints, for all nodes together.
    pub max_hint_bytes: u64,
    /// Most bytes of hints for one node.
    pub max_hint_bytes_per_node: u64,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            max_value_bytes: config.max_value_bytes,
            max_siblings: config.max_siblings,
            max_record_bytes: config.record_bytes(),
            max_write_age_ms: config.max_write_age_ms,
            max_clock_drift_ms: config.max_clock_drift_ms,
            max_hint_bytes: config.max_hint_bytes,
            max_hint_bytes_per_node: config.max_hint_bytes_per_node,
        }
    }
}

/// What readers and the committer of one node share.
#[derive(Debug)]
pub struct Shared {
    /// Who this node is.
    pub node: NodeId,
    /// Who owns what.
    pub ring: Ring,
    /// The ring's map as it travels.
    pub map: Bytes,
    /// What is let in.
    pub limits: Limits,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// The sums over live data.
    pub sums: Sums,
    /// What is kept for other nodes.
    pub hints: HintUsage,
    clock: Clock,
    start_mark: Time,
    last_told: AtomicU64,
    draining: AtomicBool,
    connections: AtomicU32,
    collisions: AtomicU64,
    records: AtomicU64,
    disk_bytes: AtomicU64,
}

impl Shared {
    /// The state of a node that begins to serve. `start_mark` is the clock's mark of its earlier run,
    /// [`Time::ZERO`] if there was none.
    #[must_use]
    pub fn new(
        node: NodeId,
        ring: Ring,
        merkle_key: MerkleKey,
        start_mark: Time,
        (limits, durability): (Limits, Durability),
    ) -> Self {
        Self {
            node,
            map: encode_map(ring.map()).into(),
            sums: Sums::new(ring.leaf_bits(), merkle_key),
            hints: HintUsage::default(),
            ring,
            limits,
            durability,
            clock: Clock::starting_at(Time::ZERO),
            start_mark,
            last_told: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            connections: AtomicU32::new(0),
            collisions: AtomicU64::new(0),
            records: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(0),
        }
    }

    /// The clock that answers carry.
    #[must_use]
    pub fn told(&self, now: Now) -> Time {
        let reading = self.clock.now(now.wall);
        // Several threads tell it, and the slower must not undo what the quicker has told.
        let last = Time(self.last_told.fetch_max(reading.0, Ordering::Relaxed));
        let back_ms = last.millis().0.saturating_sub(reading.millis().0);
        if back_ms > self.limits.max_clock_drift_ms {
            self.last_told.store(reading.0, Ordering::Relaxed);
            return reading;
        }
        reading.max(last)
    }

    /// The clock that ages are held to: never goes back, restarts included.
    #[must_use]
    pub fn ageing(&self, now: Now) -> Time {
        self.told(now).max(self.start_mark)
    }

    /// Moves the clock up to a stamp that was joined; its drift was checked before.
    pub(super) fn observe(&self, stamp: Time, now: Now) {
        // A stamp beyond the drift was refused already; were one to come here, the clock stays.
        let _moved = self
            .clock
            .observe(stamp, now.wall, self.limits.max_clock_drift_ms);
    }

    /// Refuses reads and writes of keys from now on: the node is stopping.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the node is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Counts a connection in, and tells how many there are now.
    pub(crate) fn connected(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Counts a connection out.
    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }

    /// Connections being served.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Acquire)
    }

    pub(super) fn collided(&self, dots: u64) {
        self.collisions.fetch_add(dots, Ordering::Relaxed);
    }

    /// Dots seen with two contents since the start.
    #[must_use]
    pub fn collisions(&self) -> u64 {
        self.collisions.load(Ordering::Relaxed)
    }

    pub(super) fn measured(&self, usage: Usage) {
        self.records.store(usage.records, Ordering::Relaxed);
        self.disk_bytes.store(usage.disk_bytes, Ordering::Relaxed);
    }

    /// About how many records, and bytes on disk, the engine holds; a second old at most under load.
    #[must_use]
    pub fn usage(&self) -> (u64, u64) {
        (
            self.records.load(Ordering::Relaxed),
            self.disk_bytes.load(Ordering::Relaxed),
        )
    }
}
