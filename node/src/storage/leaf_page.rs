//! The keys of some leaves, page by page, each with its sum: what two nodes compare once they know which leaves differ.
//!
//! A page is bounded by the rows that were looked at, tombstones too, so that it is read in about the same time whatever is
//! there: on the thread that serves clients, as a page of what moves.

use bytes::Bytes;
use quoit_ring::token::runs_of;
use quoit_ring::wire::{MAX_SYNC_ROWS, decode_record};
use quoit_ring::{Leaf, MerkleKey, NodeId, Sum};

use super::moving::Rows;
use crate::engine::layout::{NAMESPACE, leaf_key, parse_leaf_key, record_key};
use crate::engine::{EngineError, Keyspace, Snapshot};

/// Most bytes of the keys and records that are read for a page; one that is larger is a page of its own.
const BYTES: usize = 128 << 10;

/// A page of keys, in the order of leaves and then of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeafPage {
    /// Tombstones too, with the sum of nothing.
    pub rows: Vec<LeafRow>,
    /// Behind which key the next page begins; `None` if this is the last one.
    pub next: Option<Bytes>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRow {
    /// The user key.
    pub key: Bytes,
    /// What its record adds to the sum of its leaf.
    pub sum: Sum,
    /// The record as it is stored; `None` if it cannot be read.
    pub record: Option<Bytes>,
}

/// Which keys are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WantedLeaves<'a> {
    /// Ascending.
    pub(crate) leaves: &'a [u32],
    /// Behind this key, which is in that leaf.
    pub(crate) after: Option<(Leaf, &'a [u8])>,
}

