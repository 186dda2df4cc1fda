//! The write quorum: W acknowledgements of one write, and a hint for each owner that missed it.
//!
//! ```text
//!   owner    Pending --Joined--> Acked          W of them: returned
//!                    --Superseded-> Superseded        a later write is there: mint above it and send again
//!                    --failed--> Failed         missed: kept for it elsewhere, a hint
//!
//!   Writing --W acknowledged--> Returned --everyone has it, or somebody keeps it for them--> Finished
//!           '-- cannot be any more: why not, Finished
//! ```
//!
//! A *covered* write changed nothing. If W cannot be reached because of it, the write is minted anew above what
//! covers it, as soon as W owners have spoken and the others are overdue: a skewed clock never loses a write that came
//! later, and a silent owner holds up nobody. The first dot may live somewhere, or come
//! to: the new one has seen it and replaces it there. What became of the first attempt at a replica that did not
//! answer stays in the outcome, so that a failure is never told as surely not stored.
//! A replica that covers the dot but can *name* it has joined it before: that is an acknowledgement.
//!
//! **Hints.** A strict write is kept for those who missed it only once W owners have it: what fails must not come to
//! life later. A *sloppy* one at once, and a node that keeps it counts in place of one owner: W different nodes have it,
//! and W owners once it is delivered. A holder that does not take its hint is replaced by the next, until there is none left.
//!
//! Source: Dynamo (2007), section 4.6.

use quoit_ring::Time;
use quoit_ring::mutant::{Mutant, mutant};
use smallvec::{SmallVec, smallvec};

use crate::error::Outcome;
use crate::quorum::steps::Steps;

/// How often one write may be minted anew: as often as a request's id can tell apart. Each time needs another writer's
/// later stamp to get in between, which on a key that everybody writes happens every other time.
const MAX_REMINTS: u8 = 15;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WriteStep {
    /// Send the write to an owner.
    Send(usize),
    /// Find somebody to keep the write for an owner, and call [`WriteQuorum::hinted`] or [`WriteQuorum::no_holder`].
    Hint(usize),
    /// Mint a dot above this time that has seen the present one, and call [`WriteQuorum::reminted`].
    Remint(Time),
    /// The verdict: how many acknowledged, at least W; or why not.
    Return(Result<Acked, WriteFailure>),
    /// Nothing more will come.
    Finish,
}

/// Who had acknowledged a write when it returned.
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
    pub(crate) acked: usize,
    /// Replicas that acknowledged an earlier dot of this write: it lives, or lived, there.
    pub(crate) acked_before: usize,
    /// Whether somebody had not answered when the write was minted anew, and may hold an earlier dot.
    pub(crate) unknown_before: bool,
    /// What each owner did, then what became of each hint.
    pub(crate) outcomes: Vec<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Pending,
    Acked,
    Superseded(Time),
    Failed(Outcome),
}

/// Whether a write is kept for an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It need not be, as far as is known.
    No,
    /// Somebody is being asked to.
    Asked,
    Yes,
    /// There is nobody left to ask.
    Nowhere,
}

#[derive(Debug)]
struct Owner {
    state: State,
    kept: Kept,
    /// Whether it should not be waited for.
    is_overdue: bool,
}

/// One holder asked to keep the write for one owner.
#[derive(Debug)]
struct Hint {
    owner: usize,
    /// Which of the nodes that own nothing of the key the holder is; `None` for an owner.
    holder: Option<usize>,
    state: State,
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
    w: usize,
    sloppy: bool,
    phase: Phase,
    owners: SmallVec<[Owner; 3]>,
    hints: SmallVec<[Hint; 1]>,
    steps: Steps<WriteStep>,
    remints: u8,
    /// Most replicas that acknowledged one earlier dot.
    acked_before: usize,
    unknown_before: bool,
    succeeded: bool,
}

