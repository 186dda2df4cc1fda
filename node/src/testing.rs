//! Shared by the tests of several modules: a node in memory, and short constructors.

use std::collections::BTreeSet;
use std::ops::RangeBounds;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quoit_ring::change::Known;
use quoit_ring::placement::{Newcomer, Ring, grow};
use quoit_ring::wire::{Durability, Response, ResponseFrame, encode_record};
use quoit_ring::{
    Actor, ClusterId, ClusterMap, Delta, Dot, Epoch, Leaf, LeafBits, MerkleKey, Millis, Moment,
    NodeId, Record, Time, TokenKey,
};

use crate::commit::Order;
use crate::config::Limits;
use crate::engine::{
    self, Batch, Engine, EngineError, FreeSpace, Keyspace, MemoryEngine, MemorySnapshot, Snapshot,
    Usage,
};
use crate::env::{Env, Now, Rejected, Reply};
use crate::state::NodeState;
use crate::storage::{Rebuild, Walked};
use crate::write::{Change, Destination, Write};

/// The wall time at which most tests play.
pub(crate) const WALL: u64 = 1_000_000;
/// The node whose replica is tested.
pub(crate) const SELF: NodeId = NodeId(1);

/// The part of a disk that is kept for removals.
pub(crate) const RESERVE: u64 = 64 << 20;

pub(crate) const LIMITS: Limits = Limits {
    max_value_bytes: 1 << 20,
    max_siblings: 4,
    max_intervals: 32,
    max_record_bytes: 2048,
    max_write_age_ms: 60_000,
    max_clock_drift_ms: 500,
    max_hint_bytes: 4096,
    max_hint_bytes_per_node: 2048,
    disk_reserve: RESERVE,
};

pub(crate) fn at(wall: u64) -> Now {
    Now {
        wall: Millis(wall),
        mono: Moment((wall - WALL + 10_000) * 1_000),
    }
}

/// A ring of `members` nodes with one copy of each key, cut into 2^12 leaves.
pub(crate) fn ring(members: u64) -> Ring {
    ring_of(members, 1)
}

/// A ring of `members` nodes with so many copies of each key.
pub(crate) fn ring_of(members: u64, replication: u8) -> Ring {
    let empty = ClusterMap {
        cluster: ClusterId(7),
        epoch: Epoch(2),
        token_key: TokenKey([3; 16]),
        leaf_bits: LeafBits::new(12).unwrap(),
        replication,
        members: vec![],
    };
    let newcomers = (1..=members).map(|id| Newcomer {
        id: NodeId(id),
        name: format!("n{id}"),
        address: format!("h:{id}"),
        zone: format!("z{id}"),
        weight: 100,
    });
    Ring::new(&grow(empty, newcomers, 1).unwrap()).unwrap()
}

pub(crate) fn state(members: u64) -> NodeState {
    state_of(ring(members))
}

/// The state of a node of `ring`.
pub(crate) fn state_of(ring: Ring) -> NodeState {
    let settings = (LIMITS, Durability::Fsync);
    NodeState::new(
        SELF,
        Known::of(ring),
        MerkleKey([5; 16]),
        Time::ZERO,
        settings,
    )
}

pub(crate) fn dot(actor: u64, ms: u64) -> Dot {
    Dot {
        time: Time::at(Millis(ms)),
        actor: Actor(actor),
    }
}

/// A write that replaces whatever is older.
pub(crate) fn blind(dot: Dot, value: &str) -> Delta {
    Delta::blind(dot, Some((Bytes::copy_from_slice(value.as_bytes()), None)))
}

/// A write that has seen nothing.
pub(crate) fn unseeing(dot: Dot, value: &str) -> Delta {
    let value = Some((Bytes::copy_from_slice(value.as_bytes()), None));
    Delta::causal(dot, Time::ZERO, Record::default().seen(), value)
}

pub(crate) fn encoded(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    out.freeze()
}

/// Sums up all that is stored.
pub(crate) fn rebuild<G: Engine>(engine: &G, state: &NodeState) {
    let mut walk = Rebuild::new();
    while walk.step(engine, &state.sums, &state.cluster, 7) == Ok(Walked::More) {}
}

/// Keeps the answers it is sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<ResponseFrame>>>);