/// Reads a page of these leaves, as `node` sums them up.
///
/// # Errors
/// The engine's, if it cannot say which keys there are.
pub(crate) fn read_leaf_page<S: Snapshot>(
    snapshot: &S,
    wanted: WantedLeaves<'_>,
    (merkle_key, node): (MerkleKey, NodeId),
) -> Result<LeafPage, EngineError> {
    let runs = runs_of(wanted.leaves.iter().map(|&leaf| Leaf(leaf)..=Leaf(leaf)));
    let after = wanted
        .after
        .map(|(leaf, key)| leaf_key(leaf, NAMESPACE, key));
    let (mut page, mut bytes, mut looked) = (LeafPage::default(), 0, 0);
    let mut last = None;
    for stored in Rows::new(snapshot, &runs, after) {
        let stored = stored?;
        let Ok((_, namespace, key)) = parse_leaf_key(&stored) else {
            continue; // `Rows` has refused it
        };
        if looked >= MAX_SYNC_ROWS || bytes > BYTES {
            page.next = last;
            return Ok(page);
        }

        let record = snapshot.get(Keyspace::Records, &record_key(namespace, key));
        let key = stored.slice_ref(key);
        looked += 1;
        last = Some(key.clone());
        let (sum, record) = match record {
            Ok(None) => continue, // it was removed with its record
            Ok(Some(record)) => match decode_record(&record) {
                Ok(decoded) => (merkle_key.sum_of(&key, &decoded), Some(record)),
                Err(_junk) => (merkle_key.taint(node, &key), None),
            },
            Err(_unreadable) => (merkle_key.taint(node, &key), None),
        };
        bytes += key.len() + record.as_ref().map_or(0, Bytes::len);
        page.rows.push(LeafRow { key, sum, record });
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;

    use super::*;
    use crate::engine::{Batch, Durability, Engine as _, MemoryEngine};
    use crate::testing::{SELF, Unreadable, WALL, blind, dot, encoded};

    const KEY: MerkleKey = MerkleKey([5; 16]);

    fn key(leaf: u32, number: u32) -> Bytes {
        format!("{leaf} {number}").into()
    }

    fn stored(rows: impl IntoIterator<Item = (u32, u32)>, size: usize) -> MemoryEngine {
        let (engine, mut batch) = (MemoryEngine::new(), Batch::new());
        for (leaf, number) in rows {
            let key = key(leaf, number);
            let record = encoded(blind(dot(1, WALL), &"v".repeat(size)).record());
            let place = leaf_key(Leaf(leaf), NAMESPACE, &key);
            batch.insert(Keyspace::Leaves, place, &b""[..]);
            batch.insert(Keyspace::Records, record_key(NAMESPACE, &key), record);
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        engine
    }

    /// All pages of these leaves.
    fn pages(engine: &MemoryEngine, leaves: &[u32]) -> Vec<LeafPage> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let place = after
                .as_ref()
                .map(|(leaf, key): &(Leaf, Bytes)| (*leaf, &key[..]));
            let wanted = WantedLeaves {
                leaves,
                after: place,
            };
            let page = read_leaf_page(&engine.snapshot(), wanted, (KEY, SELF)).unwrap();
            let next = page.next.clone();
            pages.push(page);
            let Some(next) = next else { return pages };
            let leaf = std::str::from_utf8(&next)
                .unwrap()
                .split(' ')
                .next()
                .unwrap();
            let place = (Leaf(leaf.parse().unwrap()), next.clone());
            assert!(after.is_none_or(|after| after < place));
            after = Some(place);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_pages_of_leaves_are_their_rows_in_order_with_their_sums(
            rows in btree_map(0_u32..9, 0_u32..200, 0..9), leaves in btree_set(0_u32..9, 1..9), size in 0_usize..3000,
        ) {
            let all = rows.iter().flat_map(|(&leaf, &n)| (0..n).map(move |number| (leaf, number)));
            let engine = stored(all.clone(), size);
            let leaves: Vec<u32> = leaves.into_iter().collect();
            let pages = pages(&engine, &leaves);
            let bytes = |page: &LeafPage| page.rows.iter().filter_map(|row| row.record.as_ref()).map(Bytes::len).sum::<usize>();
            prop_assert!(pages.iter().all(|page| page.rows.len() <= MAX_SYNC_ROWS && bytes(page) <= BYTES + 4000));

            let mut expected: Vec<_> = all.filter(|(leaf, _)| leaves.contains(leaf)).map(|(leaf, n)| (leaf, key(leaf, n))).collect();
            expected.sort();
            let found: Vec<Bytes> = pages.iter().flat_map(|page| page.rows.iter().map(|row| row.key.clone())).collect();
            prop_assert_eq!(found, expected.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
            for row in pages.iter().flat_map(|page| &page.rows) {
                let record = decode_record(row.record.as_ref().unwrap()).unwrap();
                prop_assert_eq!(row.sum, KEY.sum_of(&row.key, &record));
            }
        }
    }

    #[test]
    fn a_record_that_cannot_be_read_is_there_with_a_sum_that_no_other_node_has() {
        let engine = stored([(3, 1), (3, 2)], 9);
        let mut batch = Batch::new();
        batch.insert(
            Keyspace::Records,
            record_key(NAMESPACE, &key(3, 1)),
            &b"junk"[..],
        );
        engine.commit(batch, Durability::Fsync).unwrap();
        let snapshot = Unreadable {
            snapshot: engine.snapshot(),
            keyspace: Keyspace::Records,
            keys: [record_key(NAMESPACE, &key(3, 2))].into(),
        };
        let wanted = WantedLeaves {
            leaves: &[3],
            after: None,
        };
        let page = read_leaf_page(&snapshot, wanted, (KEY, SELF)).unwrap();
        let rows: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.record.is_none(), row.sum))
            .collect();
        let taints = [1, 2].map(|number| (true, KEY.taint(SELF, &key(3, number))));
        assert_eq!(rows, taints);
    }

    #[test]
    fn keys_that_cannot_be_listed_are_an_error_and_not_absent() {
        let engine = stored([(3, 1)], 9);
        let snapshot = Unreadable {
            snapshot: engine.snapshot(),
            keyspace: Keyspace::Leaves,
            keys: [leaf_key(Leaf(3), NAMESPACE, &key(3, 1))].into(),
        };
        let wanted = WantedLeaves {
            leaves: &[3],
            after: None,
        };
        assert!(read_leaf_page(&snapshot, wanted, (KEY, SELF)).is_err());
    }
}
