//! What the owners of one write did, as sets of them.
//!
//! ```text
//!   awaited --Joined------> acked
//!           --Superseded--> superseded       a new attempt makes both awaited again
//!           --failed------> (in no set)      for good; missed, if a holder is to keep the write for it
//! ```
//!
//! Invariant: awaited, acked and superseded are disjoint; an owner in none of them has one failure.

use quoit_ring::Time;
use quoit_ring::change::OwnerSet;

use super::State;
use crate::error::Outcome;

/// The owners of a key, as one write sees them.
#[derive(Debug)]
pub(super) struct Asked {
    all: OwnerSet,
    pub(super) awaited: OwnerSet,
    pub(super) acked: OwnerSet,
    pub(super) superseded: OwnerSet,
    /// Those that failed in a way for which a holder is to keep the write.
    pub(super) missed: OwnerSet,
    /// Those that should not be waited for.
    pub(super) overdue: OwnerSet,
    /// Those that joined an earlier dot, before the write was renewed.
    pub(super) joined_before: OwnerSet,
    /// The latest of what superseded it.
    pub(super) above: Option<Time>,
    failures: Vec<(usize, Outcome)>,
}

impl Asked {
    /// All `n` of them, none of which has answered.
    pub(super) const fn all(n: usize) -> Self {
        Self {
            all: OwnerSet::first(n),
            awaited: OwnerSet::first(n),
            acked: OwnerSet::NONE,
            superseded: OwnerSet::NONE,
            missed: OwnerSet::NONE,
            overdue: OwnerSet::NONE,
            joined_before: OwnerSet::NONE,
            above: None,
            failures: Vec::new(),
        }
    }

    /// An owner that was awaited has done this.
    pub(super) fn note(&mut self, owner: usize, state: State) {
        debug_assert!(self.awaited.contains(owner), "each counts once");
        self.awaited.remove(owner);
        match state {
            State::Pending => self.awaited.insert(owner),
            State::Acked => self.acked.insert(owner),
            State::Superseded(above) => {
                self.superseded.insert(owner);
                self.above = self.above.max(Some(above));
            }
            State::Failed(outcome) => {
                if outcome.is_missed() {
                    self.missed.insert(owner);
                }
                self.failures.push((owner, outcome));
            }
        }
    }

    /// Another dot goes to all that did not fail.
    pub(super) fn begin_attempt(&mut self) {
        self.awaited = self.awaited | self.acked | self.superseded;
        (self.acked, self.superseded) = (OwnerSet::NONE, OwnerSet::NONE);
        (self.overdue, self.above) = (OwnerSet::NONE, None);
    }

    /// Nobody is awaited any more; gives back whether somebody was.
    pub(super) fn give_up(&mut self) -> bool {
        let late = self.awaited;
        for owner in late.iter() {
            self.note(owner, State::Failed(Outcome::TimedOut));
        }
        !late.is_empty()
    }

    /// Those that are not among these.
    pub(super) fn others(&self, owners: OwnerSet) -> OwnerSet {
        self.all - owners
    }

    /// Whether an owner has answered, if only to refuse.
    pub(super) fn has_answered(&self, owner: usize) -> bool {
        let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(_));
        (self.acked | self.superseded).contains(owner) || self.failure(owner).is_some_and(refused)
    }

    /// How many have not answered, whether they are still awaited or not.
    pub(super) fn unanswered(&self) -> usize {
        let silent = |(_, why): &&(usize, Outcome)| *why == Outcome::TimedOut;
        self.awaited.len() + self.failures.iter().filter(silent).count()
    }

    /// What each of them did, in their order.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.all.iter().map(|owner| {
            if self.acked.contains(owner) {
                return Outcome::Done;
            }
            if self.superseded.contains(owner) {
                return Outcome::Superseded;
            }
            self.failure(owner).cloned().unwrap_or(Outcome::TimedOut)
        })
    }

    fn failure(&self, owner: usize) -> Option<&Outcome> {
        let mut failures = self.failures.iter();
        failures
            .find(|(failed, _)| *failed == owner)
            .map(|(_, why)| why)
    }
}