impl WriteQuorum {
    /// A write to `n` owners that needs `w` of them, 1 to n, or if it is `sloppy` of them and those who keep it for
    /// one of them. It starts by sending to all.
    pub(crate) fn new(n: usize, w: usize, sloppy: bool) -> Self {
        debug_assert!((1..=n).contains(&w), "w was checked");
        let owner = |_| Owner {
            state: State::Pending,
            kept: Kept::No,
            is_overdue: false,
        };
        Self {
            w,
            sloppy: sloppy || mutant(Mutant::HintCountsAsOwner),
            phase: Phase::Writing,
            owners: (0..n).map(owner).collect(),
            hints: smallvec![],
            steps: (0..n).map(WriteStep::Send).collect(),
            remints: 0,
            acked_before: 0,
            unknown_before: false,
            succeeded: false,
        }
    }

    /// The next thing to do, or nothing until an input comes.
    pub(crate) fn poll_step(&mut self) -> Option<WriteStep> {
        self.steps.next()
    }

    /// An owner joined the write, or a holder keeps it: hints are counted on from the owners.
    pub(crate) fn acked(&mut self, mut replica: usize) {
        if mutant(Mutant::AnswerCountedTwice) && !self.awaits(replica) {
            let mut others = 0..self.owners.len();
            replica = others.find(|&r| self.awaits(r)).unwrap_or(replica);
        }
        self.note(replica, State::Acked);
    }

