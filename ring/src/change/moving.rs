//! The arc that moves, cut into ranges of leaves that go from the same owners to the same owners.
//!
//! ```text
//!   source ring    |    a b c     |       b c d        |
//!   target ring    |  a b c  |   a b e    |   b d e    |
//!   ranges         |    1    | 2  |   3   |    4       |
//! ```
//!
//! Left out: who asks for it, and when. It takes a look at each vnode of both rings, so make it once for an epoch.

use core::ops::RangeInclusive;

use smallvec::SmallVec;

use super::known::Known;
use super::rules::RangeChange;
use super::topology::Topology;
use crate::cluster::NodeId;
use crate::placement::Ring;
use crate::token::{Leaf, runs_of};

/// Leaves that move together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovingRange {
    /// From the first to the last; it never wraps around.
    pub leaves: RangeInclusive<Leaf>,
    /// Their owners before.
    pub old: SmallVec<[NodeId; 3]>,
    /// Their owners after.
    pub new: SmallVec<[NodeId; 3]>,
    /// Those of both that are [written off](super::Configuration::without_copies_of).
    pub lost: SmallVec<[NodeId; 3]>,
}

impl MovingRange {
    /// What the rules of a step say about it.
    #[must_use]
    pub fn change(&self) -> RangeChange<'_> {
        RangeChange {
            old: &self.old,
            new: &self.new,
            lost: &self.lost,
        }
    }

    /// Whether `node` is to become an owner of it, and is none by the old list.
    #[must_use]
    pub fn is_newcomer(&self, node: NodeId) -> bool {
        self.new.contains(&node) && !self.old.contains(&node)
    }

    /// Whether `receiver` pulls it, and may do so from `source`.
    #[must_use]
    pub fn is_pulled(&self, receiver: NodeId, source: NodeId) -> bool {
        source != receiver
            && self.old.contains(&source)
            && self.change().receivers().any(|node| node == receiver)
    }
}

impl Known {
    /// The ranges of the arc that moves, ascending, together all of it; none if no change is under way. Neighbours with the
    /// same lists are one.
    ///
    /// ```
    /// use quoit_ring::change::{Arcs, Known};
    /// # use quoit_ring::placement::{grow, join, Newcomer, Ring};
    /// # use quoit_ring::{ClusterId, ClusterMap, Epoch, LeafBits, NodeId, TokenKey};
    /// # let newcomer = |id: u64| Newcomer {
    /// #     id: NodeId(id), name: format!("n{id}"), address: "h:1".into(), zone: "z".into(), weight: 100,
    /// # };
    /// # let empty = ClusterMap {
    /// #     cluster: ClusterId(1), epoch: Epoch(1), token_key: TokenKey([0; 16]),
    /// #     leaf_bits: LeafBits::FULL, replication: 3, members: vec![],
    /// # };
    /// # let map = grow(empty, (1..=3).map(newcomer), 1)?;
    /// # let mut grown = map.clone();
    /// # join(&mut grown, newcomer(4), 2)?;
    /// let first = Known::of(Ring::new(&map)?);
    /// assert!(first.moving().is_empty());
    /// let moving = first.later(first.configuration().begin(grown, Arcs::FULL)?)?.moving();
    /// assert!(moving.iter().any(|range| range.change().receivers().eq([NodeId(4)])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn moving(&self) -> Vec<MovingRange> {
        let removed = &self.configuration().removed;
        let mut ranges = self.topology().moving();
        if !removed.is_empty() {
            for range in &mut ranges {
                let owners = range.old.iter().chain(&range.new);
                let lost = owners.filter(|&node| removed.binary_search(node).is_ok());
                range.lost = lost.copied().collect();
            }
        }
        ranges
    }
}

impl Topology {
    /// The ranges of the arc that moves, whoever is written off.
    pub(super) fn moving(&self) -> Vec<MovingRange> {
        let Some((target, hand)) = self.change() else {
            return Vec::new();
        };
        let arc = hand.arcs().leaves(hand.arc(), self.leaf_bits());
        let Some(last) = arc.end.checked_sub(1).filter(|_| !arc.is_empty()) else {
            return Vec::new();
        };

        // Lists change behind a vnode of either ring, and nowhere else.
        let ends = |ring: &Ring| ring.ranges().map(|range| range.last.0).collect::<Vec<_>>();
        let mut cuts = [ends(self.source()), ends(target), vec![last]].concat();
        cuts.retain(|cut| arc.contains(cut));
        cuts.sort_unstable();
        cuts.dedup();

        let mut ranges: Vec<MovingRange> = Vec::with_capacity(cuts.len());
        let mut first = arc.start;
        for cut in cuts {
            let lists = self.lists_of_leaf(Leaf(cut));
            let range = MovingRange {
                leaves: Leaf(first)..=Leaf(cut),
                old: lists.old_owners().collect(),
                new: lists.new_owners().collect(),
                lost: SmallVec::new(),
            };
            match ranges.last_mut() {
                Some(before) if before.old == range.old && before.new == range.new => {
                    before.leaves = *before.leaves.start()..=Leaf(cut);
                }
                _ => ranges.push(range),
            }
            first = cut + 1;
        }
        ranges
    }
}

