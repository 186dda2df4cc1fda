//! One opening of a disk: what a node's process holds.
//!
//! ```text
//!   DiskEngine --snapshot--> DiskSnapshot --range--> DiskRange
//!        \________________________|______________________/
//!                   asks the disk at every call whether its process still lives
//! ```
//!
//! A snapshot's contents never change; that they can still be read may: it ends with the process, with a failed
//! commit, and at a bad sector. All of it is for one thread at a time; the lock is there because the seam asks for it.

use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use quoit_node::engine::{
    Batch, Durability, Engine, EngineError, FreeSpace, Keyspace, MemoryRange, MemorySnapshot,
    Snapshot, Usage,
};

use super::lock;
use super::state::{Opening, State};

/// The engine of one process on a [`Disk`](super::Disk).
#[derive(Debug)]
pub struct DiskEngine {
    handle: Handle,
}

impl DiskEngine {
    pub(super) const fn new(state: Arc<Mutex<State>>, opening: Opening) -> Self {
        Self {
            handle: Handle { state, opening },
        }
    }
}

impl Engine for DiskEngine {
    type Snapshot = DiskSnapshot;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.handle.usable()?.get(keyspace, key)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        self.handle.usable()?.commit(batch, durability)
    }

    fn snapshot(&self) -> DiskSnapshot {
        DiskSnapshot {
            view: lock(&self.handle.state).contents(),
            handle: self.handle.clone(),
        }
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.handle.usable()?.sync();
        Ok(())
    }

    fn check(&self) -> Result<(), EngineError> {
        self.handle.usable().map(drop)
    }

    fn free_space(&self) -> Option<FreeSpace> {
        lock(&self.handle.state).free_space()
    }

    fn usage(&self) -> Usage {
        lock(&self.handle.state).usage()
    }
}

/// A [`DiskEngine`] at one instant.
#[derive(Debug)]
pub struct DiskSnapshot {
    view: MemorySnapshot,
    handle: Handle,
}

impl Snapshot for DiskSnapshot {
    type Range = DiskRange;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.view.get(keyspace, key)?;
        self.handle.usable()?.readable(keyspace, key)?;
        Ok(value)
    }

    fn range(&self, keyspace: Keyspace, range: impl RangeBounds<Bytes>) -> DiskRange {
        DiskRange {
            walk: Some(self.view.range(keyspace, range)),
            keyspace,
            handle: self.handle.clone(),
        }
    }
}

/// A walk over part of a [`DiskSnapshot`].
#[derive(Debug)]
pub struct DiskRange {
    /// `None` once it is over: the maps are not held any longer than that.
    walk: Option<MemoryRange>,
    keyspace: Keyspace,
    handle: Handle,
}

impl DiskRange {
    fn read(&self, entry: (Bytes, Bytes)) -> Result<(Bytes, Bytes), EngineError> {
        self.handle.usable()?.readable(self.keyspace, &entry.0)?;
        Ok(entry)
    }

    /// The entry that the walk has come to. It ends at its end, or at its first error.
    fn take(
        &mut self,
        entry: Option<Result<(Bytes, Bytes), EngineError>>,
    ) -> Option<Result<(Bytes, Bytes), EngineError>> {
        let read = entry.map(|entry| self.read(entry?));
        if !matches!(read, Some(Ok(_))) {
            self.walk = None;
        }
        read
    }
}

impl Iterator for DiskRange {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.walk.as_mut()?.next();
        self.take(entry)
    }
}

impl DoubleEndedIterator for DiskRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.walk.as_mut()?.next_back();
        self.take(entry)
    }
}

/// A process's right to use a disk.
#[derive(Debug, Clone)]
struct Handle {
    state: Arc<Mutex<State>>,
    opening: Opening,
}

impl Handle {
    /// The disk, if this process still lives and no commit of it has failed.
    fn usable(&self) -> Result<MutexGuard<'_, State>, EngineError> {
        let mut state = lock(&self.state);
        state.usable(self.opening)?;
        Ok(state)
    }
}
