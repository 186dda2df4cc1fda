//! The configurations that a search has been to, so that it goes nowhere twice.
//!
//! ```text
//!   (known operations placed, state)  ->  { unknown operations spent }, { .. }, ..   none within another
//! ```
//!
//! However the search came to a configuration, what is possible from there is the same (Lowe 2017, 4). And
//! more: a search that has spent fewer unknown operations on the same can do all that the other can, for none has
//! to spend one. So a configuration is new only if none with the same operations and state, and a part of
//! its unknown ones, came before. That keeps a history with a hundred unknown outcomes from meaning 2^100 sets.

use std::collections::HashMap;
use std::hash::Hash;

use super::bits::{Bits, Packed};

/// The most sets kept for the same operations and state. More would cost more to look through than they save.
const SETS: usize = 64;

/// What has been visited. Grows by at most one set for each step of the search.
#[derive(Debug)]
pub(super) struct Seen<S> {
    spent: HashMap<(Packed, Option<S>), Vec<Bits>>,
}

impl<S: Eq + Hash> Seen<S> {
    pub(super) fn new() -> Self {
        Self {
            spent: HashMap::new(),
        }
    }

    /// Remembers a configuration, without its state if that does not matter; `false` if what is possible from there has been tried already.
    pub(super) fn insert(&mut self, placed: &Bits, state: Option<S>, spent: &Bits) -> bool {
        let known = self.spent.entry((placed.packed(), state)).or_default();
        if known.iter().any(|before| before.is_subset(spent)) {
            return false;
        }
        known.retain(|before| !spent.is_subset(before));
        if known.len() < SETS {
            known.push(spent.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Bits, Seen};

    fn set(numbers: &[usize]) -> Bits {
        let mut bits = Bits::new(10);
        numbers.iter().for_each(|number| bits.insert(*number));
        bits
    }

    #[test]
    fn spending_more_for_the_same_is_nothing_new() {
        let mut seen = Seen::new();
        assert!(seen.insert(&set(&[1]), Some('a'), &set(&[3])));
        assert!(!seen.insert(&set(&[1]), Some('a'), &set(&[3])));
        assert!(!seen.insert(&set(&[1]), Some('a'), &set(&[3, 4])));
        assert!(
            seen.insert(&set(&[1]), Some('a'), &set(&[4])),
            "neither is within the other"
        );
        assert!(
            seen.insert(&set(&[1]), Some('b'), &set(&[3])),
            "another state"
        );
        assert!(
            seen.insert(&set(&[1, 2]), Some('a'), &set(&[3])),
            "more is placed"
        );
        assert!(
            seen.insert(&set(&[1]), Some('a'), &set(&[])),
            "less is spent"
        );
        assert!(!seen.insert(&set(&[1]), Some('a'), &set(&[4])));
    }
}
