//! Applying a batch: what each write does to what is stored, decided without effect.
//!
//! ```text
//!   writes, sorted by key     k1 k1 | k2 | k3 k3 k3
//!                              |      each key once: read, join its writes in order, write
//!   stored record  --decode--> old --> join --> join --> new --encode--> batch
//!                                                 '---- outcome per write
//! ```
//!
//! Writes of one key see each other in the order they came; writes of different keys have nothing to do with
//! each other, so the batch may go through them in the order of the keys, which the engine likes best.
//!
//! **Superseded.** A put whose dot the stored record has seen is not joined, unless the dot is still live there:
//! the same content is a retry, which is answered as joined; other content means that the dot was minted
//! twice, and both variants are kept. Joining a dead dot would change nothing, but answering "joined" would
//! be a lie: the caller could not read its value back.
//!
//! **Hints.** A put that is kept for another node is held to the same rules, beside whatever else is kept of that key
//! for that node. Its row is none of this node's data: no sums, no index. What was delivered is removed if nothing was
//! added to it since.
//!
//! Invariant: the function only reads the engine, and its result depends on nothing but its arguments and
//! what is stored. Nothing of a refused write is in the batch.

use bytes::Bytes;
use quoit_ring::mutant::{Mutant, mutant};
use quoit_ring::wire::{DecodeError, Fault, Kept, Refusal, decode_record, encode_record};
use quoit_ring::{Delta, Leaf, MerkleKey, NodeId, Record, Sum, Time, check_drift};

use super::hint_usage::{HintDelta, row_bytes};
use super::index::BatchBuilder;
use super::{Change, Limits, Outcome, Place, Write};
use crate::engine::layout::{NAMESPACE, hint_key, record_key};
use crate::engine::{Batch, Engine, EngineError, Keyspace};
use crate::env::Now;

/// What writes are held to, at one moment.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What is let in.
    pub limits: Limits,
    /// The key of the sums.
    pub merkle_key: MerkleKey,
    /// The present; drift is held to its wall time.
    pub now: Now,
    /// The clock that answers carry.
    pub told: Time,
    /// The clock that ages are held to.
    pub ageing: Time,
    /// What is kept for other nodes; `None` while it is being counted, and no more is taken in.
    pub kept: Option<Vec<Kept>>,
}

/// What a batch of writes comes to.
#[derive(Debug)]
pub struct Applied {
    /// One for each write, in their order.
    pub outcomes: Vec<Outcome>,
    /// What is to be committed; empty if nothing changed.
    pub batch: Batch,
    /// By how much the sums change once it is.
    pub sums: Vec<(Leaf, Sum)>,
    /// By how much what is kept for others changes once it is.
    pub kept: Vec<HintDelta>,
    /// The latest stamp that was joined, [`Time::ZERO`] if none.
    pub latest: Time,
    /// Dots found with two contents.
    pub collisions: u64,
    /// The engine has failed earlier and has to be opened again; nothing may be committed.
    pub poisoned: Option<EngineError>,
}

/// Decides what `writes` do to what `engine` stores.
pub fn apply<G: Engine, R>(engine: &G, rules: &Rules, writes: &[Write<R>]) -> Applied {
    let bytes = writes.iter().map(|write| write.bytes + 64).sum();
    let mut run = Run {
        engine,
        rules,
        outcomes: vec![Outcome::Joined; writes.len()],
        stage: BatchBuilder::new(2 * writes.len(), bytes),
        sums: Vec::with_capacity(writes.len()),
        kept: Vec::new(),
        latest: Time::ZERO,
        collisions: 0,
        poisoned: None,
    };
    let mut order: Vec<usize> = (0..writes.len()).collect();
    let row = |place: usize| (writes[place].place, &writes[place].key);
    order.sort_by(|&a, &b| row(a).cmp(&row(b))); // stable: of one row, as they came
    for same_row in order.chunk_by(|&a, &b| row(a) == row(b)) {
        run.apply_row(writes, same_row);
    }
    run.finish()
}

/// A row as it is stored.
struct Stored {
    record: Record,
    bytes: usize,
}

/// A batch being applied.
struct Run<'a, G> {
    engine: &'a G,
    rules: &'a Rules,
    outcomes: Vec<Outcome>,
    stage: BatchBuilder,
    sums: Vec<(Leaf, Sum)>,
    kept: Vec<HintDelta>,
    latest: Time,
    collisions: u64,
    poisoned: Option<EngineError>,
}

