//! The round: one attempt of one proposer.
//!
//! ```text
//!   Preparing --a majority promised: joined--> Accepting --a majority accepted--> it happened
//!        '------------ a majority cannot any more: another round, by a higher ballot ----'
//! ```
//!
//! Majorities are of the key's owners, of both lists while its range moves, and within one epoch: whoever runs a round begins
//! another one in a later epoch.
//!
//! Invariant: what is joined includes every value that a majority accepted by a lower ballot.

use smallvec::{SmallVec, smallvec};

use super::Ballot;
use crate::change::{OwnerSet, Quorums, Threshold};
use crate::clock::{Millis, Time};
use crate::version::{Held, Record};

/// What an owner had when it promised: all of one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerState {
    /// The row or none, and its floor.
    pub held: Held,
    /// The ballot of what it accepted last, and the value while that is pending.
    pub accepted: Option<(Ballot, Option<Record>)>,
    /// Its clock.
    pub clock: Millis,
}

/// What a majority of owners holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Their records, and what is pending by the highest ballot. What has expired by their clocks is dead in it.
    pub record: Record,
    /// They all hold this, nothing is pending and nothing has just expired: it is what the register holds, without being accepted.
    pub agreed: bool,
    /// The time by which expiry was judged.
    pub at: Millis,
}

/// A proposer's part. See the [module](super).
///
/// ```
/// # use quoit_ring::{Held, Millis, Record, Time};
/// # use quoit_ring::change::Quorums;
/// use quoit_ring::register::{Ballot, OwnerState, Round};
///
/// let mut round = Round::new(Ballot { time: Time(7), unique: 1 }, Quorums::one(3));
/// let state = || OwnerState { held: Held::default(), accepted: None, clock: Millis(1) };
/// round.promised(0, state());
/// assert!(!round.is_promised(500));
/// round.promised(2, state());
/// assert!(round.is_promised(500) && round.joined(500).agreed);
///
/// round.propose();
/// round.accepted(0);
/// round.failed(1);
/// assert!(!round.is_accepted() && !round.is_lost());
/// round.accepted(2);
/// assert!(round.is_accepted());
/// ```
#[derive(Debug, Clone)]
pub struct Round {
    ballot: Ballot,
    majority: Threshold,
    states: SmallVec<[Option<Box<OwnerState>>; 3]>,
    accepted: OwnerSet,
    failed: OwnerSet,
}

impl Round {
    /// One that nobody has answered.
    #[must_use]
    pub fn new(ballot: Ballot, lists: Quorums) -> Self {
        let majority = lists.needs(|n| n / 2 + 1);
        let owners = majority.all().iter().last().map_or(0, |last| last + 1);
        Self {
            ballot,
            majority,
            states: smallvec![None; owners],
            accepted: OwnerSet::NONE,
            failed: OwnerSet::NONE,
        }
    }

