//! The keys of some leaves, here and there, side by side: which of them differ.
//!
//! ```text
//!   here     a 1   b 2         d 4   e 5(dead)
//!   there    a 1   b 7   c 3
//!   differ         b     c     d
//! ```
//!
//! Both sides come in pages, in the order of leaves and then of keys, and only as much of them is kept as has no counterpart
//! yet. A key that is dead on one side and not known on the other is the same on both: neither has a value.
//!
//! Invariant: a page goes on behind the one before, within the leaves that were asked for, or the sync fails.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use quoit_ring::wire::KeyPage;
use quoit_ring::{Leaf, Sum};

use crate::storage::LeafPage;

/// Where a key falls.
pub(super) type LeafOf = Arc<dyn Fn(&[u8]) -> Leaf + Send + Sync>;

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Differing {
    pub(super) key: Bytes,
    /// The record here, as it is stored; none if there is no row.
    pub(super) own: Option<Bytes>,
}

/// A page that does not go on behind the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfOrder;

/// Where the next page of one side begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// Behind this key, or at the beginning.
    Behind(Option<Bytes>),
    /// It is being read.
    Asked(Option<Bytes>),
    /// That was the last one.
    Over,
}

#[derive(Debug)]
struct Here {
    key: Bytes,
    sum: Sum,
    /// None if it cannot be read.
    record: Option<Bytes>,
}

/// The two sides.
pub(super) struct Pairing {
    leaf_of: LeafOf,
    leaves: Vec<u32>,
    here: VecDeque<Here>,
    there: VecDeque<(Bytes, u64)>,
    next_here: Next,
    next_there: Next,
    /// Rows here that cannot be read.
    damaged: u64,
}

impl Pairing {
    /// Of these leaves, which ascend.
    pub(super) const fn new(leaves: Vec<u32>, leaf_of: LeafOf) -> Self {
        Self {
            leaf_of,
            leaves,
            here: VecDeque::new(),
            there: VecDeque::new(),
            next_here: Next::Behind(None),
            next_there: Next::Behind(None),
            damaged: 0,
        }
    }

    pub(super) fn leaves(&self) -> &[u32] {
        &self.leaves
    }

    /// Behind which key to read here, once more is needed.
    pub(super) fn wants_here(&mut self) -> Option<Option<Bytes>> {
        wants(self.here.is_empty(), &mut self.next_here)
    }

    /// Behind which key to ask there, once more is needed.
    pub(super) fn wants_there(&mut self) -> Option<Option<Bytes>> {
        wants(self.there.is_empty(), &mut self.next_there)
    }

    /// A page was read here.
    pub(super) fn read_here(&mut self, page: LeafPage) -> Result<(), OutOfOrder> {
        let after = asked(&self.next_here)?;
        self.next_here = self.behind(after, page.next)?;
        let rows = page.rows.into_iter().map(|row| Here {
            key: row.key,
            sum: row.sum,
            record: row.record,
        });
        self.here.extend(rows);
        Ok(())
    }

    /// A page has come from there.
    pub(super) fn read_there(&mut self, page: KeyPage) -> Result<(), OutOfOrder> {
        let after = asked(&self.next_there)?;
        let mut before = after.clone();
        for (key, _) in &page.rows {
            let is_behind = before
                .as_ref()
                .is_none_or(|it| self.place(it) < self.place(key));
            let (leaf, _) = self.place(key);
            if !is_behind || self.leaves.binary_search(&leaf.0).is_err() {
                return Err(OutOfOrder);
            }
            before = Some(key.clone());
        }
        self.next_there = self.behind(after, page.next)?;
        self.there.extend(page.rows);
        Ok(())
    }

