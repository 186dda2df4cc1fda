//! The committer: takes batches of writes to the engine, one at a time, and answers them.
//!
//! ```text
//!   apply --> engine.commit --> sums, clock --> answers
//!                  |
//!                  '-- fails: every write in it is answered with the fault, and it was the last batch
//! ```
//!
//! **A disk that is nearly full.** Hints are refused first, then values; what removes something is taken out of the
//! reserve ([`DiskLevel`]). Once that is used up the engine is left alone: a commit that fails would be the last. Reads
//! go on.
//!
//! **The clock's mark** is stored as long as anything is. On a disk whose reserve is used up, and by an engine that only
//! reads, it stays behind the clock that answers carry. A restart then begins with the machine's clock, which is no
//! earlier unless somebody sets it back meanwhile: that case alone is not covered.
//!
//! It reads no clock and starts no thread: in production a thread owns it, in a simulation an event does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quoit_ring::change::Chain;
use quoit_ring::wire::{
    DiskLevel, Durability, Fault, Refusal, Response, ResponseFrame, WarningKind,
};
use quoit_ring::{Leaf, Millis, Moment, Time};

use super::rows::Pulled;
use super::{Applied, ChangeRows, RefusedRepairs, RegisterChange, Rules, Verdict, apply};
use crate::clock::{ClockMark, LEAD_MS, Now};
use crate::engine::layout::{META_BARRED, META_CLOCK};
use crate::engine::{self, Batch, Engine, EngineError, Keyspace};
use crate::reply::Reply;
use crate::state::NodeState;
use crate::storage::{Demand, DiskSpace, SumChange, fault_of};
use crate::warnings::chain;
use crate::write::{Destination, Write};

/// How often what the engine holds is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// How often a refused repair is worth a line in the log.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How many bytes of a key the log shows.
const LOGGED_KEY: usize = 64;

/// What a batch is going to do.
pub(super) struct Staged {
    pub(super) applied: Applied,
    /// Which writes the disk has space for.
    disk: DiskLevel,
}

/// Commits batches; an engine has one committer at a time. See the [module](crate::commit).
#[derive(Debug)]
pub struct Committer<G> {
    pub(super) engine: Arc<G>,
    pub(super) state: NodeState,
    /// This node's part in deciding the next epoch.
    pub(super) chain: Chain,
    /// Leaves in which a repair has brought a write that is older than what was promised, since floors were last raised.
    pub(super) old_joined: BTreeSet<Leaf>,
    mark: ClockMark,
    /// Above all ballots that were promised or accepted: stored and synced.
    barred: Time,
    /// The latest of them.
    balloted: Time,
    disk_space: DiskSpace,
    measured: Option<Moment>,
    log_after: Option<Moment>,
    /// Whether a full disk is shown in the status.
    warned: bool,
}

impl<G: Engine> Committer<G> {
    /// A committer for `engine` of a node that starts `now`; there must be no other. The handlers have the same `state`.
    #[must_use]
    pub fn new(engine: Arc<G>, state: &NodeState, now: Now) -> Self {
        let takes_writes = engine.takes_writes();
        (state.hints).set_takes_removals(takes_writes.is_ok());
        if let Err(error) = takes_writes {
            let text = || format!("no writes are taken: {}", chain(&error));
            (state.warnings).note(WarningKind::Storage, 0, now.mono, text);
        }
        let newest = state.cluster.newest().configuration().clone();
        Self {
            engine,
            chain: Chain::new(state.cluster.node, newest),
            old_joined: BTreeSet::new(),
            mark: ClockMark::new(Arc::clone(&state.clock), &state.limits, now),
            barred: state.registers.start(),
            balloted: Time::ZERO,
            state: state.clone(),
            disk_space: DiskSpace::new(state.limits.disk_reserve),
            measured: None,
            log_after: None,
            warned: false,
        }
    }

    /// The same after a restart: with what the store holds of a change that was under way. One that forgot its vote could
    /// decide an epoch twice.
    #[must_use]
    pub fn restored(mut self, rows: ChangeRows) -> Self {
        let newest = self.chain.decided().epoch;
        if let Some((after, vote)) = rows.vote
            && after == newest
        {
            let decided = self.chain.decided().clone();
            self.chain = Chain::restored(self.state.cluster.node, decided, vote);
        }
        if let Some(taken) = rows.taken {
            self.state.cluster.take(taken);
        }
        if rows.is_incomplete {
            self.state.completeness.lose();
        }
        let is_current = rows.pulled.epoch == newest;
        let fresh = Pulled::in_epoch(newest);
        (self.state.pulled).set(if is_current { rows.pulled } else { fresh });
        self
    }

