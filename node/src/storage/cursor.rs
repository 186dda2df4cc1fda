//! Adding up what is stored while it changes. Pure.
//!
//! ```text
//!   keys   |<-- behind: added up -->|<-- the chunk being read -->|<-- in front: not added up yet -->|
//!                                 cursor
//!   a change behind the cursor     is added
//!   a change in front of it        is left to the walk, and noted while a chunk is being read
//! ```
//!
//! A chunk is read off a snapshot of its own, so no snapshot lives for longer than a chunk takes. Which commits are in
//! that snapshot is not known: it is taken beside them. So whatever changes between [`Cursor::open`], before the
//! snapshot, and [`Cursor::close`] is noted with the sum that it then has, and that counts instead of the row that was
//! read. For a batch that is being committed at the close, the sum before it counts: its change is behind the cursor by
//! the time it is added.
//!
//! Invariant: what was added up is the sum of the committed rows behind the cursor.
//!
//! Bounded: [`MOST_NOTED`] changes in one chunk; with more, the chunk is read again.

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::{Leaf, Sum};

/// Most changes noted while one chunk is read: a few megabytes.
const MOST_NOTED: usize = 1 << 16;

/// One row: its user key, its leaf, and what it adds to that.
pub(super) type SummedRow = (Bytes, Leaf, Sum);

/// How far a walk has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    /// All keys below this one are behind it.
    Before(Bytes),
    /// Every key is.
    End,
}

impl Position {
    fn is_behind(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(first) => key < first,
            Self::End => true,
        }
    }
}

/// The sum that a commit gives a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumChange {
    /// The key's place among the writes of the batch.
    pub(crate) write: usize,
    pub(crate) leaf: Leaf,
    pub(crate) before: Sum,
    pub(crate) after: Sum,
}

/// The cursor of a walk over the records, and what changes around it.
#[derive(Debug)]
pub(super) struct Cursor {
    position: Position,
    /// The latest sums of what has changed in front of the cursor since the chunk was opened; `None` between chunks.
    noted: Option<BTreeMap<Bytes, (Leaf, Sum)>>,
    /// Whether more changed than may be noted.
    has_overflowed: bool,
    /// The sums, before it, of what the batch changes that is being committed.
    committing: BTreeMap<Bytes, Sum>,
}

impl Cursor {
    /// In front of everything.
    pub(super) const fn new() -> Self {
        Self {
            position: Position::Before(Bytes::new()),
            noted: None,
            has_overflowed: false,
            committing: BTreeMap::new(),
        }
    }

    /// In front of everything again; the commit under way goes on.
    pub(super) fn start_over(&mut self) {
        self.position = Position::Before(Bytes::new());
        self.noted = None;
    }

    pub(super) const fn position(&self) -> &Position {
        &self.position
    }

    /// A chunk is to be read: call it before its snapshot is taken.
    pub(super) fn open(&mut self) {
        self.noted = Some(BTreeMap::new());
        self.has_overflowed = false;
    }

    /// A commit begins that changes the sum of `key`, which is `before` until then.
    pub(super) fn begin(&mut self, key: &Bytes, before: Sum) {
        self.committing.insert(key.clone(), before);
    }

    /// It is committed: `key` has the sum `after`. Whether the change is to be added.
    pub(super) fn committed(&mut self, key: &Bytes, leaf: Leaf, after: Sum) -> bool {
        if self.position.is_behind(key) {
            return true;
        }
        if let Some(noted) = &mut self.noted {
            if noted.len() < MOST_NOTED {
                // A copy: the key is part of a frame, which a note must not keep alive.
                noted.insert(Bytes::copy_from_slice(key), (leaf, after));
            } else {
                self.has_overflowed = true;
            }
        }
        false
    }

    /// The commit is over.
    pub(super) fn end(&mut self) {
        self.committing.clear();
    }

    /// The chunk was read: `rows`, and nothing else before `end`. Returns what is to be added up, and moves to `end`;
    /// `None` if the chunk is to be read again.
    pub(super) fn close(
        &mut self,
        rows: Vec<SummedRow>,
        end: Position,
    ) -> Option<Vec<(Leaf, Sum)>> {
        let mut noted = self.noted.take().unwrap_or_default();
        if self.has_overflowed {
            return None;
        }

        let latest = |(key, leaf, read): SummedRow| {
            let noted = noted.remove(&key).map(|(_, sum)| sum);
            let sum = self.committing.get(&key).copied().or(noted);
            (leaf, sum.unwrap_or(read))
        };
        let mut added: Vec<_> = rows.into_iter().map(latest).collect();
        // Keys that the snapshot did not have yet.
        noted.retain(|key, _| end.is_behind(key));
        added.extend(noted.into_values());
        self.position = end;
        Some(added)
    }
}

#[cfg(test)]
mod tests;
