//! Sets of a key's owners, and counts in one list of them or in two.
//!
//! ```text
//!   owners       n1 n2 n3 n4         by their number: those of the old list, then those that are new
//!   old list      x  x  x  .
//!   new list      .  x  x  x
//!   answered      x  .  x  .         old: 2 of 3, new: 1 of 3 --> no majority of each yet
//! ```
//!
//! A machine keeps one set for each thing that an owner can have done, so what it decides is a count of bits.
//!
//! Invariant: there are at most 32 owners, 16 in each list; a number beyond is in no set.

use core::ops::{BitAnd, BitOr, Sub};

/// Some of a key's owners, by number.
///
/// ```
/// use quoit_ring::change::OwnerSet;
///
/// let mut acked = OwnerSet::NONE;
/// acked.insert(0);
/// acked.insert(2);
/// assert!(acked.contains(2) && acked.len() == 2);
/// let silent = OwnerSet::first(3) - acked;
/// assert!(silent.iter().eq([1]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OwnerSet(u32);

impl OwnerSet {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The first `n`, at most 32.
    #[must_use]
    pub const fn first(n: usize) -> Self {
        debug_assert!(n <= 32, "a map allows fewer");
        Self(if n < 32 { (1 << n) - 1 } else { u32::MAX })
    }

    const fn only(owner: usize) -> Self {
        Self(if owner < 32 { 1 << owner } else { 0 })
    }

    /// Whether an owner is in it.
    #[must_use]
    pub const fn contains(self, owner: usize) -> bool {
        self.0 & Self::only(owner).0 != 0
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Adds an owner, if its number is below 32.
    pub const fn insert(&mut self, owner: usize) {
        self.0 |= Self::only(owner).0;
    }

    /// Takes an owner out.
    pub const fn remove(&mut self, owner: usize) {
        self.0 &= !Self::only(owner).0;
    }

    /// Their numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let next = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(next)
        })
    }
}

impl FromIterator<usize> for OwnerSet {
    fn from_iter<I: IntoIterator<Item = usize>>(owners: I) -> Self {
        let mut set = Self::NONE;
        owners.into_iter().for_each(|owner| set.insert(owner));
        set
    }
}

impl BitOr for OwnerSet {
    type Output = Self;

