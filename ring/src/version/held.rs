//! What a replica holds of a key: a row or none, in a range with a floor.
//!
//! ```text
//!   no row        means a record that has seen everything up to `stable`, and nothing live
//!   a row         has seen everything up to `stable`, too, whatever it says itself
//! ```
//!
//! `stable` of a range is a time up to which this replica has joined every write, or knows it dead: none is under way any more.
//! So tombstones below it need no row, and a late, stale write is recognised as seen. It differs from replica to replica, and
//! says nothing about what is to be repaired: two replicas are equal if they are so above the larger of both.
//!
//! **A lost row.** What lives on one replica and has no row on the other, at or below the `stable` of *both*, did not die: both had
//! joined it, and a death would have been joined by both before either forgot it. The row is lost, by a fault of the disk or a
//! bug. So the absence kills nothing there; the value is kept, and restored on the other.
//!
//! Left out: how `stable` is found. Source: Wuu and Bernstein, *Efficient Solutions to the Replicated Log and Dictionary
//! Problems* (1984), for forgetting what all have seen.

use crate::clock::{Millis, Time};
use crate::version::{Record, Sibling};

/// What one replica holds of a key. The default is that of a replica without a row and without a floor.
///
/// ```
/// # use quoit_ring::{Actor, Delta, Dot, Held, Millis, Time};
/// let dot = |time| Dot { time: Time(time), actor: Actor(1) };
/// let old = Held::new(Some(Delta::blind(dot(10), Some(("v".into(), None))).into_record()), Time(5));
/// let forgot = Held::new(None, Time(20)); // it had a tombstone, above what the other has joined of all
/// let (joined, lost) = old.join(&forgot, Millis(0));
/// assert!(joined.live().is_empty(), "the delete does not come back");
/// assert_eq!(lost, [false, false]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    record: Record,
    stable: Time,
    has_row: bool,
}

impl Held {
    /// A row or none, in a range with this floor.
    #[must_use]
    pub fn new(row: Option<Record>, stable: Time) -> Self {
        let has_row = row.is_some();
        let mut record = row.unwrap_or_default();
        record.raise_floor(stable);
        Self {
            record,
            stable,
            has_row,
        }
    }

    /// What it means: the row above its floor.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The same, to be changed by joins.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.record
    }

    /// The same for people: absent if all that it says is its floor, since that says nothing of this key.
    #[must_use]
    pub fn into_known(self) -> Record {
        if self.record.is_only_floor(self.stable) {
            Record::default()
        } else {
            self.record
        }
    }

    /// The floor of its range.
    #[must_use]
    pub const fn stable(&self) -> Time {
        self.stable
    }

    /// Whether there is a row.
    #[must_use]
    pub const fn has_row(&self) -> bool {
        self.has_row
    }

    /// What is live in `other` and was lost here: no row, and at or below both floors. What is due by `now` is left out: a row of
    /// that alone is removed without a trace.
    pub fn lost<'a>(&self, other: &'a Self, now: Millis) -> impl Iterator<Item = &'a Sibling> {
        let both = self.stable.min(other.stable);
        let has_row = self.has_row;
        let is_lost = move |sibling: &&Sibling| {
            let is_due = sibling.expiry.is_some_and(|expiry| expiry <= now);
            !has_row && sibling.dot.time <= both && !is_due
        };
        other.record.live().iter().filter(is_lost)
    }

    /// Both joined, what either has lost kept; and whether this one, and the other, has lost something.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Delta, Dot, Held, Millis, Time};
    /// let dot = Dot { time: Time(10), actor: Actor(1) };
    /// let row = Delta::blind(dot, Some(("v".into(), None))).into_record();
    /// let (whole, damaged) = (Held::new(Some(row), Time(20)), Held::new(None, Time(15)));
    /// let (joined, lost) = damaged.join(&whole, Millis(0));
    /// assert_eq!((joined.live().len(), lost), (1, [true, false]));
    /// ```
    #[must_use]
    pub fn join(&self, other: &Self, now: Millis) -> (Record, [bool; 2]) {
        let (here, there) = (
            self.lost(other, now).next().is_some(),
            other.lost(self, now).next().is_some(),
        );
        let mut joined = self.record.clone();
        joined.join(&other.record);
        let kept = self.lost(other, now).chain(other.lost(self, now));
        joined.revive(kept.cloned());
        (joined, [here, there])
    }

    /// Whether both hold the same versions, above the larger floor; values are not compared.
    #[must_use]
    pub fn same_versions(&self, other: &Self) -> bool {
        let floor = self.stable.max(other.stable);
        self.record.same_versions_above(&other.record, floor)
    }
}