    /// The next key that differs; none if another page is needed first, or all are compared.
    pub(super) fn next(&mut self) -> Option<Differing> {
        loop {
            let is_needed = |is_empty, next: &Next| is_empty && *next != Next::Over;
            if is_needed(self.here.is_empty(), &self.next_here)
                || is_needed(self.there.is_empty(), &self.next_there)
            {
                return None;
            }
            let [here, there] = [
                self.here.front().map(|row| self.place(&row.key)),
                self.there.front().map(|(key, _)| self.place(key)),
            ];
            let (takes_here, takes_there) = match (here, there) {
                (None, None) => return None,
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(here), Some(there)) => (here <= there, there <= here),
            };

            let here = takes_here.then(|| self.here.pop_front()).flatten();
            let there = takes_there.then(|| self.there.pop_front()).flatten();
            if let Some(differing) = self.compare(here, there) {
                return Some(differing);
            }
        }
    }

    /// Whether all keys of both sides are compared.
    pub(super) fn is_over(&self) -> bool {
        let is_over = |is_empty, next: &Next| is_empty && *next == Next::Over;
        is_over(self.here.is_empty(), &self.next_here)
            && is_over(self.there.is_empty(), &self.next_there)
    }

    /// How many rows here could not be read.
    pub(super) const fn damaged(&self) -> u64 {
        self.damaged
    }

    fn compare(&mut self, here: Option<Here>, there: Option<(Bytes, u64)>) -> Option<Differing> {
        let of_there = there.as_ref().map_or(0, |&(_, sum)| sum);
        let Some(here) = here else {
            let (key, _) = there?;
            return Some(Differing { key, own: None });
        };
        if here.record.is_none() {
            self.damaged += 1;
            return None; // what it would be joined with is not known
        }
        let differs = here.sum.short() != of_there;
        differs.then_some(Differing {
            key: here.key,
            own: here.record,
        })
    }

    /// The order of keys.
    fn place<'a>(&self, key: &'a [u8]) -> (Leaf, &'a [u8]) {
        ((self.leaf_of)(key), key)
    }

    fn behind(&self, after: Option<Bytes>, next: Option<Bytes>) -> Result<Next, OutOfOrder> {
        let Some(next) = next else {
            return Ok(Next::Over);
        };
        let (leaf, _) = self.place(&next);
        let is_wanted = self.leaves.binary_search(&leaf.0).is_ok();
        let goes_on = after.is_none_or(|after| self.place(&after) < self.place(&next));
        (goes_on && is_wanted)
            .then_some(Next::Behind(Some(next)))
            .ok_or(OutOfOrder)
    }
}

/// Takes where to go on, if that is known and the rows at hand are used up.
fn wants(is_empty: bool, next: &mut Next) -> Option<Option<Bytes>> {
    match next {
        Next::Behind(after) if is_empty => {
            let after = after.take();
            *next = Next::Asked(after.clone());
            Some(after)
        }
        _ => None,
    }
}

