//! The acceptor: one owner's part in the register of one key.
//!
//! ```text
//!   promised   no lower ballot is answered any more            in memory: what bounds it after a start is its driver's
//!   accepted   the last ballot that it took, for good          on the disk before the answer
//!              its value, while it is pending
//! ```
//!
//! Invariant: neither ballot ever goes back.

use super::Ballot;
use crate::clock::Time;
use crate::version::Record;

/// What an owner accepted last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// By which ballot.
    pub ballot: Ballot,
    /// No write in the value was made before, unless this owner has it in its record.
    pub since: Time,
    /// What it is to join into the record once a majority has accepted it; none once it has.
    pub value: Option<Record>,
}

/// An owner's memory of one register.
///
/// ```
/// # use quoit_ring::{Record, Time};
/// use quoit_ring::register::{Acceptor, Ballot, Denied};
///
/// let ballot = |time| Ballot { time: Time(time), unique: 1 };
/// let (mut owner, held) = (Acceptor::default(), Record::default());
/// owner.prepare(ballot(5))?;
/// assert_eq!(owner.accept(ballot(4), Record::default(), &held), Err(Denied::Outbid(ballot(5))));
/// owner.accept(ballot(5), Record::default(), &held)?;
///
/// // Whoever comes later learns of it, and the ballot stays behind the commit.
/// assert!(owner.accepted().unwrap().value.is_some());
/// assert_eq!(owner.commit(ballot(5), None), Some(Record::default()));
/// assert_eq!(owner.prepare(ballot(5)), Err(Denied::Outbid(ballot(5))));
/// # Ok::<(), Denied>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acceptor {
    promised: Ballot,
    accepted: Option<Accepted>,
}

/// Why an acceptor does not take part. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It has promised, or accepted, this ballot: a later one may pass.
    #[error("a ballot at or above it has the promise")]
    Outbid(Ballot),
    /// It holds something that the value has not seen, and nobody has prepared: the proposer is to find out what that is.
    #[error("it holds what the value has not seen")]
    Unseen,
    /// It has accepted another value by the same ballot: a proposer that is not one of ours.
    #[error("the ballot was used for another value")]
    Reused,
}

impl Acceptor {
    /// One that has promised this much, and accepted that.
    #[must_use]
    pub const fn new(promised: Ballot, accepted: Option<Accepted>) -> Self {
        Self { promised, accepted }
    }

    /// What it accepted last.
    #[must_use]
    pub const fn accepted(&self) -> Option<&Accepted> {
        self.accepted.as_ref()
    }

    /// The same, to be stored.
    #[must_use]
    pub fn into_accepted(self) -> Option<Accepted> {
        self.accepted
    }

    fn last(&self) -> Ballot {
        (self.accepted.as_ref()).map_or(Ballot::ZERO, |accepted| accepted.ballot)
    }

    /// Promises to take nothing below `ballot`. The same again is promised again, until something is accepted by it.
    ///
    /// # Errors
    /// [`Denied::Outbid`].
    pub fn prepare(&mut self, ballot: Ballot) -> Result<(), Denied> {
        let highest = self.promised.max(self.last());
        if ballot < highest || ballot <= self.last() {
            return Err(Denied::Outbid(highest));
        }
        self.promised = ballot;
        Ok(())
    }

    /// Takes a value, unless a higher ballot has the promise. The same again is taken again, after its commit, too. `held` is this
    /// owner's record: what is live in the value and not seen there may be older than the ballot.
    ///
    /// # Errors
    /// [`Denied::Outbid`], [`Denied::Reused`].
    pub fn accept(&mut self, ballot: Ballot, value: Record, held: &Record) -> Result<(), Denied> {
        if let Some(answer) = self.decided(ballot, &value) {
            return answer;
        }
        let unseen = value.live().iter().map(|sibling| sibling.dot);
        let unseen = unseen.filter(|dot| !held.seen().contains(*dot));
        let oldest = unseen.map(|dot| dot.time).min().unwrap_or(Time::MAX);
        // What it carries on of a value that was pending here may be as old as that.
        let since = self.pending_since().min(ballot.time).min(oldest);
        self.promised = ballot;
        self.accepted = Some(Accepted {
            ballot,
            since,
            value: Some(value),
        });
        Ok(())
    }

