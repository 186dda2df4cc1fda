//! The committer: takes batches of writes to the engine, one at a time, and answers them.
//!
//! ```text
//!   apply --> engine.commit --> sums, clock --> answers
//!                  |
//!                  '-- fails: every write in it is told so, and it was the last batch
//! ```
//!
//! **The clock's mark.** Ages are held to a clock that never goes back, restarts included, so every batch that
//! reads it beyond the stored mark carries a new mark, [`LEAD_MS`] ahead, in the same commit; a mark is due
//! well before that, so most batches carry none. An idle node moves it now and then. It is never lowered, and
//! a jump of the wall clock moves it only once it has lasted.
//!
//! **A disk that is nearly full.** Without room for a batch and what it brings about, its writes are refused and
//! the engine is left alone, mark and all: a commit that fails would be the last. Reads go on.
//!
//! It reads no clock and starts no thread: in production a thread owns it, in a simulation an event does.

use std::sync::Arc;
use std::time::Duration;

use quoit_ring::mutant::{Mutant, mutant};
use quoit_ring::wire::{Durability, Fault, Refusal, Response, ResponseFrame};
use quoit_ring::{Millis, Time};

use super::apply::fault_of;
use super::clock_guard::ClockGuard;
use super::disk_space::DiskSpace;
use super::{Applied, Change, Outcome, Place, Rules, Shared, Write, apply};
use crate::engine::layout::META_CLOCK;
use crate::engine::{self, Batch, Engine, EngineError, Keyspace};
use crate::env::{Now, Reply};

/// How far ahead of use the clock's mark is stored, at most: also how far ahead of wall time ages may be
/// held to after a crash.
pub(crate) const LEAD_MS: u64 = 3_000;

/// How often what the engine holds is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// The one who commits: no other may while it exists. See the [module](crate::commit).
#[derive(Debug)]
pub struct Committer<G> {
    engine: Arc<G>,
    shared: Arc<Shared>,
    mark: Time,
    steady: ClockGuard,
    room: DiskSpace,
    measured: Option<Duration>,
}

impl<G: Engine> Committer<G> {
    /// A committer for `engine`; there must be no other.
    ///
    /// `mark` is the clock's stored high-water mark, the same that `shared` was made with.
    #[must_use]
    pub const fn new(engine: Arc<G>, shared: Arc<Shared>, mark: Time) -> Self {
        Self {
            engine,
            shared,
            mark,
            steady: ClockGuard::new(mark),
            room: DiskSpace::new(),
            measured: None,
        }
    }

    /// What it shares with the handlers.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Commits `writes` as one batch and answers each; leaves `writes` empty.
    ///
    /// # Errors
    /// The engine's, after every write was answered with it: the batch may or may not be stored, and the
    /// engine takes no more. Call it no more either.
    pub fn run<R: Reply>(
        &mut self,
        writes: &mut Vec<Write<R>>,
        now: Now,
    ) -> Result<(), EngineError> {
        let bytes = writes.iter().map(|write| write.bytes).sum();
        if !self.room.is_there(&*self.engine, bytes, now) {
            let full = Outcome::Refused(Refusal::Storage(Fault::NoSpace));
            self.answer(writes, &vec![full; writes.len()], now);
            return Ok(());
        }
        let Applied {
            mut outcomes,
            batch,
            sums,
            kept,
            latest,
            collisions,
            poisoned,
        } = apply(&*self.engine, &self.rules(writes, now), writes);
        let committed = match poisoned {
            Some(error) => Err(error),
            None if mutant(Mutant::RepairIsNotSynced) && only_repairs(writes) => {
                self.engine.commit(batch, engine::Durability::Buffered)
            }
            None => self.commit(batch, latest, now),
        };
        match &committed {
            Ok(()) => {
                self.shared.sums.add(&sums);
                self.shared.hints.add(&kept);
                self.shared.observe(latest, now);
                self.shared.collided(collisions);
            }
            Err(_) if mutant(Mutant::FailedCommitIsAcked) => {}
            Err(error) => fail(&mut outcomes, error),
        }
        self.answer(writes, &outcomes, now);
        self.measure(now);
        committed
    }

    /// What to do about once a second while there are no writes: moves the clock's mark.
    ///
    /// # Errors
    /// The engine's; it takes no more.
    pub fn idle(&mut self, now: Now) -> Result<(), EngineError> {
        if self.room.is_there(&*self.engine, 0, now) {
            self.commit(Batch::new(), Time::ZERO, now)?;
        }
        self.measure(now);
        Ok(())
    }

