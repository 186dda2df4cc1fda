//! Mutants: deliberate defects, to see whether the tests would notice.
//!
//! ```text
//!   RUSTFLAGS="--cfg quoit_mutants"     one build holds them all, off until `choose` picks one by name
//!   every other build                   `mutant` is the constant false: the compiler drops each site
//! ```
//!
//! A checker that has never failed proves little. Each mutant is an error that an engineer could have made,
//! in the very line where it would have been made, and some test has to fail for it.
//!
//! A plain `cfg`, never a cargo feature: features are united over a whole build, so a dependency could switch
//! one on for everybody; a flag on the compiler's command line cannot come about by accident. Without it
//! there is no switch, and nothing of a defect is in the program.
//!
//! Invariant: with none chosen, a build that holds the mutants behaves like one that does not. Of all that this
//! crate holds, the choice alone is state: one for the whole process, so a test chooses before it starts.
//!
//! Left out: what each breaks, and in which weather; that is told where they are hunted.
//!
//! Source: `DeMillo`, Lipton and Sayward, *Hints on Test Data Selection* (1978).

#[cfg(quoit_mutants)]
use core::sync::atomic::{AtomicU8, Ordering};

/// Declares each mutant once: its variant, its name and what it does.
macro_rules! mutants {
    ($($variant:ident $name:literal $description:literal)*) => {
        /// A deliberate defect. See the [module](self).
        ///
        /// ```
        /// use quoit_ring::mutant::{Mutant, mutant};
        ///
        /// let chosen = Mutant::from_name("quorum-of-one");
        /// assert_eq!(chosen, Some(Mutant::QuorumOfOne));
        /// assert!(!mutant(Mutant::QuorumOfOne), "off, unless it is compiled in and chosen");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Mutant {
            $(#[doc = $description] $variant,)*
        }

        impl Mutant {
            /// All of them, in the order of their declaration: first the node's, then the versions', then the
            /// client's.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, in kebab case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it does, in one line.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)*
                }
            }
        }
    };
}

mutants! {
    AckBeforePersist "ack-before-persist"
        "A node acknowledges a write before it is on the disk."
    FailedCommitIsAcked "failed-commit-is-acked"
        "A node acknowledges the writes of a commit that failed."
    BatchForgetsEarlier "batch-forgets-earlier"
        "Of two writes to one key in one batch, a node stores only the later."
    ReadErrorIsNotFound "read-error-is-not-found"
        "A node that cannot read a record says that there is none."
    TombstoneDropped "tombstone-dropped"
        "A node keeps nothing of a key whose last value has died."
    RepairSkipsSums "repair-skips-sums"
        "The Merkle sums do not follow a repair."
    RowStaysStale "row-stays-stale"
        "The row cache keeps a row that a commit has replaced."
    WipedNodeKeepsItsId "wiped-node-keeps-its-id"
        "A node that has lost its store starts again, empty and under its old id."
    MergeKeepsOneSibling "merge-keeps-one-sibling"
        "A join keeps the newest of several concurrent values and drops the others."
    DigestIgnoresValue "digest-ignores-value"
        "Two values under one dot are taken for the same."
    ReadWithoutWriteBack "read-without-write-back"
        "A read returns what one replica holds, and repairs the others afterwards."
    WriteBackDropsTombstones "write-back-drops-tombstones"
        "A read that finds nothing alive writes nothing back."
    AnswerCountedTwice "answer-counted-twice"
        "An answer that comes twice counts as that of two replicas."
    FailedReplicaIsNotReplaced "failed-replica-is-not-replaced"
        "A read that lost a replica asks no other, and fails."
    RepairIsNotSynced "repair-is-not-synced"
        "A node acknowledges repairs before they are on the disk."
    LateAnswerCounts "late-answer-counts"
        "An answer to a write's first attempt counts for the one that was minted anew."
    QuorumOfOne "quorum-of-one"
        "A write is acknowledged once a single replica has it."
    SupersededCountsAsAck "superseded-counts-as-ack"
        "A write that a later one covers, and that changed nothing, counts as stored."
    RetryMintsNewDot "retry-mints-new-dot"
        "Each further frame of a write goes out under a dot of its own, as if it were another write."
    FailedSaysNotStored "failed-says-not-stored"
        "A write that failed is told as not stored, whatever became of it."
    ContextCoversTooMuch "context-covers-too-much"
        "A write with a context replaces whatever is older, seen or not."
    PreviousDotForgotten "previous-dot-forgotten"
        "A client's write replaces all earlier ones of that client, seen or not."
    HintCountsAsOwner "hint-counts-as-owner"
        "A strict write counts nodes that keep it for an owner as if they were owners."
    HintOverwrites "hint-overwrites"
        "Of two writes to one key that are kept for one node, only the later is kept."
    HintLostOnTheWay "hint-lost-on-the-way"
        "A hint that did not get through is removed as if it had."
    HintRemovedWithMore "hint-removed-with-more"
        "A hint that was delivered is removed with all that was added to it in the meantime."
}

