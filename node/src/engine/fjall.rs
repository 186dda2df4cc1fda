//! The engine on disk: fjall, an LSM tree with one journal.
//!
//! ```text
//!   commit --> journal (one lock) --> fdatasync? --> memtables --> visible
//!                                                       |
//!                         fjall's worker threads:  tables, merged level by level
//! ```
//!
//! Rules for the use of fjall 3.1, kept here:
//! - Check keys first: an invalid one panics.
//! - Set the durability of every batch: the default leaves it in the process.
//! - Write a key once per batch: its writes would share a sequence number, and for an instant readers would see an
//!   older value instead.
//! - Walk ranges through a snapshot: a keyspace's own range may see half a batch.
//! - Stop after the first failure (see [`Store`]).
//!
//! Invariant: the database stays open for as long as the engine, a snapshot or a walk lives, so that
//! none of them can meet files that a later opening has changed.

use std::fmt;
use std::io;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{OwnedWriteBatch, PersistMode, Readable as _};

use super::store::{Store, sort};
use super::{
    Batch, Durability, Engine, EngineError, EngineOptions, FreeSpace, Keyspace, Snapshot, Usage,
    bounds_of, check_key,
};

/// An engine in a directory. It ends, and waits for its threads, when it and its last snapshot are dropped; the next
/// opening then treats it as crashed. [`FjallEngine::close`] ends it in order.
pub struct FjallEngine {
    store: Arc<Store>,
}

impl FjallEngine {
    /// Whether there is an engine in `directory`.
    ///
    /// # Errors
    ///
    /// What the system said, which is never taken for "no". Nothing is changed.
    pub fn is_in(directory: &Path) -> io::Result<bool> {
        Store::is_in(directory)
    }

    /// Opens the engine in `directory`, after making both if they are missing: for a node's first start, and for tests.
    ///
    /// ```
    /// use quoit_node::engine::{Batch, Durability, Engine, EngineOptions, FjallEngine, Keyspace};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let engine = FjallEngine::create_or_open(directory.path(), EngineOptions::default())?;
    /// let mut batch = Batch::new();
    /// batch.insert(Keyspace::Records, &b"key"[..], &b"value"[..]);
    /// engine.commit(batch, Durability::Fsync)?;
    /// drop(engine);
    ///
    /// let engine = FjallEngine::open(directory.path(), EngineOptions::default())?;
    /// assert_eq!(engine.get(Keyspace::Records, b"key")?.as_deref(), Some(&b"value"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`FjallEngine::open`]; an incomplete store is made again next time.
    pub fn create_or_open(directory: &Path, options: EngineOptions) -> Result<Self, EngineError> {
        let store = Arc::new(Store::create_or_open(directory, options)?);
        Ok(Self { store })
    }

    /// Opens the engine in `directory`.
    ///
    /// After a crash it replays the journals first, at about 30 MB/s for small values.
    ///
    /// # Errors
    ///
    /// [`EngineError::Missing`], [`EngineError::Memory`], [`EngineError::InUse`], [`EngineError::NewerFormat`],
    /// [`EngineError::ForeignFormat`], [`EngineError::ManifestDamaged`] and [`EngineError::JournalDamaged`] leave what
    /// is stored as it was. [`EngineError::Corrupt`] if a part of it is missing or damaged, except for a table that an
    /// earlier run found damaged: the engine is then open for reading only, see [`Engine::takes_writes`]. Otherwise an
    /// I/O error.
    pub fn open(directory: &Path, options: EngineOptions) -> Result<Self, EngineError> {
        let store = Arc::new(Store::open(directory, options)?);
        Ok(Self { store })
    }

    /// Makes everything durable, waits for the engine's threads, and records what the journals hold. The next opening
    /// then notices any damage to them, where after a crash it must take a flawed end for a write cut off.
    ///
    /// Reads the journals back: about a quarter of a second for 128 MiB.
    ///
    /// # Errors
    ///
    /// [`EngineError::InUse`] while a snapshot or a walk lives; the engine then ends with it. An I/O error, or
    /// [`EngineError::JournalDamaged`]. The next opening treats the engine as crashed.
    pub fn close(self) -> Result<(), EngineError> {
        self.persist()?;
        match Arc::try_unwrap(self.store) {
            Ok(store) => store.close(),
            Err(used) => Err(used.in_use()),
        }
    }
}

impl Engine for FjallEngine {
    type Snapshot = FjallSnapshot;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(keyspace, key)?;
        self.store.usable()?;
        let value = self.store.keyspace(keyspace).get(key);
        let value = value.map_err(|error| sort("reading a value", error))?;
        Ok(value.map(Bytes::from))
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        const DOING: &str = "committing a batch";
        batch.check()?;
        self.store.takes_writes()?;
        let mode = mode_of(durability);
        if batch.is_empty() {
            return self.store.sync(mode, DOING);
        }
        self.store.usable()?;

