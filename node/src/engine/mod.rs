//! The storage engine: seven ordered maps of bytes, written by atomic batches.
//!
//! ```text
//!             commit(Batch, Durability)        get        snapshot
//!                      |                        |            |
//!   records --+--------+--------+               |            |  one instant,
//!   leaves  --+  all of a batch |   the newest  |            |  all seven
//!   hints   --+  or nothing     |   committed   v            v
//!   ballots --+                 |
//!   expiry  --+                 |
//!   graves  --+                 |
//!   meta    --+-----------------+
//! ```
//!
//! An engine knows nothing of records, dots or replicas: [`layout`] documents the keys, and the code that writes a
//! value documents the value. [`FjallEngine`] keeps them in an LSM tree on disk. [`MemoryEngine`] makes the
//! same promises in a screenful of code: the model that the other is tested against.
//!
//! Invariants:
//! - A batch is stored whole or not at all, and [`Durability::Fsync`] returns after the disk has it.
//! - A snapshot never changes.
//! - A failed write ends all use of the engine until it is opened again: the kernel may have dropped the dirty
//!   pages, and a second `fsync` would succeed without them.
//! - An error is never turned into "not found".
//!
//! Left out: transactions that read and write (the one committing thread makes them unnecessary), expiry,
//! compaction control, and time. Every call may block: call it from a thread of the engine's user, never from an
//! async worker. The server excepts point reads, see its head for what they may wait for.

mod batch;
mod error;
mod fjall;
mod journal;
pub mod layout;
mod manifests;
mod memory;
mod row_cache;
mod skip;
mod space;
mod store;
mod tables;
mod tuning;

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;

pub use self::batch::Batch;
pub use self::error::EngineError;
pub use self::fjall::{FjallEngine, FjallRange, FjallSnapshot};
pub use self::memory::{MemoryEngine, MemoryRange, MemorySnapshot};
pub use self::row_cache::RowCache;
pub(crate) use self::skip::skip_unreadable;
pub use self::tuning::{EngineOptions, LEAST_MEMORY};

/// Longest key in bytes; the shortest is one byte.
pub const MAX_KEY: usize = 65_535;

/// Longest value in bytes, 4 GiB - 1; callers bound theirs far below.
pub const MAX_VALUE: u64 = 4_294_967_295;

/// One of the engine's seven maps. Equal keys in two of them are unrelated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keyspace {
    /// Namespace and user key to the record of that key.
    Records,
    /// Leaf, namespace and user key to nothing: the keys of each leaf.
    Leaves,
    /// Target node, namespace and user key to the record kept for that node.
    Hints,
    /// Namespace and user key to the ballot promised and the value accepted for that key.
    Ballots,
    /// Due time, namespace and user key to nothing: the keys that expire, by time.
    Expiry,
    /// A handful of named values about the node itself, listed in [`layout`].
    Meta,
    /// Leaf, namespace and user key to nothing: the keys whose records are tombstones.
    Graves,
}

impl Keyspace {
    /// All keyspaces, in the order of [`Keyspace::index`].
    pub const ALL: [Self; 7] = [
        Self::Records,
        Self::Leaves,
        Self::Hints,
        Self::Ballots,
        Self::Expiry,
        Self::Meta,
        Self::Graves,
    ];

    /// Its place in [`Keyspace::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Records => 0,
            Self::Leaves => 1,
            Self::Hints => 2,
            Self::Ballots => 3,
            Self::Expiry => 4,
            Self::Meta => 5,
            Self::Graves => 6,
        }
    }

    /// Its name on disk and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Leaves => "leaves",
            Self::Hints => "hints",
            Self::Ballots => "ballots",
            Self::Expiry => "expiry",
            Self::Meta => "meta",
            Self::Graves => "graves",
        }
    }
}

/// The failures that a finished commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process (also by `kill -9`), not the loss of power.
    Buffered,
    /// The loss of power: `fdatasync` has returned, for this batch and for every earlier one.
    Fsync,
}

/// The size of an engine's data; every figure is a cheap estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of files, journals included (they count in full when created: 64 MiB each).
    pub disk_bytes: u64,
    /// Entries in [`Keyspace::Records`]; overwritten and removed ones count until compaction drops them.
    pub records: u64,
    /// Bytes of written data not yet in tables.
    pub memtable_bytes: u64,
    /// Bytes of table blocks in memory.
    pub cache_bytes: u64,
    /// Memtables that wait to become tables.
    pub flushes_waiting: u64,
    /// Merges of tables under way.
    pub compactions_running: u64,
    /// Merges of tables that have ended since the start.
    pub compactions: u64,
    /// Journals: one is written, the others wait until what is in them is in tables.
    pub journals: u64,
}

/// The space on an engine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// Bytes free for this process.
    pub free: u64,
    /// How many of them the engine's work under way may take: memtables to be written out, merges.
    pub needed: u64,
}

