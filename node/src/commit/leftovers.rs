//! What is left of an earlier ownership: deleted once its owners have it, and then the leaves may be taken again.
//!
//! ```text
//!   walk reads rows --> pushes them to their owners --> Forget: each that is still what was read, deleted
//!   newcomer with rows: refuses its leaves --Forget ... Forget--> Take: looked at once more, empty: serves them
//! ```
//!
//! Invariants: nothing that this node owns is deleted, nor what has changed since it was read; older epochs are refused
//! before, so nothing is added behind. What is taken was empty when that was stored, and from then on holds only what this
//! epoch's pulls and writes bring.

use std::collections::BTreeSet;

use bytes::Bytes;
use quoit_ring::wire::{Refusal, decode_record};
use quoit_ring::{Epoch, Leaf, Record, Sum, Time};

use super::Committer;
use super::carry_out::Unfulfilled;
use super::rows::encode_taken;
use crate::clock::Now;
use crate::engine::layout::{META_TAKEN, NAMESPACE, record_key};
use crate::engine::{Batch, Durability, Engine, EngineError, Keyspace};
use crate::storage::{BatchBuilder, SumChange, Unreadable, moving};

impl<G: Engine> Committer<G> {
    /// Deletes those of `rows`, user keys with their records as they were read, that have not changed and are not owned.
    pub(super) fn forget(
        &mut self,
        epoch: Epoch,
        rows: &[(Bytes, Bytes)],
        now: Now,
    ) -> Result<(), Unfulfilled> {
        self.check_newest(epoch)?;
        if self.state.cluster.epoch() < epoch {
            return Err(Refusal::Behind.into()); // an older epoch could still add to it
        }
        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }

        let merkle_key = self.state.sums.key();
        let mut builder = BatchBuilder::new(3 * rows.len(), 0);
        let (mut sums, mut seen) = (Vec::with_capacity(rows.len()), BTreeSet::new());
        let mut forgotten = Vec::with_capacity(rows.len());
        for (place, (key, read)) in rows.iter().enumerate() {
            let leaf = self.state.cluster.leaf_of(key);
            if self.is_owned(epoch, leaf) || !seen.insert(key) {
                continue;
            }
            if read.is_empty() {
                // A register without a record, which nothing has come to since: older epochs are refused.
                if self.has_record(key)? {
                    continue;
                }
            } else {
                let Some(record) = self.unchanged(key, read, now)? else {
                    continue;
                };
                sums.push(SumChange {
                    write: place,
                    leaf,
                    before: merkle_key.sum_of(key, &record),
                    after: Sum::default(),
                });
                builder.remove_record(key, leaf, &record);
            }
            // Whoever owns it has pulled that.
            builder.remove_ballot(key);
            builder.remove_leaf(key, leaf);
            forgotten.push(key.clone());
        }

        let key_of = |change: &SumChange| &rows[change.write].0;
        self.state.sums.begin(&sums, key_of);
        self.commit(builder.into_batch(), Time::ZERO, now)?;
        self.state.sums.add(&sums, key_of);
        for key in forgotten {
            self.state.registers.set_pending(&key, None);
        }
        self.measure(now);
        Ok(())
    }

    /// Serves the leaves that this node is to own in `epoch`, if nothing is left there.
    pub(super) fn take(&mut self, epoch: Epoch, now: Now) -> Result<(), Unfulfilled> {
        self.check_newest(epoch)?;
        let cluster = &self.state.cluster;
        if cluster.has_taken(epoch) {
            return Ok(());
        }
        let newest = cluster.newest();
        let runs = moving::newcomer_runs(&newest, cluster.node);
        let is_empty = moving::is_empty(&self.engine.snapshot(), &runs);
        if !is_empty.map_err(Unfulfilled::reading)? {
            return Err(Refusal::NotReady.into());
        }
        if !self.has_space(now) {
            return Err(Unfulfilled::NO_SPACE);
        }

        let mut batch = Batch::with_capacity(1);
        batch.insert(Keyspace::Meta, META_TAKEN, encode_taken(epoch));
        // Synced in either mode, and with it what was deleted before: none of that may be back after a loss of power.
        self.engine.commit(batch, Durability::Fsync)?;
        self.state.cluster.take(epoch);
        Ok(())
    }

    /// Whether this node owns `leaf` in `epoch`, its newest one. What it is to own and has not taken it does not own.
    pub(super) fn is_owned(&self, epoch: Epoch, leaf: Leaf) -> bool {
        let cluster = &self.state.cluster;
        !matches!(
            cluster.owns(epoch, cluster.node, leaf),
            Ok(false) | Err(Refusal::Behind)
        )
    }

    /// Whether there is a record under `key`.
    pub(super) fn has_record(&self, key: &[u8]) -> Result<bool, Unfulfilled> {
        let stored = (self.engine).get(Keyspace::Records, &record_key(NAMESPACE, key));
        stored
            .map(|row| row.is_some())
            .map_err(Unfulfilled::reading)
    }

    /// The record of `key`, if it is what was read. One that cannot be read is not.
    fn unchanged(&self, key: &[u8], read: &Bytes, now: Now) -> Result<Option<Record>, Unfulfilled> {
        let stored = match self
            .engine
            .get(Keyspace::Records, &record_key(NAMESPACE, key))
        {
            Ok(None) => return Ok(None),
            Ok(Some(stored)) => stored,
            Err(error @ EngineError::Poisoned { .. }) => return Err(error.into()),
            Err(error) => {
                self.state.damage.say(&Unreadable::Engine(error), now.mono);
                return Ok(None);
            }
        };
        let record = match decode_record(&stored) {
            Ok(record) => record,
            Err(error) => {
                self.state.damage.say(&Unreadable::Record(error), now.mono);
                return Ok(None);
            }
        };
        let is_same =
            stored == *read || decode_record(read).is_ok_and(|read| read.same_versions(&record));
        Ok(is_same.then_some(record))
    }
}
