//! The read quorum: R answers joined, and on enough replicas before they are returned.
//!
//! While a range moves its keys have two lists of replicas, and every count must be reached in either.
//!
//! ```text
//!   ask R replicas, the first in full, the others for a digest
//!     | R answers                      one fails, or is slow: ask the next
//!     v
//!   join them --a value is missing--> wait for the full record; if that is late or lacks it, ask who has it
//!     |
//!     v
//!   do enough replicas hold it? --no--> write it back to all others, wait
//!     | yes                                |
//!     v                                    v
//!   return it; repair the stale ones in the background
//! ```
//!
//! **A value comes once.** Of all who are asked at first, one is asked for the full record. Digests may be quicker, and in
//! mode `One` a single answer would be enough; but to ask for each value that a digest names would fetch it from all. So a
//! missing value is asked for only when no full record is awaited any more, or the read was hedged: then that one is late.
//!
//! A caller may do without the write-back (`hold` is 0), and without any repair at all; see
//! [`ReadRepair`](crate::ReadRepair) for what that costs.
//!
//! *Holds* means: equal live sets and equal Seen, each replica judged at its own clock. A sibling that has
//! expired at the largest clock among the answers is dead; a replica that has not reached that instant does
//! not hold its death yet, and gets it written back. Without the write-back reads could go backwards.
//!
//! ```text
//!   clocks of the answers    n1 ---- what a majority has reached ---- bound ---- n2
//!   an expiry                        dead by both                  |  alive by n1, dead by n2 alone: n2 is left out
//! ```
//!
//! A clock beyond the [`TimeBound`] is not followed, or one broken clock would end everybody's values. Nor is it
//! taken for less than it says: another reader may have counted that replica as a holder of the death. So an answer
//! that only such a clock makes a death of does not count, and the next replica is asked. The reader's own clock
//! has no part in this: readers whose clocks differ come to one result.
//!
//! What was remembered of clocks may be old. So the bound is what a majority has reached by its answers to this very
//! read, as soon as it has so many, and is what was remembered only before. An answer that was left out is kept, and
//! counts after all if the bound rises: none fails for its clock while another may still come.
//!
//! Source: Attiya, Bar-Noy and Dolev, *Sharing Memory Robustly in Message-Passing Systems* (1995).

use quoit_ring::change::{OwnerSet, Quorums, Threshold};
use quoit_ring::wire::DecodeError;
use quoit_ring::{Dot, Millis, Record, Sibling, content_hash};
use smallvec::{SmallVec, smallvec};

use crate::error::Outcome;
use crate::quorum::steps::Steps;

/// What a read needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadRules {
    /// Answers needed: of each list 1 to its length.
    pub(crate) r: Threshold,
    /// Replicas that must hold what is returned before it is; 0 to answer first and repair afterwards.
    pub(crate) hold: Threshold,
    /// Also ask the replicas beyond R, for repair in the background.
    pub(crate) ask_all: bool,
    /// Whether who is found stale is repaired once the caller has its answer.
    pub(crate) repair: bool,
}

impl ReadRules {
    /// The same for the same replicas in another order.
    pub(crate) const fn over(self, lists: Quorums) -> Self {
        Self {
            r: self.r.over(lists),
            hold: self.hold.over(lists),
            ..self
        }
    }
}

/// Up to when a replica's clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeBound {
    /// What a majority of the replicas has reached, or all whose clocks are known if those are fewer.
    pub(crate) reached: Millis,
    /// How far ahead of that a clock may be, in milliseconds.
    pub(crate) max_ms: u64,
}