    /// What it shares with the handlers.
    #[must_use]
    pub const fn state(&self) -> &NodeState {
        &self.state
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
        self.tend_watches(now);
        let staged = match self.stage(writes, now) {
            Ok(staged) => staged,
            Err(refusal) => {
                let refused = Verdict::Refused(refusal);
                self.answer(writes, vec![refused; writes.len()], now);
                return Ok(());
            }
        };
        let (verdicts, committed) = self.settle(staged, writes, now);
        self.answer(writes, verdicts, now);
        self.measure(now);
        committed
    }

    /// Decides what `writes` do. Nothing of it has happened yet.
    ///
    /// # Errors
    /// The refusal of all of them: the engine only reads, or its disk is full.
    pub(super) fn stage<R>(&mut self, writes: &[Write<R>], now: Now) -> Result<Staged, Refusal> {
        if let Err(error) = self.engine.takes_writes() {
            self.state.hints.set_takes_removals(false);
            return Err(Refusal::Storage(fault_of(&error)));
        }
        let demand = Demand::of(writes);
        let received = demand.bytes();
        let disk = self.disk_space.look(&*self.engine, demand, now.mono);
        self.state.hints.set_takes_removals(disk != DiskLevel::Full);
        if disk == DiskLevel::Full {
            return Err(self.refuse_for_space(writes.len(), now));
        }

        let rules = self.rules(writes, disk, now);
        let applied = apply(&*self.engine, &rules, writes);
        for error in &applied.unreadable {
            self.state.damage.say(error, now.mono);
        }
        let written = u64::try_from(applied.batch.bytes()).unwrap_or(u64::MAX);
        // An engine that failed while it was read has more to say than that.
        if applied.poisoned.is_none() && !(self.disk_space).takes(&*self.engine, received, written)
        {
            return Err(self.refuse_for_space(writes.len(), now));
        }
        Ok(Staged { applied, disk })
    }

    /// Commits what was staged for `writes`, then moves sums, hints and clock. The verdicts, and the engine's result.
    pub(super) fn settle<R>(
        &mut self,
        Staged { applied, disk }: Staged,
        writes: &[Write<R>],
        now: Now,
    ) -> (Vec<Verdict>, Result<(), EngineError>) {
        let Applied {
            mut verdicts,
            batch,
            sums,
            hints,
            latest,
            balloted,
            accepts,
            registers,
            collisions,
            refused_repairs,
            old_joined,
            poisoned,
            ..
        } = applied;
        let key_of = |change: &SumChange| &writes[change.write].key;
        self.state.sums.begin(&sums, key_of);
        let committed = match poisoned {
            Some(error) => Err(error),
            None => self.commit_balloted(batch, latest, (balloted, accepts), now),
        };
        debug_assert_eq!(verdicts.len(), writes.len(), "every write has a verdict");

        // Only now: what is not committed must move neither sums nor clock.
        match &committed {
            Ok(()) => {
                self.state.sums.add(&sums, key_of);
                self.old_joined.extend(old_joined);
                self.state.hints.add(&hints);
                self.state.clock.observe(latest, now);
                self.note_registers(registers);
                self.note_changes(sums.iter().map(key_of), now);
                self.state.stats.add_collisions(collisions);
            }
            Err(error) => fail(&mut verdicts, error),
        }
        if committed.is_err() {
            self.state.hints.set_takes_removals(false);
        }

        let no_space = Verdict::Refused(Refusal::Storage(Fault::NoSpace));
        let refused = || verdicts.iter().filter(|&v| *v == no_space).count();
        self.note_disk(
            if disk == DiskLevel::Ample {
                0
            } else {
                refused()
            },
            now,
        );
        self.note_refused(refused_repairs, writes, now);
        (verdicts, committed)
    }

