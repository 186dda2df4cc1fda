//! The generator of the property tests, and the numbers that are set from outside.
//!
//! Source: Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators* (2014).

/// A deterministic generator: small, fast, good enough to choose steps.
pub(crate) struct Rng {
    state: u64,
    /// Whether this case runs alone, to be looked at.
    pub(crate) traced: bool,
}

impl Rng {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self {
            state: seed,
            traced: false,
        }
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; the bias of the remainder does not matter here.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index below `len`.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    pub(crate) const fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the crate takes no settings from its environment, its tests do"
)]
pub(crate) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}
