//! A set of a key's owners, by their place among the targets of an operation.
//!
//! A machine keeps one set for each thing that an owner can have done, so what it decides is a count of bits.
//!
//! Invariant: there are at most 32 owners; a place beyond is in no set.

use core::ops::{BitOr, Sub};

/// Some of a key's owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Owners(u32);

impl Owners {
    pub(super) const NONE: Self = Self(0);

    /// The first `n`.
    pub(super) const fn first(n: usize) -> Self {
        debug_assert!(n <= 32, "a map allows fewer");
        Self(if n < 32 { (1 << n) - 1 } else { u32::MAX })
    }

    const fn only(owner: usize) -> Self {
        Self(if owner < 32 { 1 << owner } else { 0 })
    }

    pub(super) const fn contains(self, owner: usize) -> bool {
        self.0 & Self::only(owner).0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(super) const fn insert(&mut self, owner: usize) {
        self.0 |= Self::only(owner).0;
    }

    pub(super) const fn remove(&mut self, owner: usize) {
        self.0 &= !Self::only(owner).0;
    }

    /// In the order of their places.
    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let next = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(next)
        })
    }
}

impl BitOr for Owners {
    type Output = Self;

    fn bitor(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl Sub for Owners {
    type Output = Self;

    fn sub(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            one in proptest::collection::btree_set(0_usize..32, 0..32),
            other in proptest::collection::btree_set(0_usize..32, 0..32),
            removed in 0_usize..40,
        ) {
            let set = |of: &BTreeSet<usize>| {
                let mut set = Owners::NONE;
                of.iter().for_each(|&owner| set.insert(owner));
                set
            };
            let both = |set: Owners| set.iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(both(set(&one)), one.clone());
            prop_assert_eq!(both(set(&one) | set(&other)), &one | &other);
            prop_assert_eq!(both(set(&one) - set(&other)), &one - &other);
            prop_assert_eq!((set(&one).len(), set(&one).is_empty()), (one.len(), one.is_empty()));

            let mut fewer = set(&one);
            fewer.remove(removed);
            prop_assert!(!fewer.contains(removed));
            prop_assert_eq!(both(fewer), &one - &BTreeSet::from([removed]));
        }
    }

    #[test]
    fn all_owners_are_the_first_n() {
        for n in 0..=32 {
            assert!(Owners::first(n).iter().eq(0..n), "{n}");
        }
        assert!(!Owners::first(32).contains(32), "the first hint's number");
    }
}
