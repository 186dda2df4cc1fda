//! A node's disk, compared with the node's own indices and sums.
//!
//! ```text
//!   records on disk --recomputed------> leaf by leaf equal to the node's Merkle tree
//!                   '--derived-------> the leaves and expiry indices, entry by entry; a register has a leaf entry, too
//!   records on disk --measured-------> none larger than repairs may leave it
//!   records on disk --owned?-------> none that is another node's
//!   hints on disk   --counted--------> what the node believes to keep, target by target
//! ```

use std::collections::BTreeSet;

use bytes::Bytes;
use quoit_node::config::Limits;
use quoit_node::engine::layout::{NAMESPACE, expiry_key, leaf_key, parse_record_key};
use quoit_node::engine::{Keyspace, MemorySnapshot, Snapshot as _};
use quoit_ring::change::Topology;
use quoit_ring::wire::{Kept, decode_record};
use quoit_ring::{MerkleKey, MerkleTree};

use crate::sim::machine::{Machine, hints_on_disk};

/// Where a node's sums or indices differ from its records: a sentence each.
pub(super) fn differences(machine: &Machine, topology: &Topology, key: MerkleKey) -> Vec<String> {
    let mut found = Vec::new();
    let store = machine.disk().contents();
    let Expected {
        tree,
        leaves,
        graves,
        expiry,
        junk,
    } = derive(&store, topology, key);
    found.extend(junk);
    found.extend(oversize(&store, machine.limits(), topology.copies()));
    found.extend(left_behind(machine, &store, topology));
    for (keyspace, expected) in [
        (Keyspace::Leaves, leaves),
        (Keyspace::Graves, graves),
        (Keyspace::Expiry, expiry),
    ] {
        let held = keys_of(&store, keyspace);
        let (missing, extra) = (
            expected.difference(&held).count(),
            held.difference(&expected).count(),
        );
        if missing + extra > 0 {
            let name = keyspace.name();
            found.push(format!(
                "{name}: {missing} entries missing, {extra} too many"
            ));
        }
    }

    found.extend(compare_sums(machine, &tree));
    found.extend(compare_hints(machine));
    found
}

/// Compares what a node believes to keep for others with what is on its disk.
fn compare_hints(machine: &Machine) -> Option<String> {
    let on_disk: Vec<Kept> = hints_on_disk(machine)
        .into_iter()
        .map(|(target, (count, bytes))| Kept {
            target,
            count,
            bytes,
        })
        .collect();
    let own = on_disk.iter().any(|kept| kept.target == machine.id());
    let believed = machine.kept();
    if !own
        && believed
            .as_ref()
            .is_none_or(|believed| *believed == on_disk)
    {
        return None; // a node that is down is reported above
    }
    Some(format!("hints: {on_disk:?} on disk, {believed:?} counted"))
}

/// The records that are over the bounds on what `copies` replicas may have become together: a sentence each.
fn oversize(store: &MemorySnapshot, limits: &Limits, copies: usize) -> Vec<String> {
    let bounds = [
        limits.max_siblings * copies,
        limits.max_intervals * copies,
        limits.merged_record_bytes(copies),
    ];
    let rows = store.range(Keyspace::Records, ..).flatten();
    let over = rows.filter_map(|(key, bytes)| {
        let record = decode_record(&bytes).ok()?;
        let (siblings, intervals) = (record.live().len(), record.seen().intervals().len());
        let sizes = [siblings, intervals, bytes.len()];
        let fits = sizes.iter().zip(&bounds).all(|(size, bound)| size <= bound);
        (!fits).then(|| format!("the record under {key:?} is {sizes:?}, allowed are {bounds:?}"))
    });
    over.collect()
}

/// What the records alone say the rest must be.
struct Expected {
    tree: MerkleTree,
    leaves: BTreeSet<Bytes>,
    graves: BTreeSet<Bytes>,
    expiry: BTreeSet<Bytes>,
    junk: Vec<String>,
}

/// Rows that the node does not own.
fn left_behind(machine: &Machine, store: &MemorySnapshot, topology: &Topology) -> Option<String> {
    let rows = store.range(Keyspace::Records, ..).flatten();
    let left = rows.filter(|(stored, _)| {
        let key = parse_record_key(stored).map_or(&[][..], |(_, key)| key);
        let lists = topology.lists(topology.token_of(key));
        !lists.is_owner(machine.id())
    });
    let count = left.count();
    (count > 0).then(|| format!("{count} rows are left that it does not own"))
}

fn derive(store: &MemorySnapshot, topology: &Topology, key: MerkleKey) -> Expected {
    let mut expected = Expected {
        tree: MerkleTree::new(topology.leaf_bits()),
        leaves: BTreeSet::new(),
        graves: BTreeSet::new(),
        expiry: BTreeSet::new(),
        junk: Vec::new(),
    };
    for (stored_key, value) in store.range(Keyspace::Records, ..).flatten() {
        let parsed = parse_record_key(&stored_key)
            .ok()
            .zip(decode_record(&value).ok());
        let Some(((_, user_key), record)) = parsed else {
            expected
                .junk
                .push(format!("the record under {stored_key:?} cannot be read"));
            continue;
        };
        let leaf = topology.leaf_bits().leaf_of(topology.token_of(user_key));
        expected.tree.add(leaf, key.sum_of(user_key, &record));
        expected.leaves.insert(leaf_key(leaf, NAMESPACE, user_key));
        if record.live().is_empty() {
            expected.graves.insert(leaf_key(leaf, NAMESPACE, user_key));
        }
        let dues = record.live().iter().filter_map(|sibling| sibling.expiry);
        expected
            .expiry
            .extend(dues.map(|due| expiry_key(due.0, NAMESPACE, user_key)));
    }
    for (stored_key, _) in store.range(Keyspace::Ballots, ..).flatten() {
        if let Ok((_, user_key)) = parse_record_key(&stored_key) {
            let leaf = topology.leaf_bits().leaf_of(topology.token_of(user_key));
            expected.leaves.insert(leaf_key(leaf, NAMESPACE, user_key));
        }
    }

    expected
}

