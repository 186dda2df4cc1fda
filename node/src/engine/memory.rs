//! The engine's model: seven `BTreeMap`s behind a lock.
//!
//! ```text
//!   engine   [ Arc, Arc, Arc, Arc, Arc, Arc ]
//!               \    |                          a snapshot clones the pointers;
//!   snapshot  [ Arc, Arc, ... ]                 the next commit copies the maps it touches
//! ```
//!
//! It specifies [`FjallEngine`](super::FjallEngine) in so little code that it is plainly right. Invariant: a commit
//! checks the whole batch first, and holds the lock from its first write to its last. It has no failures of its own,
//! and both durabilities mean the same: everything is lost with the process.

use std::array;
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::batch::Batch;
use super::error::EngineError;
use super::{Bounds, Durability, Engine, Keyspace, Snapshot, Usage, bounds_of, check_key, layout};

type Map = BTreeMap<Bytes, Bytes>;

/// An engine in memory, for tests and as the model of the real one. Clones are not handles: share it in an `Arc`.
#[derive(Debug)]
pub struct MemoryEngine {
    maps: RwLock<[Arc<Map>; 7]>,
}

impl MemoryEngine {
    /// A new engine, holding only its format version like any new engine.
    #[must_use]
    pub fn new() -> Self {
        let mut maps: [Arc<Map>; 7] = array::from_fn(|_| Arc::default());
        let format = Bytes::copy_from_slice(&layout::FORMAT.to_be_bytes());
        maps[Keyspace::Meta.index()] = Arc::new(Map::from([(
            Bytes::from_static(layout::META_FORMAT),
            format,
        )]));
        Self {
            maps: RwLock::new(maps),
        }
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for MemoryEngine {
    type Snapshot = MemorySnapshot;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.snapshot().get(keyspace, key)
    }

    fn commit(&self, batch: Batch, _durability: Durability) -> Result<(), EngineError> {
        batch.check()?;
        let mut maps = self.maps.write().unwrap_or_else(PoisonError::into_inner);
        for write in batch.into_writes() {
            let map = Arc::make_mut(&mut maps[write.keyspace.index()]);
            match write.value {
                Some(value) => map.insert(write.key, value),
                None => map.remove(&write.key),
            };
        }
        Ok(())
    }

    fn snapshot(&self) -> MemorySnapshot {
        let maps = self.maps.read().unwrap_or_else(PoisonError::into_inner);
        MemorySnapshot { maps: maps.clone() }
    }

    fn persist(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn check(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn usage(&self) -> Usage {
        let records = self.snapshot().maps[Keyspace::Records.index()].len();
        Usage {
            records: u64::try_from(records).unwrap_or(u64::MAX),
            ..Usage::default()
        }
    }
}

/// A [`MemoryEngine`] at one instant.
#[derive(Debug, Clone)]
pub struct MemorySnapshot {
    maps: [Arc<Map>; 7],
}

impl Snapshot for MemorySnapshot {
    type Range = MemoryRange;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(keyspace, key)?;
        Ok(self.maps[keyspace.index()].get(key).cloned())
    }

    fn range(&self, keyspace: Keyspace, range: impl RangeBounds<Bytes>) -> MemoryRange {
        MemoryRange {
            map: Arc::clone(&self.maps[keyspace.index()]),
            left: bounds_of(&range),
        }
    }
}

/// A walk over part of a [`MemorySnapshot`].
#[derive(Debug)]
pub struct MemoryRange {
    map: Arc<Map>,
    /// What is still to be walked; `None` once nothing is.
    left: Option<Bounds>,
}

impl Iterator for MemoryRange {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (start, end) = self.left.take()?;
        let (key, value) = self.map.range((start, end.clone())).next()?;
        self.left = bounds_of(&(Bound::Excluded(key.clone()), end));
        Some(Ok((key.clone(), value.clone())))
    }
}

impl DoubleEndedIterator for MemoryRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (start, end) = self.left.take()?;
        let (key, value) = self.map.range((start.clone(), end)).next_back()?;
        self.left = bounds_of(&(start, Bound::Excluded(key.clone())));
        Some(Ok((key.clone(), value.clone())))
    }
}