    /// Those in either.
    fn bitor(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl BitAnd for OwnerSet {
    type Output = Self;

    /// Those in both.
    fn bitand(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }
}

impl Sub for OwnerSet {
    type Output = Self;

    /// Those that are not in the other one.
    fn sub(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

/// The lists in which every count must be reached: one, or while a range moves the old and the new one.
///
/// ```
/// use quoit_ring::change::{OwnerSet, Quorums};
///
/// // Owners 0 1 2 before, 1 2 3 after.
/// let both = Quorums::both([0, 1, 2].into_iter().collect(), [1, 2, 3].into_iter().collect());
/// let majority = |n: usize| n / 2 + 1;
/// let answered = [0, 2].into_iter().collect();
/// assert!(!both.reached(answered, majority), "one of the new owners is no majority of them");
/// assert!(both.reached([0, 2, 3].into_iter().collect(), majority));
/// assert!(Quorums::one(3).reached(answered, majority));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorums {
    old: OwnerSet,
    /// Empty unless the range moves.
    new: OwnerSet,
}

impl Quorums {
    /// One list, of the first `n` owners.
    #[must_use]
    pub const fn one(n: usize) -> Self {
        Self {
            old: OwnerSet::first(n),
            new: OwnerSet::NONE,
        }
    }

    /// Two lists.
    #[must_use]
    pub const fn both(old: OwnerSet, new: OwnerSet) -> Self {
        Self { old, new }
    }

    /// All owners.
    #[must_use]
    pub fn all(self) -> OwnerSet {
        self.old | self.new
    }

    /// The lists.
    pub fn lists(self) -> impl Iterator<Item = OwnerSet> {
        let new = (!self.new.is_empty()).then_some(self.new);
        core::iter::once(self.old).chain(new)
    }

    /// Whether of each list, of so many owners, at least as many as `needed` says are in `set`.
    #[must_use]
    pub fn reached(self, set: OwnerSet, needed: impl Fn(usize) -> usize) -> bool {
        self.needs(needed).reached(set)
    }

    /// What it takes, if of a list of so many owners as many as `needed` says are needed.
    #[must_use]
    pub fn needs(self, needed: impl Fn(usize) -> usize) -> Threshold {
        self.needs_of(|list| needed(list.len()))
    }

    /// What it takes, if of a list as many as `needed` says are needed.
    #[must_use]
    pub fn needs_of(self, needed: impl Fn(OwnerSet) -> usize) -> Threshold {
        let of = |list: OwnerSet| match list.len() {
            0 => 0,
            _ => needed(list),
        };
        Threshold {
            quorums: self,
            old: of(self.old),
            new: of(self.new),
        }
    }
}

/// How many owners of each list something takes: acknowledgements of a write, answers to a read.
///
/// ```
/// use quoit_ring::change::{OwnerSet, Quorums};
///
/// let both = Quorums::both([0, 1, 2].into_iter().collect(), [1, 2, 3].into_iter().collect());
/// let needs = both.needs(|n| n / 2 + 1);
/// assert!(needs.reached([1, 2].into_iter().collect()), "they are in either list");
/// assert_eq!(needs.of_any(), 3, "whichever three they are");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    quorums: Quorums,
    old: usize,
    new: usize,
}

impl Threshold {
    /// Whether this set is enough.
    #[must_use]
    pub fn reached(self, set: OwnerSet) -> bool {
        (set & self.quorums.old).len() >= self.old && (set & self.quorums.new).len() >= self.new
    }

    /// Whether one more owner would bring this set nearer: it is of a list that lacks some.
    #[must_use]
    pub fn is_helped_by(self, owner: usize, set: OwnerSet) -> bool {
        let lacks = |list: OwnerSet, needed| list.contains(owner) && (set & list).len() < needed;
        !set.contains(owner)
            && (lacks(self.quorums.old, self.old) || lacks(self.quorums.new, self.new))
    }

    /// The same counts of the same lists, whose owners are numbered otherwise.
    #[must_use]
    pub const fn over(self, quorums: Quorums) -> Self {
        Self { quorums, ..self }
    }

    /// So many owners are enough, whichever they are: of one list as many as it needs.
    #[must_use]
    pub fn of_any(self) -> usize {
        let spare = |list: OwnerSet, needed: usize| list.len().saturating_sub(needed);
        let old = spare(self.quorums.old, self.old);
        let new = spare(self.quorums.new, self.new);
        let spare = if self.quorums.new.is_empty() {
            old
        } else {
            old.min(new)
        };
        self.all().len() - spare
    }

    /// All owners.
    #[must_use]
    pub fn all(self) -> OwnerSet {
        self.quorums.all()
    }

    /// The lists, and how many of each are needed.
    pub fn lists(self) -> impl Iterator<Item = (OwnerSet, usize)> {
        let new = (!self.quorums.new.is_empty()).then_some((self.quorums.new, self.new));
        core::iter::once((self.quorums.old, self.old)).chain(new)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn some() -> impl Strategy<Value = BTreeSet<usize>> {
        proptest::collection::btree_set(0_usize..32, 0..32)
    }

    fn set(of: &BTreeSet<usize>) -> OwnerSet {
        of.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set(one in some(), other in some(), removed in 0_usize..40) {
            let back = |set: OwnerSet| set.iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(back(set(&one)), one.clone());
            prop_assert_eq!(back(set(&one) | set(&other)), &one | &other);
            prop_assert_eq!(back(set(&one) & set(&other)), &one & &other);
            prop_assert_eq!(back(set(&one) - set(&other)), &one - &other);
            prop_assert_eq!((set(&one).len(), set(&one).is_empty()), (one.len(), one.is_empty()));

            let mut fewer = set(&one);
            fewer.remove(removed);
            prop_assert!(!fewer.contains(removed));
            prop_assert_eq!(back(fewer), &one - &BTreeSet::from([removed]));
        }

        #[test]
        fn two_majorities_of_the_same_lists_meet(old in some(), new in some(), a in some(), b in some()) {
            prop_assume!(!old.is_empty() && !new.is_empty());
            let lists = Quorums::both(set(&old), set(&new));
            let majority = |n: usize| n / 2 + 1;
            let (a, b) = (set(&a), set(&b));
            if lists.reached(a, majority) && lists.reached(b, majority) {
                prop_assert!(lists.lists().all(|list| !(a & b & list).is_empty()));
            }
            let needs = lists.needs(majority);
            prop_assert!(a.len() < needs.of_any() || !(a - needs.all()).is_empty() || needs.reached(a));
            for owner in 0..32 {
                let mut more = a;
                more.insert(owner);
                prop_assert!(needs.is_helped_by(owner, a) || needs.reached(more) == needs.reached(a));
            }
        }
    }

    #[test]
    fn all_owners_are_the_first_n() {
        for n in 0..=32 {
            assert!(OwnerSet::first(n).iter().eq(0..n), "{n}");
        }
        assert!(!OwnerSet::first(32).contains(32));
    }
}
