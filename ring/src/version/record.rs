//! Records: what a replica stores for a key.
//!
//! ```text
//!   join(a, b).live = dots live in both (their variants united),
//!                     plus those live in one and not in the other's Seen
//!   join(a, b).seen = union
//! ```
//!
//! Join is idempotent, commutative and associative. A record with no live sibling is a tombstone; one that
//! has not seen anything either is the absence of a record. A dot has one value; should two clones of a
//! client mint one dot twice, the content hashes differ and both *variants* are kept as siblings: per dot
//! the states are ordered unseen < live with a set of variants < dead.
//!
//! Invariants: live siblings ascend by (dot, content hash) without repeats; every live dot lies in Seen and
//! above time zero; no expiry is 0. Left out: bounds on siblings and bytes. A node refuses a client's put
//! that would pass them; a join never fails.
//!
//! Source: Almeida, Shoker and Baquero, *Delta State Replicated Data Types* (2018), whose join of causal
//! types this is, with Seen as the causal context.

use core::hash::Hasher as _;

use bytes::Bytes;
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use crate::clock::{Millis, Time};
use crate::version::{Dot, Seen};

/// One live value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// The write that made it.
    pub dot: Dot,
    /// When it stops being readable, above 0: from that millisecond on it is dead. `None` is never.
    pub expiry: Option<Millis>,
    /// [`content_hash`] of value and expiry, made by the client that wrote it.
    pub hash: u64,
    /// The value; `None` only in answers that leave values out.
    pub value: Option<Bytes>,
}

/// The hash that distinguishes two contents of one dot, and detects damaged bytes: SipHash-1-3 without a
/// key. It finds accidents; it does not stop a forger.
///
/// ```
/// # use quoit_ring::{content_hash, Millis};
/// assert_ne!(content_hash(b"v", None), content_hash(b"v", Some(Millis(1))));
/// ```
#[must_use]
pub fn content_hash(value: &[u8], expiry: Option<Millis>) -> u64 {
    let mut hasher = SipHasher13::new();
    // An expiry of 0 is over before any write, so 0 is free to mean "never".
    hasher.write(&expiry.map_or(0, |at| at.0).to_le_bytes());
    hasher.write(value);
    hasher.finish()
}

/// A key's stored state: the live siblings, and what has been seen. The default is the absence of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    live: SmallVec<[Sibling; 1]>,
    seen: Seen,
}

impl Record {
    /// A record from its parts, or `None` if they break its invariants: siblings ascending by (dot, hash)
    /// without repeats, each in `seen` and above time zero, no expiry of 0.
    ///
    /// ```
    /// # use quoit_ring::{Record, Seen, Time};
    /// let tombstone = Record::from_parts(Default::default(), Seen::up_to(Time(10))).unwrap();
    /// assert!(tombstone.is_tombstone() && !tombstone.is_absent());
    /// assert!(Record::default().is_absent());
    /// ```
    #[must_use]
    pub fn from_parts(live: SmallVec<[Sibling; 1]>, seen: Seen) -> Option<Self> {
        is_canonical(&live, &seen).then_some(Self { live, seen })
    }

    /// The live siblings, ascending by dot; expired ones included until they are killed.
    #[must_use]
    pub fn live(&self) -> &[Sibling] {
        &self.live
    }

