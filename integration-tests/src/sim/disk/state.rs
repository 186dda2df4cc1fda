//! All of a disk behind its lock: what is stored, which process may use it, what is broken.
//!
//! ```text
//!            open            commit fails           kill, power loss
//!   unused ---------> open ---------------> failed -----------------> unused
//!     ^                 |  ^                  |
//!     +--- kill --------+  +------ open ------+
//! ```
//!
//! Every opening has a number, and only the newest one is ever served: what a dead process still holds is refused,
//! however late it calls. A batch that no engine could store is refused first and touches neither state nor faults.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quoit_node::engine::{
    Batch, Durability, Engine as _, EngineError, FreeSpace, Keyspace, MemoryEngine, MemorySnapshot,
    Usage,
};

use super::faults::{CommitFault, Faults, Fired};
use super::image::Image;

/// How much was done on a disk, over all openings. Calls that failed do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches committed, the empty ones too.
    pub commits: u64,
    /// Writes in those batches, each insert or removal.
    pub writes: u64,
    /// Commits that were synced, and calls that only sync.
    pub syncs: u64,
    /// Point reads, of absent keys too.
    pub gets: u64,
    /// Bytes of the values those reads gave.
    pub bytes_read: u64,
}

/// The number of an opening; 0 is none.
pub(super) type Opening = u64;

/// Bytes free on a nearly full disk that has some of a node's reserve left: values are refused, removals taken.
pub(super) const IN_RESERVE: u64 = 32 << 20;

#[derive(Default)]
pub(super) struct State {
    image: Image,
    openings: Opening,
    /// Whether the process of the newest opening is alive.
    alive: bool,
    /// The failed commit that ended the use of the newest opening.
    failure: Option<EngineError>,
    pub(super) faults: Faults,
    /// How often the disk has filled up.
    fillings: u64,
    pub(super) fired: Fired,
    pub(super) counters: Counters,
}

impl State {
    pub(super) fn open(&mut self) -> Opening {
        self.image.settle();
        self.failure = None;
        self.alive = true;
        self.openings += 1;
        self.openings
    }

    pub(super) fn kill(&mut self) {
        self.crash();
        self.fired.kills += 1;
    }

    pub(super) fn power_loss(&mut self, lost: usize) {
        self.crash();
        self.image.lose(lost);
        self.fired.power_losses += 1;
        self.fired.batches_lost += wide(lost);
    }

    fn crash(&mut self) {
        self.alive = false;
        self.failure = None;
    }

    pub(super) fn heal(&mut self) {
        self.faults = Faults::default();
    }

    pub(super) fn unsynced(&self) -> usize {
        self.image.unsynced()
    }

    pub(super) fn contents(&self) -> MemorySnapshot {
        self.image.seen().snapshot()
    }

    pub(super) fn usage(&self) -> Usage {
        self.image.seen().usage()
    }

    /// Refuses every opening but the newest, and that one if it has failed or died.
    pub(super) fn usable(&mut self, opening: Opening) -> Result<(), EngineError> {
        let newest = self.alive && opening == self.openings;
        if newest && self.failure.is_none() {
            return Ok(());
        }
        self.fired.refused += 1;
        let cause = self.failure.clone().filter(|_| newest).map(Arc::new);
        Err(EngineError::Poisoned { cause })
    }

    pub(super) fn get(
        &mut self,
        keyspace: Keyspace,
        key: &[u8],
    ) -> Result<Option<Bytes>, EngineError> {
        let value = self.image.seen().get(keyspace, key)?;
        self.readable(keyspace, key)?;
        self.counters.gets += 1;
        self.counters.bytes_read += wide(value.as_ref().map_or(0, Bytes::len));
        Ok(value)
    }

    /// Refuses a key on a bad sector.
    pub(super) fn readable(&mut self, keyspace: Keyspace, key: &[u8]) -> Result<(), EngineError> {
        let Some(bad) = self.faults.unreadable else {
            return Ok(());
        };
        let error = bad.error_for(keyspace, key);
        self.fired.unreadable += u64::from(error.is_some());
        error.map_or(Ok(()), Err)
    }

    pub(super) fn commit(
        &mut self,
        batch: Batch,
        durability: Durability,
    ) -> Result<(), EngineError> {
        if let Some(fault) = self.faults.of_commit() {
            return Err(self.fail(fault, batch));
        }
        let writes = wide(batch.len());
        self.image.commit(batch, durability)?;
        self.counters.commits += 1;
        self.counters.writes += writes;
        self.counters.syncs += u64::from(durability == Durability::Fsync);
        Ok(())
    }

    /// The end of the use of this opening, unless the batch itself is at fault.
    fn fail(&mut self, fault: CommitFault, batch: Batch) -> EngineError {
        let taken = match fault {
            CommitFault::FaultFilter => self.image.commit(batch, Durability::Buffered),
            // Into thin air, only to hear whether an engine would have taken it.
            CommitFault::NoSpace | CommitFault::Lost => {
                MemoryEngine::new().commit(batch, Durability::Buffered)
            }
        };
        if let Err(refused) = taken {
            return refused;
        }

        let error = self.faults.spend(fault, &mut self.fired);
        self.failure = Some(error.clone());
        error
    }

    pub(super) fn sync(&mut self) {
        self.image.sync();
        self.counters.syncs += 1;
    }

    /// The disk is nearly full, every second time with some of a node's reserve left.
    pub(super) fn fill(&mut self) {
        self.faults.full = true;
        self.fillings += 1;
    }

    /// The space left on a disk that is nearly full; none is short on others.
    pub(super) fn free_space(&mut self) -> Option<FreeSpace> {
        if !self.faults.full {
            return None;
        }
        self.fired.no_room += 1;
        let free = if self.fillings % 2 == 1 {
            IN_RESERVE
        } else {
            0
        };
        Some(FreeSpace { free, needed: 1 })
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("openings", &self.openings)
            .field("alive", &self.alive)
            .field("failure", &self.failure)
            .field("faults", &self.faults)
            .field("unsynced", &self.unsynced())
            .finish_non_exhaustive()
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
