//! What the loss of any two nodes would cost: how many keys are left without a majority of their replicas.
//!
//! ```text
//!   N   majority   without a majority
//!   1      1       every key of either
//!   2      2       every key of either
//!   3      2       the keys of both
//!   4      3       the keys of both
//!   5...   3...    none
//! ```
//!
//! Those keys can be read and written at quorum again once one of the two is back. They are not lost as long as a third
//! replica holds them. Pure.

use std::collections::BTreeMap;

use quoit_ring::NodeId;
use quoit_ring::placement::Ring;

/// The loss of the two nodes that would cost most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TwoLost {
    /// Who they are; `None` if no key is left without a majority, whoever they are.
    pub(super) worst: Option<[NodeId; 2]>,
    /// The part of all keys without a majority then, 0 to 1.
    pub(super) share: f64,
    /// The ranges of the ring without a majority then.
    pub(super) ranges: u32,
    /// All ranges of the ring.
    pub(super) of_ranges: u32,
    /// The share for two nodes of which nothing is known: the mean of all pairs.
    pub(super) mean_share: f64,
}

/// So many leaves in so many ranges.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    leaves: u32,
    ranges: u32,
}

/// What each node owns, and what each two nodes own together.
#[derive(Debug, Default)]
struct Owned {
    each: BTreeMap<NodeId, Count>,
    both: BTreeMap<[NodeId; 2], Count>,
    ranges: u32,
}

impl Owned {
    fn of(ring: &Ring) -> Self {
        let mut owned = Self::default();
        for range in ring.ranges() {
            let count = Count {
                leaves: range.leaves(ring.leaf_bits()),
                ranges: 1,
            };
            let mut owners: Vec<NodeId> = range.list.owners().collect();
            owners.sort_unstable();
            for (at, &one) in owners.iter().enumerate() {
                owned.each.entry(one).or_default().add(count);
                for &other in &owners[at + 1..] {
                    owned.both.entry([one, other]).or_default().add(count);
                }
            }
            owned.ranges += 1;
        }
        owned
    }

    /// What either of each two nodes owns.
    fn either(&self) -> BTreeMap<[NodeId; 2], Count> {
        let pairs = self.each.iter().enumerate().flat_map(|(at, (&one, mine))| {
            let others = self.each.iter().skip(at + 1);
            others.map(move |(&other, others)| ([one, other], *mine, *others))
        });
        let either = pairs.map(|(pair, mut count, other)| {
            count.add(other);
            // Counted twice.
            let both = self.both.get(&pair).copied().unwrap_or_default();
            count.leaves -= both.leaves;
            count.ranges -= both.ranges;
            (pair, count)
        });
        either.collect()
    }
}

impl Count {
    fn add(&mut self, more: Self) {
        self.leaves += more.leaves;
        self.ranges += more.ranges;
    }
}

impl TwoLost {
    /// Of any two members of a ring.
    pub(super) fn of(ring: &Ring) -> Self {
        let owned = Owned::of(ring);
        let n = ring.map().replication;
        let losses_that_are_too_many = n - n / 2;
        let lost = match losses_that_are_too_many {
            0 | 1 => owned.either(),
            2 => owned.both,
            _ => BTreeMap::new(),
        };
        let part = |leaves: f64| leaves / f64::from(ring.leaf_bits().count());
        let sum: f64 = lost.values().map(|count| f64::from(count.leaves)).sum();
        let members = u32::try_from(ring.members().len()).unwrap_or(u32::MAX);
        let pairs = f64::from(members) * (f64::from(members) - 1.0) / 2.0;
        let worst = lost.into_iter().max_by_key(|(_, count)| *count);
        let Count { leaves, ranges } = worst.map(|(_, count)| count).unwrap_or_default();
        Self {
            worst: worst.map(|(pair, _)| pair),
            share: part(f64::from(leaves)),
            ranges,
            of_ranges: owned.ranges,
            mean_share: part(sum) / pairs.max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::placement::{Newcomer, grow};
    use quoit_ring::{ClusterMap, Leaf};

    use super::super::super::edits::tests::{first, newcomer};
    use super::*;

    fn ring(replication: u8, members: u64) -> Ring {
        let map = ClusterMap {
            replication,
            members: vec![],
            ..first(3).map
        };
        let newcomers = (1..=members).map(newcomer).collect::<Vec<Newcomer>>();
        Ring::new(&grow(map, newcomers, 1).unwrap()).unwrap()
    }

    /// Leaf by leaf and pair by pair, as the words say it.
    fn naive(ring: &Ring) -> Vec<f64> {
        let bits = ring.leaf_bits();
        let needed = usize::from(ring.map().replication) / 2 + 1;
        let ids: Vec<NodeId> = ring.members().iter().map(|it| it.id).collect();
        let mut shares = Vec::new();
        for (at, one) in ids.iter().enumerate() {
            for other in &ids[at + 1..] {
                let is_short = |leaf: &u32| {
                    let list = ring.list_of_leaf(Leaf(*leaf));
                    list.owners().filter(|it| it != one && it != other).count() < needed
                };
                let short = (0..bits.count()).filter(is_short).count();
                shares.push(f64::from(u32::try_from(short).unwrap()) / f64::from(bits.count()));
            }
        }
        shares
    }

    #[test]
    fn it_is_what_counting_every_leaf_for_every_pair_gives() {
        for (replication, members) in [(1, 3), (2, 4), (3, 3), (3, 6), (4, 6), (5, 6)] {
            let ring = ring(replication, members);
            let (lost, shares) = (TwoLost::of(&ring), naive(&ring));
            let most = shares.iter().copied().fold(0.0, f64::max);
            let count = f64::from(u32::try_from(shares.len()).unwrap());
            let mean = shares.iter().sum::<f64>() / count;
            let what = format!("N {replication}, {members}: {lost:?}, {most}, {mean}");
            assert!((lost.share - most).abs() < 1e-9, "{what}");
            assert!((lost.mean_share - mean).abs() < 1e-9, "{what}");
            assert_eq!(lost.worst.is_some(), most > 0.0, "{what}");
            assert!(lost.ranges <= lost.of_ranges, "{what}");
        }
    }

    #[test]
    fn one_node_alone_is_no_two() {
        let lost = TwoLost::of(&ring(1, 1));
        assert_eq!((lost.worst, lost.ranges), (None, 0));
    }
}