impl From<Record> for Held {
    /// A row in a range that has no floor; none if the record is absent.
    fn from(record: Record) -> Self {
        Self::new((!record.is_absent()).then_some(record), Time::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Actor, Delta, Dot, Seen};

    const NOW: Millis = Millis(1_000);

    fn dot(time: u64) -> Dot {
        Dot {
            time: Time(time),
            actor: Actor(1),
        }
    }

    fn put(time: u64) -> Record {
        Delta::blind(dot(time), Some(("v".into(), None))).into_record()
    }

    fn expiring(time: u64, at: u64) -> Record {
        Delta::blind(dot(time), Some(("v".into(), Some(Millis(at))))).into_record()
    }

    fn held(row: Option<Record>, stable: u64) -> Held {
        Held::new(row, Time(stable))
    }

    fn live(record: &Record) -> usize {
        record.live().len()
    }

    #[test]
    fn a_row_keeps_what_lives_below_its_floor() {
        let held = held(Some(put(10)), 20);
        assert_eq!(live(held.record()), 1);
        assert_eq!(held.record().seen(), &Seen::up_to(Time(20)));
    }

    #[test]
    fn an_absence_kills_what_lies_at_or_below_its_own_floor_alone() {
        for (time, lives) in [(20, 0), (21, 1)] {
            let (joined, lost) = held(None, 20).join(&held(Some(put(time)), 10), NOW);
            assert_eq!((live(&joined), lost), (lives, [false; 2]), "{time}");
        }
    }

    #[test]
    fn an_absence_below_both_floors_is_a_lost_row_and_kills_nothing() {
        for (time, lives, is_lost) in [(15, 1, true), (16, 0, false), (20, 0, false)] {
            let (whole, lost_row) = (held(Some(put(time)), 15), held(None, 20));
            assert_eq!(
                lost_row.join(&whole, NOW).1,
                [is_lost, false],
                "{time}: from one side"
            );
            let (joined, lost) = whole.join(&lost_row, NOW);
            assert_eq!((live(&joined), lost), (lives, [false, is_lost]), "{time}");
        }
    }

    #[test]
    fn a_tombstone_with_a_row_kills_below_both_floors() {
        let tombstone = Delta::blind(dot(12), None).into_record();
        let (joined, lost) = held(Some(tombstone), 20).join(&held(Some(put(10)), 20), NOW);
        assert_eq!((live(&joined), lost), (0, [false; 2]));
    }

    #[test]
    fn what_is_due_is_not_lost_where_it_was_swept() {
        let there = held(Some(expiring(10, NOW.0)), 20);
        let (joined, lost) = held(None, 20).join(&there, NOW);
        assert_eq!((live(&joined), lost), (0, [false; 2]));
        let (joined, lost) = held(None, 20).join(&there, Millis(NOW.0 - 1));
        assert_eq!((live(&joined), lost), (1, [true, false]));
    }

    #[test]
    fn two_floors_make_no_difference() {
        let tombstone = || Delta::blind(dot(12), None).into_record();
        assert!(held(Some(tombstone()), 10).same_versions(&held(None, 20)));
        assert!(!held(Some(tombstone()), 10).same_versions(&held(None, 11)));
        assert!(held(None, 10).same_versions(&held(None, 0)));
        assert!(held(Some(put(12)), 10).same_versions(&held(Some(put(12)), 30)));
        assert!(!held(Some(put(12)), 10).same_versions(&held(Some(put(13)), 30)));
    }
}
