//! The leaves that two nodes both own: what they compare.
//!
//! Leaves that move are left out: their new owners pull them, and until the step is over nobody holds all of them.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use super::topology::Topology;
use crate::cluster::NodeId;
use crate::merkle::SharedLeaves;
use crate::token::{Leaf, runs_of};

impl Topology {
    /// What `node` shares with each other owner of its leaves, in one pass over all leaves. A node with which it shares
    /// nothing is not in it.
    ///
    /// ```
    /// # use quoit_ring::change::Topology;
    /// # use quoit_ring::placement::{grow, Newcomer, Ring};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
    /// # let newcomer = |id: u64| Newcomer {
    /// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
    /// # };
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// // Of three nodes each owns everything.
    /// let topology = Topology::of(Ring::new(&grow(empty, (1..=3).map(newcomer), 1)?)?);
    /// let shared = topology.shared(NodeId(1));
    /// assert!(shared.keys().eq(&[NodeId(2), NodeId(3)]));
    /// assert_eq!(shared[&NodeId(2)].count(), u64::from(LeafBits::FULL.count()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn shared(&self, node: NodeId) -> BTreeMap<NodeId, SharedLeaves> {
        let mut shared = BTreeMap::<NodeId, Vec<RangeInclusive<Leaf>>>::new();
        for stretch in self.stretches() {
            let lists = stretch.lists;
            if lists.is_joint() || !lists.is_owner(node) {
                continue;
            }
            for other in lists.owners().filter(|&other| other != node) {
                shared
                    .entry(other)
                    .or_default()
                    .push(stretch.leaves.clone());
            }
        }

        let bits = self.leaf_bits();
        let shared = shared.into_iter();
        shared
            .map(|(other, leaves)| (other, SharedLeaves::new(bits, runs_of(leaves))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Arcs, Known};
    use crate::placement::{Newcomer, Ring, grow, join};
    use crate::{ClusterId, ClusterMap, Epoch, LeafBits, TokenKey};

    #[test]
    fn two_nodes_share_the_leaves_that_both_own_and_that_do_not_move_in_every_step() {
        let empty = ClusterMap {
            cluster: ClusterId(1),
            epoch: Epoch(1),
            token_key: TokenKey([0; 16]),
            leaf_bits: LeafBits::new(9).unwrap(),
            replication: 3,
            members: vec![],
        };
        let newcomer = |id: u64| Newcomer {
            id: NodeId(id),
            name: format!("n{id}"),
            address: format!("h{id}:1"),
            zone: format!("z{id}"),
            weight: 2,
        };
        let before = grow(empty, (1..=5).map(newcomer), 1).unwrap();
        let mut after = before.clone();
        join(&mut after, newcomer(6), 1).unwrap();
        let first = Known::of(Ring::new(&before).unwrap());
        let begun = first.configuration().begin(after, Arcs::new(4).unwrap());
        let mut known = first.later(begun.unwrap()).unwrap();

        let mut has_moved = false;
        loop {
            let topology = known.topology();
            for node in (1..=6).map(NodeId) {
                let shared = topology.shared(node);
                for other in (1..=6).map(NodeId) {
                    for leaf in (0..512).map(Leaf) {
                        let lists = topology.lists_of_leaf(leaf);
                        let both = node != other && lists.is_owner(node) && lists.is_owner(other);
                        let expected = both && !lists.is_joint();
                        let found = shared.get(&other).is_some_and(|it| it.contains(leaf));
                        assert_eq!(found, expected, "{node} {other} {leaf:?}");
                        has_moved |= both && lists.is_joint();
                    }
                    let back = topology.shared(other);
                    assert_eq!(
                        shared.get(&other),
                        back.get(&node),
                        "the same from both sides"
                    );
                }
            }
            match known.configuration().step() {
                Some(next) => known = known.later(next).unwrap(),
                None => break,
            }
        }
        assert!(has_moved);
    }
}