impl<G: Engine> Run<'_, G> {
    /// Applies the writes of one row, given by their places.
    fn apply_row<R>(&mut self, writes: &[Write<R>], places: &[usize]) {
        let Some(first) = places.first().map(|&place| &writes[place]) else {
            return;
        };
        let old = match self.read(first.place, &first.key) {
            Ok(old) => old,
            Err(fault) => {
                for &place in places {
                    self.outcomes[place] = Outcome::Refused(Refusal::Storage(fault));
                }
                return;
            }
        };
        let before = old.as_ref().map(|old| &old.record);
        let mut new = before.cloned().unwrap_or_default();
        for &place in places {
            let write = &writes[place];
            if write.place != Place::Record && mutant(Mutant::HintOverwrites) {
                new = Record::default();
            }
            if mutant(Mutant::BatchForgetsEarlier) {
                new = before.cloned().unwrap_or_default();
            }
            self.outcomes[place] = self.step(write, &mut new).unwrap_or_else(Outcome::Refused);
        }
        if before.map_or_else(|| !new.is_absent(), |old| !old.same_versions(&new)) {
            match first.place {
                Place::Record => self.change(first, before, &new),
                Place::Hint(target) => self.keep(target, &first.key, old.as_ref(), &new),
            }
        }
    }

    /// Joins one write into `current`, unless a rule forbids it.
    fn step<R>(&mut self, write: &Write<R>, current: &mut Record) -> Result<Outcome, Refusal> {
        let rules = self.rules;
        if rules.now.mono > write.deadline {
            return Err(Refusal::Expired);
        }
        if let Change::Delivered(record) = &write.change {
            let same = current.same_versions(record) || mutant(Mutant::HintRemovedWithMore);
            if write.place != Place::Record && same {
                *current = Record::default();
            }
            return Ok(Outcome::Joined);
        }
        let stamp = match &write.change {
            Change::Put(delta) => delta.dot().time,
            Change::Repair(record) | Change::Delivered(record) => record.max_time(),
        };
        check_drift(stamp, rules.now.wall, rules.limits.max_clock_drift_ms).map_err(|drift| {
            Refusal::ClockAhead {
                ahead_ms: drift.ahead_ms,
                max_ms: drift.max_ms,
            }
        })?;
        let outcome = match &write.change {
            Change::Put(delta) => self.put(write.place, delta, current)?,
            Change::Repair(record) | Change::Delivered(record) => {
                current.join(record);
                Outcome::Joined
            }
        };
        if outcome == Outcome::Joined {
            self.latest = self.latest.max(stamp);
        }
        Ok(outcome)
    }

    fn put(
        &mut self,
        place: Place,
        delta: &Delta,
        current: &mut Record,
    ) -> Result<Outcome, Refusal> {
        let (dot, rules) = (delta.dot(), self.rules);
        let age_ms = rules.ageing.millis().0.saturating_sub(dot.time.millis().0);
        let max_ms = rules.limits.max_write_age_ms;
        if age_ms > max_ms {
            return Err(Refusal::TooOld { age_ms, max_ms });
        }
        let mut collided = false;
        if current.seen().contains(dot) {
            let hash = delta.record().live().first().map(|sibling| sibling.hash);
            let mut variants = current.variants(dot).peekable();
            if variants.peek().is_none() {
                let named = current.seen().names(dot);
                let above = rules.told.max(current.max_time());
                return Ok(Outcome::Superseded { named, above });
            }
            collided = variants.all(|variant| Some(variant.hash) != hash);
        }
        let mut joined = current.clone();
        joined.join(delta.record());
        check_bounds(current, &joined, &rules.limits)?;
        if let Place::Hint(target) = place {
            self.check_room(target, current, &joined)?;
        }
        *current = joined;
        self.collisions += u64::from(collided);
        Ok(Outcome::Joined)
    }

    /// Stages the change of one key.
    fn change<R>(&mut self, write: &Write<R>, old: Option<&Record>, new: &Record) {
        let key = &self.rules.merkle_key;
        let before = old.map_or_else(Sum::default, |old| key.sum_of(&write.key, old));
        let is_repair = matches!(write.change, Change::Repair(_));
        if !(is_repair && mutant(Mutant::RepairSkipsSums)) {
            self.sums
                .push((write.leaf, key.sum_of(&write.key, new).minus(before)));
        }
        self.stage.add(&write.key, write.leaf, old, new);
    }

    /// Stages what is kept of one key for a node.
    fn keep(&mut self, target: NodeId, key: &Bytes, old: Option<&Stored>, new: &Record) {
        let key = hint_key(target, NAMESPACE, key);
        let before = old.map_or(0, |old| row_bytes(key.len(), old.bytes));
        let (count, after) = if new.is_absent() {
            self.stage.forget(key);
            (-1, 0)
        } else {
            let prefixed = key.len();
            let stored = self.stage.keep(key, new);
            (i64::from(old.is_none()), row_bytes(prefixed, stored))
        };
        self.kept.push(HintDelta {
            target,
            count,
            bytes: after - before,
        });
    }

    /// Refuses a hint that would take what is kept for its target, or for all, beyond its bound. One that leaves it
    /// no larger may pass: a thousand writes of one key are one hint.
    fn check_room(&self, target: NodeId, current: &Record, joined: &Record) -> Result<(), Refusal> {
        let Some(kept) = &self.rules.kept else {
            return Err(Refusal::NotReady);
        };
        let grown = |of_interest: &dyn Fn(NodeId) -> bool| {
            let before = kept.iter().filter(|kept| of_interest(kept.target));
            let growth = (self.kept.iter()).filter(|growth| of_interest(growth.target));
            let before: u64 = before.map(|kept| kept.bytes).sum();
            before.saturating_add_signed(growth.map(|growth| growth.bytes).sum())
        };
        let limits = &self.rules.limits;
        let bounds = [
            (
                grown(&|node| node == target),
                limits.max_hint_bytes_per_node,
            ),
            (grown(&|_any| true), limits.max_hint_bytes),
        ];
        let most = u64::try_from(most_bytes(joined)).unwrap_or(u64::MAX);
        for (bytes, max) in bounds {
            if bytes.saturating_add(most) > max && encoded_bytes(joined) > encoded_bytes(current) {
                return Err(Refusal::HintsFull { bytes, max });
            }
        }
        Ok(())
    }

    fn read(&mut self, place: Place, key: &[u8]) -> Result<Option<Stored>, Fault> {
        let stored = match place {
            Place::Record => (self.engine).get(Keyspace::Records, &record_key(NAMESPACE, key)),
            Place::Hint(target) => {
                (self.engine).get(Keyspace::Hints, &hint_key(target, NAMESPACE, key))
            }
        };
        match stored {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => decode(&bytes).map(|record| {
                let bytes = bytes.len();
                Some(Stored { record, bytes })
            }),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "reading a record failed"
                );
                let fault = fault_of(&error);
                if matches!(error, EngineError::Poisoned { .. }) {
                    self.poisoned = Some(error);
                }
                Err(fault)
            }
        }
    }

    fn finish(self) -> Applied {
        Applied {
            outcomes: self.outcomes,
            batch: self.stage.into_batch(),
            sums: self.sums,
            kept: self.kept,
            latest: self.latest,
            collisions: self.collisions,
            poisoned: self.poisoned,
        }
    }
}

