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
//! | module | what it holds |
//! | --- | --- |
//! | `answers` | what the answers say together, whose clock counts, and who holds it |
//! | `judge` | what follows from that |
//!
//! Source: Attiya, Bar-Noy and Dolev, *Sharing Memory Robustly in Message-Passing Systems* (1995).

mod answers;
mod judge;

use quoit_ring::change::{OwnerSet, Quorums, Threshold};
use quoit_ring::wire::DecodeError;
use quoit_ring::{Held, Millis, Record, Sibling, Time, content_hash};
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
    held: Held,
    clock: Millis,
}

impl Answer {
    const fn record(&self) -> &Record {
        self.held.record()
    }
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
    /// The largest floor among the answers.
    floor: Time,
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
            floor: Time::ZERO,
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

    /// Whether a replica was asked for the full record, if its answer is awaited.
    pub(crate) fn asked_in_full(&self, replica: usize) -> Option<bool> {
        match self.replicas.get(replica) {
            Some(State::Asked { in_full }) if self.phase != Phase::Finished => Some(*in_full),
            _ => None,
        }
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
    pub(crate) fn answered(&mut self, replica: usize, held: impl Into<Held>, clock: Millis) {
        if !self.awaits(replica) {
            return;
        }
        let held = held.into();
        self.replicas[replica] = if held.record().live().iter().all(intact) {
            State::Answered(Answer { held, clock })
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
}

/// Whether a sibling's value, if it came, is the one that its writer wrote.
fn intact(sibling: &Sibling) -> bool {
    let fits = |value: &bytes::Bytes| content_hash(value, sibling.expiry) == sibling.hash;
    sibling.value.as_ref().is_none_or(fits)
}

#[cfg(test)]
mod tests;