    /// What this record has seen.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether this is the absence of a record: nothing live and nothing seen.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.live.is_empty() && self.seen.is_empty()
    }

    /// Whether the key had a value and has none now.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.live.is_empty() && !self.seen.is_empty()
    }

    /// The live variants of `dot`, more than one only after a dot was minted twice.
    pub fn variants(&self, dot: Dot) -> impl Iterator<Item = &Sibling> {
        let first = self.live.partition_point(|s| s.dot < dot);
        self.live[first..].iter().take_while(move |s| s.dot == dot)
    }

    /// The latest time in the record, [`Time::ZERO`] if there is none: the time that a clock must accept before the record is stored.
    #[must_use]
    pub fn max_time(&self) -> Time {
        self.live
            .iter()
            .map(|s| s.dot.time)
            .fold(self.seen.max_time(), Time::max)
    }

    /// Bytes of all live values; one that was left out counts 0.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        let len = |s: &Sibling| s.value.as_ref().map_or(0, Bytes::len);
        self.live.iter().map(len).sum()
    }

    /// Joins `other` into this record: the one operation by which a replica changes.
    ///
    /// Afterwards it has seen what either had, and holds what both held and what one held and the other
    /// had not seen. A value that one side had left out is taken from the other. Costs one pass over
    /// both lists of siblings and of intervals.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Delta, Dot, Record, Seen, Time};
    /// let write = |actor, time, value: &'static str| {
    ///     let dot = Dot { time: Time(time), actor: Actor(actor) };
    ///     Delta::causal(dot, Time::ZERO, &Seen::default(), Some((value.into(), None)))
    /// };
    /// let (milk, bread) = (write(1, 10, "milk"), write(2, 11, "bread"));
    /// let mut cart = Record::default();
    /// cart.join(milk.record());
    /// cart.join(bread.record());
    /// cart.join(milk.record()); // a retry changes nothing
    /// assert_eq!(cart.live().len(), 2, "neither saw the other: siblings");
    /// ```
    pub fn join(&mut self, other: &Self) {
        let (mut ours, mut theirs) = (self.live.as_slice(), other.live.as_slice());
        let mut joined = SmallVec::with_capacity(ours.len().max(theirs.len()));

        while let Some(dot) = first_dot(ours, theirs) {
            match (take_dot(&mut ours, dot), take_dot(&mut theirs, dot)) {
                // Live on one side: it stays unless the other side has seen it die.
                (a, []) if !other.seen.contains(dot) => joined.extend(a.iter().cloned()),
                ([], b) if !self.seen.contains(dot) => joined.extend(b.iter().cloned()),
                (_, []) | ([], _) => {}
                // Live on both: one variant, unless the dot was minted twice.
                (a, b) => unite(a, b, &mut joined),
            }
        }

        self.live = joined;
        self.seen.union(&other.seen);
        debug_assert!(
            is_canonical(&self.live, &self.seen),
            "a join keeps the order, and has seen what lives"
        );
    }

    /// Adds everything up to `floor` to what it has seen; what is live stays so.
    pub fn raise_floor(&mut self, floor: Time) {
        self.seen.raise_floor(floor);
    }

    /// Whether it says no more than that everything up to `floor` was seen: where that is known of all keys, it needs no row.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Delta, Dot, Time};
    /// let dot = Dot { time: Time(10), actor: Actor(1) };
    /// let mut tombstone = Delta::blind(dot, None).into_record();
    /// assert!(!tombstone.is_only_floor(Time(9)));
    /// tombstone.raise_floor(Time(10));
    /// assert!(tombstone.is_only_floor(Time(10)));
    /// ```
    #[must_use]
    pub fn is_only_floor(&self, floor: Time) -> bool {
        self.live.is_empty() && self.seen.intervals().is_empty() && self.seen.floor() <= floor
    }

    /// Makes siblings live again that an absence has killed: each of them is seen.
    pub(super) fn revive(&mut self, siblings: impl Iterator<Item = Sibling>) {
        for sibling in siblings {
            let found = (self.live).binary_search_by(|it| rank(it).cmp(&rank(&sibling)));
            if let Err(place) = found {
                self.live.insert(place, sibling);
            }
        }
        debug_assert!(
            is_canonical(&self.live, &self.seen),
            "what is revived was seen"
        );
    }

    /// The record as it reads at `now`: expired siblings are dead, exactly as if deleted.
    ///
    /// ```
    /// # use quoit_ring::{Actor, Delta, Dot, Millis, Time};
    /// let dot = Dot { time: Time(10), actor: Actor(1) };
    /// let session = Delta::blind(dot, Some(("token".into(), Some(Millis(5_000))))).into_record();
    /// assert_eq!(session.at(Millis(4_999)), session);
    /// assert!(session.at(Millis(5_000)).is_tombstone());
    /// ```
    #[must_use]
    pub fn at(&self, now: Millis) -> Self {
        let mut record = self.clone();
        record
            .live
            .retain(|s| s.expiry.is_none_or(|expiry| now < expiry));
        record
    }

    /// Whether both hold the same versions: equal live sets and equal Seen, values not compared.
    #[must_use]
    pub fn same_versions(&self, other: &Self) -> bool {
        self.seen == other.seen
            && self.live.len() == other.live.len()
            && versions(&self.live).eq(versions(&other.live))
    }

    /// Whether both hold the same versions once all up to `floor` counts as seen by either.
    ///
    /// ```
    /// # use quoit_ring::{Record, Seen, Time};
    /// let seen = |time| Record::from_parts(Default::default(), Seen::up_to(Time(time))).unwrap();
    /// assert!(!seen(10).same_versions(&seen(20)));
    /// assert!(seen(10).same_versions_above(&seen(20), Time(20)));
    /// assert!(!seen(10).same_versions_above(&seen(20), Time(15)));
    /// ```
    #[must_use]
    pub fn same_versions_above(&self, other: &Self, floor: Time) -> bool {
        self.seen.same_above(&other.seen, floor) && versions(&self.live).eq(versions(&other.live))
    }

    /// Whether `other`, as it reads at `now`, holds the same versions as this record, itself read at
    /// some instant already, once all up to `floor` counts as seen by either. The same as comparing with [`Record::at`],
    /// without a copy.
    #[must_use]
    pub fn same_versions_at(&self, other: &Self, now: Millis, floor: Time) -> bool {
        let alive = other
            .live
            .iter()
            .filter(|s| s.expiry.is_none_or(|expiry| now < expiry))
            .map(version);
        self.seen.same_above(&other.seen, floor) && versions(&self.live).eq(alive)
    }

    /// The same record with its values left out: a digest, enough to compare versions and to join.
    #[must_use]
    pub fn without_values(&self) -> Self {
        let mut record = self.clone();
        for sibling in &mut record.live {
            sibling.value = None;
        }
        record
    }
}

