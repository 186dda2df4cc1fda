//! The write quorum: W acknowledgements of one write, and a hint for each owner that missed it.
//!
//! While a range moves its keys have two lists of owners, and *W owners* means W of either.
//!
//! ```text
//!   owner    Pending --Joined------> Acked         W of them: return
//!                    --Superseded--> Superseded    a later write is there: mint above it and send again
//!                    --failed------> Failed        missed: a holder keeps it for this owner, a hint
//!
//!   Writing --W acknowledged--> Returned --every owner has it, or a holder keeps it--> Finished
//!           '-- W cannot be reached any more: fail, Finished
//! ```
//!
//! A *superseded* write changed nothing. If W cannot be reached because of it, the write is minted again above what
//! superseded it, as soon as W owners have answered and the others are overdue: a skewed clock never loses a write
//! that came later, and a silent owner delays no one. The first dot may be stored somewhere, or arrive later: the
//! new one has seen it and replaces it there. A replica that has superseded the dot but can *name* it has joined it
//! before: that is an acknowledgement.
//!
//! A write whose lifetime turns out to end early when owners have joined it is *renewed*: minted again with the right
//! one, once for all. What supersedes it then where it had been joined came later, so that counts as an acknowledgement,
//! too, and it is never minted above what may have seen it.
//!
//! **Evidence.** Whether the write may be stored is one fact for all its dots and hints, and only grows: it is noted when
//! a request ends, or is given up, in a way that leaves that open, and nothing that happens later takes it back. A write
//! that fails is reported by this fact, not by the outcomes, which are those of its last attempt.
//!
//! **Hints.** A strict write gets hints only once W owners have it: a write that fails must not come to life later. A
//! *sloppy* one gets them at once, and a holder counts in place of one owner: W different nodes have the write, and W
//! owners once it is delivered. A holder that does not take its hint is replaced by the next, until none is left.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `asked` | what the owners did |
//! | `hints` | which holders keep the write for which owners |
//! | `judge` | what follows from that |
//!
//! Source: Dynamo (2007), section 4.6.

mod asked;
mod hints;
mod judge;

use quoit_ring::Time;
use quoit_ring::change::{OwnerSet, Threshold};

use self::asked::Asked;
use self::hints::Hints;
use crate::error::Outcome;
use crate::quorum::steps::Steps;

/// How often one write may be minted again: as many attempts as a request's id can distinguish. Each time needs another
/// writer's later stamp to get in between, which on a contended key happens every other time.
const MAX_REMINTS: u8 = 15;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WriteStep {
    /// Send the write to an owner.
    Send(usize),
    /// Find a holder to keep the write for an owner, and call [`WriteQuorum::hinted`] or [`WriteQuorum::no_holder`].
    Hint(usize),
    /// Mint a dot above this time that has seen the present one, and call [`WriteQuorum::reminted`]. If it may not be
    /// minted, call [`WriteQuorum::cannot_remint`] or [`WriteQuorum::overwritten`], now or later: until then it comes
    /// again with each further answer.
    Remint(Time),
    /// The verdict: how many acknowledged, at least W; or why not.
    Return(Result<Acked, Box<WriteFailure>>),
    /// Nothing more will come.
    Finish,
}

/// How many had acknowledged a write when it returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acked {
    /// Nodes, those with a hint that counts included.
    pub(crate) nodes: usize,
    /// Of those, nodes with a hint.
    pub(crate) hints: usize,
}

/// Why W was not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteFailure {
    pub(crate) evidence: Evidence,
    /// What each owner did in the last attempt, then what became of each hint.
    pub(crate) outcomes: Vec<Outcome>,
}

/// Where a write is, as far as is known: over all its dots, and growing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Evidence {
    /// Most copies that acknowledged one and the same dot of it.
    pub(crate) acked: usize,
    /// Whether it may be somewhere else, too: a request's outcome is open for ever.
    pub(crate) may_be_stored: bool,
}

