//! Deltas: the record that one write adds.
//!
//! ```text
//!   blind write    floor = time - 1            "whatever was there": last writer wins
//!   causal write   context + (prev, time]      replaces exactly what the context has seen
//! ```
//!
//! `prev` is the actor's previous dot on this key. Nothing of that actor lies between, so a writer's
//! intervals merge into one, and a stale or blind writer stays concurrent with itself, as it should.
//!
//! Invariants: a delta holds at most one value, under its own dot; it has seen itself, and nothing above
//! its own dot: a write cannot have seen a later one.
//!
//! Left out: minting, and the age and drift that a node accepts.
//!
//! Source: Almeida, Shoker and Baquero, *Delta State Replicated Data Types* (2018).

use bytes::Bytes;
use smallvec::smallvec;

use crate::clock::{Millis, Time};
use crate::version::{Dot, Record, Seen, Sibling, content_hash};

/// One write: its dot, and the record that joins it in. A delete has no live sibling.
///
/// ```
/// # use quoit_ring::{Actor, Delta, Dot, Record, Time};
/// let dot = |time, actor| Dot { time: Time(time), actor: Actor(actor) };
/// let mut key = Record::default();
/// key.join(Delta::blind(dot(10, 1), Some(("draft".into(), None))).record());
///
/// // A reader edits what it saw; meanwhile another writer, who saw nothing, adds its own.
/// let edit = Delta::causal(dot(12, 2), Time::ZERO, key.seen(), Some(("final".into(), None)));
/// let other = Delta::causal(dot(11, 3), Time::ZERO, &Default::default(), Some(("new".into(), None)));
/// key.join(edit.record());
/// key.join(other.record());
/// let values: Vec<_> = key.live().iter().map(|s| s.value.clone().unwrap()).collect();
/// assert_eq!(values, ["new", "final"], "the draft was replaced, the other writer's value was not");
///
/// key.join(Delta::blind(dot(13, 1), None).record()); // deletes whatever is older
/// assert!(key.is_tombstone());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    dot: Dot,
    record: Record,
}

/// A record that no client may send as a write; it was not joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDelta {
    /// More than one live sibling, or one under another dot.
    #[error("a write holds at most one value, under its own dot")]
    ForeignSibling,
    /// The write has not seen itself.
    #[error("a write's seen region must hold its own dot")]
    UnseenDot,
    /// The seen region reaches above the dot.
    #[error("a write cannot have seen what lies after it")]
    SeesTheFuture,
    /// The value was left out.
    #[error("a write carries its value")]
    NoValue,
    /// The content hash does not fit value and expiry: bytes were damaged on their way.
    #[error("the content hash does not fit the value")]
    WrongHash,
}

impl Delta {
    /// A write that replaces all that is older: the last writer wins. `None` deletes; a value comes with
    /// its expiry, `None` for never. An expiry of 0, which cannot be stored, becomes 1.
    ///
    /// The time of `dot` is above [`Time::ZERO`]: a write minted then could never live, and is empty.
    #[must_use]
    pub fn blind(dot: Dot, value: Option<(Bytes, Option<Millis>)>) -> Self {
        Self::over(
            dot,
            dot.time.before(),
            Seen::up_to(dot.time.before()),
            value,
        )
    }

    /// A write that replaces what `context` has seen, and nothing else. `prev` is the time of the
    /// actor's previous dot on this key, zero if there is none; it lies before the dot, and so must all
    /// that `context` has seen, or nodes refuse the write ([`BadDelta::SeesTheFuture`]).
    ///
    /// `prev` must not be too early: a write of the actor between it and the dot would be lost. Too late
    /// is safe, it only claims less. `value` is as in [`Delta::blind`].
    #[must_use]
    pub fn causal(
        dot: Dot,
        prev: Time,
        context: &Seen,
        value: Option<(Bytes, Option<Millis>)>,
    ) -> Self {
        Self::over(dot, prev, context.clone(), value)
    }

    fn over(dot: Dot, prev: Time, mut seen: Seen, value: Option<(Bytes, Option<Millis>)>) -> Self {
        // A write has seen itself, whatever `prev` says.
        seen.add(dot.actor, prev.min(dot.time.before()), dot.time);
        let sibling = value.map(|(value, expiry)| {
            // 0 would be read back as "never"; at 1 it is over just as well.
            let expiry = expiry.map(|at| at.max(Millis(1)));
            Sibling {
                dot,
                expiry,
                hash: content_hash(&value, expiry),
                value: Some(value),
            }
        });

        let live = sibling.map_or_else(|| smallvec![], |sibling| smallvec![sibling]);
        let record = Record::from_parts(live, seen).unwrap_or_default(); // empty only at time zero
        Self { dot, record }
    }