    /// The end: stores the clock, so that the next start begins with it, and makes all durable.
    ///
    /// # Errors
    /// The engine's; what was committed as buffered may be lost.
    pub fn finish(mut self, now: Now) -> Result<(), EngineError> {
        let mut batch = Batch::new();
        let clock = self.lasting(Time::ZERO, now);
        put_mark(&mut batch, self.mark.max(clock));
        self.engine.commit(batch, self.durability())?;
        self.engine.persist()
    }

    fn rules<R>(&self, writes: &[Write<R>], now: Now) -> Rules {
        let keeps = |write: &Write<R>| write.place != Place::Record;
        let kept = (writes.iter().any(keeps)).then(|| self.shared.hints.kept());
        Rules {
            limits: self.shared.limits,
            merkle_key: self.shared.sums.key(),
            now,
            told: self.shared.told(now),
            ageing: self.shared.ageing(now),
            kept: kept.flatten(),
        }
    }

    /// Commits `batch` and, if it is due, a new mark above all that it reads or joins.
    fn commit(&mut self, mut batch: Batch, latest: Time, now: Now) -> Result<(), EngineError> {
        let lead = LEAD_MS.min(self.shared.limits.max_write_age_ms / 4);
        let clock = self.lasting(latest, now);
        if later(clock, lead / 2) > self.mark {
            let mark = later(clock, lead);
            put_mark(&mut batch, mark);
            self.mark = mark;
        }
        if batch.is_empty() {
            return Ok(()); // nothing changed: all that was read is committed already
        }
        self.engine.commit(batch, self.durability())
    }

    /// The clock as far as it may be stored: whatever has been read or joined, but no further than wall time
    /// as it is believed and what a stamp may be ahead of it.
    fn lasting(&mut self, latest: Time, now: Now) -> Time {
        let believed = Time::at(self.steady.believe(now));
        let bound = later(believed, self.shared.limits.max_clock_drift_ms);
        self.shared.ageing(now).max(latest).min(bound)
    }

    fn durability(&self) -> engine::Durability {
        match self.shared.durability {
            Durability::Fsync if mutant(Mutant::AckBeforePersist) => engine::Durability::Buffered,
            Durability::Fsync => engine::Durability::Fsync,
            Durability::Buffered => engine::Durability::Buffered,
        }
    }

    fn answer<R: Reply>(&self, writes: &mut Vec<Write<R>>, outcomes: &[Outcome], now: Now) {
        let (epoch, clock) = (self.shared.ring.epoch(), self.shared.told(now));
        for (write, &outcome) in writes.iter().zip(outcomes) {
            let response = Response::from(outcome);
            let Some(reply) = &write.reply else { continue };
            reply.send(&ResponseFrame {
                id: write.id,
                epoch,
                clock,
                response,
            });
        }
        for reply in writes.drain(..).filter_map(|write| write.reply) {
            reply.flush();
        }
    }

    fn measure(&mut self, now: Now) {
        if self.measured.is_none_or(|last| now.mono >= last + MEASURE) {
            self.measured = Some(now.mono);
            self.shared.measured(self.engine.usage());
        }
    }
}

/// Turns what would have been stored into what callers are told of the failure: a fault that leaves open
/// whether the write is stored. Refusals stand.
fn fail(outcomes: &mut [Outcome], error: &EngineError) {
    let fault = match fault_of(error) {
        Fault::Filled => Fault::Filled,
        _ => Fault::Failed,
    };
    let refusal = Refusal::Storage(fault);
    for outcome in outcomes {
        if !matches!(outcome, Outcome::Refused(_)) {
            *outcome = Outcome::Refused(refusal);
        }
    }
}

fn only_repairs<R>(writes: &[Write<R>]) -> bool {
    let repair = |write: &Write<R>| matches!(write.change, Change::Repair(_));
    writes.iter().all(repair)
}

fn later(time: Time, ms: u64) -> Time {
    Time::at(Millis(time.millis().0.saturating_add(ms)))
}

fn put_mark(batch: &mut Batch, mark: Time) {
    batch.insert(Keyspace::Meta, META_CLOCK, mark.0.to_be_bytes().to_vec());
}