/// The leaves of those ranges that are `wanted`, neighbours as one; ascending.
#[must_use]
pub fn runs(
    ranges: &[MovingRange],
    wanted: impl Fn(&MovingRange) -> bool,
) -> Vec<RangeInclusive<Leaf>> {
    let wanted = ranges.iter().filter(|range| wanted(range));
    runs_of(wanted.map(|range| range.leaves.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Arcs;
    use crate::placement::{Newcomer, grow};
    use crate::{ClusterId, ClusterMap, Epoch, LeafBits, TokenKey};

    fn map(members: &[u64], bits: u8) -> ClusterMap {
        let empty = ClusterMap {
            cluster: ClusterId(1),
            epoch: Epoch(1),
            token_key: TokenKey([0; 16]),
            leaf_bits: LeafBits::new(bits).unwrap(),
            replication: 3,
            members: vec![],
        };
        let newcomer = |&id: &u64| Newcomer {
            id: NodeId(id),
            name: format!("n{id}"),
            address: format!("h{id}:1"),
            zone: format!("z{id}"),
            weight: 1,
        };
        grow(empty, members.iter().map(newcomer), 1).unwrap()
    }

    #[test]
    fn the_ranges_of_every_arc_are_the_leaves_that_move_with_their_lists() {
        let first = Known::of(Ring::new(&map(&[1, 2, 3, 4], 11)).unwrap());
        let target = map(&[1, 3, 4, 5, 6], 11);
        let begun = first.configuration().begin(target, Arcs::new(8).unwrap());
        let mut known = first.later(begun.unwrap()).unwrap();
        let mut covered = 0;
        while known.configuration().change.is_some() {
            let topology = known.topology();
            let (ranges, bits) = (known.moving(), topology.leaf_bits());
            for leaf in (0..bits.count()).map(Leaf) {
                let lists = topology.lists_of_leaf(leaf);
                let its: Vec<_> = ranges
                    .iter()
                    .filter(|it| it.leaves.contains(&leaf))
                    .collect();
                assert_eq!(its.len(), usize::from(lists.is_joint()), "{leaf:?}");
                if let [range] = its[..] {
                    assert!(range.old.iter().copied().eq(lists.old_owners()));
                    assert!(range.new.iter().copied().eq(lists.new_owners()));
                    assert_eq!(range.is_newcomer(NodeId(5)), lists.is_newcomer(NodeId(5)));
                    covered += 1;
                }
            }
            let all = runs(&ranges, |_| true);
            assert_eq!(all.len(), 1, "together they are the arc");
            assert!(
                ranges
                    .windows(2)
                    .all(|two| two[0].change() != two[1].change())
            );
            known = known.later(known.configuration().step().unwrap()).unwrap();
        }
        assert_eq!(covered, 1 << 11, "each leaf moves once");
        assert!(known.moving().is_empty());
    }

    #[test]
    fn runs_are_of_the_wanted_ranges_alone() {
        let range = |leaves: RangeInclusive<u32>, new: u64| MovingRange {
            leaves: Leaf(*leaves.start())..=Leaf(*leaves.end()),
            old: [NodeId(1)].into_iter().collect(),
            new: [NodeId(new)].into_iter().collect(),
            lost: SmallVec::new(),
        };
        let ranges = [
            range(0..=3, 2),
            range(4..=4, 3),
            range(5..=6, 2),
            range(7..=9, 2),
        ];
        let of = |node| runs(&ranges, |range| range.is_pulled(NodeId(node), NodeId(1)));
        assert_eq!(of(2), [Leaf(0)..=Leaf(3), Leaf(5)..=Leaf(9)]);
        assert_eq!(of(3), [Leaf(4)..=Leaf(4)]);
        assert!(of(1).is_empty(), "an owner by both lists pulls nothing");
    }
}
