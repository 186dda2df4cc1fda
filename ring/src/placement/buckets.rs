//! Where to start looking for a leaf among sorted positions.
//!
//! ```text
//!   leaf   1011 0110...    its top bits name a bucket
//!   before [0, 0, 1, 3, 3, 4 ...]   positions before each bucket: between two of them, search
//! ```
//!
//! Invariant: `before` never falls, starts at 0 and ends with the number of positions. Positions are kept
//! by the caller and handed in with each question.

use crate::token::{Leaf, LeafBits};

/// An index over sorted positions: about as many buckets as positions, by a leaf's top bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buckets {
    /// A leaf's bucket is the leaf shifted right by this.
    shift: u32,
    /// How many positions lie before each bucket, and before the end of the last.
    before: Vec<u32>,
}

impl Buckets {
    /// The index over `positions`, ascending leaves of a circle cut by `bits`.
    pub(super) fn new(positions: &[Leaf], bits: LeafBits) -> Self {
        debug_assert!(positions.is_sorted(), "positions ascend");
        let bits = u32::from(bits.bits());
        let wanted = positions.len().next_power_of_two().ilog2().min(bits);
        let shift = bits - wanted;

        // Count each bucket's positions one place ahead, then sum up.
        let mut before = vec![0_u32; (1 << wanted) + 1];
        for position in positions {
            before[(position.0 >> shift) as usize + 1] += 1;
        }
        for bucket in 1..before.len() {
            before[bucket] += before[bucket - 1];
        }
        Self { shift, before }
    }

    /// How many of `positions` are before `leaf`: the number of the first that is not.
    pub(super) fn first_from(&self, leaf: Leaf, positions: &[Leaf]) -> usize {
        let bucket = (leaf.0 >> self.shift) as usize;
        let (start, end) = (
            self.before[bucket] as usize,
            self.before[bucket + 1] as usize,
        );
        debug_assert!(end <= positions.len(), "the positions of the index");
        start + positions[start..end].partition_point(|&position| position < leaf)
    }
}