    /// The refusal of a batch for a full disk; the engine is left alone.
    fn refuse_for_space(&mut self, writes: usize, now: Now) -> Refusal {
        self.note_disk(writes, now);
        Refusal::Storage(Fault::NoSpace)
    }

    /// How long there may be neither writes nor a call of [`Committer::idle`]: a second, or less where writes are soon too old.
    #[must_use]
    pub fn rest(&self) -> Duration {
        self.mark.rest()
    }

    /// What to do while there are no writes: moves the clock's mark.
    ///
    /// # Errors
    /// The engine's; it takes no more.
    pub fn idle(&mut self, now: Now) -> Result<(), EngineError> {
        self.tend_watches(now);
        if self.has_space(now) {
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
        if self.engine.takes_writes().is_err() {
            return Ok(()); // nothing was committed, and the mark cannot be
        }
        if !self.has_space(now) {
            return self.engine.persist();
        }
        let durability = self.durability();
        let mut batch = Batch::new();
        put_mark(&mut batch, self.mark.last(now));
        if self.balloted > Time::ZERO {
            // The next run begins right behind the last one.
            put_barred(&mut batch, self.balloted);
        }
        self.engine.commit(batch, durability)?;
        self.engine.persist()
    }

    /// Whether anything may be committed, small as it is.
    pub(super) fn has_space(&mut self, now: Now) -> bool {
        let (engine, nothing) = (&*self.engine, Demand::default());
        let has_space = engine.takes_writes().is_ok()
            && self.disk_space.look(engine, nothing, now.mono) != DiskLevel::Full;
        self.state.hints.set_takes_removals(has_space);
        self.note_disk(0, now);
        has_space
    }

    fn rules<R>(&self, writes: &[Write<R>], disk: DiskLevel, now: Now) -> Rules {
        let newest = self.state.cluster.newest();
        let keeps = |write: &Write<R>| write.destination != Destination::Record;
        let hints = &self.state.hints;
        let (kept, uncounted, is_leaving) = if writes.iter().any(keeps) {
            (hints.kept(), hints.gaps(), self.state.cluster.is_leaving())
        } else {
            (None, Vec::new(), false)
        };
        Rules {
            limits: self.state.limits,
            fence: self.state.cluster.epoch(),
            newest: newest.epoch(),
            copies: newest.topology().copies(),
            merkle_key: self.state.sums.key(),
            now,
            reading: self.state.clock.reading(now),
            age_reference: self.state.clock.age_reference(now),
            kept,
            uncounted,
            floors: self.state.stability.floors(),
            promised: self.state.stability.promised(),
            disk,
            is_leaving,
            expired: self.state.expiry.mark(),
            registers: Arc::clone(&self.state.registers),
        }
    }

    /// Commits `batch` and, if it is due, a new mark above all that it reads or joins.
    pub(super) fn commit(
        &mut self,
        mut batch: Batch,
        latest: Time,
        now: Now,
    ) -> Result<(), EngineError> {
        self.advance_mark(latest, now, &mut batch);
        if batch.is_empty() {
            return Ok(()); // nothing changed: all that was read is committed already
        }
        self.engine.commit(batch, self.durability())
    }

    /// Commits `batch` behind which ballots up to a time are promised, and values accepted, or not.
    fn commit_balloted(
        &mut self,
        mut batch: Batch,
        latest: Time,
        (balloted, accepts): (Time, bool),
        now: Now,
    ) -> Result<(), EngineError> {
        self.balloted = self.balloted.max(balloted);
        if balloted > self.barred {
            // Ahead, so that most batches carry none. Not the clock's mark, which follows no jump before that has lasted.
            let Millis(ms) = balloted.millis();
            self.barred = Time::at(Millis(ms.saturating_add(LEAD_MS)));
            put_barred(&mut batch, self.barred);
        } else if !accepts {
            return self.commit(batch, latest, now);
        }
        self.advance_mark(latest, now, &mut batch);
        self.engine.commit(batch, engine::Durability::Fsync)
    }

    /// Notes these keys, whose rows have changed, for whoever watches them.
    pub(super) fn note_changes<'a>(&self, keys: impl Iterator<Item = &'a Bytes>, now: Now) {
        let stamp = (self.state.cluster.epoch(), self.state.clock.reading(now));
        self.state.watches.note(keys, stamp);
    }