    /// Takes a value that extends what its proposer's last ballot chose, by the [next](Ballot::next) one: without a prepare, since
    /// whoever accepted the last ballot takes nothing between the two. Nobody was asked what came to the records meanwhile, so
    /// the value must have seen all that this owner's has: a write that a majority holds meets one of those that are asked.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn extend(&mut self, ballot: Ballot, value: Record, held: &Record) -> Result<(), Denied> {
        if let Some(answer) = self.decided(ballot, &value) {
            return answer;
        }
        if !value.seen().includes(held.seen()) {
            return Err(Denied::Unseen);
        }
        self.accept(ballot, value, held)
    }

    /// The answer, whatever the record holds: to a ballot that is outbid, or that was accepted before.
    fn decided(&self, ballot: Ballot, value: &Record) -> Option<Result<(), Denied>> {
        let highest = self.promised.max(self.last());
        if ballot < highest {
            return Some(Err(Denied::Outbid(highest)));
        }
        let before = (self.accepted.as_ref()).filter(|before| before.ballot == ballot)?;
        // One that is committed is not here any more to be compared.
        let is_same = before.value.as_ref().is_none_or(|it| it == value);
        Some(is_same.then_some(()).ok_or(Denied::Reused))
    }

    fn pending_since(&self) -> Time {
        let pending = self.accepted.as_ref().filter(|it| it.value.is_some());
        pending.map_or(Time::MAX, |pending| pending.since)
    }

    /// A majority has accepted by `ballot`: gives what is to be joined into the record now. `value` is what they accepted, for an
    /// owner that may not have it. A later value that is pending stays so: it is built on this one.
    pub fn commit(&mut self, ballot: Ballot, value: Option<Record>) -> Option<Record> {
        let last = self.last();
        let is_here = last == ballot;
        if last > ballot || !(is_here || value.is_some()) {
            return value;
        }
        // A lower value that is pending here was never chosen, or is part of this one.
        let pending = self.accepted.take().and_then(|accepted| accepted.value);
        self.accepted = Some(Accepted {
            ballot,
            since: ballot.time,
            value: None,
        });
        // What comes with the commit is what was chosen, whatever a proposer has done with its ballot.
        value.or_else(|| pending.filter(|_| is_here))
    }

    /// Takes what another owner has accepted, before this one owns the key alone: gives what is to be joined into the record now.
    /// Whatever was promised: a value that was chosen must not be lost by a promise that was given since.
    pub fn take(&mut self, theirs: Accepted) -> Option<Record> {
        let last = self.last();
        if theirs.ballot < last {
            return None;
        }
        if theirs.ballot == last {
            let is_chosen = theirs.value.is_none(); // it was committed there
            return is_chosen.then(|| self.commit(last, None)).flatten();
        }
        let since = self.pending_since().min(theirs.since);
        self.accepted = Some(Accepted { since, ..theirs });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Actor, Delta, Dot};

    const fn ballot(time: u64) -> Ballot {
        Ballot {
            time: Time(time),
            unique: 1,
        }
    }

    fn value(time: u64) -> Record {
        let (time, actor) = (Time(time), Actor(1));
        Delta::blind(Dot { time, actor }, Some(("v".into(), None))).into_record()
    }

    fn accepted(time: u64, since: u64, value: Option<Record>) -> Option<Accepted> {
        Some(Accepted {
            ballot: ballot(time),
            since: Time(since),
            value,
        })
    }

    fn pending(time: u64) -> Acceptor {
        Acceptor::new(Ballot::ZERO, accepted(time, time, Some(value(time))))
    }

    #[test]
    fn what_is_promised_bars_all_below_it() {
        let mut owner = Acceptor::default();
        owner.prepare(ballot(5)).unwrap();
        owner.prepare(ballot(5)).unwrap();
        assert_eq!(owner.prepare(ballot(4)), Err(Denied::Outbid(ballot(5))));
        assert_eq!(
            owner.accept(ballot(4), value(4), &Record::default()),
            Err(Denied::Outbid(ballot(5)))
        );
        owner
            .accept(ballot(6), value(6), &Record::default())
            .unwrap();
        assert_eq!(
            owner.accept(ballot(5), value(5), &Record::default()),
            Err(Denied::Outbid(ballot(6)))
        );
    }

    #[test]
    fn an_accept_comes_again_and_again_but_never_with_another_value() {
        let mut owner = pending(5);
        assert_eq!(
            owner.accept(ballot(5), value(5), &Record::default()),
            Ok(())
        );
        assert_eq!(
            owner.accept(ballot(5), value(4), &Record::default()),
            Err(Denied::Reused)
        );
        assert_eq!(owner.commit(ballot(5), None), Some(value(5)));
        assert_eq!(
            owner.accept(ballot(5), value(5), &Record::default()),
            Ok(())
        );
        assert_eq!(
            owner.accepted(),
            accepted(5, 5, None).as_ref(),
            "it is not pending again"
        );
    }

    #[test]
    fn a_commit_is_joined_and_drops_no_later_value() {
        let mut owner = pending(6);
        assert_eq!(owner.commit(ballot(5), None), None);
        assert_eq!(owner.commit(ballot(5), Some(value(5))), Some(value(5)));
        assert_eq!(owner, pending(6));
    }

    #[test]
    fn a_commit_with_its_value_is_for_an_owner_that_missed_it() {
        let mut owner = pending(4);
        assert_eq!(owner.commit(ballot(5), None), None);
        assert_eq!(owner, pending(4));
        assert_eq!(owner.commit(ballot(5), Some(value(5))), Some(value(5)));
        assert_eq!(owner.accepted(), accepted(5, 5, None).as_ref());
    }

    #[test]
    fn what_carries_a_pending_value_on_is_as_old_as_that() {
        let mut owner = pending(4);
        owner
            .accept(ballot(9), value(4), &Record::default())
            .unwrap();
        assert_eq!(owner.accepted(), accepted(9, 4, Some(value(4))).as_ref());
        owner.commit(ballot(9), None);
        owner
            .accept(ballot(12), value(12), &Record::default())
            .unwrap();
        assert_eq!(owner.accepted().unwrap().since, Time(12));
        owner
            .accept(ballot(14), value(3), &Record::default())
            .unwrap();
        assert_eq!(
            owner.accepted().unwrap().since,
            Time(3),
            "a write that is not in its record"
        );
    }

    #[test]
    fn the_next_ballot_of_a_proposer_extends_what_it_chose_unless_another_came_between() {
        let next = ballot(5).next().unwrap();
        let mut owner = pending(5);
        owner.extend(next, value(6), &Record::default()).unwrap();
        assert_eq!(owner.accepted().unwrap().ballot, next);

        let mut owner = pending(5);
        owner.prepare(ballot(6)).unwrap();
        let outbid = owner.extend(next, value(6), &Record::default());
        assert_eq!(outbid, Err(Denied::Outbid(ballot(6))));
        assert_eq!(owner.accepted(), pending(5).accepted());
    }

    #[test]
    fn what_extends_has_seen_all_that_its_owner_holds_deletes_too() {
        let dot = Dot {
            time: Time(6),
            actor: Actor(2),
        };
        let next = ballot(5).next().unwrap();
        for plain in [None, Some(("plain".into(), None))] {
            let held = Delta::blind(dot, plain).into_record();
            let mut owner = pending(5);
            assert_eq!(owner.extend(next, value(5), &held), Err(Denied::Unseen));
            assert_eq!(owner, pending(5), "nothing has changed");
            let mut seen = value(5);
            seen.join(&held);
            owner.extend(next, seen.clone(), &held).unwrap();
            assert_eq!(owner.extend(next, seen, &value(9)), Ok(()), "sent twice");
        }
        let floor = {
            let mut floor = Record::default();
            floor.raise_floor(Time(6));
            floor
        };
        assert_eq!(
            pending(5).extend(next, value(5), &floor),
            Err(Denied::Unseen),
            "what has died and was forgotten lies below a floor"
        );
    }

    #[test]
    fn what_another_owner_accepted_is_taken_whatever_was_promised() {
        let mut owner = pending(4);
        owner.prepare(ballot(9)).unwrap();
        let theirs = pending(6).into_accepted().unwrap();
        assert_eq!(owner.take(theirs), None);
        let taken = accepted(6, 4, Some(value(6)));
        assert_eq!(
            owner.accepted(),
            taken.as_ref(),
            "what was pending here may be in it"
        );
        assert_eq!(owner.prepare(ballot(8)), Err(Denied::Outbid(ballot(9))));

        assert_eq!(owner.take(pending(5).into_accepted().unwrap()), None);
        assert_eq!(owner.accepted(), taken.as_ref(), "that was older");
        let committed = accepted(6, 6, None).unwrap();
        assert_eq!(owner.take(committed), Some(value(6)));
        assert_eq!(owner.accepted().unwrap().value, None);
    }
}