/// Reads a stored record; one that cannot be read is damage, never an absent one.
fn decode(bytes: &Bytes) -> Result<Record, Fault> {
    decode_record(bytes).map_err(|error: DecodeError| {
        tracing::error!(%error, "a stored record cannot be read");
        Fault::Corrupt
    })
}

/// Refuses a put that would take the record beyond its bounds; one that leaves it no larger may pass, or
/// nothing could ever be merged or deleted there.
fn check_bounds(current: &Record, joined: &Record, limits: &Limits) -> Result<(), Refusal> {
    let (siblings, before) = (joined.live().len(), current.live().len());
    if siblings > limits.max_siblings && siblings > before {
        let max = u32::try_from(limits.max_siblings).unwrap_or(u32::MAX);
        return Err(Refusal::TooManySiblings { max });
    }
    let max = limits.max_record_bytes;
    if most_bytes(joined) <= max {
        return Ok(());
    }
    let bytes = encoded_bytes(joined);
    if bytes > max && bytes > encoded_bytes(current) {
        let [bytes, max] = [bytes, max].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        return Err(Refusal::RecordTooLarge { bytes, max });
    }
    Ok(())
}

/// What a record's encoding has at most: fixed fields, and every number at its longest.
fn most_bytes(record: &Record) -> usize {
    32 + 48 * record.live().len() + 32 * record.seen().intervals().len() + record.value_bytes()
}

fn encoded_bytes(record: &Record) -> usize {
    let mut out = bytes::BytesMut::new();
    encode_record(record, &mut out);
    out.len()
}

/// What callers are told of an engine's error.
pub(crate) fn fault_of(error: &EngineError) -> Fault {
    match error {
        EngineError::NoSpace { .. } => Fault::Filled,
        EngineError::Poisoned { cause: Some(first) } => fault_of(first),
        EngineError::Corrupt { .. }
        | EngineError::NewerFormat { .. }
        | EngineError::ForeignFormat { .. } => Fault::Corrupt,
        _ => Fault::Failed,
    }
}