    /// Lets go whoever has waited for a change long enough.
    fn tend_watches(&self, now: Now) {
        let stamp = (self.state.cluster.epoch(), self.state.clock.reading(now));
        self.state.watches.tend((stamp, now));
    }

    /// What is promised and pending from now on: before any of it is answered.
    fn note_registers(&self, changes: Vec<RegisterChange>) {
        let registers = &self.state.registers;
        for change in changes {
            if let Some(pending) = change.pending {
                registers.set_pending(&change.key, pending);
            }
            if let Some(ballot) = change.promised {
                registers.promise(&change.key, ballot);
            }
        }
    }

    /// Puts the clock's mark in a batch, if it is due.
    pub(super) fn advance_mark(&mut self, latest: Time, now: Now, batch: &mut Batch) {
        if let Some(mark) = self.mark.advance(latest, now) {
            put_mark(batch, mark);
        }
    }

    /// The clock's mark as it is stored.
    pub(super) const fn mark(&self) -> Time {
        self.mark.stored()
    }

    fn durability(&self) -> engine::Durability {
        match self.state.durability {
            Durability::Fsync => engine::Durability::Fsync,
            Durability::Buffered => engine::Durability::Buffered,
        }
    }

    fn answer<R: Reply>(&self, writes: &mut Vec<Write<R>>, verdicts: Vec<Verdict>, now: Now) {
        let (epoch, clock) = (self.state.cluster.epoch(), self.state.clock.reading(now));
        for (write, verdict) in writes.iter().zip(verdicts) {
            let Some(reply) = &write.reply else { continue };
            let response = Response::from(verdict);
            if let Response::Refused(refusal) = &response {
                self.state.metrics.refused(refusal);
            }
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

    /// Shows what the disk has no space for: `refused` more writes.
    fn note_disk(&mut self, refused: usize, now: Now) {
        let (level, free) = self.disk_space.found();
        self.state.stats.set_disk(level, free);
        let (kind, warnings) = (WarningKind::DiskSpace, &self.state.warnings);
        match self.disk_space.warning() {
            Some(text) => {
                self.warned = true;
                let times = u64::try_from(refused).unwrap_or(u64::MAX);
                warnings.note(kind, times, now.mono, || text);
            }
            None if self.warned => {
                self.warned = false;
                warnings.clear(kind);
            }
            None => {}
        }
    }

    /// Counts repairs that were refused, and names the key of one: its replicas differ until somebody writes it.
    fn note_refused<R>(&mut self, refused: RefusedRepairs, writes: &[Write<R>], now: Now) {
        let Some((place, reason)) = refused.last else {
            return;
        };
        self.state.stats.add_refused_repairs(refused.count);
        if self.log_after.is_some_and(|after| now.mono < after) {
            return;
        }
        self.log_after = Some(now.mono + LOG_EVERY);

        let (key, since_start) = (&writes[place].key, self.state.stats.refused_repairs());
        let key = key[..key.len().min(LOGGED_KEY)].escape_ascii();
        tracing::warn!(
            %key, %reason, since_start,
            "a repair was refused: the replicas of the key differ until it is put with the context of a read, put \
             without one, or deleted"
        );
    }

    pub(super) fn measure(&mut self, now: Now) {
        if self.measured.is_none_or(|last| now.mono >= last + MEASURE) {
            self.measured = Some(now.mono);
            self.state.stats.set_usage(self.engine.usage());
        }
    }
}

/// Turns verdicts on what would have been stored into the failure: a fault that leaves open
/// whether the write is stored. Refusals stand.
fn fail(verdicts: &mut [Verdict], error: &EngineError) {
    let fault = match fault_of(error) {
        Fault::Filled => Fault::Filled,
        _ => Fault::Failed,
    };
    let refusal = Refusal::Storage(fault);
    for verdict in verdicts {
        if !matches!(verdict, Verdict::Refused(_)) {
            *verdict = Verdict::Refused(refusal);
        }
    }
}

fn put_barred(batch: &mut Batch, barred: Time) {
    batch.insert(Keyspace::Meta, META_BARRED, barred.0.to_be_bytes().to_vec());
}

fn put_mark(batch: &mut Batch, mark: Time) {
    batch.insert(Keyspace::Meta, META_CLOCK, mark.0.to_be_bytes().to_vec());
}