fn asked(next: &Next) -> Result<Option<Bytes>, OutOfOrder> {
    match next {
        Next::Asked(after) => Ok(after.clone()),
        Next::Behind(_) | Next::Over => Err(OutOfOrder),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::storage::LeafRow;

    /// A key says its leaf.
    fn leaf_of(key: &[u8]) -> Leaf {
        Leaf(u32::from(key[0]))
    }

    fn key(leaf: u8, number: u8) -> Bytes {
        Bytes::copy_from_slice(&[leaf, number])
    }

    /// Rows by leaf and number, with their sums.
    type Rows = BTreeMap<(u8, u8), u64>;

    fn rows_behind(
        rows: &Rows,
        after: Option<&Bytes>,
        most: usize,
    ) -> (Vec<(Bytes, u64)>, Option<Bytes>) {
        let rows = rows
            .iter()
            .map(|(&(leaf, number), &sum)| (key(leaf, number), sum));
        let mut behind = rows.filter(|(key, _)| after.is_none_or(|after| after < key));
        let page: Vec<_> = behind.by_ref().take(most).collect();
        let next = behind
            .next()
            .and_then(|_more| page.last().map(|(key, _)| key.clone()));
        (page, next)
    }

    fn compare(here: &Rows, there: &Rows, pages: (usize, usize)) -> Vec<Differing> {
        let mut pairing = Pairing::new((0..4).collect(), Arc::new(leaf_of));
        let mut found = Vec::new();
        while !pairing.is_over() {
            if let Some(after) = pairing.wants_here() {
                let (rows, next) = rows_behind(here, after.as_ref(), pages.0);
                let row = |(key, sum): (Bytes, u64)| LeafRow {
                    record: Some(key.clone()),
                    key,
                    sum: Sum(sum.into()),
                };
                let rows = rows.into_iter().map(row).collect();
                pairing.read_here(LeafPage { rows, next }).unwrap();
            }
            if let Some(after) = pairing.wants_there() {
                let (rows, next) = rows_behind(there, after.as_ref(), pages.1);
                let rows = rows.into_iter().filter(|&(_, sum)| sum != 0).collect();
                pairing.read_there(KeyPage { rows, next }).unwrap();
            }
            found.extend(std::iter::from_fn(|| pairing.next()));
        }
        found
    }

    proptest! {
        #[test]
        fn exactly_the_keys_differ_whose_sums_do_however_the_pages_are_cut(
            here in btree_map((0_u8..4, 0_u8..6), 0_u64..3, 0..20),
            there in btree_map((0_u8..4, 0_u8..6), 0_u64..3, 0..20),
            pages in (1_usize..5, 1_usize..5),
        ) {
            let found = compare(&here, &there, pages);
            let sum = |rows: &Rows, at| rows.get(&at).copied().unwrap_or_default();
            let all = (0..4).flat_map(|leaf| (0..6).map(move |number| (leaf, number)));
            let differ = all.filter(|&at| sum(&here, at) != sum(&there, at));
            let expected: Vec<_> = differ.map(|at| {
                let key = key(at.0, at.1);
                Differing { own: here.contains_key(&at).then(|| key.clone()), key }
            }).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn pages_that_do_not_go_on_are_refused() {
        let page = |keys: &[(u8, u8)], next: Option<(u8, u8)>| KeyPage {
            rows: keys
                .iter()
                .map(|&(leaf, number)| (key(leaf, number), 1))
                .collect(),
            next: next.map(|(leaf, number)| key(leaf, number)),
        };
        let refused = [
            page(&[(1, 1), (1, 1)], None),
            page(&[(1, 2), (1, 1)], None),
            page(&[(2, 0)], None), // not asked for
        ];
        for page in refused {
            let mut pairing = Pairing::new(vec![1, 3], Arc::new(leaf_of));
            assert_eq!(
                pairing.read_there(page.clone()),
                Err(OutOfOrder),
                "not asked"
            );
            assert_eq!(pairing.wants_there(), Some(None));
            assert_eq!(pairing.read_there(page), Err(OutOfOrder));
        }

        let mut pairing = Pairing::new(vec![1, 3], Arc::new(leaf_of));
        assert_eq!(pairing.wants_there(), Some(None));
        pairing.read_there(page(&[], Some((1, 4)))).unwrap();
        assert_eq!(pairing.wants_there(), Some(Some(key(1, 4))));
        let back = page(&[], Some((1, 4)));
        assert_eq!(pairing.read_there(back), Err(OutOfOrder), "the same again");
        let mut pairing = Pairing::new(vec![1, 3], Arc::new(leaf_of));
        assert_eq!(pairing.wants_there(), Some(None));
        let elsewhere = page(&[], Some((2, 4)));
        assert_eq!(
            pairing.read_there(elsewhere),
            Err(OutOfOrder),
            "not asked for"
        );
    }

    #[test]
    fn a_row_that_cannot_be_read_is_counted_and_left() {
        let mut pairing = Pairing::new(vec![1], Arc::new(leaf_of));
        assert_eq!(
            (pairing.wants_here(), pairing.wants_there()),
            (Some(None), Some(None))
        );
        let row = LeafRow {
            key: key(1, 1),
            sum: Sum(9),
            record: None,
        };
        let page = LeafPage {
            rows: vec![row],
            next: None,
        };
        pairing.read_here(page).unwrap();
        let page = KeyPage {
            rows: vec![(key(1, 1), 5)],
            next: None,
        };
        pairing.read_there(page).unwrap();
        assert_eq!(pairing.next(), None);
        assert!(pairing.is_over() && pairing.damaged() == 1);
    }
}
