//! Several draws out of the one random number that an input brings: `SplitMix64`.
//!
//! Source: Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators* (2014).

/// A generator for one input.
#[derive(Debug)]
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0 and small: the bias of the remainder does not matter here.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        debug_assert!(bound > 0, "there is something to draw");
        usize::try_from(self.next() % bound as u64).unwrap_or_default()
    }
}
