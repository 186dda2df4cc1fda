//! How many hints are kept, and their bytes, by target.
//!
//! ```text
//!   start:   the hints ---- counted in the background, chunk by chunk ----> ready
//!   live:    each commit adds what its hints have grown by
//! ```
//!
//! The count is not stored: it is taken again after each start. Until it is there the bounds on hints cannot be
//! enforced, so no hint is accepted and none delivered; where few are kept, as nearly always, it is there at once.
//!
//! A place that cannot be read when it is counted is a [`Gap`]. It is tried again later, and until then treated as all
//! hints before the count: what is in it neither changes nor is delivered, so that it can be counted at any time.
//!
//! Invariant: once ready, count and bytes of each target are those of its committed hints outside of the gaps.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quoit_ring::wire::{Kept, RefusedHints};
use quoit_ring::{NodeId, Time};

use crate::engine::layout::{NAMESPACE, hint_key};

/// By how much what is kept for one node changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HintDelta {
    pub(crate) target: NodeId,
    /// None of its writes was minted before.
    pub(crate) minted: Time,
    /// Its target may not own its key in the newest epoch.
    pub(crate) is_stray: bool,
    pub(crate) count: i64,
    pub(crate) bytes: i64,
}

/// What is kept for other nodes, by node. The lock is held for a batch of additions at most.
#[derive(Debug, Default)]
pub struct HintUsage {
    state: Mutex<State>,
    /// Whether the committer stores no removals: the engine only reads, its disk is full, or it has failed.
    stuck: AtomicBool,
}

/// Most places that are tried again; what is wrong with more of them does not pass by itself.
const MOST_GAPS: usize = 64;

/// A place among the stored hints that could not be read when they were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The key behind which it begins.
    pub(super) after: Bytes,
    /// The key before which it ends; none if it is the last.
    pub(super) before: Option<Bytes>,
}

impl Gap {
    /// Whether the hint with this key in the store lies in it.
    pub(super) fn contains(&self, stored_key: &[u8]) -> bool {
        let is_before_end = |end: &Bytes| stored_key < &end[..];
        stored_key > &self.after[..] && self.before.as_ref().is_none_or(is_before_end)
    }
}

/// Whether the hint of `key` for `target` lies in one of `gaps`.
pub(crate) fn is_in_gap(gaps: &[Gap], target: NodeId, key: &[u8]) -> bool {
    if gaps.is_empty() {
        return false; // as nearly always
    }
    let stored_key = hint_key(target, NAMESPACE, key);
    gaps.iter().any(|gap| gap.contains(&stored_key))
}

#[derive(Debug, Default)]
struct State {
    ready: bool,
    /// In the order of their keys, at most [`MOST_GAPS`].
    gaps: Vec<Gap>,
    /// Gaps beyond those.
    more_gaps: u64,
    refused: Option<RefusedHints>,
    kept: BTreeMap<NodeId, KeptFor>,
}

/// What is kept for one node.
#[derive(Debug)]
struct KeptFor {
    count: u64,
    bytes: u64,
    /// None of it was minted before.
    oldest: Time,
    /// Some of it may be of keys that the node does not own any more.
    has_strays: bool,
}

/// How old the hints are that a node keeps: bounds, since they rise only when all hints for a node are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldestHints {
    /// Of those of keys that their target owns: for which nodes, and a time before which none of them was minted. Ascending.
    pub by_target: Vec<(NodeId, Time)>,
    /// The same of hints of any key; [`Time::MAX`] if there are none.
    pub of_any_key: Time,
}

impl HintUsage {
    /// What is kept, one entry for each node for which anything is, by their ids; `None` while it is counted.
    #[must_use]
    pub fn kept(&self) -> Option<Vec<Kept>> {
        let state = self.state();
        let entry = |(&target, of): (&NodeId, &KeptFor)| Kept {
            target,
            count: of.count,
            bytes: of.bytes,
        };
        state.ready.then(|| state.kept.iter().map(entry).collect())
    }

    /// How old the hints are; `None` while that is not known of all.
    #[must_use]
    pub fn oldest(&self) -> Option<OldestHints> {
        let state = self.state();
        if !state.ready || !state.gaps.is_empty() || state.more_gaps > 0 {
            return None;
        }
        let (strays, others): (Vec<_>, Vec<_>) =
            state.kept.iter().partition(|(_, of)| of.has_strays);
        let oldest = strays.into_iter().map(|(_, of)| of.oldest).min();
        Some(OldestHints {
            by_target: others
                .into_iter()
                .map(|(&to, of)| (to, of.oldest))
                .collect(),
            of_any_key: oldest.unwrap_or(Time::MAX),
        })
    }

    /// A time before which nothing was minted that is kept for a node, by that node; none while hints are counted.
    #[must_use]
    pub fn oldest_by_target(&self) -> Vec<(NodeId, Time)> {
        let state = self.state();
        let oldest = state.kept.iter().map(|(&target, of)| (target, of.oldest));
        if state.ready {
            oldest.collect()
        } else {
            Vec::new()
        }
    }

    /// The ring has changed: whoever owned the key of a hint may not own it any more.
    pub(crate) fn ring_changed(&self) {
        for of in self.state().kept.values_mut() {
            of.has_strays = true;
        }
    }

    /// Whether the removal of a delivered hint would be stored at present.
    #[must_use]
    pub fn takes_removals(&self) -> bool {
        !self.stuck.load(Ordering::Relaxed)
    }