/// Whether these parts keep a record's invariants.
fn is_canonical(live: &[Sibling], seen: &Seen) -> bool {
    let ascending = live.windows(2).all(|w| rank(&w[0]) < rank(&w[1]));
    let covered = live.iter().all(|s| seen.contains(s.dot));
    // Time zero lies in every region, the empty one too: a write minted then could never live.
    let minted = live.iter().all(|s| s.dot.time > Time::ZERO);
    // Bytes and hashes say "never" by an expiry of 0.
    let expiries = live.iter().all(|s| s.expiry != Some(Millis(0)));
    ascending && covered && minted && expiries
}

/// The least dot of two ascending lists.
fn first_dot(a: &[Sibling], b: &[Sibling]) -> Option<Dot> {
    let heads = [a.first(), b.first()];
    heads.into_iter().flatten().map(|s| s.dot).min()
}

/// Takes the variants of `dot` off the front of an ascending list that begins with it or a later one.
fn take_dot<'a>(list: &mut &'a [Sibling], dot: Dot) -> &'a [Sibling] {
    let (variants, rest) = list.split_at(list.iter().take_while(|s| s.dot == dot).count());
    *list = rest;
    variants
}

/// Appends the variants of one dot that is live on both sides, each once, with its value if either has it.
fn unite(mut a: &[Sibling], mut b: &[Sibling], joined: &mut SmallVec<[Sibling; 1]>) {
    loop {
        let next = match (a, b) {
            ([x, rest @ ..], [y, others @ ..]) if variant(x) == variant(y) => {
                (a, b) = (rest, others);
                if x.value.is_some() { x } else { y }
            }
            ([x, rest @ ..], [y, ..]) if variant(x) < variant(y) => {
                a = rest;
                x
            }
            (_, [y, others @ ..]) => {
                b = others;
                y
            }
            ([x, rest @ ..], []) => {
                a = rest;
                x
            }
            ([], []) => return,
        };
        joined.push(next.clone());
    }
}

/// Distinguishes the contents of one dot.
fn variant(sibling: &Sibling) -> u64 {
    sibling.hash
}

/// The part of a sibling that two equal replicas share.
fn version(sibling: &Sibling) -> (Dot, u64) {
    (sibling.dot, variant(sibling))
}

fn versions(live: &[Sibling]) -> impl Iterator<Item = (Dot, u64)> {
    live.iter().map(version)
}