impl TimeBound {
    const fn latest(self) -> Millis {
        Millis(self.reached.0.saturating_add(self.max_ms))
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadStep {
    /// Ask a replica; with `digest` it may leave values out.
    Ask { replica: usize, digest: bool },
    /// Send [`ReadQuorum::newest`] to a replica as a repair.
    Repair(usize),
    /// The verdict for the caller: [`ReadQuorum::newest`], or why not.
    Return(Result<(), ReadFailure>),
    /// Nothing more will come.
    Finish,
}

/// Why nothing can be returned, with what each replica did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadFailure {
    /// Fewer than R answered.
    Unavailable {
        answered: usize,
        needed: usize,
        outcomes: Vec<Outcome>,
    },
    /// R answered, but too few hold the newest state.
    Unstable {
        held: usize,
        needed: usize,
        outcomes: Vec<Outcome>,
    },
}

#[derive(Debug)]
enum State {
    Idle,
    Asked {
        in_full: bool,
    },
    Answered(Answer),
    /// Its clock alone makes a death of what it holds: this does not count as the bound is now.
    LeftOut(Answer),
    Failed(Outcome),
}

/// What a replica holds, and its clock when it said so.
#[derive(Debug)]
struct Answer {
    record: Record,
    clock: Millis,
}

/// What became of a write-back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Repair {
    None,
    Sent,
    Done,
    Failed(Outcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asking,
    /// Without a write-back these hold it.
    WritingBack {
        held: OwnerSet,
    },
    /// The caller has its answer; the rest is repair.
    Returned,
    Finished,
}

/// One quorum read.
#[derive(Debug)]
pub(crate) struct ReadQuorum {
    rules: ReadRules,
    phase: Phase,
    replicas: SmallVec<[State; 3]>,
    repairs: SmallVec<[Repair; 3]>,
    newest: Record,
    /// Whether it was hedged: the full record is not waited for any longer.
    is_late: bool,
    /// None until clocks matter: then each is believed.
    bound: Option<TimeBound>,
    steps: Steps<ReadStep>,
}

impl ReadQuorum {
    /// A read over all replicas of the rules, in the order of asking.
    pub(crate) fn new(rules: ReadRules) -> Self {
        let n = rules.r.all().len();
        debug_assert!(
            (rules.r.lists()).all(|(list, r)| (1..=list.len()).contains(&r)),
            "r was checked"
        );
        let mut read = Self {
            rules,
            phase: Phase::Asking,
            replicas: (0..n).map(|_| State::Idle).collect(),
            repairs: smallvec![Repair::None; n],
            newest: Record::default(),
            is_late: false,
            bound: None,
            steps: Steps::new(),
        };
        let mut asked = OwnerSet::NONE;
        for replica in 0..n {
            if rules.ask_all || rules.r.is_helped_by(replica, asked) {
                read.ask(replica, !asked.is_empty());
                asked.insert(replica);
            }
        }
        read
    }

    /// The next thing to do, or nothing until an input comes.
    pub(crate) fn poll_step(&mut self) -> Option<ReadStep> {
        self.steps.next()
    }

    /// What the answers joined say, expired siblings taken out.
    pub(crate) const fn newest(&self) -> &Record {
        &self.newest
    }

    /// Whether a replica's answer to a question is awaited.
    pub(crate) fn awaits(&self, replica: usize) -> bool {
        self.phase != Phase::Finished
            && matches!(self.replicas.get(replica), Some(State::Asked { .. }))
    }

    /// Whether a replica's answer to a write-back is awaited.
    pub(crate) fn awaits_repair(&self, replica: usize) -> bool {
        self.repairs.get(replica) == Some(&Repair::Sent)
    }

    /// Sets up to when clocks are believed, by what is remembered: before each answer of a read that has found an expiry.
    pub(crate) const fn believe(&mut self, bound: Option<TimeBound>) {
        self.bound = bound;
    }

    /// A replica answered with what it holds.
    pub(crate) fn answered(&mut self, replica: usize, record: Record, clock: Millis) {
        if !self.awaits(replica) {
            return;
        }
        self.replicas[replica] = if record.live().iter().all(intact) {
            State::Answered(Answer { record, clock })
        } else {
            State::Failed(Outcome::Damaged(DecodeError::Checksum))
        };
        self.evaluate();
    }

    /// A replica did not answer the question, and will not.
    pub(crate) fn failed(&mut self, replica: usize, outcome: Outcome) {
        if self.awaits(replica) {
            self.replicas[replica] = State::Failed(outcome);
            self.evaluate();
        }
    }

    /// A replica holds the write-back, or did not take it.
    pub(crate) fn repaired(&mut self, replica: usize, result: Result<(), Outcome>) {
        if !self.awaits_repair(replica) {
            return;
        }
        self.repairs[replica] = result.map_or_else(Repair::Failed, |()| Repair::Done);
        if let Phase::WritingBack { held } = self.phase {
            self.count_holders(held);
        }
    }

