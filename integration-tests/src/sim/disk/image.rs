//! What is stored, and what of it the power could still take.
//!
//! ```text
//!   seen     =  durable + all of the tail         what reads see; always there
//!   tail     =  durable, batch, batch, batch      only once something was committed unsynced
//!
//!   Fsync, sync     the tail's batches move into durable
//!   power loss      some of them do, the others are dropped, and durable is seen from then on
//! ```
//!
//! A node that syncs every commit never has a tail, and each of its commits is one change of `seen` in place: the
//! maps are copied only while a snapshot of them is alive. The first unsynced commit copies everything once, and
//! from then on each batch is applied twice. Batches are replayed whole, never undone, so half a batch
//! cannot be left anywhere.
//!
//! The tail is bounded: as an operating system writes old pages back unasked, the oldest batch becomes durable when
//! [`MOST_UNSYNCED`] younger ones have come.

use std::collections::VecDeque;

use quoit_node::engine::layout::META_FORMAT;
use quoit_node::engine::{
    Batch, Durability, Engine as _, EngineError, Keyspace, MemoryEngine, Snapshot as _,
};

/// Most batches that are unsynced at one time: at one write each a few megabytes, and more than a
/// node commits between two faults of a simulated run.
pub const MOST_UNSYNCED: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Image {
    seen: MemoryEngine,
    tail: Option<Tail>,
}

#[derive(Debug)]
struct Tail {
    durable: MemoryEngine,
    /// Oldest first; none of them empty.
    batches: VecDeque<Batch>,
}

impl Image {
    pub(super) const fn seen(&self) -> &MemoryEngine {
        &self.seen
    }

    pub(super) fn unsynced(&self) -> usize {
        self.tail.as_ref().map_or(0, |tail| tail.batches.len())
    }

    /// Stores all of `batch`, or nothing if it cannot be stored at all.
    pub(super) fn commit(
        &mut self,
        batch: Batch,
        durability: Durability,
    ) -> Result<(), EngineError> {
        match (durability, &mut self.tail) {
            (Durability::Fsync, None) => self.seen.commit(batch, durability)?,
            (Durability::Fsync, Some(tail)) => {
                self.seen.commit(batch.clone(), durability)?;
                tail.push(batch);
                tail.sync();
            }
            (Durability::Buffered, _) if batch.is_empty() => {}
            (Durability::Buffered, tail) => {
                let tail = tail.get_or_insert_with(|| Tail::of(&self.seen));
                self.seen.commit(batch.clone(), durability)?;
                tail.push(batch);
            }
        }

        Ok(())
    }

    /// Makes all that is seen durable.
    pub(super) fn sync(&mut self) {
        if let Some(tail) = &mut self.tail {
            tail.sync();
        }
    }

    /// Loses the youngest `lost` unsynced batches; the others are durable from now on, as all that is left.
    pub(super) fn lose(&mut self, lost: usize) {
        if let Some(mut tail) = self.tail.take() {
            tail.batches
                .truncate(tail.batches.len().saturating_sub(lost));
            tail.sync();
            self.seen = tail.durable;
        }
    }

    /// Drops the second copy if nothing is unsynced.
    pub(super) fn settle(&mut self) {
        self.tail.take_if(|tail| tail.batches.is_empty());
    }
}

impl Tail {
    /// Nothing unsynced yet on top of `seen`.
    fn of(seen: &MemoryEngine) -> Self {
        let snapshot = seen.snapshot();
        let mut all = Batch::new();
        all.remove(Keyspace::Meta, META_FORMAT); // a new engine has one, `seen` may not
        for keyspace in Keyspace::ALL {
            for (key, value) in snapshot.range(keyspace, ..).flatten() {
                all.insert(keyspace, key, value);
            }
        }

        let durable = MemoryEngine::new();
        apply(&durable, all);
        Self {
            durable,
            batches: VecDeque::new(),
        }
    }

    fn push(&mut self, batch: Batch) {
        self.batches.push_back(batch);
        if self.batches.len() > MOST_UNSYNCED
            && let Some(oldest) = self.batches.pop_front()
        {
            apply(&self.durable, oldest);
        }
        debug_assert!(self.batches.len() <= MOST_UNSYNCED, "the tail is bounded");
    }

    fn sync(&mut self) {
        for batch in self.batches.drain(..) {
            apply(&self.durable, batch);
        }
    }
}

/// Stores what was stored in `seen` before, and so cannot be refused.
fn apply(durable: &MemoryEngine, batch: Batch) {
    let stored = durable.commit(batch, Durability::Fsync);
    assert!(
        stored.is_ok(),
        "a batch was taken once and then refused: {stored:?}"
    );
}
