//! What the owners that cover a key say of it together.
//!
//! ```text
//!   all hold the same versions, and every clock says the same of each expiry     a row, or nothing
//!   anything else                                                                read the key: a quorum read decides
//! ```
//!
//! Equal is what it is for a quorum read: the same live values, and the same seen above the larger floor
//! ([`Held`]). So what a scan yields without a read is what a read of the same replicas would have returned, on as many
//! replicas as it would have waited for. Where a value is missing, since it is large, or does not fit its checksum, a read
//! brings it.

use quoit_ring::wire::decode_record;
use quoit_ring::{Held, Millis, Record, Sibling, content_hash};
use smallvec::SmallVec;

use super::feed::Said;

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has these values.
    Row(Record),
    /// It has none.
    Nothing,
    /// To be read.
    Doubt,
}

/// Judges one key; with `values` it is to come with its values.
pub(crate) fn judge(said: &[Said], values: bool) -> Verdict {
    let held = |said: &Said| {
        let row = said.record.as_ref().map(decode_record).transpose();
        row.map(|row| Held::new(row, said.floor)).ok()
    };
    let held: Option<SmallVec<[Held; 3]>> = said.iter().map(held).collect();
    let Some(held) = held else {
        return Verdict::Doubt;
    };
    let Some((first, others)) = held.split_first() else {
        return Verdict::Doubt;
    };
    if !others.iter().all(|other| first.same_versions(other)) {
        return Verdict::Doubt;
    }

    let mut record = first.record().clone();
    for other in others {
        record.join(other.record());
    }
    let expiries = record.live().iter().filter_map(|sibling| sibling.expiry);
    let expiries: SmallVec<[Millis; 1]> = expiries.collect();
    if !expiries.is_empty() {
        let clocks = || said.iter().map(|said| said.clock);
        let (least, most) = (clocks().min(), clocks().max());
        let is_alive = |expiry: &Millis| most.is_some_and(|clock| clock < *expiry);
        // One clock alone ends nothing.
        let is_dead =
            |expiry: &Millis| said.len() > 1 && least.is_some_and(|clock| *expiry <= clock);
        if !(expiries.iter()).all(|expiry| is_alive(expiry) || is_dead(expiry)) {
            return Verdict::Doubt;
        }
        record = record.at(most.unwrap_or_default());
    }
    if record.live().is_empty() {
        return Verdict::Nothing;
    }
    if values && !record.live().iter().all(is_whole) {
        return Verdict::Doubt;
    }
    Verdict::Row(record)
}

/// Whether a sibling has its value, and it is the one that its writer wrote.
fn is_whole(sibling: &Sibling) -> bool {
    let value = sibling.value.as_ref();
    value.is_some_and(|value| content_hash(value, sibling.expiry) == sibling.hash)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quoit_ring::wire::record_bytes;
    use quoit_ring::{Actor, Delta, Dot, Time};

    use super::*;

    fn put(time: u64, expiry: Option<u64>) -> Record {
        let dot = Dot {
            time: Time(time),
            actor: Actor(1),
        };
        Delta::blind(dot, Some(("v".into(), expiry.map(Millis)))).into_record()
    }

    fn dead(time: u64) -> Record {
        let dot = Dot {
            time: Time(time),
            actor: Actor(1),
        };
        Delta::blind(dot, None).into_record()
    }

    fn said(record: Option<&Record>, floor: u64, clock: u64) -> Said {
        Said {
            record: record.map(record_bytes),
            floor: Time(floor),
            clock: Millis(clock),
        }
    }

    #[test]
    fn equal_versions_are_the_row_whoever_sent_the_value() {
        let record = put(10, None);
        let version = record.without_values();
        for both in [[&record, &version], [&version, &record]] {
            let both = both.map(|record| said(Some(record), 0, 1));
            assert_eq!(judge(&both, true), Verdict::Row(record.clone()));
        }
        let versions = [said(Some(&version), 0, 1), said(Some(&version), 0, 1)];
        assert_eq!(judge(&versions, false), Verdict::Row(version));
        assert_eq!(
            judge(&versions, true),
            Verdict::Doubt,
            "the value is missing"
        );
        assert_eq!(judge(&[], true), Verdict::Doubt);
    }

    #[test]
    fn what_differs_is_read() {
        let (old, new) = (put(10, None), put(11, None));
        let both = |a: Said, b: Said| judge(&[a, b], true);
        let absent = |floor| said(None, floor, 1);
        assert_eq!(
            both(said(Some(&old), 0, 1), said(Some(&new), 0, 1)),
            Verdict::Doubt
        );
        assert_eq!(both(said(Some(&old), 0, 1), absent(0)), Verdict::Doubt);
        assert_eq!(both(said(Some(&old), 0, 1), absent(20)), Verdict::Doubt);
        let junk = Said {
            record: Some(Bytes::from_static(b"junk")),
            ..absent(0)
        };
        assert_eq!(both(said(Some(&old), 0, 1), junk), Verdict::Doubt);
        let mut damaged = record_bytes(&old).to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        let damaged = Said {
            record: Some(damaged.into()),
            ..absent(0)
        };
        assert_eq!(judge(&[damaged], true), Verdict::Doubt);
    }

    #[test]
    fn a_tombstone_and_its_having_been_forgotten_are_nothing_alike() {
        let tombstone = said(Some(&dead(10)), 0, 1);
        let both = |other: Said| judge(&[tombstone.clone(), other], true);
        assert_eq!(both(tombstone.clone()), Verdict::Nothing);
        assert_eq!(both(said(None, 20, 1)), Verdict::Nothing);
        assert_eq!(
            both(said(None, 9, 1)),
            Verdict::Doubt,
            "it may have missed it"
        );
    }

    #[test]
    fn an_expiry_counts_once_all_clocks_have_reached_it() {
        let record = put(10, Some(100));
        let both = |a, b| {
            let said = [said(Some(&record), 0, a), said(Some(&record), 0, b)];
            judge(&said, true)
        };
        assert_eq!(both(99, 99), Verdict::Row(record.clone()));
        assert_eq!(both(100, 101), Verdict::Nothing);
        assert_eq!(both(99, 100), Verdict::Doubt);
        assert_eq!(judge(&[said(Some(&record), 0, 100)], true), Verdict::Doubt);
        let alive = judge(&[said(Some(&record), 0, 99)], true);
        assert_eq!(alive, Verdict::Row(record.clone()));
    }
}
