//! One write joined into one record, unless a rule forbids it. Pure.
//!
//! **Superseded.** A put whose dot the stored record has seen is not joined, unless the dot is still live there:
//! the same content is a retry, which is answered as joined; other content means that the dot was minted
//! twice, and both variants are kept. Joining a dead dot would change nothing, but answering "joined" would
//! be a lie: the caller could not read its value back.
//!
//! **Expired.** What has expired by the time that is swept is joined as its death: it is seen and not live. So neither a late
//! hint nor a repair revives it, whatever was swept when it came. What is kept for another node stays as it was written.
//!
//! **Bounds.** A record stays within its [bounds](super::bounds), whoever sends what is joined.
//!
//! **Hints.** A put that is kept for another node is checked by the same rules, and against the bounds on hints.
//! A delivered hint is removed if nothing was added to it since. Neither happens in a place that is not counted yet.

use std::sync::Arc;

use quoit_ring::wire::{DiskLevel, Fault, Kept, Refusal, record_len};
use quoit_ring::{Delta, Epoch, MerkleKey, Millis, NodeId, Record, Time, check_drift};

use super::Verdict;
use super::bounds::{RecordBounds, most_bytes};
use super::register::{Current, RegisterRow};
use crate::clock::Now;
use crate::config::Limits;
use crate::engine::layout::HINT_PREFIX;
use crate::expiry::bury;
use crate::hints::{Gap, HintDelta, MINTED, is_in_gap};
use crate::register::Registers;
use crate::stability::Floors;
use crate::storage::takes;
use crate::write::{Change, Destination, Growth, Step, Write};

/// What writes are checked against, at one moment.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Writes of older epochs are refused.
    pub fence: Epoch,
    /// The newest epoch that this node has learned.
    pub newest: Epoch,
    /// Bounds on writes.
    pub limits: Limits,
    /// Copies of each key.
    pub copies: usize,
    /// The key of the sums.
    pub merkle_key: MerkleKey,
    /// The present; drift is checked against its wall time.
    pub now: Now,
    /// The clock that answers carry.
    pub reading: Time,
    /// The clock that ages are checked against.
    pub age_reference: Time,
    /// How many hints are kept; `None` while it is being counted, and no hint is accepted.
    pub kept: Option<Vec<Kept>>,
    /// Places among the hints that are not counted yet; nothing changes there.
    pub uncounted: Vec<Gap>,
    /// Which writes the disk has space for.
    pub disk: DiskLevel,
    /// Up to when no write is under way, of each leaf that this node owns.
    pub floors: Arc<Floors>,
    /// Clients' writes up to then are refused for ever: others count on it.
    pub promised: Time,
    /// Whether this node leaves the ring: it keeps no more hints, since it has said how many it has to hand over.
    pub is_leaving: bool,
    /// What expires by then is joined as its death: a sweep has passed it.
    pub expired: Millis,
    /// Promises and pending values of registers.
    pub registers: Arc<Registers>,
}

/// Most bytes of records in the answers of one batch to steps on registers; one that is longer goes alone.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The joins of one batch, and what they sum up to.
#[derive(Debug)]
pub(super) struct Joins<'a> {
    pub(super) rules: &'a Rules,
    /// By how much hints have changed in this batch.
    pub(super) hints: Vec<HintDelta>,
    /// The latest stamp that was joined.
    pub(super) latest: Time,
    /// Dots found with two contents.
    pub(super) collisions: u64,
    /// Repairs refused for the bounds on a record.
    pub(super) refused_repairs: RefusedRepairs,
    /// The latest ballot that was promised or accepted.
    pub(super) balloted: Time,
    /// Whether anything was accepted.
    pub(super) accepts: bool,
    /// Bytes of records in answers.
    answer_bytes: usize,
}

/// Whether there is a row where something is joined, and its floor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) has_row: bool,
    pub(super) floor: Time,
}

/// The repairs of a batch that were refused for the bounds on a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefusedRepairs {
    /// How many.
    pub count: u64,
    /// Which of the batch's writes was the last of them, and why.
    pub last: Option<(usize, Refusal)>,
}

