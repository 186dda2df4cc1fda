//! A record's bytes, on the wire and on disk alike.
//!
//! ```text
//!   version u8
//!   floor, interval count, then for each: actor (8), lo - floor, hi - lo
//!   sibling count, then for each: time, actor (8), expiry (0 = none), hash (8),
//!                                 value length + 1 (0 = left out), value
//! ```
//!
//! Numbers are of variable length except random ones: actors and hashes. A blind write's record
//! is about 50 bytes and its value. Equal records have equal bytes: fields are in canonical order, numbers
//! as short as they can be, and a decoder refuses anything else. Values are slices of the bytes that came in.
//!
//! Left out: whether a value fits its content hash, which the receiver checks.

use bincode::{Decode, Encode};
use bytes::{BufMut as _, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::clock::{Millis, Time};
use crate::version::{Actor, Dot, Interval, Record, Seen, Sibling};
use crate::wire::VERSION;
use crate::wire::codec::{self, DecodeError};

/// Each list element is read on its own, so this bounds single elements, not records.
const ELEMENT: usize = 64;
/// Bytes of an actor or a hash.
const FIXED: usize = 8;
/// Fewest bytes of an encoded interval, which has 24 in memory.
const MIN_INTERVAL: usize = FIXED + 2;
/// Fewest bytes of an encoded sibling, which has 72 in memory.
const MIN_SIBLING: usize = 2 * FIXED + 3;

#[derive(Encode, Decode)]
struct IntervalHead {
    actor: [u8; FIXED],
    above_floor: u64,
    length: u64,
}

#[derive(Encode, Decode)]
struct SiblingHead {
    time: Time,
    actor: [u8; FIXED],
    expiry: u64,
    hash: [u8; FIXED],
    /// One more than the value's length; 0 says that the value was left out.
    value: u32,
}

/// The bytes of `record`.
///
/// ```
/// # use quoit_ring::Record;
/// # use quoit_ring::wire::{decode_record, record_bytes};
/// let record = Record::default();
/// assert_eq!(decode_record(&record_bytes(&record)), Ok(record));
/// ```
#[must_use]
pub fn record_bytes(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode_record(record, &mut out);
    out.freeze()
}

/// Appends `record` to `out`, in one allocation at most.
///
/// ```
/// # use bytes::BytesMut;
/// # use quoit_ring::wire::{decode_record, encode_record};
/// # use quoit_ring::{Actor, Delta, Dot, Millis, Time};
/// let dot = Dot { time: Time::at(Millis(1_700_000_000_000)), actor: Actor(7) };
/// let record = Delta::blind(dot, Some(("hello".into(), None))).into_record();
/// let mut bytes = BytesMut::new();
/// encode_record(&record, &mut bytes);
/// assert!(bytes.len() < 60 + "hello".len());
/// assert_eq!(decode_record(&bytes.freeze()), Ok(record));
/// ```
pub fn encode_record(record: &Record, out: &mut BytesMut) {
    let seen = record.seen();
    let (start, length) = (out.len(), record_len(record));
    out.reserve(length);

    out.put_u8(VERSION);
    codec::put(&(seen.floor(), seen.intervals().len()), out);
    for interval in seen.intervals() {
        codec::put(
            &IntervalHead {
                actor: interval.actor.0.to_le_bytes(),
                above_floor: interval.lo.0 - seen.floor().0,
                length: interval.hi.0 - interval.lo.0,
            },
            out,
        );
    }

    codec::put(&record.live().len(), out);
    for sibling in record.live() {
        codec::put(&head_of(sibling), out);
        out.put_slice(sibling.value.as_deref().unwrap_or_default());
    }
    debug_assert_eq!(
        out.len() - start,
        length,
        "a decoder holds a record to this length"
    );
}

fn head_of(sibling: &Sibling) -> SiblingHead {
    let length = |value: &Bytes| u32::try_from(value.len() + 1).unwrap_or(u32::MAX);
    SiblingHead {
        time: sibling.dot.time,
        actor: sibling.dot.actor.0.to_le_bytes(),
        expiry: sibling.expiry.map_or(0, |at| at.0),
        hash: sibling.hash.to_le_bytes(),
        value: sibling.value.as_ref().map_or(0, length),
    }
}

/// Bytes that [`encode_record`] appends for `record`, without encoding it: one pass over its siblings and intervals,
/// whatever the length of the values.
///
/// ```
/// # use bytes::BytesMut;
/// # use quoit_ring::wire::{encode_record, record_len};
/// # use quoit_ring::{Record, Seen, Time};
/// let tombstone = Record::from_parts(Default::default(), Seen::up_to(Time(10))).unwrap();
/// let mut bytes = BytesMut::new();
/// encode_record(&tombstone, &mut bytes);
/// assert_eq!(record_len(&tombstone), bytes.len());
/// ```
#[must_use]
pub fn record_len(record: &Record) -> usize {
    let number = codec::number_len;
    let seen = record.seen();
    let interval = |i: &Interval| FIXED + number(i.lo.0 - seen.floor().0) + number(i.hi.0 - i.lo.0);
    let sibling = |s: &Sibling| {
        let head = head_of(s);
        let numbers = number(head.time.0) + number(head.expiry) + number(head.value.into());
        2 * FIXED + numbers + s.value.as_ref().map_or(0, Bytes::len)
    };
    let counts = [seen.intervals().len(), record.live().len()].map(|n| number(n as u64));
    let lists = seen
        .intervals()
        .iter()
        .map(interval)
        .chain(record.live().iter().map(sibling));
    1 + number(seen.floor().0) + counts.into_iter().chain(lists).sum::<usize>()
}

/// Reads a record; its values are slices of `bytes` and keep all of them alive. Content hashes are read,
/// not checked.
///
/// # Errors
/// [`DecodeError`] unless `bytes` are exactly one record in canonical form. Nothing is kept.
pub fn decode_record(bytes: &Bytes) -> Result<Record, DecodeError> {
    let mut rest: &[u8] = bytes;
    let version = codec::take::<u8, 1>(&mut rest)?;
    if version != VERSION {
        return Err(DecodeError::Version {
            found: version,
            known: VERSION,
        });
    }

    let seen = decode_seen(&mut rest)?;
    let live = decode_live(&mut rest, bytes)?;
    if !rest.is_empty() {
        return Err(DecodeError::Malformed("bytes behind the last value"));
    }

    let record = Record::from_parts(live, seen)
        .ok_or(DecodeError::Malformed("siblings out of order or unseen"))?;
    // The bytes say nothing but the record, so only a number in too many bytes can make them longer.
    if record_len(&record) != bytes.len() {
        return Err(DecodeError::Malformed("a number longer than it need be"));
    }
    Ok(record)
}

fn decode_seen(rest: &mut &[u8]) -> Result<Seen, DecodeError> {
    let floor = codec::take::<Time, ELEMENT>(rest)?;
    let count = codec::count(rest, MIN_INTERVAL)?;
    let mut intervals = SmallVec::with_capacity(count);
    for _ in 0..count {
        let head = codec::take::<IntervalHead, ELEMENT>(rest)?;
        let ends = floor.0.checked_add(head.above_floor);
        let ends = ends.and_then(|lo| Some((lo, lo.checked_add(head.length)?)));
        let (lo, hi) = ends.ok_or(DecodeError::Malformed("an interval beyond the end of time"))?;
        intervals.push(Interval {
            actor: Actor(u64::from_le_bytes(head.actor)),
            lo: Time(lo),
            hi: Time(hi),
        });
    }
    Seen::from_parts(floor, intervals).ok_or(DecodeError::Malformed("intervals out of order"))
}

fn decode_live(rest: &mut &[u8], bytes: &Bytes) -> Result<SmallVec<[Sibling; 1]>, DecodeError> {
    let count = codec::count(rest, MIN_SIBLING)?;
    let mut live = SmallVec::with_capacity(count);
    for _ in 0..count {
        let head = codec::take::<SiblingHead, ELEMENT>(rest)?;
        let value = match head.value.checked_sub(1) {
            None => None,
            Some(length) => {
                let parts = rest.split_at_checked(length as usize);
                let (value, behind) =
                    parts.ok_or(DecodeError::Malformed("a value longer than its bytes"))?;
                *rest = behind;
                Some(bytes.slice_ref(value))
            }
        };
        live.push(Sibling {
            dot: Dot {
                time: head.time,
                actor: Actor(u64::from_le_bytes(head.actor)),
            },
            expiry: (head.expiry != 0).then_some(Millis(head.expiry)),
            hash: u64::from_le_bytes(head.hash),
            value,
        });
    }
    Ok(live)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Delta;

    fn blind() -> Record {
        let dot = Dot {
            time: Time(0x0123_4567_89ab_cdef),
            actor: Actor(0xfeed_beef_0000_0001),
        };
        Delta::blind(dot, Some((Bytes::from_static(b"value"), Some(Millis(7))))).into_record()
    }

    #[test]
    fn a_blind_records_bytes_are_golden() {
        let hex: String = record_bytes(&blind())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            concat!(
                "01",                 // version
                "fdeecdab8967452301", // floor: just below the dot
                "01",                 // one interval:
                "01000000efbeedfe",   //   of this actor,
                "0001",               //   from the floor, one long
                "01",                 // one sibling:
                "fdefcdab8967452301", //   time
                "01000000efbeedfe",   //   actor
                "07",                 //   expiry
                "f97d831b598db258",   //   content hash
                "06",                 //   a value of 5 bytes:
                "76616c7565",         //   "value"
            )
        );
    }

    #[test]
    fn a_record_without_values_comes_back_without_them() {
        let digest = blind().without_values();
        assert_eq!(decode_record(&record_bytes(&digest)), Ok(digest));
    }

    #[test]
    fn every_truncation_and_every_trailing_byte_is_refused() {
        let bytes = record_bytes(&blind());
        assert_eq!(decode_record(&bytes), Ok(blind()));
        for end in 0..bytes.len() {
            assert!(decode_record(&bytes.slice(..end)).is_err(), "cut at {end}");
        }
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        assert!(decode_record(&longer).is_err());
    }

    #[test]
    fn a_number_longer_than_it_need_be_is_refused() {
        let none = Bytes::from_static(&[VERSION, 5, 0, 0]);
        assert!(decode_record(&none).is_ok());
        let long = Bytes::from_static(&[VERSION, 251, 5, 0, 0, 0]);
        let error = decode_record(&long).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Malformed("a number longer than it need be")
        );
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_it_is_allocated() {
        // version, floor 0, then 2^60 intervals.
        let mut bytes = BytesMut::from(&[VERSION, 0][..]);
        codec::put(&(1_u64 << 60), &mut bytes);
        let error = decode_record(&bytes.freeze()).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Malformed("a list longer than its bytes")
        );
    }
}
