//! Rows that a node holds and does not own: what is left of an earlier ownership.
//!
//! ```text
//!   leaves  |  owned  | not owned |  owned  | not owned | ...      by the newest epoch
//!              skip       page       skip       page
//! ```
//!
//! A row that cannot be read is passed over, and counted: it holds up no other. Left out: what is done with them.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};

use bytes::Bytes;
use quoit_ring::change::{OwnerLists, Topology};
use quoit_ring::token::runs_of;
use quoit_ring::{Epoch, Leaf, Sum};

use super::Sums;
use crate::change::{LeftRow, LeftRows};
use crate::engine::layout::{leaf_range, parse_leaf_key, record_key};
use crate::engine::{EngineError, Keyspace, Snapshot};
use crate::state::NodeState;

/// Most rows of a page.
const ROWS: usize = 512;
/// Bytes after which a page is full; one row may go beyond.
const BYTES: usize = 256 << 10;

/// The leaves of which rows are left at this node by `epoch`, in order; neighbours as one.
#[must_use]
pub fn unowned_runs(state: &NodeState, epoch: Epoch) -> Vec<RangeInclusive<Leaf>> {
    let cluster = &state.cluster;
    let (newest, node) = (cluster.newest(), cluster.node);
    let has_taken = cluster.has_taken(epoch);
    left_runs(newest.topology(), |lists| {
        !lists.is_owner(node) || (lists.is_newcomer(node) && !has_taken)
    })
}

