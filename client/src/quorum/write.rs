//! The write quorum: W acknowledgements of one write, and a hint for each owner that missed it.
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
//! Source: Dynamo (2007), section 4.6.

use quoit_ring::Time;
use smallvec::{SmallVec, smallvec};

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
    Return(Result<Acked, WriteFailure>),
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
    /// Not yet, or not needed.
    No,
    /// A holder is sought or asked.
    Asked,
    Yes,
    /// No holder is left to ask.
    Nowhere,
}

#[derive(Debug)]
struct Owner {
    state: State,
    kept: Kept,
    /// Whether it should not be waited for.
    is_overdue: bool,
    /// Whether it joined an earlier dot, before the write was renewed.
    has_joined: bool,
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
    is_renewed: bool,
    evidence: Evidence,
    succeeded: bool,
}

impl WriteQuorum {
    /// A write to `n` owners that needs `w` of them, 1 to n; if it is `sloppy`, holders count, too. It starts by
    /// sending to all.
    pub(crate) fn new(n: usize, w: usize, sloppy: bool) -> Self {
        debug_assert!((1..=n).contains(&w), "w was checked");
        let owner = |_| Owner {
            state: State::Pending,
            kept: Kept::No,
            is_overdue: false,
            has_joined: false,
        };
        Self {
            w,
            sloppy,
            phase: Phase::Writing,
            owners: (0..n).map(owner).collect(),
            hints: smallvec![],
            steps: (0..n).map(WriteStep::Send).collect(),
            remints: 0,
            is_renewed: false,
            evidence: Evidence::default(),
            succeeded: false,
        }
    }

    /// The same for a write that was sent before, of which this is known, and that these owners have acknowledged under
    /// the dot that it still has. They are fewer than W were, but the ring may have another N by now.
    pub(crate) fn again(
        mut self,
        evidence: Evidence,
        holders: impl Iterator<Item = usize>,
    ) -> Self {
        self.evidence = evidence;
        for holder in holders {
            self.owners[holder].state = State::Acked;
        }
        self.steps.clear();
        for (owner, it) in self.owners.iter().enumerate() {
            if it.state == State::Pending {
                self.steps.push(WriteStep::Send(owner));
            }
        }
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
        let owner = self.owners.get(replica);
        let state = if named || owner.is_some_and(|owner| owner.has_joined) {
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

    /// No holder is left for `owner`.
    pub(crate) fn no_holder(&mut self, owner: usize) {
        if let Some(owner) = self.owners.get_mut(owner) {
            owner.kept = Kept::Nowhere;
        }
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
        self.phase != Phase::Finished && self.state(replica) == Some(&State::Pending)
    }

    /// Whether W may acknowledge it under its present dot, though late.
    pub(crate) fn may_reach_w(&self) -> bool {
        let may = |state: &State| matches!(state, State::Acked | State::Pending);
        self.count(may).nodes >= self.w
    }

    /// Owners whose answer is awaited, and for which no holder has been asked.
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

    /// A dot above what superseded the write was minted: send it to every owner that did not fail. Hints of the earlier
    /// one no longer count.
    pub(crate) fn reminted(&mut self) {
        self.remints += 1;
        let is_open = self.states().any(|state| *state == State::Pending);
        self.evidence.may_be_stored |= is_open;
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

    /// Whether this replica is awaited, and the write may still be renewed when it has joined it.
    pub(crate) fn may_renew(&self, replica: usize) -> bool {
        self.phase == Phase::Writing && self.remints < MAX_REMINTS && self.awaits(replica)
    }

    /// A replica joined the write, but its lifetime was wrong and a newer dot has the right one: send that to every owner
    /// that did not fail. What has joined the first one keeps it if the new one does not come.
    pub(crate) fn renewed(&mut self, replica: usize) {
        debug_assert!(self.may_renew(replica), "checked by the caller");
        self.evidence.may_be_stored = true;
        if let Some(owner) = self.owners.get_mut(replica) {
            owner.state = State::Acked;
        }
        for owner in &mut self.owners {
            owner.has_joined |= owner.state == State::Acked;
        }
        self.is_renewed = true;
        self.reminted();
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
        debug_assert!(acked.nodes >= self.w, "as for a new dot");
        self.steps.push(WriteStep::Return(Ok(acked)));
        self.finish();
    }

    /// Whether hints go out for owners that may still answer: not of a strict write that could fail.
    fn keeps_early(&self) -> bool {
        self.phase == Phase::Returned || self.sloppy
    }

    /// Of every request: of owners, then of hints.
    fn states(&self) -> impl Iterator<Item = &State> {
        let owners = self.owners.iter().map(|owner| &owner.state);
        owners.chain(self.hints.iter().map(|hint| &hint.state))
    }

    /// No answer is awaited any more.
    fn give_up_pending(&mut self) {
        let owners = self.owners.iter_mut().map(|owner| &mut owner.state);
        let hints = self.hints.iter_mut().map(|hint| &mut hint.state);
        for state in owners.chain(hints) {
            if *state == State::Pending {
                *state = State::Failed(Outcome::TimedOut);
                self.evidence.may_be_stored = true;
            }
        }
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
        if let State::Failed(outcome) = &state {
            self.evidence.may_be_stored |= outcome.may_be_stored();
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

    /// Looks for a holder for an owner that missed the write, if it is time for that.
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

    /// How many copies are in such a state: owners, and if the write is sloppy holders, each for one owner. A hint does
    /// not count beside the owner that it is for: delivered, they are one copy.
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

    /// Who has acknowledged it under its present dot.
    pub(crate) fn acks(&self) -> Acked {
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
        debug_assert!(
            !self.succeeded,
            "a write that has returned is not judged again"
        );
        let acked = self.acks();
        self.evidence.acked = self.evidence.acked.max(acked.nodes);
        if acked.nodes >= self.w {
            self.give_back(acked);
        } else if !self.may_still_come(|owner| !owner.is_overdue)
            && let Some(above) = self.remintable()
        {
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

    /// The caller gets its answer; from now on hints go out for owners that missed the write.
    fn give_back(&mut self, acked: Acked) {
        self.phase = Phase::Returned;
        self.succeeded = true;
        self.steps.push(WriteStep::Return(Ok(acked)));

        for replica in 0..self.owners.len() {
            let owner = &mut self.owners[replica];
            if owner.kept == Kept::Nowhere {
                // Owners that have it may keep it for others from now on.
                owner.kept = Kept::No;
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

    /// Replicas that have the write or a later one.
    fn willing(&self) -> Acked {
        self.count(|state| matches!(state, State::Acked | State::Superseded(_)))
    }

    /// What to mint above, if minting again can reach W.
    fn remintable(&self) -> Option<Time> {
        if self.is_renewed || self.willing().nodes < self.w || self.remints >= MAX_REMINTS {
            return None; // above what may have seen it, a renewed one would come back
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
        if self.phase != Phase::Writing {
            return;
        }
        self.give_up_pending();
        let outcome = |state: &State| match state {
            State::Pending => Outcome::TimedOut,
            State::Acked => Outcome::Done,
            State::Superseded(_) => Outcome::Superseded,
            State::Failed(outcome) => outcome.clone(),
        };
        let failure = WriteFailure {
            evidence: self.evidence,
            outcomes: self.states().map(outcome).collect(),
        };
        // What it was still to do is of no use to a write that has failed.
        self.steps.clear();
        self.steps.push(WriteStep::Return(Err(failure)));
        self.finish();
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