    /// A replica covers the dot already, by something up to `above`; it may be able to name it.
    pub(crate) fn superseded(&mut self, replica: usize, named: bool, above: Time) {
        let state = if named || mutant(Mutant::SupersededCountsAsAck) {
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

    /// An owner has not answered for so long that it should not be waited for: the write is to be kept for it, or
    /// minted anew without it if that is what it waits for.
    pub(crate) fn overdue(&mut self, owner: usize) {
        if !self.awaits(owner) {
            return;
        }
        if self.keeps_early() {
            self.keep_for(owner);
        }
        if let Some(owner) = self.owners.get_mut(owner)
            && !core::mem::replace(&mut owner.is_overdue, true)
        {
            self.evaluate();
        }
    }

    /// The node that was found is asked to keep the write for `owner`. A `holder` that owns nothing of the key has a
    /// number, the same each time it is asked; an owner has none.
    pub(crate) fn hinted(&mut self, owner: usize, holder: Option<usize>) {
        let state = State::Pending;
        self.hints.push(Hint {
            owner,
            holder,
            state,
        });
    }

    /// Nobody is left to keep the write for `owner`.
    pub(crate) fn no_holder(&mut self, owner: usize) {
        if let Some(owner) = self.owners.get_mut(owner) {
            owner.kept = Kept::Nowhere;
        }
        self.evaluate();
    }

    /// The deadline has passed.
    pub(crate) fn expired(&mut self) {
        let owners = self.owners.iter_mut().map(|owner| &mut owner.state);
        let hints = self.hints.iter_mut().map(|hint| &mut hint.state);
        for state in owners.chain(hints) {
            if *state == State::Pending {
                *state = State::Failed(Outcome::TimedOut);
            }
        }
        match self.phase {
            Phase::Writing => self.fail(),
            Phase::Returned => self.finish(),
            Phase::Finished => {}
        }
    }

    /// Whether an answer is awaited of a replica, or of a holder.
    pub(crate) fn awaits(&self, replica: usize) -> bool {
        self.phase != Phase::Finished && self.state(replica) == Some(&State::Pending)
    }

    /// Owners whose answer is awaited, and for whom nobody has been asked to keep the write.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = usize> {
        let awaited =
            |(_, owner): &(usize, &Owner)| owner.state == State::Pending && owner.kept == Kept::No;
        let owners = self.owners.iter().enumerate().filter(awaited);
        owners.map(|(replica, _)| replica)
    }

    /// Owners that have the write for certain.
    pub(crate) fn holders(&self) -> impl Iterator<Item = usize> {
        let acked = |(_, owner): &(usize, &Owner)| owner.state == State::Acked;
        let owners = self.owners.iter().enumerate().filter(acked);
        owners.map(|(replica, _)| replica)
    }

    /// Which hints, counted from the first, were meant for `owner`.
    pub(crate) fn hints_for(&self, owner: usize) -> impl Iterator<Item = usize> {
        let meant = move |(_, hint): &(usize, &Hint)| hint.owner == owner;
        let hints = self.hints.iter().enumerate().filter(meant);
        hints.map(|(number, _)| number)
    }

    /// Whether the caller has its answer.
    pub(crate) fn has_returned(&self) -> bool {
        self.phase == Phase::Returned
    }

    /// Owners that missed the write, and for whom nobody keeps it; of one that succeeded.
    pub(crate) fn forgone(&self) -> usize {
        if !self.succeeded {
            return 0;
        }
        let missed = |owner: &&Owner| {
            let missed = match &owner.state {
                State::Pending => true,
                State::Failed(why) => why.is_missed(),
                State::Acked | State::Superseded(_) => false,
            };
            missed && owner.kept != Kept::Yes
        };
        self.owners.iter().filter(missed).count()
    }

    /// A dot above what covers the write was minted: send it to everyone who did not fail. What was kept of the
    /// earlier one counts no more.
    pub(crate) fn reminted(&mut self) {
        self.acked_before = self.acked_before.max(self.acks().nodes);
        let mut states = (self.owners.iter().map(|owner| &owner.state))
            .chain(self.hints.iter().map(|hint| &hint.state));
        self.unknown_before |= states.any(|state| *state == State::Pending);
        self.hints.clear();
        for replica in 0..self.owners.len() {
            let owner = &mut self.owners[replica];
            owner.kept = Kept::No;
            owner.is_overdue = false;
            if matches!(owner.state, State::Failed(_)) {
                self.miss(replica);
            } else {
                owner.state = State::Pending;
                self.steps.push(WriteStep::Send(replica));
            }
        }
    }

    /// No dot above what covers the write can be minted: the clocks are too far apart.
    pub(crate) fn cannot_remint(&mut self) {
        self.fail();
    }

    /// Whether it is kept for owners that may still answer: a strict one that could fail is not.
    fn keeps_early(&self) -> bool {
        self.phase == Phase::Returned || self.sloppy
    }

    fn state(&self, replica: usize) -> Option<&State> {
        match replica.checked_sub(self.owners.len()) {
            None => self.owners.get(replica).map(|owner| &owner.state),
            Some(hint) => self.hints.get(hint).map(|hint| &hint.state),
        }
    }

    fn note(&mut self, replica: usize, state: State) {
        if !self.awaits(replica) {
            return;
        }
        match replica.checked_sub(self.owners.len()) {
            None => {
                self.owners[replica].state = state;
                self.miss(replica);
            }
            Some(hint) => {
                let hint = &mut self.hints[hint];
                hint.state = state;
                let (owner, failed) = (hint.owner, matches!(hint.state, State::Failed(_)));
                if failed {
                    self.steps.push(WriteStep::Hint(owner));
                } else {
                    self.owners[owner].kept = Kept::Yes;
                }
            }
        }
        self.evaluate();
    }

    /// Has the write kept for an owner that missed it, if it is time for that.
    fn miss(&mut self, replica: usize) {
        let missed = matches!(&self.owners[replica].state, State::Failed(why) if why.is_missed());
        if missed && (self.sloppy || self.phase == Phase::Returned) {
            self.keep_for(replica);
        }
    }

    fn keep_for(&mut self, replica: usize) {
        let owner = &mut self.owners[replica];
        if owner.kept == Kept::No {
            owner.kept = Kept::Asked;
            self.steps.push(WriteStep::Hint(replica));
        }
    }

    /// How many copies are in such a state: of owners, and if the write is sloppy of nodes that keep it in place of one,
    /// each node for one owner. A hint does not count beside the owner that it is for: delivered, they are one copy.
    fn count(&self, of: impl Fn(&State) -> bool) -> Acked {
        let (mut owners, mut holders) = (0, SmallVec::<[usize; 3]>::new());
        for (number, owner) in self.owners.iter().enumerate() {
            if of(&owner.state) {
                owners += 1;
            } else if self.sloppy {
                let its = |hint: &&Hint| hint.owner == number && of(&hint.state);
                let mut free = (self.hints.iter().filter(its))
                    .filter_map(|hint| hint.holder)
                    .filter(|holder| !holders.contains(holder));
                let found = free.next();
                holders.extend(found);
            }
        }
        let hints = holders.len();
        Acked {
            nodes: owners + hints,
            hints,
        }
    }

    fn acks(&self) -> Acked {
        self.count(|state| *state == State::Acked)
    }

    fn evaluate(&mut self) {
        match self.phase {
            Phase::Writing => self.evaluate_writing(),
            Phase::Returned if self.is_settled() => self.finish(),
            Phase::Returned | Phase::Finished => {}
        }
    }

    fn evaluate_writing(&mut self) {
        let acked = self.acks();
        let needed = if mutant(Mutant::QuorumOfOne) {
            1
        } else {
            self.w
        };
        if acked.nodes >= needed {
            self.give_back(acked);
        } else if !self.may_still_come(|owner| !owner.is_overdue)
            && let Some(above) = self.remintable()
        {
            self.remints += 1;
            self.steps.push(WriteStep::Remint(above));
        } else if !self.may_still_come(|_any| true) {
            self.fail();
        }
    }

    /// Whether an answer that could count is awaited of such an owner, or a holder sought or asked.
    fn may_still_come(&self, of: impl Fn(&Owner) -> bool) -> bool {
        let awaited = |owner: &Owner| {
            owner.kept == Kept::Asked || (owner.state == State::Pending && of(owner))
        };
        self.owners.iter().any(awaited)
    }

    /// The caller gets its answer; whoever missed the write is kept it from now on.
    fn give_back(&mut self, acked: Acked) {
        self.phase = Phase::Returned;
        self.succeeded = true;
        self.steps.push(WriteStep::Return(Ok(acked)));

        for replica in 0..self.owners.len() {
            let owner = &mut self.owners[replica];
            if owner.kept == Kept::Nowhere {
                owner.kept = Kept::No; // those who have it may keep it for others now
            }
            self.miss(replica);
        }
        if self.is_settled() {
            self.finish();
        }
    }

    /// Whether nothing more will come of any owner.
    fn is_settled(&self) -> bool {
        let settled = |owner: &Owner| match (&owner.state, owner.kept) {
            (_, Kept::Asked) => false,
            (State::Pending, kept) => kept == Kept::Yes,
            _ => true,
        };
        self.owners.iter().all(settled)
    }

    /// What to mint above, if minting anew can reach W.
    fn remintable(&self) -> Option<Time> {
        let willing = self.count(|state| matches!(state, State::Acked | State::Superseded(_)));
        if willing.nodes < self.w || self.remints >= MAX_REMINTS {
            return None;
        }
        let above = |state: &State| match state {
            State::Superseded(above) => Some(*above),
            State::Pending | State::Acked | State::Failed(_) => None,
        };
        let owners = self.owners.iter().filter_map(|owner| above(&owner.state));
        let hints = self.hints.iter().filter_map(|hint| above(&hint.state));
        owners.chain(hints).max()
    }

    fn fail(&mut self) {
        let outcome = |state: &State| match state {
            State::Pending => Outcome::TimedOut,
            State::Acked => Outcome::Done,
            State::Superseded(_) => Outcome::Superseded,
            State::Failed(outcome) => outcome.clone(),
        };
        let owners = self.owners.iter().map(|owner| outcome(&owner.state));
        let hints = self.hints.iter().map(|hint| outcome(&hint.state));
        let failure = WriteFailure {
            acked: self.acks().nodes,
            acked_before: self.acked_before,
            unknown_before: self.unknown_before,
            outcomes: owners.chain(hints).collect(),
        };
        if self.phase == Phase::Writing {
            // What it was still to do is of no use to a write that has failed.
            self.steps.clear();
            self.steps.push(WriteStep::Return(Err(failure)));
            self.finish();
        }
    }

    fn finish(&mut self) {
        if self.phase != Phase::Finished {
            self.phase = Phase::Finished;
            self.steps.push(WriteStep::Finish);
        }
    }
}

#[cfg(test)]
mod tests;