/// The leaves that are not owned, as `is_left` says, in order; neighbours as one.
fn left_runs(
    topology: &Topology,
    is_left: impl Fn(OwnerLists<'_>) -> bool,
) -> Vec<RangeInclusive<Leaf>> {
    let left = topology
        .stretches()
        .filter(|stretch| is_left(stretch.lists));
    runs_of(left.map(|stretch| stretch.leaves))
}

/// Reads a page of the rows in `runs` that come behind the leaves key `after`.
///
/// # Errors
/// The engine's, if the walk cannot go on. A row that cannot be read is only counted.
pub fn read_leftovers<S: Snapshot>(
    snapshot: &S,
    sums: &Sums,
    runs: &[RangeInclusive<Leaf>],
    after: Option<&Bytes>,
) -> Result<LeftRows, EngineError> {
    let mut page = LeftRows::default();
    let mut bytes = 0;
    let behind = after.and_then(|key| parse_leaf_key(key).ok());
    let behind = behind.map_or(Leaf(0), |(leaf, ..)| leaf);
    for run in runs.iter().filter(|run| *run.end() >= behind) {
        let (first, end) = leaf_range(run.clone());
        let start = match after {
            Some(after) if *run.start() <= behind => Bound::Excluded(after.clone()),
            _ => first,
        };
        for entry in snapshot.range(Keyspace::Leaves, (start, end)) {
            let (stored, _) = entry?;
            let Ok((leaf, namespace, key)) = parse_leaf_key(&stored) else {
                continue; // a key shorter than its prefix lies between no two that have it
            };
            match snapshot.get(Keyspace::Records, &record_key(namespace, key)) {
                Ok(Some(record)) => {
                    let key = stored.slice_ref(key);
                    bytes += key.len() + record.len();
                    page.rows.push(LeftRow { leaf, key, record });
                }
                Ok(None) => match snapshot.get(Keyspace::Ballots, &record_key(namespace, key)) {
                    // A register without a record.
                    Ok(Some(_)) => {
                        let (key, record) = (stored.slice_ref(key), Bytes::new());
                        bytes += key.len();
                        page.rows.push(LeftRow { leaf, key, record });
                    }
                    Err(error @ EngineError::Poisoned { .. }) => return Err(error),
                    Ok(None) | Err(_) => page.unreadable += 1,
                },
                Err(error @ EngineError::Poisoned { .. }) => return Err(error),
                Err(_) => page.unreadable += 1,
            }
            if page.rows.len() >= ROWS || bytes >= BYTES {
                page.next = Some(stored);
                page.sums = sums_of(&page, sums);
                return Ok(page);
            }
        }
    }
    page.sums = sums_of(&page, sums);
    Ok(page)
}

/// This node's sums of the leaves of a page; none while they are being summed up.
fn sums_of(page: &LeftRows, sums: &Sums) -> BTreeMap<Leaf, Sum> {
    let leaves = page.rows.iter().map(|row| row.leaf);
    let sums = leaves.filter_map(|leaf| Some((leaf, sums.leaf(leaf)?)));
    sums.collect()
}

#[cfg(test)]
mod tests {
    use quoit_ring::change::Known;
    use quoit_ring::{MerkleKey, NodeId};

    use super::*;
    use crate::engine::layout::leaf_key;
    use crate::engine::{Batch, Durability, Engine as _, MemoryEngine};
    use crate::testing::{SELF, ring_of};

    /// A ring of four, and an engine that holds a row of each of its first 2,000 leaves, some twice.
    fn setup() -> (Known, MemoryEngine, Vec<Leaf>) {
        let known = Known::of(ring_of(4, 2));
        let engine = MemoryEngine::new();
        let mut batch = Batch::new();
        let mut left = Vec::new();
        for leaf in (0..2_000).map(Leaf) {
            for copy in 0..=(leaf.0 % 7 == 0).into() {
                let key = format!("{}.{copy}", leaf.0);
                batch.insert(
                    Keyspace::Leaves,
                    leaf_key(leaf, 0, key.as_bytes()),
                    &b""[..],
                );
                batch.insert(
                    Keyspace::Records,
                    record_key(0, key.as_bytes()),
                    key.into_bytes(),
                );
                if !known.topology().owns(SELF, leaf) {
                    left.push(leaf);
                }
            }
        }
        engine.commit(batch, Durability::Fsync).unwrap();
        (known, engine, left)
    }

    #[test]
    fn pages_hold_every_row_that_is_not_owned_once_and_no_other() {
        let (known, engine, left) = setup();
        let runs = left_runs(known.topology(), |lists| !lists.is_owner(SELF));
        let sums = Sums::new(known.topology().leaf_bits(), MerkleKey([1; 16]));
        let (mut found, mut after, mut pages) = (Vec::new(), None::<Bytes>, 0);
        loop {
            let page = read_leftovers(&engine.snapshot(), &sums, &runs, after.as_ref()).unwrap();
            assert!(page.sums.is_empty(), "nothing is summed up yet");
            for row in &page.rows {
                assert_eq!(row.record, row.key);
                found.push(row.leaf);
            }
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, left);
        assert_eq!(pages, left.len() / ROWS + 1);
    }

    #[test]
    fn runs_are_all_that_is_left_and_no_two_of_them_touch() {
        let (known, ..) = setup();
        let topology = known.topology();
        let runs = left_runs(topology, |lists| !lists.is_owner(SELF));
        for leaf in (0..topology.leaf_bits().count()).map(Leaf) {
            let is_left = runs.iter().any(|run| run.contains(&leaf));
            assert_eq!(is_left, !topology.owns(SELF, leaf));
        }
        assert!(
            runs.windows(2)
                .all(|two| two[0].end().0 + 1 < two[1].start().0)
        );
        let none = left_runs(topology, |lists| !lists.is_owner(NodeId(9)));
        assert_eq!(none.len(), 1, "who owns nothing has one run, the circle");
    }

    #[test]
    fn a_row_that_cannot_be_read_is_counted_and_holds_up_no_other() {
        let (known, engine, left) = setup();
        let runs = left_runs(known.topology(), |lists| !lists.is_owner(SELF));
        let sums = Sums::new(known.topology().leaf_bits(), MerkleKey([1; 16]));
        let mut batch = Batch::new();
        let gone = format!("{}.0", left[3].0);
        batch.remove(Keyspace::Records, record_key(0, gone.as_bytes()));
        engine.commit(batch, Durability::Fsync).unwrap();
        let page = read_leftovers(&engine.snapshot(), &sums, &runs, None).unwrap();
        assert_eq!((page.unreadable, page.rows.len()), (1, ROWS));
    }
}