    /// Sets whether removals are stored; the committer alone knows.
    pub(crate) fn set_takes_removals(&self, takes: bool) {
        self.stuck.store(!takes, Ordering::Relaxed);
    }

    /// Places among the hints that could not be read and counted so far.
    #[must_use]
    pub fn uncounted(&self) -> u64 {
        let state = self.state();
        state.more_gaps + u64::try_from(state.gaps.len()).unwrap_or(u64::MAX)
    }

    /// Those of them that are tried again.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        self.state().gaps.clone()
    }

    /// The scan has passed over a place that cannot be read.
    pub(super) fn pass_over(&self, gap: Gap) {
        let mut state = self.state();
        if state.gaps.len() < MOST_GAPS {
            state.gaps.push(gap);
        } else {
            state.more_gaps += 1;
        }
    }

    /// What comes first in a gap was counted: it begins behind `after` now, or there is none any more.
    pub(super) fn count_gap(&self, gap: &Gap, deltas: &[HintDelta], after: Option<Bytes>) {
        let mut state = self.state();
        state.add(deltas);
        let Some(place) = state.gaps.iter().position(|other| other == gap) else {
            debug_assert!(false, "a gap is counted by one thread");
            return;
        };
        match after {
            Some(after) => state.gaps[place].after = after,
            None => drop(state.gaps.remove(place)),
        }
    }

    /// The hints that their targets refuse at present.
    #[must_use]
    pub fn refused(&self) -> Option<RefusedHints> {
        self.state().refused
    }

    /// Sets the hints that are refused.
    pub(super) fn set_refused(&self, refused: Option<RefusedHints>) {
        self.state().refused = refused;
    }

    /// Adds changes that were committed, or counted.
    pub(crate) fn add(&self, deltas: &[HintDelta]) {
        if deltas.is_empty() {
            return;
        }
        self.state().add(deltas);
    }

    /// The count is complete: the scan has ended.
    pub(super) fn set_ready(&self) {
        self.state().ready = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, deltas: &[HintDelta]) {
        for delta in deltas {
            let fresh = KeptFor {
                count: 0,
                bytes: 0,
                oldest: delta.minted,
                has_strays: delta.is_stray,
            };
            let entry = self.kept.entry(delta.target).or_insert(fresh);
            entry.count = entry.count.saturating_add_signed(delta.count);
            entry.bytes = entry.bytes.saturating_add_signed(delta.bytes);
            entry.oldest = entry.oldest.min(delta.minted);
            entry.has_strays |= delta.is_stray;
            if (entry.count, entry.bytes) == (0, 0) {
                self.kept.remove(&delta.target);
            }
        }
    }
}

/// What one hint counts for: the bytes of its row.
pub(crate) fn row_bytes(key: usize, value: usize) -> i64 {
    i64::try_from(key.saturating_add(value)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Batch, Durability, Engine as _, Keyspace, MemoryEngine};
    use crate::hints::HintScan;
    use crate::testing::Unreliable;

    #[test]
    fn what_is_kept_is_not_reported_before_it_is_counted() {
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        for (target, key) in [(7, "a"), (7, "b"), (9, "a")] {
            let key = hint_key(NodeId(target), NAMESPACE, key.as_bytes());
            batch.insert(Keyspace::Hints, key, &b"four"[..]);
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        let (hint_usage, mut scan) = (HintUsage::default(), HintScan::new());
        assert_eq!(scan.step(&engine, &hint_usage, 2), Ok(false));
        assert_eq!(hint_usage.kept(), None);
        assert_eq!(scan.step(&engine, &hint_usage, 2), Ok(true));
        let kept = |target, count| Kept {
            target: NodeId(target),
            count,
            bytes: 15 * count,
        };
        assert_eq!(hint_usage.kept(), Some(vec![kept(7, 2), kept(9, 1)]));
    }

    #[test]
    fn a_hint_that_cannot_be_read_is_not_counted_and_the_others_are() {
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        let stored = |key: &str| hint_key(NodeId(7), NAMESPACE, key.as_bytes());
        for key in ["a", "b", "c", "d"] {
            batch.insert(Keyspace::Hints, stored(key), &b"four"[..]);
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        let engine = Unreliable::new(engine, Keyspace::Hints, [stored("b")]);
        let (hint_usage, mut scan) = (HintUsage::default(), HintScan::new());
        while !scan.step(&engine, &hint_usage, 2).unwrap() {}
        assert_eq!(hint_usage.kept().unwrap()[0].count, 3);
        assert_eq!(hint_usage.uncounted(), 1);
    }

    #[test]
    fn a_node_for_which_nothing_is_kept_any_more_is_not_listed() {
        let (hint_usage, engine) = (HintUsage::default(), MemoryEngine::new());
        assert_eq!(HintScan::new().step(&engine, &hint_usage, 8), Ok(true));
        let delta = |count, bytes| HintDelta {
            target: NodeId(7),
            count,
            bytes,
            minted: Time(1),
            is_stray: false,
        };
        hint_usage.add(&[delta(1, 20), delta(0, 5)]);
        assert_eq!(hint_usage.kept().unwrap()[0].bytes, 25);
        hint_usage.add(&[delta(-1, -25)]);
        assert_eq!(hint_usage.kept(), Some(vec![]));
    }
}
