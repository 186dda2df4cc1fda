//! The part of the tree that two nodes compare: the leaves that both own.
//!
//! ```text
//!   leaves of the circle   | a |  b  |c|   d   | e |
//!   both own                 x         x         x
//!   sums                     a      +  c     +   e       at each node of the tree: of these leaves alone
//! ```
//!
//! Both know which leaves they are from the epoch, so a message names nodes of the tree and nothing else, and a child in
//! which there is no such leaf is not in it.
//!
//! Invariant: the sum of a node is that of its children. Left out: which leaves they are
//! ([`Topology::shared`](crate::change::Topology::shared)).

use core::ops::RangeInclusive;

use super::{FAN_OUT_BITS, MerkleTree, Sum};
use crate::token::{Leaf, LeafBits};

/// Leaves that two nodes own, seen as the nodes of a Merkle tree.
///
/// ```
/// # use quoit_ring::merkle::SharedLeaves;
/// # use quoit_ring::{Leaf, LeafBits, MerkleTree, Sum};
/// let bits = LeafBits::new(8).unwrap();
/// let mut tree = MerkleTree::new(bits);
/// tree.add(Leaf(3), Sum(1));
/// tree.add(Leaf(200), Sum(7));
///
/// let shared = SharedLeaves::new(bits, vec![Leaf(100)..=Leaf(250)]);
/// assert_eq!(shared.total(&tree), Sum(7), "leaf 3 is not shared");
/// // Leaves 100 to 250 lie below 10 of the root's 16 children, 6 to 15: the 7th of them holds leaf 200.
/// let sums: Vec<_> = shared.children(0, 0).map(|child| shared.sum(&tree, 1, child)).collect();
/// assert_eq!((sums.len(), sums[6]), (10, Sum(7)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedLeaves {
    bits: LeafBits,
    /// Ascending, with a gap between any two.
    runs: Vec<RangeInclusive<Leaf>>,
}

impl SharedLeaves {
    /// These leaves of a circle with so many: runs ascend, and do not touch.
    #[must_use]
    pub fn new(bits: LeafBits, runs: Vec<RangeInclusive<Leaf>>) -> Self {
        let ascend = |two: &[RangeInclusive<Leaf>]| two[0].end().0 + 1 < two[1].start().0;
        debug_assert!(runs.windows(2).all(ascend), "they ascend, with gaps");
        Self { bits, runs }
    }

