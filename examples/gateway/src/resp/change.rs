//! Commands that change a key by what is there: read, decided and written as one linearizable step.
//!
//! ```text
//!   INCR k    there: "7" --> write "8", reply 8        changed meanwhile? decided once more
//!             there: "x" --> write nothing, reply -ERR
//! ```
//!
//! Where a key has siblings the last written counts, and the change replaces them all. A lifetime that is kept is the time
//! that was left by this gateway's clock.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quoit_client::{Compared, Entry, Value};

use super::commands::{Name, Spec};
use super::life::{self, Life};
use super::reply::Reply;
use super::work::{Answer, last, since_1970};
use crate::failure::Failure;
use crate::store::{Store, Terms};
use crate::swap::Edit;

const NO_INTEGER: &str = "value is not an integer or out of range";

/// What is to become of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// `SET` with options, and what it replies: the value before, or whether it was done.
    Set(Bytes, Life, When, bool),
    /// `SETNX`, which replies 1 or 0.
    SetNew(Bytes),
    Add(i64),
    Append(Bytes),
    GetDelete,
    /// `GETEX` with an option.
    GetLife(Life),
    /// `EXPIRE` and its like, and `PERSIST`.
    Live(Life),
}

/// On which keys a `SET` is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
    Present,
}

impl Change {
    /// Reads the words behind a command's key, which all but `SET` and `GETEX` have in one way; their number was checked.
    ///
    /// # Errors
    /// They make no sense.
    pub(crate) fn read(spec: &Spec, words: &[Bytes], now: Duration) -> Result<Self, Reply> {
        let word = words.first().cloned().unwrap_or_default();
        Ok(match spec.name {
            Name::Getset => Self::Set(word, Life::Forever, When::Always, true),
            Name::Setnx => Self::SetNew(word),
            Name::Incr => Self::Add(1),
            Name::Decr => Self::Add(-1),
            Name::Incrby => added(&word, 1)?,
            Name::Decrby => added(&word, -1)?,
            Name::Append => Self::Append(word),
            Name::Getdel => Self::GetDelete,
            Name::Persist => Self::Live(Life::Forever),
            _ if words.len() > 1 => {
                return Err(Reply::error("NX, XX, GT and LT are not served here"));
            }
            _ => Self::Live(life::of_expire(spec.text, &word, now)?),
        })
    }

    /// Does it.
    ///
    /// # Errors
    /// The failure says whether the change may exist.
    pub(crate) async fn run(self, store: &Store, key: Bytes) -> Result<Answer, Failure> {
        if let Some((value, ttl)) = self.new_value() {
            let terms = Terms {
                ttl,
                ..Terms::default()
            };
            let compared = store.put_if_absent(key, value, &terms).await?;
            return Ok(self.was_new(&compared).into());
        }
        let mut answer = None;
        let edit = |there: &Entry| {
            let (edit, reply) = self.of(last(there), since_1970());
            let written = match &edit {
                Edit::Set(value, _) => value.len(),
                Edit::Delete | Edit::Keep => 0,
            };
            let read = last(there).map_or(0, |value| value.bytes.len());
            let memory = vec![store.memory(written + read)?];
            answer = Some(Answer { reply, memory });
            Ok(edit)
        };
        let compared = store.update(key, &Terms::default(), edit).await?;
        Ok(answer.unwrap_or_else(|| self.was_new(&compared).into()))
    }

    /// The value of a write that needs no read before it: of a key without one.
    fn new_value(&self) -> Option<(Bytes, Option<Duration>)> {
        match self {
            Self::SetNew(value) | Self::Set(value, Life::Forever, When::Absent, false) => {
                Some((value.clone(), None))
            }
            Self::Set(value, Life::For(time), When::Absent, false) => {
                Some((value.clone(), Some(*time)))
            }
            _ => None,
        }
    }

    fn was_new(&self, compared: &Compared) -> Reply {
        match (self, compared.is_applied()) {
            (Self::SetNew(_), is_new) => Reply::count(usize::from(is_new)),
            (_, true) => Reply::OK,
            (_, false) => Reply::Nil,
        }
    }

    /// What becomes of this value, and the reply.
    fn of(&self, old: Option<&Value>, now: Duration) -> (Edit, Reply) {
        let bulk = |old: Option<&Value>| old.map_or(Reply::Nil, |it| Reply::Bulk(it.bytes.clone()));
        match (self, old) {
            (Self::Set(value, life, when, wants_old), _) => {
                let is_done = match when {
                    When::Always => true,
                    When::Absent => old.is_none(),
                    When::Present => old.is_some(),
                };
                let reply = match (wants_old, is_done) {
                    (true, _) => bulk(old),
                    (false, true) => Reply::OK,
                    (false, false) => Reply::Nil,
                };
                let edit = || set(value.clone(), *life, old, now);
                (if is_done { edit() } else { Edit::Keep }, reply)
            }
            (Self::SetNew(_), Some(_)) | (Self::Live(_), None) => (Edit::Keep, Reply::Integer(0)),
            (Self::SetNew(value), None) => (Edit::Set(value.clone(), None), Reply::Integer(1)),
            (Self::Add(by), _) => add(old, *by, now),
            (Self::Append(more), _) => {
                let mut all = BytesMut::from(old.map_or(&[][..], |old| &old.bytes));
                all.extend_from_slice(more);
                let reply = Reply::count(all.len());
                (set(all.freeze(), Life::Keep, old, now), reply)
            }
            (Self::GetDelete | Self::GetLife(_), None) => (Edit::Keep, Reply::Nil),
            (Self::GetDelete, Some(_)) => (Edit::Delete, bulk(old)),
            (Self::GetLife(life), Some(value)) => (live(value, *life, now), bulk(old)),
            (Self::Live(life), Some(value)) => {
                let edit = live(value, *life, now);
                let reply = Reply::count(usize::from(edit != Edit::Keep));
                (edit, reply)
            }
        }
    }
}