impl Sink {
    /// What came since the last call, by id.
    pub(crate) fn answers(&self) -> Vec<(u64, Response)> {
        let mut frames = std::mem::take(&mut *self.0.lock().unwrap());
        frames.sort_by_key(|frame| frame.id);
        frames
            .into_iter()
            .map(|frame| (frame.id, frame.response))
            .collect()
    }

    /// The clock on the last answer.
    pub(crate) fn clock(&self) -> Option<Time> {
        self.0.lock().unwrap().last().map(|frame| frame.clock)
    }
}

impl Reply for Sink {
    fn send(&self, answer: &ResponseFrame) {
        self.0.lock().unwrap().push(answer.clone());
    }

    fn flush(&self) {}
}

/// A write of `key` that came at `now` and may wait for a second.
pub(crate) fn write(id: u64, reply: &Sink, key: &str, change: Change, now: Now) -> Write<Sink> {
    let ring = ring(1);
    let key = Bytes::copy_from_slice(key.as_bytes());
    let leaf: Leaf = ring.leaf_bits().leaf_of(ring.token_of(&key));
    let (arrived, deadline) = (now.mono, now.mono + Duration::from_secs(1));
    Write {
        id,
        epoch: Some(Epoch(2)),
        reply: Some(reply.clone()),
        destination: Destination::Record,
        bytes: key.len(),
        key,
        leaf,
        change,
        arrived,
        deadline,
    }
}

/// A runtime in which time stands still and a list takes the writes.
#[derive(Debug, Default)]
pub(crate) struct FakeEnv {
    pub(crate) taken: Mutex<Vec<Write<Sink>>>,
    pub(crate) ordered: Mutex<Vec<Order<Sink>>>,
    pub(crate) capacity: usize,
    pub(crate) closed: bool,
}

impl Env for FakeEnv {
    type Reply = Sink;

    fn now(&self) -> Now {
        at(WALL)
    }

    fn submit(&self, writes: &mut Vec<Write<Sink>>) -> Result<(), Rejected> {
        if self.closed {
            return Err(Rejected::Closed);
        }
        let mut taken = self.taken.lock().unwrap();
        let fitting = self.capacity.saturating_sub(taken.len()).min(writes.len());
        taken.extend(writes.drain(..fitting));
        if writes.is_empty() {
            Ok(())
        } else {
            Err(Rejected::Overloaded { queue_ms: 9 })
        }
    }

    fn order(&self, order: Order<Sink>) -> Result<(), Order<Sink>> {
        if self.closed {
            return Err(order);
        }
        self.ordered.lock().unwrap().push(order);
        Ok(())
    }

    fn queued_writes(&self) -> u32 {
        u32::try_from(self.taken.lock().unwrap().len()).unwrap()
    }
}

/// An engine in memory; the test sets whether its disk has space and can be read.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    engine: MemoryEngine,
    /// Bytes that are missing: free are so many less than without end.
    used: AtomicU64,
    unreadable: AtomicBool,
    read_only: AtomicBool,
    durabilities: Mutex<Vec<engine::Durability>>,
}

impl Disk {
    pub(crate) fn set_unreadable(&self) {
        self.unreadable.store(true, Ordering::Release);
    }

    /// What each commit so far was to survive.
    pub(crate) fn durabilities(&self) -> Vec<engine::Durability> {
        self.durabilities.lock().unwrap().clone()
    }

    pub(crate) fn set_read_only(&self) {
        self.read_only.store(true, Ordering::Release);
    }

    /// Leaves so many bytes free, of which the engine needs one.
    pub(crate) fn set_free(&self, free: u64) {
        self.used.store(u64::MAX - free, Ordering::Release);
    }

    fn free(&self) -> u64 {
        u64::MAX - self.used.load(Ordering::Acquire)
    }
}

