//! Values that have expired are killed: each record as a delete at that time would have left it.
//!
//! ```text
//!   entries (due | key) of a page --by key--> record read again --at the mark--> stored, sums moved
//!                                                    '-- gone, or nothing of it is due then --> the entry alone is removed
//! ```
//!
//! The page is of a moment ago, so what a key holds now decides. A record that cannot be read is said in the log, and stays.
//!
//! Invariant: from the first order with a mark on, whatever expires by it is joined as its death, so that a walk in order of
//! time leaves nothing behind. Left out: whose clock says what has expired ([`MajorityClock`](crate::expiry::MajorityClock)).

use std::collections::BTreeMap;

use bytes::Bytes;
use quoit_ring::wire::decode_record;
use quoit_ring::{Millis, Record, Time};

use super::Committer;
use super::carry_out::Unfulfilled;
use crate::clock::Now;
use crate::engine::layout::{NAMESPACE, record_key};
use crate::engine::{Engine, EngineError, Keyspace};
use crate::expiry::{Due, bury};
use crate::storage::{BatchBuilder, SumChange, Unreadable};

/// What is stored under a key, for a sweep.
enum Stored {
    Record(Record),
    Nothing,
    /// It is there, and is left alone.
    Unreadable,
}

impl<G: Engine> Committer<G> {
    /// Joins what expires by `mark` as its death from now on, and kills that of these entries.
    pub(super) fn sweep(&mut self, mark: Millis, due: &[Due], now: Now) -> Result<(), Unfulfilled> {
        self.state.completeness.check()?;
        self.state.expiry.adopt(mark);
        if due.is_empty() {
            return Ok(());
        }
        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }

        let mut by_key = BTreeMap::<&Bytes, Vec<Millis>>::new();
        for (at, key) in due {
            by_key.entry(key).or_default().push(*at);
        }
        let keys: Vec<&Bytes> = by_key.keys().copied().collect();
        let epoch = self.state.cluster.newest().epoch();
        let mut builder = BatchBuilder::new(3 * keys.len(), 0);
        let (mut sums, mut killed) = (Vec::with_capacity(keys.len()), 0);
        for (place, (key, entries)) in by_key.iter().enumerate() {
            let leaf = self.state.cluster.leaf_of(key);
            if !self.is_owned(epoch, leaf) {
                continue;
            }
            let old = match self.stored(key, now)? {
                Stored::Record(record) => record,
                Stored::Nothing => Record::default(),
                Stored::Unreadable => continue,
            };
            builder.remove_stale_dues(key, entries, &old);

            let mut new = old.clone();
            let values = bury(&mut new, mark);
            if values > 0 {
                killed += u64::try_from(values).unwrap_or(u64::MAX);
                let merkle_key = self.state.sums.key();
                sums.push(SumChange {
                    write: place,
                    leaf,
                    before: merkle_key.sum_of(key, &old),
                    after: merkle_key.sum_of(key, &new),
                });
                builder.put_record(key, leaf, Some(&old), &new);
            }
        }

        let key_of = |change: &SumChange| keys[change.write];
        self.state.sums.begin(&sums, key_of);
        self.commit(builder.into_batch(), Time::ZERO, now)?;
        self.state.sums.add(&sums, key_of);
        self.note_changes(sums.iter().map(key_of), now);
        self.state.expiry.add_swept(killed);
        self.measure(now);
        Ok(())
    }

    fn stored(&self, key: &[u8], now: Now) -> Result<Stored, Unfulfilled> {
        let stored = self
            .engine
            .get(Keyspace::Records, &record_key(NAMESPACE, key));
        let damage = match stored {
            Ok(None) => return Ok(Stored::Nothing),
            Ok(Some(stored)) => match decode_record(&stored) {
                Ok(record) => return Ok(Stored::Record(record)),
                Err(error) => Unreadable::Record(error),
            },
            Err(error @ EngineError::Poisoned { .. }) => return Err(error.into()),
            Err(error) => Unreadable::Engine(error),
        };
        self.state.expiry.pass_over();
        self.state.damage.say(&damage, now.mono);
        Ok(Stored::Unreadable)
    }
}
