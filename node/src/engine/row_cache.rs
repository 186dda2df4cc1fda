//! The row cache: recently read or written records in memory, in front of an engine.
//!
//! ```text
//!   get(Records) --> row there? --yes--> its bytes
//!                        | no
//!                        '--> engine.get --> cached, unless a commit began meanwhile
//!
//!   commit --> rows marked --> engine.commit --> rows replaced, marks gone
//! ```
//!
//! A point read of an LSM tree looks into every memtable and at one block of every level. For a hot row that is most
//! of the cost of a get, and much of the cost of a put, which reads the record that it joins.
//!
//! **No reader goes backwards.** Once a commit is visible in the engine, an older row must not enter the cache. So
//! a row read from the engine is cached only if no commit to that shard was under way when the read began, and
//! none has begun since. A commit replaces its rows once the engine has them; until then the cached rows are what
//! the engine held before.
//!
//! Invariants:
//! - A cached row is what the engine holds, or held until a commit that has not yet returned.
//! - After a failed commit the engine's state is unknown: the cache is bypassed, and the engine refuses.
//! - Rows are copies with their own allocation, so that none keeps a block or a batch alive.
//!
//! Left out: absence (filters answer that cheaply), snapshots (they read an older state), and rows of more than
//! [`LARGEST`] bytes, each of which would evict a hundred equally hot ones.

mod shard;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::shard::{Keyed, Shard};
use super::batch::Batch;
use super::{Durability, Engine, EngineError, FreeSpace, Keyspace, Usage};

/// Bytes of the largest row that is cached.
const LARGEST: usize = 16 << 10;

/// Bytes of a shard, about. A commit to one row keeps readers from filling the whole shard, so shards are small.
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

    /// The engine, without the rows.
    #[must_use]
    pub fn into_inner(self) -> G {
        self.engine
    }

    /// The shard of `hash`.
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The high bits: the low ones choose the place within the shard.
        let place = (u128::from(hash) * self.shards.len() as u128) >> 64;
        let place = usize::try_from(place).unwrap_or(0);
        lock(&self.shards[place])
    }

    /// Returns the engine's result. Once the engine has failed, the cache is bypassed.
    fn note<T>(&self, result: Result<T, EngineError>) -> Result<T, EngineError> {
        use EngineError::{InvalidKey, InvalidValue, TableDamaged};
        let harmless = |error: &EngineError| {
            matches!(
                error,
                InvalidKey { .. } | InvalidValue { .. } | TableDamaged { .. }
            )
        };
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
        // Only the last of several writes to a key may be cached. The sort is stable, so they end up in order.
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

    fn takes_writes(&self) -> Result<(), EngineError> {
        self.engine.takes_writes()
    }

    fn free_space(&self) -> Option<FreeSpace> {
        self.engine.free_space()
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