    /// Whether it has not come to a result.
    pub(crate) fn is_asking(&self) -> bool {
        self.phase == Phase::Asking
    }

    /// Which replica a hedge would ask: the next, or if all were asked one whose digest names a value that has not come.
    /// None if enough have answered, or nobody is left.
    pub(crate) fn next_to_hedge(&self) -> Option<usize> {
        if self.phase != Phase::Asking {
            return None;
        }
        self.idle().or_else(|| self.holder_of_missing())
    }

    /// The replicas asked so far take long: asks one more. False if there is nobody to ask or no need to.
    pub(crate) fn hedge(&mut self) -> bool {
        if self.phase != Phase::Asking {
            return false;
        }
        self.is_late = true;
        if self.ask_next() {
            return true;
        }
        let Some(holder) = self.holder_of_missing() else {
            return false;
        };
        self.ask(holder, false);
        true
    }

    /// Whether a replica before this one, in the order of asking, has not answered what it was asked.
    pub(crate) fn is_silent_before(&self, replica: usize) -> bool {
        let silent = |state: &State| matches!(state, State::Asked { .. });
        self.replicas.iter().take(replica).any(silent)
    }

    /// The deadline has passed.
    pub(crate) fn expired(&mut self) {
        for state in &mut self.replicas {
            if matches!(state, State::Asked { .. }) {
                *state = State::Failed(Outcome::TimedOut);
            }
        }
        for repair in &mut self.repairs {
            if *repair == Repair::Sent {
                *repair = Repair::Failed(Outcome::TimedOut);
            }
        }

        match self.phase {
            Phase::Asking => self.fail_unavailable(),
            Phase::WritingBack { held } => self.count_holders(held),
            Phase::Returned => self.repair_in_background(),
            Phase::Finished => {}
        }
    }

    fn evaluate(&mut self) {
        match self.phase {
            Phase::Asking => self.evaluate_answers(),
            Phase::Returned => self.repair_in_background(),
            Phase::WritingBack { .. } | Phase::Finished => {}
        }
    }

    fn evaluate_answers(&mut self) {
        self.judge_clocks();
        let answered: OwnerSet = self.answers().map(|(replica, _)| replica).collect();
        if !self.rules.r.reached(answered) {
            // A replica that failed is replaced, so that enough are asked at any time.
            self.ask_until_enough(answered | self.outstanding());
            if self.outstanding().is_empty() {
                self.fail_unavailable();
            }
            return;
        }

        self.newest = self.joined();
        if self.ask_for_missing_values() {
            return; // a digest named a value that no answer has brought
        }

        let held: OwnerSet = self.holders().collect();
        if self.rules.hold.reached(held) {
            self.return_newest(held == answered);
        } else {
            self.phase = Phase::WritingBack { held };
            self.repair_stale(true);
        }
    }

    /// All answers joined, as they read at the largest clock among them.
    fn joined(&self) -> Record {
        let mut answers = self.answers().map(|(_, answer)| answer);
        let Some(first) = answers.next() else {
            return Record::default();
        };
        let (mut joined, mut now) = (first.record.clone(), self.time_of(first));
        for answer in answers {
            joined.join(&answer.record);
            now = now.max(self.time_of(answer));
        }
        if joined.live().iter().any(|s| s.expiry.is_some()) {
            return joined.at(now);
        }
        joined
    }

    /// Leaves out the answers that only a clock beyond the bound makes a death of, and admits those that it no longer does.
    fn judge_clocks(&mut self) {
        let fresh = self.reached_by_answers();
        let Some(bound) = &mut self.bound else {
            return;
        };
        if let Some(fresh) = fresh {
            bound.reached = fresh;
        }

        let latest = bound.latest();
        for state in &mut self.replicas {
            let (State::Answered(answer) | State::LeftOut(answer)) = state else {
                continue;
            };
            let between = |expiry: Millis| latest < expiry && expiry <= answer.clock;
            let mut expiries = answer.record.live().iter().filter_map(|s| s.expiry);
            let is_left_out = expiries.any(between);
            if is_left_out != matches!(state, State::LeftOut(_)) {
                *state = match core::mem::replace(state, State::Idle) {
                    State::Answered(answer) => State::LeftOut(answer),
                    State::LeftOut(answer) => State::Answered(answer),
                    other => other,
                };
            }
        }
    }

