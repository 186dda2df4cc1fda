//! A newcomer's vnodes during the search for their positions.
//!
//! ```text
//!   ring:          |p0        |p1     |p2            |p3       taken leaves
//!   spots:              x          y                            one per vnode of the newcomer
//!   y covers:    <- - - =====y=====>                            as far back as the level says,
//!                       x before y: its own part stops there    less what its neighbours cover
//! ```
//!
//! Stretches of neighbours overlap; what counts is their union. A vnode's *gain* is what it adds to the
//! union of the others, and, as stretches start in the order in which they end, one stretch itself.
//!
//! Invariant: spots are sorted, distinct and never on a taken leaf.

use super::buckets::Buckets;
use super::level::{Level, Stretch};
use crate::token::{Leaf, LeafBits};

/// A place for a vnode of the newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) leaf: Leaf,
    /// The number of the ring's vnode in whose range it lies.
    gap: usize,
    /// Its distance from the vnode before that.
    into: u32,
}

/// The newcomer's places so far, on a circle of which some leaves are taken.
#[derive(Debug)]
pub(super) struct Spots {
    taken: Vec<Leaf>,
    buckets: Buckets,
    mask: u32,
    sorted: Vec<Spot>,
}

impl Spots {
    /// No places yet; `taken` are the leaves of the ring's vnodes, ascending.
    pub(super) fn new(taken: Vec<Leaf>, bits: LeafBits) -> Self {
        let buckets = Buckets::new(&taken, bits);
        Self {
            taken,
            buckets,
            mask: bits.count() - 1,
            sorted: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn leaves(&self) -> Vec<Leaf> {
        self.sorted.iter().map(|spot| spot.leaf).collect()
    }

    /// The place at `leaf`, or `None` if there is a vnode on it, the ring's or the newcomer's.
    pub(super) fn at(&self, leaf: Leaf) -> Option<Spot> {
        if self
            .sorted
            .binary_search_by_key(&leaf, |spot| spot.leaf)
            .is_ok()
        {
            return None;
        }

        let behind = self.buckets.first_from(leaf, &self.taken);
        if self.taken.get(behind) == Some(&leaf) {
            return None;
        }

        let gap = if behind == self.taken.len() {
            0
        } else {
            behind
        };
        let before = self
            .taken
            .get(gap.wrapping_sub(1))
            .or_else(|| self.taken.last());
        let into = before.map_or(0, |before| self.distance(*before, leaf));
        Some(Spot { leaf, gap, into })
    }

    pub(super) fn insert(&mut self, spot: Spot) {
        debug_assert!(self.at(spot.leaf).is_some(), "a free leaf");
        let at = self.place_of(spot.leaf);
        self.sorted.insert(at, spot);
    }

    pub(super) fn remove(&mut self, number: usize) -> Spot {
        self.sorted.remove(number)
    }

    /// The leaves that a vnode at `spot`, which is not one of these, adds to what these cover.
    pub(super) fn gain(&self, spot: Spot, level: &Level) -> Option<Stretch> {
        let covered = level.covered(spot.gap, spot.into);

        // Only the two neighbours can overlap: stretches start in the order in which they end.
        let at = self.place_of(spot.leaf);
        let next = self.sorted.get(at).or_else(|| self.sorted.first());
        let before = self
            .sorted
            .get(at.wrapping_sub(1))
            .or_else(|| self.sorted.last());
        let free = before.map_or(covered, |before| self.distance(before.leaf, spot.leaf));
        let overlap = next.map_or(0, |next| {
            let ahead = self.distance(spot.leaf, next.leaf);
            level.covered(next.gap, next.into).saturating_sub(ahead)
        });
        let len = covered.min(free).saturating_sub(overlap);
        let last = spot.leaf.0.wrapping_sub(overlap) & self.mask;
        (len > 0).then_some(Stretch { last, len })
    }

    fn place_of(&self, leaf: Leaf) -> usize {
        self.sorted.partition_point(|spot| spot.leaf < leaf)
    }

    fn distance(&self, from: Leaf, to: Leaf) -> u32 {
        to.0.wrapping_sub(from.0) & self.mask
    }
}
