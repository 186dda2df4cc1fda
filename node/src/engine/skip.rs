//! How a walk gets past a row that cannot be read.
//!
//! ```text
//!   a   c   [bad]   e   f          the walk's iterator ends at the bad row, and does not say which key it has
//!       |       ^--- from here on rows can be read: found byte by byte
//!       '- last
//! ```
//!
//! The search asks "is the first row from here on readable?" for ever longer starts. A damaged row is passed exactly,
//! a damaged block with all its rows, which nothing could read anyway. If there are several such places near each
//! other, readable rows between them may be passed, too: the caller reports a place, not a count of rows.
//!
//! The first bytes are tried one value after the other, the lowest first, so that no readable row is passed. That takes
//! hundreds of seeks a byte, so those of a long key are found by bisection: rows that share its first bytes may then be
//! passed if several of them cannot be read. Bounded: [`MOST_PROBES`] seeks and [`DEEPEST`] bytes of a key.

use std::ops::Bound;

use bytes::Bytes;

use super::{EngineError, Keyspace, Snapshot};

/// Bytes of a key that are told apart: rows that share more with an unreadable one are passed with it.
const DEEPEST: usize = 512;
/// Seeks after which the search goes on by bisection. A key of 20 bytes takes about as many.
const PATIENCE: usize = 2_048;
/// Most seeks of one search: of the 257 places of a byte, 9 find the right one.
const MOST_PROBES: usize = PATIENCE + 256 + 9 * DEEPEST;

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

    let mut probes = Probes {
        count: 0,
        is_readable: |start: Vec<u8>| {
            let start = Bound::Included(Bytes::from(start));
            let mut rows = snapshot.range(keyspace, (start, end.clone()));
            rows.next().is_none_or(|row| row.is_ok())
        },
    };

    // Rows from `prefix` on cannot be read, or `prefix` is not behind `last`.
    let (mut prefix, mut found) = (Vec::new(), None);
    while prefix.len() < DEEPEST {
        let on_path = last.get(prefix.len()).filter(|_| last.starts_with(&prefix));
        let lowest = on_path.map_or(0, |&byte| u16::from(byte) + 1);
        let (next, start) = if probes.count < PATIENCE {
            probes.one_by_one(&prefix, lowest)
        } else {
            probes.by_bisection(&prefix, lowest)
        };
        found = start.or(found);

        let Some(below) = next.checked_sub(1).and_then(|byte| u8::try_from(byte).ok()) else {
            break; // readable right behind `prefix`, which is the unreadable key
        };
        prefix.push(below);
    }
    debug_assert!(probes.count <= MOST_PROBES, "{} seeks", probes.count);
    found.map(Bytes::from)
}

/// Asks whether the first row from a start on can be read.
struct Probes<F> {
    count: usize,
    is_readable: F,
}

impl<F: FnMut(Vec<u8>) -> bool> Probes<F> {
    /// The start behind `prefix` with this byte, if the first row from there on can be read.
    fn probe(&mut self, prefix: &[u8], byte: u16) -> Option<Vec<u8>> {
        self.count += 1;
        let mut start = prefix.to_vec();
        start.push(u8::try_from(byte).unwrap_or(u8::MAX));
        (self.is_readable)(start.clone()).then_some(start)
    }

    /// The lowest byte from `lowest` on with which that is so, and the start with it; 256 if there is none.
    fn one_by_one(&mut self, prefix: &[u8], lowest: u16) -> (u16, Option<Vec<u8>>) {
        for byte in lowest..256 {
            if let Some(start) = self.probe(prefix, byte) {
                return (byte, Some(start));
            }
        }
        (256, None)
    }

    /// The same, or another such byte behind one with which it is not so.
    fn by_bisection(&mut self, prefix: &[u8], lowest: u16) -> (u16, Option<Vec<u8>>) {
        let (mut low, mut high, mut found) = (lowest, 256, None);
        while low < high {
            let middle = low.midpoint(high);
            if let Some(start) = self.probe(prefix, middle) {
                (high, found) = (middle, Some(start));
            } else {
                low = middle + 1;
            }
        }
        (low, found)
    }
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

    #[test]
    fn a_long_key_is_passed_as_a_short_one() {
        let key = |n: usize, len: usize| {
            [
                &[b'a', b'0' + u8::try_from(n).unwrap()][..],
                &vec![b'z'; len],
            ]
            .concat()
        };
        for len in [80, 300, 600, 32_000] {
            let keys: BTreeSet<Vec<u8>> = (0..9).map(|n| key(n, len)).collect();
            let bad = key(4, len);
            let found = walk(&damaged(&keys, &BTreeSet::from([bad.clone()])));
            let others: Vec<_> = keys
                .into_iter()
                .filter(|key| *key != bad)
                .map(Bytes::from)
                .collect();
            assert_eq!(found, others, "{len} bytes");
        }
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