    /// What a majority of the replicas has reached, by the clocks of their answers; none while fewer have answered, or
    /// clocks do not matter.
    fn reached_by_answers(&self) -> Option<Millis> {
        self.bound?;
        let clock = |state: &State| match state {
            State::Answered(answer) | State::LeftOut(answer) => Some(answer.clock),
            State::Idle | State::Asked { .. } | State::Failed(_) => None,
        };
        let mut clocks: SmallVec<[Millis; 3]> = self.replicas.iter().filter_map(clock).collect();
        clocks.sort_unstable_by(|a, b| b.cmp(a));
        clocks.get(self.replicas.len() / 2).copied()
    }

    /// A replica's clock, as far as it is believed.
    fn time_of(&self, answer: &Answer) -> Millis {
        let latest = self.bound.map(TimeBound::latest);
        latest.map_or(answer.clock, |latest| answer.clock.min(latest))
    }

    /// Asks in full those replicas whose digests name a value that nobody has sent yet, unless a full record may bring
    /// it. False if nothing is missing.
    fn ask_for_missing_values(&mut self) -> bool {
        let missing: SmallVec<[_; 1]> = self.missing().collect();
        let may_come = !self.is_late && self.awaits_full_record();
        if !may_come {
            for &version in &missing {
                if let Some(replica) = self.holder_of(version) {
                    self.ask(replica, false);
                }
            }
        }
        !missing.is_empty()
    }

    /// The versions whose values no answer has brought.
    fn missing(&self) -> impl Iterator<Item = (Dot, u64)> {
        let missing = self.newest.live().iter().filter(|s| s.value.is_none());
        missing.map(|s| (s.dot, s.hash))
    }

    /// Who has answered that it has this version.
    fn holder_of(&self, version: (Dot, u64)) -> Option<usize> {
        let names = |a: &Answer| a.record.live().iter().any(|s| (s.dot, s.hash) == version);
        let mut holders = self.answers().filter(|(_, a)| names(a));
        holders.next().map(|(replica, _)| replica)
    }

    /// Who has answered that it has a value which has not come.
    fn holder_of_missing(&self) -> Option<usize> {
        self.missing().find_map(|version| self.holder_of(version))
    }

    /// Whether a full record is awaited.
    fn awaits_full_record(&self) -> bool {
        let awaited = |state: &State| matches!(state, State::Asked { in_full: true });
        self.replicas.iter().any(awaited)
    }

    /// Returns; if all answers agree and no other is awaited, or nothing is to be repaired, that was all.
    fn return_newest(&mut self, agreed: bool) {
        self.steps.push(ReadStep::Return(Ok(())));
        if !self.rules.repair || (agreed && self.outstanding().is_empty()) {
            return self.finish();
        }
        self.phase = Phase::Returned;
        self.repair_in_background();
    }

    /// Once every question is answered or given up: repairs who is stale and finishes.
    fn repair_in_background(&mut self) {
        if self.rules.ask_all && !self.outstanding().is_empty() {
            return;
        }
        self.judge_clocks();
        self.newest = self.joined();
        if self.ask_for_missing_values() {
            return;
        }
        self.repair_stale(false);
        self.finish();
    }

    /// Writes the newest state back to every replica known to differ; with `everyone` also to those that
    /// did not say what they hold.
    fn repair_stale(&mut self, everyone: bool) {
        let holders: SmallVec<[usize; 3]> = self.holders().collect();
        for replica in 0..self.replicas.len() {
            let known = matches!(self.replicas[replica], State::Answered(_));
            if (known || everyone) && !holders.contains(&replica) {
                self.repairs[replica] = Repair::Sent;
                self.steps.push(ReadStep::Repair(replica));
            }
        }
    }

    /// Goes on once enough replicas hold the newest state, `before` of them without a write-back.
    fn count_holders(&mut self, before: OwnerSet) {
        let held = before | self.repairs_in(&Repair::Done);
        if self.rules.hold.reached(held) {
            self.steps.push(ReadStep::Return(Ok(())));
            self.finish();
        } else if !(self.rules.hold).reached(held | self.repairs_in(&Repair::Sent)) {
            let failure = ReadFailure::Unstable {
                held: held.len(),
                needed: self.rules.hold.of_any(),
                outcomes: self.outcomes(),
            };
            self.steps.push(ReadStep::Return(Err(failure)));
            self.finish();
        }
    }

