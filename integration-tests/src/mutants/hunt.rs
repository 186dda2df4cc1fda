//! A hunt: seeds from 1 until the named invariant is violated.
//!
//! ```text
//!   seed 1, 2, 3, ...  --> the named invariant is violated: caught, in this seed
//!                     '--> another one is: noted, and the hunt goes on
//! ```

use serde::{Deserialize, Serialize};

use crate::sim::campaign::Judged;

/// The result of a hunt so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunt {
    /// The invariant that must be violated.
    pub invariant: String,
    /// Seeds run, from 1.
    pub seeds: u64,
    /// The first seed in which it was violated.
    pub caught: Option<u64>,
    /// The first violation of it, in words.
    pub what: String,
    /// Other invariants that were violated until then, in the order of their first seed.
    pub others: Vec<Sighting>,
}

/// The first violation of another invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The invariant.
    pub invariant: String,
    /// The first seed in which it was violated.
    pub seed: u64,
}

impl Hunt {
    /// A hunt that has not begun.
    #[must_use]
    pub fn new(invariant: &str) -> Self {
        Self {
            invariant: invariant.to_owned(),
            seeds: 0,
            caught: None,
            what: String::new(),
            others: Vec::new(),
        }
    }

    /// The run of a test, which takes no seeds: caught if it `failed`.
    #[must_use]
    pub fn of_test(name: &str, failed: bool) -> Self {
        Self {
            caught: failed.then_some(0),
            ..Self::new(name)
        }
    }

    /// Adds the run of the next seed.
    pub fn add(&mut self, run: &Judged) {
        self.seeds += 1;
        debug_assert_eq!(run.seed, self.seeds, "seeds come in order, from 1");

        for found in &run.found {
            if found.invariant == self.invariant {
                if self.caught.is_none() {
                    self.caught = Some(run.seed);
                    self.what.clone_from(&found.what);
                }
            } else if !self.knows(found.invariant) {
                self.others.push(Sighting {
                    invariant: found.invariant.to_owned(),
                    seed: run.seed,
                });
            }
        }
    }

    fn knows(&self, invariant: &str) -> bool {
        self.others.iter().any(|other| other.invariant == invariant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::campaign::Finding;

    fn run(seed: u64, invariants: &[&'static str]) -> Judged {
        let found = |&invariant: &&'static str| Finding {
            invariant,
            what: format!("in seed {seed}"),
            timeline: String::new(),
        };
        Judged {
            found: invariants.iter().map(found).collect(),
            ..Judged::empty(seed)
        }
    }

    #[test]
    fn only_the_named_invariant_catches() {
        let mut hunt = Hunt::new("acked-never-lost");
        hunt.add(&run(1, &[]));
        hunt.add(&run(2, &["never-backwards"]));
        assert_eq!(hunt.caught, None);

        hunt.add(&run(
            3,
            &["never-backwards", "acked-never-lost", "convergence"],
        ));
        assert_eq!((hunt.caught, hunt.seeds), (Some(3), 3));
        assert_eq!(hunt.what, "in seed 3");
        let others = hunt.others.iter();
        let others: Vec<_> = others.map(|o| (o.invariant.as_str(), o.seed)).collect();
        assert_eq!(others, [("never-backwards", 2), ("convergence", 3)]);
    }
}
