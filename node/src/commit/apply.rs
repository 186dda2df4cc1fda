//! Applying a batch: what each write does to what is stored, decided without effect.
//!
//! ```text
//!   writes, sorted by key     k1 k1 | k2 | k3 k3 k3
//!                              |      each key once: read, join its writes in order, write
//!   stored record  --decode--> old --> join --> join --> new --encode--> batch
//!                                                 '---- verdict per write
//! ```
//!
//! Writes of one key see each other in the order they came; writes of different keys have nothing to do with
//! each other, so the batch may go through them in the order of the keys, which the engine likes best.
//!
//! Invariant: the function only reads the engine, and its result depends on nothing but its arguments and
//! what is stored. Nothing of a refused write is in the batch.

use bytes::Bytes;
use quoit_ring::wire::{Fault, Refusal, decode_record};
use quoit_ring::{Held, Leaf, NodeId, Record, Sibling, Sum, Time};

use super::Verdict;
use super::join::{Joins, RefusedRepairs, Rules, Standing};
use super::register::{Current, RegisterChange, RegisterRow};
use crate::engine::layout::{NAMESPACE, hint_key, record_key};
use crate::engine::{Batch, Engine, EngineError, Keyspace};
use crate::hints::{HintDelta, row_bytes, split_row};
use crate::storage::{BatchBuilder, SumChange, Unreadable};
use crate::write::{Change, Destination, Step, Write};

/// The effects of a batch, not carried out yet.
#[derive(Debug)]
pub struct Applied {
    /// One for each write, in their order.
    pub verdicts: Vec<Verdict>,
    /// What is to be committed; empty if nothing changed.
    pub batch: Batch,
    /// By how much the sums change once it is.
    pub sums: Vec<SumChange>,
    /// By how much the hints change once it is.
    pub hints: Vec<HintDelta>,
    /// The latest stamp that was joined, [`Time::ZERO`] if none.
    pub latest: Time,
    /// Dots found with two contents.
    pub collisions: u64,
    /// Repairs refused for the bounds on a record.
    pub refused_repairs: RefusedRepairs,
    /// Leaves in which a repair brings a write that is older than what was promised.
    pub old_joined: Vec<Leaf>,
    /// The latest ballot that was promised or accepted, [`Time::ZERO`] if none.
    pub balloted: Time,
    /// Whether a value was accepted: the batch is to be synced in either mode.
    pub accepts: bool,
    /// By how much registers change once it is.
    pub registers: Vec<RegisterChange>,
    /// Rows that could not be read; their writes are refused.
    pub unreadable: Vec<Unreadable>,
    /// The engine has failed earlier and has to be opened again; nothing may be committed.
    pub poisoned: Option<EngineError>,
}

/// Decides what `writes` do to what `engine` stores.
pub fn apply<G: Engine, R>(engine: &G, rules: &Rules, writes: &[Write<R>]) -> Applied {
    let bytes = writes.iter().map(|write| write.bytes + 64).sum();
    let mut run = BatchRun {
        engine,
        verdicts: vec![Verdict::Joined; writes.len()],
        rows: BatchBuilder::new(2 * writes.len(), bytes),
        joins: Joins::new(rules),
        sums: Vec::with_capacity(writes.len()),
        old_joined: Vec::new(),
        registers: Vec::new(),
        unreadable: Vec::new(),
        poisoned: None,
    };

    let mut order: Vec<usize> = (0..writes.len()).collect();
    let row = |place: usize| (writes[place].destination, &writes[place].key);
    order.sort_by(|&a, &b| row(a).cmp(&row(b))); // stable: of one row, as they came

    for same_row in order.chunk_by(|&a, &b| row(a) == row(b)) {
        run.apply_row(writes, same_row);
    }
    run.finish()
}

/// A row as it is stored.
struct StoredRow {
    record: Record,
    bytes: usize,
    /// Of a hint: none of its writes was minted before.
    minted: Time,
}