/// A store of bytes in seven ordered maps. See the [module](self) for its promises.
///
/// ```
/// use quoit_node::engine::{Batch, Durability, Engine, Keyspace, MemoryEngine};
///
/// let engine = MemoryEngine::new();
/// let mut batch = Batch::new();
/// batch.insert(Keyspace::Records, &b"key"[..], &b"value"[..]);
/// batch.insert(Keyspace::Leaves, &b"leaf"[..], &b""[..]);
/// engine.commit(batch, Durability::Fsync)?;
/// assert_eq!(engine.get(Keyspace::Records, b"key")?.as_deref(), Some(&b"value"[..]));
/// # Ok::<(), quoit_node::engine::EngineError>(())
/// ```
pub trait Engine: Send + Sync + Debug + 'static {
    /// The view [`Engine::snapshot`] gives.
    type Snapshot: Snapshot;

    /// The newest committed value of `key`, or `None` if it has none.
    ///
    /// While a commit runs, a reader may see one of its writes and not yet another; take a
    /// [snapshot](Engine::snapshot) to read two things together.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidKey`], an I/O error or damaged data, or [`EngineError::Poisoned`]. An error says
    /// nothing about whether the key exists.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Stores all of `batch` or nothing of it; of two writes to one key the later wins.
    ///
    /// May block for as long as the disk needs to catch up with earlier writes. An empty batch with
    /// [`Durability::Fsync`] still makes every earlier commit durable.
    ///
    /// # Errors
    ///
    /// [`EngineError::InvalidKey`] and [`EngineError::InvalidValue`] leave the engine as it was. After
    /// any other error the batch may or may not be there once the engine is opened again
    /// (see [`EngineError::surely_not_stored`]), and until then every call answers
    /// [`EngineError::Poisoned`].
    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), EngineError>;

    /// All seven maps as they are now, whole batches only. Drop it soon: it keeps old data from being dropped and
    /// the engine from being closed.
    fn snapshot(&self) -> Self::Snapshot;

    /// Makes everything committed so far durable, file metadata included. For shutdown.
    ///
    /// # Errors
    ///
    /// As [`Engine::commit`]; what was committed as [`Durability::Buffered`] may be lost.
    fn persist(&self) -> Result<(), EngineError>;

    /// Whether the engine still takes writes, for a watchdog: a commit that waits for the disk to catch up
    /// waits for ever once the engine's background work has failed. May wait for a running sync, never for such
    /// a commit.
    ///
    /// # Errors
    ///
    /// [`EngineError::Poisoned`] if a write or the engine's background work has failed.
    fn check(&self) -> Result<(), EngineError>;

    /// Whether the engine takes writes at all, as long as it is open.
    ///
    /// # Errors
    ///
    /// [`EngineError::TableDamaged`] if it is open for reading only; no commit then changes anything.
    fn takes_writes(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// The space on its disk, for a decision on what may still be written: a commit without space may fail the
    /// engine for good. `None` where it cannot be read.
    fn free_space(&self) -> Option<FreeSpace> {
        None
    }

    /// The size of the data. May wait for a running sync.
    fn usage(&self) -> Usage;
}

/// All keyspaces at one instant.
pub trait Snapshot: Send + Sync + Debug + 'static {
    /// The iterator of [`Snapshot::range`]: owned, in ascending order of the keys' bytes, from either end; finished after
    /// its first error.
    type Range: DoubleEndedIterator<Item = Result<(Bytes, Bytes), EngineError>>
        + Send
        + Debug
        + 'static;

    /// The value `key` had at that instant.
    ///
    /// # Errors
    ///
    /// As [`Engine::get`].
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Every entry of `keyspace` within `range` at that instant; `..` is all of them. A range that ends before
    /// its start is empty.
    fn range(&self, keyspace: Keyspace, range: impl RangeBounds<Bytes>) -> Self::Range;
}

/// Bounds that own their keys.
type Bounds = (Bound<Bytes>, Bound<Bytes>);

/// `range` with its keys cloned, or `None` if it can contain no key (where `BTreeMap` would panic).
fn bounds_of(range: &impl RangeBounds<Bytes>) -> Option<Bounds> {
    use Bound::{Excluded, Included, Unbounded};
    let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
    let possible = match &bounds {
        (Unbounded, _) | (_, Unbounded) => true,
        (Included(low), Included(high)) => low <= high,
        (Included(low) | Excluded(low), Included(high) | Excluded(high)) => low < high,
    };
    possible.then_some(bounds)
}

/// Refuses a key no engine can hold.
fn check_key(keyspace: Keyspace, key: &[u8]) -> Result<(), EngineError> {
    if key.is_empty() || key.len() > MAX_KEY {
        let length = key.len();
        return Err(EngineError::InvalidKey { keyspace, length });
    }
    Ok(())
}