    /// Takes a record from outside as the write named `dot`.
    ///
    /// ```
    /// # use quoit_ring::{Actor, BadDelta, Delta, Dot, Time};
    /// let dot = Dot { time: Time(10), actor: Actor(1) };
    /// let record = Delta::blind(dot, Some(("v".into(), None))).into_record();
    /// assert!(Delta::check(dot, record.clone()).is_ok());
    /// assert_eq!(Delta::check(dot, record.without_values()), Err(BadDelta::NoValue));
    /// ```
    ///
    /// # Errors
    /// [`BadDelta`] names the first rule that it breaks; the record is dropped.
    pub fn check(dot: Dot, record: Record) -> Result<Self, BadDelta> {
        match record.live() {
            [] => {}
            [sibling] if sibling.dot == dot => {
                let value = sibling.value.as_ref().ok_or(BadDelta::NoValue)?;
                if content_hash(value, sibling.expiry) != sibling.hash {
                    return Err(BadDelta::WrongHash);
                }
            }
            _ => return Err(BadDelta::ForeignSibling),
        }

        if dot.time == Time::ZERO || !record.seen().contains(dot) {
            return Err(BadDelta::UnseenDot);
        }
        if record.seen().max_time() > dot.time {
            return Err(BadDelta::SeesTheFuture);
        }
        Ok(Self { dot, record })
    }

    /// The write's name.
    #[must_use]
    pub const fn dot(&self) -> Dot {
        self.dot
    }

    /// The record that joins the write in.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The record, owned.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.record
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::version::Actor;
    use crate::wire::{decode_record, encode_record};

    const DOT: Dot = Dot {
        time: Time(10),
        actor: Actor(1),
    };

    fn value() -> Option<(Bytes, Option<Millis>)> {
        Some((Bytes::from_static(b"v"), None))
    }

    #[test]
    fn what_the_constructors_make_passes_the_check() {
        let context = Seen::up_to(Time(3));
        let made = [
            Delta::blind(DOT, value()),
            Delta::blind(DOT, None),
            Delta::causal(DOT, Time(5), &context, value()),
            Delta::causal(DOT, Time::ZERO, &context, None),
        ];
        for delta in made {
            assert_eq!(Delta::check(DOT, delta.record().clone()), Ok(delta));
        }
    }

    #[test]
    fn a_write_holds_its_own_dot_even_if_prev_is_wrong() {
        let delta = Delta::causal(DOT, Time(11), &Seen::default(), value());
        assert_eq!(delta.record().live().len(), 1);
        assert_eq!(Delta::check(DOT, delta.record().clone()), Ok(delta));
    }

    #[test]
    fn a_value_that_expires_at_zero_has_expired_and_stays_so_in_bytes() {
        let over = Some((Bytes::from_static(b"v"), Some(Millis(0))));
        let record = Delta::blind(DOT, over).into_record();
        let mut bytes = BytesMut::new();
        encode_record(&record, &mut bytes);
        assert_eq!(decode_record(&bytes.freeze()), Ok(record.clone()));
        assert!(record.at(Millis(1)).is_tombstone());
    }

    #[test]
    fn a_write_that_breaks_a_rule_is_refused() {
        let good = Delta::blind(DOT, value()).into_record();
        let other = Dot {
            time: Time(11),
            actor: Actor(1),
        };
        assert_eq!(
            Delta::check(other, good.clone()),
            Err(BadDelta::ForeignSibling)
        );
        assert_eq!(
            Delta::check(DOT, good.without_values()),
            Err(BadDelta::NoValue)
        );
        assert_eq!(
            Delta::check(DOT, Record::default()),
            Err(BadDelta::UnseenDot)
        );
        let future = Delta::causal(DOT, Time::ZERO, &Seen::up_to(Time(11)), None).into_record();
        assert_eq!(Delta::check(DOT, future), Err(BadDelta::SeesTheFuture));
        let zero = Dot {
            time: Time::ZERO,
            actor: Actor(1),
        };
        let nothing = Record::default();
        assert_eq!(Delta::check(zero, nothing), Err(BadDelta::UnseenDot));
        let mut sibling = good.live()[0].clone();
        sibling.hash ^= 1;
        let damaged = Record::from_parts(smallvec![sibling], good.seen().clone()).unwrap();
        assert_eq!(Delta::check(DOT, damaged), Err(BadDelta::WrongHash));
    }
}
