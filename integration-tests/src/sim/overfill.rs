//! Repairs that no honest client sends: each alone is within a record's bounds, a few together are not.
//!
//! ```text
//!   100 siblings of as many actors       three or four of these pass the bound on siblings,
//!   600 intervals, and no sibling        these the one on intervals
//! ```
//!
//! They are of a key that nothing else writes, so what becomes of it is no matter to the history. A node holds its
//! record within the bounds all the same, which the audit checks.

use bytes::{Bytes, BytesMut};
use quoit_ring::wire::{Request, RequestFrame, encode_record};
use quoit_ring::{Actor, Delta, Dot, Epoch, Millis, Record, Seen, Time};
use rand::Rng as _;
use rand::rngs::SmallRng;

use super::chance::happens;

/// The key.
const KEY: &[u8] = b"overfilled";

/// The slot of no operation, and the mark of a repair: an answer that the client makes nothing of.
const NOBODY: u64 = 0x0fff_fe80;

/// Most intervals of a record in runs with such a client, so that they are reached.
pub const MAX_INTERVALS: usize = 500;

/// Whether the request with this id was a repair.
#[must_use]
pub const fn is_repair(id: u64) -> bool {
    id & 0x80 != 0
}

/// Such a repair, without its length field; `count` makes its id unique.
pub fn repair(rng: &mut SmallRng, wall: Millis, (count, epoch): (u64, Epoch)) -> Bytes {
    let siblings = happens(rng, 500);
    let mut record = Record::default();
    for _ in 0..if siblings { 100 } else { 600 } {
        let dot = Dot {
            time: Time::at(wall),
            actor: Actor(rng.random()),
        };
        let value = siblings.then(|| (Bytes::from_static(b"x"), None));
        record.join(Delta::causal(dot, Time::ZERO, &Seen::default(), value).record());
    }

    let mut encoded = BytesMut::new();
    encode_record(&record, &mut encoded);
    let frame = RequestFrame {
        id: count << 32 | NOBODY,
        epoch,
        budget_ms: 1_000,
        request: Request::Repair {
            key: Bytes::from_static(KEY),
            record: encoded.freeze(),
        },
    };
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes.split_off(4).freeze()
}
