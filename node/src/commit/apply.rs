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
//! **Covered.** A put whose dot the stored record has seen is not joined, unless the dot is still live there:
//! the same content is a retry, which is answered as joined; other content means that the dot was minted
//! twice, and both variants are kept. Joining a dead dot would change nothing, but answering "joined" would
//! be a lie: the caller could not read its value back.
//!
//! Invariant: the function only reads the engine, and its result depends on nothing but its arguments and
//! what is stored. Nothing of a refused write is in the batch.

use bytes::Bytes;
use quoit_ring::mutant::{Mutant, mutant};
use quoit_ring::wire::{DecodeError, Fault, Refusal, decode_record, encode_record};
use quoit_ring::{Delta, Leaf, MerkleKey, Record, Sum, Time, check_drift};

use super::index::Stage;
use super::{Change, Limits, Outcome, Write};
use crate::engine::layout::{NAMESPACE, record_key};
use crate::engine::{Batch, Engine, EngineError, Keyspace};
use crate::env::Now;

/// What writes are held to, at one moment.
#[derive(Debug, Clone, Copy)]
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
        stage: Stage::new(2 * writes.len(), bytes),
        sums: Vec::with_capacity(writes.len()),
        latest: Time::ZERO,
        collisions: 0,
        poisoned: None,
    };
    let mut order: Vec<usize> = (0..writes.len()).collect();
    order.sort_by(|&a, &b| writes[a].key.cmp(&writes[b].key)); // stable: of one key, as they came
    for same_key in order.chunk_by(|&a, &b| writes[a].key == writes[b].key) {
        run.apply_key(writes, same_key);
    }
    run.finish()
}

/// A batch being applied.
struct Run<'a, G> {
    engine: &'a G,
    rules: &'a Rules,
    outcomes: Vec<Outcome>,
    stage: Stage,
    sums: Vec<(Leaf, Sum)>,
    latest: Time,
    collisions: u64,
    poisoned: Option<EngineError>,
}

impl<G: Engine> Run<'_, G> {
    /// Applies the writes of one key, given by their places.
    fn apply_key<R>(&mut self, writes: &[Write<R>], places: &[usize]) {
        let Some(first) = places.first().map(|&place| &writes[place]) else {
            return;
        };
        let old = match self.read(&first.key) {
            Ok(old) => old,
            Err(fault) => {
                for &place in places {
                    self.outcomes[place] = Outcome::Refused(Refusal::Storage(fault));
                }
                return;
            }
        };
        let mut new = old.clone().unwrap_or_default();
        for &place in places {
            let write = &writes[place];
            if mutant(Mutant::BatchForgetsEarlier) {
                new = old.clone().unwrap_or_default();
            }
            self.outcomes[place] = self.step(write, &mut new).unwrap_or_else(Outcome::Refused);
        }
        let before = old.as_ref();
        if before.map_or_else(|| !new.is_absent(), |old| !old.same_versions(&new)) {
            self.change(first, before, &new);
        }
    }

    /// Joins one write into `current`, unless a rule forbids it.
    fn step<R>(&mut self, write: &Write<R>, current: &mut Record) -> Result<Outcome, Refusal> {
        let rules = self.rules;
        if rules.now.mono > write.deadline {
            return Err(Refusal::Expired);
        }
        let stamp = match &write.change {
            Change::Put(delta) => delta.dot().time,
            Change::Repair(record) => record.max_time(),
        };
        check_drift(stamp, rules.now.wall, rules.limits.max_clock_drift_ms).map_err(|drift| {
            Refusal::ClockAhead {
                ahead_ms: drift.ahead_ms,
                max_ms: drift.max_ms,
            }
        })?;
        let outcome = match &write.change {
            Change::Put(delta) => self.put(delta, current)?,
            Change::Repair(record) => {
                current.join(record);
                Outcome::Joined
            }
        };
        if outcome == Outcome::Joined {
            self.latest = self.latest.max(stamp);
        }
        Ok(outcome)
    }

    fn put(&mut self, delta: &Delta, current: &mut Record) -> Result<Outcome, Refusal> {
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
                return Ok(Outcome::Covered { named, above });
            }
            collided = variants.all(|variant| Some(variant.hash) != hash);
        }
        let mut joined = current.clone();
        joined.join(delta.record());
        check_bounds(current, &joined, &rules.limits)?;
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

    fn read(&mut self, key: &[u8]) -> Result<Option<Record>, Fault> {
        let stored = self
            .engine
            .get(Keyspace::Records, &record_key(NAMESPACE, key));
        match stored {
            Ok(None) => Ok(None),
            Ok(Some(bytes)) => decode(&bytes).map(Some),
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
