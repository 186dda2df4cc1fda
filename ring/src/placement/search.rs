//! The search for a newcomer's positions: one vnode at a time moves to the best of some candidates.
//!
//! ```text
//!   scatter:   one vnode at random in each of k equal parts of the circle
//!   then, 8 x k times:
//!              take one vnode out        what it covered goes back to the victims
//!              price 33 places           its own, 8 anywhere, 16 before an overfull node, 8 near by
//!              put it where the cost is least
//! ```
//!
//! The cost is the sum of the squares of how far each member is off its fair share, for N copies, plus
//! the same for fewer copies with less weight. The latter is for what is still to come: the last on
//! a preference list is the one that the next newcomer can relieve, and a new zone cuts the lists short. It is
//! also what places the first members, while there are no more of them than copies.
//!
//! Bound: 8 moves per vnode, 33 places per move, a few runs per place: 10 to 50 ms for 150 vnodes.
//! Every step lowers the cost or leaves it, so the last state is the best one.

use super::level::{Level, Stretch};
use super::seed::SplitMix;
use super::spots::{Spot, Spots};
use crate::token::{Leaf, LeafBits};

/// Moves per vnode. Twice as many gain a tenth of a percent at 100 members, for twice the time.
const PASSES: usize = 8;
/// Places tried per move: anywhere on the circle,
const ANYWHERE: usize = 8;
/// where an overfull member is the victim,
const OVERFULL: usize = 16;
/// and near the old place, to share a range more finely.
const NEAR: usize = 8;
/// Runs that compete to be the one with the fullest victim.
const RIVALS: usize = 6;
/// The farthest move to a near place is below 2 to this.
const NEAR_BITS: u32 = 12;

/// A newcomer's places and what they do to the load at each level.
#[derive(Debug)]
pub(super) struct Search {
    spots: Spots,
    levels: Vec<Level>,
    random: SplitMix,
    leaves: u32,
}

impl Search {
    /// A search among the leaves that are not `taken`; the first of `levels` shows which members are overfull.
    pub(super) fn new(taken: Vec<Leaf>, bits: LeafBits, levels: Vec<Level>, seed: u64) -> Self {
        let (random, leaves) = (SplitMix::new(seed), bits.count());
        Self {
            spots: Spots::new(taken, bits),
            levels,
            random,
            leaves,
        }
    }

    /// Finds places for `vnodes` vnodes, at least one and at most the free leaves; ascending.
    pub(super) fn run(mut self, vnodes: u32) -> Vec<Leaf> {
        self.scatter(vnodes);
        if !self.levels.is_empty() {
            for _ in 0..PASSES * self.spots.len() {
                self.relocate();
            }
        }
        self.spots.leaves()
    }

    fn scatter(&mut self, vnodes: u32) {
        debug_assert!(vnodes > 0, "a member has a vnode");
        let part = self.leaves / vnodes;
        for i in 0..vnodes {
            let mut leaf = i * part + self.random.below(part);
            let spot = loop {
                match self.spots.at(Leaf(leaf)) {
                    Some(spot) => break spot,
                    None => leaf = (leaf + 1) & (self.leaves - 1),
                }
            };
            self.insert(spot);
        }
    }

    /// Moves a vnode to the best of the places tried, its old one among them.
    fn relocate(&mut self) {
        let old = self.spots.remove(self.random.index(self.spots.len()));
        self.each_gain(old, Level::give_back);

        let mut best = (self.price(old), old);
        for attempt in 0..ANYWHERE + OVERFULL + NEAR {
            let leaf = self.candidate(attempt, old.leaf);
            if let Some(spot) = self.spots.at(leaf) {
                let price = self.price(spot);
                if price < best.0 {
                    best = (price, spot);
                }
            }
        }

        self.insert(best.1);
    }

    fn candidate(&mut self, attempt: usize, old: Leaf) -> Leaf {
        if attempt < ANYWHERE {
            Leaf(self.random.below(self.leaves))
        } else if attempt < ANYWHERE + OVERFULL {
            self.before_overfull()
        } else {
            self.near(old)
        }
    }

    /// A leaf in or just behind a run whose victim is the fullest of a few.
    fn before_overfull(&mut self) -> Leaf {
        let level = &self.levels[0];
        let mut best = (f64::NEG_INFINITY, 0);
        for _ in 0..RIVALS {
            let run = self.random.index(level.runs());
            let fullness = level.victim_fullness(run);
            if fullness > best.0 {
                best = (fullness, run);
            }
        }

        let run = level.run(best.1);
        let first = run.last.wrapping_sub(run.len).wrapping_add(1);
        Leaf(first.wrapping_add(self.random.below(2 * run.len)) & (self.leaves - 1))
    }

