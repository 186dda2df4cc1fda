//! Merkle sums: a summary of a node's live data, 16-ary over the leaves of the circle.
//!
//! ```text
//!   root            1 sum
//!   ...            16 sums
//!   leaves       2^20 sums        leaf = sum over its live siblings of hash(key, dot, content hash)
//! ```
//!
//! Sums wrap and hashes are keyed 128-bit ones, so a change is one subtraction and one addition on the
//! way up, in any order. Only *live* siblings count: dropping a tombstone or folding Seen never changes
//! a sum. The hash key is known to nodes only, so no client can craft two data sets with one sum.
//!
//! Invariant: an inner sum is the sum of its children, so every level adds up to the root.
//!
//! Two nodes compare the part of their trees that both own ([`SharedLeaves`]). Left out: the exchange itself.
//!
//! Source: Dynamo (2007), section 4.7; Merkle, *A Digital Signature Based on a Conventional Encryption
//! Function* (1987); sums in place of hashes of hashes after Bellare and Micciancio, *A New Paradigm for
//! Collision-Free Hashing* (1997).

mod shared;

use core::fmt;
use core::hash::Hasher as _;
use core::ops::RangeInclusive;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::cluster::NodeId;
use crate::token::{Leaf, LeafBits};
use crate::version::{Record, Sibling};

pub use self::shared::SharedLeaves;

/// Bits by which each level is wider than the one above.
const FAN_OUT_BITS: u8 = 4;
/// Children of an inner sum.
pub const FAN_OUT: usize = 1 << FAN_OUT_BITS;

/// The key of the sums' hash, random; nodes of a cluster share it, clients never see it.
#[derive(Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct MerkleKey(pub [u8; 16]);

impl fmt::Debug for MerkleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MerkleKey(..)")
    }
}

/// A wrapping 128-bit sum of hashes; zero is the sum of nothing.
///
/// ```
/// # use quoit_ring::Sum;
/// let (old, new) = (Sum(5), Sum(9));
/// let change = new.minus(old);
/// assert_eq!(old.plus(change), new);
/// assert_eq!(new.plus(Sum::default().minus(change)), old, "and back again");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, bincode::Encode, bincode::Decode)]
pub struct Sum(pub u128);

impl Sum {
    /// This sum and `other` together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// This sum without `other`.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl Sum {
    /// Half of it: enough to find what differs, where another look at the whole follows.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub const fn short(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({self})")
    }
}

/// Where the sum of a leaf stands in the tree: below which node of the last level but one.
///
/// ```
/// use quoit_ring::merkle::Place;
/// use quoit_ring::{Leaf, LeafBits, MerkleTree, Sum};
///
/// let bits = LeafBits::new(10).unwrap();
/// let mut tree = MerkleTree::new(bits);
/// tree.add(Leaf(37), Sum(5));
/// let place = Place::of(Leaf(37), bits);
/// let sums = tree.children(usize::from(Place::level(bits)), place.parent as usize);
/// assert_eq!(sums[place.child], Sum(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The index of the node above it.
    pub parent: u32,
    /// Which of that node's children it is.
    pub child: usize,
}

impl Place {
    /// Where `leaf` stands.
    #[must_use]
    pub const fn of(leaf: Leaf, bits: LeafBits) -> Self {
        let parent = if bits.bits() > FAN_OUT_BITS {
            leaf.0 >> FAN_OUT_BITS
        } else {
            0 // the root is above all leaves
        };
        Self {
            parent,
            child: (leaf.0 - (parent << FAN_OUT_BITS)) as usize,
        }
    }

    /// The level of the nodes above leaves; 0 is the root.
    #[must_use]
    pub const fn level(bits: LeafBits) -> u8 {
        bits.bits().div_ceil(FAN_OUT_BITS) - 1
    }
}

impl MerkleKey {
    /// What `record` under `key` adds to its leaf: the hashes of its live siblings, expired ones included.
    /// Values are not read: their content hashes represent them.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Delta, Dot, MerkleKey, Record, Sum, Time};
    /// let key = MerkleKey([1; 16]);
    /// let dot = |time| Dot { time: Time(time), actor: Actor(1) };
    /// let mut record = Delta::blind(dot(10), Some(("v".into(), None))).into_record();
    /// assert_ne!(key.sum_of(b"k", &record), key.sum_of(b"other", &record));
    /// record.join(Delta::blind(dot(11), None).record());
    /// assert_eq!(key.sum_of(b"k", &record), Sum::default(), "a tombstone adds nothing");
    /// ```
    #[must_use]
    pub fn sum_of(&self, key: &[u8], record: &Record) -> Sum {
        record.live().iter().fold(Sum::default(), |sum, sibling| {
            sum.plus(self.hash(key, sibling))
        })
    }

