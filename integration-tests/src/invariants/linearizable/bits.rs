//! A set of operations as bits.
//!
//! ```text
//!   operations in the order of their calls   0 1 2 3 4 5 ...
//!   placed                                   1 1 1 1 0 1 0 1 0 0 0 ...
//!                                            '-----' packed: whole words of ones at the front are counted,
//!                                                    whole words of zeros at the end left out
//! ```
//!
//! What has been placed is nearly a prefix, because an operation can be passed over only by what overlaps it.
//! So a packed set is a word or two, however long the history, and a search can remember millions.

const WORD: usize = 64;

/// A set of numbers below a fixed bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
}

/// A [`Bits`] to be remembered: equal for equal sets of the same bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Packed {
    ones: usize,
    words: Box<[u64]>,
}

impl Bits {
    /// The empty set of numbers below `bound`; takes no memory when there are none.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            words: vec![0; bound.div_ceil(WORD)],
        }
    }

    pub(super) fn insert(&mut self, number: usize) {
        self.words[number / WORD] |= 1 << (number % WORD);
    }

    pub(super) fn remove(&mut self, number: usize) {
        self.words[number / WORD] &= !(1 << (number % WORD));
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.words[number / WORD] & (1 << (number % WORD)) != 0
    }

    /// Whether `other`, of the same bound, has all that this set has.
    pub(super) fn is_subset(&self, other: &Self) -> bool {
        let mut pairs = self.words.iter().zip(&other.words);
        pairs.all(|(mine, theirs)| mine & !theirs == 0)
    }

    pub(super) fn packed(&self) -> Packed {
        let ones = self
            .words
            .iter()
            .take_while(|word| **word == u64::MAX)
            .count();
        let rest = &self.words[ones..];
        let zeros = rest.iter().rev().take_while(|word| **word == 0).count();
        Packed {
            ones,
            words: rest[..rest.len() - zeros].into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    fn set(bound: usize, numbers: impl IntoIterator<Item = usize>) -> Bits {
        let mut bits = Bits::new(bound);
        numbers.into_iter().for_each(|number| bits.insert(number));
        bits
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut bits = set(200, [0, 63, 64, 199]);
        assert!(bits.contains(63) && bits.contains(64) && !bits.contains(65));
        bits.remove(63);
        assert_eq!(bits, set(200, [0, 64, 199]));
    }

    #[test]
    fn a_subset_lacks_nothing_of_its_own() {
        let small = set(200, [3, 150]);
        let large = set(200, [3, 77, 150]);
        assert!(small.is_subset(&large) && small.is_subset(&small));
        assert!(!large.is_subset(&small));
        assert!(set(0, []).is_subset(&set(0, [])));
    }

    #[test]
    fn packing_is_small_and_tells_sets_apart() {
        let long = set(10_000, (0..9_000).chain([9_010]));
        assert_eq!(long.packed().words.len(), 1);
        assert_ne!(long.packed(), set(10_000, 0..9_000).packed());
        assert_ne!(set(256, 0..64).packed(), set(256, 0..128).packed());
        assert_ne!(set(256, 0..64).packed(), set(256, 64..128).packed());
        assert_eq!(set(256, [7]).packed(), set(256, [7]).packed());
    }
}