    fn repairs_in(&self, state: &Repair) -> OwnerSet {
        let repairs = self.repairs.iter().enumerate();
        let its = repairs.filter(|(_, repair)| *repair == state);
        its.map(|(replica, _)| replica).collect()
    }

    fn fail_unavailable(&mut self) {
        let failure = ReadFailure::Unavailable {
            answered: self.answers().count(),
            needed: self.rules.r.of_any(),
            outcomes: self.outcomes(),
        };
        self.steps.push(ReadStep::Return(Err(failure)));
        self.finish();
    }

    fn finish(&mut self) {
        debug_assert!(self.phase != Phase::Finished, "a read ends once");
        self.phase = Phase::Finished;
        self.steps.push(ReadStep::Finish);
    }

    fn ask(&mut self, replica: usize, digest: bool) {
        self.replicas[replica] = State::Asked { in_full: !digest };
        self.steps.push(ReadStep::Ask { replica, digest });
    }

    /// Asks replicas that were not asked yet until these would be enough, if there are so many.
    fn ask_until_enough(&mut self, mut asked: OwnerSet) {
        for replica in 0..self.replicas.len() {
            let is_idle = matches!(self.replicas[replica], State::Idle);
            if is_idle && self.rules.r.is_helped_by(replica, asked) {
                self.ask(replica, false);
                asked.insert(replica);
            }
        }
    }

    /// Asks the next replica that was not asked yet; false if there is none.
    fn ask_next(&mut self) -> bool {
        let idle = self.idle();
        if let Some(replica) = idle {
            self.ask(replica, false);
        }
        idle.is_some()
    }

    /// The next replica that was not asked yet.
    fn idle(&self) -> Option<usize> {
        self.replicas.iter().position(|s| matches!(s, State::Idle))
    }

    fn answers(&self) -> impl Iterator<Item = (usize, &Answer)> {
        self.replicas
            .iter()
            .enumerate()
            .filter_map(|(replica, state)| match state {
                State::Answered(answer) => Some((replica, answer)),
                State::Idle | State::Asked { .. } | State::LeftOut(_) | State::Failed(_) => None,
            })
    }

    /// The replicas that hold the newest state, each judged at its own clock.
    fn holders(&self) -> impl Iterator<Item = usize> {
        let same = |a: &Answer| (self.newest).same_versions_at(&a.record, self.time_of(a));
        self.answers()
            .filter(move |(_, answer)| same(answer))
            .map(|(replica, _)| replica)
    }

    fn outstanding(&self) -> OwnerSet {
        let replicas = self.replicas.iter().enumerate();
        let asked = replicas.filter(|(_, state)| matches!(state, State::Asked { .. }));
        asked.map(|(replica, _)| replica).collect()
    }

    /// Why an answer is left out.
    fn ahead(&self, answer: &Answer) -> Outcome {
        let TimeBound { reached, max_ms } = self.bound.unwrap_or(TimeBound {
            reached: answer.clock,
            max_ms: 0,
        });
        let ahead_ms = answer.clock.0.saturating_sub(reached.0);
        Outcome::ClockAhead { ahead_ms, max_ms }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |(state, repair): (&State, &Repair)| match (state, repair) {
            (_, Repair::Failed(outcome)) | (State::Failed(outcome), _) => outcome.clone(),
            (State::LeftOut(answer), _) => self.ahead(answer),
            (State::Idle, _) => Outcome::NotAsked,
            (State::Asked { .. }, _) => Outcome::TimedOut,
            (State::Answered(_), _) => Outcome::Done,
        };
        self.replicas
            .iter()
            .zip(&self.repairs)
            .map(outcome)
            .collect()
    }
}

/// Whether a sibling's value, if it came, is the one that its writer wrote.
fn intact(sibling: &Sibling) -> bool {
    let fits = |value: &bytes::Bytes| content_hash(value, sibling.expiry) == sibling.hash;
    sibling.value.as_ref().is_none_or(fits)
}

#[cfg(test)]
mod tests;