/// The order of live siblings.
const fn rank(sibling: &Sibling) -> (Dot, u64) {
    (sibling.dot, sibling.hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Actor, Delta};

    fn dot(actor: u64, time: u64) -> Dot {
        Dot {
            time: Time(time),
            actor: Actor(actor),
        }
    }

    fn put(dot: Dot, prev: u64, seen: &Seen, value: &'static str) -> Record {
        let value = Some((Bytes::from_static(value.as_bytes()), None));
        Delta::causal(dot, Time(prev), seen, value).into_record()
    }

    fn joined(records: &[&Record]) -> Record {
        let mut all = Record::default();
        for record in records {
            all.join(record);
        }
        all
    }

    fn values(record: &Record) -> Vec<&[u8]> {
        record
            .live()
            .iter()
            .filter_map(|s| s.value.as_deref())
            .collect()
    }

    #[test]
    fn a_stale_context_keeps_both_values() {
        let first = put(dot(1, 10), 0, &Seen::default(), "first");
        let second = put(dot(2, 20), 0, first.seen(), "second");
        let stale = put(dot(3, 30), 0, first.seen(), "stale");
        assert_eq!(
            values(&joined(&[&first, &second, &stale])),
            [b"second".as_slice(), b"stale"]
        );
    }

    #[test]
    fn a_blind_write_wins_over_all_that_is_older() {
        let causal = put(dot(1, 10), 0, &Seen::default(), "causal");
        let blind = Delta::blind(dot(2, 20), Some((Bytes::from_static(b"blind"), None)));
        let later = put(dot(1, 30), 10, &Seen::default(), "later");
        let all = joined(&[&later, blind.record(), &causal]);
        assert_eq!(values(&all), [b"blind".as_slice(), b"later"]);
    }

    #[test]
    fn a_deleted_value_stays_deleted_when_a_late_replica_joins() {
        let value = put(dot(1, 10), 0, &Seen::default(), "v");
        let delete = Delta::causal(dot(1, 20), Time(10), value.seen(), None);
        let all = joined(&[&value, delete.record(), &value]);
        assert!(all.is_tombstone());
    }

    #[test]
    fn a_dot_minted_twice_keeps_both_contents_until_it_is_overwritten() {
        let one = put(dot(1, 10), 0, &Seen::default(), "one");
        let two = put(dot(1, 10), 0, &Seen::default(), "two");
        let both = joined(&[&one, &two]);
        assert_eq!(both.live().len(), 2);
        assert!(both.same_versions(&joined(&[&two, &one])));
        assert!(
            both.same_versions(&joined(&[&both, &one])),
            "one variant says nothing about the other"
        );
        let over = put(dot(2, 20), 0, both.seen(), "over");
        assert_eq!(values(&joined(&[&both, &over])), [b"over"]);
    }

    #[test]
    fn an_expired_sibling_reads_as_deleted() {
        let expiring = Some((Bytes::from_static(b"v"), Some(Millis(100))));
        let record = Delta::blind(dot(1, 10), expiring).into_record();
        assert_eq!(record.at(Millis(99)), record);
        assert!(record.at(Millis(100)).is_tombstone());
    }

    #[test]
    fn a_record_joined_with_its_digest_keeps_its_values() {
        let record = put(dot(1, 10), 0, &Seen::default(), "v");
        let digest = record.without_values();
        assert_eq!(joined(&[&digest, &record]), record);
        assert_eq!(joined(&[&record, &digest]), record);
    }

    #[test]
    fn parts_that_break_an_invariant_are_refused() {
        let record = put(dot(1, 10), 0, &Seen::default(), "v");
        let live: SmallVec<[Sibling; 1]> = record.live().iter().cloned().collect();
        assert!(
            Record::from_parts(live.clone(), Seen::default()).is_none(),
            "live but not seen"
        );
        let twice = live.iter().chain(&live).cloned().collect();
        assert!(
            Record::from_parts(twice, record.seen().clone()).is_none(),
            "one sibling twice"
        );
        let with = |change: fn(&mut Sibling)| {
            let mut live = live.clone();
            change(&mut live[0]);
            Record::from_parts(live, record.seen().clone())
        };
        assert_eq!(with(|s| s.dot.time = Time::ZERO), None, "before all writes");
        assert_eq!(with(|s| s.expiry = Some(Millis(0))), None, "0 is never");
        assert_eq!(with(|_same| {}), Some(record));
    }
}