/// What an owner or a holder did with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Pending,
    Acked,
    Superseded(Time),
    Failed(Outcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Writing,
    Returned,
    Finished,
}

/// One quorum write.
#[derive(Debug)]
pub(crate) struct WriteQuorum {
    n: usize,
    needs: Threshold,
    sloppy: bool,
    phase: Phase,
    asked: Asked,
    hints: Hints,
    steps: Steps<WriteStep>,
    remints: u8,
    is_renewed: bool,
    /// Whether it was in an earlier epoch.
    was_superseded: bool,
    evidence: Evidence,
    succeeded: bool,
}

impl WriteQuorum {
    /// A write to all owners that needs W of each list, 1 to its length; if it is `sloppy`, holders count, too. It starts
    /// by sending to all.
    pub(crate) fn new(needs: Threshold, sloppy: bool) -> Self {
        let n = needs.all().len();
        debug_assert!(
            needs.lists().all(|(list, w)| (1..=list.len()).contains(&w)),
            "w was checked"
        );
        Self {
            n,
            needs,
            sloppy,
            phase: Phase::Writing,
            asked: Asked::all(n),
            hints: Hints::default(),
            steps: (0..n).map(WriteStep::Send).collect(),
            remints: 0,
            is_renewed: false,
            was_superseded: false,
            evidence: Evidence::default(),
            succeeded: false,
        }
    }

    /// The same for a write that was sent before, of which this is known, and that these owners have acknowledged under
    /// the dot that it still has. In the `same` epoch they need not be asked again; they are fewer than W were. In another
    /// one they have joined it before, which counts once they say so again.
    pub(crate) fn again(mut self, evidence: Evidence, holders: OwnerSet, same: bool) -> Self {
        self.evidence = evidence;
        if same {
            for holder in holders.iter() {
                self.asked.note(holder, State::Acked);
            }
        } else {
            // Copies of two epochs do not add up: how many there are is not known any more.
            self.evidence.may_be_stored |= evidence.acked > 0;
            self.asked.joined_before = holders;
        }
        self.steps = self.asked.awaited.iter().map(WriteStep::Send).collect();
        self.evaluate();
        self
    }

    /// The next thing to do, or nothing until an input comes.
    pub(crate) fn poll_step(&mut self) -> Option<WriteStep> {
        self.steps.next()
    }

    /// An owner joined the write, or a holder keeps it: the numbers of hints follow those of the owners.
    pub(crate) fn acked(&mut self, replica: usize) {
        self.note(replica, State::Acked);
    }

    /// A replica has superseded the dot, by something up to `above`; it may be able to name it.
    pub(crate) fn superseded(&mut self, replica: usize, named: bool, above: Time) {
        let state = if named || self.asked.joined_before.contains(replica) {
            State::Acked
        } else {
            State::Superseded(above)
        };
        self.note(replica, state);
    }

    /// A replica did not do it.
    pub(crate) fn failed(&mut self, replica: usize, outcome: Outcome) {
        self.note(replica, State::Failed(outcome));
    }

    /// An owner has not answered for too long: stop waiting for it. A holder keeps the write for it, or the write is
    /// minted again without it if that is what it waits for.
    pub(crate) fn overdue(&mut self, owner: usize) {
        if !self.awaits(owner) {
            return;
        }
        if self.keeps_early() {
            self.keep_for(owner);
        }
        if !self.asked.overdue.contains(owner) {
            self.asked.overdue.insert(owner);
            self.evaluate();
        }
    }

    /// The node that was found is asked to keep the write for `owner`. A `holder` that owns nothing of the key has a
    /// number, the same each time it is asked; an owner has none.
    pub(crate) fn hinted(&mut self, owner: usize, holder: Option<usize>) {
        self.hints.asked_for(owner, holder);
    }

    /// No holder is left for `owner`.
    pub(crate) fn no_holder(&mut self, owner: usize) {
        self.hints.nowhere_for(owner);
        self.evaluate();
    }

