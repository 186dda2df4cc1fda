//! What lies on a node's disk, held against what the node says of it.
//!
//! ```text
//!   records on disk --summed up anew--> leaf by leaf equal to the node's Merkle tree
//!                   '--derived-------> the leaves and expiry indices, entry by entry
//! ```

use std::collections::BTreeSet;

use bytes::Bytes;
use quoit_node::engine::layout::{NAMESPACE, expiry_key, leaf_key, parse_record_key};
use quoit_node::engine::{Keyspace, MemorySnapshot, Snapshot as _};
use quoit_ring::placement::Ring;
use quoit_ring::wire::decode_record;
use quoit_ring::{MerkleKey, MerkleTree};

use crate::sim::machine::Machine;

/// Where a node's sums or indices differ from its records: a sentence each.
pub(super) fn differences(machine: &Machine, ring: &Ring, key: MerkleKey) -> Vec<String> {
    let mut found = Vec::new();
    let store = machine.disk().contents();
    let Expected {
        tree,
        leaves,
        expiry,
        junk,
    } = derive(&store, ring, key);
    found.extend(junk);
    for (keyspace, expected) in [(Keyspace::Leaves, leaves), (Keyspace::Expiry, expiry)] {
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
    found
}

/// What the records alone say the rest must be.
struct Expected {
    tree: MerkleTree,
    leaves: BTreeSet<Bytes>,
    expiry: BTreeSet<Bytes>,
    junk: Vec<String>,
}

fn derive(store: &MemorySnapshot, ring: &Ring, key: MerkleKey) -> Expected {
    let mut expected = Expected {
        tree: MerkleTree::new(ring.leaf_bits()),
        leaves: BTreeSet::new(),
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
        let leaf = ring.leaf_bits().leaf_of(ring.token_of(user_key));
        expected.tree.add(leaf, key.sum_of(user_key, &record));
        expected.leaves.insert(leaf_key(leaf, NAMESPACE, user_key));
        let dues = record.live().iter().filter_map(|sibling| sibling.expiry);
        expected
            .expiry
            .extend(dues.map(|due| expiry_key(due.0, NAMESPACE, user_key)));
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

/// Holds the node's tree against one summed up anew, level by level.
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
        "the Merkle root differs from one summed up anew; below nodes {places:?}"
    ))
}
