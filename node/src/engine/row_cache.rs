//! The row cache: records read or written lately, in front of an engine.
//!
//! ```text
//!   get(Records) --> row there? --yes--> its bytes
//!                        | no
//!                        '--> engine.get --> kept, unless a commit began meanwhile
//!
//!   commit --> rows marked --> engine.commit --> rows replaced, marks gone
//! ```
//!
//! A point read of an LSM tree looks into every memtable and at one block of every level; for a row that is
//! asked for again and again that is most of what a get costs, and much of what a put costs, since a put
//! reads what it joins.
//!
//! **No reader goes backwards.** Once the engine shows a commit to anybody, an older row must not get in. So
//! what a reader brings from the engine is kept only if no commit to that part of the cache was under way
//! when it began to read, nor has begun since; and a commit puts its own rows in once the engine has them.
//! Until then rows that are there stay, and are what the engine held before.
//!
//! Invariants: a row in the cache is what the engine holds, or held until a commit that has not yet returned.
//! After a failed commit nobody knows what the engine holds, and everything is left to it: it refuses. Rows are
//! copies with allocations of their own, so that none keeps a block or a batch alive.
//!
//! Left out: absence (filters find that at little cost), snapshots (they look at another time), and rows of
//! more than [`LARGEST`] bytes, each of which would drive out a hundred that are asked for as often.

mod shard;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::shard::{Keyed, Shard};
use super::batch::Batch;
use super::{Durability, Engine, EngineError, Keyspace, Usage};

/// Bytes of the largest row that is kept.
const LARGEST: usize = 16 << 10;

/// Bytes of a part of the cache, about: a commit to one of its rows keeps readers from filling all of it.
const PART: u64 = 256 << 10;

/// An engine with the rows of [`Keyspace::Records`] that are in demand kept in memory.
///
/// ```
/// use quoit_node::engine::{Batch, Durability, Engine, Keyspace, MemoryEngine, RowCache};
///
/// let engine = RowCache::new(MemoryEngine::new(), 1 << 20, [7; 16]);
/// let mut batch = Batch::new();
/// batch.insert(Keyspace::Records, &b"key"[..], &b"value"[..]);
/// engine.commit(batch, Durability::Fsync)?;
/// assert_eq!(engine.get(Keyspace::Records, b"key")?.as_deref(), Some(&b"value"[..]));
/// # Ok::<(), quoit_node::engine::EngineError>(())
/// ```
#[derive(Debug)]
pub struct RowCache<G> {
    engine: G,
    keyed: Keyed,
    shards: Box<[Mutex<Shard>]>,
    failed: AtomicBool,
}

impl<G> RowCache<G> {
    /// Keeps rows of `engine` in about `bytes` of memory.
    ///
    /// `hash_key` decides where rows lie: secret, or a client that chooses keys could make them collide.
    #[must_use]
    pub fn new(engine: G, bytes: u64, hash_key: [u8; 16]) -> Self {
        let keyed = Keyed::new(hash_key);
        let shards = (bytes / PART).clamp(1, 128);
        let shard = |_| Mutex::new(Shard::new(bytes / shards, keyed));
        Self {
            engine,
            keyed,
            shards: (0..shards).map(shard).collect(),
            failed: AtomicBool::new(false),
        }
    }

    /// The part of the cache in which `hash` lies.
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The high bits, for the low ones say where in the part.
        let place = (u128::from(hash) * self.shards.len() as u128) >> 64;
        let place = usize::try_from(place).unwrap_or(0);
        lock(&self.shards[place])
    }

    /// Passes on how the engine fared. Once it has failed, the cache is not asked any more.
    fn note<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        use EngineError::{InvalidKey, InvalidValue};
        let harmless =
            |error: &EngineError| matches!(error, InvalidKey { .. } | InvalidValue { .. });
        if result.as_ref().is_err_and(|error| !harmless(error)) {
            self.failed.store(true, Ordering::Release);
        }
        result
    }
}

impl<G: Engine> Engine for RowCache<G> {
    type Snapshot = G::Snapshot;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if keyspace != Keyspace::Records || self.failed.load(Ordering::Acquire) {
            return self.engine.get(keyspace, key);
        }
        let hash = self.keyed.hash(key);
        let since = match self.shard(hash).get(key) {
            Ok(row) => return Ok(Some(row)),
            Err(since) => since,
        };
        let row = self.engine.get(keyspace, key)?;
        if let Some(row) = row.as_ref().filter(|row| row.len() <= LARGEST) {
            self.shard(hash).read(key, hash, row, since);
        }
        Ok(row)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut rows: Vec<_> = (batch.writes_of(Keyspace::Records))
            .map(|(key, row)| (self.keyed.hash(key), key.clone(), row.cloned()))
            .collect();
        // Of two writes to one key nobody may see the first: they come together, in their order.
        rows.sort_by_key(|&(hash, ..)| hash);
        let keys = || rows.chunk_by(|(_, a, _), (_, b, _)| a == b);
        for (hash, ..) in keys().flat_map(<[_]>::last) {
            self.shard(*hash).begin();
        }
        let committed = self.note(self.engine.commit(batch, durability));
        for (hash, key, row) in keys().flat_map(<[_]>::last) {
            let row = row.as_ref();
            let kept = row.filter(|row| row.len() <= LARGEST && committed.is_ok());
            self.shard(*hash).end(key, *hash, kept);
        }
        committed
    }

    fn snapshot(&self) -> G::Snapshot {
        self.engine.snapshot()
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.note(self.engine.persist())
    }

    fn check(&self) -> Result<(), EngineError> {
        self.note(self.engine.check())
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.engine.has_room(bytes)
    }

    fn usage(&self) -> Usage {
        let mut usage = self.engine.usage();
        usage.cache_bytes += (self.shards.iter())
            .map(|shard| lock(shard).bytes())
            .sum::<u64>();
        usage
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
