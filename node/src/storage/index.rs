//! What one changed record writes: itself, its leaf entry, its grave, its expiry entries.
//!
//! ```text
//!   records  key                        always
//!   leaves   leaf | key                 when the key first appears, tombstones included; removed with it and its ballot
//!   ballots  key                        once a conditional write was accepted
//!   graves   leaf | key                 while nothing is live in it
//!   expiry   due | key                  added with a sibling that expires, removed when it dies
//! ```
//!
//! All of it goes into one batch, so no crash leaves a record without its entries. Two siblings with one due
//! time share one expiry entry, which is removed with the last of them.
//!
//! What is kept for another node is a row of its own, with nothing beside it.
//!
//! Records are encoded into one buffer for the whole batch: they enter the engine's memory together and
//! leave it together, so sharing an allocation pins nothing for longer.

use bytes::{Bytes, BytesMut};
use quoit_ring::register::Accepted;
use quoit_ring::wire::{encode_accepted, encode_record};
use quoit_ring::{Leaf, Millis, Record, Time};
use smallvec::SmallVec;

use crate::engine::layout::{NAMESPACE, expiry_key, leaf_key, record_key};
use crate::engine::{Batch, Keyspace};
use crate::hints::encode_row;

/// An engine batch being filled with changed records.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    batch: Batch,
    buffer: BytesMut,
}

impl BatchBuilder {
    /// A builder for about `records` changed records of `bytes` bytes together.
    pub(crate) fn new(records: usize, bytes: usize) -> Self {
        Self {
            batch: Batch::with_capacity(records + 1),
            buffer: BytesMut::with_capacity(bytes),
        }
    }

    /// Adds what the change of `key` from `old` to `new` writes.
    pub(crate) fn put_record(
        &mut self,
        key: &[u8],
        leaf: Leaf,
        old: Option<&Record>,
        new: &Record,
    ) {
        encode_record(new, &mut self.buffer);
        let record = self.buffer.split().freeze();
        self.batch
            .insert(Keyspace::Records, record_key(NAMESPACE, key), record);
        if old.is_none() {
            self.batch
                .insert(Keyspace::Leaves, leaf_key(leaf, NAMESPACE, key), Vec::new());
        }
        let was_tombstone = old.is_some_and(|old| old.live().is_empty());
        let is_tombstone = new.live().is_empty();
        if is_tombstone && !was_tombstone {
            self.batch
                .insert(Keyspace::Graves, leaf_key(leaf, NAMESPACE, key), Vec::new());
        } else if was_tombstone && !is_tombstone {
            self.batch
                .remove(Keyspace::Graves, leaf_key(leaf, NAMESPACE, key));
        }
        let (before, after) = (old.map(dues).unwrap_or_default(), dues(new));
        for due in only_in(&after, &before) {
            self.batch.insert(
                Keyspace::Expiry,
                expiry_key(due.0, NAMESPACE, key),
                Vec::new(),
            );
        }
        for due in only_in(&before, &after) {
            self.batch
                .remove(Keyspace::Expiry, expiry_key(due.0, NAMESPACE, key));
        }
    }

    /// Adds what an owner has accepted of the register of `key`. Its leaf entry is there whether there is a record or not: by it
    /// the register is found when the leaf moves.
    pub(crate) fn put_ballot(&mut self, key: &[u8], leaf: Leaf, accepted: &Accepted) {
        encode_accepted(accepted, &mut self.buffer);
        let row = self.buffer.split().freeze();
        let batch = &mut self.batch;
        batch.insert(Keyspace::Ballots, record_key(NAMESPACE, key), row);
        batch.insert(Keyspace::Leaves, leaf_key(leaf, NAMESPACE, key), Vec::new());
    }

    /// Removes those expiry entries of `key` that no sibling of its record has.
    pub(crate) fn remove_stale_dues(&mut self, key: &[u8], entries: &[Millis], record: &Record) {
        for due in only_in(entries, &dues(record)) {
            let entry = expiry_key(due.0, NAMESPACE, key);
            self.batch.remove(Keyspace::Expiry, entry);
        }
    }

    /// Removes what an owner has accepted of the register of `key`.
    pub(crate) fn remove_ballot(&mut self, key: &[u8]) {
        self.batch
            .remove(Keyspace::Ballots, record_key(NAMESPACE, key));
    }

    /// Removes the leaf entry of a key that has neither a record nor a register any more.
    pub(crate) fn remove_leaf(&mut self, key: &[u8], leaf: Leaf) {
        self.batch
            .remove(Keyspace::Leaves, leaf_key(leaf, NAMESPACE, key));
    }

    /// Removes the record of `key`, which is `old`, and all its entries but that of its leaf.
    pub(crate) fn remove_record(&mut self, key: &[u8], leaf: Leaf, old: &Record) {
        let batch = &mut self.batch;
        batch.remove(Keyspace::Records, record_key(NAMESPACE, key));
        if old.live().is_empty() {
            batch.remove(Keyspace::Graves, leaf_key(leaf, NAMESPACE, key));
        }
        for due in dues(old) {
            batch.remove(Keyspace::Expiry, expiry_key(due.0, NAMESPACE, key));
        }
    }

    /// Adds what is kept of one key for another node, under its stored key; how many bytes that is.
    pub(crate) fn put_hint(&mut self, key: Bytes, minted: Time, record: &Record) -> usize {
        encode_row(minted, record, &mut self.buffer);
        let row = self.buffer.split().freeze();
        let bytes = row.len();
        self.batch.insert(Keyspace::Hints, key, row);
        bytes
    }

    /// Removes what was kept under a stored key.
    pub(crate) fn remove_hint(&mut self, key: Bytes) {
        self.batch.remove(Keyspace::Hints, key);
    }

    pub(crate) fn into_batch(self) -> Batch {
        self.batch
    }
}

/// When the siblings of a record expire: ascending, each time once.
fn dues(record: &Record) -> SmallVec<[Millis; 2]> {
    let mut dues: SmallVec<[Millis; 2]> =
        (record.live().iter().filter_map(|sibling| sibling.expiry)).collect();
    dues.sort_unstable();
    dues.dedup();
    dues
}

/// The ascending times of one list that are not in another one.
fn only_in(these: &[Millis], others: &[Millis]) -> impl Iterator<Item = Millis> {
    let these = these.iter().copied();
    these.filter(|due| others.binary_search(due).is_err())
}