impl<'a> Joins<'a> {
    pub(super) const fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            hints: Vec::new(),
            latest: Time::ZERO,
            collisions: 0,
            refused_repairs: RefusedRepairs {
                count: 0,
                last: None,
            },
            balloted: Time::ZERO,
            accepts: false,
            answer_bytes: 0,
        }
    }

    /// Joins one write, the `place`th of the batch, into `current`, unless a rule forbids it. That is what is stored, a row or
    /// none, above its floor.
    pub(super) fn join<R>(
        &mut self,
        (place, write): (usize, &Write<R>),
        current: &mut Record,
        Standing { has_row, floor }: Standing,
    ) -> Result<Verdict, Refusal> {
        let rules = self.rules;
        self.check(write)?;

        if let Destination::Hint(target) = write.destination
            && is_in_gap(&rules.uncounted, target, &write.key)
        {
            return Err(Refusal::NotReady);
        }

        if rules.is_leaving && write.growth() == Growth::Hint {
            return Err(Refusal::NotReady); // another node keeps it
        }

        if let Change::Delivered(record) = &write.change {
            let same = current.same_versions(record);
            if write.destination != Destination::Record && same {
                *current = Record::default();
            }
            return Ok(Verdict::Joined);
        }

        let stamp = match &write.change {
            Change::Put(delta) => delta.dot().time,
            Change::Repair(record) | Change::Delivered(record) | Change::Restored(record) => {
                record.max_time()
            }
            Change::Register(_) => return Err(Refusal::BadRecord), // it has no place among the hints
        };
        check_drift(stamp, rules.now.wall, rules.limits.max_clock_drift_ms).map_err(|drift| {
            Refusal::ClockAhead {
                ahead_ms: drift.ahead_ms,
                max_ms: drift.max_ms,
            }
        })?;

        let verdict = match &write.change {
            Change::Put(delta) => self.put((write.destination, &write.key), delta, current)?,
            // What is live below the floor was lost here: no death forbids it.
            Change::Restored(record) if !has_row && current.is_only_floor(floor) => {
                *current = Record::default();
                let restored = self.repair(place, record, current);
                current.raise_floor(floor);
                restored?
            }
            Change::Repair(record) | Change::Delivered(record) | Change::Restored(record) => {
                self.repair(place, record, current)?
            }
            Change::Register(_) => return Err(Refusal::BadRecord),
        };

        if verdict == Verdict::Joined {
            self.latest = self.latest.max(stamp);
            if write.destination == Destination::Record {
                bury(current, rules.expired);
            }
        }
        Ok(verdict)
    }

    /// Does one step on the register of a key, unless a rule forbids it.
    pub(super) fn step<R>(
        &mut self,
        (write, step): (&Write<R>, &Step),
        register: &mut RegisterRow,
        current: &mut Current<'_>,
    ) -> Result<Verdict, Refusal> {
        self.check(write)?;
        let (ballot, latest) = match step {
            Step::Look | Step::Take(_) | Step::AwaitTurn { .. } | Step::EndTurn => {
                (Time::ZERO, Time::ZERO)
            }
            Step::Prepare(ballot) => (ballot.time, ballot.time),
            Step::Accept(ballot, value) | Step::Extend(ballot, value) => {
                (ballot.time, ballot.time.max(value.max_time()))
            }
            Step::Commit(_, value) => {
                let latest = value.as_ref().map_or(Time::ZERO, Record::max_time);
                (Time::ZERO, latest)
            }
        };
        let answers = matches!(step, Step::Look | Step::Prepare(_));
        let bytes = if answers { register.bytes(current) } else { 0 };
        if self.answer_bytes > 0 && self.answer_bytes + bytes > MAX_ANSWER_BYTES {
            return Err(Refusal::Overloaded { queue_ms: 0 });
        }
        let verdict = register.step(step, current, self.rules)?;
        self.answer_bytes += bytes;
        if verdict == Verdict::Joined {
            bury(current.record, self.rules.expired);
        }
        if !matches!(verdict, Verdict::Outbid(_) | Verdict::Unseen) {
            self.latest = self.latest.max(latest);
            self.balloted = self.balloted.max(ballot);
        }
        self.accepts |= verdict == Verdict::Accepted;
        Ok(verdict)
    }

    /// Refuses what comes too late, of an epoch that is served no more, or has no space.
    fn check<R>(&self, write: &Write<R>) -> Result<(), Refusal> {
        let rules = self.rules;
        if rules.now.mono > write.deadline {
            return Err(Refusal::Expired);
        }
        // Here and not only where it arrived: it may have waited while the fence was raised, and who pulls the range then
        // relies on it that nothing older is added.
        if write.epoch.is_some_and(|epoch| epoch < rules.fence) {
            return Err(Refusal::OldEpoch);
        }
        if !takes(rules.disk, write.growth()) {
            return Err(Refusal::Storage(Fault::NoSpace));
        }
        Ok(())
    }

    fn repair(
        &mut self,
        place: usize,
        record: &Record,
        current: &mut Record,
    ) -> Result<Verdict, Refusal> {
        let bounds = RecordBounds::of_repairs(&self.rules.limits, self.rules.copies);
        let joined = bounds.join(current, record);
        if let Err(refusal) = joined {
            let refused = &mut self.refused_repairs;
            refused.count += 1;
            refused.last = Some((place, refusal));
        }
        joined.map(|()| Verdict::Joined)
    }

    fn put(
        &mut self,
        (destination, key): (Destination, &[u8]),
        delta: &Delta,
        current: &mut Record,
    ) -> Result<Verdict, Refusal> {
        let (dot, rules) = (delta.dot(), self.rules);
        let age_ms = rules
            .age_reference
            .millis()
            .0
            .saturating_sub(dot.time.millis().0);
        let max_ms = rules.limits.max_write_age_ms;
        // Here and not only where it arrived: it may have waited while the promise was given.
        if age_ms > max_ms || dot.time <= rules.promised {
            let age_ms = age_ms.max(max_ms + 1);
            return Err(Refusal::TooOld { age_ms, max_ms });
        }

        let mut collided = false;
        if current.seen().contains(dot) {
            let hash = delta.record().live().first().map(|sibling| sibling.hash);
            let mut variants = current.variants(dot).peekable();
            if variants.peek().is_none() {
                let named = current.seen().names(dot);
                let above = rules.reading.max(current.max_time());
                return Ok(Verdict::Superseded { named, above });
            }
            collided = variants.all(|variant| Some(variant.hash) != hash);
        }

        let bounds = RecordBounds::of_puts(&rules.limits);
        match destination {
            Destination::Record => bounds.join(current, delta.record())?,
            Destination::Hint(target) => {
                let joined = bounds.joined(current, delta.record())?;
                self.check_hint_space((target, key), current, &joined)?;
                *current = joined;
            }
        }
        self.collisions += u64::from(collided);
        Ok(Verdict::Joined)
    }

    /// Refuses a hint that would take what is kept for its target, or for all, beyond its bound. One that leaves it
    /// no larger may pass: a thousand writes of one key are one hint.
    fn check_hint_space(
        &self,
        (target, key): (NodeId, &[u8]),
        current: &Record,
        joined: &Record,
    ) -> Result<(), Refusal> {
        let Some(kept) = &self.rules.kept else {
            return Err(Refusal::NotReady);
        };
        let grown = |of_interest: &dyn Fn(NodeId) -> bool| {
            let before = kept.iter().filter(|kept| of_interest(kept.target));
            let deltas = (self.hints.iter()).filter(|delta| of_interest(delta.target));
            let before: u64 = before.map(|kept| kept.bytes).sum();
            before.saturating_add_signed(deltas.map(|delta| delta.bytes).sum())
        };
        let limits = &self.rules.limits;
        let bounds = [
            (
                grown(&|node| node == target),
                limits.max_hint_bytes_per_node,
            ),
            (grown(&|_any| true), limits.max_hint_bytes),
        ];
        let most = HINT_PREFIX + key.len() + MINTED + most_bytes(joined);
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        for (bytes, max) in bounds {
            if bytes.saturating_add(most) > max && record_len(joined) > record_len(current) {
                return Err(Refusal::HintsFull { bytes, max });
            }
        }
        Ok(())
    }
}
