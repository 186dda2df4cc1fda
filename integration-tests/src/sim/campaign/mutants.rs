//! Which invariant has to notice which mutant.
//!
//! ```text
//!   mutant chosen --> seed 1, 2, 3, ... --> the named invariant is violated: caught, in so many seeds
//!                                      '--> another one is: told, and the hunt goes on
//! ```
//!
//! The invariant is named beforehand from what the defect breaks. A mutant that only another invariant notices
//! shows that something is not understood, either about the defect or about the checker, and fails the hunt.
//!
//! Source: `DeMillo`, Lipton and Sayward, *Hints on Test Data Selection* (1978).

use quoit_ring::mutant::Mutant;

use super::judged::Judged;

/// The invariant that has to notice `mutant`.
#[must_use]
pub const fn named(mutant: Mutant) -> &'static str {
    match mutant {
        Mutant::AckBeforePersist
        | Mutant::FailedCommitIsAcked
        | Mutant::BatchForgetsEarlier
        | Mutant::ReadErrorIsNotFound
        | Mutant::TombstoneDropped
        | Mutant::RowStaysStale
        | Mutant::WipedNodeKeepsItsId
        | Mutant::HintCountsAsOwner
        | Mutant::QuorumOfOne => "acked-never-lost",
        Mutant::AnswerCountedTwice | Mutant::LateAnswerCounts => "acked-by-enough",
        Mutant::FailedReplicaIsNotReplaced => "one-may-fail",
        Mutant::RepairIsNotSynced => "synced-before-told",
        Mutant::SupersededCountsAsAck => "later-wins",
        Mutant::MergeKeepsOneSibling
        | Mutant::RetryMintsNewDot
        | Mutant::ContextCoversTooMuch
        | Mutant::PreviousDotForgotten => "exact-siblings",
        Mutant::ReadWithoutWriteBack | Mutant::WriteBackDropsTombstones => "never-backwards",
        Mutant::RepairSkipsSums => "convergence",
        Mutant::DigestIgnoresValue => "same-dot",
        Mutant::FailedSaysNotStored => "no-means-no",
        Mutant::HintOverwrites | Mutant::HintLostOnTheWay | Mutant::HintRemovedWithMore => {
            "hints-arrive"
        }
    }
}

/// What a hunt has come to.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// Which mutant.
    pub mutant: Mutant,
    /// Seeds run, from 1.
    pub seeds: u64,
    /// The seed in which its named invariant was violated, if it was.
    pub caught: Option<u64>,
    /// What the violated invariant says there.
    pub what: String,
    /// Other invariants that were violated until then, each with the first seed, in that order.
    pub others: Vec<(&'static str, u64)>,
}

impl Hunt {
    /// A hunt that has not begun.
    #[must_use]
    pub const fn new(mutant: Mutant) -> Self {
        Self {
            mutant,
            seeds: 0,
            caught: None,
            what: String::new(),
            others: Vec::new(),
        }
    }

    /// Notes the run of the next seed.
    pub fn note(&mut self, run: &Judged) {
        self.seeds += 1;
        for found in &run.found {
            if found.invariant == named(self.mutant) {
                self.caught = self.caught.or(Some(run.seed));
                self.what.clone_from(&found.what);
            } else if !self
                .others
                .iter()
                .any(|(other, _)| *other == found.invariant)
            {
                self.others.push((found.invariant, run.seed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants;
    use crate::sim::campaign::Found;

    #[test]
    fn every_mutant_has_an_invariant_that_exists() {
        for &mutant in Mutant::ALL {
            let name = named(mutant);
            assert!(invariants::ALL.iter().any(|one| one.name == name), "{name}");
        }
    }

    #[test]
    fn only_the_named_invariant_catches() {
        let run = |seed, invariants: &[&'static str]| {
            let found = |&invariant: &&'static str| Found {
                invariant,
                what: format!("in seed {seed}"),
                timeline: String::new(),
            };
            Judged {
                found: invariants.iter().map(found).collect(),
                ..Judged::empty(seed)
            }
        };
        let mut hunt = Hunt::new(Mutant::QuorumOfOne);
        hunt.note(&run(1, &[]));
        hunt.note(&run(2, &["never-backwards"]));
        assert_eq!(hunt.caught, None);
        hunt.note(&run(
            3,
            &["never-backwards", "acked-never-lost", "convergence"],
        ));
        assert_eq!((hunt.caught, hunt.seeds), (Some(3), 3));
        assert_eq!(hunt.what, "in seed 3");
        assert_eq!(hunt.others, [("never-backwards", 2), ("convergence", 3)]);
    }
}
