//! The Merkle sums of a running node.
//!
//! ```text
//!   start:   records ---- walked in the background, chunk by chunk ----.
//!                                                                      +--> tree (in memory)  --> ready in the end
//!   live:    commits behind the walk's cursor: new - old --------------'
//! ```
//!
//! The tree is not stored: it is summed up again after each start. Until the walk is over the tree is neither the old
//! nor the new truth, and nobody is shown it.
//!
//! Invariant: once ready, each leaf's sum is that of the live siblings committed in it, and of one taint for each of
//! its records that cannot be read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quoit_ring::{Leaf, LeafBits, MerkleKey, MerkleTree, Sum};

use super::cursor::{Cursor, Position, SumChange, SummedRow};

/// The sums over a node's live data. The lock is held for a batch of additions at most.
#[derive(Debug)]
pub struct Sums {
    key: MerkleKey,
    bits: LeafBits,
    state: Mutex<State>,
    ready: AtomicBool,
}

#[derive(Debug)]
struct State {
    tree: MerkleTree,
    cursor: Cursor,
    progress: WalkProgress,
}

/// How far the walk that rebuilds the sums has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalkProgress {
    /// Records summed up so far.
    pub summed: u64,
    /// Records, or places among them, that could not be read.
    pub unreadable: u64,
}

impl Sums {
    /// The sums of no data, not ready until a [`Rebuild`](super::Rebuild) has ended.
    #[must_use]
    pub fn new(bits: LeafBits, key: MerkleKey) -> Self {
        Self {
            key,
            bits,
            state: Mutex::new(State {
                tree: MerkleTree::new(bits),
                cursor: Cursor::new(),
                progress: WalkProgress::default(),
            }),
            ready: AtomicBool::new(false),
        }
    }

    /// The key of the hashes.
    #[must_use]
    pub const fn key(&self) -> MerkleKey {
        self.key
    }

    /// Call it before a commit that makes these changes, so that a walk beside it counts them once. `key_of` gives the
    /// user key of a change.
    pub fn begin<'a>(&self, changes: &[SumChange], key_of: impl Fn(&SumChange) -> &'a Bytes) {
        if self.is_ready() || changes.is_empty() {
            return;
        }
        let mut state = self.state();
        for change in changes {
            state.cursor.begin(key_of(change), change.before);
        }
    }

    /// Adds changes that were committed; those in front of the walk's cursor are left to it.
    pub fn add<'a>(&self, changes: &[SumChange], key_of: impl Fn(&SumChange) -> &'a Bytes) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.state();
        let walked = self.is_ready();
        for change in changes {
            let SumChange {
                leaf,
                before,
                after,
                ..
            } = *change;
            if walked || (state.cursor).committed(key_of(change), leaf, after) {
                state.tree.add(leaf, after.minus(before));
            }
        }
        state.cursor.end();
    }

    /// The sum over everything, or `None` while it is being rebuilt.
    #[must_use]
    pub fn root(&self) -> Option<Sum> {
        self.is_ready().then(|| self.state().tree.root())
    }

    /// The sums below one node of the tree, none if there is no such node; `None` while being rebuilt.
    #[must_use]
    pub fn children(&self, level: usize, index: usize) -> Option<Vec<Sum>> {
        self.is_ready()
            .then(|| self.state().tree.children(level, index).to_vec())
    }

    /// What `look` makes of the tree; `None` while it is being rebuilt. Commits wait meanwhile.
    pub(crate) fn with_tree<T>(&self, look: impl FnOnce(&MerkleTree) -> T) -> Option<T> {
        self.is_ready().then(|| look(&self.state().tree))
    }

    /// The sum of one leaf; `None` while being rebuilt.
    #[must_use]
    pub fn leaf(&self, leaf: Leaf) -> Option<Sum> {
        let sum = || self.state().tree.leaf(leaf);
        self.is_ready().then(sum).flatten()
    }

    /// Whether the sums are those of what is stored.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// How far the walk has come.
    #[must_use]
    pub fn progress(&self) -> WalkProgress {
        self.state().progress
    }

    /// Opens a chunk of the walk, before its snapshot is taken.
    pub(super) fn open_chunk(&self) {
        self.state().cursor.open();
    }

    /// Where the next chunk begins.
    pub(super) fn position(&self) -> Position {
        self.state().cursor.position().clone()
    }

    /// Adds the rows of a chunk, which ends before `end`; false if it is to be read again.
    pub(super) fn close_chunk(&self, rows: Vec<SummedRow>, end: Position, unreadable: u64) -> bool {
        let mut state = self.state();
        let summed = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let Some(added) = state.cursor.close(rows, end) else {
            return false;
        };
        for (leaf, sum) in added {
            state.tree.add(leaf, sum);
        }
        state.progress.summed += summed;
        state.progress.unreadable += unreadable;
        true
    }

    /// The walk has read everything.
    pub(super) fn set_ready(&self) {
        debug_assert_eq!(self.position(), Position::End, "the walk is over");
        self.ready.store(true, Ordering::Release);
    }

    /// Lets the walk begin again.
    pub(super) fn start_over(&self) {
        let mut state = self.state();
        state.tree = MerkleTree::new(self.bits);
        state.cursor.start_over();
        state.progress = WalkProgress::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