    /// What a record that `node` holds and cannot read adds to its leaf there: a sum that no other node has, so that the
    /// leaf is never taken for equal.
    ///
    /// ```
    /// # use quoit_ring::{MerkleKey, NodeId};
    /// let key = MerkleKey([1; 16]);
    /// assert_ne!(key.taint(NodeId(1), b"k"), key.taint(NodeId(2), b"k"));
    /// ```
    #[must_use]
    pub fn taint(&self, node: NodeId, key: &[u8]) -> Sum {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(&node.0.to_le_bytes());
        hasher.write(b"cannot be read");
        hasher.write(key);
        Sum(hasher.finish128().as_u128())
    }

    fn hash(&self, key: &[u8], sibling: &Sibling) -> Sum {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(&sibling.dot.time.0.to_le_bytes());
        hasher.write(&sibling.dot.actor.0.to_le_bytes());
        hasher.write(&sibling.hash.to_le_bytes());
        hasher.write(key); // last, and the only part of varying length: no two inputs run together
        Sum(hasher.finish128().as_u128())
    }
}

/// The sums of every leaf and of every inner node above them, in memory (about 17 MiB at full cut).
///
/// ```
/// # use quoit_ring::{Leaf, LeafBits, MerkleTree, Sum};
/// let mut tree = MerkleTree::new(LeafBits::new(8).unwrap());
/// tree.add(Leaf(200), Sum(7));
/// tree.add(Leaf(3), Sum(1));
/// assert_eq!(tree.root(), Sum(8));
/// // Which leaves differ is found on the way down: 200 = 12 * 16 + 8.
/// assert_eq!(tree.children(0, 0)[12], Sum(7));
/// assert_eq!(tree.children(1, 12)[8], Sum(7));
/// assert_eq!(tree.leaf(Leaf(200)), Some(Sum(7)));
/// ```
pub struct MerkleTree {
    bits: LeafBits,
    /// `levels[0]` is the root; the last level holds the leaves.
    levels: Vec<Vec<Sum>>,
}

impl fmt::Debug for MerkleTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MerkleTree")
            .field("bits", &self.bits)
            .field("root", &self.root())
            .finish_non_exhaustive()
    }
}

impl MerkleTree {
    /// The tree of no data, over 2^`bits` leaves. Allocates all of it.
    #[must_use]
    pub fn new(bits: LeafBits) -> Self {
        // Bits of each level, from the leaves up.
        let mut widths = vec![bits.bits()];
        while let Some(above) = widths.last().filter(|&&w| w > 0) {
            widths.push(above.saturating_sub(FAN_OUT_BITS));
        }

        let levels: Vec<Vec<Sum>> = widths
            .iter()
            .rev()
            .map(|&width| vec![Sum::default(); 1 << width])
            .collect();
        debug_assert_eq!(levels[0].len(), 1, "the topmost level is the root");
        Self { bits, levels }
    }

    /// Adds `change`, what a leaf's sum is now less what it was, to the leaf and to everything above it:
    /// one addition per level. A leaf outside the tree changes nothing.
    pub fn add(&mut self, leaf: Leaf, change: Sum) {
        if leaf.0 >= self.bits.count() || change == Sum::default() {
            return;
        }

        let mut index = leaf.0 as usize;
        for sums in self.levels.iter_mut().rev() {
            sums[index] = sums[index].plus(change);
            index >>= FAN_OUT_BITS;
        }
    }

    /// The sum of everything.
    #[must_use]
    pub fn root(&self) -> Sum {
        self.levels[0][0]
    }

