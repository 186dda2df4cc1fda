//! Randomness: one seed, a stream of its own for each part of the world.
//!
//! ```text
//!   seed --+-- "network" --> rng      a fault that is left out draws nothing from the others' streams,
//!          +-- "disk", 3 --> rng      so a run with fewer faults stays as near to the first as it can
//!          +-- ...
//! ```

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// A seed, from which every part of the world gets its own random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of the part `name`, number `index`.
    #[must_use]
    pub fn stream(self, name: &str, index: u64) -> SmallRng {
        let mut mixed = mix(self.0, index);
        for byte in name.bytes() {
            mixed = mix(mixed, u64::from(byte));
        }
        SmallRng::seed_from_u64(mixed)
    }
}

/// One step of `SplitMix64` (Steele, Lea, Flood 2014) over both.
const fn mix(a: u64, b: u64) -> u64 {
    let z = a.wrapping_add(b).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// True with a probability of `permille` in 1,000.
pub fn happens(rng: &mut SmallRng, permille: u32) -> bool {
    permille > 0 && rng.random_range(0..1_000) < permille
}

/// A delay around `typical` microseconds: most are near it, one in about a hundred far above.
pub fn delay(rng: &mut SmallRng, typical: u64) -> u64 {
    let usual = rng.random_range(typical / 2..=typical + typical / 2);
    if happens(rng, 10) {
        usual + rng.random_range(0..=typical * 20)
    } else {
        usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_differ_by_name_and_index() {
        let draw = |name, index| Seed(7).stream(name, index).random::<u64>();
        assert_eq!(draw("disk", 1), draw("disk", 1));
        assert_ne!(draw("disk", 1), draw("disk", 2));
        assert_ne!(draw("disk", 1), draw("network", 1));
    }
}
