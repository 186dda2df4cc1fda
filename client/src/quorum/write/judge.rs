//! What follows from what owners and holders did: a verdict, a new dot, hints, the end.
//!
//! It looks at everything again with each answer: three sets and a handful of hints.

use quoit_ring::Time;
use quoit_ring::change::OwnerSet;

use super::{Acked, MAX_REMINTS, Phase, State, WriteFailure, WriteQuorum, WriteStep};

impl WriteQuorum {
    pub(super) fn note(&mut self, replica: usize, state: State) {
        if !self.awaits(replica) {
            return;
        }
        if let State::Failed(outcome) = &state {
            self.evidence.may_be_stored |= outcome.may_be_stored();
        }
        match replica.checked_sub(self.n) {
            None => {
                self.asked.note(replica, state);
                self.miss(replica);
            }
            Some(hint) => {
                let failed_for = self.hints.note(hint, state);
                self.steps.extend(failed_for.map(WriteStep::Hint));
            }
        }
        self.evaluate();
    }

    /// Looks for a holder for an owner that missed the write, if it is time for that.
    pub(super) fn miss(&mut self, owner: usize) {
        if self.asked.missed.contains(owner) && self.keeps_early() {
            self.keep_for(owner);
        }
    }

    pub(super) fn keep_for(&mut self, owner: usize) {
        if self.hints.seek(owner) {
            self.steps.push(WriteStep::Hint(owner));
        }
    }

    /// Whether hints go out for owners that may still answer: not of a strict write that could fail.
    pub(super) fn keeps_early(&self) -> bool {
        self.phase == Phase::Returned || self.sloppy
    }

    /// No answer is awaited any more.
    pub(super) fn give_up_pending(&mut self) {
        let (owners, holders) = (self.asked.give_up(), self.hints.give_up());
        self.evidence.may_be_stored |= owners || holders;
    }

    /// How many copies there are: at these owners, and if the write is sloppy at holders in such a state, each for one
    /// owner. A hint does not count beside the owner that it is for: delivered, they are one copy.
    pub(super) fn copies(&self, owners: OwnerSet, holders: impl Fn(&State) -> bool) -> Acked {
        let hints = if self.sloppy {
            self.hints.count_for(self.asked.others(owners), holders)
        } else {
            0
        };
        Acked {
            nodes: owners.len() + hints,
            hints,
        }
    }

    /// Whether these copies are W of each list. A holder counts for one owner of each list in which that is.
    pub(super) fn suffice(&self, owners: OwnerSet, holders: impl Fn(&State) -> bool) -> bool {
        if !self.sloppy {
            return self.needs.reached(owners);
        }
        self.needs.lists().all(|(list, needed)| {
            let (there, missing) = (owners & list, list - owners);
            there.len() + self.hints.count_for(missing, &holders) >= needed
        })
    }

    /// Who has acknowledged it under its present dot.
    pub(crate) fn acks(&self) -> Acked {
        self.copies(self.asked.acked, is_acked)
    }

    /// Replicas that have the write or a later one.
    pub(super) fn willing(&self) -> Acked {
        self.copies(self.asked.acked | self.asked.superseded, is_willing)
    }

    /// Whether those are W.
    pub(super) fn is_willing(&self) -> bool {
        self.suffice(self.asked.acked | self.asked.superseded, is_willing)
    }

    pub(super) fn evaluate(&mut self) {
        match self.phase {
            Phase::Writing => self.evaluate_writing(),
            Phase::Returned if self.is_settled() => self.finish(),
            Phase::Returned | Phase::Finished => {}
        }
    }

    fn evaluate_writing(&mut self) {
        debug_assert!(
            !self.succeeded,
            "a write that has returned is not judged again"
        );
        let acked = self.acks();
        self.evidence.acked = self.evidence.acked.max(acked.nodes);
        if self.suffice(self.asked.acked, is_acked) {
            self.give_back(acked);
        } else if !self.may_still_come(self.asked.awaited - self.asked.overdue)
            && let Some(above) = self.remintable()
        {
            self.steps.push(WriteStep::Remint(above));
        } else if !self.may_still_come(self.asked.awaited) {
            self.fail();
        }
    }

    /// Whether one of these owners is awaited, or a holder sought or asked.
    fn may_still_come(&self, awaited: OwnerSet) -> bool {
        !(awaited | self.hints.sought).is_empty()
    }

    /// The caller gets its answer; from now on hints go out for owners that missed the write.
    fn give_back(&mut self, acked: Acked) {
        self.phase = Phase::Returned;
        self.succeeded = true;
        self.steps.push(WriteStep::Return(Ok(acked)));

        // Owners that have it may keep it for others from now on.
        self.hints.look_again();
        for owner in self.asked.missed.iter() {
            self.keep_for(owner);
        }
        if self.is_settled() {
            self.finish();
        }
    }

    /// Whether nothing more will come of any owner.
    fn is_settled(&self) -> bool {
        let open = self.asked.awaited - self.hints.kept;
        (open | self.hints.sought).is_empty()
    }

    /// What to mint above, if minting again can reach W.
    fn remintable(&self) -> Option<Time> {
        if self.is_renewed || !self.is_willing() || self.remints >= MAX_REMINTS {
            return None; // above what may have seen it, a renewed one would come back
        }
        self.asked.above.max(self.hints.above())
    }

    pub(super) fn fail(&mut self) {
        if self.phase != Phase::Writing {
            return;
        }
        self.give_up_pending();
        let outcomes = self.asked.outcomes().chain(self.hints.outcomes());
        let failure = WriteFailure {
            evidence: self.evidence,
            outcomes: outcomes.collect(),
        };
        // What it was still to do is of no use to a write that has failed.
        self.steps.clear();
        self.steps.push(WriteStep::Return(Err(Box::new(failure))));
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        if self.phase != Phase::Finished {
            self.phase = Phase::Finished;
            self.steps.push(WriteStep::Finish);
        }
    }
}

fn is_acked(state: &State) -> bool {
    *state == State::Acked
}

const fn is_willing(state: &State) -> bool {
    matches!(state, State::Acked | State::Superseded(_))
}