        let writes = batch.into_last_writes();
        let mut batch = OwnedWriteBatch::with_capacity(self.store.database.clone(), writes.len())
            .durability(Some(mode));
        for write in writes {
            let keyspace = self.store.keyspace(write.keyspace);
            match write.value {
                Some(value) => batch.insert(keyspace, write.key, value),
                None => batch.remove(keyspace, write.key),
            }
        }
        (batch.commit()).map_err(|error| self.store.fail(DOING, error))
    }

    fn snapshot(&self) -> FjallSnapshot {
        FjallSnapshot {
            view: self.store.database.snapshot(),
            store: Arc::clone(&self.store),
        }
    }

    fn persist(&self) -> Result<(), EngineError> {
        (self.store).sync(PersistMode::SyncAll, "making all commits durable")
    }

    fn check(&self) -> Result<(), EngineError> {
        (self.store).sync(PersistMode::Buffer, "handing the journal to the system")
    }

    fn takes_writes(&self) -> Result<(), EngineError> {
        self.store.takes_writes()
    }

    fn free_space(&self) -> Option<FreeSpace> {
        self.store.free_space()
    }

    fn usage(&self) -> Usage {
        let database = &self.store.database;
        let keyspaces = self.store.keyspaces();
        let records = self.store.keyspace(Keyspace::Records).approximate_len();
        Usage {
            // After a failure the size of the journals may be unknown: then count the tables only.
            disk_bytes: (database.disk_space())
                .unwrap_or_else(|_| keyspaces.iter().map(fjall::Keyspace::disk_space).sum()),
            records: count(records),
            memtable_bytes: database.write_buffer_size(),
            cache_bytes: database.cache_size(),
            flushes_waiting: count(database.outstanding_flushes()),
            compactions_running: count(database.active_compactions()),
            compactions: count(database.compactions_completed()),
            journals: count(database.journal_count()),
        }
    }
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

const fn mode_of(durability: Durability) -> PersistMode {
    match durability {
        Durability::Buffered => PersistMode::Buffer,
        Durability::Fsync => PersistMode::SyncData,
    }
}

/// A [`FjallEngine`] at one instant.
pub struct FjallSnapshot {
    // Fields are dropped in order: the view before its store.
    view: fjall::Snapshot,
    store: Arc<Store>,
}

impl Snapshot for FjallSnapshot {
    type Range = FjallRange;

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(keyspace, key)?;
        self.store.usable()?;
        let value = self.view.get(self.store.keyspace(keyspace), key);
        let value = value.map_err(|error| sort("reading a value", error))?;
        Ok(value.map(Bytes::from))
    }

    fn range(&self, keyspace: Keyspace, range: impl RangeBounds<Bytes>) -> FjallRange {
        let store = Arc::clone(&self.store);
        let keyspace = self.store.keyspace(keyspace);
        FjallRange {
            walk: bounds_of(&range).map(|bounds| self.view.range(keyspace, bounds)),
            store,
        }
    }
}

/// A walk over part of a [`FjallSnapshot`].
pub struct FjallRange {
    /// `None` once it is over.
    walk: Option<fjall::Iter>,
    store: Arc<Store>,
}

impl FjallRange {
    fn read(&self, entry: fjall::Guard) -> Result<(Bytes, Bytes), EngineError> {
        self.store.usable()?;
        let entry = entry.into_inner();
        let (key, value) = entry.map_err(|error| sort("walking a keyspace", error))?;
        Ok((key.into(), value.into()))
    }

    /// The entry that the walk has come to. It ends at its end, or at its first error.
    fn take(&mut self, entry: Option<fjall::Guard>) -> Option<Result<(Bytes, Bytes), EngineError>> {
        let read = entry.map(|entry| self.read(entry));
        if !matches!(read, Some(Ok(_))) {
            self.walk = None;
        }
        read
    }
}

impl Iterator for FjallRange {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.walk.as_mut()?.next();
        self.take(entry)
    }
}

impl DoubleEndedIterator for FjallRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.walk.as_mut()?.next_back();
        self.take(entry)
    }
}

impl fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallEngine").finish_non_exhaustive()
    }
}

impl fmt::Debug for FjallSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallSnapshot").finish_non_exhaustive()
    }
}

impl fmt::Debug for FjallRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = self.walk.is_none();
        f.debug_struct("FjallRange")
            .field("over", &over)
            .finish_non_exhaustive()
    }
}
