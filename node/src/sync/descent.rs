//! The way down the two trees: from the root to the leaves that differ.
//!
//! ```text
//!   level 0            root              asked: root      -> children 3, 7 differ
//!   level 1        3         7           asked: 3, 7      -> 3/1, 3/9, 7/0
//!   ...
//!   leaves       l   l     l             these are compared key by key
//! ```
//!
//! The deepest nodes go first, so what waits is bounded by the depth of the tree.

use quoit_ring::merkle::SharedLeaves;
use quoit_ring::wire::MAX_SYNC_NODES;

/// Nodes of one level of the tree, ascending, at most [`MAX_SYNC_NODES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nodes {
    pub(super) level: u8,
    pub(super) nodes: Vec<u32>,
}

/// An answer that is not as long as what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrongLength;

/// What is still to be compared of two trees.
#[derive(Debug)]
pub(super) struct Descent {
    /// The next one last.
    waiting: Vec<Nodes>,
}

impl Descent {
    /// From two roots that differ.
    pub(super) fn from_root() -> Self {
        let root = Nodes {
            level: 0,
            nodes: vec![0],
        };
        Self {
            waiting: vec![root],
        }
    }

    /// The nodes to be compared next: leaves, or nodes whose children are to be asked for.
    pub(super) fn next(&mut self) -> Option<Nodes> {
        self.waiting.pop()
    }

    /// Whether all is compared that was found to differ.
    pub(super) const fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The other node has sent the sums of the children of these; `own` are those here.
    pub(super) fn compared(
        &mut self,
        asked: &Nodes,
        theirs: &[u64],
        (shared, own): (&SharedLeaves, impl Fn(u8, u32) -> u64),
    ) -> Result<(), WrongLength> {
        let below = asked.level + 1;
        let nodes = asked.nodes.iter();
        let children = nodes.flat_map(|&node| shared.children(asked.level, node));
        let mut theirs = theirs.iter();
        let mut differ = Vec::new();
        for child in children {
            let theirs = theirs.next().ok_or(WrongLength)?;
            if own(below, child) != *theirs {
                differ.push(child);
            }
        }
        if theirs.next().is_some() {
            return Err(WrongLength);
        }

        // Backwards, so that the first ones come next.
        let parts = differ.chunks(MAX_SYNC_NODES).rev().map(|nodes| Nodes {
            level: below,
            nodes: nodes.to_vec(),
        });
        self.waiting.extend(parts);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use quoit_ring::{Leaf, LeafBits, MerkleTree, Sum};

    use super::*;

    fn tree(bits: LeafBits, leaves: impl IntoIterator<Item = (u32, u64)>) -> MerkleTree {
        let mut tree = MerkleTree::new(bits);
        for (leaf, sum) in leaves {
            tree.add(Leaf(leaf), Sum(sum.into()));
        }
        tree
    }

    proptest! {
        #[test]
        fn it_ends_at_the_leaves_that_differ_and_at_no_others(
            bits in 1_u8..=11, both in vec((0_u32..2048, any::<u64>()), 0..60),
            ours in btree_map(0_u32..2048, 1_u64.., 0..60), first in 0_u32..2048, count in 0_u32..2048,
        ) {
            let bits = LeafBits::new(bits).unwrap();
            let last = (first + count).min(bits.count() - 1);
            let runs = if first <= last { vec![Leaf(first)..=Leaf(last)] } else { vec![] };
            let shared = SharedLeaves::new(bits, runs);
            let here = tree(bits, both.iter().copied().chain(ours.clone()));
            let there = tree(bits, both);
            let children = |nodes: &Nodes, tree: &MerkleTree| -> Vec<u64> {
                let children = nodes.nodes.iter().flat_map(|&node| {
                    shared.children(nodes.level, node).map(|child| (nodes.level + 1, child)).collect::<Vec<_>>()
                });
                children.map(|(level, index)| shared.sum(tree, level, index).short()).collect()
            };

            let (mut descent, mut found, mut asked) = (Descent::from_root(), Vec::new(), 0);
            while let Some(nodes) = descent.next() {
                prop_assert!(nodes.nodes.len() <= MAX_SYNC_NODES);
                if nodes.level == shared.leaf_level() {
                    found.extend(nodes.nodes);
                    continue;
                }
                asked += 1;
                let theirs = children(&nodes, &there);
                let own = |level, index| shared.sum(&here, level, index).short();
                descent.compared(&nodes, &theirs, (&shared, own)).unwrap();
            }
            let differ = ours.into_keys().filter(|&leaf| shared.contains(Leaf(leaf)));
            prop_assert_eq!(found, differ.collect::<Vec<_>>());
            prop_assert!(asked <= 3, "one question a level, as none has more than 128 nodes: {}", asked);
        }
    }

    #[test]
    fn an_answer_of_another_length_is_refused() {
        let bits = LeafBits::new(8).unwrap();
        let shared = SharedLeaves::new(bits, vec![Leaf(0)..=Leaf(31)]);
        let root = Nodes {
            level: 0,
            nodes: vec![0],
        };
        for length in [0, 1, 3, 16] {
            let compared =
                Descent::from_root().compared(&root, &vec![0; length], (&shared, |_, _| 0));
            assert_eq!(compared, Err(WrongLength), "{length}");
        }
    }

    #[test]
    fn many_nodes_that_differ_come_in_parts_in_order_and_the_deepest_first() {
        let bits = LeafBits::FULL;
        let shared = SharedLeaves::new(bits, vec![Leaf(0)..=Leaf(bits.count() - 1)]);
        let mut descent = Descent { waiting: vec![] };
        let asked = Nodes {
            level: 3,
            nodes: (0..20).collect(),
        };
        descent
            .compared(&asked, &[1; 320], (&shared, |_, _| 0))
            .unwrap();
        let parts: Vec<Nodes> = std::iter::from_fn(|| descent.next()).collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.nodes.len()).collect();
        assert_eq!(lengths, [256, 64]);
        let all: Vec<u32> = parts.into_iter().flat_map(|part| part.nodes).collect();
        assert_eq!(all, (0..320).collect::<Vec<_>>());
    }
}
