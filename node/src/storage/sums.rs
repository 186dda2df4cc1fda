//! The Merkle sums of a running node.
//!
//! ```text
//!   start:   snapshot ---- walked in the background ---.
//!                                                      +--> tree (in memory)  --> ready when the walk ends
//!   live:    commits after the snapshot: new - old ----'
//! ```
//!
//! The tree is not stored: it is summed up again after each start. Sums commute, so what was there before
//! and what changes meanwhile may be added in any order. Until the walk is over the tree is neither the old
//! nor the new truth, and nobody is shown it.
//!
//! Invariant: the snapshot is taken before the first commit of the run; once ready, each leaf's sum is that
//! of the live siblings committed in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use quoit_ring::placement::Ring;
use quoit_ring::wire::{Fault, decode_record};
use quoit_ring::{Leaf, LeafBits, MerkleKey, MerkleTree, Sum};

use super::fault_of;
use crate::engine::layout::parse_record_key;
use crate::engine::{Engine, Keyspace, Snapshot};

/// The sums over a node's live data. The lock is held for a batch of additions at most.
#[derive(Debug)]
pub struct Sums {
    key: MerkleKey,
    tree: Mutex<MerkleTree>,
    ready: AtomicBool,
}

impl Sums {
    /// The sums of no data, not ready until a [`Rebuild`] has ended.
    #[must_use]
    pub fn new(bits: LeafBits, key: MerkleKey) -> Self {
        Self {
            key,
            tree: Mutex::new(MerkleTree::new(bits)),
            ready: AtomicBool::new(false),
        }
    }

    /// The key of the hashes.
    #[must_use]
    pub const fn key(&self) -> MerkleKey {
        self.key
    }

    /// Adds changes to their leaves.
    pub fn add(&self, changes: &[(Leaf, Sum)]) {
        if changes.is_empty() {
            return;
        }
        let mut tree = self.tree();
        for &(leaf, change) in changes {
            tree.add(leaf, change);
        }
    }

    /// The sum over everything, or `None` while it is being rebuilt.
    #[must_use]
    pub fn root(&self) -> Option<Sum> {
        self.is_ready().then(|| self.tree().root())
    }

    /// The sums below one node of the tree, none if there is no such node; `None` while being rebuilt.
    #[must_use]
    pub fn children(&self, level: usize, index: usize) -> Option<Vec<Sum>> {
        self.is_ready()
            .then(|| self.tree().children(level, index).to_vec())
    }

    /// Whether the sums are those of what is stored.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn tree(&self) -> MutexGuard<'_, MerkleTree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The walk that brings the sums back after a start, a piece at a time, at the pace of its caller.
#[derive(Debug)]
pub struct Rebuild<G: Engine> {
    walk: <G::Snapshot as Snapshot>::Range,
    piece: Vec<(Leaf, Sum)>,
}

impl<G: Engine> Rebuild<G> {
    /// Begins with what `engine` holds now; call it before the run's first commit.
    #[must_use]
    pub fn new(engine: &G) -> Self {
        Self {
            walk: engine.snapshot().range(Keyspace::Records, ..),
            piece: Vec::new(),
        }
    }

    /// Adds up to `records` records to `sums`; true once it was the last of them.
    ///
    /// # Errors
    /// What is wrong with the storage; the sums will not be ready in this run.
    pub fn step(&mut self, sums: &Sums, ring: &Ring, records: usize) -> Result<bool, Fault> {
        self.piece.clear();
        for entry in self.walk.by_ref().take(records) {
            let (stored_key, value) = entry.map_err(|error| fault_of(&error))?;
            let (_namespace, key) =
                parse_record_key(&stored_key).map_err(|_short| Fault::Corrupt)?;
            let record = decode_record(&value).map_err(|_junk| Fault::Corrupt)?;
            let leaf = ring.leaf_bits().leaf_of(ring.token_of(key));
            self.piece.push((leaf, sums.key.sum_of(key, &record)));
        }
        sums.add(&self.piece);
        let over = self.piece.len() < records;
        if over {
            sums.ready.store(true, Ordering::Release);
        }
        Ok(over)
    }
}
