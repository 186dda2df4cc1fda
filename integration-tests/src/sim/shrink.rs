//! Shrinking: of the faults of a failing run, a few that still make it fail.
//!
//! ```text
//!   0 1 2 3 4 5 6 7     fails
//!   0 1 2 3             passes     \  halves, then quarters, ...; when none of them fails,
//!           4 5 6 7     fails      /  all but one of them
//!           4 5         passes
//!               6 7     passes
//!             5 6 7     fails   ... until no single one may be left out
//! ```
//!
//! Pure: whether some of them fail is asked of a closure, at most so many times, and never twice of the same
//! ones. What comes back has failed, or is all that was given. It is minimal in that each single one is needed;
//! a smaller set of others may exist, as faults can stand in for each other.
//!
//! Source: Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input* (2002), section 3.

use std::collections::BTreeSet;

/// What is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// Those that still fail together, in the order in which they were given.
    pub kept: Vec<usize>,
    /// How often the closure was asked.
    pub runs: usize,
    /// Whether none can be left out, by asking; `false` if the runs ended before that was known.
    pub minimal: bool,
}

/// Leaves out as many of `all` as possible so that `fails` still holds of the rest.
///
/// `all` fails together, as the caller has seen. `fails` is asked at most `limit` times; 0 returns `all`.
///
/// ```
/// use quoit_integration_tests::sim::shrink::shrink;
///
/// let all: Vec<usize> = (0..20).collect();
/// let shrunk = shrink(&all, 200, |kept| kept.contains(&3) && kept.contains(&7));
/// assert_eq!(shrunk.kept, [3, 7]);
/// assert!(shrunk.minimal);
/// ```
pub fn shrink(all: &[usize], limit: usize, fails: impl FnMut(&[usize]) -> bool) -> Shrunk {
    let mut search = Search {
        limit,
        runs: 0,
        passed: BTreeSet::new(),
        fails,
    };
    // What fails with no fault at all is the most common and the easiest to read.
    if !all.is_empty() && search.fails(&[]) {
        return search.end(Vec::new());
    }

    let mut kept = all.to_vec();
    let mut parts = 2;
    while kept.len() >= 2 {
        if let Some(part) = search.first_failing(subsets(&kept, parts)) {
            (kept, parts) = (part, 2);
        } else if let Some(rest) = search.first_failing(complements(&kept, parts)) {
            (kept, parts) = (rest, (parts - 1).max(2));
        } else if parts < kept.len() {
            parts = (parts * 2).min(kept.len());
        } else {
            break;
        }
    }

    search.end(kept)
}

struct Search<F> {
    limit: usize,
    runs: usize,
    /// Sets that did not fail.
    passed: BTreeSet<Vec<usize>>,
    fails: F,
}

impl<F: FnMut(&[usize]) -> bool> Search<F> {
    fn first_failing(&mut self, sets: impl Iterator<Item = Vec<usize>>) -> Option<Vec<usize>> {
        let mut sets = sets;
        sets.find(|set| self.fails(set))
    }

    /// Whether they fail together, as far as may be asked.
    fn fails(&mut self, set: &[usize]) -> bool {
        if self.runs == self.limit || self.passed.contains(set) {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(set);
        if !fails {
            self.passed.insert(set.to_vec());
        }
        fails
    }

    fn end(self, kept: Vec<usize>) -> Shrunk {
        debug_assert!(self.runs <= self.limit);
        debug_assert!(!self.passed.contains(&kept), "the result fails");

        let minimal = complements(&kept, kept.len()).all(|rest| self.passed.contains(&rest));
        Shrunk {
            kept,
            runs: self.runs,
            minimal,
        }
    }
}

/// `set` cut into so many parts of about one length.
fn subsets(set: &[usize], parts: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..parts).map(move |part| set[cut(set, parts, part)..cut(set, parts, part + 1)].to_vec())
}

/// `set` without one of so many parts of it.
fn complements(set: &[usize], parts: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..parts).map(move |part| {
        let (before, after) = (cut(set, parts, part), cut(set, parts, part + 1));
        [&set[..before], &set[after..]].concat()
    })
}

