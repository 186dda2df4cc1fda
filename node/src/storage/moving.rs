//! The rows of leaves that move: which leaves they are, whether there are any, and pages of them.
//!
//! ```text
//!   leaves  | run |  others  | run |   run   |        of the moving arc, by what one node does with them
//!   rows      r r   r  r  r          r r   r
//!             seek--^skip----seek--->
//! ```
//!
//! Left out: what is done with them.

use std::ops::{Bound, RangeInclusive};

use bytes::Bytes;
use quoit_ring::change::{Known, moving};
use quoit_ring::wire::{Page, decode_accepted, decode_record};
use quoit_ring::{Leaf, NodeId};

use super::Unreadable;
use crate::engine::layout::{leaf_range, parse_leaf_key, record_key};
use crate::engine::{EngineError, Keyspace, Snapshot};

/// Leaves that lie side by side.
pub(crate) type Run = RangeInclusive<Leaf>;

/// The leaves that `node` is to own, and does not own by the old list.
pub(crate) fn newcomer_runs(known: &Known, node: NodeId) -> Vec<Run> {
    moving::runs(&known.moving(), |range| range.is_newcomer(node))
}

/// Whether a leaf is in one of these runs, which ascend.
pub(crate) fn is_in(runs: &[Run], leaf: Leaf) -> bool {
    let run = runs.partition_point(|run| *run.end() < leaf);
    runs.get(run).is_some_and(|run| run.contains(&leaf))
}

/// Whether there is no row in any of these leaves, which ascend.
///
/// # Errors
/// The engine's: whether there is one is unknown.
pub(crate) fn is_empty<S: Snapshot>(snapshot: &S, runs: &[Run]) -> Result<bool, EngineError> {
    Rows::new(snapshot, runs, None)
        .next()
        .transpose()
        .map(|row| row.is_none())
}

/// How much a page may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageBounds {
    rows: usize,
    /// Of keys and records; a row that is larger is a page of its own.
    bytes: usize,
}

impl PageBounds {
    /// What is read at once, on the thread that serves clients, without keeping these waiting for long.
    pub(crate) const FULL: Self = Self {
        rows: 128,
        bytes: 128 << 10,
    };
}

/// Reads the rows of these leaves, which ascend, behind the leaves key `after`, or from the beginning.
///
/// # Errors
/// [`Unreadable`] if any of them cannot be read: a page without it would count for all of them.
pub(crate) fn read_page<S: Snapshot>(
    snapshot: &S,
    runs: &[Run],
    after: Option<Bytes>,
    bounds: PageBounds,
) -> Result<Page, Unreadable> {
    let mut page = Page::default();
    let (mut bytes, mut last) = (0, after.clone());
    for stored in Rows::new(snapshot, runs, after) {
        let stored = stored.map_err(Unreadable::Engine)?;
        let (_, namespace, key) = parse_leaf_key(&stored).map_err(|_short| damaged())?;
        let get = |keyspace| snapshot.get(keyspace, &record_key(namespace, key));
        let record = get(Keyspace::Records).map_err(Unreadable::Engine)?;
        let accepted = get(Keyspace::Ballots).map_err(Unreadable::Engine)?;
        if let Some(record) = &record {
            decode_record(record).map_err(Unreadable::Record)?;
        }
        if let Some(accepted) = &accepted {
            decode_accepted(accepted.clone()).map_err(Unreadable::Record)?;
        }

        let of = |row: &Option<Bytes>| row.as_ref().map_or(0, |row| key.len() + row.len());
        bytes += of(&record) + of(&accepted);
        let rows = page.rows.len() + page.registers.len();
        if rows > 0 && (rows >= bounds.rows || bytes > bounds.bytes) {
            page.next = last;
            return Ok(page);
        }
        // Both of one key are in one page: they are of one instant.
        let key = stored.slice_ref(key);
        page.rows.extend(record.map(|row| (key.clone(), row)));
        page.registers.extend(accepted.map(|row| (key, row)));
        last = Some(stored);
    }
    Ok(page)
}

/// The leaves keys of some leaves, ascending.
///
/// The leaves between two runs are skipped with one seek; empty ones cost nothing. So a fresh node costs one seek, however
/// many runs there are.
#[derive(Debug)]
pub(super) struct Rows<'a, S: Snapshot> {
    snapshot: &'a S,
    runs: &'a [Run],
    rest: Option<S::Range>,
    end: Bound<Bytes>,
}

impl<'a, S: Snapshot> Rows<'a, S> {
    pub(super) fn new(snapshot: &'a S, runs: &'a [Run], after: Option<Bytes>) -> Self {
        let mut rows = Self {
            snapshot,
            runs,
            rest: None,
            end: Bound::Unbounded,
        };
        if let (Some(first), Some(last)) = (runs.first(), runs.last()) {
            let (start, end) = leaf_range(*first.start()..=*last.end());
            rows.end = end;
            rows.seek(after.map_or(start, Bound::Excluded));
        }
        rows
    }

    fn seek(&mut self, start: Bound<Bytes>) {
        let range = (start, self.end.clone());
        self.rest = Some(self.snapshot.range(Keyspace::Leaves, range));
    }
}

