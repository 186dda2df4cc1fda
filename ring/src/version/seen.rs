//! Seen: the region of (actor x time) known to have happened.
//!
//! ```text
//!   actor c |#########|        .        .
//!   actor b |#########|---(#####]       .     floor   everything up to it, of every actor
//!   actor a |#########|      (####]--(##]     (lo, hi]  disjoint intervals above it, by actor
//!           +---------+--------------------> time
//!                   floor
//! ```
//!
//! Invariant (canonical form): intervals are ascending by (actor, lo), those of one actor do not touch or
//! overlap, and they begin at or above the floor. So two regions are equal exactly when their fields are.
//!
//! Left out: when the floor may be raised for good, that is when nothing older can still arrive.
//!
//! Source: Malkhi and Terry, *Concise Version Vectors in `WinFS`* (2005), for vectors with exceptions;
//! intervals of time in place of counters, and the floor of all actors, are our own.

use smallvec::SmallVec;

use crate::clock::Time;
use crate::version::{Actor, Dot};

/// The times `(lo, hi]` of one actor; `lo` lies below `hi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    /// Whose times.
    pub actor: Actor,
    /// Below the first time, exclusive.
    pub lo: Time,
    /// The last time, inclusive.
    pub hi: Time,
}

/// So few intervals are added one by one to [`MANY`] or more, others in one pass over both.
const FEW: usize = 2;
const MANY: usize = 16;

/// A region of writes known to have happened, in canonical form. The default is nothing.
///
/// ```
/// # use quoit_ring::{Actor, Dot, Seen, Time};
/// let dot = |time, actor| Dot { time: Time(time), actor: Actor(actor) };
/// let mut seen = Seen::up_to(Time(10)); // everything of everyone up to 10,
/// seen.add(Actor(1), Time(12), Time(15)); // and actor 1's times 13 to 15
/// assert!(seen.contains(dot(10, 7)) && seen.contains(dot(13, 1)));
/// assert!(!seen.contains(dot(12, 1)) && !seen.contains(dot(13, 7)));
/// seen.add(Actor(1), Time(10), Time(12));
/// assert_eq!(seen.intervals().len(), 1, "10 to 15: neighbours merge");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    floor: Time,
    intervals: SmallVec<[Interval; 1]>,
}

impl Seen {
    /// Everything up to `floor`, of every actor, and nothing else.
    #[must_use]
    pub fn up_to(floor: Time) -> Self {
        Self {
            floor,
            intervals: SmallVec::new(),
        }
    }

    /// A region from its parts, or `None` if they are not in canonical form. [`Seen::add`] takes any parts.
    #[must_use]
    pub fn from_parts(floor: Time, intervals: SmallVec<[Interval; 1]>) -> Option<Self> {
        let region = Self { floor, intervals };
        region.is_canonical().then_some(region)
    }

    fn is_canonical(&self) -> bool {
        let proper = |i: &Interval| self.floor <= i.lo && i.lo < i.hi;
        let apart = |w: &[Interval]| (w[0].actor, w[0].hi) < (w[1].actor, w[1].lo);
        self.intervals.iter().all(proper) && self.intervals.windows(2).all(apart)
    }

    /// Every dot of every actor up to this time lies in the region.
    #[must_use]
    pub const fn floor(&self) -> Time {
        self.floor
    }