fn keys_of(store: &MemorySnapshot, keyspace: Keyspace) -> BTreeSet<Bytes> {
    store
        .range(keyspace, ..)
        .flatten()
        .map(|(key, _)| key)
        .collect()
}

/// Compares the node's tree with one recomputed, level by level.
fn compare_sums(machine: &Machine, tree: &MerkleTree) -> Option<String> {
    let Some(sums) = machine.sums() else {
        return Some("the node is down".to_owned());
    };
    let Some(root) = sums.root() else {
        return Some("the sums are not ready".to_owned());
    };
    if root == tree.root() {
        return None;
    }

    let differing = |level: usize| {
        let nodes = (0..).take_while(move |&index| !tree.children(level, index).is_empty());
        nodes.filter(move |&index| {
            sums.children(level, index).as_deref() != Some(tree.children(level, index))
        })
    };
    let lowest = tree.depth().saturating_sub(1);
    let places: Vec<usize> = differing(lowest).take(8).collect();
    Some(format!(
        "the Merkle root differs from one recomputed; below nodes {places:?}"
    ))
}

#[cfg(test)]
mod tests {
    use quoit_ring::Moment;

    use bytes::BytesMut;
    use quoit_node::engine::layout::{hint_key, record_key};
    use quoit_node::engine::{Batch, Durability, Engine as _};
    use quoit_ring::wire::encode_record;
    use quoit_ring::{Actor, Delta, Dot, Leaf, NodeId, Time};

    use super::*;
    use crate::sim::machine::testing::{put, running, stored};
    use crate::sim::plan::Cluster;

    /// A node that holds a record which expires, in good order.
    fn machine() -> Machine {
        let mut machine = running();
        put(&mut machine, "key", Some(5_000));
        assert!(machine.begin_commit(Moment(0)).unwrap());
        machine.end_commit().unwrap();
        assert_eq!(audited(&machine), [""; 0]);
        machine
    }

    fn audited(machine: &Machine) -> Vec<String> {
        let cluster = Cluster::of(5, 5);
        let topology = Topology::of(cluster.ring.as_ref().clone());
        differences(machine, &topology, cluster.first.merkle_key)
    }

    /// Writes past the node.
    fn write(machine: &Machine, fill: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new();
        fill(&mut batch);
        let engine = machine.disk().open();
        engine.commit(batch, Durability::Fsync).unwrap();
    }

    fn only_key(machine: &Machine, keyspace: Keyspace) -> Bytes {
        let keys = keys_of(&machine.disk().contents(), keyspace);
        assert_eq!(keys.len(), 1);
        keys.into_iter().next().unwrap()
    }

    #[test]
    fn a_missing_entry_of_an_index_is_reported() {
        for keyspace in [Keyspace::Leaves, Keyspace::Expiry] {
            let machine = machine();
            let entry = only_key(&machine, keyspace);
            write(&machine, |batch| batch.remove(keyspace, entry));
            let found = format!("{}: 1 entries missing, 0 too many", keyspace.name());
            assert_eq!(audited(&machine), [found]);
        }
    }

    #[test]
    fn an_entry_too_many_is_reported() {
        let machine = machine();
        let (leaf, nothing) = (Leaf(3), Bytes::new());
        write(&machine, |batch| {
            batch.insert(
                Keyspace::Leaves,
                leaf_key(leaf, NAMESPACE, b"none"),
                nothing,
            );
        });
        assert_eq!(audited(&machine), ["leaves: 0 entries missing, 1 too many"]);
    }

    #[test]
    fn a_sum_that_is_not_that_of_the_records_is_reported() {
        let machine = machine();
        let mut record = stored(&machine, "key").unwrap();
        let due = record.live()[0].expiry;
        let dot = Dot {
            time: Time::at(due.unwrap()),
            actor: Actor(9),
        };
        record.join(Delta::blind(dot, Some(("other".into(), due))).record());
        let mut bytes = BytesMut::new();
        encode_record(&record, &mut bytes);
        write(&machine, |batch| {
            batch.insert(Keyspace::Records, record_key(NAMESPACE, b"key"), bytes);
        });
        let found = audited(&machine);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("the Merkle root differs"), "{found:?}");
    }

    #[test]
    fn a_record_over_its_bounds_is_reported() {
        let machine = machine();
        let mut limits = *machine.limits();
        limits.max_siblings = 0;
        let found = oversize(&machine.disk().contents(), &limits, 3);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("allowed are [0, "), "{found:?}");
    }

    #[test]
    fn a_hint_that_is_not_counted_is_reported() {
        let machine = machine();
        let key = hint_key(NodeId(3), NAMESPACE, b"key");
        write(&machine, |batch| {
            batch.insert(Keyspace::Hints, key, &b"record"[..]);
        });
        let found = audited(&machine);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("hints: "), "{found:?}");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_reported() {
        let machine = machine();
        let key = record_key(NAMESPACE, b"junk");
        write(&machine, |batch| {
            batch.insert(Keyspace::Records, key, &b"junk"[..]);
        });
        let found = audited(&machine);
        assert!(found[0].ends_with("cannot be read"), "{found:?}");
    }
}