impl<S: Snapshot> Iterator for Rows<'_, S> {
    type Item = Result<Bytes, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, _) = match self.rest.as_mut()?.next()? {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            };
            let Ok((leaf, ..)) = parse_leaf_key(&key) else {
                return Some(Err(short()));
            };
            let run = self.runs.partition_point(|run| *run.end() < leaf);
            let run = self.runs.get(run)?;
            if run.contains(&leaf) {
                return Some(Ok(key));
            }
            self.seek(leaf_range(run.clone()).0);
        }
    }
}

const fn short() -> EngineError {
    EngineError::Corrupt {
        doing: "reading the keys of a leaf",
        source: None,
    }
}

const fn damaged() -> Unreadable {
    Unreadable::Engine(short())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;

    use super::*;
    use crate::engine::layout::{NAMESPACE, leaf_key};
    use crate::engine::{Batch, Durability, Engine as _, MemoryEngine};
    use crate::testing::{Unreadable as Damaged, WALL, blind, dot, encoded};

    const BOUNDS: PageBounds = PageBounds {
        rows: 3,
        bytes: 300,
    };

    fn key(number: u32) -> Bytes {
        format!("key {number}").into()
    }

    /// An engine with so many rows in each leaf; their keys and records.
    fn filled(rows: &BTreeMap<u32, u32>) -> (MemoryEngine, Vec<(u32, Bytes, Bytes)>) {
        let (engine, mut all, mut batch) = (MemoryEngine::new(), Vec::new(), Batch::new());
        for (leaf, number) in rows
            .iter()
            .flat_map(|(&leaf, &n)| (0..n).map(move |at| (leaf, at)))
        {
            let key = key(1000 * leaf + number);
            let value = "v".repeat(usize::try_from(number).unwrap() * 40);
            let record = encoded(blind(dot(1, WALL), &value).record());
            batch.insert(
                Keyspace::Leaves,
                leaf_key(Leaf(leaf), NAMESPACE, &key),
                &b""[..],
            );
            batch.insert(
                Keyspace::Records,
                record_key(NAMESPACE, &key),
                record.clone(),
            );
            all.push((leaf, key, record));
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        (engine, all)
    }

    /// Runs of leaves, with a gap between any two.
    fn runs_of(leaves: &BTreeSet<u32>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for &leaf in leaves {
            match runs.last_mut() {
                Some(run) if run.end().0 + 1 == leaf => *run = *run.start()..=Leaf(leaf),
                _ => runs.push(Leaf(leaf)..=Leaf(leaf)),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn pages_one_after_the_other_are_exactly_the_rows_of_the_leaves(
            rows in btree_map(0_u32..24, 0_u32..9, 0..24), leaves in btree_set(0_u32..24, 0..24),
        ) {
            let (engine, all) = filled(&rows);
            let (snapshot, runs) = (engine.snapshot(), runs_of(&leaves));
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = read_page(&snapshot, &runs, after, BOUNDS).unwrap();
                let bytes: usize = page.rows.iter().map(|(key, record)| key.len() + record.len()).sum();
                prop_assert!(page.rows.len() <= BOUNDS.rows);
                prop_assert!(bytes <= BOUNDS.bytes || page.rows.len() == 1);
                found.extend(page.rows);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let wanted = all.into_iter().filter(|(leaf, ..)| leaves.contains(leaf));
            let mut wanted: Vec<_> = wanted.map(|(_, key, record)| (key, record)).collect();
            wanted.sort_by_key(|(key, _)| leaf_order(key));
            prop_assert_eq!(is_empty(&snapshot, &runs).unwrap(), wanted.is_empty());
            prop_assert_eq!(found, wanted);
        }
    }

    /// By leaf, then by the bytes of the key.
    fn leaf_order(key: &Bytes) -> (u32, Bytes) {
        let number: u32 = std::str::from_utf8(&key[4..]).unwrap().parse().unwrap();
        (number / 1000, key.clone())
    }

    #[test]
    fn a_row_that_cannot_be_read_refuses_the_page() {
        let (engine, all) = filled(&BTreeMap::from([(3, 2)]));
        let runs = [Leaf(0)..=Leaf(9)];
        let damaged = leaf_key(Leaf(3), NAMESPACE, &all[1].1);
        let snapshot = Damaged {
            snapshot: engine.snapshot(),
            keyspace: Keyspace::Leaves,
            keys: [damaged].into(),
        };
        assert!(matches!(
            read_page(&snapshot, &runs, None, BOUNDS),
            Err(Unreadable::Engine(_))
        ));
        assert!(
            !is_empty(&snapshot, &runs).unwrap(),
            "the first one is there"
        );

        let mut batch = Batch::new();
        batch.insert(
            Keyspace::Records,
            record_key(NAMESPACE, &all[0].1),
            &b"junk"[..],
        );
        engine.commit(batch, Durability::Fsync).unwrap();
        let page = read_page(&engine.snapshot(), &runs, None, BOUNDS);
        assert!(matches!(page, Err(Unreadable::Record(_))));
    }
}