/// Where a part begins.
const fn cut(set: &[usize], parts: usize, part: usize) -> usize {
    set.len() * part / parts
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    const ENOUGH: usize = 10_000;

    fn all(count: usize) -> Vec<usize> {
        (0..count).collect()
    }

    fn holds(kept: &[usize], core: &BTreeSet<usize>) -> bool {
        core.iter().all(|one| kept.contains(one))
    }

    #[test]
    fn what_fails_without_any_fault_shrinks_to_none_in_one_run() {
        let shrunk = shrink(&all(9), ENOUGH, |_any| true);
        let expected = Shrunk {
            kept: vec![],
            runs: 1,
            minimal: true,
        };
        assert_eq!(shrunk, expected);
    }

    #[test]
    fn one_needed_fault_is_found_in_about_twice_the_logarithm() {
        let shrunk = shrink(&all(64), ENOUGH, |kept| kept.contains(&41));
        assert_eq!(shrunk.kept, [41]);
        assert!(shrunk.minimal);
        assert!(shrunk.runs <= 1 + 2 * 6, "{} runs", shrunk.runs);
    }

    #[test]
    fn faults_that_are_all_needed_stay() {
        let shrunk = shrink(&all(5), ENOUGH, |kept| kept.len() == 5);
        assert_eq!(shrunk.kept, all(5));
        assert!(shrunk.minimal);
    }

    #[test]
    fn without_a_run_everything_stays_and_nothing_is_claimed() {
        let shrunk = shrink(&all(5), 0, |_any| unreachable!("not to be asked"));
        let expected = Shrunk {
            kept: all(5),
            runs: 0,
            minimal: false,
        };
        assert_eq!(shrunk, expected);
    }

    #[test]
    fn of_no_faults_none_is_left_out() {
        let shrunk = shrink(&[], ENOUGH, |_any| unreachable!("nothing to ask"));
        assert!(shrunk.kept.is_empty() && shrunk.minimal);
    }

    proptest! {
        #[test]
        fn the_one_cause_is_found_exactly(
            count in 1_usize..40,
            core in btree_set(0_usize..40, 1..6),
        ) {
            let core: BTreeSet<usize> = core.into_iter().map(|one| one % count).collect();
            let shrunk = shrink(&all(count), ENOUGH, |kept| holds(kept, &core));
            prop_assert!(shrunk.kept.iter().eq(&core));
            prop_assert!(shrunk.minimal);
        }

        #[test]
        fn of_several_causes_exactly_one_is_left(
            cores in vec(btree_set(0_usize..24, 1..5), 1..5),
        ) {
            let fails = |kept: &[usize]| cores.iter().any(|core| holds(kept, core));
            let shrunk = shrink(&all(24), ENOUGH, fails);
            prop_assert!(cores.iter().any(|core| shrunk.kept.iter().eq(core)));
            prop_assert!(shrunk.minimal);
        }

        /// Leaving out a fault may well make a run fail that passed with it.
        #[test]
        fn whatever_fails_and_passes_the_result_has_failed_and_is_minimal(
            count in 0_usize..12,
            salt: u64,
            rarity in 1_u64..12,
            limit in 0_usize..200,
        ) {
            let whole = all(count);
            let fails = |kept: &[usize]| kept == whole || random(kept, salt).is_multiple_of(rarity);
            let mut asked = Vec::new();
            let shrunk = shrink(&whole, limit, |kept| {
                asked.push(kept.to_vec());
                fails(kept)
            });
            prop_assert!(fails(&shrunk.kept));
            prop_assert!(shrunk.kept.windows(2).all(|two| two[0] < two[1]), "in order");
            prop_assert_eq!(asked.len(), shrunk.runs);
            prop_assert!(shrunk.runs <= limit);
            let distinct: BTreeSet<_> = asked.iter().collect();
            prop_assert_eq!(distinct.len(), asked.len(), "none is asked of twice");
            if shrunk.minimal {
                prop_assert!(complements(&shrunk.kept, shrunk.kept.len()).all(|rest| !fails(&rest)));
            } else {
                prop_assert_eq!(shrunk.runs, limit);
            }
        }
    }

    /// A number for a set, independent of the numbers for other sets.
    fn random(kept: &[usize], salt: u64) -> u64 {
        kept.iter().fold(salt, |hash, &one| {
            let mixed = (hash ^ one as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 31)
        })
    }
}