    /// The deadline has passed.
    pub(crate) fn expired(&mut self) {
        self.give_up_pending();
        match self.phase {
            Phase::Writing => self.fail(),
            Phase::Returned => self.finish(),
            Phase::Finished => {}
        }
    }

    /// Whether an answer is awaited of a replica, or of a holder.
    pub(crate) fn awaits(&self, replica: usize) -> bool {
        self.phase != Phase::Finished
            && match replica.checked_sub(self.n) {
                None => self.asked.awaited.contains(replica),
                Some(hint) => self.hints.awaits(hint),
            }
    }

    /// Whether a replica, or a holder, has answered: what its clock shows is as new as this write.
    pub(crate) fn has_answered(&self, replica: usize) -> bool {
        match replica.checked_sub(self.n) {
            None => self.asked.has_answered(replica),
            Some(hint) => self.hints.has_answered(hint),
        }
    }

    /// Whether W may acknowledge it under its present dot, though late.
    pub(crate) fn may_reach_w(&self) -> bool {
        let may = |state: &State| matches!(state, State::Acked | State::Pending);
        let owners = self.asked.acked | self.asked.awaited;
        self.suffice(owners, may)
    }

    /// Owners whose answer is awaited, and for which no holder has been asked.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = usize> {
        (self.asked.awaited - self.hints.looked_after()).iter()
    }

    /// Owners that have the write for certain.
    pub(crate) fn holders(&self) -> impl Iterator<Item = usize> {
        self.asked.acked.iter()
    }

    /// Which hints, counted from the first, were meant for `owner`.
    pub(crate) fn hints_for(&self, owner: usize) -> impl Iterator<Item = usize> {
        self.hints.meant_for(owner)
    }

    /// Whether nodes that keep the write for an owner count.
    pub(crate) const fn is_sloppy(&self) -> bool {
        self.sloppy
    }

    /// Whether the caller has its answer.
    pub(crate) fn has_returned(&self) -> bool {
        self.phase == Phase::Returned
    }

    /// Owners that missed the write and have no holder; 0 if it failed.
    pub(crate) fn forgone(&self) -> usize {
        if !self.succeeded {
            return 0;
        }
        ((self.asked.awaited | self.asked.missed) - self.hints.kept).len()
    }

    /// Owners that have not answered, whether they are still awaited or not.
    pub(crate) fn unanswered(&self) -> usize {
        self.asked.unanswered()
    }

    /// A dot above what superseded the write was minted: send it to every owner that did not fail. Hints of the earlier
    /// one no longer count.
    pub(crate) fn reminted(&mut self) {
        self.remints += 1;
        let is_open = !self.asked.awaited.is_empty() || self.hints.awaits_any();
        self.evidence.may_be_stored |= is_open;
        self.hints.clear();
        self.asked.begin_attempt();
        if !self.is_renewed {
            // Where an earlier dot was joined, what supersedes this one need not have come later.
            self.asked.joined_before = OwnerSet::NONE;
        }

        for replica in 0..self.n {
            if self.asked.awaited.contains(replica) {
                self.steps.push(WriteStep::Send(replica));
            } else {
                self.miss(replica);
            }
        }
    }

    /// Whether an owner has joined the write under its present dot.
    pub(crate) fn has_acked(&self, owner: usize) -> bool {
        self.asked.acked.contains(owner)
    }

    /// Whether a holder keeps the write for an owner.
    pub(crate) fn is_kept(&self, owner: usize) -> bool {
        self.hints.kept.contains(owner)
    }

    /// Whether an owner has joined the write, under this dot or one before.
    pub(crate) fn has_joined(&self, owner: usize) -> bool {
        (self.asked.acked | self.asked.joined_before).contains(owner)
    }

    /// Sends the same dot to the owners in another epoch, of which these have `joined` it before: their numbers are those
    /// of the new epoch. What was acknowledged in the earlier one is evidence, and counts no more; who has `refused` that
    /// epoch has not joined it.
    pub(crate) fn begin_epoch(&mut self, needs: Threshold, joined: OwnerSet, refused: OwnerSet) {
        debug_assert!(self.phase == Phase::Writing, "its caller waits");
        let is_open = !(self.asked.awaited - refused).is_empty() || self.hints.awaits_any();
        let is_there = !self.asked.acked.is_empty() || self.hints.has_acked();
        self.evidence.may_be_stored |= is_open || is_there;
        *self = Self {
            remints: self.remints,
            is_renewed: self.is_renewed,
            was_superseded: self.was_superseded || self.is_superseded(),
            evidence: self.evidence,
            ..Self::new(needs, self.sloppy)
        };
        self.asked.joined_before = joined;
    }

    /// Goes on in another epoch once it has returned, where the key has `n` owners: those that have `joined` this very dot
    /// and those for which it is `kept` are done, and it is sent to all others. Their numbers are those of the new epoch.
    pub(crate) fn go_on(&mut self, n: usize, joined: OwnerSet, kept: OwnerSet) {
        debug_assert!(self.has_returned(), "else it begins again");
        self.n = n;
        self.asked = Asked::all(n);
        for owner in joined.iter() {
            self.asked.note(owner, State::Acked);
        }
        self.hints = Hints::keeping(kept);
        let lacking = self.asked.awaited - kept;
        self.steps.extend(lacking.iter().map(WriteStep::Send));
        self.evaluate();
    }

    /// Whether this replica is awaited, and the write may still be renewed when it has joined it: nobody has superseded
    /// it, who may have seen it first.
    pub(crate) fn may_renew(&self, replica: usize) -> bool {
        self.phase == Phase::Writing
            && self.remints < MAX_REMINTS
            && self.awaits(replica)
            && !self.was_superseded
            && !self.is_superseded()
    }

    fn is_superseded(&self) -> bool {
        !self.asked.superseded.is_empty() || self.hints.above().is_some()
    }

    /// A replica joined the write, but its lifetime was wrong and a newer dot has the right one: send that to every owner
    /// that did not fail. What has joined the first one keeps it if the new one does not come.
    pub(crate) fn renewed(&mut self, replica: usize) {
        debug_assert!(self.may_renew(replica), "checked by the caller");
        self.evidence.may_be_stored = true;
        if replica < self.n {
            self.asked.note(replica, State::Acked);
        }
        self.asked.joined_before = self.asked.joined_before | self.asked.acked;
        self.is_renewed = true;
        self.reminted();
    }

    /// A replica joined the write, but its lifetime is wrong, and no dot may be minted with the right one. It fails for
    /// that reason, and where it was joined it stays.
    pub(crate) fn cannot_renew(&mut self, replica: usize, why: Outcome) {
        debug_assert!(self.phase == Phase::Writing, "its caller waits");
        match replica.checked_sub(self.n) {
            None => self.asked.note(replica, State::Failed(why)),
            // No other holder is sought for its owner: the write has failed.
            Some(hint) => drop(self.hints.note(hint, State::Failed(why))),
        }
        self.evidence.may_be_stored = true;
        self.fail();
    }

    /// No dot above what superseded the write may be minted: the clocks are too far apart, or nobody waits for it.
    pub(crate) fn cannot_remint(&mut self) {
        self.fail();
    }

    /// A later write of the same client, which W have acknowledged, has replaced this one: whoever has superseded it
    /// holds all that it said. Nobody needs it any more.
    pub(crate) fn overwritten(&mut self) {
        debug_assert!(self.phase == Phase::Writing, "asked for in place of a dot");
        let acked = self.willing();
        debug_assert!(self.is_willing(), "as for a new dot");
        self.steps.push(WriteStep::Return(Ok(acked)));
        self.finish();
    }
}

#[cfg(test)]
mod tests;
