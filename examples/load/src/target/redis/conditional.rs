//! Conditional writes of Redis: a script, or a watched key and a transaction.
//!
//! ```text
//!   swap, cas=script   EVALSHA, WAIT n                        one round trip; the server compares the values
//!   swap, cas=watch    WATCH, GET | MULTI, SET, EXEC, WAIT n  two; the client compares them
//!   update             the same two, with whatever GET found, again where EXEC says that the key has changed
//! ```
//!
//! All of them on a connection of the pool: `WATCH` belongs to its connection, and `WAIT` blocks it. Invariant: a
//! connection goes back to the pool without a watched key. Left out: a write that fewer replicas have than `WAIT` asked
//! for is reported as a failure, as that of a put is, and stays on its master.
//!
//! Source: the pages of Redis on transactions ("optimistic locking using check-and-set") and on scripts.

use bytes::Bytes;
use redis::{Pipeline, RedisResult, Value, from_redis_value};

use super::super::conditional::{MAX_ATTEMPTS, contended};
use super::super::{Mark, OpError, Swapped};
use super::master::Master;
use super::{Failure, Redis, failure, slots};

/// Sets a key to the first argument if it holds the second, or nothing if there is no second. Returns 1, or what the key
/// holds instead.
pub(super) const SCRIPT: &str = "local there = redis.call('GET', KEYS[1]) \
     if there == (ARGV[2] or false) then redis.call('SET', KEYS[1], ARGV[1]) return 1 end \
     return there";

/// One attempt with a watched key.
enum Attempt {
    /// It happened, and so many replicas have it.
    Applied(u32),
    /// The key held this.
    Other(Option<Bytes>),
    /// The key changed while it was watched.
    Changed,
}

impl Redis {
    /// Sets `key` to `value` if it holds `expected`, and waits for the replicas.
    pub(in super::super) async fn swap(
        &self,
        key: &[u8],
        expected: Option<&Bytes>,
        value: Bytes,
    ) -> Result<Swapped, OpError> {
        if self.0.peer.watch {
            return self.swap_watching(key, expected, value).await;
        }
        let mut pipeline = evaluate(&self.0.script, key, expected, &value);
        self.then_wait(&mut pipeline);
        let (answer, stored): (Value, u32) = self.ask(key, &pipeline, true).await?;
        match answer {
            Value::Int(1) => {
                self.enough(stored)?;
                Ok(Swapped::Applied(Mark::Redis(Some(value))))
            }
            there => Ok(Swapped::Mismatch(Mark::Redis(
                from_redis_value(there).unwrap_or_default(),
            ))),
        }
    }

    async fn swap_watching(
        &self,
        key: &[u8],
        expected: Option<&Bytes>,
        value: Bytes,
    ) -> Result<Swapped, OpError> {
        match self.attempt(key, Some(expected), &value).await? {
            Attempt::Applied(stored) => {
                self.enough(stored)?;
                Ok(Swapped::Applied(Mark::Redis(Some(value))))
            }
            Attempt::Other(there) => Ok(Swapped::Mismatch(Mark::Redis(there))),
            Attempt::Changed => Ok(Swapped::Mismatch(Mark::Redis(self.get(key).await?))),
        }
    }

    /// Reads `key` and sets it to `value` unless it has changed meanwhile, as often as it takes.
    pub(in super::super) async fn update(&self, key: &[u8], value: &Bytes) -> Result<u32, OpError> {
        for attempt in 1..=MAX_ATTEMPTS {
            if let Attempt::Applied(stored) = self.attempt(key, None, value).await? {
                self.enough(stored)?;
                return Ok(attempt);
            }
        }
        Err(contended())
    }

    /// One attempt; without something expected whatever is there is replaced.
    async fn attempt(
        &self,
        key: &[u8],
        expected: Option<Option<&Bytes>>,
        value: &Bytes,
    ) -> Result<Attempt, OpError> {
        let slot = slots::slot(key);
        let mut tried = 1;
        loop {
            let slots = self.slots();
            let failed = match slots.master(slot) {
                Some(master) => match self.watched(master, key, expected, value).await {
                    Ok(attempt) => return Ok(attempt),
                    Err(error) => failure(&error),
                },
                None => Failure::NOBODY,
            };
            self.again(&slots, failed, &mut tried).await?;
        }
    }

    async fn watched(
        &self,
        master: &Master,
        key: &[u8],
        expected: Option<Option<&Bytes>>,
        value: &Bytes,
    ) -> RedisResult<Attempt> {
        let mut held = master.hold(&self.0.wire).await?;
        let (there,): (Option<Bytes>,) = held.ask(&watch(key)).await?;
        if expected.is_some_and(|expected| expected != there.as_ref()) {
            let mut unwatch = redis::pipe();
            unwatch.cmd("UNWATCH").ignore();
            held.ask::<()>(&unwatch).await?;
            held.keep();
            return Ok(Attempt::Other(there));
        }
        let mut pipeline = transaction(key, value);
        self.then_wait(&mut pipeline);
        let (done, stored): (Value, u32) = held.ask(&pipeline).await?;
        held.keep();
        Ok(match done {
            Value::Nil => Attempt::Changed,
            _ => Attempt::Applied(stored),
        })
    }
}

fn evaluate(script: &str, key: &[u8], expected: Option<&Bytes>, value: &Bytes) -> Pipeline {
    let mut pipeline = redis::pipe();
    let command = pipeline.cmd("EVALSHA").arg(script).arg(1).arg(key);
    command.arg(value.as_ref());
    if let Some(expected) = expected {
        command.arg(expected.as_ref());
    }
    pipeline
}

fn watch(key: &[u8]) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("WATCH").arg(key).ignore();
    pipeline.cmd("GET").arg(key);
    pipeline
}

/// `EXEC` ends the watch, whatever it says.
fn transaction(key: &[u8], value: &Bytes) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.cmd("MULTI").ignore();
    pipeline.cmd("SET").arg(key).arg(value.as_ref()).ignore();
    pipeline.cmd("EXEC");
    pipeline
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Bytes = Bytes::from_static(b"new");

    fn sent(pipeline: &Pipeline) -> String {
        let packed = String::from_utf8(pipeline.get_packed_pipeline()).unwrap();
        let words = packed
            .split("\r\n")
            .filter(|word| !word.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    }

    #[test]
    fn a_script_gets_the_expected_value_last_and_none_for_a_key_that_is_not_there() {
        let old = Bytes::from_static(b"old");
        let with = evaluate("sha", b"k", Some(&old), &NEW);
        assert_eq!(sent(&with), "EVALSHA sha 1 k new old");
        let without = evaluate("sha", b"k", None, &NEW);
        assert_eq!(sent(&without), "EVALSHA sha 1 k new");
    }

    #[test]
    fn a_watched_key_is_read_and_then_written_in_a_transaction() {
        assert_eq!(sent(&watch(b"k")), "WATCH k GET k");
        assert_eq!(sent(&transaction(b"k", &NEW)), "MULTI SET k new EXEC");
    }
}