/// A batch being applied.
struct BatchRun<'a, G> {
    engine: &'a G,
    joins: Joins<'a>,
    verdicts: Vec<Verdict>,
    rows: BatchBuilder,
    sums: Vec<SumChange>,
    old_joined: Vec<Leaf>,
    registers: Vec<RegisterChange>,
    unreadable: Vec<Unreadable>,
    poisoned: Option<EngineError>,
}

impl<G: Engine> BatchRun<'_, G> {
    /// Applies the writes of one row, given by their places.
    fn apply_row<R>(&mut self, writes: &[Write<R>], places: &[usize]) {
        let Some(&place) = places.first() else {
            return;
        };
        let first = &writes[place];

        let old = match self.read(first.destination, &first.key) {
            Ok(old) => old,
            Err(error) => return self.refuse_all(places, error),
        };
        let before = old.as_ref().map(|old| &old.record);
        let floor = match first.destination {
            Destination::Record => self.joins.rules.floors.at(first.leaf),
            Destination::Hint(_) => Time::ZERO,
        };
        let mut register = self.register_of(writes, places, floor);

        let mut new = Held::new(before.cloned(), floor).into_record();
        let mut minted = old.as_ref().map_or(Time::MAX, |old| old.minted);
        let (mut is_stray, mut has_refused) = (false, None);
        // A write that changes nothing, such as a retry, costs no commit. What lies below the floor changes nothing.
        let changes = |new: &Record| match before {
            Some(old) => !old.same_versions_above(new, floor),
            None => !new.is_only_floor(floor),
        };
        for &place in places {
            let write = &writes[place];
            let verdict = match (write.change.step(), &mut register) {
                // What was committed where it comes from is in the record that came with it, and that was not joined.
                (Some(Step::Take(_)), _) if has_refused.is_some() => {
                    Err(has_refused.unwrap_or(Refusal::NotReady))
                }
                (Some(_), Err(fault)) => Err(Refusal::Storage(*fault)),
                (Some(step), Ok(Some(register))) => {
                    let has_row = before.is_some() || changes(&new);
                    let mut current = Current {
                        record: &mut new,
                        has_row,
                        floor,
                    };
                    self.joins.step((write, step), register, &mut current)
                }
                _ => (self.joins).join(
                    (place, write),
                    &mut new,
                    Standing {
                        has_row: before.is_some(),
                        floor,
                    },
                ),
            };
            if let (Ok(Verdict::Joined), Change::Put(delta)) = (&verdict, &write.change) {
                minted = minted.min(delta.dot().time);
                is_stray |= write.epoch != Some(self.joins.rules.newest);
            }
            has_refused = verdict.as_ref().err().copied().or(has_refused);
            self.verdicts[place] = verdict.unwrap_or_else(Verdict::Refused);
        }

        if changes(&new) {
            match first.destination {
                Destination::Record => self.change((place, first), before, &new),
                Destination::Hint(target) => {
                    self.keep((target, minted, is_stray), &first.key, old.as_ref(), &new);
                }
            }
        }
        if let Ok(Some(register)) = register {
            self.change_register(first, &register);
        }
    }

    /// Refuses all writes of a row that cannot be read.
    fn refuse_all(&mut self, places: &[usize], error: Unreadable) {
        for &place in places {
            self.verdicts[place] = Verdict::Refused(Refusal::Storage(error.fault()));
        }
        self.unreadable.push(error);
    }

    /// The register of a key, if any of its writes is a step on it. If it cannot be read, only those are refused.
    fn register_of<R>(
        &mut self,
        writes: &[Write<R>],
        places: &[usize],
        floor: Time,
    ) -> Result<Option<RegisterRow>, Fault> {
        let mut steps = places.iter().map(|&place| &writes[place]);
        let Some(write) = steps.find(|write| write.change.step().is_some()) else {
            return Ok(None);
        };
        let row = RegisterRow::read(self.engine, &write.key, floor, self.joins.rules);
        if let Err(Unreadable::Engine(error @ EngineError::Poisoned { .. })) = &row {
            self.poisoned = Some(error.clone());
        }
        row.map(Some).map_err(|error| {
            let fault = error.fault();
            self.unreadable.push(error);
            fault
        })
    }

    /// Stages the change of a register.
    fn change_register<R>(&mut self, write: &Write<R>, register: &RegisterRow) {
        if let Some(accepted) = register.changed() {
            self.rows.put_ballot(&write.key, write.leaf, accepted);
        }
        self.registers.extend(register.change(&write.key));
    }

    /// Stages the change of one key.
    fn change<R>(
        &mut self,
        (place, write): (usize, &Write<R>),
        old: Option<&Record>,
        new: &Record,
    ) {
        let rules = self.joins.rules;
        let is_old = |it: &&Sibling| it.dot.time <= rules.promised;
        let had = |it: &Sibling| old.is_some_and(|old| old.variants(it.dot).next().is_some());
        if new.live().iter().filter(is_old).any(|it| !had(it)) {
            self.old_joined.push(write.leaf);
        }
        let key = &rules.merkle_key;
        self.sums.push(SumChange {
            write: place,
            leaf: write.leaf,
            before: old.map_or_else(Sum::default, |old| key.sum_of(&write.key, old)),
            after: key.sum_of(&write.key, new),
        });
        self.rows.put_record(&write.key, write.leaf, old, new);
    }

    /// Stages what is kept of one key for a node.
    fn keep(
        &mut self,
        (target, minted, is_stray): (NodeId, Time, bool),
        key: &Bytes,
        old: Option<&StoredRow>,
        new: &Record,
    ) {
        let key = hint_key(target, NAMESPACE, key);
        let before = old.map_or(0, |old| row_bytes(key.len(), old.bytes));
        let (count, after) = if new.is_absent() {
            self.rows.remove_hint(key);
            (-1, 0)
        } else {
            let prefixed = key.len();
            let stored = self.rows.put_hint(key, minted, new);
            (i64::from(old.is_none()), row_bytes(prefixed, stored))
        };
        self.joins.hints.push(HintDelta {
            target,
            minted,
            is_stray,
            count,
            bytes: after - before,
        });
    }

    fn read(
        &mut self,
        destination: Destination,
        key: &[u8],
    ) -> Result<Option<StoredRow>, Unreadable> {
        let stored = match destination {
            Destination::Record => {
                (self.engine).get(Keyspace::Records, &record_key(NAMESPACE, key))
            }
            Destination::Hint(target) => {
                (self.engine).get(Keyspace::Hints, &hint_key(target, NAMESPACE, key))
            }
        };
        match stored {
            Ok(None) => Ok(None),
            Ok(Some(row)) => {
                let (minted, record) = match destination {
                    Destination::Record => (Time::MAX, row.clone()),
                    Destination::Hint(_) => split_row(&row),
                };
                decode(&record).map(|record| {
                    let bytes = row.len();
                    Some(StoredRow {
                        record,
                        bytes,
                        minted,
                    })
                })
            }
            Err(error) => {
                if matches!(error, EngineError::Poisoned { .. }) {
                    self.poisoned = Some(error.clone());
                }
                Err(Unreadable::Engine(error))
            }
        }
    }

    fn finish(self) -> Applied {
        Applied {
            verdicts: self.verdicts,
            batch: self.rows.into_batch(),
            sums: self.sums,
            hints: self.joins.hints,
            latest: self.joins.latest,
            balloted: self.joins.balloted,
            accepts: self.joins.accepts,
            collisions: self.joins.collisions,
            refused_repairs: self.joins.refused_repairs,
            old_joined: self.old_joined,
            registers: self.registers,
            unreadable: self.unreadable,
            poisoned: self.poisoned,
        }
    }
}

/// Reads a stored record; one that cannot be read is damage, never an absent one.
fn decode(bytes: &Bytes) -> Result<Record, Unreadable> {
    decode_record(bytes).map_err(Unreadable::Record)
}