    /// The intervals above the floor, ascending by actor and time.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// Whether nothing has been seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.floor == Time::ZERO && self.intervals.is_empty()
    }

    /// Whether `dot` lies in the region.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        dot.time <= self.floor || self.names(dot)
    }

    /// Whether an interval of the dot's own actor holds it. The floor does not name a dot: it only
    /// says that such a write has no effect here any more. An interval says that the write was joined, or
    /// that its own writer built on it.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Dot, Seen, Time};
    /// let mut seen = Seen::up_to(Time(10));
    /// seen.add(Actor(1), Time(10), Time(12));
    /// assert!(seen.names(Dot { time: Time(12), actor: Actor(1) }));
    /// assert!(!seen.names(Dot { time: Time(9), actor: Actor(1) }));
    /// ```
    #[must_use]
    pub fn names(&self, dot: Dot) -> bool {
        let next = self
            .intervals
            .partition_point(|i| (i.actor, i.lo) < (dot.actor, dot.time));
        next.checked_sub(1)
            .and_then(|last| self.intervals.get(last))
            .is_some_and(|i| i.actor == dot.actor && dot.time <= i.hi)
    }

    /// Whether all of `other` lies in the region.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Seen, Time};
    /// let mut ours = Seen::up_to(Time(10));
    /// let mut theirs = Seen::up_to(Time(8));
    /// theirs.add(Actor(1), Time(9), Time(12));
    /// assert!(!ours.includes(&theirs) && !theirs.includes(&ours));
    /// ours.union(&theirs);
    /// assert!(ours.includes(&theirs));
    /// ```
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let has = |part: Interval| {
            let behind = self
                .intervals
                .partition_point(|i| (i.actor, i.lo) <= (part.actor, part.lo));
            let last = behind.checked_sub(1).and_then(|at| self.intervals.get(at));
            last.is_some_and(|i| i.actor == part.actor && part.hi <= i.hi)
        };
        other.floor <= self.floor && other.above(self.floor).all(has)
    }

    /// The latest time of the region, [`Time::ZERO`] if it is empty.
    #[must_use]
    pub fn max_time(&self) -> Time {
        self.intervals
            .iter()
            .map(|i| i.hi)
            .fold(self.floor, Time::max)
    }

    /// Adds the times `(lo, hi]` of `actor`; an empty interval adds nothing. Parts below the floor are cut
    /// off, and neighbours merge.
    pub fn add(&mut self, actor: Actor, lo: Time, hi: Time) {
        let lo = lo.max(self.floor);
        if lo < hi {
            self.absorb(&[Interval { actor, lo, hi }]);
        }
    }

    /// Adds everything up to `floor`, of every actor; intervals are cut off there. It never falls.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Seen, Time};
    /// let mut seen = Seen::default();
    /// seen.add(Actor(1), Time::ZERO, Time(12));
    /// seen.raise_floor(Time(20));
    /// assert_eq!(seen, Seen::up_to(Time(20)));
    /// ```
    pub fn raise_floor(&mut self, floor: Time) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        self.intervals.retain(|i| {
            i.lo = i.lo.max(floor);
            i.lo < i.hi
        });
        debug_assert!(self.is_canonical(), "cutting at the floor keeps the order");
    }

    /// Whether both are equal once each has seen everything up to `floor`.
    #[must_use]
    pub fn same_above(&self, other: &Self, floor: Time) -> bool {
        if floor <= self.floor.min(other.floor) {
            return self == other; // as in a range without a floor
        }
        self.floor.max(floor) == other.floor.max(floor) && self.above(floor).eq(other.above(floor))
    }

    /// The parts of its intervals above `floor`.
    fn above(&self, floor: Time) -> impl Iterator<Item = Interval> {
        let cut = move |interval: &Interval| {
            let lo = interval.lo.max(floor);
            (lo < interval.hi).then_some(Interval { lo, ..*interval })
        };
        self.intervals.iter().filter_map(cut)
    }

    /// Adds the whole region `other`, in one pass over both.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Seen, Time};
    /// let (mut ours, mut theirs) = (Seen::up_to(Time(5)), Seen::default());
    /// theirs.add(Actor(1), Time(3), Time(8));
    /// ours.union(&theirs);
    /// assert_eq!((ours.floor(), ours.intervals()[0].hi), (Time(5), Time(8)));
    /// ```
    pub fn union(&mut self, other: &Self) {
        self.raise_floor(other.floor);
        // Replicas of one key mostly hold the same intervals: skip the merge.
        if self.intervals == other.intervals {
            return;
        }
        self.absorb(&other.intervals);
    }

    /// Merges ascending intervals into the own ones: cut at the floor, merged where they meet.
    fn absorb(&mut self, others: &[Interval]) {
        // A small write to a key that many have written must not cost a pass over all of them.
        if others.len() <= FEW && self.intervals.len() >= MANY {
            for &interval in others {
                self.insert(interval);
            }
            debug_assert!(self.is_canonical(), "inserted intervals keep the order");
            return;
        }

        let ours = core::mem::take(&mut self.intervals);
        let (mut left, mut right) = (ours.iter().peekable(), others.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if (a.actor, a.lo) <= (b.actor, b.lo) => left.next(),
                (_, Some(_)) => right.next(),
                (_, None) => left.next(),
            };
            let Some(&interval) = next else { break };
            self.push_merged(interval);
        }
        debug_assert!(self.is_canonical(), "merged intervals ascend and are apart");
    }

    /// Adds one interval in its place, found by bisection.
    fn insert(&mut self, mut next: Interval) {
        next.lo = next.lo.max(self.floor);
        if next.hi <= next.lo {
            return;
        }

        // Those of its actor that it meets lie side by side: `begin` is the first that ends at or behind its start.
        let begin = (self.intervals).partition_point(|i| (i.actor, i.hi) < (next.actor, next.lo));
        let end = (self.intervals).partition_point(|i| (i.actor, i.lo) <= (next.actor, next.hi));
        let Some([first, .., last] | [first @ last]) = self.intervals.get(begin..end) else {
            self.intervals.insert(begin, next);
            return;
        };
        (next.lo, next.hi) = (next.lo.min(first.lo), next.hi.max(last.hi));
        self.intervals[begin] = next;
        self.intervals.drain(begin + 1..end);
    }

    /// Appends an interval whose (actor, lo) is not below the last one's.
    fn push_merged(&mut self, mut next: Interval) {
        next.lo = next.lo.max(self.floor);
        if next.hi <= next.lo {
            return;
        }
        match self.intervals.last_mut() {
            Some(last) if last.actor == next.actor && next.lo <= last.hi => {
                last.hi = last.hi.max(next.hi);
            }
            _ => self.intervals.push(next),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Actor = Actor(1);
    const B: Actor = Actor(2);

    fn seen(floor: u64, intervals: &[(Actor, u64, u64)]) -> Seen {
        let mut seen = Seen::up_to(Time(floor));
        for &(actor, lo, hi) in intervals {
            seen.add(actor, Time(lo), Time(hi));
        }
        seen
    }

    fn dot(actor: Actor, time: u64) -> Dot {
        Dot {
            time: Time(time),
            actor,
        }
    }

    #[test]
    fn a_writers_intervals_merge_into_one() {
        let seen = seen(0, &[(A, 0, 5), (A, 9, 12), (A, 5, 9)]);
        assert_eq!(seen.intervals().len(), 1);
        assert!(seen.contains(dot(A, 12)) && !seen.contains(dot(A, 13)));
        assert!(!seen.contains(dot(B, 3)));
    }

    #[test]
    fn intervals_are_cut_off_at_the_floor() {
        let seen = seen(10, &[(A, 4, 9), (A, 8, 12), (B, 3, 10)]);
        assert_eq!(
            seen.intervals(),
            [Interval {
                actor: A,
                lo: Time(10),
                hi: Time(12)
            }]
        );
    }

    #[test]
    fn the_floor_covers_every_actor_but_names_nobody() {
        let seen = seen(10, &[(A, 10, 12)]);
        assert!(seen.contains(dot(B, 10)) && !seen.names(dot(B, 10)));
        assert!(seen.names(dot(A, 11)));
        assert!(!seen.names(dot(A, 10)));
    }

    #[test]
    fn parts_out_of_canonical_form_are_refused() {
        let interval = |lo, hi| Interval {
            actor: A,
            lo: Time(lo),
            hi: Time(hi),
        };
        let parts = |list: &[Interval]| Seen::from_parts(Time(5), list.iter().copied().collect());
        assert!(parts(&[interval(5, 6), interval(7, 8)]).is_some());
        assert!(parts(&[interval(4, 6)]).is_none(), "begins below the floor");
        assert!(parts(&[interval(6, 6)]).is_none(), "is empty");
        assert!(parts(&[interval(5, 7), interval(7, 8)]).is_none(), "touch");
        assert!(
            parts(&[interval(7, 8), interval(5, 6)]).is_none(),
            "descend"
        );
    }

    proptest::proptest! {
        #[test]
        fn adding_intervals_one_by_one_is_the_same_as_one_pass_over_all(
            ours in proptest::collection::vec((0..6_u64, 0..60_u64, 1..4_u64), 0..60),
            theirs in proptest::collection::vec((0..6_u64, 0..60_u64, 1..9_u64), 0..3),
            floor in 0..30_u64,
        ) {
            let region = |parts: &[(u64, u64, u64)], floor| {
                let mut seen = Seen::up_to(Time(floor));
                for &(actor, lo, length) in parts {
                    let (lo, hi) = (Time(lo), Time(lo + length));
                    let next = Interval { actor: Actor(actor), lo, hi };
                    let mut both: SmallVec<[Interval; 1]> = core::mem::take(&mut seen.intervals);
                    both.push(next);
                    both.sort_unstable();
                    for interval in both {
                        seen.push_merged(interval);
                    }
                }
                seen
            };
            let (ours, theirs) = (region(&ours, floor), region(&theirs, 0));
            let mut one_by_one = ours.clone();
            for &interval in &theirs.intervals {
                one_by_one.insert(interval);
            }
            let mut at_once = Seen::up_to(ours.floor);
            let mut all: Vec<Interval> = ours.intervals.iter().chain(&theirs.intervals).copied().collect();
            all.sort_unstable();
            for interval in all {
                at_once.push_merged(interval);
            }
            proptest::prop_assert!(one_by_one.is_canonical());
            proptest::prop_assert!(one_by_one.includes(&ours) && one_by_one.includes(&theirs));
            proptest::prop_assert_eq!(ours.includes(&theirs), one_by_one == ours);
            proptest::prop_assert_eq!(theirs.includes(&ours), one_by_one == theirs);
            proptest::prop_assert_eq!(one_by_one, at_once);
        }
    }
}
