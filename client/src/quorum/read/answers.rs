//! The answers of one read: what they say together, whose clock counts, and who holds it.
//!
//! *Holds* means: equal live sets and equal Seen above the largest floor, each replica judged at its own clock ([`Held`](quoit_ring::Held)). A sibling that has
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
//! An answer without a row where another's shows that the row is lost ([`lost`](quoit_ring::Held::lost)) counts as failed: the next replica is
//! asked, and whoever else has the value still counts.
//!
//! What was remembered of clocks may be old. So the bound is what a majority has reached by its answers to this very
//! read, as soon as it has so many, and is what was remembered only before. An answer that was left out is kept, and
//! counts after all if the bound rises: none fails for its clock while another may still come.

use quoit_ring::change::OwnerSet;
use quoit_ring::wire::{Fault, Refusal};
use quoit_ring::{Millis, Record, Time};
use smallvec::SmallVec;

use super::{Answer, ReadQuorum, Repair, State, TimeBound};
use crate::error::Outcome;

impl ReadQuorum {
    /// All answers joined, as they read at the largest clock among them.
    pub(super) fn joined(&self) -> Record {
        let mut answers = self.answers().map(|(_, answer)| answer);
        let Some(first) = answers.next() else {
            return Record::default();
        };
        let (mut joined, mut now) = (first.record().clone(), self.time_of(first));
        for answer in answers {
            joined.join(answer.record());
            now = now.max(self.time_of(answer));
        }
        if joined.live().iter().any(|s| s.expiry.is_some()) {
            return joined.at(now);
        }
        joined
    }

    /// Leaves out the answers that only a clock beyond the bound makes a death of, and admits those that it no longer does.
    /// The value need not be in that very answer: a right clock is not to be believed less because its replica lacks what
    /// one with a slow clock still shows.
    pub(super) fn judge_clocks(&mut self) {
        let fresh = self.reached_by_answers();
        let Some(bound) = &mut self.bound else {
            return;
        };
        if let Some(fresh) = fresh {
            bound.reached = fresh;
        }

        let (latest, expiries) = (bound.latest(), self.expiries());
        for state in &mut self.replicas {
            let (State::Answered(answer) | State::LeftOut(answer)) = state else {
                continue;
            };
            let between = |&expiry: &Millis| latest < expiry && expiry <= answer.clock;
            let is_left_out = expiries.iter().any(between);
            if is_left_out != matches!(state, State::LeftOut(_)) {
                *state = match core::mem::replace(state, State::Idle) {
                    State::Answered(answer) => State::LeftOut(answer),
                    State::LeftOut(answer) => State::Answered(answer),
                    other => other,
                };
            }
        }
    }

    /// Fails the answers of replicas that have lost their row.
    pub(super) fn fail_lost_rows(&mut self) {
        let is_rowless =
            |answer: &Answer| !answer.held.has_row() && answer.held.stable() > Time::ZERO;
        if !self.answers().any(|(_, answer)| is_rowless(answer)) {
            return; // as in most reads
        }
        let has_lost = |answer: &Answer| {
            let lost_to = |other: &Answer| {
                let now = self.time_of(answer).max(self.time_of(other));
                answer.held.lost(&other.held, now).next().is_some()
            };
            is_rowless(answer) && self.answers().any(|(_, other)| lost_to(other))
        };
        let lost = self.answers().filter(|(_, answer)| has_lost(answer));
        let lost: OwnerSet = lost.map(|(replica, _)| replica).collect();
        for (replica, state) in self.replicas.iter_mut().enumerate() {
            if lost.contains(replica) {
                *state = State::Failed(Outcome::Refused(Refusal::Storage(Fault::Failed)));
            }
        }
    }

    /// The largest floor of the answers.
    pub(super) fn largest_floor(&self) -> Time {
        let floors = self.answers().map(|(_, answer)| answer.held.stable());
        floors.max().unwrap_or_default()
    }

    /// When what is live in all answers together expires, those included that are left out.
    fn expiries(&self) -> SmallVec<[Millis; 4]> {
        let record = |state| match state {
            &State::Answered(ref answer) | &State::LeftOut(ref answer) => Some(answer.record()),
            State::Idle | State::Asked { .. } | State::Failed(_) => None,
        };
        let records = || self.replicas.iter().filter_map(record);
        let has_expiry = |record: &Record| record.live().iter().any(|s| s.expiry.is_some());
        if !records().any(has_expiry) {
            return SmallVec::new(); // as in most reads
        }
        let mut joined = Record::default();
        for record in records() {
            joined.join(record);
        }
        joined.live().iter().filter_map(|s| s.expiry).collect()
    }

    /// What a majority of the replicas has reached, by the clocks of their answers; none while fewer have answered, or
    /// clocks do not matter.
    pub(super) fn reached_by_answers(&self) -> Option<Millis> {
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
    pub(super) fn time_of(&self, answer: &Answer) -> Millis {
        let latest = self.bound.map(TimeBound::latest);
        latest.map_or(answer.clock, |latest| answer.clock.min(latest))
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = (usize, &Answer)> {
        self.replicas
            .iter()
            .enumerate()
            .filter_map(|(replica, state)| match state {
                State::Answered(answer) => Some((replica, answer)),
                State::Idle | State::Asked { .. } | State::LeftOut(_) | State::Failed(_) => None,
            })
    }

    /// The replicas that hold the newest state, each judged at its own clock.
    pub(super) fn holders(&self) -> impl Iterator<Item = usize> {
        let same =
            |a: &Answer| (self.newest).same_versions_at(a.record(), self.time_of(a), self.floor);
        self.answers()
            .filter(move |(_, answer)| same(answer))
            .map(|(replica, _)| replica)
    }

    pub(super) fn outstanding(&self) -> OwnerSet {
        let replicas = self.replicas.iter().enumerate();
        let asked = replicas.filter(|(_, state)| matches!(state, State::Asked { .. }));
        asked.map(|(replica, _)| replica).collect()
    }

    /// Why an answer is left out.
    pub(super) fn ahead(&self, answer: &Answer) -> Outcome {
        let TimeBound { reached, max_ms } = self.bound.unwrap_or(TimeBound {
            reached: answer.clock,
            max_ms: 0,
        });
        let ahead_ms = answer.clock.0.saturating_sub(reached.0);
        Outcome::ClockAhead { ahead_ms, max_ms }
    }

    pub(super) fn outcomes(&self) -> Vec<Outcome> {
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
