//! The circle as stretches of leaves that have the same owners: what a node goes through that looks for what it does not own.
//!
//! ```text
//!   source ring   |   n1 n2   |    n2 n3    |  n3 n1  ...
//!   target ring   |  n1 n4 |  n4 n2  |  n2 n3    |    ...
//!   stretches     |   a    |b |  c   |   d  | e  |    ...
//! ```
//!
//! Invariant: they are in order, and each leaf is in one of them. Left out: rows, which a node has on its disk.

use core::ops::RangeInclusive;

use super::hand::Side;
use super::topology::{OwnerLists, Topology};
use crate::placement::Ring;
use crate::token::Leaf;

/// Leaves next to each other that have the same owners.
#[derive(Debug, Clone)]
pub struct Stretch<'a> {
    /// The leaves.
    pub leaves: RangeInclusive<Leaf>,
    /// Their owners.
    pub lists: OwnerLists<'a>,
}

impl Topology {
    /// The stretches of all leaves, in order.
    ///
    /// ```
    /// # use quoit_ring::change::Topology;
    /// # use quoit_ring::placement::{grow, Newcomer, Ring};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, Leaf, LeafBits, NodeId, TokenKey};
    /// # let newcomer = |id: u64| Newcomer {
    /// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
    /// # };
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// let topology = Topology::of(Ring::new(&grow(empty, (1..=5).map(newcomer), 1)?)?);
    /// let owned = topology.stretches().filter(|stretch| stretch.lists.is_owner(NodeId(1)));
    /// let leaves: u32 = owned.map(|stretch| stretch.leaves.end().0 - stretch.leaves.start().0 + 1).sum();
    /// assert!(leaves.abs_diff(LeafBits::FULL.count() * 3 / 5) < LeafBits::FULL.count() / 50);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stretches(&self) -> impl Iterator<Item = Stretch<'_>> {
        let end = self.leaf_bits().count();
        let mut next = 0;
        core::iter::from_fn(move || {
            let first = (next < end).then_some(Leaf(next))?;
            let last = self.last_alike(first);
            next = last.0 + 1;
            Some(Stretch {
                leaves: first..=last,
                lists: self.lists_of_leaf(first),
            })
        })
    }

    /// Up to where the leaves from `leaf` on surely have its owners.
    fn last_alike(&self, leaf: Leaf) -> Leaf {
        let source = self.source();
        let Some((target, hand)) = self.change() else {
            return source.last_alike(leaf);
        };
        let rings: &[&Ring] = match hand.side(leaf, self.leaf_bits()) {
            Side::Source => &[source],
            Side::Target => &[target],
            Side::Both => &[source, target],
        };
        let ends = rings.iter().map(|ring| ring.last_alike(leaf));
        let last = ends.min().unwrap_or(leaf);

        let arcs = hand.arcs();
        let arc = arcs.leaves(arcs.of(leaf, self.leaf_bits()), self.leaf_bits());
        last.min(Leaf(arc.end.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::NodeId;
    use crate::change::{Arcs, Hand};
    use crate::placement::{Newcomer, grow, join};
    use crate::{ClusterId, ClusterMap, Epoch, LeafBits, TokenKey};

    fn topology(arcs: u32, steps: u8, bits: u8, is_turned: bool) -> Topology {
        let empty = ClusterMap {
            cluster: ClusterId(1),
            epoch: Epoch(1),
            token_key: TokenKey([0; 16]),
            leaf_bits: LeafBits::new(bits).unwrap(),
            replication: 3,
            members: vec![],
        };
        let newcomer = |id: u64| Newcomer {
            id: NodeId(id),
            name: format!("n{id}"),
            address: format!("h{id}:1"),
            zone: "z".into(),
            weight: 2,
        };
        let before = grow(empty, (1..=4).map(newcomer), 1).unwrap();
        let mut after = before.clone();
        join(&mut after, newcomer(5), 1).unwrap();
        let arcs = Arcs::new(1 << arcs).unwrap();
        let mut hand = Hand::on_first(arcs);
        for _ in 0..steps {
            hand = hand.next().unwrap_or(hand);
        }
        if is_turned {
            hand = hand.turned();
        }
        let stable = Topology::of(Ring::new(&before).unwrap());
        let target = Arc::new(Ring::new(&after).unwrap());
        stable.changing(target, hand, Epoch(2)).unwrap()
    }

    proptest! {
        #[test]
        fn each_leaf_is_in_one_stretch_and_has_its_owners(
            arcs in 0_u32..5, steps in 0_u8..16, bits in 6_u8..9, is_turned: bool,
        ) {
            let topology = topology(arcs, steps, bits, is_turned);
            let mut next = 0;
            for stretch in topology.stretches() {
                prop_assert_eq!(stretch.leaves.start().0, next, "the one behind the last one");
                for leaf in stretch.leaves.start().0..=stretch.leaves.end().0 {
                    let lists = topology.lists_of_leaf(Leaf(leaf));
                    prop_assert!(lists.owners().eq(stretch.lists.owners()), "leaf {leaf}");
                    prop_assert_eq!(lists.is_joint(), stretch.lists.is_joint());
                }
                next = stretch.leaves.end().0 + 1;
            }
            prop_assert_eq!(next, topology.leaf_bits().count());
        }
    }
}