    /// Its ballot.
    #[must_use]
    pub const fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// How many owners are enough, whichever they are.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.majority.of_any()
    }

    /// An owner has promised.
    pub fn promised(&mut self, owner: usize, state: OwnerState) {
        if let Some(place) = self.states.get_mut(owner) {
            *place = Some(Box::new(state));
        }
    }

    /// An owner will not do what it was asked: promise, or accept.
    pub fn failed(&mut self, owner: usize) {
        self.failed.insert(owner);
    }

    /// Whether so many owners have failed that a majority cannot come.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        !self.majority.reached(self.majority.all() - self.failed)
    }

    /// Whether a majority has promised. An owner that has lost its row by what the others hold does not count: it says nothing
    /// true of the key.
    #[must_use]
    pub fn is_promised(&mut self, max_drift_ms: u64) -> bool {
        if !self.majority.reached(self.answered()) {
            return false;
        }
        let at = self.time(max_drift_ms);
        let has_lost = |state: &OwnerState| {
            let lost = |other: &OwnerState| state.held.lost(&other.held, at).next().is_some();
            self.states.iter().flatten().any(|other| lost(other))
        };
        let lost: OwnerSet = (self.owners())
            .filter(|(_, state)| has_lost(state))
            .map(|(owner, _)| owner)
            .collect();
        for owner in lost.iter() {
            self.states[owner] = None;
            self.failed.insert(owner);
        }
        self.majority.reached(self.answered())
    }

    /// What those that have promised hold, once they are a majority.
    #[must_use]
    pub fn joined(&self, max_drift_ms: u64) -> Joined {
        let states = || self.states.iter().flatten();
        let floor = (states().map(|state| state.held.stable()).max()).unwrap_or(Time::ZERO);
        let mut records = Record::default();
        for state in states() {
            records.join(state.held.record());
        }
        records.raise_floor(floor);

        let last = |state: &OwnerState| state.accepted.as_ref().map(|(ballot, _)| *ballot);
        let highest = states().map(|state| last(state)).max().flatten();
        let pending =
            |state: &OwnerState| state.accepted.as_ref().and_then(|(_, value)| value.clone());
        let of_highest = || states().filter(|state| last(state) == highest);
        let mut joined = records.clone();
        if let Some(value) = of_highest().find_map(|state| pending(state)) {
            joined.join(&value);
        }

        let at = self.time(max_drift_ms);
        let record = joined.at(at);
        let is_same = |state: &OwnerState| {
            last(state) == highest
                && pending(state).is_none()
                && (state.held.record()).same_versions_above(&records, floor)
        };
        let agreed = states().all(|state| is_same(state)) && record.same_versions(&joined);
        Joined { record, agreed, at }
    }

    /// How many owners have promised.
    #[must_use]
    pub fn promisers(&self) -> usize {
        self.answered().len()
    }

    /// Begins to propose: what was answered so far was about promises.
    pub fn propose(&mut self) {
        self.failed = OwnerSet::NONE;
    }

    /// An owner has accepted.
    pub fn accepted(&mut self, owner: usize) {
        self.accepted.insert(owner);
    }

    /// The owners that have.
    #[must_use]
    pub const fn acceptors(&self) -> OwnerSet {
        self.accepted
    }

    /// Whether a majority has: from now on it has happened.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.majority.reached(self.accepted)
    }

    /// The time by which expiry is judged: the largest clock, but a minority far ahead ends nobody's values.
    fn time(&self, max_drift_ms: u64) -> Millis {
        let mut clocks: SmallVec<[Millis; 3]> = (self.states.iter().flatten())
            .map(|state| state.clock)
            .collect();
        clocks.sort_unstable_by(|a, b| b.cmp(a));
        let largest = clocks.first().copied().unwrap_or_default();
        let of_majority = clocks.get(self.states.len() / 2).or_else(|| clocks.last());
        let reached = of_majority.copied().unwrap_or_default();
        largest.min(Millis(reached.0.saturating_add(max_drift_ms)))
    }

    fn owners(&self) -> impl Iterator<Item = (usize, &OwnerState)> {
        let states = self.states.iter().enumerate();
        states.filter_map(|(owner, state)| Some((owner, state.as_deref()?)))
    }

    fn answered(&self) -> OwnerSet {
        self.owners().map(|(owner, _)| owner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Actor, Delta, Dot};

    const DRIFT: u64 = 500;

    const fn ballot(time: u64) -> Ballot {
        Ballot {
            time: Time(time),
            unique: 1,
        }
    }

    fn value(time: u64) -> Record {
        expiring(time, None)
    }

    fn expiring(time: u64, expiry: Option<Millis>) -> Record {
        let (time, actor) = (Time(time), Actor(1));
        Delta::causal(
            Dot { time, actor },
            Time(time.0 - 1),
            &Default::default(),
            Some(("v".into(), expiry)),
        )
        .into_record()
    }

    fn state(record: Record, accepted: Option<(Ballot, Option<Record>)>) -> OwnerState {
        OwnerState {
            held: Held::from(record),
            accepted,
            clock: Millis(1_000),
        }
    }

    fn round_of(states: impl IntoIterator<Item = OwnerState>) -> Round {
        let mut round = Round::new(ballot(100), Quorums::one(3));
        for (owner, state) in states.into_iter().enumerate() {
            round.promised(owner, state);
        }
        round
    }

    fn dots(joined: &Joined) -> Vec<u64> {
        (joined.record.live().iter())
            .map(|sibling| sibling.dot.time.0)
            .collect()
    }

    #[test]
    fn a_majority_of_each_list_is_needed() {
        let old = [0, 1, 2].into_iter().collect();
        let mut round = Round::new(
            ballot(1),
            Quorums::both(old, [2, 3, 4].into_iter().collect()),
        );
        for owner in [0, 2] {
            round.promised(owner, state(value(1), None));
        }
        assert!(!round.is_promised(DRIFT));
        round.promised(4, state(value(1), None));
        assert!(round.is_promised(DRIFT));
        round.failed(3);
        assert!(!round.is_lost());
        round.failed(2);
        assert!(round.is_lost());
    }

    #[test]
    fn of_what_is_pending_only_the_highest_ballot_counts() {
        let low = (ballot(5), Some(value(5)));
        let high = (ballot(6), Some(value(6)));
        let joined = round_of([
            state(Record::default(), Some(low.clone())),
            state(Record::default(), Some(high)),
        ])
        .joined(DRIFT);
        assert_eq!((dots(&joined), joined.agreed), (vec![6], false));

        let committed = (ballot(6), None);
        let joined = round_of([
            state(Record::default(), Some(low)),
            state(value(6), Some(committed)),
        ])
        .joined(DRIFT);
        assert_eq!(
            dots(&joined),
            [6],
            "a committed ballot bars a lower value, too"
        );
    }

    #[test]
    fn owners_agree_if_they_hold_the_same_by_the_same_ballot() {
        let same = || state(value(3), Some((ballot(4), None)));
        assert!(round_of([same(), same()]).joined(DRIFT).agreed);
        assert!(
            !round_of([same(), state(value(3), None)])
                .joined(DRIFT)
                .agreed
        );
        assert!(
            !round_of([same(), state(value(2), Some((ballot(4), None)))])
                .joined(DRIFT)
                .agreed
        );
        let pending = || state(value(3), Some((ballot(4), Some(value(3)))));
        assert!(!round_of([pending(), pending()]).joined(DRIFT).agreed);
    }

    #[test]
    fn what_has_expired_by_the_largest_clock_is_dead_and_that_is_a_change() {
        let at = |clock| OwnerState {
            clock: Millis(clock),
            ..state(expiring(3, Some(Millis(1_200))), None)
        };
        let joined = round_of([at(1_000), at(1_100)]).joined(DRIFT);
        assert_eq!((dots(&joined), joined.agreed), (vec![3], true));
        let joined = round_of([at(1_000), at(1_200)]).joined(DRIFT);
        assert_eq!((dots(&joined), joined.agreed), (vec![], false));
        let joined = round_of([at(600), at(90_000)]).joined(DRIFT);
        assert_eq!((dots(&joined), joined.at), (vec![3], Millis(1_100)));
    }

    #[test]
    fn an_owner_that_lost_its_row_does_not_count() {
        let whole = OwnerState {
            held: Held::new(Some(value(3)), Time(9)),
            ..state(Record::default(), None)
        };
        let lost = OwnerState {
            held: Held::new(None, Time(8)),
            ..whole.clone()
        };
        let mut round = round_of([whole.clone(), lost]);
        assert!(!round.is_promised(DRIFT) && !round.is_lost());
        round.promised(2, whole);
        assert!(round.is_promised(DRIFT));
        assert_eq!(dots(&round.joined(DRIFT)), [3]);
    }
}