impl Engine for Disk {
    type Snapshot = MemorySnapshot;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if self.unreadable.load(Ordering::Acquire) {
            return Err(EngineError::Corrupt {
                doing: "testing",
                source: None,
            });
        }
        self.engine.get(keyspace, key)
    }

    fn commit(&self, batch: Batch, durability: engine::Durability) -> Result<(), EngineError> {
        assert!(self.free() > 0, "a commit on a full disk");
        self.takes_writes().unwrap();
        self.durabilities.lock().unwrap().push(durability);
        self.engine.commit(batch, durability)
    }

    fn snapshot(&self) -> MemorySnapshot {
        self.engine.snapshot()
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.engine.persist()
    }

    fn check(&self) -> Result<(), EngineError> {
        self.engine.check()
    }

    fn takes_writes(&self) -> Result<(), EngineError> {
        match self.read_only.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(EngineError::TableDamaged {
                keyspace: Keyspace::Records,
                file: "12".into(),
                others: 0,
            }),
        }
    }

    fn free_space(&self) -> Option<FreeSpace> {
        let (free, needed) = (self.free(), 1);
        Some(FreeSpace { free, needed })
    }

    fn usage(&self) -> Usage {
        self.engine.usage()
    }
}

/// An engine that reads and fails at every commit, in a way of the test's choice.
#[derive(Debug)]
pub(crate) struct Failing {
    engine: MemoryEngine,
    fail: fn() -> EngineError,
}

impl Failing {
    pub(crate) fn with(fail: fn() -> EngineError) -> Self {
        Self {
            engine: MemoryEngine::new(),
            fail,
        }
    }
}

impl Engine for Failing {
    type Snapshot = MemorySnapshot;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(keyspace, key)
    }

    fn commit(&self, _batch: Batch, _durability: engine::Durability) -> Result<(), EngineError> {
        Err((self.fail)())
    }

    fn snapshot(&self) -> MemorySnapshot {
        self.engine.snapshot()
    }

    fn persist(&self) -> Result<(), EngineError> {
        Err((self.fail)())
    }

    fn check(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn usage(&self) -> Usage {
        self.engine.usage()
    }
}

/// A snapshot on which walks fail at some keys.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) snapshot: MemorySnapshot,
    pub(crate) keyspace: Keyspace,
    pub(crate) keys: BTreeSet<Bytes>,
}

impl Snapshot for Unreadable {
    type Range = std::vec::IntoIter<Result<(Bytes, Bytes), EngineError>>;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if keyspace == self.keyspace && self.keys.contains(key) {
            return Err(damage());
        }
        self.snapshot.get(keyspace, key)
    }

    fn range(&self, keyspace: Keyspace, range: impl RangeBounds<Bytes>) -> Self::Range {
        let rows = self.snapshot.range(keyspace, range).map(|row| {
            let (key, value) = row?;
            if keyspace == self.keyspace && self.keys.contains(&key) {
                return Err(damage());
            }
            Ok((key, value))
        });
        rows.collect::<Vec<_>>().into_iter()
    }
}

/// What reading a damaged row gives.
pub(crate) fn damage() -> EngineError {
    EngineError::Corrupt {
        doing: "testing",
        source: None,
    }
}

/// An engine in memory on which walks fail at some keys, until it is mended.
#[derive(Debug)]
pub(crate) struct Unreliable {
    pub(crate) engine: MemoryEngine,
    keyspace: Keyspace,
    keys: Mutex<BTreeSet<Bytes>>,
}

impl Unreliable {
    pub(crate) fn new(
        engine: MemoryEngine,
        keyspace: Keyspace,
        keys: impl IntoIterator<Item = Bytes>,
    ) -> Self {
        Self {
            engine,
            keyspace,
            keys: Mutex::new(keys.into_iter().collect()),
        }
    }

    pub(crate) fn mend(&self) {
        self.keys.lock().unwrap().clear();
    }

    pub(crate) fn mend_at(&self, key: &Bytes) {
        self.keys.lock().unwrap().remove(key);
    }
}

impl Engine for Unreliable {
    type Snapshot = Unreadable;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(keyspace, key)
    }

    fn commit(&self, batch: Batch, durability: engine::Durability) -> Result<(), EngineError> {
        self.engine.commit(batch, durability)
    }

    fn snapshot(&self) -> Unreadable {
        Unreadable {
            snapshot: self.engine.snapshot(),
            keyspace: self.keyspace,
            keys: self.keys.lock().unwrap().clone(),
        }
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.engine.persist()
    }

    fn check(&self) -> Result<(), EngineError> {
        self.engine.check()
    }

    fn usage(&self) -> Usage {
        self.engine.usage()
    }
}
