//! Well-formed records that no history needs to have made, on a small grid of actors and times.
//!
//! They are put together from parts, never by the operations under test. A dot is often live in two or
//! three variants, as if clones of a client had minted it twice; now and then a value is left out, as in
//! a digest. The same (dot, hash) always stands for the same content.

use bytes::Bytes;
use quoit_ring::{Actor, Dot, Interval, Millis, Record, Seen, Sibling, Time, content_hash};
use smallvec::SmallVec;

use super::Rng;

/// Actors of the grid are 0 to this, exclusive.
pub(crate) const ACTORS: u64 = 4;
/// Times of the grid are 0 to this, exclusive.
pub(crate) const TIMES: u64 = 20;

/// One of the contents that the variants of a dot may have.
const CONTENTS: [(&[u8], Option<Millis>); 4] = [
    (b"", None),
    (b"one", Some(Millis(5))),
    (b"two", Some(Millis(10))),
    (b"three", Some(Millis(15))),
];

/// A region from its parts: any floor, any set of times of each actor above it.
pub(crate) fn seen(rng: &mut Rng) -> Seen {
    let floor = if rng.percent(50) {
        0
    } else {
        rng.below(TIMES / 2)
    };
    let mut intervals = SmallVec::new();
    for actor in (0..ACTORS).map(Actor) {
        let mut at = floor + rng.below(TIMES / 2);
        while at + 1 < TIMES {
            let hi = at + 1 + rng.below(TIMES - 1 - at).min(5);
            intervals.push(Interval {
                actor,
                lo: Time(at),
                hi: Time(hi),
            });
            at = hi + 1 + rng.below(TIMES / 2);
        }
    }
    Seen::from_parts(Time(floor), intervals).expect("canonical parts")
}

/// A record from its parts, with a few live siblings, or none.
pub(crate) fn record(rng: &mut Rng) -> Record {
    let seen = seen(rng);
    let mut live: Vec<Sibling> = Vec::new();
    for _ in 0..rng.below(10) {
        let dot = dot(rng);
        if seen.contains(dot) {
            live.push(sibling(rng, dot));
            if rng.percent(30) {
                live.push(sibling(rng, dot));
            }
        }
    }
    live.sort_by_key(|s| (s.dot, s.hash));
    live.dedup_by_key(|s| (s.dot, s.hash));
    Record::from_parts(live.into(), seen).expect("canonical parts")
}

/// Any dot of the grid, more often one of a few, so that records meet.
fn dot(rng: &mut Rng) -> Dot {
    let (time, actor) = match rng.below(3) {
        0 => (5 + rng.below(2), rng.below(2)),
        _ => (1 + rng.below(TIMES - 1), rng.below(ACTORS)),
    };
    Dot {
        time: Time(time),
        actor: Actor(actor),
    }
}

fn sibling(rng: &mut Rng, dot: Dot) -> Sibling {
    let (value, expiry) = *rng.pick(&CONTENTS);
    Sibling {
        dot,
        expiry,
        hash: content_hash(value, expiry),
        value: (!rng.percent(10)).then_some(Bytes::from_static(value)),
    }
}