    /// Whether there are none: the nodes have nothing to compare.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let count = |run: &RangeInclusive<Leaf>| u64::from(run.end().0 - run.start().0) + 1;
        self.runs.iter().map(count).sum()
    }

    /// Whether `leaf` is one of them.
    #[must_use]
    pub fn contains(&self, leaf: Leaf) -> bool {
        self.within(leaf..=leaf).next().is_some()
    }

    /// The level of the leaves; 0 is the root.
    #[must_use]
    pub const fn leaf_level(&self) -> u8 {
        self.bits.bits().div_ceil(FAN_OUT_BITS)
    }

    /// Whether there is a node `index` on `level` with a shared leaf below it, or that is one.
    #[must_use]
    pub fn has(&self, level: u8, index: u32) -> bool {
        let covered = self.covered(level, index);
        covered.is_some_and(|leaves| self.within(leaves).next().is_some())
    }

    /// The children of a node that have shared leaves, ascending; none for a leaf, or a node that is none.
    pub fn children(&self, level: u8, index: u32) -> impl Iterator<Item = u32> {
        let below = level.saturating_add(1);
        let is_inner = level < self.leaf_level();
        // The root may have fewer children than the others, never more.
        let children = if is_inner && self.covered(level, index).is_some() {
            index << FAN_OUT_BITS..(index + 1) << FAN_OUT_BITS
        } else {
            0..0
        };
        children.filter(move |&child| self.has(below, child))
    }

    /// The sum of the shared leaves below a node of `tree`; that of nothing if there is none.
    #[must_use]
    pub fn sum(&self, tree: &MerkleTree, level: u8, index: u32) -> Sum {
        let Some(leaves) = self.covered(level, index) else {
            return Sum::default();
        };
        let parts = self.within(leaves).map(|part| tree.range(part));
        parts.fold(Sum::default(), Sum::plus)
    }

    /// The sum of all of them.
    #[must_use]
    pub fn total(&self, tree: &MerkleTree) -> Sum {
        self.sum(tree, 0, 0)
    }

    /// The leaves below a node.
    fn covered(&self, level: u8, index: u32) -> Option<RangeInclusive<Leaf>> {
        let above = self.leaf_level().checked_sub(level)? * FAN_OUT_BITS;
        let first = u64::from(index) << above;
        let count = u64::from(self.bits.count());
        let last = (first + (1 << above)).min(count).checked_sub(1)?;
        let leaf = |at: u64| u32::try_from(at).ok().map(Leaf);
        (first < count).then_some(leaf(first)?..=leaf(last)?)
    }

    /// The parts of the runs that lie in these leaves.
    fn within(&self, leaves: RangeInclusive<Leaf>) -> impl Iterator<Item = RangeInclusive<Leaf>> {
        let (first, last) = leaves.into_inner();
        let begin = self.runs.partition_point(|run| *run.end() < first);
        let runs = self.runs[begin..].iter();
        let runs = runs.take_while(move |run| *run.start() <= last);
        runs.map(move |run| first.max(*run.start())..=last.min(*run.end()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use std::collections::BTreeSet;

    use super::*;
    use crate::token::runs_of;

    proptest! {
        #[test]
        fn a_nodes_sum_is_that_of_its_children_and_a_leafs_its_own(
            bits in 1_u8..=9, leaves in btree_set(0_u32..512, 0..200),
            changes in vec((0_u32..512, any::<u128>()), 0..100),
        ) {
            let bits = LeafBits::new(bits).unwrap();
            let leaves: BTreeSet<u32> = leaves.into_iter().filter(|&leaf| leaf < bits.count()).collect();
            let runs = runs_of(leaves.iter().map(|&leaf| Leaf(leaf)..=Leaf(leaf)));
            let shared = SharedLeaves::new(bits, runs);
            let mut tree = MerkleTree::new(bits);
            for &(leaf, change) in &changes {
                tree.add(Leaf(leaf), Sum(change));
            }

            let of_leaf = |leaf: &u32| tree.leaf(Leaf(*leaf)).unwrap();
            let all = leaves.iter().map(of_leaf).fold(Sum::default(), Sum::plus);
            prop_assert_eq!(shared.total(&tree), all);
            prop_assert_eq!(shared.count(), leaves.len() as u64);

            let mut nodes: Vec<u32> = if leaves.is_empty() { vec![] } else { vec![0] };
            for level in 0..shared.leaf_level() {
                let mut below = Vec::new();
                for &node in &nodes {
                    prop_assert!(shared.has(level, node));
                    let children: Vec<u32> = shared.children(level, node).collect();
                    let sums = children.iter().map(|&child| shared.sum(&tree, level + 1, child));
                    prop_assert_eq!(sums.fold(Sum::default(), Sum::plus), shared.sum(&tree, level, node));
                    below.extend(children);
                }
                nodes = below;
            }
            prop_assert_eq!(nodes, leaves.iter().copied().collect::<Vec<_>>(), "the leaves, in order");
        }

        #[test]
        fn a_node_that_is_none_has_nothing(level: u8, index: u32) {
            let bits = LeafBits::new(6).unwrap();
            let shared = SharedLeaves::new(bits, vec![Leaf(0)..=Leaf(63)]);
            let tree = MerkleTree::new(bits);
            let width = [1, 4, 64].get(usize::from(level)).copied().unwrap_or(0);
            prop_assert_eq!(shared.has(level, index), index < width);
            prop_assert!(index < width || shared.children(level, index).next().is_none());
            prop_assert_eq!(shared.sum(&tree, level, index), Sum::default());
        }
    }
}
