//! Numbers that look random and follow from a seed alone.
//!
//! The search for places must come out the same wherever it runs, so it brings its own generator. It is
//! no source of secrets, and a seed is any number.
//!
//! Source: `SplitMix64`, from Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*
//! (2014).

/// A stream of numbers; equal seeds make equal streams, on every platform.
#[derive(Debug, Clone)]
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0 if that is 0; even enough for bounds far below 2^32.
    pub(super) const fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * bound as u64) >> 32) as u32
    }

    /// A place in a list of `len` items, at most 2^20 of them; 0 if it is empty.
    #[expect(clippy::cast_possible_truncation, reason = "lists of vnodes")]
    pub(super) const fn index(&mut self, len: usize) -> usize {
        self.below(len as u32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        let mut random = SplitMix::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = SplitMix::new(1);
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert_eq!(
            (random.below(1), random.below(0), random.index(0)),
            (0, 0, 0)
        );
    }
}
