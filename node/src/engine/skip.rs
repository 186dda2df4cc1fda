//! How a walk gets past a row that cannot be read.
//!
//! ```text
//!   a   c   [bad]   e   f          the walk's iterator ends at the bad row, and does not say which key it has
//!       |       ^--- from here on rows can be read: found byte by byte, the lowest first
//!       '- last
//! ```
//!
//! The search asks "is the first row from here on readable?" for ever longer starts. A damaged row is passed exactly,
//! a damaged block with all its rows, which nothing could read anyway. If there are several such places near each
//! other, readable rows between them may be passed, too: the caller reports a place, not a count of rows.
//!
//! Bounded: [`MOST_PROBES`] seeks and [`DEEPEST`] bytes of a key, so that a disk on which nothing can be read is
//! noticed soon.

use std::ops::Bound;

use bytes::Bytes;

use super::{EngineError, Keyspace, Snapshot};

/// Most seeks of one search. A key of 20 bytes takes a few hundred.
const MOST_PROBES: usize = 8_192;
/// Bytes of a key that are told apart: rows that share more with an unreadable one are passed with it.
const DEEPEST: usize = 512;

/// Where a walk of `keyspace` that failed behind the key `last` may go on: at the first row from the returned start on.
/// `None` if nothing before `end` can be read, or the engine itself has failed.
pub(crate) fn skip_unreadable<S: Snapshot>(
    snapshot: &S,
    keyspace: Keyspace,
    last: &[u8],
    end: &Bound<Bytes>,
    error: &EngineError,
) -> Option<Bytes> {
    if matches!(error, EngineError::Poisoned { .. }) {
        return None;
    }

    let mut probes = 0;
    let mut is_readable = |start: &[u8]| {
        probes += 1;
        let start = Bound::Included(Bytes::copy_from_slice(start));
        let mut rows = snapshot.range(keyspace, (start, end.clone()));
        (probes <= MOST_PROBES).then(|| rows.next().is_none_or(|row| row.is_ok()))
    };

    // Rows from `prefix` on cannot be read, or `prefix` is not behind `last`.
    let (mut prefix, mut found) = (Vec::new(), None);
    while prefix.len() < DEEPEST {
        let on_path = last.get(prefix.len()).filter(|_| last.starts_with(&prefix));
        let lowest = on_path.map_or(0, |&byte| u16::from(byte) + 1);
        let mut next = 256;
        for byte in lowest..256 {
            let mut start = prefix.clone();
            start.push(u8::try_from(byte).unwrap_or(u8::MAX));
            if is_readable(&start)? {
                (next, found) = (byte, Some(start));
                break;
            }
        }

        let Some(below) = next.checked_sub(1).and_then(|byte| u8::try_from(byte).ok()) else {
            break; // readable right behind `prefix`, which is the unreadable key
        };
        prefix.push(below);
    }
    found.map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::engine::{Batch, Durability, Engine as _, MemoryEngine};
    use crate::testing::{Unreadable, damage};

    fn damaged(keys: &BTreeSet<Vec<u8>>, bad: &BTreeSet<Vec<u8>>) -> Unreadable {
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        for key in keys {
            batch.insert(Keyspace::Records, key.clone(), &b"v"[..]);
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        Unreadable {
            snapshot: engine.snapshot(),
            keyspace: Keyspace::Records,
            keys: bad.iter().cloned().map(Bytes::from).collect(),
        }
    }

    fn skip(snapshot: &Unreadable, last: &[u8]) -> Option<Bytes> {
        skip_unreadable(
            snapshot,
            Keyspace::Records,
            last,
            &Bound::Unbounded,
            &damage(),
        )
    }

    /// All keys that a walk finds which skips what it cannot read.
    fn walk(snapshot: &Unreadable) -> Vec<Bytes> {
        let (mut found, mut last) = (Vec::new(), Bytes::new());
        let mut start = Bound::Unbounded;
        'walk: loop {
            for row in snapshot.range(Keyspace::Records, (start.clone(), Bound::Unbounded)) {
                let Ok((key, _)) = row else {
                    let Some(next) = skip(snapshot, &last) else {
                        break 'walk;
                    };
                    assert!(next > last, "{next:?} is behind {last:?}");
                    last = next.clone();
                    start = Bound::Included(next);
                    continue 'walk;
                };
                last = key.clone();
                found.push(key);
            }
            break;
        }
        found
    }

    #[test]
    fn an_engine_that_has_failed_is_not_searched() {
        let snapshot = damaged(&BTreeSet::new(), &BTreeSet::new());
        let error = EngineError::Poisoned { cause: None };
        let end = Bound::Unbounded;
        assert_eq!(
            skip_unreadable(&snapshot, Keyspace::Records, b"", &end, &error),
            None
        );
    }

    #[test]
    fn where_nothing_can_be_read_the_search_ends() {
        let keys: BTreeSet<Vec<u8>> = (0..=255).map(|byte| vec![byte, 7]).collect();
        assert_eq!(
            skip(&damaged(&keys, &keys), b""),
            Some(Bytes::from_static(&[255, 7, 0]))
        );
    }

    proptest! {
        #[test]
        fn one_unreadable_row_costs_no_other(
            keys in btree_set(vec(any::<u8>(), 1..6), 1..40), at in 0..40_usize,
        ) {
            let bad = keys.iter().nth(at % keys.len()).unwrap().clone();
            let found = walk(&damaged(&keys, &BTreeSet::from([bad.clone()])));
            let others: Vec<_> = keys.into_iter().filter(|key| *key != bad).map(Bytes::from).collect();
            assert_eq!(found, others);
        }

        #[test]
        fn a_walk_over_several_ends_and_finds_no_row_twice(
            keys in btree_set(vec(0..3_u8, 1..5), 1..40), bad in btree_set(vec(0..3_u8, 1..5), 0..20),
        ) {
            let found = walk(&damaged(&keys, &bad));
            assert!(found.is_sorted_by(|a, b| a < b));
            let readable = |key: &&Bytes| keys.contains(&key[..]) && !bad.contains(&key[..]);
            assert_eq!(found.iter().filter(readable).count(), found.len());
        }
    }
}