/// The same value with another lifetime; nothing if it has none and is to have none.
fn live(value: &Value, life: Life, now: Duration) -> Edit {
    if life == Life::Forever && value.expiry.is_none() {
        return Edit::Keep;
    }
    set(value.bytes.clone(), life, Some(value), now)
}

fn set(value: Bytes, life: Life, old: Option<&Value>, now: Duration) -> Edit {
    match life {
        Life::Forever => Edit::Set(value, None),
        Life::For(time) => Edit::Set(value, Some(time)),
        Life::Over => Edit::Delete,
        Life::Keep => Edit::Set(value, old.and_then(|old| left(old, now))),
    }
}

/// The time that a value has left. The nodes have just said that it lives, so it has some.
fn left(value: &Value, now: Duration) -> Option<Duration> {
    let end = Duration::from_millis(value.expiry?.0);
    Some(end.saturating_sub(now).max(Duration::from_millis(1)))
}

fn add(old: Option<&Value>, by: i64, now: Duration) -> (Edit, Reply) {
    let before = old.map_or(Some(0), |old| integer(&old.bytes));
    let Some(before) = before else {
        return (Edit::Keep, Reply::error(NO_INTEGER));
    };
    let Some(sum) = before.checked_add(by) else {
        let what = "increment or decrement would overflow";
        return (Edit::Keep, Reply::error(what));
    };
    let edit = set(sum.to_string().into(), Life::Keep, old, now);
    (edit, Reply::Integer(sum))
}

/// A whole number as it is printed, and in no other way.
fn integer(text: &[u8]) -> Option<i64> {
    let number: i64 = str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// The change of `INCRBY`, or with `-1` as the sign of `DECRBY`.
///
/// # Errors
/// It is no whole number, or has no opposite.
fn added(text: &[u8], sign: i64) -> Result<Change, Reply> {
    let by = integer(text).ok_or_else(|| Reply::error(NO_INTEGER))?;
    let by = by.checked_mul(sign);
    by.map(Change::Add)
        .ok_or_else(|| Reply::error("decrement would overflow"))
}

#[cfg(test)]
mod tests {
    use quoit_ring::{Actor, Dot, Millis, Time};

    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn value(bytes: &'static str, expiry: Option<u64>) -> Value {
        Value {
            bytes: bytes.into(),
            dot: Dot {
                time: Time(1),
                actor: Actor(1),
            },
            expiry: expiry.map(Millis),
        }
    }

    fn error(reply: Reply) -> String {
        match reply {
            Reply::Error(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_are_added_as_redis_does_and_nothing_else_is_a_number() {
        let (edit, reply) = Change::Add(3).of(Some(&value("-5", None)), NOW);
        assert_eq!(
            (edit, reply),
            (Edit::Set("-2".into(), None), Reply::Integer(-2))
        );
        for junk in [
            "",
            "x",
            "+1",
            "01",
            " 1",
            "1.0",
            "-0",
            "9223372036854775808",
        ] {
            let (edit, reply) = Change::Add(1).of(Some(&value(junk, None)), NOW);
            assert_eq!(edit, Edit::Keep, "{junk}");
            assert!(error(reply).starts_with("ERR value is not an integer"));
        }
        let (edit, reply) = Change::Add(1).of(Some(&value("9223372036854775807", None)), NOW);
        assert_eq!(edit, Edit::Keep);
        assert_eq!(error(reply), "ERR increment or decrement would overflow");
        let min = added(b"-9223372036854775808", -1).unwrap_err();
        assert_eq!(error(min), "ERR decrement would overflow");
        assert_eq!(added(b"5", -1), Ok(Change::Add(-5)));
    }

    #[test]
    fn a_lifetime_is_kept_by_what_changes_the_value_only() {
        let old = value("7", Some(1_005_000));
        let five = Some(Duration::from_secs(5));
        let edit = |change: Change| change.of(Some(&old), NOW).0;
        assert_eq!(edit(Change::Add(1)), Edit::Set("8".into(), five));
        assert_eq!(
            edit(Change::Append("x".into())),
            Edit::Set("7x".into(), five)
        );
        let keep = Change::Set("v".into(), Life::Keep, When::Always, false);
        assert_eq!(edit(keep), Edit::Set("v".into(), five));
        let get = Change::Set("v".into(), Life::Forever, When::Present, true);
        assert_eq!(
            get.of(Some(&old), NOW),
            (Edit::Set("v".into(), None), Reply::text("7"))
        );
        assert_eq!(get.of(None, NOW), (Edit::Keep, Reply::Nil));
        // By this clock its end has passed, and yet the nodes have just read it.
        let late = Change::Add(1).of(Some(&value("7", Some(1))), NOW).0;
        assert_eq!(late, Edit::Set("8".into(), Some(Duration::from_millis(1))));
        let persist = Change::Live(Life::Forever);
        assert_eq!(
            persist.of(Some(&old), NOW),
            (Edit::Set("7".into(), None), Reply::Integer(1))
        );
        assert_eq!(
            persist.of(Some(&value("7", None)), NOW),
            (Edit::Keep, Reply::Integer(0))
        );
        assert_eq!(
            Change::Live(Life::Over).of(Some(&old), NOW),
            (Edit::Delete, Reply::Integer(1))
        );
    }
}