impl Mutant {
    /// The mutant with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|mutant| mutant.name() == name)
    }
}

/// Whether a defect is to be shown. In this build never: the constant lets the compiler drop the site.
#[cfg(not(quoit_mutants))]
#[inline(always)]
#[must_use]
pub const fn mutant(_defect: Mutant) -> bool {
    false
}

/// Whether a defect is to be shown: the chosen one.
#[cfg(quoit_mutants)]
#[inline]
#[must_use]
pub fn mutant(defect: Mutant) -> bool {
    CHOSEN.load(Ordering::Relaxed) == code(defect)
}

/// Shows `defect` from now on, in the whole process; `None` is the shipped behaviour again.
#[cfg(quoit_mutants)]
pub fn choose(defect: Option<Mutant>) {
    CHOSEN.store(defect.map_or(NONE, code), Ordering::Relaxed);
}

#[cfg(quoit_mutants)]
static CHOSEN: AtomicU8 = AtomicU8::new(NONE);

#[cfg(quoit_mutants)]
const NONE: u8 = u8::MAX;

#[cfg(quoit_mutants)]
const fn code(defect: Mutant) -> u8 {
    defect as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kebab_case_and_leads_back_to_its_mutant() {
        for &defect in Mutant::ALL {
            let name = defect.name();
            assert_eq!(
                Mutant::from_name(name),
                Some(defect),
                "{name} is not unique"
            );
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{name}"
            );
            let words: String = name.split('-').map(str::to_owned).collect();
            assert_eq!(words, format!("{defect:?}").to_lowercase());
        }
        assert_eq!(Mutant::from_name("none"), None);
    }

    #[test]
    fn a_description_is_one_sentence() {
        for &defect in Mutant::ALL {
            let told = defect.description();
            assert!(told.ends_with('.') && !told.contains('\n'), "{told}");
        }
    }

    #[cfg(not(quoit_mutants))]
    #[test]
    fn every_mutant_is_off() {
        const { assert!(!mutant(Mutant::QuorumOfOne), "known at compile time") };
        for &defect in Mutant::ALL {
            assert!(!mutant(defect), "{}", defect.name());
        }
    }

    /// Chooses none that this crate's other tests, which run beside it, could come upon.
    #[cfg(quoit_mutants)]
    #[test]
    fn none_is_on_but_the_chosen_one() {
        let on = || Mutant::ALL.iter().copied().filter(|&defect| mutant(defect));
        assert_eq!(on().count(), 0);
        for chosen in [Mutant::AckBeforePersist, Mutant::PreviousDotForgotten] {
            choose(Some(chosen));
            assert!(on().eq([chosen]));
        }
        choose(None);
        assert_eq!(on().count(), 0);
    }
}
