//! The value of a stored hint: when the oldest write in it was minted, then the record.
//!
//! ```text
//!   0                      8
//!   | minted, big-endian   | record ...
//! ```
//!
//! The record alone does not say: what a write has overwritten is in it, too, and a delete has no sibling. As long as a hint
//! lies somewhere, the writes in it are under way, and owners that lack them may not forget what is younger.

use bytes::{BufMut as _, Bytes, BytesMut};
use quoit_ring::wire::encode_record;
use quoit_ring::{Record, Time};

/// Bytes in front of the record.
pub(crate) const MINTED: usize = size_of::<u64>();

/// Appends the value of a hint.
pub(crate) fn encode_row(minted: Time, record: &Record, out: &mut BytesMut) {
    out.put_u64(minted.0);
    encode_record(record, out);
}

/// Takes the value of a hint apart. One that is too short is junk, and as old as can be: it holds back what is forgotten until
/// somebody has looked at it.
#[must_use]
pub fn split_row(value: &Bytes) -> (Time, Bytes) {
    match value.split_first_chunk() {
        Some((minted, _record)) => (Time(u64::from_be_bytes(*minted)), value.slice(MINTED..)),
        None => (Time::ZERO, Bytes::new()),
    }
}

#[cfg(test)]
mod tests {
    use quoit_ring::wire::decode_record;
    use quoit_ring::{Actor, Delta, Dot};

    use super::*;

    #[test]
    fn a_row_comes_back_and_a_short_one_is_as_old_as_can_be() {
        let dot = Dot {
            time: Time(7),
            actor: Actor(1),
        };
        let delta = Delta::blind(dot, Some(("v".into(), None)));
        let mut out = BytesMut::new();
        encode_row(Time(5), delta.record(), &mut out);
        let (minted, record) = split_row(&out.freeze());
        assert_eq!(minted, Time(5));
        assert_eq!(decode_record(&record).as_ref(), Ok(delta.record()));
        assert_eq!(
            split_row(&Bytes::from_static(b"short")),
            (Time::ZERO, Bytes::new())
        );
    }
}