    /// How many levels there are, the root and the leaves included: 2 to 6.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.levels.len()
    }

    /// The sums of the children of node `index` on `level` (0 is the root), at most [`FAN_OUT`]: those of
    /// nodes `index * 16` and on of the next level. Nothing for a leaf or a node that does not exist.
    #[must_use]
    pub fn children(&self, level: usize, index: usize) -> &[Sum] {
        let (Some(here), Some(below)) = (self.levels.get(level), self.levels.get(level + 1)) else {
            return &[];
        };
        if index >= here.len() {
            return &[];
        }
        let first = index << FAN_OUT_BITS;
        &below[first..below.len().min(first + FAN_OUT)]
    }

    /// The sum over leaves that lie side by side: that of whole nodes where there are any, so a few additions per level.
    /// Leaves outside the tree add nothing.
    ///
    /// ```
    /// # use quoit_ring::{Leaf, LeafBits, MerkleTree, Sum};
    /// let mut tree = MerkleTree::new(LeafBits::new(8).unwrap());
    /// for leaf in 0..256 {
    ///     tree.add(Leaf(leaf), Sum(1));
    /// }
    /// assert_eq!(tree.range(Leaf(3)..=Leaf(202)), Sum(200));
    /// ```
    #[must_use]
    pub fn range(&self, leaves: RangeInclusive<Leaf>) -> Sum {
        let mut sum = Sum::default();
        let end = (leaves.end().0 as usize).saturating_add(1);
        let mut range = leaves.start().0 as usize..end.min(self.bits.count() as usize);
        for sums in self.levels.iter().rev() {
            // What does not fill a node of the level above, at either end.
            let first = range.start.next_multiple_of(FAN_OUT).min(range.end);
            let last = (range.end - range.end % FAN_OUT).max(first);
            let ends = sums.get(range.start..first).into_iter();
            let ends = ends.chain(sums.get(last..range.end)).flatten();
            sum = ends.fold(sum, |sum, &of| sum.plus(of));
            range = first / FAN_OUT..last / FAN_OUT;
            if range.is_empty() {
                break;
            }
        }
        sum
    }

    /// The sum of one leaf, or `None` outside the tree.
    #[must_use]
    pub fn leaf(&self, leaf: Leaf) -> Option<Sum> {
        self.levels.last()?.get(leaf.0 as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_level_sums_to_the_root_whatever_the_cut() {
        for bits in 1..=12 {
            let mut tree = MerkleTree::new(LeafBits::new(bits).unwrap());
            for leaf in 0..1 << bits {
                tree.add(Leaf(leaf), Sum(u128::from(leaf) << 100));
            }
            let sum = |level: &Vec<Sum>| level.iter().fold(Sum::default(), |a, &b| a.plus(b));
            assert!(
                tree.levels.iter().all(|level| sum(level) == tree.root()),
                "{bits} bits"
            );
        }
    }

    #[test]
    fn a_leaf_or_node_outside_the_tree_is_nothing() {
        let mut tree = MerkleTree::new(LeafBits::new(6).unwrap());
        tree.add(Leaf(64), Sum(1));
        assert_eq!(tree.root(), Sum::default());
        assert_eq!(tree.children(1, 4), &[]);
        assert_eq!(tree.children(tree.depth() - 1, 0), &[]);
        assert_eq!(tree.children(1, 3).len(), 16);
    }

    proptest! {
        #[test]
        fn the_sum_of_a_range_is_that_of_its_leaves(
            bits in 1_u8..=11, changes in proptest::collection::vec((0_u32..2048, any::<u128>()), 0..200),
            first in 0_u32..2048, count in 0_u32..2048,
        ) {
            let mut tree = MerkleTree::new(LeafBits::new(bits).unwrap());
            for &(leaf, change) in &changes {
                tree.add(Leaf(leaf), Sum(change));
            }
            let last = first + count;
            let one_by_one = (first..=last).filter_map(|leaf| tree.leaf(Leaf(leaf)));
            let one_by_one = one_by_one.fold(Sum::default(), Sum::plus);
            prop_assert_eq!(tree.range(Leaf(first)..=Leaf(last)), one_by_one);
        }

        #[test]
        fn an_inner_sum_is_the_sum_of_its_children(
            changes in proptest::collection::vec((0_u32..4096, any::<u128>()), 0..200),
        ) {
            let mut tree = MerkleTree::new(LeafBits::new(12).unwrap());
            for &(leaf, change) in &changes {
                tree.add(Leaf(leaf), Sum(change));
            }
            for level in 0..tree.depth() - 1 {
                for (index, &sum) in tree.levels[level].iter().enumerate() {
                    let below = tree.children(level, index);
                    prop_assert_eq!(below.iter().fold(Sum::default(), |a, &b| a.plus(b)), sum);
                }
            }
            for (leaf, change) in changes {
                tree.add(Leaf(leaf), Sum::default().minus(Sum(change)));
            }
            prop_assert_eq!(tree.root(), Sum::default());
        }
    }
}