    /// A leaf at most 2^[`NEAR_BITS`] away, small distances as likely as large ones.
    fn near(&mut self, leaf: Leaf) -> Leaf {
        let scale = self.random.below(NEAR_BITS + 1);
        let distance = 1 + self.random.below(1 << scale);
        let moved = match self.random.below(2) {
            0 => leaf.0.wrapping_add(distance),
            _ => leaf.0.wrapping_sub(distance),
        };
        Leaf(moved & (self.leaves - 1))
    }

    fn insert(&mut self, spot: Spot) {
        self.each_gain(spot, Level::take);
        self.spots.insert(spot);
    }

    /// What the cost would change by with a vnode more, at `spot`.
    fn price(&mut self, spot: Spot) -> f64 {
        self.each_gain(spot, |level, stretch| {
            let change = level.take(stretch);
            level.give_back(stretch);
            change
        })
    }

    /// Applies `change` to each level with what `spot` adds to the coverage there; sums up its results.
    fn each_gain(&mut self, spot: Spot, change: impl Fn(&mut Level, Stretch) -> f64) -> f64 {
        let mut total = 0.0;
        for level in &mut self.levels {
            if let Some(stretch) = self.spots.gain(spot, level) {
                total += change(level, stretch);
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ClusterId, ClusterMap, Epoch, NodeId};
    use crate::placement::walk::circle;
    use crate::placement::{Newcomer, Ring, cover, grow};
    use crate::token::TokenKey;

    fn newcomer(id: u64, zones: u32, random: &mut SplitMix) -> Newcomer {
        let zone = random.below(zones).to_string();
        let weight = 50 + random.below(150);
        Newcomer {
            id: NodeId(id),
            name: format!("n{id}"),
            address: "h:1".into(),
            zone,
            weight,
        }
    }

    /// 1 to 8 members in 1 to 5 zones on 2^11 leaves.
    fn random_map(random: &mut SplitMix) -> (ClusterMap, Newcomer) {
        let empty = ClusterMap {
            cluster: ClusterId(1),
            epoch: Epoch(1),
            token_key: TokenKey([0; 16]),
            leaf_bits: LeafBits::new(11).unwrap(),
            replication: 1 + u8::try_from(random.below(5)).unwrap(),
            members: vec![],
        };
        let zones = 1 + random.below(5);
        let members = 1 + u64::from(random.below(8));
        let first = (0..members)
            .map(|id| newcomer(id, zones, random))
            .collect::<Vec<_>>();
        let last = newcomer(members, zones, random);
        (grow(empty, first, random.next()).unwrap(), last)
    }

    /// Leaves held with `copies` of each key, counted on a ring of that many.
    fn recount(map: &ClusterMap, copies: u32) -> Vec<u32> {
        let map = ClusterMap {
            replication: u8::try_from(copies).unwrap(),
            ..map.clone()
        };
        let ring = Ring::new(&map).unwrap();
        let held = |id| {
            ring.ranges_of(id)
                .map(|range| range.leaves(map.leaf_bits))
                .sum()
        };
        map.members.iter().map(|member| held(member.id)).collect()
    }

    #[test]
    fn loads_kept_move_by_move_are_those_of_the_finished_ring() {
        let mut levels_seen = 0;
        for seed in 0..150 {
            let (mut map, newcomer) = random_map(&mut SplitMix::new(seed));
            let circle = circle(&map);
            let taken = circle.iter().map(|vnode| vnode.leaf).collect();
            let levels = cover::levels(&map, &circle, &newcomer.clone().into_member(vec![]));
            let mut search = Search::new(taken, map.leaf_bits, levels, seed);
            search.scatter(16);
            for _ in 0..if search.levels.is_empty() { 0 } else { 40 } {
                search.relocate();
            }
            map.members
                .push(newcomer.into_member(search.spots.leaves()));
            for level in &search.levels {
                let held = &level.loads().held;
                let copies = held.iter().sum::<u32>() / map.leaf_bits.count();
                assert_eq!(*held, recount(&map, copies), "seed {seed}");
                levels_seen += 1;
            }
        }
        assert!(levels_seen > 200, "{levels_seen}");
    }
}
