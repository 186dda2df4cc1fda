//! The hints of one write: which holder was asked to keep it for which owner, and what came of that.
//!
//! ```text
//!   an owner missed it: seek --> asked_for a holder --kept----> kept
//!                         |              '--failed--> the next holder
//!                         '----> nowhere_for: none is left
//! ```
//!
//! Invariant: an owner is in one set at most. Left out: which node may be a holder, which is the operation's.

use quoit_ring::Time;
use quoit_ring::change::OwnerSet;
use smallvec::SmallVec;

use super::State;
use crate::error::Outcome;

/// One holder asked to keep the write for one owner.
#[derive(Debug)]
struct Hint {
    owner: usize,
    /// Which of the nodes that own nothing of the key the holder is; `None` for an owner.
    holder: Option<usize>,
    state: State,
}

/// The hints of one attempt.
#[derive(Debug, Default)]
pub(super) struct Hints {
    list: Vec<Hint>,
    /// Owners for which a holder is sought or asked.
    pub(super) sought: OwnerSet,
    /// Those for which a holder keeps it.
    pub(super) kept: OwnerSet,
    /// Those for which no holder is left to ask.
    nowhere: OwnerSet,
}

impl Hints {
    /// None but those that holders have taken for these owners, in an earlier epoch.
    pub(super) fn keeping(kept: OwnerSet) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    /// A holder is to be found for an owner; false if one was sought before.
    pub(super) fn seek(&mut self, owner: usize) -> bool {
        let is_new = !self.looked_after().contains(owner);
        if is_new {
            self.sought.insert(owner);
        }
        is_new
    }

    /// The holder that was found is asked.
    pub(super) fn asked_for(&mut self, owner: usize, holder: Option<usize>) {
        let state = State::Pending;
        self.list.push(Hint {
            owner,
            holder,
            state,
        });
    }

    /// None was found.
    pub(super) const fn nowhere_for(&mut self, owner: usize) {
        self.sought.remove(owner);
        self.nowhere.insert(owner);
    }

    /// Where none was found, one may be by now.
    pub(super) const fn look_again(&mut self) {
        self.nowhere = OwnerSet::NONE;
    }

    /// A holder has done this; gives back the owner if it needs another one.
    pub(super) fn note(&mut self, hint: usize, state: State) -> Option<usize> {
        let hint = self.list.get_mut(hint)?;
        hint.state = state;
        if matches!(hint.state, State::Failed(_)) {
            return Some(hint.owner);
        }
        self.sought.remove(hint.owner);
        self.kept.insert(hint.owner);
        None
    }

    /// Another dot: holders of the earlier one no longer count.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        (self.sought, self.kept, self.nowhere) = (OwnerSet::NONE, OwnerSet::NONE, OwnerSet::NONE);
    }

    /// Nobody is awaited any more; gives back whether somebody was.
    pub(super) fn give_up(&mut self) -> bool {
        let mut any = false;
        for hint in &mut self.list {
            if hint.state == State::Pending {
                hint.state = State::Failed(Outcome::TimedOut);
                any = true;
            }
        }
        any
    }

    /// Owners for which a holder was sought.
    pub(super) fn looked_after(&self) -> OwnerSet {
        self.sought | self.kept | self.nowhere
    }

    pub(super) fn awaits(&self, hint: usize) -> bool {
        (self.list.get(hint)).is_some_and(|hint| hint.state == State::Pending)
    }

    pub(super) fn awaits_any(&self) -> bool {
        self.list.iter().any(|hint| hint.state == State::Pending)
    }

    pub(super) fn has_acked(&self) -> bool {
        self.list.iter().any(|hint| hint.state == State::Acked)
    }

    pub(super) fn has_answered(&self, hint: usize) -> bool {
        let answered = |state: &State| match state {
            State::Acked | State::Superseded(_) => true,
            State::Failed(why) => matches!(why, Outcome::Refused(_)),
            State::Pending => false,
        };
        (self.list.get(hint)).is_some_and(|hint| answered(&hint.state))
    }

    /// Which hints, counted from the first, were meant for `owner`.
    pub(super) fn meant_for(&self, owner: usize) -> impl Iterator<Item = usize> {
        let meant = move |(_, hint): &(usize, &Hint)| hint.owner == owner;
        let hints = self.list.iter().enumerate().filter(meant);
        hints.map(|(number, _)| number)
    }

    /// The latest of what superseded it.
    pub(super) fn above(&self) -> Option<Time> {
        let above = |hint: &Hint| match hint.state {
            State::Superseded(above) => Some(above),
            State::Pending | State::Acked | State::Failed(_) => None,
        };
        self.list.iter().filter_map(above).max()
    }

    /// How many holders are in such a state, each counted once, for one of these owners.
    pub(super) fn count_for(&self, owners: OwnerSet, of: impl Fn(&State) -> bool) -> usize {
        if self.list.is_empty() {
            return 0;
        }
        let mut holders = SmallVec::<[usize; 3]>::new();
        for owner in owners.iter() {
            let its = |hint: &&Hint| hint.owner == owner && of(&hint.state);
            let mut free = (self.list.iter().filter(its))
                .filter_map(|hint| hint.holder)
                .filter(|holder| !holders.contains(holder));
            let found = free.next();
            holders.extend(found);
        }
        holders.len()
    }

    /// What became of each.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.list.iter().map(|hint| match &hint.state {
            State::Pending => Outcome::TimedOut,
            State::Acked => Outcome::Done,
            State::Superseded(_) => Outcome::Superseded,
            State::Failed(outcome) => outcome.clone(),
        })
    }
}
